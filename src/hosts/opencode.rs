//! `OpenCode` (measured with 1.18.33): its plugin, `hooks/opencode/telemetry-upload.ts`, tells us what
//! happened under `OpenCode`'s own names.

use super::place::{Place, Whose};
use super::{CommandIn, Dialect, TurnKey};

pub(super) const DIALECT: Dialect = Dialect {
    session: "session_id",
    turn: TurnKey::Id("turn_id"),
    start: "session.created",
    command: "command.execute.before",
    command_in: CommandIn::Named("command_name"),
    end: "dispose",
    version: |payload, _| payload.text("version").map(str::to_owned),
    is_certain: |payload, _| {
        let names = [DIALECT.start, DIALECT.command, DIALECT.end];
        payload.event().is_some_and(|event| names.contains(&event))
    },
};

/// Where its hooks go.
pub(super) const PLACE: Place = Place {
    variable: Some(("XDG_CONFIG_HOME", "opencode/plugins")),
    in_home: ".config/opencode/plugins",
    in_project: ".opencode/plugins",
    file: "telemetry-upload.ts",
    whose: Whose::Ours,
    snippet: include_str!("../../hooks/opencode/telemetry-upload.ts"),
    afterwards: None,
};
