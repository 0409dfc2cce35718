//! MAC addresses for interfaces that were given none.

use alloc::collections::BTreeSet;

use bundle::Mac;

/// The addresses in use.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    taken: BTreeSet<Mac>,
}

impl Addresses {
    /// None but those that the user gave.
    pub fn given(given: impl IntoIterator<Item = Mac>) -> Self {
        Self {
            taken: given.into_iter().collect(),
        }
    }

    /// An address for interface `index` of VM `vm`, both counted from 0: `52:54:00:vv:vv:ii`, which is
    /// locally administered, or the next one after it that is not taken. It is taken from now on.
    pub fn choose(&mut self, vm: u16, index: u8) -> Mac {
        let [high, low] = vm.to_be_bytes();
        let mut number = u32::from_be_bytes([0, high, low, index]);
        loop {
            let [_, a, b, c] = number.to_be_bytes();
            let mac = Mac([0x52, 0x54, 0, a, b, c]);
            if self.taken.insert(mac) {
                return mac;
            }
            number = number.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn an_address_tells_vm_and_interface() {
        let mut addresses = Addresses::default();
        assert_eq!(addresses.choose(0x102, 3).to_string(), "52:54:00:01:02:03");
    }

    #[test]
    fn given_addresses_are_avoided() {
        let given = ["52:54:00:00:00:00", "52:54:00:00:00:01"].map(|mac| mac.parse().unwrap());
        let mut addresses = Addresses::given(given);
        let first = addresses.choose(0, 0);
        let second = addresses.choose(0, 1);
        assert_eq!(first.to_string(), "52:54:00:00:00:02");
        assert_eq!(second.to_string(), "52:54:00:00:00:03");
    }

    #[test]
    fn the_last_address_is_followed_by_the_first() {
        let mut addresses = Addresses::given(["52:54:00:ff:ff:ff".parse().unwrap()]);
        let mac = addresses.choose(0xffff, 0xff);
        assert_eq!(mac.to_string(), "52:54:00:00:00:00");
    }
}
