//! Guests that do anything with an entropy device.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| virtio::fuzzing::entropy(input));
