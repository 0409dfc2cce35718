//! The monitor on boards besides QEMU's own, and on QEMU's own with other interrupt controllers.

fn main() -> std::process::ExitCode {
    let trials = tests::boards::trials().map(|mut trials| {
        trials.extend(tests::controllers::trials());
        trials.extend(tests::levels::trials());
        trials.extend(tests::host_memory::trials());
        trials
    });
    tests::runner::run(trials)
}
