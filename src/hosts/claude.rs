//! Claude Code (measured with 2.1.329): hooks in its settings or in a plugin.

use super::place::{Place, Whose};
use super::{CommandIn, Dialect, TurnKey};

pub(super) const DIALECT: Dialect = Dialect {
    session: "session_id",
    turn: TurnKey::Id("prompt_id"),
    start: "SessionStart",
    // It names commands of the person's and of plugins, and is silent about `/exit` and `/clear`.
    command: "UserPromptExpansion",
    command_in: CommandIn::Named("command_name"),
    end: "SessionEnd",
    // `claude-code_2-1-329_harness`
    version: |_, env| {
        let name = env.get("AI_AGENT")?.strip_prefix("claude-code_")?;
        Some(name.split('_').next()?.replace('-', "."))
    },
    is_certain: |payload, env| {
        payload.is_of_session_in(env, "CLAUDE_CODE_SESSION_ID")
            || payload.has_transcript_below(".claude")
    },
};

/// Where its hooks go.
pub(super) const PLACE: Place = Place {
    variable: Some(("CLAUDE_CONFIG_DIR", "")),
    in_home: ".claude",
    in_project: ".claude",
    file: "settings.json",
    whose: Whose::Shared,
    snippet: include_str!("../../hooks/claude/settings.json"),
    afterwards: None,
};
