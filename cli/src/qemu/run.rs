//! A machine that runs: its console is captured, it can be spoken to, and it always ends.

use super::console::{self, Capture, Line, Show};
use super::logs::Logs;
use super::prefixed::Captures;
use super::reports::Reports;
use super::tied;
use crate::stats::{self, Stats};
use anyhow::{Context, Result, bail};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long QEMU may take to leave after it was asked to.
const GRACE: Duration = Duration::from_secs(3);
/// Lines at the end of a console among which the monitor's last one is.
const LAST_LINES: usize = 4;
/// Most bytes, and as many of lines, that are kept of the console of a machine that people look at, and
/// of each VM that shares it.
const SEEN: usize = 256 << 10;
/// The same where a program looks at it, to which all that it prints is the record.
const RECORDED: usize = 64 << 20;
/// Bytes that are read at once.
const CHUNK: usize = 4096;
/// Most chunks that have been read and not yet been taken. Then QEMU waits, and with it the guest.
const WAITING_CHUNKS: usize = 256;
/// Most bytes of QEMU's own messages that are kept.
const COMPLAINTS: u64 = 1 << 20;
/// How often a machine that has closed its console is asked whether it has ended.
const POLL: Duration = Duration::from_millis(10);

/// How the console is joined to this process.
#[derive(Debug)]
pub(super) struct Console {
    /// Whether the board stays on when the monitor has ended, so that its last line is the end.
    pub stays_on: bool,
    /// Whether this process's standard input is the console's keyboard.
    pub keyboard: bool,
    /// Where the output is shown as it comes.
    pub show: Option<Show>,
    /// The VMs that share the console, if it is prefixed.
    pub vms: Vec<String>,
    /// The files that it is written to.
    pub logs: Option<Logs>,
}

/// A QEMU that was started. It is ended when this is dropped.
#[derive(Debug)]
pub struct Run {
    child: Child,
    started: Instant,
    chunks: Receiver<(Instant, Vec<u8>)>,
    complaints: Option<JoinHandle<String>>,
    stdin: Option<ChildStdin>,
    capture: Capture,
    /// A prefixed console taken apart.
    apart: Option<Captures>,
    console: Console,
    /// The terminal's settings before QEMU changed them.
    terminal: Option<Termios>,
}

/// How a machine ended, and what its console said.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// QEMU's exit status, or the monitor's where the board stays on; `None` when it was ended for taking too long.
    pub status: Option<ExitStatus>,
    /// From start to end.
    pub elapsed: Duration,
    /// The console's output in lines, the newest of them if there was very much of it.
    pub lines: Vec<Line>,
    /// The VMs that shared the console, if it was prefixed.
    pub vms: Vec<String>,
    /// The lines of each VM, then the monitor's; empty if the console was not prefixed.
    apart: Vec<Vec<Line>>,
    /// What the monitor reported, as far as that can be told.
    reports: Reports,
    /// What QEMU itself had to say, and what became of the log files if they could not be written.
    pub complaints: String,
}

impl Run {
    pub(super) fn start(command: &Command, console: Console) -> Result<Self> {
        let terminal = match console.keyboard {
            true => tcgetattr(std::io::stdin()).ok(),
            false => None,
        };
        let started = Instant::now();
        let mut child = tied::start(command, |command| {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.stdin(match console.keyboard {
                true => Stdio::inherit(),
                false => Stdio::piped(),
            });
        })?;
        let stdin = child.stdin.take();
        let mut output = child.stdout.take().context("no pipe for QEMU's output")?;
        let mut errors = child.stderr.take().context("no pipe for QEMU's errors")?;
        let (sender, chunks) = sync_channel(WAITING_CHUNKS);
        std::thread::spawn(move || {
            let mut buffer = [0; CHUNK];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                if sender
                    .send((Instant::now(), buffer[..count].to_vec()))
                    .is_err()
                {
                    break;
                }
            }
        });
        let complaints = std::thread::spawn(move || {
            let mut text = Vec::new();
            // What was read before an error is all there is to report. The first messages tell the most.
            let _ = errors.by_ref().take(COMPLAINTS).read_to_end(&mut text);
            let mut text = String::from_utf8_lossy(&text).into_owned();
            if let Ok(more @ 1..) = std::io::copy(&mut errors, &mut std::io::sink()) {
                text += &format!("\n... and {more} bytes more\n");
            }
            text
        });
        let most = if console.keyboard { SEEN } else { RECORDED };
        Ok(Self {
            child,
            started,
            chunks,
            complaints: Some(complaints),
            stdin,
            capture: Capture::new(most),
            apart: (!console.vms.is_empty()).then(|| Captures::new(&console.vms, most)),
            console,
            terminal,
        })
    }

    /// The id of QEMU's process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the console has said so far, in lines that have ended.
    pub fn lines(&self) -> &[Line] {
        self.capture.lines()
    }

    /// What one VM has said so far, as [`Outcome::lines_of`] gives it, in lines that have ended.
    pub fn lines_of(&self, vm: &str) -> &[Line] {
        match &self.apart {
            None => self.lines(),
            Some(apart) => apart.lines_of(vm),
        }
    }

    /// What the console has said so far.
    pub fn text(&self) -> String {
        self.text_since(0)
    }

    /// What the console has said after its first `position` bytes.
    pub fn text_since(&self, position: usize) -> String {
        String::from_utf8_lossy(self.capture.since(position)).into_owned()
    }

    /// How many bytes the console has said so far.
    pub fn position(&self) -> usize {
        self.capture.position()
    }

    /// Types `text` on the console.
    ///
    /// # Errors
    /// When the machine has ended, or the keyboard is this process's own.
    pub fn send(&mut self, text: &str) -> Result<()> {
        let stdin = self
            .stdin
            .as_mut()
            .context("the keyboard belongs to the terminal")?;
        stdin
            .write_all(text.as_bytes())
            .and_then(|()| stdin.flush())
            .context("the machine has ended")
    }

    /// Waits until `text` appears after what the last call found; returns when that was, counted
    /// from the start of the machine.
    ///
    /// This is the console as it came: on a prefixed one, names may stand in the midst of a text.
    ///
    /// # Errors
    /// When `limit` passes or the machine ends first; the last lines are in the message.
    pub fn expect(&mut self, text: &str, limit: Duration) -> Result<Duration> {
        self.wait_for(text, limit, |run, looked| run.capture.find(text, looked))
    }

    /// [`Self::expect`], unless a line comes first after which `text` cannot be expected.
    ///
    /// # Errors
    /// Those of [`Self::expect`], and at once when `is_hopeless` says so of a line that has ended since the call.
    pub fn expect_unless(
        &mut self,
        text: &str,
        limit: Duration,
        is_hopeless: impl Fn(&str) -> bool,
    ) -> Result<Duration> {
        let looked_at = Cell::new(self.capture.ended());
        let hopeless = RefCell::new(None);
        let found = self.wait_for(text, limit, |run, looked| {
            let mut new = run.capture.lines_since(looked_at.get()).iter();
            let line = new.find(|line| is_hopeless(&line.text));
            looked_at.set(run.capture.ended());
            *hopeless.borrow_mut() = line.map(|line| line.text.clone());
            line.is_some() || run.capture.find(text, looked)
        })?;
        match hopeless.into_inner() {
            Some(line) => bail!("there will be no {text:?}, for the console says: {line}"),
            None => Ok(found),
        }
    }

    /// Waits until one VM says `text` on a prefixed console, after what the last call for this VM
    /// found. The same as [`Self::expect`] if the console is not prefixed.
    ///
    /// # Errors
    /// Those of [`Self::expect`], and when there is no such VM.
    pub fn expect_from(&mut self, vm: &str, text: &str, limit: Duration) -> Result<Duration> {
        let Some(apart) = &mut self.apart else {
            return self.expect(text, limit);
        };
        if apart.of(vm).is_none() {
            bail!("no VM \"{vm}\" prints on this console");
        }
        self.wait_for(text, limit, |run, looked| {
            let capture = run.apart.as_mut().and_then(|apart| apart.of(vm));
            capture.is_some_and(|capture| capture.find(text, looked))
        })
    }

    /// Waits until `found`, which looks for `text` and keeps how far it has looked.
    fn wait_for(
        &mut self,
        text: &str,
        limit: Duration,
        found: impl Fn(&mut Self, &mut usize) -> bool,
    ) -> Result<Duration> {
        let deadline = deadline(limit);
        let mut looked = 0;
        loop {
            if found(self, &mut looked) {
                return Ok(self.started.elapsed());
            }
            let received = match self.ended() {
                Some(_) => Err(RecvTimeoutError::Disconnected),
                None => self.receive(deadline),
            };
            match received {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => {
                    bail!("no {text:?} within {limit:?}; {}", self.last_lines())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("the machine ended without {text:?}; {}", self.last_lines())
                }
            }
        }
    }

    /// Waits for the machine's end, at most `limit`; then it is ended.
    ///
    /// # Errors
    /// Only when the system cannot tell the child's status.
    pub fn wait(mut self, limit: Duration) -> Result<Outcome> {
        let deadline = deadline(limit);
        while self.ended().is_none() && self.receive(deadline).is_ok() {}
        let status = loop {
            if let Some(status) = self.ended() {
                self.end();
                break Some(status);
            }
            if let Some(status) = self.child.try_wait()? {
                break Some(status);
            }
            if Instant::now() >= deadline {
                break None;
            }
            std::thread::sleep(POLL);
        };
        let elapsed = self.started.elapsed();
        if status.is_none() {
            self.end();
            // What came between the deadline and the end belongs to the record.
            while self.receive(Instant::now() + GRACE).is_ok() {}
        }
        let complaints = self
            .complaints
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default();
        // Who ended it needs not be told of it.
        let ended_here = format!("terminating on signal 15 from pid {} ", std::process::id());
        let mut complaints: String = complaints
            .split_inclusive('\n')
            .filter(|line| !line.contains(&ended_here))
            .collect();
        if let Some(failure) = self.console.logs.take().and_then(Logs::finish) {
            complaints += &format!("{failure}\n");
        }
        let capture = std::mem::replace(&mut self.capture, Capture::new(0));
        let (lines, reports) = capture.finish();
        let (apart, reports) = match self.apart.take() {
            None => (Vec::new(), reports),
            Some(apart) => apart.finish(),
        };
        Ok(Outcome {
            status,
            elapsed,
            lines,
            vms: std::mem::take(&mut self.console.vms),
            apart,
            reports,
            complaints,
        })
    }

    /// The status that the monitor ended with, on a board that stays on. Several VMs must not share a
    /// switched console there: one could end the run for all.
    fn ended(&self) -> Option<ExitStatus> {
        if !self.console.stays_on {
            return None;
        }
        let lines = self.capture.lines().iter().rev();
        let line = lines
            .take(LAST_LINES)
            .find_map(|line| line.text.strip_prefix(stats::ENDED))?;
        let code: i32 = line.split(';').next()?.parse().ok()?;
        Some(ExitStatus::from_raw(code << 8))
    }

    /// Takes the next piece of output.
    fn receive(&mut self, deadline: Instant) -> Result<(), RecvTimeoutError> {
        // A machine that never stops printing has its limit too.
        let left = deadline.checked_duration_since(Instant::now());
        let left = left.ok_or(RecvTimeoutError::Timeout)?;
        let (at, bytes) = self.chunks.recv_timeout(left)?;
        if let Some(show) = self.console.show {
            show.write(&bytes);
        }
        if let Some(logs) = &mut self.console.logs {
            logs.push(&bytes);
        }
        let at = at - self.started;
        if let Some(apart) = &mut self.apart {
            apart.push(&bytes, at);
        }
        self.capture.push(&bytes, at);
        Ok(())
    }

    fn last_lines(&self) -> String {
        let lines = self.capture.lines();
        let last = &lines[lines.len().saturating_sub(12)..];
        let text: Vec<_> = last.iter().map(|line| line.text.as_str()).collect();
        format!("the last lines were:\n{}", text.join("\n"))
    }

    /// Asks QEMU to leave, then insists. SIGTERM lets it put the terminal back.
    fn end(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let id = rustix::process::Pid::from_child(&self.child);
        // It may have ended in between, which is as well.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() >= deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(POLL);
        }
    }
}

/// When `limit` from now passes; a limit that the clock cannot hold never does.
fn deadline(limit: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    Instant::now() + limit.min(NEVER)
}

impl Drop for Run {
    fn drop(&mut self) {
        self.end();
        if let Some(terminal) = &self.terminal {
            // A terminal that is gone needs no settings.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, terminal);
        }
    }
}

impl Outcome {
    /// Whether the machine powered off by itself and the monitor reported no error.
    pub fn success(&self) -> bool {
        self.status.is_some_and(|status| status.success()) && self.monitor_error().is_none()
    }

    /// Whether it was ended for taking too long.
    pub fn timed_out(&self) -> bool {
        self.status.is_none()
    }

    /// The console's output with lines that end in `\n`.
    pub fn text(&self) -> String {
        self.lines.iter().fold(String::new(), |mut text, line| {
            text.push_str(&line.text);
            text.push('\n');
            text
        })
    }

    /// When the first line that contains `marker` began.
    pub fn marker(&self, marker: &str) -> Option<Duration> {
        console::marker(&self.lines, marker)
    }

    /// What one VM said on a prefixed console, without its name, each line whole. All that was said
    /// if the console is not prefixed.
    pub fn lines_of(&self, vm: &str) -> &[Line] {
        if self.vms.is_empty() {
            return &self.lines;
        }
        let place = self.vms.iter().position(|name| name == vm);
        place.map_or(&[], |place| &self.apart[place])
    }

    /// The monitor's first error, without its prefix.
    pub fn monitor_error(&self) -> Option<&str> {
        self.monitor_errors().next()
    }

    /// The monitor's errors, without their prefix; with several VMs each may have one.
    pub fn monitor_errors(&self) -> impl Iterator<Item = &str> {
        self.reports.errors()
    }

    /// The statistics that the monitor printed; the last ones if it printed several.
    ///
    /// # Errors
    /// When there are none, or they cannot be read.
    pub fn stats(&self) -> Result<Stats> {
        let stats = self.reports.stats()?.last().cloned();
        stats.context("the monitor printed no statistics")
    }

    /// The statistics of each VM that has some, in the order in which the VMs ended; the last ones of
    /// each.
    ///
    /// # Errors
    /// When some cannot be read.
    pub fn all_stats(&self) -> Result<Vec<Stats>> {
        Ok(self.reports.stats()?.to_vec())
    }

    /// The statistics of one VM.
    ///
    /// # Errors
    /// When there are none, or some cannot be read.
    pub fn stats_of(&self, vm: &str) -> Result<Stats> {
        self.all_stats()?
            .into_iter()
            .find(|stats| stats.vm == vm)
            .with_context(|| format!("the monitor printed no statistics of the VM \"{vm}\""))
    }
}
