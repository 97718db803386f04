//! Cursor (after its documentation; never run).

use super::place::{Place, Whose};
use super::{CommandIn, Dialect, TurnKey};

pub(super) const DIALECT: Dialect = Dialect {
    session: "conversation_id",
    turn: TurnKey::Id("generation_id"),
    start: "sessionStart",
    command: "beforeSubmitPrompt",
    command_in: CommandIn::FirstWord("prompt"),
    end: "sessionEnd",
    version: |payload, _| payload.text("cursor_version").map(str::to_owned),
    is_certain: |payload, _| payload.text("conversation_id").is_some(),
};

/// Where its hooks go.
pub(super) const PLACE: Place = Place {
    variable: None,
    in_home: ".cursor",
    in_project: ".cursor",
    file: "hooks.json",
    whose: Whose::Shared,
    snippet: include_str!("../../hooks/cursor/hooks.json"),
    afterwards: None,
};
