//! Guests that do anything with a queue and the block device behind it.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| virtio::fuzzing::block(input));
