//! Cursor (after its documentation; never run).

use super::{Dialect, Spelling, TurnKey};

pub(super) const DIALECT: Dialect = Dialect {
    session: "conversation_id",
    turn: TurnKey::Id("generation_id"),
    start: "sessionStart",
    command: "beforeSubmitPrompt",
    command_in: Spelling::FirstWord("prompt"),
    end: "sessionEnd",
    version: |payload, _| payload.text("cursor_version").map(str::to_owned),
    is_certain: |payload, _| payload.text("conversation_id").is_some(),
};
