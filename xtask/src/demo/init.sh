# The demonstration's first process: shows where it runs, works, and powers off.
mount -t tmpfs tmpfs /tmp
echo
echo PV:boot
uname -a
cat /proc/cpuinfo
echo "MMU mode: $(sed -n 's/^mmu[[:space:]]*: //p' /proc/cpuinfo | head -n 1)"
grep MemTotal /proc/meminfo

# How many harts are at work: one more than the last number of 0-3. No process is needed to tell.
read -r online < /sys/devices/system/cpu/online
jobs=$((${online##*[-,]} + 1))

# Runs a part of the work: all of it in this process for one hart, else a share in a process for each.
# The part, a function, gets the number of its share and does one of every $jobs steps from there on.
everywhere() {
    if [ $jobs -eq 1 ]; then
        $1 0
        return
    fi
    job=0
    while [ $job -lt $jobs ]; do
        $1 $job &
        job=$((job + 1))
    done
    wait
}

# Keeps this process, and those that it makes, on one hart.
stay_on() {
    read -r process rest < /proc/self/stat
    taskset -p "$(printf %x $((1 << $1)))" "$process" > /dev/null
}

# Of several harts each keeps to its own: the kernel would start every child on another one, and what
# is measured would be how one hart waits for the other to drop its translations.
fork_one_by_one() {
    [ $jobs -eq 1 ] || stay_on $1
    i=$1
    while [ $i -lt 1900 ]; do
        ( : )
        i=$((i + jobs))
    done
}

fork_side_by_side() {
    i=$1
    while [ $i -lt 10 ]; do
        for j in 0 1 2 3 4 5 6 7 8 9; do
            ( : ) &
        done
        wait
        i=$((i + jobs))
    done
}

execute() {
    i=$1
    while [ $i -lt 150 ]; do
        /bin/true
        i=$((i + jobs))
    done
}

connect() {
    i=$1
    while [ $i -lt 20 ]; do
        echo $i | cat | cat > /dev/null
        i=$((i + jobs))
    done
}

pump() {
    dd if=/dev/zero bs=4096 count=$((1024 / jobs)) 2> /dev/null | cat | wc -c
}

write_files() {
    i=$1
    while [ $i -lt 500 ]; do
        echo "file number $i" > /tmp/files/$i
        i=$((i + jobs))
    done
}

echo "processes: 2000 forked, 100 of them side by side, and 150 programs executed"
everywhere fork_one_by_one
everywhere fork_side_by_side
everywhere execute

echo "pipes: 20 pipelines of three processes, then 4 MiB through one"
everywhere connect
everywhere pump

echo "files: 500 written, listed, read and removed"
mkdir /tmp/files
everywhere write_files
ls /tmp/files | wc -l
cat /tmp/files/* | md5sum
rm -r /tmp/files

echo PV:work-done
poweroff -f
