//! A machine around the reference emulator, which runs the test programs: memory, and the few
//! unprivileged instructions that they use.

use std::collections::BTreeMap;

use isa::csr::{self, Exception, senvcfg, sstatus};
use isa::decode::{CsrAccess, CsrOp, Instruction, MemoryAccess, Source, decode};
use isa::satp::Satp;
use vcpu::{Cause, Counters, Effect, Features, Hart, Mode, Trap};

use crate::program::{BASE, CURSOR, HANDLER, ROOT};

/// What the machine does not do: either the program would go astray, or the specification leaves
/// the outcome open and QEMU is known to choose another than ours.
#[derive(Debug)]
pub enum Refused {
    /// A jump out of the program.
    Astray,
    /// A trap while `stvec` does not point to the handler.
    NoHandler,
    /// Translation by a table that is not there.
    NoTable,
    /// Ours knows FS and VS Off and Dirty only.
    UnitState,
    /// QEMU lets `sstatus.UXL` be changed, and then has a 32-bit or reserved U-mode.
    UserWidth,
    /// `senvcfg.CBIE` = 2 is reserved; QEMU keeps it.
    ReservedCbie,
    /// Firmware hands an illegal instruction on to `stvec`, MODE bits and all, and relies on the
    /// hardware to clear bit 0 of `mepc`, which QEMU does not.
    VectoredIllegal,
    /// "The low bit of sepc is always zero"; QEMU keeps it, to its own harm.
    OddSepc,
    /// QEMU executes these, when the unit is on.
    UnitCsr,
    /// Reading a counter gives a value that cannot be known.
    CounterValue,
    /// Firmware emulates `time` in U-mode though `scounteren` forbids it, and `htimedelta` in
    /// S-mode though there is no H.
    FirmwareEmulation,
    /// QEMU has 16 event counters; the others are illegal, by the firmware's `mcounteren`.
    MissingCounter,
    /// A wait for what does not come.
    Sleep,
    /// A call to the firmware.
    Firmware,
}

/// No part of a program takes more instructions.
const LONGEST: usize = 1000;

struct Unknown;

impl Counters for Unknown {
    fn cycle(&self) -> u64 {
        0
    }

    fn time(&self) -> u64 {
        0
    }

    fn instret(&self) -> u64 {
        0
    }
}

/// What [`Machine::restore`] needs to undo a part of a program.
pub struct Snapshot {
    hart: Hart,
    length: usize,
}

pub struct Machine {
    pub hart: Hart,
    pub features: Features,
    pub image: Vec<u32>,
    memory: BTreeMap<u64, u64>,
}

impl Machine {
    pub fn new(hart: Hart, features: Features) -> Machine {
        Machine {
            hart,
            features,
            image: Vec::new(),
            memory: BTreeMap::new(),
        }
    }

    /// The address behind the last instruction.
    pub fn end(&self) -> u64 {
        BASE + 4 * self.image.len() as u64
    }

    /// All doublewords that were stored from `start` on, without a gap.
    pub fn log(&self, start: u64) -> Vec<u64> {
        (start..)
            .step_by(8)
            .map_while(|address| self.memory.get(&address).copied())
            .collect()
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            hart: self.hart.clone(),
            length: self.image.len(),
        }
    }

    /// Takes back what has been emitted, executed and written down since.
    pub fn restore(&mut self, snapshot: Snapshot) {
        self.hart = snapshot.hart;
        self.image.truncate(snapshot.length);
        self.memory.split_off(&self.hart.x[CURSOR.index()]);
    }

    /// Runs to the end of what there is of the program.
    ///
    /// # Panics
    /// When it does not get there, which is no program's fault.
    pub fn run(&mut self) -> Result<(), Refused> {
        for _ in 0..LONGEST {
            if let Some(interrupt) = self.hart.pending_interrupt() {
                self.trap(Trap::interrupt(interrupt))?;
            } else if self.hart.pc == self.end() {
                return Ok(());
            } else {
                self.step()?;
            }
        }
        panic!("stuck at {:#x}: {:#x?}", self.hart.pc, self.hart)
    }

    fn trap(&mut self, trap: Trap) -> Result<(), Refused> {
        if self.hart.stvec & !1 != HANDLER {
            return Err(Refused::NoHandler);
        }
        let is_illegal = trap.cause == Cause::Exception(Exception::IllegalInstruction);
        if is_illegal && self.hart.stvec != HANDLER {
            return Err(Refused::VectoredIllegal);
        }
        self.hart.take_trap(trap);
        Ok(())
    }

    fn step(&mut self) -> Result<(), Refused> {
        let offset = self.hart.pc.wrapping_sub(BASE);
        let word = *self
            .image
            .get((offset / 4) as usize)
            .ok_or(Refused::Astray)?;
        match decode(word) {
            _ if !offset.is_multiple_of(4) => Err(Refused::Astray),
            Some(Instruction::Load(access)) => self.load(&access),
            Some(Instruction::Store(access)) => self.store(&access),
            Some(instruction) => self.privileged(&instruction, word),
            None => self.unprivileged(word),
        }
    }

    fn privileged(&mut self, instruction: &Instruction, word: u32) -> Result<(), Refused> {
        if let Instruction::Csr(access) = instruction {
            self.check_access(access)?;
        }
        if *instruction == Instruction::Ecall && self.hart.mode == Mode::Supervisor {
            return Err(Refused::Firmware);
        }
        let pc = self.hart.pc;
        match self
            .hart
            .execute(&self.features, &Unknown, instruction, word)
        {
            Err(trap) => self.trap(trap)?,
            Ok(Effect::Wfi) if !self.hart.ends_wait() => return Err(Refused::Sleep),
            // The handler is in front of everything, so that it never goes back.
            Ok(_) if self.hart.pc <= pc => return Err(Refused::Astray),
            Ok(_) => {}
        }
        let satp = Satp(self.hart.satp);
        if satp.mode() != 0 && (satp.root() != ROOT || self.hart.mode == Mode::User) {
            return Err(Refused::NoTable);
        }
        Ok(())
    }

    fn check_access(&self, access: &CsrAccess) -> Result<(), Refused> {
        let on = |unit| self.hart.sstatus & unit != 0;
        match access.csr {
            csr::SSTATUS => {
                let written = self.written(access, self.hart.sstatus);
                let is_off_or_dirty = |unit| [0, unit].contains(&(written & unit));
                if ![0, sstatus::UXL_64].contains(&(written & sstatus::UXL)) {
                    return Err(Refused::UserWidth);
                }
                let known = is_off_or_dirty(sstatus::FS) && is_off_or_dirty(sstatus::VS);
                if known {
                    Ok(())
                } else {
                    Err(Refused::UnitState)
                }
            }
            csr::SENVCFG => {
                let written = self.written(access, self.hart.senvcfg);
                let reserved = written & senvcfg::CBIE == 2 << 4;
                if reserved {
                    Err(Refused::ReservedCbie)
                } else {
                    Ok(())
                }
            }
            csr::SEPC if self.written(access, self.hart.sepc) & 1 != 0 => Err(Refused::OddSepc),
            csr::FFLAGS | csr::FRM | csr::FCSR if on(sstatus::FS) => Err(Refused::UnitCsr),
            csr::VSTART | csr::VXSAT | csr::VXRM | csr::VCSR if on(sstatus::VS) => {
                Err(Refused::UnitCsr)
            }
            csr::VL | csr::VTYPE | csr::VLENB if on(sstatus::VS) => Err(Refused::UnitCsr),
            csr::TIME if self.hart.mode == Mode::User && self.hart.scounteren & 2 == 0 => {
                Err(Refused::FirmwareEmulation)
            }
            csr::HTIMEDELTA => Err(Refused::FirmwareEmulation),
            0xc13..=0xc1f => Err(Refused::MissingCounter),
            0xc00..=0xc12 if access.rd.index() != 0 => Err(Refused::CounterValue),
            _ => Ok(()),
        }
    }

    /// What an access would write if it is legal.
    fn written(&self, access: &CsrAccess, old: u64) -> u64 {
        let source = match access.source {
            Source::Register(register) => self.hart.x[register.index()],
            Source::Immediate(immediate) => immediate.into(),
        };
        match access.op {
            CsrOp::Write => source,
            CsrOp::Set => old | source,
            CsrOp::Clear => old & !source,
        }
    }

    fn address(&self, access: &MemoryAccess) -> u64 {
        assert_eq!(access.width, 8, "programs access doublewords only");
        self.hart.x[access.base.index()].wrapping_add_signed(access.offset)
    }

    fn load(&mut self, access: &MemoryAccess) -> Result<(), Refused> {
        let first = (self.address(access).wrapping_sub(BASE) / 4) as usize;
        let words = self.image.get(first..first + 2).ok_or(Refused::Astray)?;
        let value = u64::from(words[0]) | u64::from(words[1]) << 32;
        self.hart.set_register(access.register, value);
        self.hart.pc += 4;
        Ok(())
    }

    fn store(&mut self, access: &MemoryAccess) -> Result<(), Refused> {
        let value = self.hart.x[access.register.index()];
        self.memory.insert(self.address(access), value);
        self.hart.pc += 4;
        Ok(())
    }

    /// The unprivileged instructions of `program`: `addi`, `auipc`, `lui`, `jal`, `jalr`, `blt`.
    fn unprivileged(&mut self, word: u32) -> Result<(), Refused> {
        let register = |at: u32| isa::reg::Reg::new(word >> at);
        let rd = register(7);
        let rs1 = self.hart.x[register(15).index()];
        let rs2 = self.hart.x[register(20).index()];
        let immediate = i64::from(word as i32 >> 20);
        let upper = i64::from((word & 0xffff_f000) as i32);
        let pc = self.hart.pc;
        let mut next = pc + 4;
        match (word & 0x7f, word >> 12 & 7) {
            (0x13, 0) => self
                .hart
                .set_register(rd, rs1.wrapping_add_signed(immediate)),
            (0x17, _) => self.hart.set_register(rd, pc.wrapping_add_signed(upper)),
            (0x37, _) => self.hart.set_register(rd, upper as u64),
            (0x67, 0) => {
                self.hart.set_register(rd, next);
                next = rs1.wrapping_add_signed(immediate) & !1;
            }
            (0x6f, _) => {
                self.hart.set_register(rd, next);
                let offset = upper >> 31 << 20
                    | i64::from(word & 0xf_f000)
                    | i64::from(word >> 20 & 1) << 11
                    | i64::from(word >> 21 & 0x3ff) << 1;
                next = pc.wrapping_add_signed(offset);
            }
            (0x63, 4) => {
                let offset = upper >> 31 << 12
                    | i64::from(word >> 7 & 1) << 11
                    | i64::from(word >> 25 & 0x3f) << 5
                    | i64::from(word >> 8 & 0xf) << 1;
                if (rs1 as i64) < rs2 as i64 {
                    next = pc.wrapping_add_signed(offset);
                }
            }
            _ => panic!("{word:#010x} at {pc:#x} is not an instruction of the programs"),
        }
        self.hart.pc = next;
        Ok(())
    }
}
