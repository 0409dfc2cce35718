//! Random histories of a guest: nothing that a hart of it sees may be what the architecture does
//! not allow.

use super::invariants;
use super::machine::{Machine, Race};
use super::memory::{CROOKED, DEVICE, HUGE};
use super::window;
use crate::paging::Paging;
use crate::shadow::{Shadow, View};
use crate::walk::{Access, GuestMemory, Kind};
use isa::address::GuestPhys;
use isa::pte::Pte;
use isa::satp::{SV39, SV48, SV57, Satp};
use proptest::prelude::*;
use std::vec::Vec;

/// Addresses that share tables at every level, in all modes. The first of each upper half are among them.
const PROBES: [u64; 15] = [
    0x0000_0000_0000_0abc,
    0x0000_0000_0000_1008,
    0x0000_0000_0020_0000,
    0x0000_0000_4000_0000,
    0x0000_0000_8000_3000,
    0x0000_0080_0000_0000,
    0x0000_8000_0000_0000,
    0xff00_0000_0000_0000,
    0xffff_8000_0000_0000,
    0xffff_ff80_a000_0000,
    0xffff_ffc0_0000_0000,
    0xffff_ffc0_0000_1000,
    0xffff_ffc0_0020_0000,
    0xffff_ffff_8000_0000,
    0xffff_ffff_ffff_f000,
];

/// Where leaves lead: RAM (two pages in one megapage, more of it, crooked, very large), a device.
const TARGETS: [u64; 9] = [
    0xa000_0000,
    0xa000_1000,
    0xa020_0000,
    0xc000_0000,
    CROOKED,
    CROOKED + 0x20_0000,
    DEVICE,
    0x1_8020_0000,
    HUGE,
];

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

/// A few of many, so that what happens to one thing happens to the same thing again.
#[derive(Clone, Debug)]
struct World {
    probes: Vec<u64>,
    spaces: Vec<(u8, u16)>,
    targets: Vec<u64>,
}

/// What happens. Numbers are taken modulo what the world has.
#[derive(Clone, Debug)]
enum Event {
    /// The guest makes a leaf, in one space or all. Its target is the nearest that the level
    /// allows.
    Map {
        everywhere: bool,
        level: u32,
        flags: u64,
    },
    /// It changes bits of the leaf or pointer so many steps down the path.
    Flip {
        depth: u32,
        bits: u64,
    },
    /// It clears that entry.
    Clear {
        depth: u32,
    },
    /// It fences an address (or one near) or all, in one ASID or all, on this hart and on others.
    Fence {
        near: Option<u64>,
        asid: bool,
        others: u8,
    },
    /// It fences an address (or one near) on this hart, without the monitor if that may be.
    GateFence {
        near: u64,
    },
    /// It flips bits as above and fences so while another hart fills.
    Race {
        depth: u32,
        bits: u64,
    },
    /// It changes its address space without the monitor if that may be.
    Hop,
    /// The monitor has all harts forget everything.
    Settle,
    Switch {
        bare: bool,
    },
    Access(Access),
    /// The hardware looks at an address.
    Speculate {
        user: bool,
    },
    /// The monitor makes a copy of a frame, or only protects it.
    Guard {
        patch: bool,
    },
    /// It takes that back.
    Lift,
}

#[derive(Clone, Debug)]
struct Step {
    event: Event,
    hart: usize,
    probe: usize,
    space: usize,
    target: usize,
}

/// The mode of the shadow, and a world of what it has.
fn world() -> impl Strategy<Value = (Paging, World)> {
    prop_oneof![
        2 => Just(Paging::Sv57),
        1 => Just(Paging::Sv48),
        1 => Just(Paging::Sv39),
    ]
    .prop_flat_map(|paging| (Just(paging), world_in(paging)))
}

fn world_in(paging: Paging) -> impl Strategy<Value = World> {
    let beside = [
        window(paging, 0).0 - 0x1000,
        window(paging, 0).0 + 0x1234,
        window(paging, 2).0,
    ];
    let probes = proptest::sample::subsequence([&PROBES[..], &beside[..]].concat(), 1..7);
    let spaces: Vec<_> = SPACES
        .into_iter()
        .filter(|(mode, _)| *mode <= paging.mode())
        .collect();
    let most = spaces.len().min(4);
    let spaces = proptest::sample::subsequence(spaces, 1..=most);
    let targets = proptest::sample::subsequence(TARGETS.to_vec(), 1..5);
    (probes, spaces, targets).prop_map(|(probes, spaces, targets)| World {
        probes,
        spaces,
        targets,
    })
}

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

fn access() -> impl Strategy<Value = Access> {
    let kind = proptest::sample::select(std::vec![Kind::Fetch, Kind::Load, Kind::Store]);
    (
        kind,
        any::<bool>(),
        any::<bool>(),
        proptest::bool::weighted(0.2),
    )
        .prop_map(|(kind, user, sum, mxr)| Access {
            kind,
            user,
            sum,
            mxr,
        })
}

fn event() -> impl Strategy<Value = Event> {
    let level = prop_oneof![6 => Just(0_u32), 4 => Just(1), 2 => Just(2), 1 => 3_u32..5];
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
    let near = prop_oneof![3 => Just(0_u64), 1 => 0_u64..0x3000, 1 => 0_u64..0x40_0000];
    let without_the_lock = prop_oneof![
        5 => near.clone().prop_map(|near| Event::GateFence { near }),
        3 => (0_u32..5, bits.clone()).prop_map(|(depth, bits)| Event::Race { depth, bits }),
        6 => Just(Event::Hop),
        1 => Just(Event::Settle),
    ];
    let others = prop_oneof![2 => Just(0_u8), 1 => any::<u8>()];
    prop_oneof![
        14 => (any::<bool>(), level, flags())
            .prop_map(|(everywhere, level, flags)| Event::Map { everywhere, level, flags }),
        6 => (0_u32..5, bits.clone()).prop_map(|(depth, bits)| Event::Flip { depth, bits }),
        2 => (0_u32..5).prop_map(|depth| Event::Clear { depth }),
        8 => (proptest::option::weighted(0.85, near), any::<bool>(), others)
            .prop_map(|(near, asid, others)| Event::Fence { near, asid, others }),
        15 => without_the_lock,
        8 => proptest::bool::weighted(0.1).prop_map(|bare| Event::Switch { bare }),
        50 => access().prop_map(Event::Access),
        5 => any::<bool>().prop_map(|user| Event::Speculate { user }),
        3 => any::<bool>().prop_map(|patch| Event::Guard { patch }),
        2 => Just(Event::Lift),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (event(), 0_usize..12, 0_usize..64, 0_usize..64, 0_usize..64).prop_map(
        |(event, hart, probe, space, target)| Step {
            event,
            hart,
            probe,
            space,
            target,
        },
    );
    proptest::collection::vec(step, 1..200)
}

/// Where the entry is that is `depth` steps down the path to `va`, or the last one there is.
fn entry_at(machine: &Machine, satp: Satp, va: u64, depth: u32) -> GuestPhys {
    let mut level = isa::satp::levels(satp.mode()).expect("a paged mode") - 1;
    let mut table = satp.root();
    let mut at = table.add((va >> (12 + 9 * level) & 511) * 8);
    for _ in 0..depth {
        let entry = Pte(machine.memory.read_pte(at).unwrap_or(0));
        if level == 0 || !entry.is_valid() || entry.is_leaf() {
            break;
        }
        table = GuestPhys(entry.address());
        level -= 1;
        at = table.add((va >> (12 + 9 * level) & 511) * 8);
    }
    at
}

/// Lets `steps` happen. Gives how many accesses ended in memory.
fn run(mut machine: Machine, harts: usize, world: &World, steps: &[Step]) -> usize {
    let spaces: Vec<Satp> = world
        .spaces
        .iter()
        .map(|(mode, asid)| machine.memory.space(*mode, *asid))
        .collect();
    for hart in 0..harts {
        machine.switch(hart, spaces[0]);
    }
    for (number, step) in steps.iter().enumerate() {
        let hart = step.hart % harts;
        let va = world.probes[step.probe % world.probes.len()];
        let satp = spaces[step.space % spaces.len()];
        let gpa = world.targets[step.target % world.targets.len()];
        match step.event {
            Event::Map {
                everywhere,
                level,
                flags,
            } => {
                for other in spaces.iter().filter(|other| everywhere || **other == satp) {
                    let level = level.min(isa::satp::levels(other.mode()).unwrap() - 1);
                    let gpa = gpa & !((1 << (12 + 9 * level)) - 1);
                    machine.memory.map(*other, va, level, gpa, flags);
                }
                machine.record();
            }
            Event::Flip { depth, bits } => {
                let at = entry_at(&machine, satp, va, depth);
                let old = machine.memory.read_pte(at).unwrap_or(0);
                machine.memory.write(at.0, old ^ bits);
                machine.record();
            }
            Event::Clear { depth } => {
                machine
                    .memory
                    .write(entry_at(&machine, satp, va, depth).0, 0);
                machine.record();
            }
            Event::Fence { near, asid, others } => {
                let address = near.map(|offset| va.wrapping_add(offset));
                let others = (0..harts).filter(|other| *other != hart && others >> other & 1 != 0);
                let fenced: Vec<usize> = core::iter::once(hart).chain(others).collect();
                machine.fence(&fenced, address, asid.then(|| satp.asid()));
            }
            Event::GateFence { near } => {
                let address = va.wrapping_add(near);
                if !machine.gate_fence(hart, address) {
                    machine.fence(&[hart], Some(address), None);
                }
            }
            Event::Race { depth, bits } => {
                let at = entry_at(&machine, satp, va, depth);
                let pte = machine.memory.read_pte(at).unwrap_or(0) ^ bits;
                let at = at.0;
                machine.race = Some(Race { hart, at, pte, va });
            }
            Event::Hop => machine.hop(hart, satp),
            Event::Settle => machine.settle(),
            Event::Switch { bare } => machine.switch(hart, if bare { Satp(0) } else { satp }),
            Event::Access(access) => machine.access(hart, va, access),
            Event::Speculate { user } => {
                machine.speculate(hart, va, if user { View::Vu } else { View::Vs });
            }
            Event::Guard { patch } => machine.guard(hart, va, gpa & !0xfff, patch),
            Event::Lift => machine.lift(hart, gpa),
        }
        machine.check();
        if number % 8 == 0 {
            invariants::check(&machine.shadow);
        }
    }
    invariants::check(&machine.shadow);
    machine.done
}

/// As many cases as the environment asks for, else a number that takes seconds.
fn cases() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(asked.unwrap_or(500))
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_hart_sees_only_what_the_architecture_allows(
        pages in prop_oneof![2 => Just(17_usize), 2 => 20_usize..40, 1 => Just(64)],
        asid_bits in prop_oneof![3 => Just(16_u32), 1 => Just(0)],
        (paging, world) in world(),
        steps in steps(),
    ) {
        let machine = Machine::new(paging, pages, 1, asid_bits, world.probes.clone());
        run(machine, 1, &world, &steps);
    }

    #[test]
    fn a_hart_that_logs_its_fences_sees_only_what_the_architecture_allows(
        pages in prop_oneof![1 => Just(17_usize), 2 => 24_usize..80],
        (paging, world) in world(),
        steps in steps(),
    ) {
        let mut machine = Machine::new(paging, pages, 1, 16, world.probes.clone());
        machine.log_fences();
        run(machine, 1, &world, &steps);
    }

    #[test]
    fn each_of_several_harts_sees_only_what_its_fences_allow(
        harts in 2_usize..5,
        spare in prop_oneof![2 => Just(0_usize), 2 => 0_usize..60],
        asid_bits in prop_oneof![5 => Just(16_u32), 1 => Just(0)],
        logs in proptest::bool::weighted(0.8),
        (paging, world) in world(),
        steps in steps(),
    ) {
        let pages = Shadow::minimum_pages(harts) + spare;
        let mut machine = Machine::new(paging, pages, harts, asid_bits, world.probes.clone());
        if logs {
            machine.log_fences();
        }
        run(machine, harts, &world, &steps);
    }
}
