//! Where frames go.

use alloc::vec::Vec;
use core::fmt;

use bundle::Mac;

use crate::counters::Counters;
use crate::{Counts, Drop, Frame, Inbox, Port, Ports};

/// Most guests' ports of a switch.
pub const MOST_GUESTS: usize = 63;

/// A guest's port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Guest {
    /// Its address: that of one station.
    pub mac: Mac,
    /// Whether it reaches the uplink.
    pub uplink: bool,
}

/// Why there is no such switch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Error {
    /// There are more than [`MOST_GUESTS`].
    TooMany,
    /// Two guests have this address.
    Twice(Mac),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "there are more than {MOST_GUESTS} network interfaces"),
            Self::Twice(mac) => write!(f, "two network interfaces have the MAC address {mac}"),
        }
    }
}

impl core::error::Error for Error {}

/// The switch.
#[derive(Debug)]
pub struct Switch {
    /// In ascending order.
    by_mac: Vec<(Mac, Port)>,
    guests: Ports,
    guests_with_uplink: Ports,
    guest_counters: Vec<Counters>,
    uplink_counters: Counters,
}

impl Switch {
    /// A switch with the ports [`Port::Guest`] 0 and up for `guests`, and an uplink.
    ///
    /// # Errors
    ///
    /// As [`Error`] says.
    pub fn new(guests: &[Guest]) -> Result<Self, Error> {
        if guests.len() > MOST_GUESTS {
            return Err(Error::TooMany);
        }
        let ports = || (0..).map(Port::Guest).zip(guests);
        let mut by_mac: Vec<_> = ports().map(|(port, guest)| (guest.mac, port)).collect();
        by_mac.sort_unstable();
        if let Some(pair) = by_mac.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::Twice(pair[0].0));
        }
        Ok(Self {
            by_mac,
            guests: ports().map(|(port, _)| port).collect(),
            guests_with_uplink: ports()
                .filter(|(_, guest)| guest.uplink)
                .map(|(port, _)| port)
                .collect(),
            guest_counters: guests.iter().map(|_| Counters::default()).collect(),
            uplink_counters: Counters::default(),
        })
    }

    /// The ports that a frame from `from` goes to, and counts it there; none when it is dropped.
    ///
    /// # Panics
    ///
    /// If there is no port `from`.
    pub fn route(&self, from: Port, frame: &Frame) -> Ports {
        match self.find(from, frame) {
            Ok(ports) => {
                self.of(from).sent(frame.bytes().len());
                ports
            }
            Err(why) => {
                self.dropped(from, why);
                Ports::default()
            }
        }
    }

    /// Puts a frame into the inbox of `to`, or drops it if that is full, and counts what it did.
    /// Returns whether the inbox was empty: then whoever empties it must be told.
    ///
    /// # Panics
    ///
    /// If there is no port `to`.
    pub fn deliver(&self, to: Port, frame: Frame, inbox: &mut Inbox) -> bool {
        let (was_empty, bytes) = (inbox.is_empty(), frame.bytes().len());
        if inbox.push(frame) {
            self.of(to).received(bytes);
        } else {
            self.dropped(to, Drop::Full);
        }
        was_empty
    }

    /// Counts what came from `from` and never became a [`Frame`].
    ///
    /// # Panics
    ///
    /// If there is no port `from`.
    pub fn dropped(&self, from: Port, why: Drop) {
        self.of(from).dropped(why);
    }

    /// What `port` has counted.
    ///
    /// # Panics
    ///
    /// If there is no such port.
    pub fn counts(&self, port: Port) -> Counts {
        self.of(port).read()
    }

    fn find(&self, from: Port, frame: &Frame) -> Result<Ports, Drop> {
        let sender = self.owner(frame.source()).unwrap_or(Port::Uplink);
        if sender != from {
            return Err(Drop::Spoofed);
        }
        // Those that the sender may reach.
        let mut ports = match from {
            Port::Guest(_) => self.guests,
            Port::Uplink => self.guests_with_uplink,
        };
        if self.guests_with_uplink.contains(from) {
            ports.insert(Port::Uplink);
        }
        ports.remove(from);
        if !is_group(frame.destination()) {
            let owner = self.owner(frame.destination()).unwrap_or(Port::Uplink);
            ports = ports.only(owner);
        }
        if ports.is_empty() {
            return Err(Drop::Nobody);
        }
        Ok(ports)
    }

    /// The guest that has this address.
    fn owner(&self, mac: Mac) -> Option<Port> {
        let index = self.by_mac.binary_search_by_key(&mac, |(mac, _)| *mac);
        index.ok().map(|index| self.by_mac[index].1)
    }

    fn of(&self, port: Port) -> &Counters {
        match port {
            Port::Guest(guest) => &self.guest_counters[usize::from(guest)],
            Port::Uplink => &self.uplink_counters,
        }
    }
}

/// Whether the address is that of a group, or of all (IEEE 802-2014, section 8.2.2).
fn is_group(mac: Mac) -> bool {
    mac.0[0] & 1 != 0
}
