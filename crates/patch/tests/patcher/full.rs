//! What happens when values, routines or copies run out: everything is recycled, and works again.

use isa::address::PAGE_SIZE;
use patch::Placed;
use patch::patcher::Full;

use crate::host::*;

/// `csrr rd, scause`: 32 words, each with a routine of its own.
fn csrr_scause(rd: u32) -> u32 {
    0x1420_2073 | rd << 7
}

#[test]
fn a_full_routine_cache_is_recycled_and_works_again() {
    let mut setup = Setup::new(Sizes { code: 256, ..AMPLE });
    // A routine of 7 words takes a line of 64 bytes.
    for rd in 0..4 {
        setup.patch(at(0, 8 * u64::from(rd)), csrr_scause(rd + 1));
    }
    let fifth = at(1, 0x80);
    assert_eq!(setup.place(fifth, csrr_scause(10)), Err(Full));
    assert_eq!(setup.host.borrow().copies.len(), 1, "no copy for nothing");
    setup.patch(fifth, csrr_scause(1));
    setup.patcher.recycle();
    assert!(setup.host.borrow().copies.is_empty() && setup.patcher.map().is_empty());
    assert_eq!(setup.patcher.routines().used(), 0);
    setup.patch(fifth, csrr_scause(10));
    assert!(setup.serves(fifth, csrr_scause(10)));
    // The first routine's memory is used again, for another word.
    setup.patch(at(0, 0), csrr_scause(1));
    assert!(setup.serves(at(0, 0), csrr_scause(1)));
    assert_eq!(setup.patcher.counts().recycled, 1);
    assert_eq!(setup.patcher.routines().made(), 6);
}

#[test]
fn four_values_serve_four_sites() {
    let mut setup = Setup::new(Sizes { values: 4, ..AMPLE });
    for slot in 0..4 {
        setup.patch(at(slot, 0), SRET);
    }
    assert_eq!(setup.place(at(0, 8), SRET), Err(Full));
    assert_eq!(setup.place(at(5, 8), SRET), Err(Full));
    assert_eq!(
        setup.host.borrow().copies.len(),
        4,
        "the new copy was given back"
    );
    assert_eq!(setup.patcher.pages().copy(at(5, 0)), None);
    // A dropped copy's value serves again.
    setup.patcher.drop_copy(at(2, 0));
    setup.patch(at(5, 8), SRET);
    assert!(setup.serves(at(5, 8), SRET));
    assert_eq!(setup.place(at(0, 8), SRET), Err(Full));
    setup.patcher.recycle();
    setup.patch(at(0, 8), SRET);
    assert!(setup.serves(at(0, 8), SRET));
}

#[test]
fn pages_for_copies_that_run_out_cost_no_value() {
    let mut setup = Setup::new(Sizes { copies: 2, ..AMPLE });
    setup.patch(at(0, 0), SRET);
    setup.patch(at(1, 0), SRET);
    for _ in 0..10 {
        assert_eq!(setup.place(at(2, 0), SRET), Err(Full));
    }
    assert_eq!(setup.patcher.map().len(), 2);
    setup.patch(at(1, 8), SRET);
    setup.patcher.recycle();
    setup.patch(at(2, 0), SRET);
}

#[test]
fn each_of_65536_values_serves_its_site() {
    let frames = 65;
    let mut setup = Setup::new(Sizes {
        frames,
        copies: frames,
        ..AMPLE
    });
    let sites =
        || (0..64).flat_map(|frame| (0..PAGE_SIZE / 4).map(move |slot| at(frame, slot * 4)));
    let word = |place: isa::address::GuestPhys| csrr_scause((place.0 / 4 % 32) as u32);
    for place in sites() {
        setup.patch(place, word(place));
    }
    assert_eq!(setup.patcher.map().len(), 1 << 16);
    assert_eq!(setup.place(at(64, 0), SRET), Err(Full));
    let mut values: Vec<u16> = sites().map(|place| setup.read(place).2).collect();
    values.sort_unstable();
    values.dedup();
    assert_eq!(values.len(), 1 << 16);
    for place in sites() {
        assert!(setup.serves(place, word(place)), "{place:?}");
    }
    setup.patcher.recycle();
    setup.patch(at(64, 0), SRET);
    assert!(setup.serves(at(64, 0), SRET));
    assert!(setup.patcher.pages().unpatched(RAM, 64 * PAGE_SIZE));
}

#[test]
fn recycling_is_not_held_against_a_page_but_a_reset_forgets_all() {
    let mut setup = Setup::new(AMPLE);
    setup.patch(at(1, 0), SRET);
    setup.patcher.recycle();
    setup.patch(at(1, 0), SRET);
    setup.patcher.drop_copy(at(1, 0));
    setup.patcher.pages_mut().set_writable(at(1, 0), 1);
    setup.patcher.reset();
    assert!(!setup.patcher.pages().is_writable(at(1, 0)));
    let first_again = Ok(Placed::Patched { new_copy: true });
    assert_eq!(setup.place(at(1, 0), SRET), first_again);
}
