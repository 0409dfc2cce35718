//! Makes random privileged programs, running them as they grow.

use isa::address::GuestPhys;
use isa::csr::{self, sstatus};
use isa::encode as e;
use isa::reg::Reg;
use vcpu::{Features, Hart, Mode};

use crate::machine::Machine;
use crate::random::Random;

/// Where firmware jumps to.
pub const BASE: u64 = 0x8020_0000;
/// The trap handler.
pub const HANDLER: u64 = BASE + 16;
/// The page table: an identity mapping of the memory, whatever the number of levels.
pub const ROOT: GuestPhys = GuestPhys(0x8060_0000);
/// Where cache-block operations do no harm.
const BLOCK: u64 = 0x8070_0000;
/// Where things are written down.
pub const LOG: u64 = 0x8080_0000;
/// The first thing written down.
pub const MAGIC: u64 = 0x6765_7353_6d56_5421;

const UART: u32 = 0x1000_0000;
const TEST_DEVICE: u32 = 0x0010_0000;

/// QEMU's `rv64` with vector unit and without H and Sstc, having 16 event counters.
const FEATURES: Features = Features {
    scounteren: 0x7_ffff,
    ..Features::ALL
};

/// The CSRs written down after every step.
const TRACED: [u16; 11] = [
    csr::SSTATUS,
    csr::SIE,
    csr::SIP,
    csr::STVEC,
    csr::SSCRATCH,
    csr::SEPC,
    csr::SCAUSE,
    csr::STVAL,
    csr::SATP,
    csr::SCOUNTEREN,
    csr::SENVCFG,
];

/// Next free doubleword of the log.
pub const CURSOR: Reg = Reg::GP;
/// The handler's, to note how it was entered.
const ENTRY: Reg = Reg::TP;
/// The frame's, for everything else.
const SCRATCH: Reg = Reg::T6;
/// Holds [`BLOCK`].
const BLOCKS: Reg = Reg::S8;
/// Return address of the routine that writes the CSRs down.
const LINK: Reg = Reg::S10;
/// Holds what `stvec` is set to after each step.
const VECTOR: Reg = Reg::S11;

/// A word that is a CSR access in form and illegal in every mode.
const ILLEGAL: u32 = e::csrrw(Reg::X0, csr::CYCLE, Reg::X0);

pub struct Program {
    /// The program, and what running it here has left.
    pub machine: Machine,
    /// What each entry of the log is.
    pub entries: Vec<String>,
    random: Random,
    trace: u64,
}

impl Program {
    /// A program of `steps` random instructions.
    pub fn random(seed: u64, steps: usize) -> Program {
        let hart = Hart::new(&FEATURES, 0, GuestPhys(0), GuestPhys(BASE));
        let mut program = Program {
            machine: Machine::new(hart, FEATURES),
            entries: Vec::new(),
            random: Random(seed),
            trace: 0,
        };
        program.begin();
        for _ in 0..steps {
            program.step();
        }
        program.end();
        program
    }

    fn emit(&mut self, words: &[u32]) {
        self.machine.image.extend(words);
    }

    fn run(&mut self, what: &str) {
        self.machine
            .run()
            .unwrap_or_else(|refused| panic!("{what}: {refused:?}"));
    }

    /// The handler, the routine that writes the CSRs down, and the first state.
    fn begin(&mut self) {
        let handler = handler();
        let trace = trace();
        self.trace = HANDLER + 4 * handler.len() as u64;
        let start = self.trace + 4 * trace.len() as u64;
        self.emit(&[e::jal(Reg::X0, (start - BASE) as i32), 0, 0, 0]);
        self.emit(&handler);
        self.emit(&trace);

        self.set(CURSOR, LOG);
        self.set(SCRATCH, MAGIC);
        self.emit(&[e::sd(SCRATCH, 0, CURSOR), e::addi(CURSOR, CURSOR, 8)]);
        self.entries.push("magic".to_owned());
        // What firmware leaves, `stvec` included, is the first entry.
        self.set(VECTOR, BASE);
        self.set(BLOCKS, BLOCK);
        for reg in operands() {
            self.emit(&[e::addi(reg, Reg::X0, reg.index() as i32)]);
        }
        self.write_down(Reg::X0);
        self.run("the beginning");
        self.name_entries("reset", Reg::X0);
        self.set(VECTOR, HANDLER);
        self.emit(&[e::csrrw(Reg::X0, csr::STVEC, VECTOR)]);

        // One page serves every mode: entry 0 leads to the page itself, until entry 2 is a leaf.
        let leaf = 0x8000_0000u64 >> 12 << 10 | 0xcf;
        let pointer = ROOT.frame_number() << 10 | 1;
        self.set(SCRATCH, ROOT.0);
        for (index, entry) in [(0, pointer), (2, leaf)] {
            self.set(ENTRY, entry);
            self.emit(&[e::sd(ENTRY, 8 * index, SCRATCH)]);
        }
        self.run("the page table");
    }

    /// Loads a constant, which stands in the program.
    fn set(&mut self, reg: Reg, value: u64) {
        self.emit(&[e::auipc(reg, 0), e::ld(reg, 12, reg), e::jal(Reg::X0, 12)]);
        self.emit(&[value as u32, (value >> 32) as u32]);
    }

    /// Calls the routine that writes down `reg` and the CSRs.
    fn write_down(&mut self, reg: Reg) {
        self.emit(&[e::sd(reg, 0, CURSOR)]);
        let offset = self.trace.wrapping_sub(self.machine.end());
        self.emit(&[e::jal(LINK, offset as i32)]);
    }

    /// Names the entries that the last run has added. The last of them are the CSRs; before them
    /// there may be traps.
    fn name_entries(&mut self, what: &str, reg: Reg) {
        let total = ((self.machine.hart.x[CURSOR.index()] - LOG) / 8) as usize;
        let traps = (total - self.entries.len() - TRACED.len() - 1) / TRAP.len();
        for _ in 0..traps {
            self.entries
                .extend(TRAP.map(|name| format!("{what}: {name}")));
        }
        self.entries.push(format!("{what}: {reg}"));
        let names = TRACED.map(|csr| format!("{what}: {}", csr::name(csr).unwrap()));
        self.entries.extend(names);
        assert_eq!(self.entries.len(), total);
    }

    /// Adds one random instruction that the machine does not refuse, and what it needs.
    fn step(&mut self) {
        loop {
            let before = self.machine.snapshot();
            let (what, reg) = self.candidate();
            let mut done = self.machine.run();
            if done.is_ok() && self.machine.hart.mode == Mode::User {
                self.emit(&[e::ecall()]);
                done = self.machine.run();
            }
            if done.is_ok() {
                self.write_down(reg);
                done = self.machine.run();
            }
            match done {
                Ok(()) => return self.name_entries(&what, reg),
                Err(_) => self.machine.restore(before),
            }
        }
    }

    /// Emits a random instruction to try, with what prepares it. Gives its name and the register
    /// in which its result may be.
    fn candidate(&mut self) -> (String, Reg) {
        for _ in 0..2 {
            let (reg, value) = (self.operand(), self.value());
            self.set(reg, value);
        }
        if self.random.below(16) == 0 {
            let mode = self.random.below(2);
            self.set(VECTOR, HANDLER | mode);
            self.emit(&[e::csrrw(Reg::X0, csr::STVEC, VECTOR)]);
        }
        if self.random.below(4) == 0 {
            self.enter_user();
        }
        let (rd, rs1, rs2) = (self.operand(), self.operand(), self.operand());
        let word = match self.random.below(16) {
            0 => {
                self.prepare_return();
                e::sret()
            }
            1 => self
                .random
                .pick(&[e::sret(), e::wfi(), e::ebreak(), e::ecall(), ILLEGAL]),
            2 => {
                let fence = e::sfence_vma(rs1, rs2);
                self.random.pick(&[fence, fence | SINVAL_VMA])
            }
            3 => {
                let operation = self.random.pick(&[0, 1, 2, 4]);
                operation << 20 | (BLOCKS.index() as u32) << 15 | 2 << 12 | 0x0f
            }
            4 => {
                let mode = self.random.pick(&[0, 8, 9, 10, 11]);
                let satp = self.paging(mode);
                self.set(SCRATCH, satp);
                e::csrrw(rd, csr::SATP, SCRATCH)
            }
            5 => {
                let bits = self.random.next() & FEATURES.sstatus & !(sstatus::FS | sstatus::VS);
                self.set(SCRATCH, bits);
                let encode = self.random.pick(&[e::csrrw, e::csrrs, e::csrrc]);
                encode(rd, csr::SSTATUS, SCRATCH)
            }
            6 => self.random.pick(&[
                e::csrrsi(rd, csr::SIP, csr::interrupt::SSI as u8),
                e::csrrsi(rd, csr::SIE, csr::interrupt::SSI as u8),
            ]),
            _ => self.csr_instruction(rd, rs1),
        };
        self.emit(&[word]);
        (format!("{word:#010x} at {:#x}", self.machine.end() - 4), rd)
    }

    fn csr_instruction(&mut self, rd: Reg, rs1: Reg) -> u32 {
        let csr = match self.random.below(8) {
            0 => self.random.below(0x1000) as u16,
            1 => csr::CYCLE + self.random.below(19) as u16,
            _ => self.random.pick(&TRACED),
        };
        // What a counter holds is not known here.
        let rd = if csr >> 8 == 0xc { Reg::X0 } else { rd };
        let imm = self.random.below(32) as u8;
        match self.random.below(6) {
            0 => e::csrrw(rd, csr, rs1),
            1 => e::csrrs(rd, csr, rs1),
            2 => e::csrrc(rd, csr, rs1),
            3 => e::csrrwi(rd, csr, imm),
            4 => e::csrrsi(rd, csr, imm),
            _ => e::csrrci(rd, csr, imm),
        }
    }

    /// Goes on in VU, without paging: user pages there are none.
    fn enter_user(&mut self) {
        let target = self.machine.end() + 4 * 10;
        self.emit(&[e::csrrw(Reg::X0, csr::SATP, Reg::X0)]);
        self.set(SCRATCH, target);
        self.emit(&[
            e::csrrw(Reg::X0, csr::SEPC, SCRATCH),
            e::addi(SCRATCH, Reg::X0, sstatus::SPP as i32),
            e::csrrc(Reg::X0, csr::SSTATUS, SCRATCH),
            e::sret(),
        ]);
        assert_eq!(self.machine.end(), target);
    }

    /// Makes an `sret` go on behind itself, in either mode.
    fn prepare_return(&mut self) {
        let target = self.machine.end() + 4 * 10;
        self.set(SCRATCH, target);
        self.emit(&[e::csrrw(Reg::X0, csr::SEPC, SCRATCH)]);
        self.emit(&[e::addi(SCRATCH, Reg::X0, sstatus::SPP as i32)]);
        let word = self.random.pick(&[
            e::csrrs(Reg::X0, csr::SSTATUS, SCRATCH),
            e::csrrc(Reg::X0, csr::SSTATUS, SCRATCH),
        ]);
        self.emit(&[word, e::addi(Reg::X0, Reg::X0, 0)]);
        assert_eq!(self.machine.end() + 4, target);
    }

    fn operand(&mut self) -> Reg {
        let all: Vec<Reg> = operands().collect();
        if self.random.below(8) == 0 {
            Reg::X0
        } else {
            self.random.pick(&all)
        }
    }

    /// A value of `satp` with the page table and any ASID.
    fn paging(&mut self, mode: u64) -> u64 {
        mode << 60 | self.random.below(1 << 16) << 44 | ROOT.frame_number()
    }

    /// A value that some CSR might make something of.
    fn value(&mut self) -> u64 {
        let any = self.random.next();
        let bit = 1 << (any & 63);
        let units = self
            .random
            .pick(&[0, sstatus::FS, sstatus::VS, sstatus::FS | sstatus::VS]);
        match self.random.below(8) {
            0 => any,
            1 => bit,
            2 => !bit,
            3 => any & 0xffff,
            4 => any & 0x222,
            5 => {
                let mode = self.random.below(16);
                self.paging(mode)
            }
            6 => HANDLER | any & 3,
            _ => any & !(sstatus::FS | sstatus::VS | sstatus::UXL) | units,
        }
    }

    /// Writes the log to the serial port and switches the machine off.
    fn end(&mut self) {
        let (next, byte, ready) = (Reg::T0, Reg::T1, Reg::T2);
        self.emit(&[
            e::csrrw(Reg::X0, csr::SIE, Reg::X0),
            e::csrrw(Reg::X0, csr::SATP, Reg::X0),
        ]);
        self.set(next, LOG);
        self.emit(&[
            e::lui(SCRATCH, UART >> 12),
            e::beq(next, CURSOR, 4 * 8),
            e::lbu(ready, 5, SCRATCH),
            e::andi(ready, ready, 0x20),
            e::beq(ready, Reg::X0, -4 * 2),
            e::lbu(byte, 0, next),
            e::sb(byte, 0, SCRATCH),
            e::addi(next, next, 1),
            e::jal(Reg::X0, -4 * 7),
            e::lui(SCRATCH, TEST_DEVICE >> 12),
            e::lui(byte, 0x5),
            e::addi(byte, byte, 0x555),
            e::sw(byte, 0, SCRATCH),
            e::jal(Reg::X0, 0),
        ]);
    }
}

/// What makes an `sfence.vma` an `sinval.vma`.
const SINVAL_VMA: u32 = 2 << 25;

/// What the handler writes down.
pub const TRAP: [&str; 5] = [
    "trap by vector",
    "trap's scause",
    "trap's sepc",
    "trap's stval",
    "trap's sstatus",
];

/// The registers that test instructions use.
fn operands() -> impl Iterator<Item = Reg> {
    let own = [Reg::X0, CURSOR, ENTRY, SCRATCH, BLOCKS, LINK, VECTOR];
    Reg::all().filter(move |reg| !own.contains(reg))
}

/// Writes down the trap. After an exception it goes on behind it in VS; after an interrupt,
/// which it takes back, where it was.
fn handler() -> Vec<u32> {
    let csrs = [csr::SCAUSE, csr::SEPC, csr::STVAL, csr::SSTATUS];
    let mut words = vec![
        // Exceptions and direct interrupts, then software interrupts when vectored.
        e::jal(Reg::X0, 4 * 4),
        e::jal(Reg::X0, 4),
        e::addi(ENTRY, Reg::X0, 1),
        e::jal(Reg::X0, 4 * 2),
        e::addi(ENTRY, Reg::X0, 0),
        e::sd(ENTRY, 0, CURSOR),
    ];
    for (number, csr) in (1..).zip(csrs) {
        words.extend([
            e::csrrs(SCRATCH, csr, Reg::X0),
            e::sd(SCRATCH, 8 * number, CURSOR),
        ]);
    }
    words.extend([
        e::addi(CURSOR, CURSOR, 8 * TRAP.len() as i32),
        e::csrrs(SCRATCH, csr::SCAUSE, Reg::X0),
        e::blt(SCRATCH, Reg::X0, 4 * 7),
        e::csrrs(SCRATCH, csr::SEPC, Reg::X0),
        e::addi(SCRATCH, SCRATCH, 4),
        e::csrrw(Reg::X0, csr::SEPC, SCRATCH),
        e::addi(SCRATCH, Reg::X0, sstatus::SPP as i32),
        e::csrrs(Reg::X0, csr::SSTATUS, SCRATCH),
        e::sret(),
        e::csrrci(Reg::X0, csr::SIP, csr::interrupt::SSI as u8),
        e::sret(),
    ]);
    words
}

/// Writes down the CSRs behind a register that has been stored there, and makes `stvec` good.
fn trace() -> Vec<u32> {
    let mut words = Vec::new();
    for (number, csr) in (1..).zip(TRACED) {
        words.extend([
            e::csrrs(SCRATCH, csr, Reg::X0),
            e::sd(SCRATCH, 8 * number, CURSOR),
        ]);
    }
    words.extend([
        e::addi(CURSOR, CURSOR, 8 * (1 + TRACED.len() as i32)),
        e::csrrw(Reg::X0, csr::STVEC, VECTOR),
        e::jalr(Reg::X0, 0, LINK),
    ]);
    words
}
