//! `cargo xtask demo --debian`: a whole Debian boots from its disk to the prompt for a login, works and
//! shuts down, natively and under the monitor.

use super::table::{align, percent, thousands};
use super::{Options, Way};
use crate::progress::{say, seconds};
use crate::system::{Host, Session, System};
use crate::{build, image};
use anyhow::Result;
use serde::Serialize;
use std::time::{Duration, Instant};

/// What the guest does once root has logged in, unless `--command` names something else. Its state is
/// `running` if all has started, and then this succeeds.
const COMMAND: &str = "uname -a; systemctl is-system-running --wait && df -h / && apt list --installed 2>/dev/null | wc -l";

/// One run. What a native run cannot tell is `null`.
#[derive(Debug, Serialize)]
struct Run {
    /// `native`, `trap`, `break-frame` or `break`.
    mode: String,
    /// From the start of QEMU to the prompt for a login, in seconds.
    login_s: f64,
    /// How long the command took, in seconds.
    command_s: f64,
    /// What it printed.
    output: String,
    /// From `systemctl poweroff` to the end of QEMU, in seconds.
    shutdown_s: f64,
    /// Privileged instructions that the guest executed.
    privileged: Option<u64>,
    /// The share of them that a patch served, from 0 to 1.
    patched_share: Option<f64>,
}

/// Runs the demonstration.
///
/// # Errors
/// When the image cannot be had, or a run does not come to its clean end.
pub fn demo(options: &Options) -> Result<()> {
    let image = image::debian()?;
    let command = options.command.as_deref().unwrap_or(COMMAND);
    let mut runs = Vec::new();
    for way in options.ways_of_debian() {
        runs.push(run(options, way, command)?);
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&runs)?);
    } else {
        print!("{}", table(&runs, &image.disk.display().to_string()));
    }
    Ok(())
}

fn run(options: &Options, way: Way, command: &str) -> Result<Run> {
    let limit = Duration::from_secs(options.timeout);
    let host = match way {
        Way::Native => Host::Native,
        _ => Host::Patchvisor,
    };
    let mut system = System::debian()?;
    system.guest.vm.statistics = true;
    system.guest.vm.vcpus = options.vcpus;
    system.guest.vm.mode = way.mode().unwrap_or_default();
    if !options.append.is_empty() {
        system.guest.vm.append += &format!(" {}", options.append);
    }
    let machine = system.machine(host, build::monitor)?.cpu(&options.cpu);
    say(&format!("\n--- {}: the console follows", way.name()));
    let mut session = Session::start(&machine.live(true), limit)?;
    let login = session.login;
    let began = Instant::now();
    let output = session.command(command)?;
    let worked = began.elapsed();
    let (outcome, shutdown) = session.power_off()?;
    image::check_file_system(system.disk(0))?;
    say(&format!(
        "--- {}: shut down after {}; its file system is clean",
        way.name(),
        seconds(outcome.elapsed)
    ));
    let stats = way.mode().map(|_| outcome.stats()).transpose()?;
    let rounded = |time: Duration| (time.as_secs_f64() * 100.0).round() / 100.0;
    Ok(Run {
        mode: way.name().into(),
        login_s: rounded(login),
        command_s: rounded(worked),
        output,
        shutdown_s: rounded(shutdown),
        privileged: stats.as_ref().map(|stats| stats.privileged),
        patched_share: stats.as_ref().map(|stats| stats.patched_share()),
    })
}

fn table(runs: &[Run], disk: &str) -> String {
    let header = [
        "mode",
        "login s",
        "command s",
        "shutdown s",
        "privileged",
        "by patch",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let dash = || "-".to_owned();
    for run in runs {
        rows.push(vec![
            run.mode.clone(),
            format!("{:.2}", run.login_s),
            format!("{:.2}", run.command_s),
            format!("{:.2}", run.shutdown_s),
            run.privileged.map_or_else(dash, thousands),
            run.patched_share.map_or_else(dash, percent),
        ]);
    }
    let output = runs.last().map_or("", |run| run.output.as_str());
    format!(
        "\nA whole Debian on a copy of {disk}, one run each:\n\n{}\nThe command printed in the last run:\n\n{output}",
        align(&rows)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_native_run_cannot_tell_is_a_dash() {
        let run = |mode: &str, privileged| Run {
            mode: mode.into(),
            login_s: 12.0,
            command_s: 3.456,
            output: format!("{mode} says so\n"),
            shutdown_s: 2.0,
            privileged,
            patched_share: privileged.map(|_| 0.99),
        };
        let text = table(&[run("native", None), run("break", Some(1234))], "disk");
        let row = |mode: &str| {
            let row = text.lines().find(|line| line.starts_with(mode)).unwrap();
            row.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(row("native")[1..], ["12.00", "3.46", "2.00", "-", "-"]);
        assert_eq!(row("break")[4..], ["1,234", "99.00", "%"]);
        assert!(text.ends_with("\n\nbreak says so\n"), "{text}");
    }
}
