//! Ethernet frames.

use alloc::vec::Vec;

use bundle::Mac;

use crate::{Drop, checksum};

/// Bytes of an Ethernet header: destination, source and type.
pub const HEADER: usize = 14;
/// Bytes of the longest frame: header, a VLAN tag and 1500 bytes. There is no frame check sequence.
pub const LONGEST: usize = HEADER + 4 + 1500;

/// A checksum that is not complete: the field holds the sum of the pseudo header, and what is still
/// to be added are the bytes from `start` to the end (virtio 1.2, section 5.1.6.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Partial {
    /// First byte that is summed.
    pub start: u16,
    /// The field of two bytes, counted from `start`.
    pub offset: u16,
}

/// An Ethernet frame without frame check sequence.
///
/// It has [`HEADER`] to [`LONGEST`] bytes, and the field of its partial checksum is inside it and behind
/// the header: so completing the checksum never changes the addresses that the switch looks at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    bytes: Vec<u8>,
    partial: Option<Partial>,
}

impl Frame {
    /// A frame of these bytes.
    ///
    /// # Errors
    ///
    /// [`Drop::Short`], [`Drop::Long`] and [`Drop::Checksum`] for what is not as the type says.
    pub fn new(bytes: Vec<u8>, partial: Option<Partial>) -> Result<Self, Drop> {
        if bytes.len() < HEADER {
            return Err(Drop::Short);
        }
        if bytes.len() > LONGEST {
            return Err(Drop::Long);
        }
        if let Some(Partial { start, offset }) = partial {
            let (start, offset) = (usize::from(start), usize::from(offset));
            if start < HEADER || start + offset + 2 > bytes.len() {
                return Err(Drop::Checksum);
            }
        }
        Ok(Self { bytes, partial })
    }

    /// The bytes, from the destination's address on.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What its checksum lacks, if it is not complete.
    pub fn partial(&self) -> Option<Partial> {
        self.partial
    }

    /// Where it goes.
    pub fn destination(&self) -> Mac {
        self.address(0)
    }

    /// Where it says that it comes from.
    pub fn source(&self) -> Mac {
        self.address(6)
    }

    /// Completes the checksum, for a port whose driver wants it so and for the uplink.
    pub fn complete_checksum(&mut self) {
        let Some(Partial { start, offset }) = self.partial.take() else {
            return;
        };
        let summed = &mut self.bytes[usize::from(start)..];
        let sum = match !checksum::sum(summed) {
            // The other zero: for UDP, 0 says that there is no checksum (RFC 768).
            0 => 0xffff,
            sum => sum,
        };
        summed[usize::from(offset)..][..2].copy_from_slice(&sum.to_ne_bytes());
    }

    fn address(&self, at: usize) -> Mac {
        let mut address = [0; 6];
        address.copy_from_slice(&self.bytes[at..at + 6]);
        Mac(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn partial(start: u16, offset: u16) -> Option<Partial> {
        Some(Partial { start, offset })
    }

    #[test]
    fn frames_of_other_lengths_are_refused() {
        assert_eq!(Frame::new(vec![0; 13], None), Err(Drop::Short));
        assert!(Frame::new(vec![0; 14], None).is_ok());
        assert!(Frame::new(vec![0; 1518], None).is_ok());
        assert_eq!(Frame::new(vec![0; 1519], None), Err(Drop::Long));
    }

    #[test]
    fn a_checksum_outside_the_frame_is_refused() {
        assert!(Frame::new(vec![0; 60], partial(34, 24)).is_ok());
        for (start, offset) in [(34, 25), (60, 0), (65535, 65535), (20, 65535)] {
            let frame = Frame::new(vec![0; 60], partial(start, offset));
            assert_eq!(frame, Err(Drop::Checksum), "{start} {offset}");
        }
    }

    #[test]
    fn a_checksum_does_not_change_the_addresses() {
        for (start, offset) in [(0, 6), (13, 0), (0, 20)] {
            let frame = Frame::new(vec![0; 60], partial(start, offset));
            assert_eq!(frame, Err(Drop::Checksum), "{start} {offset}");
        }
    }

    #[test]
    fn a_sum_of_zero_is_stored_as_all_ones() {
        let mut bytes = vec![0; 18];
        bytes[14..16].copy_from_slice(&[0xff, 0xff]);
        let mut frame = Frame::new(bytes, partial(14, 2)).unwrap();
        frame.complete_checksum();
        assert_eq!(&frame.bytes()[14..], [0xff, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn a_whole_checksum_is_left_alone() {
        let mut frame = Frame::new(vec![7; 60], None).unwrap();
        frame.complete_checksum();
        assert_eq!(frame.bytes(), [7; 60]);
    }

    proptest! {
        /// What a receiver of UDP or TCP does: the sum with the pseudo header must be all ones.
        #[test]
        fn a_receiver_finds_the_checksum_right(
            mut bytes in prop::collection::vec(any::<u8>(), 40..LONGEST),
            pseudo_header in prop::array::uniform12(any::<u8>()),
            offset in 0_u16..4,
        ) {
            // Fields of real protocols are at even offsets.
            let (start, offset) = (34, 2 * offset.min(2));
            let field = usize::from(start + offset);
            let pseudo_sum = checksum::sum(&pseudo_header);
            bytes[field..field + 2].copy_from_slice(&pseudo_sum.to_ne_bytes());
            let mut frame = Frame::new(bytes, partial(start, offset)).unwrap();
            frame.complete_checksum();
            let received = [&pseudo_header, &frame.bytes()[usize::from(start)..]].concat();
            prop_assert_eq!(checksum::sum(&received), 0xffff);
            prop_assert_eq!(frame.partial(), None);
        }
    }
}
