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

echo "processes: 1500 in turn, then 600 side by side"
i=0
while [ $i -lt 1500 ]; do
    /bin/true
    i=$((i + 1))
done
i=0
while [ $i -lt 60 ]; do
    for j in 0 1 2 3 4 5 6 7 8 9; do
        /bin/true &
    done
    wait
    i=$((i + 1))
done

echo "pipes: 200 pipelines of three processes, then 16 MiB through one"
i=0
while [ $i -lt 200 ]; do
    echo $i | cat | cat > /dev/null
    i=$((i + 1))
done
dd if=/dev/zero bs=4096 count=4096 2> /dev/null | cat | wc -c

echo "files: 1000 written, listed, read and removed"
mkdir /tmp/files
i=0
while [ $i -lt 1000 ]; do
    echo "file number $i" > /tmp/files/$i
    i=$((i + 1))
done
ls /tmp/files | wc -l
cat /tmp/files/* | md5sum
rm -r /tmp/files

echo PV:work-done
poweroff -f
