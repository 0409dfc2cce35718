//! Random histories of a guest: nothing that a hart of it sees may be what the architecture does
//! not allow.

use super::WINDOW;
use super::machine::Machine;
use super::memory::{CROOKED, DEVICE};
use crate::shadow::View;
use crate::walk::{Access, Kind};
use isa::address::GuestPhys;
use isa::pte::Pte;
use isa::satp::{SV39, SV48, SV57, Satp};
use proptest::prelude::*;
use std::vec::Vec;

const KINDS: [Kind; 3] = [Kind::Fetch, Kind::Load, Kind::Store];

/// Addresses that share tables at every level, in all modes, and some beside the window.
const PROBES: [u64; 16] = [
    0x0000_0000_0000_0abc,
    0x0000_0000_0000_1008,
    0x0000_0000_0020_0000,
    0x0000_0000_4000_0000,
    0x0000_0000_8000_3000,
    0x0000_0080_0000_0000,
    0x0000_8000_0000_0000,
    0xff00_0000_0000_0000,
    0xffff_8000_0000_0000,
    0xffff_ffc0_0000_0000,
    0xffff_ffc0_0000_1000,
    0xffff_ffc0_0020_0000,
    WINDOW.0 - 0x1000,
    WINDOW.0 + 0x1234,
    0xffff_ffff_8000_0000,
    0xffff_ffff_ffff_f000,
];

/// Where leaves lead: RAM (two pages in one megapage), more of it, crooked RAM, a device.
const TARGETS: [u64; 8] = [
    0xa000_0000,
    0xa000_1000,
    0xa020_0000,
    0xc000_0000,
    CROOKED,
    CROOKED + 0x20_0000,
    DEVICE,
    0x1_8020_0000,
];

#[derive(Clone, Debug)]
enum Step {
    /// The guest makes a leaf. Its target is the nearest that the level allows.
    Map {
        space: usize,
        probe: usize,
        level: u32,
        target: usize,
        flags: u64,
    },
    /// It changes bits of the leaf or pointer at a level of the path to a probe.
    Flip {
        space: usize,
        probe: usize,
        depth: u32,
        bits: u64,
    },
    /// It clears that entry.
    Clear {
        space: usize,
        probe: usize,
        depth: u32,
    },
    Fence {
        probe: Option<usize>,
        offset: u64,
        asid: Option<u16>,
    },
    Switch {
        hart: usize,
        space: usize,
    },
    Access {
        hart: usize,
        probe: usize,
        kind: usize,
        user: bool,
        sum: bool,
        mxr: bool,
    },
    Speculate {
        hart: usize,
        probe: usize,
        user: bool,
    },
    Guard {
        hart: usize,
        probe: usize,
        target: usize,
        patch: bool,
    },
    Lift {
        target: usize,
    },
}

/// The guest's address spaces: modes and ASIDs. Two have the same ASID.
const SPACES: [(u8, u16); 7] = [
    (SV39, 1),
    (SV39, 2),
    (SV39, 1),
    (SV48, 1),
    (SV48, 3),
    (SV57, 2),
    (SV57, 65),
];

fn flags() -> impl Strategy<Value = u64> {
    let rights = prop_oneof![
        4 => Just(Pte::RWX),
        2 => Just(Pte::R | Pte::W),
        2 => Just(Pte::R | Pte::X),
        1 => Just(Pte::R),
        1 => Just(Pte::X),
    ];
    let others = proptest::bits::u64::masked(Pte::U | Pte::A | Pte::D);
    (rights, others, proptest::bool::weighted(0.4))
        .prop_map(|(rights, others, global)| rights | others | if global { Pte::G } else { 0 })
}

fn step() -> impl Strategy<Value = Step> {
    let space = || 0..SPACES.len();
    let probe = || 0..PROBES.len();
    let level = prop_oneof![6 => Just(0_u32), 3 => Just(1), 1 => Just(2), 1 => 3_u32..5];
    let bits = proptest::sample::select(std::vec![
        Pte::V,
        Pte::R,
        Pte::W,
        Pte::X,
        Pte::U,
        Pte::G,
        Pte::A,
        Pte::D,
        Pte::A | Pte::D,
        1 << 58,
        1 << 10,
    ]);
    let asid = proptest::sample::select(std::vec![1_u16, 2, 3, 65]);
    prop_oneof![
        20 => (space(), probe(), level, 0..TARGETS.len(), flags()).prop_map(
            |(space, probe, level, target, flags)| Step::Map { space, probe, level, target, flags }),
        6 => (space(), probe(), 0_u32..5, bits).prop_map(
            |(space, probe, depth, bits)| Step::Flip { space, probe, depth, bits }),
        2 => (space(), probe(), 0_u32..5).prop_map(
            |(space, probe, depth)| Step::Clear { space, probe, depth }),
        8 => (proptest::option::weighted(0.8, probe()), 0_u64..0x2000, proptest::option::of(asid)).prop_map(
            |(probe, offset, asid)| Step::Fence { probe, offset, asid }),
        8 => (0_usize..2, prop_oneof![8 => space(), 1 => Just(SPACES.len())]).prop_map(
            |(hart, space)| Step::Switch { hart, space }),
        50 => (0_usize..2, probe(), 0_usize..3, any::<bool>(), any::<bool>(), proptest::bool::weighted(0.2))
            .prop_map(|(hart, probe, kind, user, sum, mxr)| Step::Access { hart, probe, kind, user, sum, mxr }),
        5 => (0_usize..2, probe(), any::<bool>()).prop_map(
            |(hart, probe, user)| Step::Speculate { hart, probe, user }),
        3 => (0_usize..2, probe(), 0_usize..5, any::<bool>()).prop_map(
            |(hart, probe, target, patch)| Step::Guard { hart, probe, target, patch }),
        2 => (0_usize..5).prop_map(|target| Step::Lift { target }),
    ]
}

/// Where the entry is that is `depth` steps down the path to `va`, or the last one there is.
fn entry_at(machine: &Machine, satp: Satp, va: u64, depth: u32) -> GuestPhys {
    use crate::walk::GuestMemory;
    let mut level = isa::satp::levels(satp.mode()).expect("a paged mode") - 1;
    let mut table = satp.root();
    for _ in 0..depth {
        let at = table.add((va >> (12 + 9 * level) & 511) * 8);
        let entry = Pte(machine.memory.read_pte(at).unwrap_or(0));
        if level == 0 || !entry.is_valid() || entry.is_leaf() {
            return at;
        }
        table = GuestPhys(entry.address());
        level -= 1;
    }
    table.add((va >> (12 + 9 * level) & 511) * 8)
}

fn run(pages: usize, harts: usize, asid_bits: u32, steps: &[Step]) -> usize {
    let mut machine = Machine::new(pages, harts, asid_bits, PROBES.to_vec());
    let mut spaces: Vec<Satp> = SPACES
        .iter()
        .map(|(mode, asid)| machine.memory.space(*mode, *asid))
        .collect();
    spaces.push(Satp(0));
    machine.switch(0, spaces[0]);
    for step in steps {
        match *step {
            Step::Map {
                space,
                probe,
                level,
                target,
                flags,
            } => {
                let satp = spaces[space];
                let level = level.min(isa::satp::levels(satp.mode()).unwrap() - 1);
                let gpa = TARGETS[target] & !((1 << (12 + 9 * level)) - 1);
                machine.memory.map(satp, PROBES[probe], level, gpa, flags);
                machine.write(0x8fff_f000, 0);
            }
            Step::Flip {
                space,
                probe,
                depth,
                bits,
            } => {
                use crate::walk::GuestMemory;
                let at = entry_at(&machine, spaces[space], PROBES[probe], depth);
                let old = machine.memory.read_pte(at).unwrap_or(0);
                machine.write(at.0, old ^ bits);
            }
            Step::Clear {
                space,
                probe,
                depth,
            } => {
                let at = entry_at(&machine, spaces[space], PROBES[probe], depth);
                machine.write(at.0, 0);
            }
            Step::Fence {
                probe,
                offset,
                asid,
            } => {
                machine.fence(probe.map(|probe| PROBES[probe].wrapping_add(offset)), asid);
            }
            Step::Switch { hart, space } => machine.switch(hart % harts, spaces[space]),
            Step::Access {
                hart,
                probe,
                kind,
                user,
                sum,
                mxr,
            } => {
                let access = Access {
                    kind: KINDS[kind],
                    user,
                    sum,
                    mxr,
                };
                machine.access(hart % harts, PROBES[probe], access);
            }
            Step::Speculate { hart, probe, user } => {
                let view = if user { View::Vu } else { View::Vs };
                machine.speculate(hart % harts, PROBES[probe], view);
            }
            Step::Guard {
                hart,
                probe,
                target,
                patch,
            } => {
                machine.guard(hart % harts, PROBES[probe], TARGETS[target], patch);
            }
            Step::Lift { target } => machine.lift(TARGETS[target]),
        }
        machine.check();
    }
    machine.done
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_hart_sees_only_what_the_architecture_allows(
        pages in prop_oneof![Just(16_usize), Just(18), 19_usize..40, Just(256)],
        asid_bits in prop_oneof![3 => Just(16_u32), 1 => Just(0)],
        steps in proptest::collection::vec(step(), 1..150),
    ) {
        run(pages, 1, asid_bits, &steps);
    }

    #[test]
    fn two_harts_see_only_what_the_architecture_allows(
        pages in prop_oneof![Just(22_usize), 23_usize..50],
        steps in proptest::collection::vec(step(), 1..150),
    ) {
        run(pages, 2, 16, &steps);
    }
}
