//! The generator of random bytes: whatever sources there are, mixed, and a new key after each output.
//!
//! The key is a hash of all that was mixed in, so that the output can be guessed only by who knows every source. Each
//! output comes with the next key, which takes the place of the one that made it ("fast key erasure"): who
//! sees one output, or the key of a later moment, learns nothing of the others.

#![no_std]
#![forbid(unsafe_code)]

use blake2::{Blake2s256, Digest};
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};

const KEY: usize = 32;
/// Bytes of sources from which on there is output: 128 bits, if they are what they are said to be.
const ENOUGH: usize = 16;

/// The generator.
#[derive(Default)]
pub struct Generator {
    key: [u8; KEY],
    /// Bytes that sources gave.
    given: usize,
}

impl Generator {
    /// Mixes in what a source gave. Sources of different names are told apart.
    pub fn mix(&mut self, source: &str, bytes: &[u8]) {
        self.stir(source, bytes);
        self.given = self.given.saturating_add(bytes.len());
    }

    /// Mixes in what others may know, such as the time: it is no source, but keeps two boots with the same
    /// sources apart.
    pub fn stir(&mut self, source: &str, bytes: &[u8]) {
        let mut hash = Blake2s256::new();
        hash.update(self.key);
        for part in [source.as_bytes(), bytes] {
            // With its length, so that no two lists of parts are the same input.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        self.key = hash.finalize().into();
    }

    /// Whether sources have given enough for output.
    pub fn is_seeded(&self) -> bool {
        self.given >= ENOUGH
    }

    /// Fills `buffer` with bytes that nobody can guess; false, and it is left alone, without enough from
    /// sources.
    pub fn fill(&mut self, buffer: &mut [u8]) -> bool {
        if !self.is_seeded() {
            return false;
        }
        let mut stream = ChaCha20Rng::from_seed(self.key);
        stream.fill_bytes(&mut self.key);
        stream.fill_bytes(buffer);
        true
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::BTreeSet;

    fn seeded(sources: &[(&str, &[u8])]) -> Generator {
        let mut generator = Generator::default();
        for (source, bytes) in sources {
            generator.mix(source, bytes);
        }
        generator
    }

    fn next(generator: &mut Generator) -> [u8; 32] {
        let mut bytes = [0; 32];
        assert!(generator.fill(&mut bytes));
        bytes
    }

    #[test]
    fn nothing_comes_out_before_enough_went_in() {
        let mut generator = seeded(&[("short", &[1; 15])]);
        generator.stir("time", &[2; 64]);
        let mut bytes = [7; 32];
        assert!(!generator.is_seeded() && !generator.fill(&mut bytes));
        assert_eq!(bytes, [7; 32]);
        generator.mix("another", &[3]);
        assert!(generator.is_seeded() && generator.fill(&mut bytes));
    }

    #[test]
    fn no_output_comes_twice() {
        let mut generator = seeded(&[("a", &[1; 32])]);
        let all: BTreeSet<_> = (0..10_000).map(|_| next(&mut generator)).collect();
        assert_eq!(all.len(), 10_000);
    }

    #[test]
    fn each_source_changes_everything() {
        let (a, b): (&[u8], &[u8]) = (&[1; 32], &[2; 32]);
        let mut others = [
            seeded(&[("a", a)]),
            seeded(&[("b", b)]),
            seeded(&[("b", a)]),
            seeded(&[("a", a), ("b", b)]),
            seeded(&[("b", b), ("a", a)]),
            // The same bytes, divided otherwise.
            seeded(&[("a", &[1; 16]), ("a", &[1; 16])]),
        ];
        let firsts: BTreeSet<_> = others.iter_mut().map(next).collect();
        assert_eq!(firsts.len(), 6);
        let mut stirred = seeded(&[("a", a)]);
        stirred.stir("time", &[0]);
        assert!(!firsts.contains(&next(&mut stirred)));
    }

    #[test]
    fn the_key_that_made_an_output_is_gone() {
        let mut generator = seeded(&[("a", &[1; 32])]);
        let key = generator.key;
        let output = next(&mut generator);
        assert_ne!(generator.key, key);
        assert_ne!(generator.key, output);
        // Nor does an output tell the next key: it is another part of the stream.
        assert_ne!(next(&mut generator), output);
    }

    #[test]
    fn sources_go_on_counting_after_the_first_output() {
        let mut left = seeded(&[("a", &[1; 32])]);
        let mut right = seeded(&[("a", &[1; 32])]);
        assert_eq!(next(&mut left), next(&mut right));
        left.mix("later", &[9; 32]);
        assert_ne!(next(&mut left), next(&mut right));
    }
}
