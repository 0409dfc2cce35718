//! A process that ends when this one does, however this one ends.
//!
//! Linux sends it a signal (prctl(2), `PR_SET_PDEATHSIG`) when the thread that started it ends, so one thread starts
//! all of them and stays. util-linux's `setpriv` asks for that signal between fork and exec, where this program would
//! need `unsafe`; a shell sees to it that this process has not ended before.

use crate::path;
use anyhow::{Context, Result, bail};
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};

/// What the shell executes: its `$0` is the process that must still be its parent.
const STILL_THERE: &str = r#"[ "$PPID" = "$0" ] && exec "$@""#;

/// A command that is to be started, and who waits for that.
type Job = (Command, SyncSender<std::io::Result<Child>>);

/// The thread that starts processes.
static STARTER: LazyLock<Sender<Job>> = LazyLock::new(|| {
    let (jobs, received) = channel::<Job>();
    std::thread::spawn(move || {
        for (mut command, answer) in received {
            // Who asked waits, unless it has ended.
            let _ = answer.send(command.spawn());
        }
    });
    jobs
});

/// Starts a program with these arguments, which gets SIGTERM when this process ends. `prepare` says what its
/// standard input and outputs are.
///
/// # Errors
/// When there is no such program, or none of those that tie it to this one.
pub fn start(command: &Command, prepare: impl FnOnce(&mut Command)) -> Result<Child> {
    let program = command.get_program();
    if path::find(program).is_none() {
        bail!(
            "{} cannot be started: `patchvisor doctor` says what to install, or name another in $QEMU",
            program.to_string_lossy()
        );
    }
    let mut tied = Command::new("setpriv");
    tied.args(["--pdeathsig", "TERM", "--", "sh", "-c", STILL_THERE])
        .arg(std::process::id().to_string())
        .arg(program)
        .args(command.get_args());
    prepare(&mut tied);
    let (answer, answered) = sync_channel(1);
    STARTER
        .send((tied, answer))
        .ok()
        .and_then(|()| answered.recv().ok())
        .context("the thread that starts programs has ended")?
        .context("setpriv cannot be started: install util-linux, which has it")
}
