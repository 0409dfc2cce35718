//! What may go from where to where.

use bundle::Mac;
use proptest::prelude::*;
use switch::{Counts, Drop, Error, Frame, Guest, Inbox, MOST_GUESTS, Port, Switch};

/// Three guests: 0 and 1 have the uplink, 2 has not.
fn switch() -> Switch {
    Switch::new(&[guest(0, true), guest(1, true), guest(2, false)]).unwrap()
}

fn guest(number: u8, uplink: bool) -> Guest {
    let mac = mac(number);
    Guest { mac, uplink }
}

fn mac(guest: u8) -> Mac {
    Mac([0x52, 0x54, 0, 0, 0, guest])
}

/// Some station that is no guest.
const STRANGER: Mac = Mac([2, 0, 0, 0, 0, 9]);
const BROADCAST: Mac = Mac([0xff; 6]);
const MULTICAST: Mac = Mac([1, 0, 0x5e, 0, 0, 1]);

fn frame(destination: Mac, source: Mac) -> Frame {
    let mut bytes = [destination.0, source.0].concat();
    bytes.resize(60, 0);
    Frame::new(bytes, None).unwrap()
}

/// Where a frame from a guest, with its own address, goes.
fn from_guest(from: u8, destination: Mac) -> Vec<Port> {
    let frame = frame(destination, mac(from));
    switch().route(Port::Guest(from), &frame).collect()
}

fn from_uplink(destination: Mac) -> Vec<Port> {
    let frame = frame(destination, STRANGER);
    switch().route(Port::Uplink, &frame).collect()
}

fn drops(counts: Counts, why: Drop) -> u64 {
    counts.dropped[Drop::ALL.iter().position(|drop| *drop == why).unwrap()]
}

#[test]
fn a_frame_to_a_guest_goes_to_that_guest_alone() {
    assert_eq!(from_guest(0, mac(1)), [Port::Guest(1)]);
    assert_eq!(from_guest(0, mac(2)), [Port::Guest(2)]);
    assert_eq!(from_guest(2, mac(0)), [Port::Guest(0)]);
}

#[test]
fn a_frame_to_a_stranger_goes_to_the_uplink_alone() {
    assert_eq!(from_guest(0, STRANGER), [Port::Uplink]);
}

#[test]
fn a_guest_without_uplink_reaches_no_stranger() {
    assert_eq!(from_guest(2, STRANGER), []);
}

#[test]
fn a_guest_does_not_reach_itself() {
    assert_eq!(from_guest(0, mac(0)), []);
}

#[test]
fn a_frame_to_a_group_goes_to_all_others() {
    for group in [BROADCAST, MULTICAST] {
        let expected = [Port::Guest(1), Port::Guest(2), Port::Uplink];
        assert_eq!(from_guest(0, group), expected);
    }
}

#[test]
fn a_group_of_a_guest_without_uplink_is_the_guests() {
    assert_eq!(from_guest(2, BROADCAST), [Port::Guest(0), Port::Guest(1)]);
}

#[test]
fn the_uplink_reaches_guests_that_have_it() {
    assert_eq!(from_uplink(mac(1)), [Port::Guest(1)]);
    assert_eq!(from_uplink(mac(2)), []);
    assert_eq!(from_uplink(BROADCAST), [Port::Guest(0), Port::Guest(1)]);
}

#[test]
fn the_uplink_is_no_way_back_to_the_uplink() {
    assert_eq!(from_uplink(STRANGER), []);
}

#[test]
fn no_guest_sends_with_another_address() {
    let switch = switch();
    for source in [mac(1), STRANGER, BROADCAST, Mac([0; 6])] {
        let ports = switch.route(Port::Guest(0), &frame(mac(2), source));
        assert!(ports.is_empty(), "{source}");
    }
    let counts = switch.counts(Port::Guest(0));
    assert_eq!(drops(counts, Drop::Spoofed), 4);
    assert_eq!(counts.sent_frames, 0);
}

#[test]
fn nothing_comes_from_the_uplink_with_an_address_of_a_guest() {
    let switch = switch();
    for source in [mac(0), mac(2)] {
        let ports = switch.route(Port::Uplink, &frame(mac(1), source));
        assert!(ports.is_empty(), "{source}");
    }
    assert_eq!(drops(switch.counts(Port::Uplink), Drop::Spoofed), 2);
}

#[test]
fn what_is_sent_is_counted_once_however_many_get_it() {
    let switch = switch();
    let _ = switch.route(Port::Guest(0), &frame(BROADCAST, mac(0)));
    let _ = switch.route(Port::Guest(0), &frame(mac(0), mac(0)));
    let counts = switch.counts(Port::Guest(0));
    assert_eq!((counts.sent_frames, counts.sent_bytes), (1, 60));
    assert_eq!(drops(counts, Drop::Nobody), 1);
}

#[test]
fn a_full_inbox_drops_and_the_receiver_counts() {
    let switch = switch();
    let mut inbox = Inbox::new();
    let was_empty: Vec<bool> = (0..=Inbox::MOST_FRAMES)
        .map(|_| switch.deliver(Port::Guest(1), frame(mac(1), mac(0)), &mut inbox))
        .collect();
    assert!(was_empty[0]);
    assert!(!was_empty[1..].contains(&true));
    assert_eq!(inbox.len(), Inbox::MOST_FRAMES);
    let counts = switch.counts(Port::Guest(1));
    assert_eq!(counts.received_frames, Inbox::MOST_FRAMES as u64);
    assert_eq!(counts.received_bytes, 60 * Inbox::MOST_FRAMES as u64);
    assert_eq!(drops(counts, Drop::Full), 1);
}

#[test]
fn frames_wait_in_their_order() {
    let switch = switch();
    let mut inbox = Inbox::new();
    for destination in [mac(1), BROADCAST] {
        switch.deliver(Port::Guest(1), frame(destination, mac(0)), &mut inbox);
    }
    assert_eq!(inbox.first().unwrap().destination(), mac(1));
    assert_eq!(inbox.pop().unwrap().destination(), mac(1));
    assert_eq!(inbox.pop().unwrap().destination(), BROADCAST);
    assert_eq!(inbox.pop(), None);
}

#[test]
fn no_two_guests_have_one_address() {
    let error = Switch::new(&[guest(0, true), guest(1, true), guest(0, false)]).unwrap_err();
    assert_eq!(error, Error::Twice(mac(0)));
}

#[test]
fn there_are_ports_for_63_guests() {
    let guests: Vec<Guest> = (0..64).map(|number| guest(number, true)).collect();
    assert_eq!(Switch::new(&guests).unwrap_err(), Error::TooMany);
    let switch = Switch::new(&guests[..MOST_GUESTS]).unwrap();
    let ports = switch.route(Port::Guest(0), &frame(BROADCAST, mac(0)));
    assert_eq!(ports.count(), 63);
    let ports: Vec<Port> = switch
        .route(Port::Guest(0), &frame(mac(62), mac(0)))
        .collect();
    assert_eq!(ports, [Port::Guest(62)]);
}

fn any_mac() -> impl Strategy<Value = Mac> {
    prop_oneof![
        (0_u8..6).prop_map(mac),
        Just(STRANGER),
        Just(BROADCAST),
        Just(MULTICAST)
    ]
}

proptest! {
    /// The table of the crate's documentation, each receiver judged by itself.
    #[test]
    fn every_port_gets_what_the_table_says(
        uplinks in prop::collection::vec(any::<bool>(), 1..6),
        from in 0_usize..6,
        destination in any_mac(),
        source in any_mac(),
    ) {
        let guests: Vec<Guest> = (0..).zip(&uplinks).map(|(number, &uplink)| guest(number, uplink)).collect();
        let switch = Switch::new(&guests).unwrap();
        let from = guests.get(from).map_or(Port::Uplink, |_| Port::Guest(from as u8));
        let has_uplink = |port: Port| match port {
            Port::Guest(number) => uplinks[usize::from(number)],
            Port::Uplink => true,
        };
        let owner = |mac: Mac| guests.iter().position(|guest| guest.mac == mac)
            .map_or(Port::Uplink, |number| Port::Guest(number as u8));
        let is_group = destination == BROADCAST || destination == MULTICAST;

        let everyone = (0..guests.len() as u8).map(Port::Guest).chain([Port::Uplink]);
        let expected: Vec<Port> = everyone
            .filter(|&to| to != from)
            .filter(|_| owner(source) == from)
            .filter(|&to| is_group || owner(destination) == to)
            .filter(|&to| from != Port::Uplink || has_uplink(to))
            .filter(|&to| to != Port::Uplink || has_uplink(from))
            .collect();
        let got: Vec<Port> = switch.route(from, &frame(destination, source)).collect();
        prop_assert_eq!(got, expected);
    }
}
