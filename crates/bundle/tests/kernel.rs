//! Kernels: the two forms that boot, and a line that names anything else.

use bundle::kernel::{Kernel, KernelError, Segment, parse};
use proptest::prelude::*;

const BASE: u64 = 0x8000_0000;

/// An `Image` of `length` bytes that wants `image_size` bytes.
fn image(text_offset: u64, image_size: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length.max(64)];
    bytes[8..16].copy_from_slice(&text_offset.to_le_bytes());
    bytes[16..24].copy_from_slice(&image_size.to_le_bytes());
    bytes[48..56].copy_from_slice(b"RISCV\0\0\0");
    bytes[56..60].copy_from_slice(b"RSC\x05");
    bytes
}

/// Gives an image an EFI stub: a PE header at 64 with one section of `size` bytes at 4096.
fn with_stub(mut bytes: Vec<u8>, size: u32) -> Vec<u8> {
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c..0x40].copy_from_slice(&64u32.to_le_bytes());
    bytes[64..68].copy_from_slice(b"PE\0\0");
    bytes[70..72].copy_from_slice(&1u16.to_le_bytes());
    bytes[84..86].copy_from_slice(&160u16.to_le_bytes());
    let section = 64 + 24 + 160;
    bytes[section + 16..section + 20].copy_from_slice(&size.to_le_bytes());
    bytes[section + 20..section + 24].copy_from_slice(&4096u32.to_le_bytes());
    bytes
}

struct Load {
    vaddr: u64,
    paddr: u64,
    offset: u64,
    file_size: u64,
    memory_size: u64,
}

/// An ELF64 executable for RISC-V of 8 KiB whose byte `n` of the content is `n`.
fn elf(entry: u64, loads: &[Load]) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..8192u32).map(|n| n as u8).collect();
    let mut put = |at: usize, data: &[u8]| bytes[at..at + data.len()].copy_from_slice(data);
    put(0, b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    put(16, &2u16.to_le_bytes());
    put(18, &243u16.to_le_bytes());
    put(20, &1u32.to_le_bytes());
    put(24, &entry.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(40, &0u64.to_le_bytes());
    put(48, &0u32.to_le_bytes());
    put(52, &64u16.to_le_bytes());
    put(54, &56u16.to_le_bytes());
    put(56, &(loads.len() as u16).to_le_bytes());
    put(58, &[0; 6]);
    for (index, load) in loads.iter().enumerate() {
        let at = 64 + 56 * index;
        put(at, &1u32.to_le_bytes());
        put(at + 4, &5u32.to_le_bytes());
        put(at + 8, &load.offset.to_le_bytes());
        put(at + 16, &load.vaddr.to_le_bytes());
        put(at + 24, &load.paddr.to_le_bytes());
        put(at + 32, &load.file_size.to_le_bytes());
        put(at + 40, &load.memory_size.to_le_bytes());
        put(at + 48, &4096u64.to_le_bytes());
    }
    bytes
}

fn load(vaddr: u64, paddr: u64, file_size: u64, memory_size: u64) -> Load {
    Load {
        vaddr,
        paddr,
        offset: 0x1000,
        file_size,
        memory_size,
    }
}

#[test]
fn an_image_goes_to_its_text_offset_and_its_bss_follows() {
    let bytes = image(0x20_0000, 0x10_0000, 0x8000);
    let kernel = parse(&bytes, BASE).unwrap();
    let segment = Segment {
        address: BASE + 0x20_0000,
        bytes: &bytes,
        memory_size: 0x10_0000,
    };
    assert_eq!(kernel.entry, segment.address);
    assert_eq!(
        kernel.span(),
        (segment.address, segment.address + 0x10_0000)
    );
    assert_eq!(kernel.segments, [segment]);
}

#[test]
fn an_image_that_understates_its_size_is_still_copied_whole() {
    let bytes = image(0, 0, 0x8000);
    assert_eq!(parse(&bytes, BASE).unwrap().segments[0].memory_size, 0x8000);
}

#[test]
fn an_image_with_a_stub_is_cut_short_below_its_last_section() {
    let bytes = with_stub(image(0x20_0000, 0x10_0000, 0x3000), 0x2000);
    assert!(parse(&bytes, BASE).is_ok());
    for length in 1024..bytes.len() {
        let cut = KernelError::CutShort {
            have: length as u64,
            need: 0x3000,
        };
        assert_eq!(parse(&bytes[..length], BASE), Err(cut));
    }
}

#[test]
fn images_with_absurd_headers_are_refused() {
    assert!(matches!(
        parse(&image(u64::MAX, 1, 64), BASE),
        Err(KernelError::Malformed(_))
    ));
    assert!(matches!(
        parse(&image(0, u64::MAX, 64), BASE),
        Err(KernelError::Malformed(_))
    ));
    let mut big_endian = image(0, 64, 64);
    big_endian[24] = 1;
    assert!(matches!(
        parse(&big_endian, BASE),
        Err(KernelError::Unsuitable(_))
    ));
}

#[test]
fn elf_segments_go_to_physical_addresses_in_order() {
    let bytes = elf(
        BASE + 0x10,
        &[
            load(BASE + 0x10_0000, BASE + 0x10_0000, 4, 0x2000),
            load(BASE, BASE, 0x800, 0x800),
        ],
    );
    let kernel = parse(&bytes, BASE).unwrap();
    let expected = Kernel {
        entry: BASE + 0x10,
        segments: vec![
            Segment {
                address: BASE,
                bytes: &bytes[0x1000..0x1800],
                memory_size: 0x800,
            },
            Segment {
                address: BASE + 0x10_0000,
                bytes: &bytes[0x1000..0x1004],
                memory_size: 0x2000,
            },
        ],
    };
    assert_eq!(kernel, expected);
}

#[test]
fn a_virtual_elf_entry_becomes_physical() {
    let high = 0xffff_ffff_8000_0000;
    let bytes = elf(high + 0x42, &[load(high, BASE, 0x800, 0x800)]);
    assert_eq!(parse(&bytes, BASE).unwrap().entry, BASE + 0x42);
}

#[test]
fn elf_files_that_contradict_themselves_are_refused() {
    let overlap = [
        load(BASE, BASE, 16, 0x1000),
        load(BASE + 8, BASE + 8, 16, 0x1000),
    ];
    let refused = [
        elf(BASE, &overlap),
        elf(BASE + 0x1000, &[load(BASE, BASE, 16, 0x1000)]),
        elf(BASE, &[load(BASE, BASE, 0x1000, 0x800)]),
        elf(BASE, &[load(BASE, BASE, 16, u64::MAX)]),
        elf(BASE, &[]),
    ];
    for bytes in refused {
        assert!(matches!(
            parse(&bytes, BASE),
            Err(KernelError::Malformed(_))
        ));
    }
}

#[test]
fn other_files_are_named() {
    let line = |bytes: &[u8]| parse(bytes, BASE).unwrap_err().to_string();
    let elf_for = |class: u8, machine: u8| {
        let mut bytes = vec![0; 64];
        bytes[..4].copy_from_slice(b"\x7fELF");
        (bytes[4], bytes[5], bytes[18]) = (class, 1, machine);
        bytes
    };
    let mut zboot = b"MZ\0\0zimg".to_vec();
    zboot.resize(4096, 0);
    assert!(line(b"").contains("an empty file"));
    assert!(line(b"\x1f\x8b\x08").contains("a gzip file"));
    assert!(line(&zboot).contains("zboot"));
    assert!(line(&elf_for(2, 62)).contains("an x86-64 ELF file"));
    assert!(line(&elf_for(2, 183)).contains("an arm64 ELF file"));
    let mut big_endian = elf_for(2, 0);
    (big_endian[5], big_endian[19]) = (2, 243);
    assert!(line(&big_endian).contains("a big-endian RISC-V ELF file"));
    assert!(line(&elf_for(1, 243)).contains("a 32-bit RISC-V ELF file"));
    assert!(line(b"#!/bin/sh\n").contains("a script"));
}

#[test]
fn no_truncation_panics() {
    let whole = [
        elf(BASE, &[load(BASE, BASE, 0x1000, 0x2000)]),
        with_stub(image(0x20_0000, 0x10_0000, 0x3000), 0x2000),
    ];
    for bytes in whole {
        assert!(parse(&bytes, BASE).is_ok());
        for length in 0..bytes.len() {
            // An image needs only its header where the stub's header is cut away.
            if let Ok(kernel) = parse(&bytes[..length], BASE) {
                assert!(kernel.segments[0].bytes.len() <= length);
            }
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_headers_never_panic(
        form in 0..3,
        mut bytes in prop::collection::vec(any::<u8>(), 0..512),
    ) {
        match form {
            0 if bytes.len() > 60 => bytes[56..60].copy_from_slice(b"RSC\x05"),
            1 if bytes.len() > 64 => {
                bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
                bytes[16..20].copy_from_slice(&[2, 0, 243, 0]);
                bytes[52..58].copy_from_slice(&[64, 0, 56, 0, 3, 0]);
            }
            _ => {}
        }
        if let Ok(kernel) = parse(&bytes, BASE) {
            let (start, end) = kernel.span();
            prop_assert!((start..end).contains(&kernel.entry));
        }
    }
}

#[test]
fn a_program_that_runs_anywhere_goes_into_ram() {
    let load = |address| Load {
        vaddr: address,
        paddr: address,
        offset: 0x100,
        file_size: 16,
        memory_size: 32,
    };
    let mut bytes = elf(0x1_0004, &[load(0x1_0000), load(0x1_2000)]);
    // At a fixed address it stays there, where the guest has no RAM.
    assert_eq!(parse(&bytes, BASE).unwrap().span().0, 0x1_0000);
    bytes[16..18].copy_from_slice(&3u16.to_le_bytes());
    let kernel = parse(&bytes, BASE).unwrap();
    assert_eq!(kernel.span(), (BASE + 0x21_0000, BASE + 0x21_2020));
    assert_eq!(kernel.entry, BASE + 0x21_0004);
    // One that is linked into RAM is where it wants to be.
    let mut inside = elf(BASE, &[load(BASE)]);
    inside[16..18].copy_from_slice(&3u16.to_le_bytes());
    assert_eq!(parse(&inside, BASE).unwrap().entry, BASE);
    // PT_INTERP.
    bytes[64 + 56..64 + 60].copy_from_slice(&3u32.to_le_bytes());
    let error = parse(&bytes, BASE).unwrap_err().to_string();
    assert!(error.contains("interpreter"), "{error}");
}

#[test]
fn what_a_guest_cannot_boot_is_told_with_what_can() {
    let mut flash = vec![0; 4096];
    flash[0x28..0x2c].copy_from_slice(b"_FVH");
    let message = |bytes: &[u8]| parse(bytes, BASE).unwrap_err().to_string();
    assert!(message(&flash).contains("uboot.elf"));
    assert!(message(&[0x80; 100]).contains("-Tdata=0x80200000"));
}
