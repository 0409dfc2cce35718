//! Virtio devices of several VMs.

fn main() -> std::process::ExitCode {
    let trials = [tests::devices::trials(), tests::uplink::trials()];
    tests::runner::run(Ok(trials.into_iter().flatten().collect()))
}
