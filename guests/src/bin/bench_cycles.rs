//! What a core's cycles go to: privileged instructions, system calls and faults, ten copies of each in
//! a loop. For cores in simulation, where a cycle takes long: short, and by `cycle` and `instret`.
//!
//! A result is one line, `bench NAME iterations N time C cycles I instructions`: the fewest cycles of
//! several rounds after the first one, in which a monitor makes its patches, and the instructions of that
//! round. The loop itself is in them, two instructions to ten.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use core::arch::asm;
    use guests::code::Snippet;
    use guests::context::{Context, vector};
    use guests::paging::{LEAF, Mode, R, Space, U, W, X};
    use guests::{code, csr, memory, paging, println};

    /// How often a loop goes round; and where each takes many thousands of cycles under a monitor.
    const LOOPS: u64 = 4;
    const FEW_LOOPS: u64 = 2;
    /// How many copies of what is measured stand in it.
    const COPIES: u64 = 10;
    const ROUNDS: u32 = 3;

    /// Where user code is mapped.
    const USER: u64 = 0x10_0000;
    /// A page that is there, and sixteen that are mapped when they are touched.
    const PAGE: u64 = 0x4000_0000;
    const DEMAND: u64 = 0x4020_0000;
    const DEMAND_PAGES: u64 = 16;
    /// Where no page is.
    const NOWHERE: u64 = 0x7000_0000;
    /// Where `cargo xtask bench --rtl --trace` expects the instructions that it follows: `csrci sstatus, 2` of the
    /// kernel and `ecall` of the user.
    const TRACED_PASSAGE: u64 = 0x5000_0000;
    const TRACED_CALL: u64 = 0x5000_1000;
    /// How often these are executed.
    const TRACED_ROUNDS: u64 = 12;

    /// The numbers of registers.
    const A1: usize = 11;
    const S0: usize = 8;
    const S4: usize = 20;
    const S5: usize = 21;
    const S8: usize = 24;
    const S10: usize = 26;
    const S11: usize = 27;

    #[derive(Clone, Copy)]
    struct Counts {
        cycles: u64,
        instructions: u64,
    }

    fn measure(name: &str, iterations: u64, mut run: impl FnMut() -> Counts) {
        // Opaque, so that all rounds are of the same copy of the code.
        let run: &mut dyn FnMut() -> Counts = core::hint::black_box(&mut run);
        run();
        let mut least = run();
        for _ in 2..ROUNDS {
            let counts = run();
            if counts.cycles < least.cycles {
                least = counts;
            }
        }
        let Counts {
            cycles,
            instructions,
        } = least;
        println!(
            "bench {name} iterations {iterations} time {cycles} cycles {instructions} instructions"
        );
    }

    /// Measures an instruction of the kernel, or a few. They may use t0 to t2; the operands set them.
    macro_rules! row {
        ($name:literal, $loops:expr, $instruction:expr $(, $register:tt = $value:expr)*) => {
            measure($name, $loops * COPIES, || {
                let (cycles, instructions): (u64, u64);
                // SAFETY: the instructions touch no memory and no register but the declared ones; a program
                // is alone on its machine.
                unsafe {
                    asm!(
                        ".option push",
                        ".option norvc",
                        "rdinstret t4",
                        "rdcycle t3",
                        "j 2f",
                        ".balign 64",
                        "2:",
                        ".rept {copies}",
                        $instruction,
                        ".endr",
                        "addi t6, t6, -1",
                        "bnez t6, 2b",
                        "rdcycle t5",
                        "sub t3, t5, t3",
                        "rdinstret t5",
                        "sub t4, t5, t4",
                        ".option pop",
                        copies = const COPIES,
                        inout("t6") $loops => _,
                        out("t3") cycles, out("t4") instructions, out("t5") _,
                        $(in($register) $value,)*
                        out("a0") _,
                    )
                };
                Counts { cycles, instructions }
            })
        };
    }

    /// Code that repeats its lines s0 times, and counts in s2 and s3. At its end a7 tells the handlers so.
    macro_rules! user {
        ($($line:expr),+) => {
            code!(
                ".option norvc",
                "rdinstret s3",
                "rdcycle s2",
                "j 1f",
                ".balign 64",
                "1:",
                $($line,)+
                "addi s0, s0, -1",
                "bnez s0, 1b",
                "rdcycle s4",
                "rdinstret s5",
                "sub s2, s4, s2",
                "sub s3, s5, s3",
                "li a7, 1",
            )
        };
    }

    /// Runs user code whose traps are handled by `handler` until its end.
    fn run(handler: Snippet, context: &mut Context) -> Counts {
        context.x[S11] = vector();
        csr::write!("stvec", handler.start);
        context.run();
        csr::write!("stvec", vector());
        Counts {
            cycles: context.x[18],
            instructions: context.x[19],
        }
    }

    /// Steps over the instruction.
    fn short_handler() -> Snippet {
        code!(
            ".option norvc",
            ".balign 64",
            "bnez a7, 1f",
            "csrr t0, sepc",
            "addi t0, t0, 4",
            "csrw sepc, t0",
            "sret",
            "1: csrw stvec, s11",
            "jr s11",
        )
    }

    /// Does around a system call what Linux does: a frame of 31 registers and the same CSR instructions.
    /// sscratch holds the context, behind which are two words: for sp, and the stack.
    fn linux_handler() -> Snippet {
        code!(
            ".option norvc",
            ".macro all instruction",
            ".irp n, 5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
            "\\instruction x\\n, 8*\\n(sp)",
            ".endr",
            ".endm",
            ".balign 64",
            "csrrw tp, sscratch, tp",
            "bnez tp, 1f",
            "csrr tp, sscratch",
            "1: bnez a7, 2f",
            "sd sp, {save}(tp)",
            "ld sp, {stack}(tp)",
            "addi sp, sp, -288",
            "sd x1, 8(sp)",
            "sd x3, 24(sp)",
            "all sd",
            "li t0, 0x46000",
            "ld s0, {save}(tp)",
            "csrrc s1, sstatus, t0",
            "csrr s2, sepc",
            "csrr s3, stval",
            "csrr s4, scause",
            "csrr s5, sscratch",
            "sd s0, 16(sp)",
            "sd s1, 256(sp)",
            "sd s2, 0(sp)",
            "sd s3, 264(sp)",
            "sd s4, 272(sp)",
            "sd s5, 32(sp)",
            "csrw sscratch, x0",
            "csrsi sstatus, 2",
            "ld t0, 0(sp)",
            "addi t0, t0, 4",
            "sd t0, 0(sp)",
            "csrci sstatus, 2",
            "csrw sscratch, tp",
            "ld a0, 256(sp)",
            "ld a2, 0(sp)",
            "csrw sstatus, a0",
            "csrw sepc, a2",
            "ld x1, 8(sp)",
            "ld x3, 24(sp)",
            "ld x4, 32(sp)",
            "all ld",
            "ld x2, 16(sp)",
            "sret",
            "2: csrrw tp, sscratch, tp",
            "csrw stvec, s11",
            "jr s11",
            ".purgem all";
            save = const SAVE,
            stack = const STACK,
        )
    }

    /// Where a [`linux_handler`] finds its words, behind the context.
    const SAVE: usize = size_of::<Context>();
    const STACK: usize = SAVE + 8;

    /// Maps the page that was touched, whose PTE is in the table at s4 and is to be s5 and as many pages more,
    /// and lets it be touched again.
    fn demand_handler() -> Snippet {
        code!(
            ".option norvc",
            ".balign 64",
            "bnez a7, 1f",
            "csrr t0, stval",
            "srli t1, t0, 12",
            "andi t1, t1, 15",
            "slli t2, t1, 3",
            "add t2, t2, s4",
            "slli t1, t1, 10",
            "add t1, t1, s5",
            "sd t1, 0(t2)",
            "sfence.vma t0",
            "sret",
            "1: csrw stvec, s11",
            "jr s11",
        )
    }

    /// Looks at the cause and steps over the instruction, as a kernel does with accesses that may fail. At the end
    /// s10 has what was in sscratch.
    fn fixup_handler() -> Snippet {
        code!(
            ".option norvc",
            ".balign 64",
            "csrrw t5, sscratch, t5",
            "csrr t5, scause",
            "addi t5, t5, -13",
            "bnez t5, 1f",
            "csrr t5, sepc",
            "addi t5, t5, 4",
            "csrw sepc, t5",
            "csrrw t5, sscratch, t5",
            "sret",
            "1: csrw sscratch, s10",
            "csrw stvec, s11",
            "jr s11",
        )
    }

    fn main() {
        csr::write!("scounteren", 7u64);
        let space = Space::new(Mode::Sv39);
        space.activate(1);
        kernel(&space);
        calls(&space);
        faults(&space);
        traced(&space);
        paging::bare();
    }

    fn kernel(space: &Space) {
        let satp = space.satp(1);
        space.map(PAGE, memory::page(), LEAF | R | W);
        row!("csrci-sstatus", LOOPS, "csrci sstatus, 2");
        row!(
            "csrs-sstatus-sum",
            LOOPS,
            "csrs sstatus, t0",
            "t0" = csr::SUM
        );
        row!("csrw-satp-same", LOOPS, "csrw satp, t0", "t0" = satp);
        row!(
            "sret-to-s",
            LOOPS,
            "auipc a0, 0\naddi a0, a0, 20\ncsrw sepc, a0\ncsrs sstatus, t0\nsret",
            "t0" = csr::SPP
        );
        row!("sfence.vma-address", LOOPS, "sfence.vma t0", "t0" = PAGE);
        row!("sfence.vma-all", FEW_LOOPS, "sfence.vma");
    }

    fn calls(space: &Space) {
        let calls = user!(".rept 10", "ecall", ".endr");
        let context = space.user(calls, USER).with(S0, LOOPS);
        let handler = short_handler();
        measure("user-ecall", LOOPS * COPIES, || {
            run(handler, &mut context.clone())
        });

        let handler = linux_handler();
        let (task, stack) = (memory::page(), memory::page());
        memory::write(task + STACK as u64, stack + 4096);
        let context = context.with(S0, FEW_LOOPS);
        measure("user-ecall-linux", FEW_LOOPS * COPIES, || {
            run_at(task, handler, &context)
        });
    }

    /// The same as [`run`], with the context at this address.
    fn run_at(task: u64, handler: Snippet, context: &Context) -> Counts {
        // SAFETY: the page is the program's own and big enough, and what the handler keeps is behind the context.
        let placed = unsafe {
            (task as *mut Context).write(context.clone());
            &mut *(task as *mut Context)
        };
        run(handler, placed)
    }

    fn faults(space: &Space) {
        let loads = user!(".rept 10", "ld t1, 0(a1)", ".endr");
        let context = space
            .user(loads, USER + 0x1_0000)
            .with(S0, LOOPS)
            .with(A1, NOWHERE);
        let handler = short_handler();
        measure("user-page-fault", LOOPS * COPIES, || {
            run(handler, &mut context.clone())
        });

        let touches = user!(
            "li t3, 4096",
            ".rept 16",
            "ld t4, 8(s8)",
            "add s8, s8, t3",
            ".endr"
        );
        let pages = memory::allocate(4096 * DEMAND_PAGES);
        let table = space.slot(DEMAND, 0);
        let context = space
            .user(touches, USER + 0x2_0000)
            .with(S0, 1)
            .with(S4, table)
            .with(S5, pages >> 2 | LEAF | R | W | U)
            .with(S8, DEMAND);
        let handler = demand_handler();
        measure("user-demand-fault", DEMAND_PAGES, || {
            for index in 0..DEMAND_PAGES {
                memory::write(table + 8 * index, 0u64);
                paging::fence_address(DEMAND + 4096 * index);
            }
            run(handler, &mut context.clone())
        });

        let handler = fixup_handler();
        let task = memory::page();
        let context = Context::supervisor(loads.start)
            .with(S0, LOOPS)
            .with(S10, task)
            .with(A1, NOWHERE);
        measure("supervisor-page-fault", LOOPS * COPIES, || {
            run_at(task, handler, &context)
        });
    }

    /// Two loops at addresses that are known.
    fn traced(space: &Space) {
        let map = |snippet: Snippet, address, flags| {
            let page = memory::page();
            snippet.copy_to(page);
            space.map(address, page, LEAF | R | X | flags);
        };
        let passages = code!(
            ".option norvc",
            "1: csrci sstatus, 2",
            "addi s0, s0, -1",
            "bnez s0, 1b"
        );
        map(passages, TRACED_PASSAGE, 0);
        let calls = code!(
            ".option norvc",
            "1: ecall",
            "addi s0, s0, -1",
            "bnez s0, 1b",
            "li a7, 1"
        );
        map(calls, TRACED_CALL, U);
        paging::fence();
        Context::supervisor(TRACED_PASSAGE)
            .with(S0, TRACED_ROUNDS)
            .run();
        let mut context = Context::user(TRACED_CALL).with(S0, TRACED_ROUNDS);
        run(short_handler(), &mut context);
    }

    guests::program!(main);
}
