//! Guests that do anything with a console device and its ports.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| virtio::fuzzing::console(input));
