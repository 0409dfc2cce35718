//! The PLIC: priorities, enables, threshold, pending, claim and complete, with the UART as the
//! source.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::board::{self, plic, uart};
    use guests::{console, csr, memory, println};

    fn claim() -> u32 {
        memory::read(plic::CLAIM)
    }

    fn pending() -> bool {
        csr::read!("sip") & csr::EXTERNAL != 0
    }

    fn source_pending() -> bool {
        memory::read::<u32>(plic::PENDING) >> uart::SOURCE & 1 != 0
    }

    fn raise(on: bool) {
        uart::idle();
        uart::write(uart::IER, if on { uart::TRANSMITTER_EMPTY } else { 0 });
    }

    fn main() {
        for value in [0u32, 1, 3, 7] {
            memory::write(plic::priority(uart::SOURCE), value);
            let priority: u32 = memory::read(plic::priority(uart::SOURCE));
            memory::write(plic::THRESHOLD, value & 7);
            println!(
                "{value:#x}: priority {priority} threshold {}",
                memory::read::<u32>(plic::THRESHOLD)
            );
        }
        memory::write(plic::ENABLE, 0u32);
        for value in [0u32, 1 << uart::SOURCE, 0xfe, 1 << uart::SOURCE | 0xfe] {
            memory::write(plic::ENABLE, value);
            println!(
                "enable {value:#x}: {:#x}",
                memory::read::<u32>(plic::ENABLE)
            );
        }
        memory::write(plic::ENABLE, 0u32);
        memory::write(plic::priority(0), 5u32);
        println!(
            "priority of source 0: {}",
            memory::read::<u32>(plic::priority(0))
        );
        board::drain();

        let mut lines = [[0u32; 5]; 40];
        let mut next = 0;
        for priority in 0..3u32 {
            for threshold in 0..3u32 {
                for enabled in [false, true] {
                    console::flush();
                    memory::write(plic::priority(uart::SOURCE), priority);
                    memory::write(plic::THRESHOLD, threshold);
                    memory::write(plic::ENABLE, (enabled as u32) << uart::SOURCE);
                    raise(true);
                    let before = (source_pending(), pending());
                    let claimed = claim();
                    let after = (source_pending(), pending());
                    // QEMU's PLIC looks at a source's level only when it changes, a real one at
                    // completion too: so the source is quiet by then.
                    raise(false);
                    memory::write(plic::CLAIM, claimed);
                    let again = (source_pending() && claimed != 0, pending());
                    memory::write(plic::ENABLE, 1u32 << uart::SOURCE);
                    memory::write(plic::THRESHOLD, 0u32);
                    memory::write(plic::priority(uart::SOURCE), 1u32);
                    board::drain();
                    memory::write(plic::ENABLE, 0u32);
                    let bits = |(source, hart): (bool, bool)| (source as u32) << 1 | hart as u32;
                    lines[next] = [
                        priority << 8 | threshold << 4 | enabled as u32,
                        bits(before),
                        claimed,
                        bits(after),
                        bits(again),
                    ];
                    next += 1;
                }
            }
        }
        for [setting, before, claimed, after, again] in &lines[..next] {
            println!(
                "setting {setting:03x}: pending {before:02b}, claimed {claimed}, then {after:02b}, completed {again:02b}"
            );
        }
        println!("nothing to claim: {} sip {:#x}", claim(), csr::read!("sip"));
    }

    guests::program!(main);
}
