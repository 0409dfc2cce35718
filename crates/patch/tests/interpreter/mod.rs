//! A small RV64I interpreter, with Zicsr and the few supervisor CSRs that routines may touch.
//!
//! It decodes by hand, from the tables of volume I ("RV32/64G Instruction Set Listings"), and shares
//! nothing with the encoder that wrote the words: an error there must not hide itself here. What a
//! routine has no business to do is a [`Fault`].

mod known;

/// The hardware's CSRs, in the state that a routine finds or leaves them in.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Csrs {
    pub sstatus: u64,
    pub stvec: u64,
    pub scounteren: u64,
    pub senvcfg: u64,
    pub sscratch: u64,
    pub sepc: u64,
    pub scause: u64,
    pub satp: u64,
    pub cycle: u64,
    pub time: u64,
    pub instret: u64,
}

/// Which bits the hardware lets software write.
#[derive(Clone, Copy, Debug)]
pub struct Writable {
    pub sstatus: u64,
    pub scounteren: u64,
    pub senvcfg: u64,
}

/// Memory that a routine can reach.
#[derive(Clone, Debug)]
pub struct Region {
    pub base: u64,
    pub words: Vec<u64>,
    pub writable: bool,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stop {
    /// By `sret`, to U-mode.
    Sret,
    /// By a jump to this address outside the routine.
    Jump(u64),
}

/// Something that no routine may do, with the index of the instruction that did it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// Ran off the end, or branched outside.
    Fetch { at: i64 },
    /// Not an instruction that is known here.
    Unknown { at: i64, word: u32 },
    /// A load or store outside the regions, misaligned, or a store to one that is read-only.
    Access { at: i64, address: u64 },
    /// A CSR that is not known here or cannot be written.
    Csr { at: i64, csr: u32 },
    /// A value that the specification reserves was written to the hardware's `senvcfg`.
    Reserved { at: i64, value: u64 },
    /// `sret` with SPP set: it would give the guest the supervisor's privilege.
    ReturnsToSupervisor { at: i64 },
    /// Too many instructions.
    Endless,
}

/// One hart, in S-mode.
#[derive(Clone, Debug)]
pub struct Machine {
    pub x: [u64; 32],
    pub csrs: Csrs,
    pub writable: Writable,
    pub regions: [Region; 2],
    /// Instructions executed.
    pub executed: u64,
    /// Times `satp` was written.
    pub switches: u64,
    /// Whether a full `sfence.vma` came after the last write of `satp`.
    pub fenced: bool,
    /// Full `sfence.vma`s.
    pub fences: u64,
}

const SPP: u64 = 1 << 8;
const SSTATUS_SD: u64 = 1 << 63;
const LONGEST_RUN: u64 = 1000;

fn bits(word: u32, low: u32, count: u32) -> u32 {
    word >> low & ((1 << count) - 1)
}

/// Sign-extends the low `count` bits.
fn signed(value: u32, count: u32) -> u64 {
    let unused = 32 - count;
    ((value << unused) as i32 >> unused) as i64 as u64
}

fn immediate_i(word: u32) -> u64 {
    signed(bits(word, 20, 12), 12)
}

fn immediate_s(word: u32) -> u64 {
    signed(bits(word, 25, 7) << 5 | bits(word, 7, 5), 12)
}

fn immediate_b(word: u32) -> u64 {
    let high = bits(word, 31, 1) << 12 | bits(word, 7, 1) << 11;
    signed(high | bits(word, 25, 6) << 5 | bits(word, 8, 4) << 1, 13)
}

fn immediate_u(word: u32) -> u64 {
    (word & 0xffff_f000) as i32 as i64 as u64
}

fn immediate_j(word: u32) -> u64 {
    let high = bits(word, 31, 1) << 20 | bits(word, 12, 8) << 12;
    signed(high | bits(word, 20, 1) << 11 | bits(word, 21, 10) << 1, 21)
}

/// The operations that OP and OP-IMM share; `alternative` is bit 30.
fn arithmetic(funct3: u32, alternative: bool, left: u64, right: u64) -> u64 {
    let amount = (right & 63) as u32;
    match funct3 {
        0 if alternative => left.wrapping_sub(right),
        0 => left.wrapping_add(right),
        1 => left << amount,
        2 => u64::from((left as i64) < (right as i64)),
        3 => u64::from(left < right),
        4 => left ^ right,
        5 if alternative => ((left as i64) >> amount) as u64,
        5 => left >> amount,
        6 => left | right,
        _ => left & right,
    }
}

fn branches(funct3: u32, left: u64, right: u64) -> Option<bool> {
    Some(match funct3 {
        0 => left == right,
        1 => left != right,
        4 => (left as i64) < (right as i64),
        5 => (left as i64) >= (right as i64),
        6 => left < right,
        7 => left >= right,
        _ => return None,
    })
}

enum Next {
    Step,
    Branch(u64),
    Stop(Stop),
}

impl Machine {
    /// Runs `code` from its first word, as if it lay at `base`.
    pub fn run(&mut self, code: &[u32], base: u64) -> Result<Stop, Fault> {
        let mut offset = 0u64;
        while self.executed < LONGEST_RUN {
            let at = offset as i64 / 4;
            let word = match code.get((offset / 4) as usize) {
                Some(&word) if offset.is_multiple_of(4) => word,
                _ => return Err(Fault::Fetch { at }),
            };
            self.executed += 1;
            match self.step(word, at, base.wrapping_add(offset))? {
                Next::Step => offset = offset.wrapping_add(4),
                Next::Branch(distance) => offset = offset.wrapping_add(distance),
                Next::Stop(stop) => return Ok(stop),
            }
        }
        Err(Fault::Endless)
    }

    fn set(&mut self, register: u32, value: u64) {
        if register != 0 {
            self.x[register as usize] = value;
        }
    }

    fn step(&mut self, word: u32, at: i64, pc: u64) -> Result<Next, Fault> {
        let unknown = Fault::Unknown { at, word };
        let (rd, funct3, funct7) = (bits(word, 7, 5), bits(word, 12, 3), bits(word, 25, 7));
        let rs1 = self.x[bits(word, 15, 5) as usize];
        let rs2 = self.x[bits(word, 20, 5) as usize];
        match bits(word, 0, 7) {
            0x37 => self.set(rd, immediate_u(word)),
            0x17 => self.set(rd, pc.wrapping_add(immediate_u(word))),
            0x13 => {
                // A shift's amount has 6 bits; of the other 6, bit 30 alone may be set.
                let (alternative, right) = match (funct3, funct7 >> 1) {
                    (1, 0) | (5, 0) => (false, u64::from(bits(word, 20, 6))),
                    (5, 0x10) => (true, u64::from(bits(word, 20, 6))),
                    (1 | 5, _) => return Err(unknown),
                    _ => (false, immediate_i(word)),
                };
                self.set(rd, arithmetic(funct3, alternative, rs1, right));
            }
            0x33 => match (funct7, funct3) {
                (0, _) => self.set(rd, arithmetic(funct3, false, rs1, rs2)),
                (0x20, 0 | 5) => self.set(rd, arithmetic(funct3, true, rs1, rs2)),
                _ => return Err(unknown),
            },
            0x63 => {
                if branches(funct3, rs1, rs2).ok_or(unknown)? {
                    return Ok(Next::Branch(immediate_b(word)));
                }
            }
            0x6f => {
                self.set(rd, pc.wrapping_add(4));
                return Ok(Next::Branch(immediate_j(word)));
            }
            0x67 if funct3 == 0 => {
                self.set(rd, pc.wrapping_add(4));
                let target = rs1.wrapping_add(immediate_i(word)) & !1;
                return Ok(Next::Stop(Stop::Jump(target)));
            }
            0x03 => {
                let value = self.load(at, rs1.wrapping_add(immediate_i(word)), funct3)?;
                self.set(rd, value.ok_or(unknown)?);
            }
            0x23 if funct3 < 4 => {
                self.store(at, rs1.wrapping_add(immediate_s(word)), funct3, rs2)?;
            }
            0x73 if funct3 == 0 => return self.privileged(word, at),
            0x73 if funct3 != 4 => self.csr(word, at, rs1)?,
            _ => return Err(unknown),
        }
        Ok(Next::Step)
    }

    fn privileged(&mut self, word: u32, at: i64) -> Result<Next, Fault> {
        match word {
            0x1020_0073 if self.csrs.sstatus & SPP != 0 => Err(Fault::ReturnsToSupervisor { at }),
            0x1020_0073 => Ok(Next::Stop(Stop::Sret)),
            0x1200_0073 => {
                self.fenced = true;
                self.fences += 1;
                Ok(Next::Step)
            }
            _ => Err(Fault::Unknown { at, word }),
        }
    }

    /// The word of memory that an access of `1 << size` bytes lies in, and the bit it begins at.
    fn locate(&mut self, address: u64, size: u32) -> Option<(&mut Region, usize, u32)> {
        if !address.is_multiple_of(1 << size) {
            return None;
        }
        let region = self.regions.iter_mut().find(|region| {
            (region.base..region.base + 8 * region.words.len() as u64).contains(&address)
        })?;
        let offset = address - region.base;
        Some((region, (offset / 8) as usize, (offset % 8) as u32 * 8))
    }

    /// `None` when there is no such load.
    fn load(&mut self, at: i64, address: u64, funct3: u32) -> Result<Option<u64>, Fault> {
        let fault = Fault::Access { at, address };
        let (region, index, shift) = self.locate(address, funct3 & 3).ok_or(fault)?;
        let value = region.words[index] >> shift;
        Ok(match funct3 {
            0 => Some(value as i8 as i64 as u64),
            1 => Some(value as i16 as i64 as u64),
            2 => Some(value as i32 as i64 as u64),
            3 => Some(value),
            4 => Some(u64::from(value as u8)),
            5 => Some(u64::from(value as u16)),
            6 => Some(u64::from(value as u32)),
            _ => None,
        })
    }

    fn store(&mut self, at: i64, address: u64, size: u32, value: u64) -> Result<(), Fault> {
        let fault = Fault::Access { at, address };
        let (region, index, shift) = self.locate(address, size).ok_or(fault)?;
        if !region.writable {
            return Err(fault);
        }
        let mask = u64::MAX >> (64 - (8 << size)) << shift;
        let word = &mut region.words[index];
        *word = *word & !mask | value << shift & mask;
        Ok(())
    }

    /// Volume I, "Zicsr": `csrrw` to `x0` does not read, `csrrs` and `csrrc` of `x0` or of an
    /// immediate 0 do not write.
    fn csr(&mut self, word: u32, at: i64, rs1: u64) -> Result<(), Fault> {
        let (rd, funct3, csr) = (bits(word, 7, 5), bits(word, 12, 3), bits(word, 20, 12));
        let operand = bits(word, 15, 5);
        let source = if funct3 & 4 != 0 {
            u64::from(operand)
        } else {
            rs1
        };
        let old = *self.csr_slot(csr).ok_or(Fault::Csr { at, csr })?;
        let new = match funct3 & 3 {
            1 => Some(source),
            2 => (operand != 0).then_some(old | source),
            _ => (operand != 0).then_some(old & !source),
        };
        if let Some(new) = new {
            self.write_csr(csr, at, old, new)?;
        }
        self.set(rd, old);
        Ok(())
    }

    fn csr_slot(&mut self, csr: u32) -> Option<&mut u64> {
        let csrs = &mut self.csrs;
        Some(match csr {
            0x100 => &mut csrs.sstatus,
            0x105 => &mut csrs.stvec,
            0x106 => &mut csrs.scounteren,
            0x10a => &mut csrs.senvcfg,
            0x140 => &mut csrs.sscratch,
            0x141 => &mut csrs.sepc,
            0x142 => &mut csrs.scause,
            0x180 => &mut csrs.satp,
            0xc00 => &mut csrs.cycle,
            0xc01 => &mut csrs.time,
            0xc02 => &mut csrs.instret,
            _ => return None,
        })
    }

    fn write_csr(&mut self, csr: u32, at: i64, old: u64, new: u64) -> Result<(), Fault> {
        let legal = match csr {
            0x100 => with_sd(old & !self.writable.sstatus | new & self.writable.sstatus),
            0x106 => new & self.writable.scounteren,
            0x10a if new & 0x30 == 0x20 => return Err(Fault::Reserved { at, value: new }),
            0x10a => new & self.writable.senvcfg,
            0x141 => new & !1,
            0x180 => {
                self.switches += 1;
                self.fenced = false;
                new
            }
            0xc00..=0xc1f => return Err(Fault::Csr { at, csr }),
            _ => new,
        };
        *self.csr_slot(csr).ok_or(Fault::Csr { at, csr })? = legal;
        Ok(())
    }
}

/// `sstatus` with SD as hardware shows it: set when FS, VS or XS is Dirty.
pub fn with_sd(sstatus: u64) -> u64 {
    let dirty = [9, 13, 15].iter().any(|low| sstatus >> low & 3 == 3);
    if dirty {
        sstatus | SSTATUS_SD
    } else {
        sstatus & !SSTATUS_SD
    }
}
