//! Runs a program on QEMU.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::program::MAGIC;

/// No H, no Sstc: the machine that a guest is promised.
const PROCESSOR: &str = "rv64,h=false,sstc=false,v=true,svinval=true,zicbom=true,zicboz=true";

/// Longest that QEMU may run, on a machine that is busy otherwise too.
const LONGEST: Duration = Duration::from_secs(120);

/// Runs `image` as firmware's payload and gives the `length` doublewords that it writes down.
///
/// # Panics
/// When QEMU is not there, or the program does not come to its end.
pub fn run(seed: u64, image: &[u32], length: usize) -> Vec<u64> {
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let (kernel, serial) = (
        directory.path().join(format!("{seed}.bin")),
        directory.path().join(format!("{seed}.out")),
    );
    let bytes: Vec<u8> = image.iter().flat_map(|word| word.to_le_bytes()).collect();
    fs::write(&kernel, bytes).expect("writing the program");

    let mut qemu = Command::new("qemu-system-riscv64")
        .args(["-M", "virt", "-cpu", PROCESSOR, "-m", "128M", "-no-reboot"])
        .args(["-display", "none", "-monitor", "none"])
        .arg("-serial")
        .arg(format!("file:{}", serial.display()))
        .arg("-kernel")
        .arg(&kernel)
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "cannot run qemu-system-riscv64: {error}. \
                 Install the packages qemu-system-riscv and opensbi."
            )
        });
    let start = Instant::now();
    while qemu.try_wait().expect("waiting for QEMU").is_none() {
        if start.elapsed() > LONGEST {
            let _ = qemu.kill();
            let _ = qemu.wait();
            panic!("seed {seed}: the program went astray on QEMU");
        }
        sleep(Duration::from_millis(20));
    }

    let output = fs::read(&serial).expect("what the program wrote down");
    let magic = MAGIC.to_le_bytes();
    let start = output.windows(8).position(|window| window == magic);
    let log = &output[start.unwrap_or_else(|| panic!("seed {seed}: the program did not end"))..];
    let words = log
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    words.take(length).collect()
}
