//! Sums by AMO and LR/SC that all harts add to at the same time are exact, from S-mode and U-mode, in
//! Bare mode and through page tables, and so is what a lock made of them protects.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::Snippet;
    use guests::context::Context;
    use guests::harts::{self, Barrier, MOST};
    use guests::paging::{LEAF, Mode, R, Space, U, W};
    use guests::{code, memory, paging, println};

    const COUNT: usize = MOST;
    const ROUNDS: u64 = 3000;
    const CODE: u64 = 0x10_0000;
    const DATA: u64 = 0x20_0000;

    /// a0: shared doublewords, a1: rounds, a2: the hart's own number, at least 1.
    fn pieces() -> [(&'static str, Snippet); 7] {
        [
            (
                "amoadd.d",
                code!("1: amoadd.d t0, a2, (a0)", "addi a1, a1, -1", "bnez a1, 1b"),
            ),
            (
                "amoadd.w",
                code!("1: amoadd.w t0, a2, (a0)", "addi a1, a1, -1", "bnez a1, 1b"),
            ),
            (
                "lr.d and sc.d",
                code!(
                    "1: lr.d t0, (a0)",
                    "add t0, t0, a2",
                    "sc.d t1, t0, (a0)",
                    "bnez t1, 1b",
                    "addi a1, a1, -1",
                    "bnez a1, 1b"
                ),
            ),
            (
                "lr.w and sc.w, ordered",
                code!(
                    "1: lr.w.aqrl t0, (a0)",
                    "add t0, t0, a2",
                    "sc.w.aqrl t1, t0, (a0)",
                    "bnez t1, 1b",
                    "addi a1, a1, -1",
                    "bnez a1, 1b"
                ),
            ),
            (
                "a lock by amoswap",
                code!(
                    "li t1, 1",
                    "1: amoswap.w.aq t0, t1, (a0)",
                    "bnez t0, 1b",
                    "ld t2, 8(a0)",
                    "add t2, t2, a2",
                    "sd t2, 8(a0)",
                    "amoswap.w.rl zero, zero, (a0)",
                    "addi a1, a1, -1",
                    "bnez a1, 1b"
                ),
            ),
            (
                "amomaxu.d, amoxor.d",
                code!(
                    "addi a3, a0, 8",
                    "mul t0, a1, a2",
                    "1: amomaxu.d zero, t0, (a3)",
                    "amoxor.d zero, a2, (a0)",
                    "addi a1, a1, -1",
                    "bnez a1, 1b"
                ),
            ),
            (
                "amoor.d, amoadd.d to a neighbour",
                code!(
                    "addi a3, a0, 8",
                    "li t0, 1",
                    "sll t0, t0, a2",
                    "1: amoor.d zero, t0, (a0)",
                    "amoadd.d zero, a2, (a3)",
                    "addi a1, a1, -1",
                    "bnez a1, 1b"
                ),
            ),
        ]
    }

    fn main() {
        harts::ready(COUNT);
        let space = Space::new(Mode::Sv39);
        let data = memory::page();
        space.map(DATA, data, LEAF | R | W);
        let user_data = DATA + 0x20_0000;
        space.map(user_data, data, LEAF | R | W | U);
        let barrier = Barrier::new(COUNT);
        for (name, piece) in pieces() {
            type Way<'a> = (&'static str, &'a (dyn Fn() -> Context + Sync), u64, bool);
            let ways: [Way; 4] = [
                ("S, Bare", &|| piece.supervisor(), data, false),
                ("U, Bare", &|| piece.user(), data, false),
                ("S, Sv39", &|| piece.supervisor(), DATA, true),
                (
                    "U, Sv39",
                    &|| Context::user(CODE + piece.start % 4096),
                    user_data,
                    true,
                ),
            ];
            let _ = space.user(piece, CODE);
            for (mode, context, address, paged) in ways {
                memory::write(data, 0u64);
                memory::write(data + 8, 0u64);
                harts::together(COUNT, |me| {
                    if paged {
                        space.activate(1);
                    }
                    let mut context = context()
                        .with(10, address)
                        .with(11, ROUNDS)
                        .with(12, me as u64 + 1);
                    barrier.wait();
                    let trap = context.run();
                    assert_eq!(trap.cause, 3, "{name}, {mode}: {trap}");
                    paging::bare();
                });
                println!(
                    "{name}, {mode}: {:#x} {:#x}",
                    memory::read::<u64>(data),
                    memory::read::<u64>(data + 8)
                );
            }
        }
    }

    guests::program!(main);
}
