//! Gemini CLI (measured with 0.61.0).

use super::{Dialect, Spelling, TurnKey};

pub(super) const DIALECT: Dialect = Dialect {
    session: "session_id",
    turn: TurnKey::Time("timestamp"),
    start: "SessionStart",
    command: "BeforeAgent",
    command_in: Spelling::FirstWord("prompt"),
    end: "SessionEnd",
    version: |_, _| None,
    is_certain: |payload, env| {
        let session = env.get("GEMINI_SESSION_ID").map(String::as_str);
        session.is_some() && session == payload.session() || payload.has_transcript_below(".gemini")
    },
};
