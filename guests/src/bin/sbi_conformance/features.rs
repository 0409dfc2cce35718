//! Chapter "SBI Firmware Features Extension".

use crate::chapter::{Chapter, DENIED, INVALID_PARAM, NOT_SUPPORTED};
use guests::sbi::FWFT;

pub fn statements() {
    /// Without pointer masking, which OpenSBI 1.5 did not know yet.
    const FEATURES: u64 = 5;
    let fwft = Chapter::new("FWFT", FWFT, 2);
    for (statement, features) in [
        ("reserved local features", [6, 0x3fff_ffff]),
        ("reserved global features", [0x8000_0000, 0xbfff_ffff]),
        ("a platform's local features", [0x4000_0000, 0x7fff_ffff]),
        ("a platform's global features", [0xc000_0000, 0xffff_ffff]),
    ] {
        fwft.holds("Firmware Features Get", statement, || {
            features
                .iter()
                .all(|&feature| fwft.error(1, &[feature]) == DENIED)
        });
        fwft.holds("Firmware Features Set", statement, || {
            features
                .iter()
                .all(|&feature| fwft.error(0, &[feature, 0, 0]) == DENIED)
        });
    }
    let mut usable = 0;
    fwft.holds(
        "Firmware Features Get",
        "standard features, or not supported",
        || {
            (0..FEATURES).all(|feature| {
                let error = fwft.error(1, &[feature]);
                usable |= u64::from(error == 0) << feature;
                [0, NOT_SUPPORTED].contains(&error)
            })
        },
    );
    let is_usable = |feature: &u64| usable >> feature & 1 != 0;
    fwft.holds("Firmware Features Set", "reserved flags", || {
        (0..FEATURES)
            .filter(is_usable)
            .all(|feature| fwft.error(0, &[feature, 0, 2]) == INVALID_PARAM)
    });
    fwft.holds("Firmware Features Set", "values that are none", || {
        (0..FEATURES)
            .filter(is_usable)
            .all(|feature| fwft.error(0, &[feature, 2, 0]) == INVALID_PARAM)
    });
    fwft.holds("Firmware Features Set", "the value that is there", || {
        (0..FEATURES).filter(is_usable).all(|feature| {
            let value = fwft.call(1, &[feature]).value;
            fwft.error(0, &[feature, value, 0]) == 0 && fwft.call(1, &[feature]).value == value
        })
    });
}
