//! Codex CLI (measured with 0.169.0): Claude's format, with a turn's id.

use super::place::{Place, Whose};
use super::{CommandIn, Dialect, TurnKey};

pub(super) const DIALECT: Dialect = Dialect {
    session: "session_id",
    turn: TurnKey::Id("turn_id"),
    start: "SessionStart",
    command: "UserPromptSubmit",
    command_in: CommandIn::FirstWord("prompt"),
    end: "SessionEnd",
    version: |_, _| None,
    is_certain: |payload, _| {
        let has_turn =
            payload.event() == Some(DIALECT.command) && payload.0.contains_key("turn_id");
        has_turn || payload.has_transcript_below(".codex")
    },
};

/// Where its hooks go.
pub(super) const PLACE: Place = Place {
    variable: Some(("CODEX_HOME", "")),
    in_home: ".codex",
    in_project: ".codex",
    file: "hooks.json",
    whose: Whose::Shared,
    snippet: include_str!("../../hooks/codex/hooks.json"),
    afterwards: Some("Codex runs them once you have trusted them: it asks at its next start"),
};
