//! A guest that has gone astray: its trap vector points to where nothing is, and it jumps there too.
//! No handler will ever run again. A native machine would fault forever.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::{code, console, csr, println};

    fn main() {
        println!("about to jump into nothing");
        console::flush();
        csr::write!("stvec", 0x80_0000u64);
        code!("li t0, 0x900000", "jr t0").run();
        println!("came back from nothing");
    }

    guests::program!(main);
}
