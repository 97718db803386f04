//! Flags and subcommands, and nothing else. The doc comments are `--help`.

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgAction, ArgGroup, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use serde::Deserialize;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

mod application;
mod caller;
mod doctor;
mod frequent;
mod generated;
mod help;
mod report;
mod schedule;
mod seeing;
mod steering;
mod subcommands;

pub use application::*;
pub use caller::is_called_by_host;
pub use doctor::*;
pub use generated::*;
pub use report::*;
pub use schedule::*;
pub use seeing::*;
pub use steering::*;
pub use subcommands::*;

/// Upload usage telemetry from a local JSONL buffer to Azure Application Insights
///
/// Without a command: one pass over the buffers of an application, silent but for a new problem that
/// you have to mend, meant to be spawned by hooks, by the application itself, by cron, launchd or
/// systemd. Events leave the buffer only after the server accepted them.
#[derive(Debug, Parser)]
#[command(
    version,
    override_usage = help::USAGE,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    disable_help_flag = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do; without one, a pass.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Print help
    // In one line a flag, where clap's own `--help` takes three.
    #[arg(short, long, global = true, action = ArgAction::HelpShort, display_order = 1000)]
    help: Option<bool>,
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
        if let Some(cli) = frequent::read(arguments) {
            return Ok(cli);
        }
        let arguments = &help::asked_by_a_flag(arguments);
        let mut command = Cli::command();
        // Whoever does not read it need not wait for it to be made.
        if help::is_asked_for(arguments) {
            command = help::dressed(command, arguments);
        }
        let matches = command.try_get_matches_from_mut(arguments);
        let read = matches.and_then(|matches| Cli::from_arg_matches(&matches));
        read.map_err(|mut err| {
            help::add_tip(&mut err);
            let err = err.format(&mut command);
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

/// Everything that is not the pass.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say how things stand: on or off, what waits, what is wrong
    Status(Status),
    /// Show the events that wait, were sent or were rejected, byte for byte
    Inspect(Inspect),
    /// Show the whole way of sample events; touches nothing of yours
    Demo,
    /// Append one event, from arguments or standard input; always exit 0
    Record(Record),
    /// Record what an agent tells its hooks; always exit 0
    Hook(Hook),
    /// Run a local endpoint that answers like Application Insights'
    Emulator(Emulator),
    /// Put the hooks that report usage into a host's settings
    Hooks(Hooks),
    /// Check everything between an event and Azure, and say what to do
    Doctor(Doctor),
    /// Say what was used, how often and how well
    Report(Report),
    /// Have a pass run every so often, by systemd, launchd or cron
    Schedule(Schedule),
    /// Be asked whether telemetry may be sent, or answer
    Consent(Consenting),
    /// Turn telemetry on again, if you have agreed
    Enable(Steered),
    /// Turn telemetry off: nothing is sent from then on
    Disable(Steered),
    /// Change the anonymous id now
    ResetId(Steered),
    /// Delete what waits, and the copies of what was sent
    Purge(Purging),
    /// Print what completes commands in a shell
    Completions(Completions),
    /// Print the manual page
    Man,
}

/// One pass.
#[derive(Args, Debug, Default)]
#[command(group = ArgGroup::new("spoken").args(["flush", "dry_run"]).multiple(true))]
#[command(group = ArgGroup::new("explained").args(["flush", "dry_run", "detach"]).multiple(true))]
pub struct Upload {
    /// Send now, in the foreground, even before the end of a pause the server asked for
    #[arg(long)]
    pub flush: bool,
    /// Do everything but the sending, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print the summary as one JSON object
    #[arg(long)]
    pub json: bool,
    /// How much is said about it.
    #[command(flatten)]
    pub telling: Telling,
    /// Whether it outlives whoever asks for it.
    #[command(flatten)]
    pub detaching: Detaching,
    /// Whose events, and where.
    #[command(flatten)]
    pub application: Application,
    /// Where to send; better set in config.json, since others can see arguments
    #[arg(long, value_name = "STRING")]
    pub connection_string: Option<String>,
    /// Trust only the certificates in this PEM file
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(absolute))]
    pub ca_file: Option<PathBuf>,
    /// The limits of a pass
    #[command(flatten)]
    pub limits: Limit,
}

/// Less than usual, or more.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Telling {
    /// With --flush: no progress and no summary, only what went wrong
    #[arg(long, requires = "spoken", conflicts_with_all = ["json", "verbose"])]
    pub quiet: bool,
    /// With --flush: a line for each request; with --detach: whether a pass was started, or why not
    #[arg(long, requires = "explained")]
    pub verbose: bool,
}

/// A pass in a session of its own.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Detaching {
    /// Start a pass that outlives whoever asks, if there is anything to do; always exit 0
    #[arg(long, conflicts_with_all = ["flush", "dry_run", "json"])]
    pub detach: bool,
    /// This is the pass that `--detach` started
    #[arg(long, hide = true, conflicts_with_all = ["flush", "dry_run", "json", "detach"])]
    pub detached: bool,
}

/// A detached pass has another current folder than whoever named the file.
fn absolute(path: OsString) -> io::Result<PathBuf> {
    std::path::absolute(path)
}

/// The limits that flags and config.json may change; settings.rs has the defaults and their reasons.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[command(next_help_heading = "Limits")]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Limit {
    /// Events in one request [default: 100]
    #[arg(long, hide_short_help = true, value_name = "COUNT")]
    pub request_events: Option<usize>,
    /// Bytes of one request before compression [default: 500000]
    #[arg(long, hide_short_help = true, value_name = "BYTES")]
    pub request_bytes: Option<usize>,
    /// Bytes of one line; longer ones are rejected [default: 32768]
    #[arg(long, hide_short_help = true, value_name = "BYTES")]
    pub line_bytes: Option<usize>,
    /// Days after which an event is dropped [default: 30]
    #[arg(long, hide_short_help = true, value_name = "DAYS")]
    pub age_days: Option<u32>,
    /// Undelivered bytes of a buffer over which the oldest lines go [default: 50000000]
    #[arg(long, hide_short_help = true, value_name = "BYTES")]
    pub buffer_bytes: Option<u64>,
    /// Attempts for one request [default: 3]
    #[arg(long, hide_short_help = true, value_name = "COUNT")]
    pub attempts: Option<u32>,
    /// Pause after the first attempt, doubled after each further one [default: 1000]
    #[arg(long, hide_short_help = true, value_name = "MS")]
    pub pause_ms: Option<u64>,
    /// Longest duration of a pass [default: 300]
    #[arg(long, hide_short_help = true, value_name = "SECONDS")]
    pub deadline_s: Option<u64>,
    /// Seconds a detached pass stays for what comes next [default: 15]
    #[arg(long, hide_short_help = true, value_name = "SECONDS")]
    pub gather_s: Option<u64>,
    /// Requests under way at once, for a large backlog [default: 20]
    #[arg(long, hide_short_help = true, value_name = "COUNT")]
    pub lanes: Option<usize>,
    /// Longest duration of a request [default: 5000]
    #[arg(long, hide_short_help = true, value_name = "MS")]
    pub request_timeout_ms: Option<u64>,
    /// Longest time to find the host and connect [default: 3000]
    #[arg(long, hide_short_help = true, value_name = "MS")]
    pub connect_timeout_ms: Option<u64>,
}
