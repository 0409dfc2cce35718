//! Spins for `seconds=` (4) with steal-time accounting on (SBI, chapter "Steal-time Accounting
//! Extension"), and prints how much of the time was stolen.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::{csr, memory, println, sbi, tree};

    /// Offsets in the shared structure.
    const SEQUENCE: u64 = 0;
    const STEAL: u64 = 8;

    fn main() {
        let (_, frequency) = tree::machine();
        let seconds = tree::argument("seconds").unwrap_or(4);
        let area = memory::page();
        let reply = sbi::call(sbi::STA, 0, [area, 0, 0, 0, 0, 0]);
        assert_eq!(reply.error, 0, "set_steal_time_shmem");
        let start = csr::read!("time");
        let mut last = 0;
        while csr::read!("time") < start + seconds * frequency {
            let steal = steal(area);
            assert!(steal >= last, "steal time went from {last} to {steal}");
            last = steal;
        }
        let elapsed = csr::read!("time") - start;
        println!(
            "stolen {} of {} ms",
            last / 1_000_000,
            elapsed * 1000 / frequency
        );
    }

    /// The steal time in ns. The sequence is odd, or changes, while it is being written.
    fn steal(area: u64) -> u64 {
        loop {
            let before: u32 = memory::read(area + SEQUENCE);
            let steal = memory::read(area + STEAL);
            let after: u32 = memory::read(area + SEQUENCE);
            if before == after && before.is_multiple_of(2) {
                return steal;
            }
        }
    }

    guests::program!(main);
}
