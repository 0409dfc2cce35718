//! Guests that do anything with a network device, and frames of any kind for them.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| virtio::fuzzing::net(input));
