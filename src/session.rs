//! One session of an agent, from its hooks' calls: each is a process of its own, so what is known so
//! far stands in a small journal, one line a call, that nothing ever rewrites.
//!
//! A session is begun and ended, and may be taken up again under the same id: each time is a run. At
//! its end a run becomes one `agent_session`, with the commands that were given in it. A hook may be
//! registered twice (in a plugin and in settings, or for two hosts that read the same file), so what
//! the journal has already is not recorded again; and should the journal be gone, the event has the
//! same id as before.

use crate::hosts::{Notice, Turn, What};
use crate::id;
use crate::lock;
use crate::os::{self, Open};
use crate::recorder::{Recorded, Recorder};
use anyhow::{Context, Result};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Two calls for one thing that happened come within this, if nothing but the time tells them apart.
const SAME_MOMENT: TimeDelta = TimeDelta::seconds(5);

/// A session that was silent for so long has ended without a word: its host was killed. Should it
/// speak again, that is another run.
const SILENCE_MAX: TimeDelta = TimeDelta::hours(24);

/// A journal is of use while its session may be taken up again on the day it was last heard of.
const JOURNAL_AGE_MAX: TimeDelta = TimeDelta::hours(48);

/// Commands listed in one `agent_session`, of 66 bytes at most: with them it stays below the 32 KiB of
/// a line. Further ones are only counted.
const COMMANDS_MAX: usize = 400;

/// A journal of some 4,000 commands; more is no agent's session.
const JOURNAL_BYTES_MAX: u64 = 1024 * 1024;

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It was new.
    New(Recorded),
    /// Another call said the same.
    Known,
}

/// Records what an agent said.
///
/// # Errors
/// The journal or the buffer cannot be used.
pub fn note(recorder: &Recorder, notice: &Notice, now: DateTime<Utc>) -> Result<Noted> {
    let paths = recorder.paths();
    os::create_private_dir(&paths.sessions())
        .with_context(|| format!("cannot make {}", paths.sessions().display()))?;
    let id = id::of(&[notice.host.name(), &notice.session]);
    let path = paths.session(&id);
    let context = || format!("cannot use {}", path.display());
    let file = os::open(&path, Open::Append).with_context(context)?;
    // Without the lock a second call may be recorded again: under the same id.
    let _held = lock::take(&file, lock::WAIT_OF_PRODUCER).with_context(context)?;
    let journal = Journal {
        recorder,
        steps: read(&file).with_context(context)?,
        file: &file,
        path: &path,
        now,
    };
    let speaker = speaker(id, notice);
    match &notice.what {
        What::Start(trigger) => journal.start(speaker, trigger),
        What::Command(name) => journal.command(speaker, name, &notice.turn),
        What::End(reason) => journal.end(speaker, reason),
    }
}

/// Ends the sessions that fell silent, and clears away the journals that are of no more use.
///
/// # Errors
/// The first journal that could not be ended or removed; the others are.
pub fn end_the_silent(recorder: &Recorder, now: DateTime<Utc>) -> Result<()> {
    let folder = recorder.paths().sessions();
    let Ok(listing) = fs::read_dir(&folder) else {
        return Ok(());
    };
    let mut done = Ok(());
    for found in listing.flatten() {
        let path = found.path();
        let ended = end_if_silent(recorder, &path, now)
            .with_context(|| format!("cannot clear away {}", path.display()));
        done = done.and(ended);
    }
    done
}

fn end_if_silent(recorder: &Recorder, path: &Path, now: DateTime<Utc>) -> Result<()> {
    let spoken: DateTime<Utc> = fs::symlink_metadata(path)?.modified()?.into();
    if now - spoken < SILENCE_MAX {
        return Ok(());
    }
    let file = os::open(path, Open::Append)?;
    let _held = lock::take(&file, lock::WAIT_OF_PRODUCER)?;
    let journal = Journal {
        recorder,
        steps: read(&file)?,
        file: &file,
        path,
        now,
    };
    if let Some(last) = journal.run().last() {
        let speaker = last.speaker.clone();
        journal.end(speaker, "silence")?;
    } else if now - spoken > JOURNAL_AGE_MAX {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// The fields that all events of a session share.
fn speaker(id: String, notice: &Notice) -> Map<String, Value> {
    let mut fields = Map::from_iter([
        ("sessionId".to_owned(), Value::String(id)),
        ("agentType".to_owned(), notice.host.name().into()),
    ]);
    let more = [("agentVersion", &notice.version), ("model", &notice.model)];
    for (name, value) in more {
        fields.extend(value.clone().map(|value| (name.to_owned(), value.into())));
    }
    fields
}

/// One call, as the journal keeps it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    kind: Kind,
    at: DateTime<Utc>,
    /// The id of its event.
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    speaker: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    Start,
    Command,
    End,
}

/// What is known of a session, at the moment of a call.
struct Journal<'a> {
    recorder: &'a Recorder,
    steps: Vec<Step>,
    file: &'a File,
    path: &'a Path,
    now: DateTime<Utc>,
}

impl Journal<'_> {
    /// What was said since the last end.
    fn run(&self) -> &[Step] {
        let ended = self.steps.iter().rposition(|step| step.kind == Kind::End);
        &self.steps[ended.map_or(0, |end| end + 1)..]
    }

    fn start(mut self, speaker: Map<String, Value>, trigger: &str) -> Result<Noted> {
        // The host made room in the same session.
        if trigger == "compact" {
            return Ok(Noted::Known);
        }
        if let Some(last) = self.run().last() {
            if last.kind == Kind::Start && self.now - last.at < SAME_MOMENT {
                return Ok(Noted::Known);
            }
            // It begins again, and nobody said that it had ended.
            let before = last.speaker.clone();
            self.record_end(before, "silence")?;
        }
        let id = self.id_of_run(&speaker, "start", self.now);
        let more = json!({"trigger": trigger});
        self.record(Kind::Start, "agent_session_start", id, speaker, None, more)
    }

    fn command(mut self, speaker: Map<String, Value>, name: &str, turn: &Turn) -> Result<Noted> {
        let turn = match turn {
            Turn::Id(turn) => turn.clone(),
            Turn::Time(_) if self.is_repeated(name) => return Ok(Noted::Known),
            Turn::Time(Some(time)) => time.clone(),
            Turn::Time(None) => self.now.to_rfc3339_opts(SecondsFormat::Secs, true),
        };
        let id = id::of(&[session_of(&speaker), "command", name, &turn]);
        if self.steps.iter().any(|step| step.id == id) {
            return Ok(Noted::Known);
        }
        let (command, more) = (Some(name.to_owned()), json!({"command": name}));
        self.record(Kind::Command, "agent_command", id, speaker, command, more)
    }

    fn end(mut self, speaker: Map<String, Value>, reason: &str) -> Result<Noted> {
        if self.run().is_empty() && !self.steps.is_empty() {
            return Ok(Noted::Known);
        }
        self.record_end(speaker, reason)
    }

    fn record_end(&mut self, mut speaker: Map<String, Value>, reason: &str) -> Result<Noted> {
        let run = self.run();
        let begun = run.first().map_or(self.now, |first| first.at);
        // Hosts name the model when a session begins, and not when it ends.
        for step in run.iter().rev() {
            for (name, value) in &step.speaker {
                speaker.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        let commands: Vec<&str> = run
            .iter()
            .filter_map(|step| step.command.as_deref())
            .collect();
        let more = json!({
            "commands": commands[..commands.len().min(COMMANDS_MAX)],
            "commandCount": commands.len(),
            "reason": reason,
        });
        let id = self.id_of_run(&speaker, "end", begun);
        self.record(Kind::End, "agent_session", id, speaker, None, more)
    }

    /// The event first: should this be cut off between the two, the next call records it again, under
    /// the same id.
    fn record(
        &mut self,
        kind: Kind,
        event: &str,
        id: String,
        speaker: Map<String, Value>,
        command: Option<String>,
        more: Value,
    ) -> Result<Noted> {
        let mut fields = Map::from_iter([
            ("eventType".to_owned(), event.into()),
            ("eventId".to_owned(), id.as_str().into()),
        ]);
        fields.extend(speaker.clone());
        if let Value::Object(more) = more {
            fields.extend(more);
        }
        fields.insert("source".to_owned(), "session_hook".into());
        let recorded = self.recorder.append(fields)?;
        let step = Step {
            kind,
            at: self.now,
            id,
            command,
            speaker,
        };
        let mut line = serde_json::to_vec(&step)?;
        line.push(b'\n');
        os::write_once(self.file, &line)
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        self.steps.push(step);
        Ok(Noted::New(recorded))
    }

    /// The id of a run's start or end: its day and its number on that day tell it from the others.
    fn id_of_run(&self, speaker: &Map<String, Value>, what: &str, day: DateTime<Utc>) -> String {
        let ends = self.steps.iter().filter(|step| step.kind == Kind::End);
        let run = ends.count().to_string();
        let day = day.date_naive().to_string();
        id::of(&[session_of(speaker), what, &day, &run])
    }

    /// Whether this command was the last one, a moment ago.
    fn is_repeated(&self, name: &str) -> bool {
        let last = self.run().last();
        last.is_some_and(|last| {
            last.command.as_deref() == Some(name) && self.now - last.at < SAME_MOMENT
        })
    }
}

fn session_of(speaker: &Map<String, Value>) -> &str {
    let id = speaker.get("sessionId").and_then(Value::as_str);
    id.unwrap_or_default()
}

/// The steps so far. A line that is none was torn, and says nothing.
fn read(file: &File) -> io::Result<Vec<Step>> {
    let mut bytes = Vec::new();
    file.take(JOURNAL_BYTES_MAX).read_to_end(&mut bytes)?;
    let lines = bytes.split(|byte| *byte == b'\n');
    Ok(lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect())
}
