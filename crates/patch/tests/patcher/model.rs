//! Random histories of a patcher against a simple model of what must be patched.

use std::collections::{BTreeMap, BTreeSet};

use isa::address::{GuestPhys, HostPhys};
use isa::decode::decode;
use patch::patcher::Full;
use patch::{Patch, Placed};
use proptest::prelude::*;

use crate::host::*;

const FRAMES: usize = 6;
const WORDS: [u32; 8] = [
    CSRCI_SSTATUS,
    CSRR_A0_SCAUSE,
    SRET,
    WFI,
    ECALL,
    0x1053_1073, // csrw stvec, t1
    0x1205_0073, // sfence.vma a0
    0x1005_1573, // csrrw a0, sstatus, a0
];

/// Bytes of the routine for a word, rounded up to the cache lines that it takes.
fn size(word: u32) -> Option<usize> {
    let code = MAKER.make(&decode(word).expect("known"), word)?;
    Some(code.len() * 4)
}

#[derive(Clone, Debug)]
enum Step {
    /// The instruction `word` traps at a site.
    Trap {
        frame: usize,
        slot: u64,
        word: u32,
    },
    /// The guest writes to a frame.
    Write {
        frame: usize,
    },
    Recycle,
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    // Few slots, so that sites meet; the last ones are at the end of the page.
    let slot = prop_oneof![0..6u64, 1021..1024u64];
    let trap = (0..FRAMES, slot, 0..WORDS.len()).prop_map(|(frame, slot, word)| Step::Trap {
        frame,
        slot,
        word: WORDS[word],
    });
    prop_oneof![
        40 => trap,
        6 => (0..FRAMES).prop_map(|frame| Step::Write { frame }),
        1 => Just(Step::Recycle),
        1 => Just(Step::Reset),
    ]
}

fn sizes() -> impl Strategy<Value = Sizes> {
    let values = prop_oneof![Just(2usize), Just(5), Just(1 << 16)];
    let code = prop_oneof![Just(192usize), Just(448), Just(1 << 14)];
    (1..=FRAMES, values, code).prop_map(|(copies, values, code)| Sizes {
        frames: FRAMES,
        copies,
        values,
        code,
    })
}

/// A frame's history.
#[derive(Clone, Copy, Default)]
struct History {
    drops: u32,
    traps: u32,
}

/// What must be patched, and what room there is.
struct Model {
    sizes: Sizes,
    sites: BTreeMap<GuestPhys, u32>,
    histories: [History; FRAMES],
    routines: BTreeSet<u32>,
    code_used: usize,
}

impl Model {
    fn has_copy(&self, frame: usize) -> bool {
        self.sites
            .range(at(frame, 0)..at(frame + 1, 0))
            .next()
            .is_some()
    }

    fn copies(&self) -> usize {
        (0..FRAMES).filter(|&frame| self.has_copy(frame)).count()
    }

    /// What placing a patch must come to.
    fn trap(&mut self, frame: usize, offset: u64, word: u32) -> Result<bool, Full> {
        let site = at(frame, offset);
        let new_copy = !self.has_copy(frame);
        if offset > 4092 || self.sites.contains_key(&site) {
            return Ok(false);
        }
        let history = &mut self.histories[frame];
        if new_copy && history.drops > 0 {
            history.traps += 1;
            if history.traps < 1 << history.drops.min(14) {
                return Ok(false);
            }
        }
        let Some(size) = size(word) else {
            return Ok(false);
        };
        if !self.routines.contains(&word) {
            if self.code_used + size > self.sizes.code {
                return Err(Full);
            }
            self.code_used = (self.code_used + size).next_multiple_of(64);
            self.routines.insert(word);
        }
        let no_page = new_copy && self.copies() == self.sizes.copies;
        if no_page || self.sites.len() == self.sizes.values {
            return Err(Full);
        }
        self.sites.insert(site, word);
        Ok(true)
    }

    fn write(&mut self, frame: usize) -> bool {
        let had_copy = self.has_copy(frame);
        if had_copy {
            self.sites.retain(|site, _| site.page() != at(frame, 0));
            let history = &mut self.histories[frame];
            *history = History {
                drops: history.drops + 1,
                traps: 0,
            };
        }
        had_copy
    }

    fn recycle(&mut self) {
        self.sites.clear();
        self.routines.clear();
        self.code_used = 0;
    }
}

/// Places as the monitor does: once more after recycling when something is full.
fn trap(setup: &mut Setup, model: &mut Model, frame: usize, offset: u64, word: u32) {
    for _ in 0..2 {
        let expected = model.trap(frame, offset, word);
        let placed = setup.place(at(frame, offset), word);
        let patched = placed.map(|placed| matches!(placed, Placed::Patched { .. }));
        assert_eq!(patched, expected, "{word:#x} at {:?}", at(frame, offset));
        if expected.is_ok() {
            return;
        }
        setup.patcher.recycle();
        model.recycle();
    }
    panic!("still full after recycling");
}

/// Patches that were live once: host-physical site and value.
type Past = BTreeSet<(u64, u16)>;

fn compare(setup: &Setup, model: &Model, original: &[Vec<u16>], past: &mut Past) {
    let mut live = Past::new();
    let mut copies: BTreeMap<u64, Vec<u16>> = BTreeMap::new();
    for (&site, &word) in &model.sites {
        assert!(setup.serves(site, word), "{word:#x} at {site:?}");
        let (address, _, value) = setup.read(site);
        assert_eq!(setup.patcher.pages().site(site), Some(value));
        assert!(live.insert((address.0, value)), "a value serves two sites");
        let frame = ((site.0 - RAM.0) >> 12) as usize;
        let copy = copies
            .entry(address.page().0)
            .or_insert_with(|| original[frame].clone());
        let index = address.offset() as usize / 2;
        copy[index..][..2].copy_from_slice(&[Patch::BREAK, value]);
    }
    // Copies are the originals but for their patches, and no other copies are kept.
    let host = setup.host.borrow();
    assert_eq!(host.copies, copies);
    assert_eq!(host.frames, original);
    for &(site, value) in past.difference(&live) {
        assert_eq!(setup.patcher.map().routine(value, HostPhys(site)), None);
    }
    past.append(&mut live);
    assert_eq!(setup.patcher.map().len(), model.sites.len());
    assert_eq!(setup.patcher.pages().sites(), model.sites.len());
    assert_eq!(setup.patcher.pages().copies(), copies.len());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn after_any_history_each_live_site_and_no_other_leads_to_its_routine(
        sizes in sizes(),
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut setup = Setup::new(sizes);
        let original = setup.host.borrow().frames.clone();
        let mut model = Model {
            sizes,
            sites: BTreeMap::new(),
            histories: [History::default(); FRAMES],
            routines: BTreeSet::new(),
            code_used: 0,
        };
        let mut past = Past::new();
        for step in steps {
            match step {
                Step::Trap { frame, slot, word } => {
                    // Odd frames hold instructions between the 4-byte boundaries.
                    let offset = slot * 4 + frame as u64 % 2 * 2;
                    trap(&mut setup, &mut model, frame, offset, word);
                }
                Step::Write { frame } => {
                    prop_assert_eq!(setup.patcher.drop_copy(at(frame, 0x123)), model.write(frame));
                }
                Step::Recycle => {
                    setup.patcher.recycle();
                    model.recycle();
                }
                Step::Reset => {
                    setup.patcher.reset();
                    model.recycle();
                    model.histories = Default::default();
                }
            }
            compare(&setup, &model, &original, &mut past);
        }
    }
}
