//! Drives the host's interrupt controller, whichever it is, for one hart's S-mode. What touches hardware
//! is its user's: [`Registers`] and [`InterruptFile`].
//!
//! Sources: RISC-V Platform-Level Interrupt Controller Specification 1.0; RISC-V Advanced Interrupt
//! Architecture 1.0 ("AIA" below), chapters 3 (IMSIC) and 4 (APLIC).

use crate::host_tree::{ControllerKind, HostController, HostInterrupt, Trigger};
use alloc::vec::Vec;
use core::fmt;

/// The controller's registers, of 32 bits each, in the hart's byte order.
pub trait Registers {
    /// Reads the one at a byte offset.
    fn read(&self, offset: u64) -> u32;
    /// Writes it.
    fn write(&self, offset: u64, value: u32);
}

/// The supervisor-level interrupt file of the hart that calls (AIA, chapter 3).
pub trait InterruptFile {
    /// Delivers the identities from 1 to `highest`, at most 62, from now on, and no others; forgets what was
    /// pending of them. False when the hart has no such file, or S-mode may not use it.
    fn open(&self, highest: u32) -> bool;
    /// Claims the most urgent interrupt: the value of `stopei`, read and written at once.
    fn claim(&self) -> u32;
}

/// The most sources that can be enabled where each takes an identity of an interrupt file: the smallest file
/// has 63 of them, and the threshold, which is to be above those in use, is one.
const MOST_IDENTITIES: u32 = 62;

/// Of a PLIC: the offsets of its parts, and the bytes from one context's to the next one's.
mod plic {
    pub const ENABLE: u64 = 0x2000;
    pub const ENABLE_STRIDE: u64 = 0x80;
    pub const CONTEXT: u64 = 0x20_0000;
    pub const CONTEXT_STRIDE: u64 = 0x1000;
    pub const CLAIM: u64 = 4;
}

/// Of a domain of an APLIC (AIA, section 4.5).
mod domain {
    pub const CONFIGURATION: u64 = 0;
    /// Interrupts are delivered.
    pub const IE: u32 = 1 << 8;
    /// They are delivered as messages.
    pub const DM: u32 = 1 << 2;
    /// Registers are big-endian.
    pub const BE: u32 = 1;
    /// Reads as 1 if the byte order is right.
    pub const IN_ORDER: u32 = 1 << 31;
    pub const SOURCE: u64 = 0;
    pub const SET_PENDING: u64 = 0x1cdc;
    pub const SET_ENABLE: u64 = 0x1edc;
    pub const CLEAR_ENABLES: u64 = 0x1f00;
    pub const TARGET: u64 = 0x3000;
    pub const INDEX_SHIFT: u32 = 18;
    /// Interrupt delivery controls, one for each hart index.
    pub const DELIVERY: u64 = 0x4000;
    pub const DELIVERY_STRIDE: u64 = 0x20;
    pub const FORCE: u64 = 4;
    pub const THRESHOLD: u64 = 8;
    pub const CLAIM: u64 = 0x1c;
}

/// Why a controller cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// It does not interrupt this hart.
    NotOf {
        /// The hart.
        hart: u64,
    },
    /// The domain does not take the delivery mode that the tree says, or is big-endian.
    Mode {
        /// What was written to `domaincfg`.
        written: u32,
        /// What it reads as.
        read: u32,
    },
    /// The domain has no interrupt delivery control for the hart.
    NoDelivery {
        /// The hart's index in the domain.
        index: u32,
    },
    /// The hart has no supervisor-level interrupt file, or firmware does not let S-mode use it.
    NoFile,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOf { hart } => write!(f, "it does not interrupt hart {hart}"),
            Self::Mode { written, read } => write!(
                f,
                "its domaincfg reads {read:#x} after {written:#x} was written"
            ),
            Self::NoDelivery { index } => {
                write!(f, "it does not deliver to the hart with index {index}")
            }
            Self::NoFile => write!(f, "S-mode cannot use the hart's IMSIC"),
        }
    }
}

impl core::error::Error for Refusal {}

/// How interrupts arrive.
#[derive(Clone, Debug)]
enum Way {
    Plic {
        context: u64,
    },
    Wire {
        index: u32,
    },
    Message {
        index: u32,
        /// In the order of their identities, which begin with 1.
        enabled: Vec<HostInterrupt>,
    },
}

/// The controller, for one hart.
#[derive(Clone, Debug)]
pub struct Controller<R, F> {
    registers: R,
    file: F,
    sources: u32,
    way: Way,
}

impl<R: Registers, F: InterruptFile> Controller<R, F> {
    /// Takes the controller with no source enabled for the hart with id `hart`, which is the caller: `file`
    /// is its own.
    ///
    /// # Errors
    /// Says why it cannot be used.
    pub fn new(
        described: &HostController,
        hart: u64,
        registers: R,
        file: F,
    ) -> Result<Self, Refusal> {
        let index = described.index(hart).ok_or(Refusal::NotOf { hart })?;
        let words = u64::from(described.sources) / 32 + 1;
        let way = match described.kind {
            ControllerKind::Plic => {
                let context = u64::from(index);
                for word in 0..words {
                    registers.write(plic_enable(context, word), 0);
                }
                registers.write(plic::CONTEXT + context * plic::CONTEXT_STRIDE, 0);
                Way::Plic { context }
            }
            ControllerKind::Aplic => {
                stop(&registers, words, 0)?;
                let delivery = delivery(index);
                registers.write(delivery + domain::FORCE, 0);
                registers.write(delivery + domain::THRESHOLD, 0);
                registers.write(delivery, 1);
                if registers.read(delivery) != 1 {
                    return Err(Refusal::NoDelivery { index });
                }
                registers.write(domain::CONFIGURATION, domain::IE);
                Way::Wire { index }
            }
            ControllerKind::AplicMsi { .. } => {
                stop(&registers, words, domain::DM)?;
                if !file.open(MOST_IDENTITIES) {
                    return Err(Refusal::NoFile);
                }
                registers.write(domain::CONFIGURATION, domain::IE | domain::DM);
                let enabled = Vec::new();
                Way::Message { index, enabled }
            }
        };
        Ok(Self {
            registers,
            file,
            sources: described.sources,
            way,
        })
    }

    /// Has a source interrupt the hart from now on; false when it cannot.
    pub fn enable(&mut self, interrupt: HostInterrupt) -> bool {
        let source = interrupt.source;
        if !(1..=self.sources).contains(&source) {
            return false;
        }
        let registers = &self.registers;
        match &mut self.way {
            Way::Plic { context } => {
                let word = plic_enable(*context, u64::from(source) / 32);
                let bit = 1 << (source % 32);
                registers.write(u64::from(source) * 4, 1);
                registers.write(word, registers.read(word) | bit);
                registers.read(word) & bit != 0
            }
            Way::Wire { index } => {
                // The priority of all is 1, the highest.
                start(registers, interrupt, *index << domain::INDEX_SHIFT | 1)
            }
            Way::Message { index, enabled } => {
                if enabled.iter().any(|known| known.source == source) {
                    return true;
                }
                let identity = enabled.len() as u32 + 1;
                // Before it can arrive.
                enabled.push(interrupt);
                let target = *index << domain::INDEX_SHIFT | identity;
                let is_enabled = identity <= MOST_IDENTITIES && start(registers, interrupt, target);
                if !is_enabled {
                    enabled.pop();
                }
                is_enabled
            }
        }
    }

    /// A source that interrupts, which is then served until [`complete`](Self::complete). To be called on
    /// the hart.
    pub fn claim(&self) -> Option<u32> {
        let source = match &self.way {
            Way::Plic { context } => self.registers.read(plic_claim(*context)),
            Way::Wire { index } => self.registers.read(delivery(*index) + domain::CLAIM) >> 16,
            Way::Message { enabled, .. } => {
                let identity = self.file.claim() >> 16;
                let place = identity.checked_sub(1)? as usize;
                enabled.get(place)?.source
            }
        };
        (source != 0).then_some(source)
    }

    /// Ends the service of a source.
    pub fn complete(&self, source: u32) {
        match &self.way {
            Way::Plic { context } => self.registers.write(plic_claim(*context), source),
            Way::Wire { .. } => {}
            Way::Message { enabled, .. } => {
                let served = enabled.iter().find(|known| known.source == source);
                if let Some(&served) = served {
                    look_again(&self.registers, served);
                }
            }
        }
    }
}

fn plic_enable(context: u64, word: u64) -> u64 {
    plic::ENABLE + context * plic::ENABLE_STRIDE + word * 4
}

fn plic_claim(context: u64) -> u64 {
    plic::CONTEXT + context * plic::CONTEXT_STRIDE + plic::CLAIM
}

fn delivery(index: u32) -> u64 {
    domain::DELIVERY + u64::from(index) * domain::DELIVERY_STRIDE
}

/// Puts a domain in a delivery mode, with nothing enabled and nothing delivered.
fn stop(registers: &impl Registers, words: u64, mode: u32) -> Result<(), Refusal> {
    // The low byte in the highest byte too: it is little-endian then, whatever it was (AIA, section 4.5.1).
    let written = mode << 24 | mode;
    registers.write(domain::CONFIGURATION, written);
    let read = registers.read(domain::CONFIGURATION);
    let known = domain::IN_ORDER | domain::IE | domain::DM | domain::BE;
    if read & known != domain::IN_ORDER | mode {
        return Err(Refusal::Mode { written, read });
    }
    for word in 0..words {
        registers.write(domain::CLEAR_ENABLES + 4 * word, u32::MAX);
    }
    Ok(())
}

/// Activates a source of a domain and enables it; false when the domain has not got it.
fn start(registers: &impl Registers, interrupt: HostInterrupt, target: u32) -> bool {
    let mode = match interrupt.trigger {
        Trigger::RisingEdge => 4,
        Trigger::FallingEdge => 5,
        Trigger::High => 6,
        Trigger::Low => 7,
    };
    let offset = u64::from(interrupt.source) * 4;
    registers.write(domain::SOURCE + offset, mode);
    if registers.read(domain::SOURCE + offset) != mode {
        return false;
    }
    registers.write(domain::TARGET + offset, target);
    registers.write(domain::SET_ENABLE, interrupt.source);
    look_again(registers, interrupt);
    true
}

/// A wire that is still up, or was before its source was activated, interrupts once more: a domain that
/// sends messages looks for changes alone (AIA, section 4.9.2). In direct delivery mode this does nothing.
/// A source that is triggered by an edge would be pending without one.
fn look_again(registers: &impl Registers, interrupt: HostInterrupt) {
    if matches!(interrupt.trigger, Trigger::High | Trigger::Low) {
        registers.write(domain::SET_PENDING, interrupt.source);
    }
}
