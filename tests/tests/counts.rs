//! Instruction counts that may not rise.

fn main() -> std::process::ExitCode {
    tests::runner::run(Ok(tests::counts::trials()))
}
