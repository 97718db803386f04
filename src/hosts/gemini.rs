//! Gemini CLI (measured with 0.61.0).

use super::place::{Place, Whose};
use super::{CommandIn, Dialect, TurnKey};

pub(super) const DIALECT: Dialect = Dialect {
    session: "session_id",
    turn: TurnKey::Time("timestamp"),
    start: "SessionStart",
    command: "BeforeAgent",
    command_in: CommandIn::FirstWord("prompt"),
    end: "SessionEnd",
    version: |_, _| None,
    is_certain: |payload, env| {
        payload.is_of_session_in(env, "GEMINI_SESSION_ID")
            || payload.has_transcript_below(".gemini")
    },
};

/// Where its hooks go.
pub(super) const PLACE: Place = Place {
    variable: Some(("GEMINI_CLI_HOME", ".gemini")),
    in_home: ".gemini",
    in_project: ".gemini",
    file: "settings.json",
    whose: Whose::Shared,
    snippet: include_str!("../../hooks/gemini/settings.json"),
    afterwards: None,
};
