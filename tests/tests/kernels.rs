//! Real kernels as guests.

fn main() -> std::process::ExitCode {
    tests::runner::run(Ok(tests::kernels::trials()))
}
