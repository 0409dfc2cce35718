//! The monitor on boards besides QEMU's own.

fn main() -> std::process::ExitCode {
    tests::runner::run(tests::boards::trials())
}
