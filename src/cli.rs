//! Flags and subcommands, and nothing else. The doc comments are `--help`.

use crate::exit::Exit;
use crate::paths::{self, APP_DEFAULT};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use serde::Deserialize;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod doctor;
mod report;
mod seeing;
mod subcommands;

pub use doctor::*;
pub use report::*;
pub use seeing::*;
mod schedule;
pub use schedule::*;
pub use subcommands::*;

/// Upload usage telemetry from a local JSONL buffer to Azure Application Insights
///
/// Without a command: one silent pass over the buffers of an application, meant to be spawned by
/// hooks, by the application itself, by cron, launchd or systemd. Events leave the buffer only after
/// the server accepted them.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100, args_conflicts_with_subcommands = true, after_help = examples_and_exit_codes())]
pub struct Cli {
    /// What to do; without one, a pass.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to do a pass.
    #[command(flatten)]
    pub upload: Upload,
}

impl Cli {
    /// Reads the arguments. Where there is nothing more to do, help or a complaint was printed, and
    /// the exit code comes back. For a host it is always 0, and there is no complaint unless asked
    /// for: a hook must not fail over a flag that only a newer version knows, and some hosts take exit
    /// code 2 for a veto.
    pub fn read(arguments: &[OsString]) -> Result<Cli, ExitCode> {
        Cli::try_parse_from(arguments).map_err(|err| {
            let is_for_host = err.use_stderr() && is_called_by_host(arguments);
            if !is_for_host || arguments.iter().any(|argument| argument == "--verbose") {
                // Nobody is left to be told that even this could not be printed.
                let _ = err.print();
            }
            match u8::try_from(err.exit_code()) {
                Ok(code) if !is_for_host => ExitCode::from(code),
                _ => ExitCode::SUCCESS,
            }
        })
    }
}

/// Whether these are the arguments of a command that must not fail whoever calls it.
pub fn is_called_by_host(arguments: &[OsString]) -> bool {
    arguments.iter().skip(1).any(|argument| {
        let argument = argument.to_string_lossy();
        argument == "hook" || argument == "record" || argument.starts_with("--detach")
    })
}

const EXAMPLES: &str = "\
Examples:
  telemetry-upload demo                 see it work, without Azure and without touching your files
  telemetry-upload --flush              send what is waiting now, and say what became of it
  telemetry-upload --flush --dry-run    say what would be sent, and send nothing
  telemetry-upload record cli_command --prop command=init --spawn
                                        append an event, and have it sent in the background
  telemetry-upload hooks status         say which hosts report to it";

/// The examples, and the table of exit codes.
fn examples_and_exit_codes() -> String {
    let line = |exit: &Exit| format!("\n  {:2}  {}", exit.code(), exit.words());
    let table: String = Exit::ALL.iter().map(line).collect();
    format!("{EXAMPLES}\n\nExit codes:{table}")
}

/// Everything that is not the pass.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say whether telemetry is on, what waits, what was sent, and what is wrong, if anything is
    Status(Status),
    /// Show the events that wait, the bytes that would be sent, what was sent or what was rejected
    Inspect(Inspect),
    /// Send sample events to a local endpoint and show what arrived; touches nothing of yours
    Demo,
    /// Append one event to the buffer, from arguments or from a JSON object on standard input; silent, always exit 0
    Record(Record),
    /// Record what an agent tells its hooks on standard input; silent, always exit 0
    Hook(Hook),
    /// Run a local endpoint that validates like Application Insights' and can misbehave by script
    Emulator(Emulator),
    /// Put the hooks that report usage into a host's settings, or take them out again
    Hooks(Hooks),
    /// Check everything between an event and Azure, and say what to do; made for bug reports
    Doctor(Doctor),
    /// Say what was used, how often and how well, from the events on this machine
    Report(Report),
    /// Have a pass run every so often, by systemd, launchd or cron
    Schedule(Schedule),
}

/// One pass.
#[derive(Args, Debug, Default)]
pub struct Upload {
    /// Run in the foreground: progress on a terminal, one summary line; ignores a pause the server asked for
    #[arg(long)]
    pub flush: bool,
    /// Do everything but the sending, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print the summary as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Whether it outlives whoever asks for it.
    #[command(flatten)]
    pub detaching: Detaching,
    /// Whose events, and where.
    #[command(flatten)]
    pub application: Application,
    /// Where to send; better set in config.json, or in the environment as
    /// APPLICATIONINSIGHTS_CONNECTION_STRING, since others can see arguments
    #[arg(long, value_name = "STRING")]
    pub connection_string: Option<String>,
    /// Trust only the certificates in this PEM file
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(absolute))]
    pub ca_file: Option<PathBuf>,
    /// The limits of a pass
    #[command(flatten)]
    pub limits: Limit,
}

/// A pass in a session of its own.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Detaching {
    /// Start a pass that outlives whoever asks for it, if there is anything to do, and return at once; silent, always exit 0
    #[arg(long, conflicts_with_all = ["flush", "dry_run", "json"])]
    pub detach: bool,
    /// With `--detach`: say whether a pass was started, or why not
    #[arg(long, requires = "detach")]
    pub verbose: bool,
    /// This is the pass that `--detach` started
    #[arg(long, hide = true, conflicts_with_all = ["flush", "dry_run", "json", "detach"])]
    pub detached: bool,
}

/// Whose events, and where they are.
#[derive(Args, Clone, Debug, Default)]
pub struct Application {
    /// Whose events.
    #[command(flatten)]
    app: App,
    /// The folder of the buffers [default: TELEMETRY_UPLOAD_DATA_DIR, or the application's own data folder]
    #[arg(
        long,
        value_name = "DIR",
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    data_dir: Option<PathBuf>,
}

impl Application {
    /// The application.
    pub fn app(&self) -> &str {
        self.app.name()
    }

    /// The flags that say the same to another command; a next step is to be copied as it stands.
    pub fn as_flags(&self) -> String {
        let app = match self.app() {
            APP_DEFAULT => String::new(),
            app => format!(" --app {app}"),
        };
        let dir = self.data_dir().map_or_else(String::new, |dir| {
            let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
            let quoted = dir.display().to_string().replace('\'', r"'\''");
            format!(" --data-dir '{quoted}'")
        });
        app + &dir
    }

    /// The data folder given by hand; an empty one is none.
    pub fn data_dir(&self) -> Option<&Path> {
        self.data_dir
            .as_deref()
            .filter(|dir| !dir.as_os_str().is_empty())
    }
}

/// An application.
#[derive(Args, Clone, Debug, Default)]
pub struct App {
    /// The application whose events these are [default: atomic]
    #[arg(long, value_name = "NAME", env = "TELEMETRY_UPLOAD_APP", value_parser = app_name_or_none)]
    app: Option<String>,
}

impl App {
    /// Its name, which an empty variable does not change.
    pub fn name(&self) -> &str {
        self.app
            .as_deref()
            .filter(|app| !app.is_empty())
            .unwrap_or(APP_DEFAULT)
    }
}

/// A detached pass has another current folder than whoever named the file.
fn absolute(path: OsString) -> io::Result<PathBuf> {
    std::path::absolute(path)
}

/// An empty variable is an unset one.
fn app_name_or_none(app: &str) -> anyhow::Result<String> {
    if app.is_empty() {
        Ok(String::new())
    } else {
        paths::app_name(app)
    }
}

/// The limits that flags and config.json may change; settings.rs has the defaults and their reasons.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[command(next_help_heading = "Limits")]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Limit {
    /// Events in one request [default: 100]
    #[arg(long, value_name = "COUNT")]
    pub request_events: Option<usize>,
    /// Bytes of one request before compression [default: 500000]
    #[arg(long, value_name = "BYTES")]
    pub request_bytes: Option<usize>,
    /// Bytes of one line; longer ones are rejected [default: 32768]
    #[arg(long, value_name = "BYTES")]
    pub line_bytes: Option<usize>,
    /// Days after which an event is dropped [default: 30]
    #[arg(long, value_name = "DAYS")]
    pub age_days: Option<u32>,
    /// Undelivered bytes of a buffer over which the oldest lines go [default: 50000000]
    #[arg(long, value_name = "BYTES")]
    pub buffer_bytes: Option<u64>,
    /// Attempts for one request [default: 3]
    #[arg(long, value_name = "COUNT")]
    pub attempts: Option<u32>,
    /// Pause after the first attempt, doubled after each further one [default: 1000]
    #[arg(long, value_name = "MS")]
    pub pause_ms: Option<u64>,
    /// Longest duration of a pass [default: 300]
    #[arg(long, value_name = "SECONDS")]
    pub deadline_s: Option<u64>,
    /// Seconds a detached pass stays for what comes next [default: 15]
    #[arg(long, value_name = "SECONDS")]
    pub gather_s: Option<u64>,
    /// Longest duration of a request [default: 5000]
    #[arg(long, value_name = "MS")]
    pub request_timeout_ms: Option<u64>,
    /// Longest time to find the host and connect [default: 3000]
    #[arg(long, value_name = "MS")]
    pub connect_timeout_ms: Option<u64>,
}
