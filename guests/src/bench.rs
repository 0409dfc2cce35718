//! Timed loops.

use crate::{csr, println};

/// Times `body`, which does `iterations` of one thing, after a first run that warms everything
/// (and lets a monitor make its patches), and prints one line:
/// `bench NAME iterations N time T`, T in ticks of the `time` CSR.
pub fn measure(name: &str, iterations: u64, mut body: impl FnMut()) {
    body();
    let start = csr::read!("time");
    body();
    let time = csr::read!("time") - start;
    println!("bench {name} iterations {iterations} time {time}");
}
