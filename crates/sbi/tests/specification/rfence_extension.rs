//! Chapter "RFENCE Extension".

use super::*;

fn pages(first: u64, count: u64) -> FenceRange {
    FenceRange::Pages {
        first: GuestVirt(first),
        count,
    }
}

fn range(start: u64, size: u64) -> Result<FenceRange, Outcome> {
    let mut machine = Mock::new(2);
    let outcome = ask(&mut machine, RFENCE, 1, &[0b11, 0, start, size]);
    match machine.take_events().pop() {
        Some(Happening::SfenceVma(harts, range, None)) => {
            assert_eq!((outcome, harts), (ok(0), vec![0, 1]));
            Ok(range)
        }
        None => Err(outcome),
        event => panic!("{event:?}"),
    }
}

#[test]
fn fence_i_reaches_the_harts_of_the_mask() {
    let mut machine = Mock::new(4);
    assert_eq!(ask(&mut machine, RFENCE, 0, &[0b1010, 0]), ok(0));
    assert_eq!(machine.take_events(), [Happening::FenceI(vec![1, 3])]);
}

#[test]
fn zero_and_minus_one_mean_the_entire_address_space() {
    assert_eq!(range(0, 0), Ok(FenceRange::All));
    assert_eq!(range(0, u64::MAX), Ok(FenceRange::All));
    assert_eq!(range(0x1000, u64::MAX), Ok(FenceRange::All));
}

#[test]
fn a_range_is_all_the_pages_it_touches() {
    assert_eq!(range(0x1000, 0x1000), Ok(pages(0x1000, 1)));
    assert_eq!(range(0x1fff, 1), Ok(pages(0x1000, 1)));
    assert_eq!(range(0x1fff, 2), Ok(pages(0x1000, 2)));
    assert_eq!(range(0, 1), Ok(pages(0, 1)));
    assert_eq!(
        range(0xffff_ffff_ffff_f000, 0x1000),
        Ok(pages(0xffff_ffff_ffff_f000, 1))
    );
}

#[test]
fn a_large_range_becomes_the_entire_address_space() {
    assert_eq!(
        range(0x1000, MOST_PAGES * 4096),
        Ok(pages(0x1000, MOST_PAGES))
    );
    assert_eq!(range(0x1000, MOST_PAGES * 4096 + 1), Ok(FenceRange::All));
    assert_eq!(range(0, u64::MAX - 1), Ok(FenceRange::All));
}

#[test]
fn a_range_past_the_end_is_an_invalid_address() {
    assert_eq!(
        range(0xffff_ffff_ffff_f000, 0x1001),
        Err(error(INVALID_ADDRESS))
    );
    assert_eq!(range(3, u64::MAX - 1), Err(error(INVALID_ADDRESS)));
}

#[test]
fn an_address_space_may_be_named() {
    let mut machine = Mock::new(1);
    assert_eq!(
        ask(&mut machine, RFENCE, 2, &[1, 0, 0x2000, 0x1000, 0xffff]),
        ok(0)
    );
    let fence = Happening::SfenceVma(vec![0], pages(0x2000, 1), Some(0xffff));
    assert_eq!(machine.take_events(), [fence]);
    let outcome = ask(&mut machine, RFENCE, 2, &[1, 0, 0x2000, 0x1000, 0x1_0000]);
    assert_eq!(outcome, error(INVALID_PARAM));
    assert_eq!(machine.events, []);
}

#[test]
fn hypervisor_fences_are_not_supported_even_with_a_bad_mask() {
    let mut machine = Mock::new(1);
    for function in 3..=6 {
        for mask in [1, 0b10] {
            let outcome = ask(&mut machine, RFENCE, function, &[mask, 0, 0, 0, 0]);
            assert_eq!(outcome, error(NOT_SUPPORTED));
        }
    }
}

#[test]
fn the_pages_of_a_range_can_be_listed() {
    let pages: Vec<u64> = pages(0x3000, 3)
        .pages()
        .expect("pages")
        .map(|page| page.0)
        .collect();
    assert_eq!(pages, [0x3000, 0x4000, 0x5000]);
    assert!(FenceRange::All.pages().is_none());
}

proptest! {
    #[test]
    fn every_byte_of_a_range_is_fenced(start: u64, size in 1..0x40_0000_u64, at in 0..0x40_0000_u64) {
        prop_assume!(start.checked_add(size).is_some());
        let byte = GuestVirt(start + at % size);
        let range = FenceRange::new(start, size).expect("no wrap");
        if let Some(mut pages) = range.pages() {
            prop_assert!(pages.any(|page| page == byte.page()));
        }
    }
}
