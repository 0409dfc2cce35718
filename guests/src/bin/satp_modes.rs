//! Writes of satp with every MODE; switching between Bare, Sv39, Sv48 and Sv57 in all orders; the
//! same virtual address in each.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::paging::{LEAF, Mode, R, Space, W};
    use guests::probe::{Access, Accessor, Outcome};
    use guests::{csr, memory, paging, println};

    const PLACE: u64 = 0x1_0000_0000;

    fn main() {
        let spaces = Mode::ALL.map(Space::new);
        for (index, space) in spaces.iter().enumerate() {
            let page = memory::page();
            memory::write(page, 0x1000 + index as u64);
            space.map(PLACE, page, LEAF | R | W);
        }
        for start in [None, Some(&spaces[0])] {
            for mode in 0..16u64 {
                if [8, 9, 10].contains(&mode) {
                    continue;
                }
                if let Some(space) = start {
                    space.activate(1);
                }
                let before = csr::read!("satp");
                csr::write!(
                    "satp",
                    mode << 60 | if mode == 0 { 0 } else { 0x123_4567_89ab }
                );
                paging::fence();
                let after = csr::read!("satp");
                let kept = if after == before { "kept" } else { "changed" };
                println!(
                    "from mode {}: MODE {mode} written: {kept}, MODE {}",
                    before >> 60,
                    after >> 60
                );
                paging::bare();
            }
        }
        for from in 0..4 {
            for to in 0..4 {
                for select in [from, to] {
                    match spaces.get(select) {
                        Some(space) => space.activate(select as u64),
                        None => paging::bare(),
                    }
                    let seen = Outcome(Accessor::SUPERVISOR.fault(Access::Load, PLACE));
                    println!(
                        "{from} to {to}, now {select}: MODE {} {seen}",
                        csr::read!("satp") >> 60
                    );
                    if select < 3 {
                        println!("  reads {:#x}", memory::read::<u64>(PLACE));
                    }
                }
            }
        }
        paging::bare();
        let mut sum = 0;
        for round in 0..3000u64 {
            let space = &spaces[(round % 3) as usize];
            // No fence: each has an ASID of its own.
            paging::csr_satp(space.satp(10 + round % 3));
            sum += memory::read::<u64>(PLACE);
        }
        paging::bare();
        println!("3000 switches: {sum:#x}");
        for mode in Mode::supported() {
            let space = Space::new(mode);
            space.activate(0);
            let bits = mode.bits();
            for address in [
                1 << (bits - 1),
                (1 << (bits - 1)) - 8,
                1 << bits,
                !0 << (bits - 1),
                (!0 << (bits - 1)) - 8,
                1 << 63,
                1 << 62,
            ] {
                for access in Access::ALL {
                    println!(
                        "{mode:?} {access:?} at {address:#x}: {}",
                        Outcome(Accessor::SUPERVISOR.fault(access, address))
                    );
                }
            }
            paging::bare();
        }
    }

    guests::program!(main);
}
