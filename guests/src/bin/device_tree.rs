//! The device tree holds what any kernel for this board looks for. Printed is only what the machine
//! and the virtual board must have in common.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::tree::{is, lists, starts, walk, word};
    use guests::{println, start};

    fn main() {
        let tree = start::device_tree();
        println!(
            "aligned to 8: {}, magic {:#x}, version {}, boot hart {}",
            tree % 8 == 0,
            word(tree),
            word(tree + 20),
            word(tree + 28)
        );
        println!("hart in a0: {}", start::hart());
        let wanted = [
            ("cpu@0", "device_type", "cpu"),
            ("cpu@0", "compatible", "riscv"),
            ("cpu@0", "status", "okay"),
            ("interrupt-controller", "compatible", "riscv,cpu-intc"),
            ("memory@80000000", "device_type", "memory"),
            ("serial@10000000", "compatible", "ns16550a"),
            ("plic@c000000", "compatible", "riscv,plic0"),
            ("soc", "compatible", "simple-bus"),
        ];
        let mut found = [false; 8];
        // Kept, then printed: the order of nodes and properties means nothing.
        let mut numbers = [0u64; 7];
        walk(tree, |node, name, value, length| {
            for (index, (wanted_node, wanted_name, text)) in wanted.iter().enumerate() {
                let plic =
                    *wanted_node == "plic@c000000" && starts(node, "interrupt-controller@c000000");
                let node_is = is(node, wanted_node) || plic;
                found[index] |= node_is && is(name, wanted_name) && lists(value, length, text);
            }
            let last = || word(value + length - 4) as u64;
            let cells = || (word(value) as u64) << 32 | word(value + 4) as u64;
            if is(name, "timebase-frequency") {
                numbers[0] = last();
            }
            if is(node, "memory@80000000") && is(name, "reg") {
                numbers[1] = cells();
                let size = (word(value + 8) as u64) << 32 | word(value + 12) as u64;
                numbers[2] = (size >= 128 << 20) as u64;
            }
            if is(node, "serial@10000000") {
                match () {
                    () if is(name, "reg") => numbers[3] = cells(),
                    () if is(name, "interrupts") => numbers[4] = last(),
                    () if is(name, "clock-frequency") => numbers[5] = last(),
                    () => {}
                }
            }
            if is(node, "cpu@0") {
                let isa = is(name, "riscv,isa") && starts(value, "rv64ima");
                let mmu = is(name, "mmu-type") && starts(value, "riscv,sv");
                numbers[6] += isa as u64 + mmu as u64;
            }
        });
        let [timebase, memory, large, serial, interrupt, clock, cpu] = numbers;
        println!("timebase-frequency {timebase}");
        println!("memory at {memory:#x}, at least 128 MiB: {large}");
        println!("serial at {serial:#x}, interrupt {interrupt}, clock {clock}");
        println!("riscv,isa and mmu-type in order: {}", cpu == 2);
        for (index, (node, name, text)) in wanted.iter().enumerate() {
            println!("{node} {name} {text}: {}", found[index]);
        }
    }

    guests::program!(main);
}
