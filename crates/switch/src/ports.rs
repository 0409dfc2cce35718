//! Ports, and sets of them.

/// A port of the switch.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Port {
    /// A guest's interface, by its number in [`crate::Switch::new`].
    Guest(u8),
    /// The host's network device.
    Uplink,
}

/// A set of ports: the uplink is bit 63, guests are the bits below.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ports(u64);

const UPLINK: u32 = 63;

impl Ports {
    pub(crate) fn insert(&mut self, port: Port) {
        self.0 |= bit(port);
    }

    pub(crate) fn remove(&mut self, port: Port) {
        self.0 &= !bit(port);
    }

    pub(crate) fn contains(self, port: Port) -> bool {
        self.0 & bit(port) != 0
    }

    /// This port alone, if it is among them.
    pub(crate) fn only(self, port: Port) -> Self {
        Self(self.0 & bit(port))
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Guests in the order of their numbers, then the uplink.
impl Iterator for Ports {
    type Item = Port;

    fn next(&mut self) -> Option<Port> {
        let port = match self.0.trailing_zeros() {
            u64::BITS => return None,
            UPLINK => Port::Uplink,
            guest => Port::Guest(guest as u8),
        };
        self.remove(port);
        Some(port)
    }
}

impl FromIterator<Port> for Ports {
    fn from_iter<T: IntoIterator<Item = Port>>(ports: T) -> Self {
        let mut set = Self::default();
        for port in ports {
            set.insert(port);
        }
        set
    }
}

fn bit(port: Port) -> u64 {
    match port {
        Port::Guest(guest) => 1 << guest,
        Port::Uplink => 1 << UPLINK,
    }
}
