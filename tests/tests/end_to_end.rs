//! The transparency oracle: guest programs natively and under the monitor.

fn main() -> std::process::ExitCode {
    tests::runner::run(tests::oracle::trials())
}
