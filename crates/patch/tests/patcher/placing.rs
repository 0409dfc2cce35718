//! A patch in place, and what is left alone.

use patch::{Patch, Placed};

use crate::host::*;

#[test]
fn a_patch_is_a_break_and_a_value_that_leads_to_the_routine() {
    let mut setup = Setup::new(AMPLE);
    setup.patch(at(1, 0x20), CSRCI_SSTATUS);
    setup.patch(at(1, 0x26), SRET);
    assert!(setup.serves(at(1, 0x20), CSRCI_SSTATUS));
    assert!(setup.serves(at(1, 0x26), SRET));
    let (site, _, value) = setup.read(at(1, 0x20));
    assert_eq!(setup.patcher.map().routine(value, site.add(6)), None);
    assert_eq!(setup.patcher.counts().placed, 2);
}

#[test]
fn equal_words_share_a_routine_and_no_value() {
    let mut setup = Setup::new(AMPLE);
    for place in [at(0, 0), at(0, 0x10), at(5, 0x10)] {
        setup.patch(place, CSRCI_SSTATUS);
    }
    setup.patch(at(5, 0x20), WFI);
    let routine = setup.routine(at(0, 0));
    assert_eq!(setup.routine(at(0, 0x10)), routine);
    assert_eq!(setup.routine(at(5, 0x10)), routine);
    assert_ne!(setup.routine(at(5, 0x20)), routine);
    assert_eq!(setup.patcher.routines().made(), 2);
    assert_eq!(setup.patcher.map().len(), 4);
}

#[test]
fn routines_do_not_overlap_and_begin_on_a_cache_line() {
    let mut setup = Setup::new(AMPLE);
    let words: Vec<u32> = (0..32).map(|rd| 0x1000_1073 | rd << 7 | 10 << 15).collect();
    for (slot, &word) in words.iter().enumerate() {
        setup.patch(at(0, 8 * slot as u64), word);
    }
    for (slot, &word) in words.iter().enumerate() {
        let place = at(0, 8 * slot as u64);
        assert!(setup.serves(place, word), "{word:#x}");
        assert_eq!(setup.routine(place).map(|routine| routine % 64), Some(0));
    }
}

#[test]
fn the_break_is_written_before_the_value() {
    let mut setup = Setup::new(AMPLE);
    setup.patch(at(2, 0x30), WFI);
    let (site, _, value) = setup.read(at(2, 0x30));
    let written = &setup.host.borrow().written;
    assert_eq!(*written, [(site, Patch::BREAK), (site.add(2), value)]);
}

#[test]
fn the_original_frame_and_the_rest_of_the_copy_stay_as_the_guest_wrote_them() {
    let mut setup = Setup::new(AMPLE);
    let before = setup.host.borrow().frames.clone();
    setup.patch(at(3, 0xffc), SRET);
    setup.patch(at(3, 0), WFI);
    let (site, _, _) = setup.read(at(3, 0));
    let host = setup.host.borrow();
    assert_eq!(host.frames, before);
    assert_eq!(host.copies[&site.0][2..2046], before[3][2..2046]);
}

#[test]
fn an_instruction_that_straddles_two_pages_is_left_alone() {
    let mut setup = Setup::new(AMPLE);
    assert_eq!(setup.place(at(1, 0xffe), SRET), Ok(Placed::No));
    assert_eq!(setup.patcher.counts().straddling, 1);
    assert!(setup.host.borrow().copies.is_empty() && setup.patcher.map().is_empty());
    setup.patch(at(1, 0xffc), SRET);
}

#[test]
fn an_instruction_without_a_template_is_left_alone() {
    let mut setup = Setup::new(AMPLE);
    // ecall; csrr a0, hpmcounter3; csrw cycle, a0.
    for word in [ECALL, 0xc030_2573, 0xc005_1073] {
        assert_eq!(setup.place(at(1, 0x40), word), Ok(Placed::No), "{word:#x}");
    }
    assert!(setup.host.borrow().copies.is_empty() && setup.patcher.map().is_empty());
    assert_eq!(setup.patcher.routines().used(), 0);
}

#[test]
fn a_site_is_patched_once() {
    let mut setup = Setup::new(AMPLE);
    setup.patch(at(1, 0x40), SRET);
    assert_eq!(setup.place(at(1, 0x40), SRET), Ok(Placed::Served));
    assert_eq!(setup.patcher.map().len(), 1);
}

#[test]
fn patches_do_not_overlap() {
    let mut setup = Setup::new(AMPLE);
    setup.patch(at(1, 0x40), SRET);
    for offset in [0x3e, 0x42] {
        assert_eq!(setup.place(at(1, offset), WFI), Ok(Placed::No));
    }
    setup.patch(at(1, 0x44), WFI);
}

#[test]
fn no_copy_is_made_of_a_frame_that_may_be_written() {
    let mut setup = Setup::new(AMPLE);
    let placed = |new_copy| Ok(Placed::Patched { new_copy });
    setup.patcher.pages_mut().set_writable(at(1, 0), 0x1000);
    assert_eq!(setup.place(at(1, 0), SRET), Ok(Placed::Writable));
    assert_eq!(setup.patcher.pages().copy(at(1, 0)), None);
    assert_eq!(setup.place(at(2, 0), SRET), placed(true));
    setup.patcher.pages_mut().clear_writable();
    assert_eq!(setup.place(at(1, 0), SRET), placed(true));
    assert_eq!(setup.place(at(1, 8), SRET), placed(false));
}

#[test]
fn a_dropped_copy_takes_its_values_along_and_must_be_earned_again() {
    let mut setup = Setup::new(AMPLE);
    setup.patch(at(1, 0x10), SRET);
    setup.patch(at(1, 0x20), WFI);
    setup.patch(at(2, 0x10), SRET);
    let (site, _, value) = setup.read(at(1, 0x20));
    assert!(setup.patcher.drop_copy(at(1, 0xabc)));
    assert!(!setup.patcher.drop_copy(at(1, 0)), "there is none any more");
    assert_eq!(setup.patcher.map().routine(value, site), None);
    assert_eq!(setup.patcher.map().len(), 1);
    assert_eq!(setup.host.borrow().copies.len(), 1);
    assert_eq!(setup.patcher.pages().copy(at(1, 0)), None);
    assert!(setup.serves(at(2, 0x10), SRET));
    // Dropped once: two traps earn the next copy.
    assert_eq!(setup.place(at(1, 0x20), WFI), Ok(Placed::No));
    setup.patch(at(1, 0x20), WFI);
    assert_eq!(setup.patcher.pages().site(at(1, 0x10)), None);
    assert_eq!(setup.patcher.counts().dropped, 1);
}
