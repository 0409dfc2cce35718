//! Misaligned loads and stores of every width, within a page, over a page boundary, and into a page
//! that is not there; `lr`, `sc` and atomics where they may not be.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::Snippet;
    use guests::paging::{LEAF, Mode, R, Space, W};
    use guests::{code, memory, paging, println};

    const BASE: u64 = 0x20_0000;

    fn main() {
        let forms: [(&str, Snippet); 11] = [
            ("lh", code!("lh a0, 0(a1)")),
            ("lhu", code!("lhu a0, 0(a1)")),
            ("lw", code!("lw a0, 0(a1)")),
            ("lwu", code!("lwu a0, 0(a1)")),
            ("ld", code!("ld a0, 0(a1)")),
            ("c.lw", code!("c.lw a0, 0(a1)")),
            ("c.ld", code!("c.ld a0, 0(a1)")),
            ("sh", code!("sh a0, 0(a1)")),
            ("sw", code!("sw a0, 0(a1)")),
            ("sd", code!("sd a0, 0(a1)")),
            ("c.sd", code!("c.sd a0, 0(a1)")),
        ];
        let space = Space::new(Mode::Sv39);
        // The second page is far from the first in physical memory.
        let (first, _, second) = (memory::page(), memory::page(), memory::page());
        space.map(BASE, first, LEAF | R | W);
        space.map(BASE + 0x1000, second, LEAF | R | W);
        for paged in [false, true] {
            let base = if paged { BASE } else { first };
            if paged {
                space.activate(0);
            }
            for (name, snippet) in forms {
                for offset in [
                    0x101, 0x103, 0xff9, 0xffb, 0xffd, 0xffe, 0xfff, 0x1ff9, 0x1ffd, 0x1fff,
                ] {
                    if !paged && offset > 0xff0 {
                        continue;
                    }
                    for page in [first, second] {
                        for byte in 0..4096 {
                            memory::write(page + byte, (byte * 7 + page / 4096 + 3) as u8);
                        }
                    }
                    let mut context = snippet.supervisor().with(10, 0x1122_3344_5566_7788);
                    context.x[11] = base + offset;
                    let trap = context.run();
                    println!("{name} at {offset:#x}: {trap} a0 {:#x}", context.x[10]);
                    if offset < 0x1ff0 {
                        let around = base + offset - 1;
                        let bytes: [u8; 10] =
                            core::array::from_fn(|index| memory::read(around + index as u64));
                        println!("  memory {bytes:02x?}");
                    }
                }
            }
        }
        let atomics = [
            ("lr.w", code!("lr.w a0, (a1)"), 4),
            ("lr.d", code!("lr.d a0, (a1)"), 8),
            ("sc.w", code!("sc.w a0, a2, (a1)"), 4),
            ("amoadd.d", code!("amoadd.d a0, a2, (a1)"), 8),
            ("amoswap.w", code!("amoswap.w a0, a2, (a1)"), 4),
        ];
        for (name, snippet, size) in atomics {
            for address in [BASE + 0x100, BASE + 0x2000, 0, u64::MAX - size + 1] {
                let mut context = snippet.supervisor().with(12, 5);
                context.x[11] = address;
                let trap = context.run();
                println!("{name} at {address:#x}: {trap}");
            }
        }
        paging::bare();
    }

    guests::program!(main);
}
