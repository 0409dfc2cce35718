//! A kernel in Sv39 with the address space of seL4: all physical memory from 0xffffffc000000000, the first
//! address of the upper half, the kernel once more at its end, and nothing of it in the lower half. It runs
//! at 0xffffffc080200000, where many small kernels are linked, and has processes in the lower half.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::write_words;
    use guests::context::{self, Context};
    use guests::paging::{G, LEAF, R, U, V, W, X, fence_address};
    use guests::{csr, memory, println};

    /// Virtual minus physical.
    const OFFSET: u64 = 0xffff_ffc0_0000_0000;
    /// The same for the second mapping of the kernel.
    const IMAGE: u64 = 0xffff_ffff_0000_0000;
    const PROCESSES: usize = 2;
    const TEXT: u64 = 0x1_0000;
    const DATA: u64 = 0x2_0000;

    core::arch::global_asm!(
        r#"
    .section .text.high, "ax"
    .option push
    .option norvc
    # a0 = satp, a1 = virtual minus physical, a2 = function, a3 = its argument
    .balign 4
enter_high:
    addi sp, sp, -32
    sd ra, 0(sp)
    sd s0, 8(sp)
    sd s1, 16(sp)
    mv s0, sp
    mv s1, a1
    la t0, 1f
    add t0, t0, a1
    csrw stvec, t0
    add sp, sp, a1
    add a2, a2, a1
    add a3, a3, a1
    sfence.vma
    csrw satp, a0
    j .                                 # not mapped: goes on at 1, by a page fault
    .balign 4
1:
    csrr t0, scause
    sd t0, 0(a3)
    la t0, trap_entry
    csrw stvec, t0
    mv a0, a3
    jalr a2
    la t0, 2f
    sub t0, t0, s1
    csrw stvec, t0
    csrw satp, zero
    j .                                 # no such memory: goes on at 2, by an access fault
    .balign 4
2:
    sfence.vma
    mv sp, s0
    la t0, trap_entry
    csrw stvec, t0
    csrr a0, scause
    ld ra, 0(sp)
    ld s0, 8(sp)
    ld s1, 16(sp)
    addi sp, sp, 32
    ret
    .option pop
"#
    );

    unsafe extern "C" {
        fn enter_high(satp: u64, offset: u64, kernel: u64, state: *mut State) -> u64;
    }

    /// What the kernel finds and leaves.
    #[repr(C)]
    struct State {
        arrived_by: u64,
        pc: u64,
        /// `satp` of each process.
        satp: [u64; PROCESSES],
        /// A page-table entry of each, and what it becomes half way.
        entry: u64,
        entries: [u64; 2],
        page: u64,
        calls: [u64; PROCESSES],
        faults: u64,
        checksum: u64,
    }

    /// Runs at its high address alone, with `state` there too.
    extern "C" fn kernel(state: &mut State) {
        let pc: u64;
        // SAFETY: reads the program counter.
        unsafe { core::arch::asm!("auipc {}, 0", out(reg) pc) };
        state.pc = pc & !0xffff;
        for round in 0..200u64 {
            let number = (round % 2) as usize;
            if round == 100 {
                memory::write(OFFSET + state.entry, state.entries[1]);
                fence_address(DATA);
            }
            csr::write!("satp", state.satp[number]);
            csr::write!("sie", round & 1);
            let mut process = Context::user(TEXT).with(11, DATA).with(12, round);
            process.run();
            if process.scause == 8 {
                state.calls[number] += process.x[10];
            } else {
                state.faults += process.scause << (8 * number);
            }
            // The page from both mappings of memory.
            let value: u64 = memory::read(OFFSET + state.page);
            memory::write(IMAGE + state.page + 8, value + round);
            let other: u64 = memory::read(OFFSET + state.page + 8);
            state.checksum = state.checksum.wrapping_mul(31).wrapping_add(value ^ other);
        }
    }

    fn main() {
        let (text, page) = (memory::page(), memory::page());
        // add a0, a0, a2; sd a0, 0(a1); ecall
        write_words(text, &[0x00c5_0533, 0x00a5_b023, 0x0000_0073]);
        let mut entry = 0;
        let satp = core::array::from_fn(|process| {
            let [root, middle, last] = core::array::from_fn(|_| memory::page());
            for gigabyte in 0..256u64 {
                let leaf = gigabyte << 28 | LEAF | R | W | X | G;
                memory::write(root + 8 * (256 + gigabyte), leaf);
            }
            let image = 0x8000_0000u64 >> 2 | LEAF | R | W | X | G;
            memory::write(root + 8 * 510, image);
            memory::write(root, middle >> 2 | V);
            memory::write(middle, last >> 2 | V);
            memory::write(last + 8 * (TEXT >> 12), text >> 2 | LEAF | R | X | U);
            let data = last + 8 * (DATA >> 12);
            if process == 1 {
                entry = data;
            }
            memory::write(data, page >> 2 | LEAF | R | W | U);
            8 << 60 | (process as u64 + 1) << 44 | root >> 12
        });
        let mut state = State {
            arrived_by: 0,
            pc: 0,
            satp,
            entry,
            entries: [0, page >> 2 | LEAF | R | U],
            page,
            calls: [0; PROCESSES],
            faults: 0,
            checksum: 0,
        };
        // SAFETY: the spaces map all of the program at the offset.
        let left_by =
            unsafe { enter_high(satp[0], OFFSET, kernel as *const () as u64, &mut state) };
        context::reset();
        println!(
            "there by cause {}, at {:#x}, back by cause {left_by}",
            state.arrived_by, state.pc
        );
        println!(
            "calls {:?} faults {:#x} memory {:#x}",
            state.calls, state.faults, state.checksum
        );
    }

    guests::program!(main);
}
