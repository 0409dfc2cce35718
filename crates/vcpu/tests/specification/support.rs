//! Harts, features and counters to test with.

use isa::address::GuestPhys;
use isa::csr::{senvcfg, sstatus};
use isa::decode::{Instruction, decode};
use proptest::prelude::*;
use vcpu::{Counters, Effect, Features, Hart, Mode, Trap};

/// Bits of `sstatus` that every hart lets a guest write.
pub const PLAIN: u64 = sstatus::SIE | sstatus::SPIE | sstatus::SPP | sstatus::SUM | sstatus::MXR;

/// A hart with all there is.
pub const EVERYTHING: Features = Features::ALL;

/// A hart with no more than there must be, and Sv39.
pub const LEAST: Features = Features {
    sstatus: PLAIN,
    senvcfg: senvcfg::FIOM,
    scounteren: 0,
    satp_modes: 1 << 0 | 1 << 8,
    svinval: false,
};

/// Counters that stand still.
pub struct Still;

impl Counters for Still {
    fn cycle(&self) -> u64 {
        1001
    }

    fn time(&self) -> u64 {
        2002
    }

    fn instret(&self) -> u64 {
        3003
    }
}

/// A hart with everything, in `mode`, that has just come out of reset.
pub fn hart(mode: Mode) -> Hart {
    let entry = GuestPhys(0x8020_0000);
    Hart {
        mode,
        ..Hart::new(&EVERYTHING, 0, GuestPhys(0x8fe0_0000), entry)
    }
}

/// What [`Hart::execute`] makes of `word`.
pub fn execute(hart: &mut Hart, features: &Features, word: u32) -> Result<Effect, Trap> {
    let instruction: Instruction = decode(word).expect("an instruction of ours");
    hart.execute(features, &Still, &instruction, word)
}

/// What a host may have.
pub fn any_features() -> impl Strategy<Value = Features> {
    let units = prop::sample::subsequence(vec![sstatus::FS, sstatus::VS], 0..=2);
    let blocks =
        prop::sample::subsequence(vec![senvcfg::CBIE | senvcfg::CBCFE, senvcfg::CBZE], 0..=2);
    let modes = prop::sample::subsequence(vec![8, 9, 10], 0..=3);
    (units, blocks, any::<u32>(), modes, any::<bool>()).prop_map(
        |(units, blocks, counters, modes, svinval)| Features {
            sstatus: PLAIN | units.iter().sum::<u64>(),
            senvcfg: senvcfg::FIOM | blocks.iter().sum::<u64>(),
            scounteren: counters.into(),
            satp_modes: modes.iter().fold(1, |all, mode| all | 1 << mode),
            svinval,
        },
    )
}

/// Values that a CSR might be written with: random ones, and ones with few bits set or clear.
pub fn any_value() -> impl Strategy<Value = u64> {
    let shifts = (any::<u64>(), 0..64u32);
    prop_oneof![
        any::<u64>(),
        shifts.clone().prop_map(|(value, shift)| value >> shift),
        shifts.prop_map(|(value, shift)| value << shift),
        (0..64u32).prop_map(|bit| 1 << bit),
        (0..64u32).prop_map(|bit| !(1 << bit)),
    ]
}

/// A hart in any state that writes can bring about, with its features.
pub fn any_hart() -> impl Strategy<Value = (Hart, Features)> {
    let values = prop::collection::vec(any_value(), 11);
    let registers = prop::collection::vec(any_value(), 31);
    (
        any_features(),
        values,
        registers,
        any::<u64>(),
        any::<bool>(),
        any_value(),
    )
        .prop_map(|(features, values, x, pc, supervisor, pending)| {
            let mut hart = Hart::new(&features, 0, GuestPhys(0), GuestPhys(0));
            hart.set_pending(pending, true);
            let registers = (0..0x1000).filter(|csr| Hart::write_rule(*csr).is_some());
            for (csr, value) in registers.zip(values) {
                hart.write_csr(&features, csr, value)
                    .expect("VS can write it");
            }
            hart.x[1..].copy_from_slice(&x);
            hart.pc = pc & !1;
            hart.mode = if supervisor {
                Mode::Supervisor
            } else {
                Mode::User
            };
            (hart, features)
        })
}
