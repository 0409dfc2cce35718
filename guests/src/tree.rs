//! Reading the flattened device tree (Devicetree Specification, chapter 5).

use crate::{memory, start};

/// The big-endian word there.
pub fn word(address: u64) -> u32 {
    u32::from_be(memory::read(address))
}

/// Whether the bytes at `address` are `text`, ended by a zero.
pub fn is(address: u64, text: &str) -> bool {
    text.bytes()
        .chain([0])
        .enumerate()
        .all(|(index, byte)| memory::read::<u8>(address + index as u64) == byte)
}

/// Whether the bytes at `address` start with `text`.
pub fn starts(address: u64, text: &str) -> bool {
    text.bytes()
        .enumerate()
        .all(|(index, byte)| memory::read::<u8>(address + index as u64) == byte)
}

/// Whether a property's list of strings has `text`.
pub fn lists(address: u64, length: u64, text: &str) -> bool {
    let mut at = address;
    while at < address + length {
        if is(at, text) {
            return true;
        }
        while memory::read::<u8>(at) != 0 {
            at += 1;
        }
        at += 1;
    }
    false
}

/// Calls back with (node's name, property's name, value, length) for all of the tree.
pub fn walk(tree: u64, mut seen: impl FnMut(u64, u64, u64, u64)) {
    let (mut at, strings) = (tree + word(tree + 8) as u64, tree + word(tree + 12) as u64);
    let mut nodes = [0u64; 16];
    let mut depth = 0;
    loop {
        let token = word(at);
        at += 4;
        match token {
            1 => {
                nodes[depth] = at;
                depth += 1;
                while memory::read::<u8>(at) != 0 {
                    at += 1;
                }
                at = (at + 4) & !3;
            }
            2 => depth -= 1,
            3 => {
                let (length, name) = (word(at) as u64, strings + word(at + 4) as u64);
                seen(nodes[depth - 1], name, at + 8, length);
                at = (at + 8 + length + 3) & !3;
            }
            4 => {}
            _ => return,
        }
    }
}

/// The number behind `name=` in /chosen/bootargs.
pub fn argument(name: &str) -> Option<u64> {
    let mut found = None;
    walk(start::device_tree(), |node, property, value, length| {
        if is(node, "chosen") && is(property, "bootargs") {
            let mut at = value;
            while at < value + length {
                if starts(at, name) && memory::read::<u8>(at + name.len() as u64) == b'=' {
                    found = Some(number(at + name.len() as u64 + 1));
                }
                while at < value + length && memory::read::<u8>(at) != b' ' {
                    at += 1;
                }
                at += 1;
            }
        }
    });
    found
}

/// The decimal number there, as far as it goes.
fn number(mut at: u64) -> u64 {
    let mut value = 0u64;
    while let digit @ b'0'..=b'9' = memory::read::<u8>(at) {
        value = value.wrapping_mul(10).wrapping_add((digit - b'0') as u64);
        at += 1;
    }
    value
}

/// The end of memory, and the frequency of `time`.
pub fn machine() -> (u64, u64) {
    let (mut end, mut frequency) = (0, 10_000_000);
    walk(start::device_tree(), |node, property, value, length| {
        let cells = |at| (word(at) as u64) << 32 | word(at + 4) as u64;
        if is(property, "timebase-frequency") {
            frequency = word(value + length - 4) as u64;
        }
        if starts(node, "memory@") && is(property, "reg") {
            end = cells(value) + cells(value + 8);
        }
    });
    (end, frequency)
}
