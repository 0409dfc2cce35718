//! SBI: the base extension, unknown extensions and functions, and that calls keep all registers but
//! a0 and a1. The implementation's id and version are its own; so is the specification's version.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::{code, csr, println, sbi};

    fn main() {
        let version = sbi::call(sbi::BASE, 0, [0; 6]);
        println!(
            "specification: error {} at least 0.3: {}",
            version.error,
            version.value >= 3
        );
        for function in 1..3 {
            println!(
                "implementation, function {function}: error {}",
                sbi::call(sbi::BASE, function, [0; 6]).error
            );
        }
        for (name, function) in [("mvendorid", 4), ("marchid", 5), ("mimpid", 6)] {
            println!("{name}: {}", sbi::call(sbi::BASE, function, [0; 6]));
        }
        for (name, extension) in [
            ("BASE", sbi::BASE),
            ("TIME", sbi::TIME),
            ("IPI", sbi::IPI),
            ("RFENCE", sbi::RFENCE),
            ("HSM", sbi::HSM),
            ("SRST", sbi::SRST),
            ("none", 0x1234_5678),
            ("none", u64::MAX),
            ("vendor", 0x0a00_0000),
        ] {
            let reply = sbi::call(sbi::BASE, 3, [extension, 0, 0, 0, 0, 0]);
            println!(
                "probe {name} {extension:#x}: error {} present {}",
                reply.error,
                reply.value != 0
            );
        }
        for (extension, function) in [
            (sbi::BASE, 7),
            (sbi::BASE, 1000),
            (sbi::BASE, u64::MAX),
            (sbi::TIME, 1),
            (sbi::IPI, 1),
            (sbi::RFENCE, 99),
            (sbi::HSM, 50),
            (sbi::SRST, 1),
            (0x1234_5678, 0),
            (0x0800_0000, 0),
            (0x7fff_ffff, 3),
            (0xffff_ffff, 0),
            (0x20, 0),
        ] {
            println!(
                "extension {extension:#x} function {function:#x}: error {}",
                sbi::call(extension, function, [0; 6]).error
            );
        }
        for extension in [0x1234_5678, sbi::BASE, sbi::TIME] {
            let mut context = code!("ecall").supervisor();
            for index in 1..32 {
                context.x[index] = 0x8421_8421_8421_8421_u64.rotate_left(index as u32);
            }
            context.x[10] = u64::MAX;
            context.x[16] = 0;
            context.x[17] = extension;
            let before = context.clone();
            let trap = context.run();
            println!("{extension:#x}: {trap} a0 {:#x}", context.x[10]);
            for index in (1..10).chain(12..32) {
                if context.x[index] != before.x[index] {
                    println!(
                        "  {} changed to {:#x}",
                        csr::register(index),
                        context.x[index]
                    );
                }
            }
        }
        sbi::set_timer(u64::MAX);
        let refused = code!("ecall").user().with(17, sbi::BASE).run();
        println!("from U it is the kernel's: {refused}");
    }

    guests::program!(main);
}
