//! A short digest of many values, for loops whose every step would be too much to print.

/// FNV-1a over 64-bit words, folded so that every bit counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    #[expect(
        clippy::new_without_default,
        reason = "a digest is always started on purpose"
    )]
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub const fn add(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x100_0000_01b3);
        self.0 ^= self.0 >> 29;
    }

    pub fn add_all(&mut self, values: &[u64]) {
        for &value in values {
            self.add(value);
        }
    }
}

impl core::fmt::Display for Digest {
    fn fmt(&self, out: &mut core::fmt::Formatter) -> core::fmt::Result {
        write!(out, "{:08x}", self.0 as u32 ^ (self.0 >> 32) as u32)
    }
}
