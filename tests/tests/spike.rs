//! The programs on another host than QEMU.

fn main() -> std::process::ExitCode {
    tests::runner::run(tests::spike::trials())
}
