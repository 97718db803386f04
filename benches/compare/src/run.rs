//! One run of one program, in a home of its own, and what it took.

use crate::cases::{Case, State, Task};
use crate::certificate::Certificate;
use crate::server::Server;
use anyhow::{Context, Result, bail, ensure};
use chrono::{SecondsFormat, TimeDelta, Utc};
use compare::tally::Tally;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The application whose events these are.
const APP: &str = "bench";

const CONSENT: &str =
    r#"{"enabled":true,"consentGiven":true,"anonymousId":"11111111-1111-4111-8111-111111111111"}"#;
const REFUSAL: &str = r#"{"enabled":false,"consentGiven":true}"#;

/// A program that takes part.
#[derive(Clone)]
pub struct Entrant {
    pub name: String,
    pub program: PathBuf,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ours,
    Peer,
    /// A floor: ends at once.
    Empty,
    /// A floor: appends a line, and ends.
    Append,
}

/// What a run took, and what came of it.
#[derive(Clone, Default)]
pub struct Run {
    pub wall_ms: f64,
    pub cpu_ms: f64,
    pub memory_mb: f64,
    pub tally: Tally,
}

/// What every run needs.
pub struct Stage {
    /// Where the homes are, and what is made once for all.
    pub folder: PathBuf,
    pub certificate: Certificate,
    /// Where the programs of this package are.
    pub programs: PathBuf,
    /// The authorities that the clients trust: the server's alone, or the system's, too.
    pub trust: Trust,
}

/// How the clients are told to trust the server.
pub enum Trust {
    /// By a file with its authority alone: `--ca-file` for ours, `SSL_CERT_FILE` for others.
    Authority,
    /// By `SSL_CERT_FILE` for all, with the system's authorities in it, too.
    System(PathBuf),
}

/// Runs the program in a home where it has been before, and which is in the state of this case.
pub fn run(stage: &Stage, case: &Case, entrant: &Entrant) -> Result<Run> {
    let home = Home::new(stage)?;
    if entrant.kind == Kind::Ours {
        home.fill(stage, 1)?;
        home.visit(stage, &Case::first_visit(), entrant)?;
    }
    if matches!(case.task, Task::Record | Task::Hook) {
        home.visit(stage, case, entrant)?;
    }
    home.fill(stage, case.events)?;
    let _busy = home.enter(case.state)?;
    let run = home.visit(stage, case, entrant)?;
    if matches!(case.task, Task::Record | Task::Hook) && entrant.kind != Kind::Empty {
        let buffer = fs::metadata(home.buffer())?;
        ensure!(buffer.len() > 0, "{} recorded nothing", entrant.name);
    }
    Ok(run)
}

struct Home(tempfile::TempDir);

impl Home {
    fn new(stage: &Stage) -> Result<Home> {
        let home = Home(tempfile::tempdir_in(&stage.folder)?);
        fs::create_dir_all(home.data().join("upload"))?;
        fs::write(home.data().join("telemetry.json"), CONSENT)?;
        Ok(home)
    }

    fn data(&self) -> PathBuf {
        self.0.path().join(".local/share").join(APP)
    }

    fn buffer(&self) -> PathBuf {
        self.data().join("telemetry-events.jsonl")
    }

    /// Puts the first `count` events into the buffer. A pass syncs its buffer; what that takes for a copy
    /// that was just made is taken here.
    fn fill(&self, stage: &Stage, count: u64) -> Result<()> {
        fs::copy(events(stage, count)?, self.buffer())?;
        Ok(File::open(self.buffer())?.sync_all()?)
    }

    /// Brings the home into a state, which lasts as long as what comes back.
    fn enter(&self, state: State) -> Result<Option<File>> {
        let upload = self.data().join("upload");
        match state {
            State::Ready => {}
            State::Off => fs::write(self.data().join("telemetry.json"), REFUSAL)?,
            State::Paused => fs::write(upload.join("state.json"), pause())?,
            State::Busy => {
                let lock = File::create(upload.join("uploader.lock"))?;
                lock.lock()?;
                return Ok(Some(lock));
            }
        }
        Ok(None)
    }

    /// Runs the program here, with a server of its own.
    fn visit(&self, stage: &Stage, case: &Case, entrant: &Entrant) -> Result<Run> {
        let program = stage.programs.join("server");
        let server = Server::start(&program, &stage.certificate, case.delay_ms, case.events)?;
        let connection = format!(
            "InstrumentationKey=00000000-0000-4000-8000-000000000000;IngestionEndpoint=https://localhost:{}/",
            server.port
        );
        // Beyond the cap of 50 MB the oldest events would be dropped, beyond five minutes the rest would stay.
        let config = format!(
            r#"{{"connectionString":"{connection}","limits":{{"lanes":{},"bufferBytes":2000000000,"deadlineS":3600}}}}"#,
            case.lanes
        );
        fs::write(self.data().join("config.json"), config)?;
        let mut command = Command::new(stage.programs.join("measure"));
        command
            .arg(&entrant.program)
            .args(self.arguments(stage, case, entrant.kind))
            .env_clear()
            .env("HOME", self.0.path())
            .current_dir(self.0.path())
            .stdin(match case.task {
                Task::Hook => self.notice()?.into(),
                _ => Stdio::null(),
            });
        if entrant.kind == Kind::Peer {
            command.env("APPLICATIONINSIGHTS_CONNECTION_STRING", connection);
            command.env("SSL_CERT_FILE", &stage.certificate.authority);
        }
        if let Trust::System(bundle) = &stage.trust {
            command.env("SSL_CERT_FILE", bundle);
        }
        let output = command.output().context("cannot start measure")?;
        let tally = server.finish()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        let numbers = String::from_utf8_lossy(&output.stdout);
        let numbers: Result<Vec<f64>, _> = numbers.split_whitespace().map(str::parse).collect();
        let [wall_us, cpu_us, memory_kb, code] = numbers?[..] else {
            bail!("{} did not run: {complaint}", entrant.name);
        };
        // A pass that leaves because of a pause says so by its code.
        if code != 0.0 && case.state == State::Ready {
            eprintln!("{} ended with {code}: {}", entrant.name, complaint.trim());
        }
        Ok(Run {
            wall_ms: wall_us / 1e3,
            cpu_ms: cpu_us / 1e3,
            memory_mb: memory_kb * 1024.0 / 1e6,
            tally,
        })
    }

    /// What an agent tells its hook when a slash command is called.
    fn notice(&self) -> Result<File> {
        let path = self.0.path().join("notice.json");
        let id = Utc::now().timestamp_micros();
        let notice = format!(
            r#"{{"session_id":"s","hook_event_name":"UserPromptExpansion","expansion_type":"slash_command","command_name":"commit","command_args":"","prompt":"/commit","prompt_id":"p{id}"}}"#
        );
        fs::write(&path, notice)?;
        Ok(File::open(path)?)
    }

    fn arguments(&self, stage: &Stage, case: &Case, kind: Kind) -> Vec<PathBuf> {
        if kind != Kind::Ours {
            return vec![self.buffer()];
        }
        let words = match case.task {
            Task::Pass => "--app bench",
            Task::Flush => "--app bench --flush",
            Task::Record => {
                "record --app bench cli_command --prop command=init --prop success=true"
            }
            Task::Hook => "hook --app bench --host claude",
        };
        let mut arguments: Vec<PathBuf> = words.split(' ').map(PathBuf::from).collect();
        if case.task == Task::Flush
            && let Trust::Authority = stage.trust
        {
            arguments.extend(["--ca-file".into(), stage.certificate.authority.clone()]);
        }
        arguments
    }
}

/// The state after the server asked for an hour's pause.
fn pause() -> String {
    let until = Utc::now() + TimeDelta::hours(1);
    let until = until.to_rfc3339_opts(SecondsFormat::Secs, true);
    format!(r#"{{"notBefore":{{"until":"{until}","reason":"the server is busy"}}}}"#)
}

/// The file with the first `count` events, made when it is first asked for.
fn events(stage: &Stage, count: u64) -> Result<PathBuf> {
    let path = stage.folder.join(format!("{count}.jsonl"));
    if !Path::exists(&path) {
        compare::data::write(&path, count, Utc::now())?;
    }
    Ok(path)
}
