//! A job as two units of the person's own systemd.

use super::quote;
use super::{Every, Job};
use anyhow::{Result, bail};

/// Its processes stand behind everything else.
const RESTRAINT: &str = "\
Nice=10
IOSchedulingClass=idle
SuccessExitStatus=75
NoNewPrivileges=yes
";

/// No machine needs to be exact to less than this, and a thousand of them should not come at once.
const SPREAD_SECONDS_MAX: u32 = 600;

/// The name of both units, without its ending.
pub(super) fn name(app: &str) -> String {
    format!("telemetry-upload-{app}")
}

/// Whether this is a unit of ours for this application.
pub(super) fn is_ours(unit: &str, app: &str) -> bool {
    unit.lines().next() == Some(&mark(app))
}

/// The first line of each.
fn mark(app: &str) -> String {
    format!(
        "# Made by telemetry-upload. To take it away: telemetry-upload schedule remove --app {app}"
    )
}

/// What runs.
///
/// # Errors
/// A program that systemd would not start, however its path is quoted.
pub(super) fn service(job: &Job) -> Result<String> {
    let [program, arguments @ ..] = job.command();
    if program.contains(['"', '\'', '\\']) {
        bail!(
            "systemd starts no program with a quote or a backslash in its path: {program}; install it elsewhere"
        );
    }
    let mut start = quote::systemd(program);
    for argument in arguments {
        start.push(' ');
        start += &quote::systemd_argument(argument);
    }
    let mut text = format!(
        "{}\n[Unit]\nDescription=Send the waiting usage telemetry of {}\n\n[Service]\nType=oneshot\nExecStart={start}\n",
        mark(&job.app),
        job.app
    );
    for (name, value) in &job.variables {
        let assignment = quote::systemd(&format!("{name}={value}"));
        text.extend(["Environment=", &assignment, "\n"]);
    }
    // A pass ends by itself; a minute later, one that does not is ended.
    let seconds = job.deadline.as_secs() + 60;
    Ok(format!("{text}TimeoutStartSec={seconds}s\n{RESTRAINT}"))
}

/// When it runs.
pub(super) fn timer(job: &Job) -> String {
    let spread = (job.every.seconds() / 6).min(SPREAD_SECONDS_MAX);
    format!(
        "{}\n[Unit]\nDescription=Send the waiting usage telemetry of {}, every {}\n\n[Timer]\nOnBootSec=5min\n\
         OnUnitActiveSec={}\nRandomizedDelaySec={spread}s\nAccuracySec={}s\n\n[Install]\nWantedBy=timers.target\n",
        mark(&job.app),
        job.app,
        job.every,
        job.every,
        spread / 2,
    )
}

/// How often a timer of ours runs.
pub(super) fn every(timer: &str) -> Option<Every> {
    Every::parse(value(timer, "OnUnitActiveSec=")?).ok()
}

/// The program that a unit of ours starts, and its arguments.
pub(super) fn command(service: &str) -> Vec<String> {
    let words = quote::words(value(service, "ExecStart=").unwrap_or_default());
    let words = words.iter().map(|word| word.replace("%%", "%"));
    // In the program's own path a `$` is nothing in particular.
    let meant = |(at, word): (usize, String)| match at {
        0 => word,
        _ => word.replace("$$", "$"),
    };
    words.enumerate().map(meant).collect()
}

fn value<'a>(unit: &'a str, key: &str) -> Option<&'a str> {
    unit.lines().find_map(|line| line.strip_prefix(key))
}

#[cfg(test)]
mod tests {
    use super::super::job::tests::hard_job;
    use super::*;

    #[test]
    fn what_is_written_is_quoted_for_systemd_and_reads_back() {
        let mut job = hard_job();
        job.program = job.program.replace('\'', "");
        let unit = service(&job).unwrap();
        assert!(
            unit.contains(concat!(
                r#"ExecStart="/home/a b/100%%/its/$x/telemetry-upload" "--app" "my-tool" "--data-dir" "/home/a b/<&>/\"data\"/$$HOME""#,
                "\n",
                r#"Environment="HTTPS_PROXY=http://u:p%%40$x@proxy:8080/""#,
                "\n",
                r#"Environment="NO_PROXY=a, \"b\"""#,
            )),
            "{unit}"
        );
        assert_eq!(command(&unit), job.command());
        assert_eq!(every(&timer(&job)), Some(job.every));
        assert!(is_ours(&unit, "my-tool") && !is_ours(&unit, "my"));
    }

    #[test]
    fn a_program_that_systemd_would_not_start_is_refused() {
        let said = service(&hard_job()).unwrap_err().to_string();
        assert!(said.contains("install it elsewhere"), "{said}");
    }

    #[test]
    fn the_delay_grows_with_the_time_between_two_runs_up_to_ten_minutes() {
        for (minutes, expected) in [(15, "150s"), (60, "600s"), (1440, "600s")] {
            let job = Job {
                every: Every::of_minutes(minutes),
                ..hard_job()
            };
            let line = format!("\nRandomizedDelaySec={expected}\n");
            assert!(timer(&job).contains(&line), "{minutes}");
        }
    }
}
