//! `telemetry-upload demo`: the whole way of an event on one machine, in a folder that is gone again
//! at the end. Nothing of the user's is read or written, and nothing leaves the machine.

use crate::cli::Upload;
use crate::consent::Consent;
use crate::emulator::{Emulator, Exchange, Moment, Options, Script};
use crate::exhibit;
use crate::id;
use crate::os::{self, Open};
use crate::paths::{OWN_BUFFER, Paths};
use crate::settings::Settings;
use crate::summary::Tense;
use crate::terminal::{self, Progress};
use crate::upload::{Mode, Pass};
use crate::world::{self, RealWorld};
use anyhow::{Context, Result};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

/// The application that the sample events are of.
const APP: &str = "atomic";

/// Runs the demonstration.
///
/// # Errors
/// A temporary folder that cannot be made, or no port on 127.0.0.1.
pub fn run() -> Result<ExitCode> {
    let folder = Folder::new()?;
    let paths = Paths::find(APP, Some(&folder.0), &BTreeMap::new())?;
    let arrived: Arc<Mutex<Vec<Exchange>>> = Arc::default();
    let emulator = start(&arrived)?;
    terminal::print(&format!(
        "A local endpoint listens on {}. Nothing leaves this machine, nothing of yours is touched.\n",
        emulator.address()
    ));

    let samples = samples(world::now());
    append(&paths, &samples).context("cannot write the sample events")?;
    terminal::print(&format!(
        "A program appended {} lines to {OWN_BUFFER}:",
        samples.lines().count()
    ));
    for line in samples.lines() {
        terminal::print(&format!("  {line}"));
    }

    terminal::print("\n$ telemetry-upload --flush");
    let flags = Upload {
        connection_string: Some(emulator.connection_string()),
        ..Upload::default()
    };
    let env = BTreeMap::new();
    let settings = Settings::resolve(&flags, APP, &paths, &env)?;
    let world = RealWorld::new(&settings.limits, None, &env)?;
    let pass = Pass {
        world: &world,
        settings: &settings,
        paths: &paths,
        mode: Mode::Foreground,
        may: &|| Consent::Allowed,
        progress: &Progress::Silent,
    };
    let summary = pass.run()?;
    if let Some(line) = summary.line(Tense::Done) {
        terminal::print(&line);
    }
    show_arrived(&arrived.lock().unwrap_or_else(PoisonError::into_inner));
    show_rejected(&paths)?;
    let left = fs::metadata(paths.buffer(OWN_BUFFER))
        .context("cannot look at the buffer")?
        .len();
    terminal::print(&format!("\nLeft in the buffer: {left} bytes."));
    Ok(ExitCode::from(summary.exit_code()))
}

fn start(arrived: &Arc<Mutex<Vec<Exchange>>>) -> Result<Emulator> {
    let arrived = Arc::clone(arrived);
    Emulator::start(Options {
        port: 0,
        store: None,
        tls: None,
        script: Script::none(),
        now: world::now,
        observer: Arc::new(move |moment, exchange| {
            if moment == Moment::Judged {
                arrived
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(exchange.clone());
            }
        }),
    })
}

/// The descriptor is closed again at once, as a producer should.
fn append(paths: &Paths, lines: &str) -> io::Result<()> {
    os::open(&paths.buffer(OWN_BUFFER), Open::Append)?.write_all(lines.as_bytes())
}

/// The three kinds of events that Atomic writes, one of them ten days old, and a line cut in two.
fn samples(now: DateTime<Utc>) -> String {
    let (person, session) = (id::random(), id::random());
    let event = |kind: &str, age: TimeDelta, more: Value| {
        let mut event = json!({
            "anonymousId": person,
            "eventId": id::random(),
            "eventType": kind,
            "timestamp": (now - age).to_rfc3339_opts(SecondsFormat::Millis, true),
            "platform": "linux",
            "atomicVersion": "0.9.1",
        });
        if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
            event.extend(more);
        }
        event.to_string()
    };
    [
        event("atomic_command", TimeDelta::minutes(3), json!({"command": "init", "agentType": "claude", "success": true})),
        event("cli_command", TimeDelta::days(10), json!({"commands": ["/commit", "/research-codebase"], "commandCount": 2})),
        event(
            "agent_session",
            TimeDelta::minutes(1),
            json!({
                "sessionId": session, "agentType": "opencode", "commands": ["/implement-feature"], "commandCount": 1,
                "durationMs": 48_250, "prompt": "please fix the login of alice@example.com",
            }),
        ),
        event("cli_command", TimeDelta::zero(), json!({})).chars().take(60).collect(),
        event("atomic_command", TimeDelta::zero(), json!({"command": "update", "success": false})),
        String::new(),
    ]
    .join("\n")
}

fn show_arrived(exchanges: &[Exchange]) {
    terminal::print("\nArrived, as Application Insights would store it:");
    for (envelope, error) in exchanges.iter().flat_map(|exchange| &exchange.verdicts) {
        let outcome = error
            .as_ref()
            .map_or("accepted", |error| error.message.as_str());
        show(&exhibit::envelope(envelope, &format!(": {outcome}")));
    }
}

fn show(lines: &[String]) {
    for line in lines {
        terminal::print(&format!("  {line}"));
    }
}

fn show_rejected(paths: &Paths) -> Result<()> {
    let rejected =
        fs::read_to_string(paths.rejected()).context("cannot read the rejected lines")?;
    terminal::print("\nRejected, kept in upload/rejected.jsonl:");
    for line in rejected.lines() {
        let line: Value = serde_json::from_str(line).context("cannot read the rejected lines")?;
        show(&exhibit::rejection(&line));
    }
    Ok(())
}

/// A folder of our own that goes with the value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Folder> {
        let path = std::env::temp_dir().join(format!("telemetry-upload-demo-{}", id::random()));
        os::create_private_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder left in the temporary folder is the system's to clean.
        let _ = fs::remove_dir_all(&self.0);
    }
}
