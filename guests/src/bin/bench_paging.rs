//! Address spaces: fences and switches.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::paging::{LEAF, Mode, R, Space, W};
    use guests::{bench, bench_loop, memory, paging};

    const PLACE: u64 = 0x4000_0000;

    fn main() {
        let space = bench::enter_paged();
        let other = Space::new(Mode::Sv39);
        for (space, value) in [(&space, 1u64), (&other, 2)] {
            let page = memory::page();
            memory::write(page, value);
            for index in 0..8 {
                space.map(PLACE + 4096 * index, page, LEAF | R | W);
            }
        }
        let (one, two) = (space.satp(1), other.satp(2));
        bench_loop!("empty", "");
        bench_loop!("sfence.vma-all", "sfence.vma");
        bench_loop!("sfence.vma-address", "sfence.vma t0", "t0" = PLACE);
        bench_loop!("sfence.vma-asid", "sfence.vma x0, t0", "t0" = 3u64);
        bench_loop!(
            "sfence.vma-address-asid",
            "sfence.vma t0, t1",
            "t0" = PLACE,
            "t1" = 1u64
        );
        bench_loop!(
            "satp-switch-twice",
            "csrw satp, t1\ncsrw satp, t0",
            "t0" = one,
            "t1" = two
        );
        bench_loop!(
            "satp-switch-twice-and-load",
            "csrw satp, t1\nld a0, 0(t2)\ncsrw satp, t0\nld a1, 0(t2)",
            "t0" = one,
            "t1" = two,
            "t2" = PLACE
        );
        bench_loop!("load", "ld a0, 0(t0)", "t0" = PLACE);
        bench_loop!(
            "sfence.vma-address-and-load",
            "sfence.vma t0\nld a0, 0(t0)",
            "t0" = PLACE
        );
        let slot = space.slot(PLACE, 0);
        let pte: u64 = memory::read(slot);
        bench::measure("remap-fence-load", 1000, || {
            for _ in 0..1000 {
                memory::write(slot, pte);
                paging::fence_address(PLACE);
                memory::read::<u64>(PLACE);
            }
        });
        paging::bare();
    }

    guests::program!(main);
}
