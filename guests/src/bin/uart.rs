//! The 16550: registers as they read back, the divisor latch, FIFO and interrupt identification,
//! loopback, the transmitter's interrupt through the PLIC.
//!
//! Natively the firmware prints through the same UART, so nothing is printed while it is changed.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::board::{self, plic, uart};
    use guests::{code, console, csr, memory, println};

    fn main() {
        console::flush();
        uart::idle();
        let mut seen = [0u8; 64];
        let mut next = 0;
        let mut note = |value: u8| {
            seen[next] = value;
            next += 1;
        };
        for value in [0x00, 0x55, 0xaa, 0xff] {
            uart::write(uart::SCRATCH, value);
            note(uart::read(uart::SCRATCH));
        }
        let line = uart::read(uart::LCR);
        uart::write(uart::LCR, 0x83);
        let divisor = [uart::read(0), uart::read(1)];
        uart::write(0, 0x34);
        uart::write(1, 0x12);
        note(uart::read(0));
        note(uart::read(1));
        uart::write(0, divisor[0]);
        uart::write(1, divisor[1]);
        uart::write(uart::LCR, 0x03);
        note(uart::read(uart::LCR));
        uart::write(uart::LCR, line);
        for value in [0x00, 0x0f, 0xff, 0x05] {
            uart::write(uart::IER, value);
            note(uart::read(uart::IER));
        }
        uart::write(uart::IER, 0);
        uart::idle();
        note(uart::read(uart::LSR));
        uart::write(uart::FCR, 0x01);
        note(uart::read(uart::IIR));
        uart::write(uart::IER, uart::TRANSMITTER_EMPTY);
        note(uart::read(uart::IIR));
        // Reading it has withdrawn the transmitter's interrupt.
        note(uart::read(uart::IIR));
        uart::write(uart::IER, 0);
        note(uart::read(uart::IIR));
        // Loopback: modem lines, then a byte.
        let modem = uart::read(uart::MCR);
        for lines in 0..16 {
            uart::write(uart::MCR, 0x10 | lines);
            note(uart::read(uart::MSR) & 0xf0);
        }
        uart::write(uart::MCR, 0x10);
        uart::write(uart::DATA, 0xa7);
        while uart::read(uart::LSR) & 1 == 0 {}
        note(uart::read(uart::LSR));
        note(uart::read(uart::DATA));
        note(uart::read(uart::LSR));
        uart::write(uart::MCR, modem);
        for (index, value) in seen[..next].iter().enumerate() {
            println!("uart {index}: {value:#04x}");
        }
        console::flush();

        let mut taken = [0u32; 2];
        for _ in 0..50 {
            uart::idle();
            board::enable_uart_interrupt();
            uart::write(uart::IER, uart::TRANSMITTER_EMPTY);
            csr::write!("sie", csr::EXTERNAL);
            let trap = code!("1: j 1b").supervisor().status(csr::SPIE).run();
            csr::write!("sie", 0u64);
            taken[0] += (trap.is_interrupt() && trap.code() == 9) as u32;
            let source: u32 = memory::read(plic::CLAIM);
            taken[1] += (source == uart::SOURCE && uart::read(uart::IIR) & 0xf == 2) as u32;
            uart::write(uart::IER, 0);
            memory::write(plic::CLAIM, source);
        }
        board::drain();
        println!(
            "external interrupts {}, from an empty transmitter {}",
            taken[0], taken[1]
        );
        println!("sip {:#x}", csr::read!("sip"));
    }

    guests::program!(main);
}
