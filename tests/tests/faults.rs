//! Faults of the monitor itself.

fn main() -> std::process::ExitCode {
    tests::runner::run(Ok(tests::faults::trials()))
}
