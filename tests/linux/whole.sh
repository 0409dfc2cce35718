# What a kernel does to its own text, and what processes may do: natively and as a guest this prints
# the same.
tracing=/sys/kernel/tracing
work() {
    for i in 1 2 3 4 5 6 7 8; do (true | cat); ls /proc > /dev/null; done
}

echo "== modules"
cd /tmp
for file in /modules/*.xz; do name=${file##*/}; xzcat $file > ${name%.xz}; done
modules="test_static_key_base test_static_keys loop md4 minix ts_bm"
for round in 1 2 3 4; do
    undone=
    for module in $modules; do
        insmod $module.ko || echo "$module does not load"
        undone="$module $undone"
    done
    for module in $undone; do rmmod $module || echo "$module does not unload"; done
done
echo "loaded at the end: $(wc -l < /proc/modules)"

echo "== processes"
probe misaligned
probe faults
probe float
probe text /Image

echo "== kprobes"
cd $tracing
for function in do_exit handle_mm_fault schedule do_sys_openat2 switch_mm riscv_timer_interrupt; do
    echo "p:entry/$function $function+8" >> kprobe_events || echo "no probe of $function"
done
for function in _raw_spin_lock_irqsave _raw_spin_unlock_irqrestore _raw_spin_lock_irq do_exit \
    kmem_cache_alloc_noprof schedule __schedule finish_task_switch.isra.0 switch_mm do_idle \
    default_idle_call arch_cpu_idle vprintk_emit rcu_core handle_softirqs; do
    probe after-privileged $function > /tmp/places
    while read place; do
        name=${place%%+*}_${place##*+}
        echo "p:site/${name%%.*} $place" >> kprobe_events 2> /dev/null || echo "no probe at $place"
    done < /tmp/places
done
echo "probes: $(wc -l < kprobe_events)"
echo 1 > events/entry/enable
echo 1 > events/site/enable
work
probe text /Image
work
echo 0 > events/site/enable
work
echo 0 > events/entry/enable
for function in do_exit handle_mm_fault schedule do_sys_openat2 switch_mm; do
    grep -q "$function .* [1-9][0-9]* *0\$" kprobe_profile && echo "$function was hit"
done
echo "sites hit: $(grep -c '_0x.* [1-9][0-9]* *[0-9]*$' kprobe_profile | sed 's/^[1-9].*/some/')"
echo > kprobe_events
echo > trace
probe text /Image

for tracer in function function_graph; do
    echo "== $tracer"
    echo $tracer > current_tracer
    work
    echo 0 > tracing_on
    [ $(wc -l < trace) -gt 5000 ] && grep -q handle_mm_fault trace && echo "traced"
    echo nop > current_tracer
    echo 1 > tracing_on
done
echo "traced still: $(wc -l < enabled_functions)"
probe text /Image

echo "== reports"
cd /tmp
report() {
    dmesg -c > /dev/null
    probe module $1.ko broken.ko
    insmod broken.ko 2>&1
    echo "insmod: $?"
    dmesg -c | sed -n "$2" | sed -e 's/^\[[^]]*\] //' -e 's/PID: [0-9]*//'
}
report ts_bm '/WARNING:/p; /Call Trace:/,/ret_from\|handle_ex/p'
echo "processes still run: $(ls /proc/1/status)"
