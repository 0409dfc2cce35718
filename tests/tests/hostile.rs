//! Machines that attack, each beside a witness.

fn main() -> std::process::ExitCode {
    tests::runner::run(tests::hostile::trials())
}
