//! GitHub Copilot CLI (measured with 1.0.102). The spelling of an event's key in its hooks file decides
//! what the payload looks like: ours are `PascalCase`, and so it looks like Claude's.

use super::place::{Place, Whose};
use super::{CommandIn, Dialect, TurnKey};

pub(super) const DIALECT: Dialect = Dialect {
    session: "session_id",
    turn: TurnKey::Time("timestamp"),
    start: "SessionStart",
    command: "UserPromptSubmit",
    command_in: CommandIn::FirstWord("prompt"),
    end: "SessionEnd",
    version: |_, env| env.get("COPILOT_CLI_BINARY_VERSION").cloned(),
    // A program that Copilot starts inherits the variable; its payload has a transcript path, or lacks
    // a time.
    is_certain: |payload, env| {
        env.contains_key("COPILOT_CLI")
            && payload.0.contains_key("timestamp")
            && !payload.0.contains_key("transcript_path")
    },
};

/// Where its hooks go.
pub(super) const PLACE: Place = Place {
    variable: Some(("COPILOT_HOME", "hooks")),
    in_home: ".copilot/hooks",
    in_project: ".github/hooks",
    file: "telemetry-upload.json",
    whose: Whose::Ours,
    snippet: include_str!("../../hooks/copilot/telemetry-upload.json"),
    afterwards: None,
};
