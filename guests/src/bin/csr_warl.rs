//! What each S-mode CSR gives back for walking ones, walking zeros, none and all.
//!
//! Evened out: FS and VS (see `csr::normal`); sstatus.UXL keeps its value, its other values being
//! optional; scounteren is compared in CY, TM and IR only, the rest being counters a machine may
//! lack; bit 0 of sepc, which QEMU 10.0 keeps, is not written; stvec's reserved modes and senvcfg.CBIE = 2 are not written.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::{context, csr, println};

    macro_rules! walk {
        ($name:literal, keep $keep:expr, set $set:expr, normal $normal:expr) => {{
            println!("{}", $name);
            let mut last = None;
            for pattern in 0..130 {
                let value = match pattern {
                    0..64 => 1u64 << pattern,
                    64..128 => !(1u64 << (pattern - 64)),
                    128 => 0,
                    _ => u64::MAX,
                };
                csr::write!($name, value & $keep | $set);
                let normal: fn(u64) -> u64 = $normal;
                let read = normal(csr::read!($name));
                csr::write!($name, 0u64);
                if last != Some(read) || pattern >= 128 {
                    println!("  {value:#018x}: {read:#018x}");
                }
                last = Some(read);
            }
            println!("  then 0: {:#x}", csr::read!($name));
        }};
    }

    fn main() {
        walk!("sstatus", keep !(csr::SIE | 3 << 32), set 0, normal csr::normal);
        walk!("sie", keep 0x222, set 0, normal |value| value);
        walk!("scounteren", keep 7, set 0, normal |value| value & 7);
        walk!("sscratch", keep u64::MAX, set 0, normal |value| value);
        walk!("sepc", keep !1, set 0, normal |value| value);
        walk!("scause", keep 0x8000_0000_0000_000f, set 0, normal |value| value);
        walk!("stval", keep u64::MAX, set 0, normal |value| value);
        walk!("senvcfg", keep !0x20, set 0, normal |value| value);
        walk!("stvec", keep !2, set 0, normal |value| value);
        context::reset();
    }

    guests::program!(main);
}
