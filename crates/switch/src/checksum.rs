//! The Internet checksum (RFC 1071).

/// The one's complement sum of `bytes` as 16-bit words, in the order that memory has them: a checksum is
/// its complement, stored in that same order (RFC 1071, section 2, "byte order independence").
pub fn sum(bytes: &[u8]) -> u16 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    // Halves of 32 bits: no sum of fewer than 2³¹ words overflows.
    let mut sum: u64 = words
        .iter()
        .chain([&last])
        .map(|word| u64::from_ne_bytes(*word))
        .map(|word| (word & 0xffff_ffff) + (word >> 32))
        .sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// As the RFC has it, a word at a time.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0_u16;
        for pair in bytes.chunks(2) {
            let word = u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
            let (added, carry) = sum.overflowing_add(word);
            sum = added + u16::from(carry);
        }
        sum
    }

    #[test]
    fn the_example_of_the_rfc() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(sum(&bytes).to_ne_bytes(), [0xdd, 0xf2]);
    }

    proptest! {
        #[test]
        fn eight_bytes_at_a_time_sum_as_two(bytes: Vec<u8>) {
            prop_assert_eq!(sum(&bytes).to_ne_bytes(), naive(&bytes).to_be_bytes());
        }

        #[test]
        fn many_carries_sum_as_well(length in 0_usize..1600, bytes in prop::array::uniform8(0xfd_u8..)) {
            let bytes: Vec<u8> = bytes.into_iter().cycle().take(length).collect();
            prop_assert_eq!(sum(&bytes).to_ne_bytes(), naive(&bytes).to_be_bytes());
        }
    }
}
