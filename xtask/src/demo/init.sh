#!/bin/busybox sh
# The demonstration's first process: shows where it runs, works, and powers off.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
echo
echo PV:boot
uname -a
cat /proc/cpuinfo
echo "MMU mode: $(sed -n 's/^mmu[[:space:]]*: //p' /proc/cpuinfo | head -n 1)"
grep MemTotal /proc/meminfo

echo "processes: 2000 forked, 100 of them side by side, and 150 programs executed"
i=0
while [ $i -lt 1900 ]; do
    ( : )
    i=$((i + 1))
done
i=0
while [ $i -lt 10 ]; do
    for j in 0 1 2 3 4 5 6 7 8 9; do
        ( : ) &
    done
    wait
    i=$((i + 1))
done
i=0
while [ $i -lt 150 ]; do
    /bin/true
    i=$((i + 1))
done

echo "pipes: 20 pipelines of three processes, then 4 MiB through one"
i=0
while [ $i -lt 20 ]; do
    echo $i | cat | cat > /dev/null
    i=$((i + 1))
done
dd if=/dev/zero bs=4096 count=1024 2> /dev/null | cat | wc -c

echo "files: 500 written, listed, read and removed"
mkdir /tmp/files
i=0
while [ $i -lt 500 ]; do
    echo "file number $i" > /tmp/files/$i
    i=$((i + 1))
done
ls /tmp/files | wc -l
cat /tmp/files/* | md5sum
rm -r /tmp/files

echo PV:work-done
poweroff -f
