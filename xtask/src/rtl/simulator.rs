//! A running simulator, which takes jobs.

use super::firmware::{self, PAYLOAD};
use super::{Core, build};
use crate::progress::{say, seconds};
use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// Where a bundle of the monitor goes, and how large it may be: the device trees say so too.
const BUNDLE: u64 = 0x8a00_0000;
const BUNDLE_SIZE: u64 = 1 << 20;

/// What starts where the firmware ends.
pub struct Job<'a> {
    pub name: &'a str,
    /// A guest, or the monitor.
    pub image: &'a Path,
    /// The monitor's bundle.
    pub bundle: Option<&'a Path>,
    /// Then it is ended.
    pub cycles: u64,
    pub traces: Vec<Trace>,
}

/// A trace of instructions: it begins as `from` is executed for the `count`-th time, and ends at `to`.
pub struct Trace {
    pub path: PathBuf,
    pub from: u64,
    pub to: u64,
    pub count: u64,
}

/// The process; it ends when this is dropped.
pub struct Simulator {
    core: Core,
    process: Child,
    jobs: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    directory: tempfile::TempDir,
}

impl Simulator {
    /// Starts the core and waits until the firmware has booted, which takes half a minute.
    ///
    /// # Errors
    /// When it cannot be built, or the firmware does not come to its end.
    pub fn start(core: Core) -> Result<Self> {
        let program = build::simulator(core)?;
        let directory = tempfile::tempdir()?;
        let mut command = Command::new(&program);
        for (file, address) in firmware::files(core, directory.path())? {
            command.arg(file).arg(format!("{address:#x}"));
        }
        // CVA6 writes every instruction into a file of this name, which takes time and gigabytes: it cannot where a directory has
        // the name.
        std::fs::create_dir(directory.path().join("trace_hart_00.dasm"))?;
        command.current_dir(directory.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let jobs = process.stdin.take();
        let answers = process.stdout.take().context("the simulator's output")?;
        let mut simulator = Self {
            core,
            process,
            jobs,
            answers: BufReader::new(answers),
            directory,
        };
        simulator.firmware()?;
        Ok(simulator)
    }

    fn firmware(&mut self) -> Result<()> {
        let began = Instant::now();
        say(&format!("OpenSBI boots on {} ...", self.core.name()));
        let mut said = Vec::new();
        loop {
            let Some(line) = self.line()? else {
                bail!(
                    "OpenSBI did not boot on {}:\n{}",
                    self.core.name(),
                    said.join("\n")
                );
            };
            if let Some(cycles) = line.strip_prefix("ready ") {
                let took = seconds(began.elapsed());
                let cycles = cycles.split(' ').next().unwrap_or_default();
                say(&format!(
                    "OpenSBI boots on {}: done in {took}, {cycles} cycles",
                    self.core.name()
                ));
                return Ok(());
            }
            said.push(line);
        }
    }

    /// The next line; none at the end.
    fn line(&mut self) -> Result<Option<String>> {
        let mut bytes = Vec::new();
        self.answers.read_until(b'\n', &mut bytes)?;
        let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        Ok((!bytes.is_empty()).then_some(line))
    }

    /// Runs a job to its end; gives what it printed.
    ///
    /// # Errors
    /// When it does not end by itself, or reports a failure.
    pub fn run(&mut self, job: &Job) -> Result<Vec<String>> {
        let began = Instant::now();
        let output = self.directory.path().join("output");
        let request = request(job, &output)?;
        let jobs = self.jobs.as_mut().context("the simulator has ended")?;
        jobs.write_all(request.as_bytes())?;
        jobs.flush()?;
        let answer = self.line()?.context("the simulator ended")?;
        let text = std::fs::read(&output)?;
        let text = String::from_utf8_lossy(&text).replace('\r', "");
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let what = format!("{} on {}", job.name, self.core.name());
        let cycles = ended(&answer).with_context(|| {
            let last = &lines[lines.len().saturating_sub(12)..];
            format!("{what}; it printed last\n{}", last.join("\n"))
        })?;
        let took = seconds(began.elapsed());
        say(&format!("{what}: done in {took}, {cycles} cycles"));
        Ok(lines)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // It ends where its input does.
        self.jobs = None;
        let _ = self.process.wait();
    }
}

/// The line by which a simulator knows a job (`rtl/simulator.hpp`).
fn request(job: &Job, output: &Path) -> Result<String> {
    let mut fields = vec![
        job.name.to_owned(),
        output.display().to_string(),
        job.cycles.to_string(),
    ];
    let mut load = |path: &Path, address: u64| {
        fields.extend(["load".to_owned(), path.display().to_string()]);
        fields.push(format!("{address:#x}"));
    };
    load(job.image, PAYLOAD);
    if let Some(bundle) = job.bundle {
        let size = std::fs::metadata(bundle)?.len();
        ensure!(
            size <= BUNDLE_SIZE,
            "the bundle {} has {size} bytes: the board has room for {BUNDLE_SIZE}",
            bundle.display()
        );
        load(bundle, BUNDLE);
    }
    for trace in &job.traces {
        fields.extend(["trace".to_owned(), trace.path.display().to_string()]);
        fields.extend([trace.from, trace.to].map(|address| format!("{address:#x}")));
        fields.push(trace.count.to_string());
    }
    Ok(fields.join("\t") + "\n")
}

/// The cycles of a job that ended well, by the simulator's line.
fn ended(line: &str) -> Result<u64> {
    let words: Vec<_> = line.split(' ').collect();
    match words[..] {
        [_, "end", "0", cycles] => cycles.parse().context("its cycles"),
        [_, "end", status, _] => bail!("it reported a failure ({status})"),
        [_, "limit", pc, cycles] => bail!("it was at {pc} after {cycles} cycles, and ended"),
        _ => bail!("the simulator said {line:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_a_line_with_tabs() {
        let job = Job {
            name: "native",
            image: Path::new("/tmp/a guest"),
            bundle: None,
            cycles: 7,
            traces: vec![Trace {
                path: "/tmp/trace".into(),
                from: 16,
                to: 32,
                count: 3,
            }],
        };
        let expected = "native\t/tmp/out\t7\tload\t/tmp/a guest\t0x80200000\ttrace\t/tmp/trace\t0x10\t0x20\t3\n";
        assert_eq!(request(&job, Path::new("/tmp/out")).unwrap(), expected);
    }

    #[test]
    fn only_a_shutdown_ends_a_job_well() {
        assert_eq!(ended("native end 0 1234").unwrap(), 1234);
        assert!(ended("native end 1 1234").is_err());
        assert!(ended("native limit 0x80200000 1234").is_err());
        assert!(ended("").is_err());
    }
}
