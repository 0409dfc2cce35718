//! senvcfg and the cache-block instructions that it lets U-mode use. CBIE = 2 is reserved and not
//! written. The values of a machine without the extensions are what is printed on such a one.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::{code, csr, memory, println};

    fn main() {
        let page = memory::page();
        for value in [0u64, 1, 0x10, 0x30, 0x40, 0x80, 0xf1] {
            csr::write!("senvcfg", value);
            println!("senvcfg {value:#x}: {:#x}", csr::read!("senvcfg"));
            for (name, snippet) in [
                ("cbo.zero", code!(".insn i 0x0f, 2, x0, a0, 4")),
                ("cbo.clean", code!(".insn i 0x0f, 2, x0, a0, 1")),
                ("cbo.flush", code!(".insn i 0x0f, 2, x0, a0, 2")),
                ("cbo.inval", code!(".insn i 0x0f, 2, x0, a0, 0")),
            ] {
                for (mode, mut context) in [("S", snippet.supervisor()), ("U", snippet.user())] {
                    memory::write(page + 8, 0x1122u64);
                    memory::write(page + 64, 0x3344u64);
                    context.x[10] = page + 4;
                    let trap = context.run();
                    let left: [u64; 2] = [memory::read(page + 8), memory::read(page + 64)];
                    println!("  {name} in {mode}: {trap} {left:x?}");
                }
            }
        }
        let zero = code!(".insn i 0x0f, 2, x0, a0, 4");
        for hole in [0, 0x80_0000, 0xffff_ffff_ffff_fff4] {
            println!(
                "cbo.zero of {hole:#x}: {}",
                zero.supervisor().with(10, hole).run()
            );
        }
        csr::write!("senvcfg", 0u64);
    }

    guests::program!(main);
}
