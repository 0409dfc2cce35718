//! Hosts on which something is missing or strange.

fn main() -> std::process::ExitCode {
    tests::runner::run(Ok(tests::odd_hosts::trials()))
}
