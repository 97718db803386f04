//! Codex CLI (measured with 0.169.0): Claude's format, with a turn's id.

use super::{Dialect, Spelling, TurnKey};

pub(super) const DIALECT: Dialect = Dialect {
    session: "session_id",
    turn: TurnKey::Id("turn_id"),
    start: "SessionStart",
    command: "UserPromptSubmit",
    command_in: Spelling::FirstWord("prompt"),
    end: "SessionEnd",
    version: |_, _| None,
    is_certain: |payload, _| {
        payload.0.contains_key("turn_id") || payload.has_transcript_below(".codex")
    },
};
