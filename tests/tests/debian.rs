//! A whole Debian on disks, its installer, disks of other kinds, and disks whose host is killed.

fn main() -> std::process::ExitCode {
    let mut trials = tests::debian::trials();
    trials.extend(tests::disks::trials());
    trials.extend(tests::kill::trials());
    tests::runner::run(Ok(trials))
}
