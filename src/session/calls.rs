//! The calls of a session's hooks so far: a file, one line a call, that nothing ever rewrites.

use crate::os;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};

/// Calls after which no further command is noted, though it is recorded: no agent's session has so
/// many. Its start and its end always are.
const COMMANDS_MAX: usize = 2_000;

/// So many commands, of 300 bytes each, and a thousand starts and ends.
const BYTES_MAX: u64 = 1024 * 1024;

/// One call that was recorded.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Call {
    pub(super) kind: Kind,
    pub(super) at: DateTime<Utc>,
    /// The id of its event.
    pub(super) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) command: Option<String>,
    #[serde(flatten)]
    pub(super) speaker: Speaker,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Kind {
    Start,
    Command,
    End,
}

impl Kind {
    /// The event that it is recorded as.
    pub(super) fn event(self) -> &'static str {
        match self {
            Kind::Start => "agent_session_start",
            Kind::Command => "agent_command",
            Kind::End => "agent_session",
        }
    }
}

/// The fields that all events of a session share.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Speaker {
    pub(super) session_id: String,
    pub(super) agent_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) agent_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<String>,
}

impl Speaker {
    /// Fills in what an earlier call knew.
    pub(super) fn learn(&mut self, earlier: &Speaker) {
        let (version, model) = (&mut self.agent_version, &mut self.model);
        *version = version.take().or_else(|| earlier.agent_version.clone());
        *model = model.take().or_else(|| earlier.model.clone());
    }
}

/// What is known of a session.
pub(super) struct Calls<'a> {
    file: Option<&'a File>,
    pub(super) all: Vec<Call>,
}

impl Calls<'_> {
    /// Reads what is there. A line that is no call was torn, and says nothing.
    pub(super) fn read(file: Option<&File>) -> Calls<'_> {
        let mut bytes = Vec::new();
        let read = file.map(|file| file.take(BYTES_MAX).read_to_end(&mut bytes));
        let lines = bytes.split(|byte| *byte == b'\n');
        let all = lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect();
        Calls {
            file: file.filter(|_| matches!(read, Some(Ok(_)))),
            all,
        }
    }

    /// Whether these are all; without a file nobody can say.
    pub(super) fn are_known(&self) -> bool {
        self.file.is_some()
    }

    /// What was said since the last end.
    pub(super) fn run(&self) -> &[Call] {
        let ended = self.all.iter().rposition(|call| call.kind == Kind::End);
        &self.all[ended.map_or(0, |end| end + 1)..]
    }

    /// How many runs have ended.
    pub(super) fn ends(&self) -> usize {
        let ends = self.all.iter().filter(|call| call.kind == Kind::End);
        ends.count()
    }

    /// Adds a call. The newline stands in front, too: the line before may be torn.
    pub(super) fn push(&mut self, call: Call) -> io::Result<()> {
        if let Some(file) = self.file
            && (self.all.len() < COMMANDS_MAX || call.kind != Kind::Command)
        {
            let line = format!("\n{}\n", serde_json::to_string(&call)?);
            os::write_once(file, line.as_bytes())?;
        }
        self.all.push(call);
        Ok(())
    }
}
