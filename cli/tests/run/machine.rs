//! Running machines: what the library does with a console, an exit status, a machine that never ends.

use crate::{SOON, Script, TWO_VMS};
use patchvisor::qemu::Outcome;
use std::path::PathBuf;
use std::time::Duration;

/// The least time between two lines whose times are compared.
const LATER: Duration = Duration::from_millis(150);

fn texts(outcome: &Outcome, vm: &str) -> Vec<String> {
    let lines = outcome.lines_of(vm).iter();
    lines.map(|line| line.text.clone()).collect()
}

#[test]
fn a_console_is_captured_with_its_end_and_its_status() {
    let outcome = Script::new("printf 'one\\r\\ntwo'; echo complaint >&2; exit 3").run(SOON);
    assert_eq!(outcome.text(), "one\ntwo\n");
    assert_eq!(outcome.status.unwrap().code(), Some(3));
    assert_eq!(outcome.complaints, "complaint\n");
    assert!(!outcome.success() && !outcome.timed_out());
}

#[test]
fn a_machine_that_never_ends_is_ended() {
    let script = Script::new("trap '' TERM; echo up; while :; do sleep 0.1; done");
    let mut run = script.machine().spawn().unwrap();
    run.expect("up", SOON).unwrap();
    let outcome = run.wait(Duration::from_millis(500)).unwrap();
    assert!(outcome.timed_out());
    assert_eq!(outcome.text(), "up\n");
}

#[test]
fn what_is_typed_arrives_and_answers_are_found_in_order() {
    let script = Script::new("echo name?; read name; echo hello $name; read rest; exit 0");
    let mut run = script.machine().spawn().unwrap();
    run.expect("name?", SOON).unwrap();
    run.send("hart\n").unwrap();
    run.expect("hello hart", SOON).unwrap();
    let error = run.expect("name?", Duration::from_millis(200)).unwrap_err();
    assert!(error.to_string().contains("hello hart"), "{error}");
    run.send("\n").unwrap();
    assert!(run.wait(SOON).unwrap().success());
}

#[test]
fn expecting_from_a_machine_that_has_ended_fails_at_once() {
    let script = Script::new("echo bye");
    let mut run = script.machine().spawn().unwrap();
    let error = run.expect("hello", SOON).unwrap_err().to_string();
    assert!(
        error.contains("ended without") && error.contains("bye"),
        "{error}"
    );
}

#[test]
fn dropping_a_run_ends_its_machine() {
    let script = Script::new("echo $$; exec sleep 1000");
    let mut run = script.machine().spawn().unwrap();
    run.expect("\n", SOON).unwrap();
    let process = PathBuf::from("/proc").join(run.text().trim());
    assert!(process.exists());
    drop(run);
    assert!(!process.exists());
}

#[test]
fn each_vm_of_a_prefixed_console_has_its_own_lines_and_times() {
    let script = Script::new(TWO_VMS);
    let machine = script.machine().prefixed(["a", "b"]);
    let mut run = machine.spawn().unwrap();
    run.expect_from("b", "a.c", SOON).unwrap();
    std::thread::sleep(LATER);
    run.send("\n").unwrap();
    let outcome = run.wait(SOON).unwrap();
    let long = format!("{}end", "x".repeat(512));
    assert_eq!(texts(&outcome, "a")[..2], ["PV:boot".to_owned(), long]);
    assert_eq!(texts(&outcome, "b"), ["cc -c \\", "a.c", "PV:boot"]);
    let booted = |vm| patchvisor::qemu::marker(outcome.lines_of(vm), "PV:boot").unwrap();
    assert!(booted("b") >= booted("a") + LATER);
}

#[test]
fn a_prompt_of_a_vm_is_found_and_logged_while_its_line_goes_on() {
    let script = Script::new(
        r#"
        printf 'b| login: \r\na| log\r\npatchvisor: a word\r\na+ in: \r\n'
        read name
        printf "a+ $name\r\n"
        printf 'a| # \r\n'
        read command
        "#,
    );
    let logs = script.path("logs");
    let machine = script.machine().prefixed(["a", "b"]).logs(&logs);
    let log = || std::fs::read_to_string(logs.join("a.log")).unwrap();
    let mut run = machine.spawn().unwrap();
    run.expect_from("a", "login: ", SOON).unwrap();
    assert_eq!(log(), "login: ");
    run.send("root\n").unwrap();
    run.expect_from("a", "# ", SOON).unwrap();
    assert_eq!(log(), "login: root\n# ");
    assert!(run.expect_from("c", "# ", SOON).is_err());
    run.send("exit\n").unwrap();
    let outcome = run.wait(SOON).unwrap();
    assert_eq!(log(), "login: root\n# \n");
    assert_eq!(texts(&outcome, "a"), ["login: root", "# "]);
    assert_eq!(texts(&outcome, "b"), ["login: "]);
    assert!(outcome.lines_of("c").is_empty());
}

#[test]
fn each_vm_has_its_own_statistics_and_a_guest_cannot_fake_them() {
    let script = Script::new(TWO_VMS);
    let machine = script.machine().prefixed(["a", "b"]);
    let mut run = machine.spawn().unwrap();
    run.send("\n").unwrap();
    let outcome = run.wait(SOON).unwrap();
    assert_eq!(outcome.stats_of("a").unwrap().privileged, 4);
    assert_eq!(outcome.stats_of("b").unwrap().privileged, 8);
    assert!(outcome.stats_of("c").is_err());
    assert_eq!(outcome.all_stats().unwrap().len(), 2);
    assert_eq!(outcome.monitor_error(), None);
    assert!(outcome.success());
}

#[test]
fn what_cannot_come_any_more_is_not_waited_for() {
    let script = Script::new("echo a unit failed; sleep 1000");
    let mut run = script.machine().spawn().unwrap();
    let error = run.expect_unless("login: ", SOON, |line| line.contains("failed"));
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("there will be no") && error.contains("a unit failed"),
        "{error}"
    );
    let script =
        Script::new("echo a unit failed; echo login:; read name; echo a unit failed; sleep 1000");
    let mut run = script.machine().spawn().unwrap();
    run.expect("login:", SOON).unwrap();
    // What came before the call has been judged.
    let error = run.expect_unless("no", Duration::from_millis(100), |line| {
        line.contains("failed")
    });
    assert!(error.unwrap_err().to_string().contains("within"));
    run.send("\n").unwrap();
    assert!(
        run.expect_unless("no", SOON, |line| line.contains("failed"))
            .is_err()
    );
}
