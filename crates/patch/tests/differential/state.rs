//! States of a guest, as the gate hands them to a routine.

use std::mem::offset_of;

use isa::csr::{interrupt, senvcfg, sstatus};
use patch::HartBlock;
use patch::Maker;
use patch::block::{CONTEXT_ENTRIES, ContextEntry, ContextTable};
use patch::template::KINDS;
use vcpu::{Counters, Features, Hart, Mode, warl};

use crate::interpreter::{Csrs, Machine, Region, Writable, with_sd};

/// Made-up addresses in the monitor's window.
pub const CODE: u64 = 0xffff_ffc0_3000_0040;
pub const CACHE: u64 = 0xffff_ffc0_1234_6000;
pub const CONTEXTS: u64 = 0xffff_ffc0_2000_0000;
pub const SLOW_INTERRUPT: u64 = 0xffff_ffc0_0000_1234;
pub const SLOW_EMULATE: u64 = 0xffff_ffc0_0000_1278;
/// In `scause`.
const BREAKPOINT: u64 = 3;
const HOST_TIMER: u64 = 1 << 63 | 5;
pub const FENCE_ADDRESS: u64 = 0xffff_ffc0_0000_12bc;
pub const GATE_VS: u64 = 0xffff_ffc0_0000_1000;
pub const GATE_VU: u64 = 0xffff_ffc0_0000_2000;

/// First of the block's fields. Nothing before it is a routine's business, nor is the site cache.
const FIRST: usize = offset_of!(HartBlock, hart);
/// Words from the first field to the site cache.
const FIELDS: usize = (offset_of!(HartBlock, cache) - FIRST) / 8;

/// Index of a field among the words of the block's fields.
macro_rules! word {
    ($($field:tt)+) => {
        (std::mem::offset_of!(patch::HartBlock, $($field)+)
            - std::mem::offset_of!(patch::HartBlock, hart)) / 8
    };
}
pub(crate) use word;

/// A small generator of numbers (SplitMix64), so that a failure can be repeated from its seed.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// A value that some CSR's rule may find interesting, or any value.
    fn value(&mut self) -> u64 {
        match self.below(8) {
            0 => INTERESTING[self.below(INTERESTING.len())],
            1 => INTERESTING[self.below(INTERESTING.len())] | self.next() & self.next(),
            2 => 1 << self.below(64),
            3 => !(1 << self.below(64)),
            4 => self.next() & self.next() & self.next(),
            5 => self.next() | self.next() | self.next(),
            _ => self.next(),
        }
    }
}

const INTERESTING: [u64; 24] = [
    0,
    u64::MAX,
    1,
    2,
    3,
    sstatus::SIE,
    sstatus::SPIE,
    sstatus::SIE | sstatus::SPIE,
    sstatus::SPP,
    sstatus::SPP | sstatus::SPIE,
    1 << 13,
    2 << 13,
    sstatus::FS,
    1 << 9,
    2 << 9,
    sstatus::VS,
    sstatus::FS | sstatus::VS,
    sstatus::SUM | sstatus::MXR | sstatus::SD,
    warl::INTERRUPTS,
    interrupt::SSI | interrupt::SEI,
    // CBIE: flush, reserved, invalidate.
    1 << 4,
    2 << 4,
    3 << 4,
    senvcfg::FIOM | 2 << 4 | senvcfg::CBCFE | senvcfg::CBZE,
];

/// A host and a configuration for which routines are made.
#[derive(Clone, Copy)]
pub struct Variant {
    /// The host, in words.
    pub host: &'static str,
    pub maker: Maker,
}

impl std::fmt::Debug for Variant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Maker {
            count,
            fence_on_switch,
            ..
        } = self.maker;
        write!(
            f,
            "host with {}, count: {count}, fence: {fence_on_switch}",
            self.host
        )
    }
}

const PLAIN: u64 = sstatus::SIE | sstatus::SPIE | sstatus::SPP | sstatus::SUM | sstatus::MXR;
const CACHE_BLOCKS: u64 = senvcfg::FIOM | senvcfg::CBIE | senvcfg::CBCFE | senvcfg::CBZE;
const MODES: u16 = 1 << 0 | 1 << 8 | 1 << 9 | 1 << 10;

/// What differs between hosts, for the guest.
pub const HOSTS: [(&str, Features); 6] = [
    (
        "F and V",
        features(sstatus::FS | sstatus::VS, CACHE_BLOCKS, u64::MAX, MODES),
    ),
    ("no V", features(sstatus::FS, CACHE_BLOCKS, 7, MODES)),
    ("no F", features(sstatus::VS, senvcfg::FIOM, 7, 1 << 8 | 1)),
    (
        "neither F nor V",
        features(0, CACHE_BLOCKS & !senvcfg::CBIE, 0, 1 << 8 | 1 << 9 | 1),
    ),
    (
        "no senvcfg",
        features(sstatus::FS | sstatus::VS, 0, 5, 1 << 8 | 1),
    ),
    (
        "cache blocks without FIOM",
        features(sstatus::FS, senvcfg::CBIE, 0xffff_fff8, MODES),
    ),
];

const fn features(units: u64, senvcfg: u64, scounteren: u64, satp_modes: u16) -> Features {
    Features {
        sstatus: PLAIN | units,
        senvcfg,
        scounteren: scounteren & 0xffff_ffff,
        satp_modes,
        svinval: true,
    }
}

/// Every host, with every configuration of the maker.
pub fn variants() -> impl Iterator<Item = Variant> {
    HOSTS.into_iter().flat_map(|(host, features)| {
        (0..4).map(move |bits| Variant {
            host,
            maker: Maker {
                features,
                counters: 7,
                count: bits & 1 != 0,
                fence_on_switch: bits & 2 != 0,
            },
        })
    })
}

/// The hardware `satp`s and the root of one context.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Context {
    pub vs: u64,
    pub vu: u64,
    pub root: u64,
}

/// One guest, about to execute an instruction at `hart.pc`.
#[derive(Clone, Debug)]
pub struct State {
    pub hart: Hart,
    pub context: Context,
    /// The context table.
    pub contexts: Vec<ContextEntry>,
    /// Whether the gate carried out fences that not every context has seen.
    pub unseen_fences: bool,
    /// Whether the guest reads other values in `cycle` or `instret` than the hardware has.
    pub virtual_counters: bool,
    /// Whether an interrupt of the host arrived at the patch, and not its break.
    pub passed_over: bool,
    /// Values of the counters, and of everything whose value must not matter.
    pub noise: Random,
}

impl State {
    /// A state in which no interrupt waits to be delivered: the monitor enters no guest otherwise.
    pub fn new(random: &mut Random, features: &Features) -> Self {
        let mut contexts = vec![ContextEntry::EMPTY; CONTEXT_ENTRIES];
        let mut known = vec![1];
        for _ in 0..random.below(12) {
            let satp = legal_satp(random, features);
            known.push(satp);
            let entry = ContextEntry {
                guest: satp,
                vs: random.next() | 8 << 60,
                vu: random.next() | 8 << 60,
                root: random.next() & !0xfff,
            };
            contexts[ContextTable::slot(satp)] = entry;
        }
        let satp = match random.below(2) {
            0 if known.len() > 1 => known[known.len() - 1],
            _ => legal_satp(random, features),
        };
        let context = lookup(&contexts, satp).unwrap_or(Context {
            vs: random.next() | 8 << 60,
            vu: random.next() | 8 << 60,
            root: random.next() & !0xfff,
        });
        let mut hart = Hart {
            pc: random.value() & !1,
            mode: Mode::Supervisor,
            sstatus: warl::sstatus(0, random.value(), features),
            sie: warl::sie(0, random.value(), features),
            sip: random.value() & warl::INTERRUPTS,
            stvec: warl::stvec(0, random.value(), features),
            sscratch: random.value(),
            sepc: warl::sepc(0, random.value(), features),
            scause: random.value(),
            stval: random.value(),
            satp,
            scounteren: warl::scounteren(0, random.value(), features),
            senvcfg: warl::senvcfg(0, random.value(), features),
            ..Hart::default()
        };
        for register in &mut hart.x[1..] {
            *register = match random.below(6) {
                0 => known[random.below(known.len())],
                1 => random.below(3) as u64 * warl::INTERRUPTS,
                _ => random.value(),
            };
        }
        if random.below(3) == 0 {
            hart.sie |= hart.sip;
        }
        let mut state = Self {
            hart,
            context,
            contexts,
            unseen_fences: random.below(3) == 0,
            virtual_counters: random.below(8) == 0,
            passed_over: random.below(8) == 0,
            noise: Random(random.next()),
        };
        state.settle();
        state
    }

    /// Enables interrupts, even if one would be delivered before the instruction. That is no state
    /// to execute an instruction in, but `wfi` does right by it.
    pub fn unsettle(&mut self) {
        self.hart.sstatus |= sstatus::SIE;
    }

    /// Disables interrupts if one would be delivered before the instruction.
    pub fn settle(&mut self) {
        if self.hart.pending_interrupt().is_some() {
            self.hart.sstatus &= !sstatus::SIE;
        }
    }

    /// The context that a routine may switch to for the guest's `satp`.
    pub fn known(&self, satp: u64) -> Option<Context> {
        lookup(&self.contexts, satp)
    }

    pub fn counters(&self) -> Clock {
        let mut noise = self.noise.clone();
        Clock {
            cycle: noise.next(),
            time: noise.next(),
            instret: noise.next(),
        }
    }

    /// The block's fields as the gate leaves them.
    pub fn block(&self, maker: &Maker) -> Vec<u64> {
        let mut noise = Random(!self.noise.0);
        let mut block: Vec<u64> = (0..FIELDS).map(|_| noise.next()).collect();
        write_hart(&mut block, &self.hart);
        write_context(&mut block, &self.context);
        write_spilled(&mut block, &self.hart);
        block[word!(gate_vs)] = GATE_VS;
        block[word!(gate_vu)] = GATE_VU;
        block[word!(slow_interrupt)] = SLOW_INTERRUPT;
        block[word!(slow_emulate)] = SLOW_EMULATE;
        block[word!(fence_address)] = FENCE_ADDRESS;
        let fences = block[word!(fences)];
        block[word!(fences_seen)] = fences.wrapping_sub(self.unseen_fences.into());
        block[word!(virtual_counters)] = self.virtual_counters.into();
        block[word!(contexts)] = CONTEXTS;
        block[word!(sstatus_mask)] = maker.features.sstatus;
        block[word!(extension_mask)] = maker.features.sstatus & (sstatus::FS | sstatus::VS);
        block[word!(scounteren_mask)] = maker.features.scounteren;
        block[word!(senvcfg_mask)] = maker.features.senvcfg;
        for count in &mut block[word!(served)..word!(served) + KINDS] {
            *count >>= 1;
        }
        block
    }

    /// The hart that a routine runs on, as the gate leaves it.
    pub fn machine(&self, maker: &Maker) -> Machine {
        let clock = self.counters();
        let mut noise = Random(self.noise.0.rotate_left(32));
        let mut x = self.hart.x;
        x[5] = CACHE;
        for scratch in [6, 7, 28] {
            x[scratch] = noise.next();
        }
        let units = maker.features.sstatus & (sstatus::FS | sstatus::VS);
        // The hardware's own SPIE, SUM and UXL are none of a routine's business. SPP is 0: the break
        // came from U-mode. MXR stays off while a guest runs.
        let own = noise.next() & (sstatus::SPIE | sstatus::SUM) | sstatus::UXL_64;
        let csrs = Csrs {
            sstatus: with_sd(own | self.hart.sstatus & units),
            stvec: GATE_VS,
            scounteren: self.hart.scounteren,
            senvcfg: self.hart.senvcfg,
            sscratch: self.hart.x[5],
            sepc: self.hart.pc.wrapping_add(4),
            scause: if self.passed_over {
                HOST_TIMER
            } else {
                BREAKPOINT
            },
            satp: self.context.vs,
            cycle: clock.cycle,
            time: clock.time,
            instret: clock.instret,
        };
        let writable = Writable {
            sstatus: PLAIN | units,
            scounteren: maker.features.scounteren,
            senvcfg: maker.features.senvcfg,
        };
        let table = |entry: &ContextEntry| [entry.guest, entry.vs, entry.vu, entry.root];
        let regions = [
            Region {
                base: CACHE - 8 * FIELDS as u64,
                words: self.block(maker),
                writable: true,
            },
            Region {
                base: CONTEXTS,
                words: self.contexts.iter().flat_map(table).collect(),
                writable: false,
            },
        ];
        Machine {
            x,
            csrs,
            writable,
            regions,
            executed: 0,
            switches: 0,
            fenced: false,
            fences: 0,
        }
    }
}

/// Puts the CSRs and the mode into the block. The registers and `pc` there are stale while the guest
/// runs: they keep whatever they held.
pub fn write_hart(block: &mut [u64], hart: &Hart) {
    block[word!(hart.mode)] = hart.mode as u64;
    block[word!(hart.sstatus)] = hart.sstatus;
    block[word!(hart.sie)] = hart.sie;
    block[word!(hart.sip)] = hart.sip;
    block[word!(hart.stvec)] = hart.stvec;
    block[word!(hart.sscratch)] = hart.sscratch;
    block[word!(hart.sepc)] = hart.sepc;
    block[word!(hart.scause)] = hart.scause;
    block[word!(hart.stval)] = hart.stval;
    block[word!(hart.satp)] = hart.satp;
    block[word!(hart.scounteren)] = hart.scounteren;
    block[word!(hart.senvcfg)] = hart.senvcfg;
    block[word!(pending)] = hart.sip & hart.sie;
}

pub fn write_context(block: &mut [u64], context: &Context) {
    block[word!(satp_vs)] = context.vs;
    block[word!(satp_vu)] = context.vu;
    block[word!(root)] = context.root;
}

pub fn write_spilled(block: &mut [u64], hart: &Hart) {
    block[word!(t1)] = hart.x[6];
    block[word!(t2)] = hart.x[7];
    block[word!(t3)] = hart.x[28];
}

/// The counters of one moment.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    pub cycle: u64,
    pub time: u64,
    pub instret: u64,
}

impl Counters for Clock {
    fn cycle(&self) -> u64 {
        self.cycle
    }

    fn time(&self) -> u64 {
        self.time
    }

    fn instret(&self) -> u64 {
        self.instret
    }
}

fn legal_satp(random: &mut Random, features: &Features) -> u64 {
    let mode = loop {
        let mode = random.below(11) as u8;
        if features.offers_satp_mode(mode) {
            break u64::from(mode);
        }
    };
    let page = if random.below(4) == 0 {
        u64::MAX
    } else {
        random.next()
    };
    mode << 60 | page & ((1 << 60) - 1)
}

/// What the table holds for `satp`. An empty entry holds nothing, whatever the guest writes.
fn lookup(contexts: &[ContextEntry], satp: u64) -> Option<Context> {
    let entry = contexts[ContextTable::slot(satp)];
    let found = entry != ContextEntry::EMPTY && entry.guest == satp;
    found.then_some(Context {
        vs: entry.vs,
        vu: entry.vu,
        root: entry.root,
    })
}
