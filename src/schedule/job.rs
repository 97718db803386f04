//! What is to run, with everything a scheduled run would not know by itself.

use super::{Env, Every};
use crate::cli::{Application, Upload};
use crate::consent::{self, Consent, FileState, Rule};
use crate::host_settings;
use crate::id;
use crate::paths::Paths;
use crate::programs;
use crate::settings::{CONNECTION_STRING, Limits, Settings};
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The way to the network.
const PROXIES: [&str; 8] = [
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "all_proxy",
    "https_proxy",
    "http_proxy",
    "no_proxy",
];

/// Whom to trust there; a relative one would mean another place in a scheduled run.
const CERTIFICATES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// With one in the environment, only what else is wrong is left to complain of.
const ANY_CONNECTION: &str = "InstrumentationKey=00000000-0000-4000-8000-000000000000";

/// A silent pass, every so often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Whose events.
    pub app: String,
    /// How often.
    pub every: Every,
    /// This program, by its full path.
    pub(super) program: String,
    /// The full path of the data folder.
    pub(super) data_dir: String,
    /// How long a pass may take.
    pub(super) deadline: Duration,
    /// The variables of now that the run must see, by name.
    pub(super) variables: Vec<(String, String)>,
    /// A number that differs from machine to machine, and is the same tomorrow.
    pub(super) spread: u32,
    /// What the person should know.
    pub(super) notes: Vec<String>,
}

impl Job {
    /// A pass of this application, with what this process knows.
    ///
    /// # Errors
    /// A path that no scheduler could be told.
    pub fn of(application: &Application, every: Every, env: &Env) -> Result<Job> {
        let app = application.app();
        let paths = Paths::find(app, application.data_dir(), env)?;
        let program = program(env)?;
        let mut job = Job {
            app: app.to_owned(),
            every,
            program: plain(&program, "this program")?,
            data_dir: plain(paths.data(), "the data folder")?,
            deadline: Limits::configured(&paths).deadline,
            variables: Vec::new(),
            spread: spread(app, paths.data()),
            notes: Vec::new(),
        };
        if is_build(&program) {
            job.notes.push(format!(
                "{} is in a folder of builds, where the next build replaces it; install it (sh install.sh) and \
                 schedule it from there",
                job.program
            ));
        }
        job.take_variables(env)?;
        job.look_for_connection(&paths, env);
        Ok(job)
    }

    /// The program and its arguments.
    pub fn command(&self) -> [&str; 5] {
        [
            &self.program,
            "--app",
            &self.app,
            "--data-dir",
            &self.data_dir,
        ]
    }

    /// What is not as it should be, or may surprise.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The names of the variables that are written into the schedule.
    pub fn variable_names(&self) -> Vec<&str> {
        self.variables
            .iter()
            .map(|(name, _)| name.as_str())
            .collect()
    }

    fn take_variables(&mut self, env: &Env) -> Result<()> {
        for (name, value) in env.iter().filter(|(_, value)| !value.trim().is_empty()) {
            let is_off = says_off(name, value, &self.app);
            let is_way = PROXIES.contains(&name.as_str());
            let is_trust = CERTIFICATES.contains(&name.as_str()) && Path::new(value).is_absolute();
            if is_off || is_way || is_trust {
                let is_odd = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
                if value.contains(is_odd) {
                    bail!(
                        "the variable {name} is not UTF-8, or has a control character in it, which no scheduler could be told"
                    );
                }
                self.variables.push((name.clone(), value.clone()));
            }
            if is_off {
                self.notes.push(format!(
                    "{name} is set, and goes into the schedule: its passes will send nothing until this is run \
                     again without it"
                ));
            }
        }
        Ok(())
    }

    /// The connection string of a schedule is in config.json: in a unit it would stand where nobody looks
    /// for it, and in a crontab in the arguments of a process.
    fn look_for_connection(&mut self, paths: &Paths, env: &Env) {
        let settle = |text: &str| {
            let mut env = env.clone();
            env.insert(CONNECTION_STRING.to_owned(), text.to_owned());
            Settings::resolve(&Upload::default(), &self.app, paths, &env)
        };
        if settle("").is_ok() {
            return;
        }
        let note = match settle(ANY_CONNECTION) {
            Ok(_) => {
                let is_set = env
                    .get(CONNECTION_STRING)
                    .is_some_and(|text| !text.trim().is_empty());
                let but = if is_set {
                    format!("; it does not see {CONNECTION_STRING}")
                } else {
                    String::new()
                };
                format!(
                    "a scheduled pass sends nothing before {{\"connectionString\": \"…\"}} is in {}{but}",
                    paths.config().display()
                )
            }
            Err(why) => format!("a scheduled pass sends nothing as it is: {why:#}"),
        };
        self.notes.push(note);
    }
}

/// Whether this variable alone turns the telemetry of the application off.
fn says_off(name: &str, value: &str, app: &str) -> bool {
    let alone = Env::from([(name.to_owned(), value.to_owned())]);
    matches!(
        consent::decide(&alone, app, &FileState::Missing),
        Consent::Denied(Rule::DoNotTrack | Rule::AppVariable(_) | Rule::UnknownWord(..))
    )
}

/// This program, where it will still be tomorrow: a name on the `PATH` that leads to it outlives what it
/// leads to (Homebrew's folders have a version in their name).
fn program(env: &Env) -> Result<PathBuf> {
    let me = programs::myself().context("cannot find this program's own file")?;
    let lasting = host_settings::binary(env).filter(|path| programs::are_one(path, &me));
    Ok(lasting.unwrap_or(me))
}

/// Where a machine has no id of its own, the name of the person's folder is something.
fn spread(app: &str, data: &Path) -> u32 {
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let id = id::of(&["schedule", machine.trim(), app, &data.to_string_lossy()]);
    let digits = id.get(..8).unwrap_or_default();
    u32::from_str_radix(digits, 16).unwrap_or_default()
}

/// cargo's own folders: `target/release`, or for another machine `target/<machine>/release`.
fn is_build(program: &Path) -> bool {
    let names: Vec<_> = program.iter().collect();
    let is_profile =
        |name: Option<&&OsStr>| name.is_some_and(|name| *name == "debug" || *name == "release");
    let is_target = |(at, name): (usize, &&OsStr)| {
        *name == "target" && (is_profile(names.get(at + 1)) || is_profile(names.get(at + 2)))
    };
    names.iter().enumerate().any(is_target)
}

fn plain(path: &Path, what: &str) -> Result<String> {
    match path.to_str() {
        Some(text) if !text.contains(char::is_control) => Ok(text.to_owned()),
        _ => bail!(
            "no scheduler could be told where {what} is: {} is not UTF-8, or has a control character in it",
            path.display()
        ),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A job that has everything in it that has to be quoted.
    pub(crate) fn hard_job() -> Job {
        Job {
            app: "my-tool".to_owned(),
            every: Every::of_minutes(60),
            program: "/home/a b/100%/it's/$x/telemetry-upload".to_owned(),
            data_dir: "/home/a b/<&>/\"data\"/$HOME".to_owned(),
            deadline: Duration::from_secs(3600),
            variables: vec![
                (
                    "HTTPS_PROXY".to_owned(),
                    "http://u:p%40$x@proxy:8080/".to_owned(),
                ),
                ("NO_PROXY".to_owned(), "a, \"b\"".to_owned()),
            ],
            spread: 100,
            notes: Vec::new(),
        }
    }

    #[test]
    fn only_a_variable_that_turns_telemetry_off_counts_as_one() {
        for (name, value, expected) in [
            ("DO_NOT_TRACK", "1", true),
            ("DO_NOT_TRACK", "0", false),
            ("MY_TOOL_TELEMETRY", "off", true),
            ("MY_TOOL_TELEMETRY", "1", false),
            ("MY_TOOL_TELEMETRY", "disabled", true),
            ("DO_NOT_TRACK", "maybe", true),
            ("ATOMIC_TELEMETRY", "0", false),
            ("CI", "true", false),
        ] {
            assert_eq!(says_off(name, value, "my-tool"), expected, "{name}={value}");
        }
    }

    #[test]
    fn a_variable_that_no_scheduler_could_be_told_is_refused() {
        for (value, is_told) in [
            ("http://proxy:8080", true),
            ("http://proxy\u{fffd}:8080", false),
            ("http://proxy\n:8080", false),
        ] {
            let env = Env::from([("HTTPS_PROXY".to_owned(), value.to_owned())]);
            let taken = hard_job().take_variables(&env);
            assert_eq!(taken.is_ok(), is_told, "{value:?}");
        }
    }

    #[test]
    fn a_folder_of_builds_is_known_by_two_names() {
        for (path, expected) in [
            ("/a/target/debug/telemetry-upload", true),
            ("/a/target/release/telemetry-upload", true),
            (
                "/a/target/x86_64-unknown-linux-musl/release/telemetry-upload",
                true,
            ),
            ("/a/target/telemetry-upload", false),
            ("/a/release/telemetry-upload", false),
            ("/home/a/.local/bin/telemetry-upload", false),
        ] {
            assert_eq!(is_build(Path::new(path)), expected, "{path}");
        }
    }
}
