//! What is an interrupt of its own for the PLIC: a UART and a clock whose lines stay up, while they are claimed,
//! completed, and looked at. `sip` is looked at only after something that the PLIC decides upon: whether it
//! follows a write of `enable` at once is where QEMU and the specification differ.
//!
//! Natively the firmware prints through the same UART, so nothing is printed while it is changed.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::board::{self, plic, uart};
    use guests::{code, console, csr, memory, println};

    const RTC: u64 = 0x10_1000;
    const ALARM_LOW: u64 = RTC + 0x08;
    const ALARM_HIGH: u64 = RTC + 0x0c;
    const CLOCK_INTERRUPTS: u64 = RTC + 0x10;
    const CLEAR: u64 = RTC + 0x1c;
    const CLOCK: u32 = 11;
    const RECEIVED: u8 = 1;
    const LINE_STATUS: u8 = 4;

    /// What was seen, to be printed when the UART is as it was.
    struct Notes {
        seen: [(&'static str, u32); 64],
        next: usize,
    }

    impl Notes {
        fn note(&mut self, what: &'static str, value: u32) {
            self.seen[self.next] = (what, value);
            self.next += 1;
        }

        /// Claims: what, what is pending then, and whether the hart has more.
        fn claim(&mut self, what: &'static str) -> u32 {
            let source: u32 = memory::read(plic::CLAIM);
            self.note(what, source);
            self.state("  then");
            source
        }

        fn complete(&mut self, source: u32) {
            memory::write(plic::CLAIM, source);
            self.state("  completed");
        }

        fn state(&mut self, what: &'static str) {
            let pending: u32 = memory::read(plic::PENDING);
            let hart = csr::read!("sip") & csr::EXTERNAL != 0;
            let sources = pending & (1 << uart::SOURCE | 1 << CLOCK);
            self.note(what, sources << 4 | u32::from(hart));
        }
    }

    fn main() {
        memory::write(plic::priority(CLOCK), 1u32);
        memory::write(plic::priority(uart::SOURCE), 1u32);
        memory::write(plic::THRESHOLD, 0u32);
        memory::write(plic::ENABLE, 1u32 << uart::SOURCE | 1 << CLOCK);
        board::drain();
        console::flush();
        uart::idle();
        let mut notes = Notes {
            seen: [("", 0); 64],
            next: 0,
        };
        transmitter(&mut notes);
        receiver(&mut notes);
        clock(&mut notes);
        uart::write(uart::IER, 0);
        board::drain();
        for (what, value) in &notes.seen[..notes.next] {
            println!("{what} {value:#x}");
        }
        console::flush();
        let taken = storm();
        println!("interrupts of a handler that looks at nothing: {taken}");
        for value in [0xffff_ffffu32, 1, 0] {
            memory::write(plic::ENABLE, value);
            println!("enable {:#x}", memory::read::<u32>(plic::ENABLE));
        }
    }

    /// An empty transmitter whose interrupt is never looked at.
    fn transmitter(notes: &mut Notes) {
        uart::write(uart::IER, uart::TRANSMITTER_EMPTY);
        let source = notes.claim("transmitter");
        notes.complete(source);
        notes.claim("nothing new");
        uart::write(uart::IER, uart::TRANSMITTER_EMPTY);
        notes.state("written again");
        uart::write(uart::IER, uart::TRANSMITTER_EMPTY | LINE_STATUS);
        let source = notes.claim("changed");
        uart::write(uart::FCR, 1);
        notes.state("FIFO control, while claimed");
        notes.complete(source);
        let source = notes.claim("once more");
        uart::read(uart::IIR);
        notes.complete(source);
        notes.claim("looked at");
        uart::write(uart::IER, 0);
    }

    /// Two bytes that loop back. The FIFO asks for four, so that a byte interrupts by time-out, which is waited
    /// for: it comes when QEMU's timer has run out.
    fn receiver(notes: &mut Notes) {
        let modem = uart::read(uart::MCR);
        uart::write(uart::FCR, 0x41);
        uart::write(uart::MCR, 0x10);
        uart::write(uart::IER, RECEIVED);
        loop_back();
        wait_for_timeout();
        let source = notes.claim("received");
        uart::read(uart::LSR);
        uart::read(uart::IIR);
        notes.state("status read");
        loop_back();
        notes.state("another byte, while claimed");
        uart::read(uart::DATA);
        wait_for_timeout();
        notes.state("a byte read, while claimed");
        notes.complete(source);
        let source = notes.claim("the other byte");
        uart::read(uart::DATA);
        notes.complete(source);
        notes.claim("all read");
        uart::write(uart::IER, 0);
        uart::write(uart::FCR, 1);
        uart::write(uart::MCR, modem);
    }

    fn loop_back() {
        uart::write(uart::DATA, b'a');
        uart::idle();
    }

    fn wait_for_timeout() {
        while uart::read(uart::IIR) & 0xf != 0xc {}
    }

    /// An alarm that is due at once.
    fn clock(notes: &mut Notes) {
        memory::write(ALARM_HIGH, 0u32);
        memory::write(CLOCK_INTERRUPTS, 1u32);
        memory::write(ALARM_LOW, 1u32);
        let source = notes.claim("alarm");
        notes.complete(source);
        notes.claim("still up");
        memory::write(CLOCK_INTERRUPTS, 1u32);
        let source = notes.claim("enabled again");
        memory::write(ALARM_LOW, 1u32);
        notes.state("another alarm, while claimed");
        memory::write(CLEAR, 1u32);
        notes.state("cleared");
        notes.complete(source);
        let source = notes.claim("of the alarm that was cleared");
        notes.complete(source);
        memory::write(CLOCK_INTERRUPTS, 0u32);
        notes.claim("none");
    }

    /// How many of 1000 looks find an interrupt, of a transmitter that is empty all the time, where the handler
    /// claims and completes and reads no register of the UART.
    fn storm() -> u32 {
        let mut taken = 0;
        uart::idle();
        uart::write(uart::IER, uart::TRANSMITTER_EMPTY);
        csr::write!("sie", csr::EXTERNAL);
        for _ in 0..1000 {
            let trap = code!("nop").supervisor().status(csr::SPIE).run();
            if trap.is_interrupt() {
                taken += 1;
                let source: u32 = memory::read(plic::CLAIM);
                memory::write(plic::CLAIM, source);
            }
        }
        csr::write!("sie", 0u64);
        uart::write(uart::IER, 0);
        board::drain();
        taken
    }

    guests::program!(main);
}
