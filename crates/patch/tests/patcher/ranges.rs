//! What is asked of ranges of frames, against a model that looks at each frame.

use std::collections::BTreeSet;

use isa::address::{GuestPhys, HostPhys, PAGE_SIZE};
use patch::pages::Pages;
use proptest::prelude::*;

use crate::host::RAM;

/// Two superpages of 2 MiB and part of a third.
const FRAMES: u64 = 512 * 2 + 100;

#[derive(Clone, Debug)]
enum Step {
    Copy(u64),
    Take(u64),
    SetWritable(u64, u64),
    ClearWritable,
    TakeAll,
}

/// First byte and size of a range in RAM: often whole superpages or a few frames, never empty.
fn range() -> impl Strategy<Value = (u64, u64)> {
    let superpages =
        (0..2u64, 1..3u64).prop_map(|(first, count)| (first << 21, count.min(2 - first) << 21));
    let bytes = (0..FRAMES * PAGE_SIZE, 1..20 * PAGE_SIZE);
    let many = (0..FRAMES * PAGE_SIZE, 1..FRAMES * PAGE_SIZE);
    prop_oneof![superpages, bytes, many].prop_map(|(start, size)| {
        let room = FRAMES * PAGE_SIZE - start;
        (start, size.min(room))
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..FRAMES).prop_map(Step::Copy),
        4 => (0..FRAMES).prop_map(Step::Take),
        4 => range().prop_map(|(start, size)| Step::SetWritable(start, size)),
        1 => Just(Step::ClearWritable),
        1 => Just(Step::TakeAll),
    ]
}

fn frame(number: u64) -> GuestPhys {
    RAM.add(number * PAGE_SIZE)
}

fn frames(start: u64, size: u64) -> std::ops::RangeInclusive<u64> {
    start / PAGE_SIZE..=(start + size - 1) / PAGE_SIZE
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_range_is_what_its_frames_are(
        steps in proptest::collection::vec((step(), range()), 1..40),
    ) {
        let mut pages = Pages::new(RAM, FRAMES * PAGE_SIZE, FRAMES as usize);
        let mut copies = BTreeSet::new();
        let mut writable = BTreeSet::new();
        for (step, (start, size)) in steps {
            match step {
                Step::Copy(number) => {
                    if copies.insert(number) {
                        pages.set_copy(frame(number), HostPhys(number << 12));
                    }
                }
                Step::Take(number) => {
                    let taken = pages.take(frame(number)).map(|(copy, _)| copy);
                    let had = copies.remove(&number).then_some(HostPhys(number << 12));
                    prop_assert_eq!(taken, had);
                }
                Step::SetWritable(start, size) => {
                    pages.set_writable(RAM.add(start), size);
                    writable.extend(frames(start, size));
                }
                Step::ClearWritable => {
                    pages.clear_writable();
                    writable.clear();
                }
                Step::TakeAll => {
                    let mut taken = BTreeSet::new();
                    pages.take_all(|copy| assert!(taken.insert(copy.0 >> 12)));
                    prop_assert_eq!(&taken, &copies);
                    copies.clear();
                }
            }
            let none = frames(start, size).all(|number| !copies.contains(&number));
            prop_assert_eq!(pages.unpatched(RAM.add(start), size), none);
            for number in 0..FRAMES {
                let copy = copies.contains(&number).then_some(HostPhys(number << 12));
                prop_assert_eq!(pages.copy(frame(number)), copy);
                prop_assert_eq!(pages.is_writable(frame(number)), writable.contains(&number));
            }
            prop_assert_eq!(pages.copies(), copies.len());
        }
    }
}
