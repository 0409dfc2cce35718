//! A BREAK on the line: Linux takes the key after it for Magic SysRq.

use super::{CTRL_T, LIMIT, SOON, Statement, board, shell, statements};
use crate::devices::linux;
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use patchvisor::Console;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

pub fn trials() -> impl Iterator<Item = Trial> {
    let trial: Statement = ("a_break_and_a_key_are_magic_sysrq", sysrq);
    statements([trial])
}

fn sysrq() -> Result<()> {
    let (guest, _initramfs) = linux("linux", "echo the line is open; sleep 100000")?;
    let (machine, _bundle) = board(&[guest], Console::Switched, 1)?;
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("qmp");
    let listens = format!("unix:{},server=on,wait=off", socket.display());
    let mut run = machine.args(["-qmp", &listens]).spawn()?;
    run.expect("the line is open", LIMIT)?;
    // What is typed beside it is not lost.
    run.send(&format!("{CTRL_T}bh"))?;
    run.expect("sysrq: HELP", SOON)?;
    shell(&mut run)?;
    run.send("break linux\r")?;
    run.expect("linux gets a BREAK", SOON)?;
    run.send(&format!("{CTRL_T}1h"))?;
    run.expect("sysrq: HELP", SOON)?;
    line_break(&socket)?;
    run.send("h")?;
    run.expect("sysrq: HELP", SOON)?;
    run.send(&format!("{CTRL_T}bo"))?;
    run.expect("sysrq: Power Off", SOON)?;
    let outcome = run.wait(LIMIT)?;
    ensure!(outcome.success(), "it did not power off");
    Ok(())
}

/// Has QEMU give its UART a BREAK, as Ctrl-A b does.
fn line_break(socket: &Path) -> Result<()> {
    let mut stream = UnixStream::connect(socket).context("QEMU's QMP socket")?;
    stream.set_read_timeout(Some(SOON))?;
    let mut answers = BufReader::new(stream.try_clone()?).lines();
    answers.next().context("no greeting")??;
    for command in [
        r#"{"execute":"qmp_capabilities"}"#,
        r#"{"execute":"chardev-send-break","arguments":{"id":"serial0"}}"#,
    ] {
        writeln!(stream, "{command}")?;
        let answer = answers.next().context("no answer")??;
        ensure!(answer.contains("return"), "{command}: {answer}");
    }
    Ok(())
}
