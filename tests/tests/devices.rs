//! Virtio devices of several VMs.

fn main() -> std::process::ExitCode {
    tests::runner::run(Ok(tests::devices::trials()))
}
