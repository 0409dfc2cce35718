//! The debug console and the legacy console: writing bytes, empty and long strings, reading nothing.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::{console, memory, print, println, sbi};

    fn main() {
        let text = memory::page();
        for index in 0..4096u64 {
            memory::write(text + index, b'a' + (index % 26) as u8);
        }
        console::flush();
        for length in [0, 1, 26, 300] {
            let mut sent = 0;
            let mut error = 0;
            while sent < length && error == 0 {
                let reply = sbi::call(sbi::DBCN, 0, [length - sent, text + sent, 0, 0, 0, 0]);
                error = reply.error;
                sent += reply.value;
            }
            println!();
            println!("wrote {sent}: error {error}");
            console::flush();
        }
        let reply = sbi::call(sbi::DBCN, 2, [b'!' as u64, 0, 0, 0, 0, 0]);
        println!(" write byte: error {}", reply.error);
        println!(
            "wrote none: {}",
            sbi::call(sbi::DBCN, 0, [0, text, 0, 0, 0, 0])
        );
        println!(
            "read with no input: {}",
            sbi::call(sbi::DBCN, 1, [16, text, 0, 0, 0, 0])
        );
        println!(
            "read none: {}",
            sbi::call(sbi::DBCN, 1, [0, text, 0, 0, 0, 0])
        );
        println!(
            "function 3: error {}",
            sbi::call(sbi::DBCN, 3, [0; 6]).error
        );
        println!(
            "legacy getchar with no input: {}",
            sbi::call(2, 0, [0; 6]).error
        );
        print!("legacy putchar: ");
        console::flush();
        for byte in *b"legacy\n" {
            sbi::call(1, 0, [byte as u64, 0, 0, 0, 0, 0]);
        }
        println!(
            "legacy set timer: {}",
            sbi::call(0, 0, [u64::MAX, 0, 0, 0, 0, 0]).error
        );
        println!("legacy clear IPI: {}", sbi::call(3, 0, [0; 6]).error);
        let mask = memory::page();
        memory::write(mask, 1u64 << guests::start::hart());
        println!(
            "legacy send IPI: {}",
            sbi::call(4, 0, [mask, 0, 0, 0, 0, 0]).error
        );
        while guests::csr::read!("sip") & guests::csr::SOFTWARE == 0 {}
        guests::csr::write!("sip", 0u64);
        println!(
            "legacy remote fence.i: {}",
            sbi::call(5, 0, [mask, 0, 0, 0, 0, 0]).error
        );
        println!(
            "legacy remote sfence.vma: {}",
            sbi::call(6, 0, [mask, 0, 0x1000, 0, 0, 0]).error
        );
        println!(
            "legacy remote sfence.vma with ASID: {}",
            sbi::call(7, 0, [mask, 0, 0x1000, 1, 0, 0]).error
        );
    }

    guests::program!(main);
}
