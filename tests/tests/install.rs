//! The host command, installed.

fn main() -> std::process::ExitCode {
    tests::runner::run(Ok(tests::install::trials()))
}
