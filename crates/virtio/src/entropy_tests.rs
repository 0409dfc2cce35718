//! Tests of the entropy device.

use isa::address::GuestPhys;

use crate::testing::{BASE, Driver, Part, Ram, start};
use crate::{Broken, Entropy, Mmio};

const DATA: GuestPhys = GuestPhys(BASE.0 + 0x1_0000);

fn started() -> (Mmio<Entropy>, Driver, Ram) {
    let mut mmio = Mmio::new(Entropy);
    let driver = Driver::new(BASE, 64);
    start(&mut mmio, 0, &[&driver]);
    (mmio, driver, Ram::new(0x4_0000))
}

/// A generator whose bytes are 1, 2, 3 and so on.
fn counter() -> impl FnMut(&mut [u8]) {
    let mut next = 0_u8;
    move |bytes| {
        for byte in bytes {
            next = next.wrapping_add(1);
            *byte = next;
        }
    }
}

#[test]
fn a_request_is_filled_piece_by_piece() {
    let (mut mmio, mut driver, mut ram) = started();
    let parts = [Part::write(DATA, 3), Part::write(DATA.add(100), 2)];
    driver.add(&mut ram, &parts);
    assert!(!mmio.serve(&mut counter(), &mut ram));
    assert_eq!(driver.used(&ram), Some((0, 5)));
    assert_eq!(ram.get(DATA), [1, 2, 3, 0]);
    assert_eq!(ram.get(DATA.add(100)), [4, 5, 0]);
    assert!(mmio.interrupt());
}

#[test]
fn a_request_gets_4096_bytes_at_most() {
    let (mut mmio, mut driver, mut ram) = started();
    driver.add(&mut ram, &[Part::write(DATA, 4098)]);
    assert!(!mmio.serve(&mut counter(), &mut ram));
    assert_eq!(driver.used(&ram), Some((0, 4096)));
    assert_eq!(ram.get(DATA.add(4095)), [0, 0, 0]);
    assert_eq!(ram.get(DATA.add(4094)), [255, 0]);
}

#[test]
fn a_call_gives_64_kib_at_most() {
    let (mut mmio, mut driver, mut ram) = started();
    for _ in 0..20 {
        driver.add(&mut ram, &[Part::write(DATA, 0x2_0000)]);
    }
    let mut given = 0;
    let mut fill = |bytes: &mut [u8]| given += bytes.len();
    assert!(mmio.serve(&mut fill, &mut ram));
    assert!(!mmio.serve(&mut fill, &mut ram));
    assert_eq!(given, 20 * 4096);
    let answered = core::iter::from_fn(|| driver.used(&ram)).count();
    assert_eq!(answered, 20);
}

#[test]
fn a_request_without_room_breaks_the_queue() {
    let (mut mmio, mut driver, mut ram) = started();
    driver.add(&mut ram, &[Part::read(DATA, 16)]);
    assert!(!mmio.serve(&mut counter(), &mut ram));
    assert_eq!(mmio.broken(), Some(Broken::Request));
}
