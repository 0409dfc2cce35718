//! Names what some bytes look like, for messages about a file that is not what it should be.

/// A beginning of a file and what it says about the file.
struct Sign {
    offset: usize,
    bytes: &'static [u8],
    name: &'static str,
}

const fn sign(offset: usize, bytes: &'static [u8], name: &'static str) -> Sign {
    Sign {
        offset,
        bytes,
        name,
    }
}

/// The signs, the more telling ones first.
const SIGNS: &[Sign] = &[
    sign(512, crate::archive::MAGIC, "a Patchvisor bundle"),
    sign(0x38, b"RSC\x05", "a RISC-V Linux Image"),
    sign(0x38, b"ARM\x64", "an arm64 Linux Image"),
    sign(0x202, b"HdrS", "an x86 Linux bzImage"),
    sign(4, b"zimg", "a compressed EFI kernel (zboot)"),
    sign(0, b"MZ", "an EFI or Windows program"),
    sign(0, b"\x7fELF", "an ELF file"),
    sign(0, b"\x1f\x8b", "a gzip file"),
    sign(0, b"\x28\xb5\x2f\xfd", "a zstd file"),
    sign(0, b"\xfd7zXZ\0", "an xz file"),
    sign(0, b"BZh", "a bzip2 file"),
    sign(0, b"\x02\x21\x4c\x18", "an lz4 file"),
    sign(0, b"\x04\x22\x4d\x18", "an lz4 file"),
    sign(0, b"070701", "a cpio archive (initramfs)"),
    sign(0, b"!<arch>\n", "an ar archive or Debian package"),
    sign(257, b"ustar", "a tar archive"),
    sign(0, b"\xd0\x0d\xfe\xed", "a device tree or FIT image"),
    sign(0, b"\x27\x05\x19\x56", "a legacy U-Boot image"),
    sign(0x28, b"_FVH", FLASH),
    sign(0, b"#!", "a script"),
    sign(0, b"version https://git-lfs", "a Git LFS pointer"),
];

/// UEFI Platform Initialization Specification, volume 3, "Firmware Volume Header".
const FLASH: &str = "UEFI firmware (EDK2) for a board's flash";
const UNKNOWN: &str = "unknown data";
const KERNEL: &str =
    "give a riscv64 Linux Image (or vmlinux of a Debian riscv64 package) or an ELF executable";

/// What to give as a kernel instead of something that [`looks_like`] has named.
pub fn instead(looks_like: &str) -> &'static str {
    match looks_like {
        FLASH => {
            "it runs from a flash that guests do not have: give the system's kernel itself, or U-Boot for S-mode, which \
             boots EFI programs too (uboot.elf of qemu-riscv64_smode in Debian's package u-boot-qemu)"
        }
        UNKNOWN => {
            "if it is a bare binary such as u-boot.bin, give the ELF file that it was made of (uboot.elf), or make \
             one with the address where it belongs: `riscv64-linux-gnu-ld -b binary FILE -Tdata=0x80200000 \
             -e 0x80200000 -o FILE.elf`; else give a riscv64 Linux Image or an ELF executable"
        }
        _ => KERNEL,
    }
}

/// Whether `bytes` begin as a bundle does.
pub fn is_bundle(bytes: &[u8]) -> bool {
    bytes
        .get(512..)
        .is_some_and(|member| member.starts_with(crate::archive::MAGIC))
}

/// Names what `bytes` look like, as a noun with its article.
pub fn looks_like(bytes: &[u8]) -> &'static str {
    if bytes.is_empty() {
        return "an empty file";
    }
    for sign in SIGNS {
        let there = bytes.get(sign.offset..sign.offset + sign.bytes.len());
        if there == Some(sign.bytes) {
            return if sign.bytes == b"\x7fELF" {
                elf(bytes)
            } else {
                sign.name
            };
        }
    }
    if bytes.iter().all(|&byte| byte == 0) {
        return "nothing but zeroes";
    }
    let start = &bytes[..bytes.len().min(256)];
    if start
        .iter()
        .all(|&byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
    {
        return "a text file";
    }
    UNKNOWN
}

/// Names the machine of an ELF file (`e_machine`, in the byte order that `EI_DATA` gives).
fn elf(bytes: &[u8]) -> &'static str {
    let (Some(&class), Some(&order), Some(&[a, b])) =
        (bytes.get(4), bytes.get(5), bytes.get(18..20))
    else {
        return "a cut ELF file";
    };
    let machine = match order {
        2 => u16::from_be_bytes([a, b]),
        _ => u16::from_le_bytes([a, b]),
    };
    match (machine, class) {
        (243, _) if order == 2 => "a big-endian RISC-V ELF file",
        (243, 1) => "a 32-bit RISC-V ELF file",
        (243, _) => "a RISC-V ELF file",
        (62, _) => "an x86-64 ELF file",
        (3, _) => "an x86 ELF file",
        (183, _) => "an arm64 ELF file",
        (40, _) => "an Arm ELF file",
        _ => "an ELF file for another machine",
    }
}
