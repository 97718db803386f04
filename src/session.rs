//! One session of an agent, from its hooks' calls: each is a process of its own, so what was said so
//! far stands in a file.
//!
//! A session is begun and ended, and may be taken up again under the same id: each time is a run. At
//! its end a run becomes one `agent_session`, with the commands that were given in it. A hook may be
//! registered twice (in a plugin and in settings, or for two hosts that read the same file), so what
//! stands there already is not recorded again; and should the file be gone, the event has the same id
//! as before.

mod calls;

use crate::hosts::{Notice, Turn, What};
use crate::id;
use crate::lock;
use crate::os::{self, Open};
use crate::paths::Paths;
use crate::recorder::{Recorded, Recorder};
use anyhow::{Context, Result};
use calls::{Call, Calls, Kind, Speaker};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use std::fs::{self, Metadata};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Two calls for one thing that happened come within this, if nothing but the time tells them apart.
const SAME_MOMENT: TimeDelta = TimeDelta::seconds(10);

/// A session that was silent for so long has ended without a word: its host was killed. Should it
/// speak again, that is another run.
const SILENCE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The calls are kept this long, because their session may be taken up again on the same day.
const CALLS_AGE_MAX: Duration = Duration::from_secs(48 * 60 * 60);

/// Commands listed in one `agent_session`, of 68 bytes at most: with them it stays below the 32 KiB of
/// a line. Further ones are only counted.
const COMMANDS_MAX: usize = 400;

/// Why a run ended of which nobody said that it did.
const UNKNOWN: &str = "unknown";

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
/// The buffer cannot be used.
pub fn note(recorder: &Recorder, notice: &Notice, now: DateTime<Utc>) -> Result<Noted> {
    if let Some(rule) = recorder.denied() {
        return Ok(Noted::New(Recorded::Off(rule)));
    }
    let id = id::of(&[notice.host.name(), &notice.session]);
    let path = recorder.paths().session(&id);
    // What happened is recorded even if what happened before cannot be known.
    let file = make_folders(recorder.paths()).and_then(|()| os::open(&path, Open::Append));
    let file = file.ok();
    let _held = file
        .as_ref()
        .map(|file| lock::take(file, lock::WAIT_OF_PRODUCER));
    let mut session = Session {
        recorder,
        calls: Calls::read(file.as_ref()),
        now,
    };
    let speaker = Speaker {
        session_id: id,
        agent_type: notice.host.name().to_owned(),
        agent_version: notice.version.clone(),
        model: notice.model.clone(),
    };
    match &notice.what {
        What::Start(trigger) => session.start(&speaker, trigger),
        What::Command(name) => session.command(&speaker, name, &notice.turn),
        What::End(reason) => session.end(speaker, reason),
    }
}

fn make_folders(paths: &Paths) -> io::Result<()> {
    os::create_private_dir(&paths.upload())?;
    os::create_private_dir(&paths.sessions())
}

/// Ends the sessions that fell silent, and clears away the calls that are of no more use.
///
/// # Errors
/// The first that could not be ended or cleared away; the others are.
pub fn end_the_silent(recorder: &Recorder, now: DateTime<Utc>) -> Result<()> {
    if recorder.denied().is_some() {
        return Ok(());
    }
    let (paths, folder) = (recorder.paths(), recorder.paths().sessions());
    if !folder.exists() {
        return Ok(());
    }
    // Files are removed here: a link must not lead to those of somebody else's.
    for folder in [paths.upload(), folder.clone()] {
        os::check_private_dir(&folder)
            .with_context(|| format!("cannot use {}", folder.display()))?;
    }
    let Ok(listing) = fs::read_dir(folder) else {
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
    // Most are not silent, and a look costs less than an open.
    if silence(&fs::symlink_metadata(path)?, now)? < SILENCE_MAX {
        return Ok(());
    }
    let file = os::open(path, Open::Append)?;
    let Some(_held) = lock::take_now(&file)? else {
        return Ok(());
    };
    // Looked at again under the lock: it may have spoken just now.
    let silence = silence(&file.metadata()?, now)?;
    let mut session = Session {
        recorder,
        calls: Calls::read(Some(&file)),
        now,
    };
    if silence >= SILENCE_MAX && !session.calls.run().is_empty() {
        session.end_unsaid()?;
    } else if silence >= CALLS_AGE_MAX {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// How long nothing was written to it; nothing at all, should the clock be behind.
fn silence(file: &Metadata, now: DateTime<Utc>) -> io::Result<Duration> {
    let spoken = file.modified()?;
    Ok(SystemTime::from(now)
        .duration_since(spoken)
        .unwrap_or_default())
}

/// A session, at the moment of a call.
struct Session<'a> {
    recorder: &'a Recorder,
    calls: Calls<'a>,
    now: DateTime<Utc>,
}

impl Session<'_> {
    fn start(&mut self, speaker: &Speaker, trigger: &str) -> Result<Noted> {
        let run = self.calls.run();
        let mut starts = run.iter().filter(|call| call.kind == Kind::Start);
        if starts.any(|start| self.is_of_this_moment(start)) {
            return Ok(Noted::Known);
        }
        // A command may overtake the start that it belongs to. Otherwise the session begins again, and
        // nobody said that it had ended.
        if run
            .first()
            .is_some_and(|first| !self.is_of_this_moment(first))
        {
            self.end_unsaid()?;
        }
        let id = self.id_of_run(speaker, "start", self.now);
        let fields = json!({"trigger": trigger});
        self.record(Kind::Start, id, speaker, None, fields)
    }

    fn command(&mut self, speaker: &Speaker, name: &str, turn: &Turn) -> Result<Noted> {
        let turn = match turn {
            Turn::Id(turn) => turn.clone(),
            Turn::Time(_) if self.has_just_been_given(name) => return Ok(Noted::Known),
            Turn::Time(Some(time)) => time.clone(),
            Turn::Time(None) => self.now.to_rfc3339_opts(SecondsFormat::Secs, true),
        };
        let id = id::of(&[&speaker.session_id, "command", name, &turn]);
        if self.calls.all.iter().any(|call| call.id == id) {
            return Ok(Noted::Known);
        }
        let fields = json!({"command": name});
        self.record(Kind::Command, id, speaker, Some(name.to_owned()), fields)
    }

    fn end(&mut self, speaker: Speaker, reason: &str) -> Result<Noted> {
        if self.calls.run().is_empty() && !self.calls.all.is_empty() {
            return Ok(Noted::Known);
        }
        self.record_end(speaker, reason, self.now)
    }

    /// Ends a run that nobody ended, as of when it was last heard of.
    fn end_unsaid(&mut self) -> Result<Noted> {
        match self.calls.run().last().cloned() {
            Some(last) => self.record_end(last.speaker, UNKNOWN, last.at),
            None => Ok(Noted::Known),
        }
    }

    fn record_end(
        &mut self,
        mut speaker: Speaker,
        reason: &str,
        at: DateTime<Utc>,
    ) -> Result<Noted> {
        let run = self.calls.run();
        let begun = run.first().map_or(at, |first| first.at);
        // Hosts name the model when a session begins, and not when it ends.
        for earlier in run.iter().rev() {
            speaker.learn(&earlier.speaker);
        }
        let given = run.iter().filter_map(|call| call.command.as_deref());
        let commands: Vec<&str> = given.collect();
        let mut fields = json!({"timestamp": at.to_rfc3339_opts(SecondsFormat::Millis, true)});
        // Where nobody knows which were given, there were not none.
        if self.calls.are_known() {
            fields["commands"] = json!(commands[..commands.len().min(COMMANDS_MAX)]);
            fields["commandCount"] = json!(commands.len());
        }
        fields["reason"] = json!(reason);
        let id = self.id_of_run(&speaker, "end", begun);
        self.record(Kind::End, id, &speaker, None, fields)
    }

    /// The event first: should this be cut off between the two, the next call records it again, under
    /// the same id.
    fn record(
        &mut self,
        kind: Kind,
        id: String,
        speaker: &Speaker,
        command: Option<String>,
        fields: Value,
    ) -> Result<Noted> {
        let mut event = Map::new();
        let head = json!({"eventType": kind.event(), "eventId": id});
        let tail = json!({"source": "session_hook"});
        for part in [head, serde_json::to_value(speaker)?, fields, tail] {
            if let Value::Object(part) = part {
                event.extend(part);
            }
        }
        let recorded = self.recorder.append(event)?;
        if let Recorded::Off(_) = recorded {
            return Ok(Noted::New(recorded));
        }
        let (at, speaker) = (self.now, speaker.clone());
        let call = Call {
            kind,
            at,
            id,
            command,
            speaker,
        };
        // What is recorded is recorded; at worst it is so twice, under one id.
        let _ = self.calls.push(call);
        Ok(Noted::New(recorded))
    }

    /// The id of a run's start or end: its day and its number on that day tell it from the others.
    fn id_of_run(&self, speaker: &Speaker, what: &str, begun: DateTime<Utc>) -> String {
        let (day, number) = (begun.date_naive().to_string(), self.calls.ends());
        id::of(&[&speaker.session_id, what, &day, &number.to_string()])
    }

    fn is_of_this_moment(&self, call: &Call) -> bool {
        (self.now - call.at).abs() < SAME_MOMENT
    }

    fn has_just_been_given(&self, name: &str) -> bool {
        let last = self.calls.run().last();
        last.is_some_and(|last| {
            last.command.as_deref() == Some(name) && self.is_of_this_moment(last)
        })
    }
}
