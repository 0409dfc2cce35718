//! Loads and stores of device registers by every kind of instruction that kernels use for them, with
//! every register, often enough to be patched; from S and from U, in Bare mode and through pages.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::board::{plic, uart};
    use guests::code::{EBREAK, write_words};
    use guests::context::Context;
    use guests::paging::{LEAF, Mode, R, Space, U, W};
    use guests::{code, csr, memory, paging, println};

    fn main() {
        let page = memory::page();
        let scratch = uart::BASE + uart::SCRATCH;
        let threshold = plic::THRESHOLD;
        let space = Space::new(Mode::Sv39);
        let (uart_page, plic_page) = (0x700_0000, 0x701_0000);
        space.map(uart_page, uart::BASE, LEAF | R | W);
        space.map(plic_page, plic::THRESHOLD & !0xfff, LEAF | R | W);
        space.map(uart_page + 0x1000, uart::BASE, LEAF | R | W | U);
        for paged in [false, true] {
            let (scratch, threshold) = if paged {
                (uart_page + 7, plic_page)
            } else {
                (scratch, threshold)
            };
            if paged {
                space.activate(0);
            }
            // Every register as data and as base.
            let mut bad = 0;
            for data in 0..32u32 {
                for base in [2u32, 5, 6, 7, 10, 28, 31] {
                    let store = data << 20 | base << 15 | 0x23;
                    let load = base << 15 | data << 7 | 0x4003;
                    write_words(page, &[store, load, EBREAK]);
                    for round in 0..5 {
                        let mut context = Context::supervisor(page)
                            .with(data as usize, 0x40 + data as u64 + round);
                        context.x[base as usize] = scratch;
                        context.x[0] = 0;
                        let expected = if data == 0 {
                            0
                        } else {
                            context.x[data as usize] & 0xff
                        };
                        let before = context.clone();
                        let trap = context.run();
                        let loaded = if data == 0 {
                            0
                        } else {
                            context.x[data as usize]
                        };
                        let others = (1..32).all(|index| {
                            index == data as usize || context.x[index] == before.x[index]
                        });
                        let held = if data == base {
                            loaded
                        } else {
                            memory::read::<u8>(scratch) as u64
                        };
                        if trap.cause != 3 || loaded != expected || held != expected || !others {
                            bad += 1;
                            println!(
                                "data x{data} base x{base}: {trap} {loaded:#x} for {expected:#x}"
                            );
                        }
                    }
                }
            }
            println!("paged {paged}: sb and lbu with all registers, {bad} wrong");
            for (name, snippet, address) in [
                ("lb", code!("sb a0, 0(a1)", "lb a2, 0(a1)"), scratch),
                (
                    "lbu, offset",
                    code!("sb a0, -100(a3)", "lbu a2, -100(a3)"),
                    scratch,
                ),
                ("lw", code!("sw a0, 0(a1)", "lw a2, 0(a1)"), threshold),
                ("lwu", code!("sw a0, 0(a1)", "lwu a2, 0(a1)"), threshold),
                ("c.lw", code!("c.sw a0, 0(a1)", "c.lw a2, 0(a1)"), threshold),
                (
                    "c.lwsp",
                    code!(
                        "mv a4, sp",
                        "mv sp, a1",
                        "c.swsp a0, 0(sp)",
                        "c.lwsp a2, 0(sp)",
                        "mv sp, a4"
                    ),
                    threshold,
                ),
                (
                    "lw to x0",
                    code!("sw a0, 0(a1)", "lw x0, 0(a1)", "lw a2, 0(a1)"),
                    threshold,
                ),
                (
                    "base is rd",
                    code!("sw a0, 0(a1)", "mv a2, a1", "lw a2, 0(a2)"),
                    threshold,
                ),
            ] {
                let mut sum = 0u64;
                for round in 0..300u64 {
                    let value = if address == threshold {
                        round & 7
                    } else {
                        0x80 | round
                    };
                    let mut context = snippet
                        .supervisor()
                        .with(10, value)
                        .with(11, address)
                        .with(13, address + 100);
                    let trap = context.run();
                    assert_eq!(trap.cause, 3, "{name}: {trap}");
                    sum = sum.wrapping_add(context.x[12]);
                }
                println!("paged {paged}: {name} {sum:#x}");
            }
            memory::write(threshold, 0u32);
            // One instruction that accesses a device many times, then memory, then the device again, and
            // an address that faults.
            let both = code!(
                "lw a2, 0(a1)",
                "c.lw a4, 0(a1)",
                "c.sw a0, 0(a1)",
                "sw a0, 0(a1)"
            );
            let mut sums = [0u64; 3];
            for round in 0..120u64 {
                let place = [0, 0, 0, 0, 1, 0][round as usize / 20] as usize;
                let address = if place == 0 { threshold } else { page + 0x800 };
                let mut context = both.supervisor().with(10, round & 7).with(11, address);
                let trap = context.run();
                assert_eq!(trap.cause, 3, "{trap}");
                sums[place] += context.x[12] << 8 | context.x[14];
            }
            let mut context = both.supervisor().with(11, 0x1800_0000);
            let trap = context.run();
            sums[2] = memory::read::<u32>(page + 0x800).into();
            println!("paged {paged}: one instruction for both {sums:x?}, and {trap}");
            memory::write(threshold, 0u32);
        }
        let load = space.user(code!("lbu a0, 7(a1)"), 0x20_0000);
        for (name, address) in [("S page", uart_page), ("U page", uart_page + 0x1000)] {
            let mut context = load.clone().with(11, address);
            memory::write(uart_page + 7, 0x99u8);
            println!("{name} from U: {} a0 {:#x}", context.run(), context.x[10]);
        }
        println!("fetch from the UART: {}", {
            let mut context = code!("jalr ra, 0(a1)").supervisor().with(11, uart_page);
            context.run()
        });
        paging::bare();
        csr::write!("sie", 0u64);
    }

    guests::program!(main);
}
