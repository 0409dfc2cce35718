//! Several VMs on one board, and Linux on several harts.

fn main() -> std::process::ExitCode {
    let trials = [
        tests::vms::trials(),
        tests::linux_vms::trials(),
        tests::seeds::trials(),
    ];
    tests::runner::run(Ok(trials.into_iter().flatten().collect()))
}
