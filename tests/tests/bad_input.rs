//! Bad input gets one clear line.

fn main() -> std::process::ExitCode {
    tests::runner::run(Ok(tests::bad_input::trials()))
}
