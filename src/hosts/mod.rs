//! The agents whose hooks call us: which one it is, and what it says.
//!
//! Hooks leak from host to host. Copilot and Cursor run the hooks in Claude's settings too, and a
//! Codex that was started by Claude inherits Claude's environment. So whatever host the hook was
//! installed for is only presumed: what the payload and the environment say together is believed
//! first. README's assumptions name the versions that this was measured with.

mod allowed;
mod claude;
mod codex;
mod copilot;
mod cursor;
mod gemini;
mod opencode;
pub mod place;

use anyhow::{Result, bail};
use place::Place;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// An agent that has hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Claude Code.
    Claude,
    /// GitHub Copilot CLI.
    Copilot,
    /// Codex CLI.
    Codex,
    /// `OpenCode`.
    OpenCode,
    /// Gemini CLI.
    Gemini,
    /// Cursor.
    Cursor,
}

impl Host {
    /// Every host once.
    pub const ALL: [Host; 6] = [
        Host::Claude,
        Host::Copilot,
        Host::Codex,
        Host::OpenCode,
        Host::Gemini,
        Host::Cursor,
    ];

    /// Its name in arguments, and the `agentType` of its events.
    pub fn name(self) -> &'static str {
        match self {
            Host::Claude => "claude",
            Host::Copilot => "copilot",
            Host::Codex => "codex",
            Host::OpenCode => "opencode",
            Host::Gemini => "gemini",
            Host::Cursor => "cursor",
        }
    }

    /// The host of this name.
    ///
    /// # Errors
    /// The names there are.
    pub fn from_name(name: &str) -> Result<Host> {
        match Host::ALL.into_iter().find(|host| host.name() == name) {
            Some(host) => Ok(host),
            None => bail!("the hosts are {}", Host::ALL.map(Host::name).join(", ")),
        }
    }

    /// Where it reads its hooks, and what we put there.
    pub fn place(self) -> &'static Place {
        match self {
            Host::Claude => &claude::PLACE,
            Host::Copilot => &copilot::PLACE,
            Host::Codex => &codex::PLACE,
            Host::OpenCode => &opencode::PLACE,
            Host::Gemini => &gemini::PLACE,
            Host::Cursor => &cursor::PLACE,
        }
    }

    fn dialect(self) -> &'static Dialect {
        match self {
            Host::Claude => &claude::DIALECT,
            Host::Copilot => &copilot::DIALECT,
            Host::Codex => &codex::DIALECT,
            Host::OpenCode => &opencode::DIALECT,
            Host::Gemini => &gemini::DIALECT,
            Host::Cursor => &cursor::DIALECT,
        }
    }
}

/// How a host's payload is read.
struct Dialect {
    /// The key of the session's id.
    session: &'static str,
    /// What one turn of the conversation is told by.
    turn: TurnKey,
    /// The event that begins a session.
    start: &'static str,
    /// The event in which a slash command may be found.
    command: &'static str,
    /// Where it is found there.
    command_in: CommandIn,
    /// The event that ends a session.
    end: &'static str,
    /// The version of the host, if it says.
    version: fn(&Payload, &Env) -> Option<String>,
    /// Whether this payload, in this environment, can be no other host's.
    is_certain: fn(&Payload, &Env) -> bool,
}

/// What a turn is told by.
enum TurnKey {
    /// An id, in this field.
    Id(&'static str),
    /// The time, in this field: two calls for one turn may differ in it.
    Time(&'static str),
}

/// Where a slash command is found.
enum CommandIn {
    /// The host names it, in this field.
    Named(&'static str),
    /// It is the first word of what was typed, in this field.
    FirstWord(&'static str),
}

/// The environment.
type Env = BTreeMap<String, String>;

/// The JSON object that a host gives its hook. Nearly all of it is nobody's business.
#[derive(Debug)]
pub struct Payload(pub Map<String, Value>);

impl Payload {
    fn text(&self, key: &str) -> Option<&str> {
        let text = self.0.get(key).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
    }

    fn event(&self) -> Option<&str> {
        self.text("hook_event_name")
    }

    fn session(&self) -> Option<&str> {
        self.text("session_id")
    }

    /// Whether the session is the one that this variable names. The variable alone proves nothing:
    /// whatever the host starts inherits it.
    fn is_of_session_in(&self, env: &Env, variable: &str) -> bool {
        let session = env.get(variable).map(String::as_str);
        session.is_some() && session == self.session()
    }

    /// Whether the transcript lies in the folder of this name. Where it lies tells the host; the path
    /// itself goes nowhere.
    fn has_transcript_below(&self, folder: &str) -> bool {
        let path = self.text("transcript_path").unwrap_or_default();
        path.split(['/', '\\']).any(|part| part == folder)
    }
}

/// What a host said, as far as it may be known. `allowed.rs` has the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Who said it.
    pub host: Host,
    /// The host's version.
    pub version: Option<String>,
    /// The session's id as the host writes it: only ever hashed.
    pub session: String,
    /// What the turn is told by: only ever hashed.
    pub turn: Turn,
    /// The family and version of the model.
    pub model: Option<String>,
    /// What happened.
    pub what: What,
}

/// What a turn of the conversation is told by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Its id.
    Id(String),
    /// Its time as the host writes it, or nothing: two calls for it may differ.
    Time(Option<String>),
}

/// What happens in a session and is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It began; why, in one word of a closed list.
    Start(&'static str),
    /// A slash command was given; its name, with the slash.
    Command(String),
    /// It ended; why, in one word of a closed list.
    End(&'static str),
}

/// The host that is speaking; the presumed one if nothing shows which it is.
pub fn recognise(payload: &Payload, env: &Env, presumed: Option<Host>) -> Option<Host> {
    let certain = |host: &Host| (host.dialect().is_certain)(payload, env);
    Host::ALL.into_iter().find(certain).or(presumed)
}

/// Takes from a payload what may be known. `None` for anything but the three moments of a session
/// that are recorded.
pub fn read(host: Host, payload: &Payload, env: &Env) -> Option<Notice> {
    let dialect = host.dialect();
    let event = payload.event()?;
    let what = if event.eq_ignore_ascii_case(dialect.start) {
        match allowed::trigger(payload.text("source")) {
            // The host made room in a session that goes on.
            "compact" => return None,
            trigger => What::Start(trigger),
        }
    } else if event.eq_ignore_ascii_case(dialect.end) {
        What::End(allowed::reason(payload.text("reason")))
    } else if event.eq_ignore_ascii_case(dialect.command) {
        What::Command(match dialect.command_in {
            CommandIn::Named(key) => allowed::named_command(payload.text(key)?)?,
            CommandIn::FirstWord(key) => allowed::typed_command(payload.text(key)?)?,
        })
    } else {
        return None;
    };
    Some(Notice {
        host,
        version: (dialect.version)(payload, env).filter(|version| allowed::is_version(version)),
        session: payload.text(dialect.session)?.to_owned(),
        turn: turn(&dialect.turn, payload),
        model: payload.text("model").map(allowed::model),
        what,
    })
}

fn turn(key: &TurnKey, payload: &Payload) -> Turn {
    let text = |key| payload.text(key).map(str::to_owned);
    match key {
        TurnKey::Id(key) => text(key).map_or(Turn::Time(None), Turn::Id),
        TurnKey::Time(key) => Turn::Time(text(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn env_of(pairs: &[(&str, &str)]) -> Env {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn payload(fields: Value) -> Payload {
        match fields {
            Value::Object(fields) => Payload(fields),
            other => panic!("{other}"),
        }
    }

    /// In the environment that a Claude, its Copilot and its Gemini leave to whatever they start.
    fn check(session_env: &str, fields: Value, expected: Option<Host>) {
        let mut env = env_of(&[
            ("CLAUDECODE", "1"),
            ("CLAUDE_CODE_SESSION_ID", "of-claude"),
            ("CLAUDE_PROJECT_DIR", "/p"),
            ("GEMINI_SESSION_ID", "of-gemini"),
            ("CURSOR_VERSION", "2.1"),
        ]);
        if session_env == "COPILOT_CLI" {
            env.insert(session_env.to_owned(), "1".to_owned());
        }
        let payload = payload(fields);
        assert_eq!(recognise(&payload, &env, None), expected, "{payload:?}");
        let presumed = expected.or(Some(Host::Cursor));
        assert_eq!(recognise(&payload, &env, Some(Host::Cursor)), presumed);
    }

    #[test]
    fn a_host_is_told_by_what_nobody_inherits() {
        check("", json!({"session_id": "of-claude"}), Some(Host::Claude));
        check("", json!({"session_id": "of-gemini"}), Some(Host::Gemini));
        check(
            "",
            json!({"session_id": "x", "transcript_path": "/h/.claude/projects/x.jsonl"}),
            Some(Host::Claude),
        );
        check(
            "",
            json!({"session_id": "x", "transcript_path": "C:\\h\\.gemini\\x"}),
            Some(Host::Gemini),
        );
        check(
            "",
            json!({"session_id": "x", "transcript_path": "/h/.codex/x"}),
            Some(Host::Codex),
        );
        check(
            "",
            json!({"session_id": "x", "turn_id": "t", "hook_event_name": "UserPromptSubmit"}),
            Some(Host::Codex),
        );
        check("", json!({"conversation_id": "x"}), Some(Host::Cursor));
        check(
            "",
            json!({"hook_event_name": "dispose", "turn_id": "t"}),
            Some(Host::OpenCode),
        );
        check(
            "COPILOT_CLI",
            json!({"session_id": "x", "timestamp": "t"}),
            Some(Host::Copilot),
        );
    }

    #[test]
    fn what_anybody_may_have_inherited_tells_no_host() {
        check("", json!({"session_id": "x"}), None);
        check("", json!({"session_id": "x", "timestamp": "t"}), None);
        check(
            "",
            json!({"session_id": "x", "transcript_path": "/h/claude/x"}),
            None,
        );
        check("COPILOT_CLI", json!({"session_id": "x"}), None);
        // A Codex or a Gemini that Copilot started.
        check(
            "COPILOT_CLI",
            json!({"session_id": "x", "timestamp": "t", "transcript_path": "/h/.codex/x"}),
            Some(Host::Codex),
        );
        check(
            "COPILOT_CLI",
            json!({"session_id": "of-gemini", "timestamp": "t", "transcript_path": "/x"}),
            Some(Host::Gemini),
        );
    }

    #[test]
    fn a_notice_holds_what_is_allowed_and_no_more() {
        let payload = payload(json!({
            "session_id": "s", "hook_event_name": "UserPromptExpansion", "command_name": "commit", "prompt_id": "p",
            "model": "claude-opus-4-5", "prompt": "secret", "cwd": "/home/alice",
        }));
        let env = env_of(&[("AI_AGENT", "claude-code_2-1-329_agent")]);
        let notice = read(Host::Claude, &payload, &env).unwrap();
        assert_eq!(
            notice,
            Notice {
                host: Host::Claude,
                version: Some("2.1.329".to_owned()),
                session: "s".to_owned(),
                turn: Turn::Id("p".to_owned()),
                model: Some("claude-opus-4-5".to_owned()),
                what: What::Command("/commit".to_owned()),
            }
        );
    }

    #[test]
    fn what_is_not_recorded_is_no_notice() {
        for fields in [
            json!({}),
            json!({"hook_event_name": "SessionStart"}),
            json!({"session_id": "", "hook_event_name": "SessionStart"}),
            json!({"session_id": "s", "hook_event_name": "Stop"}),
            json!({"session_id": "s", "hook_event_name": "UserPromptExpansion"}),
            json!({"session_id": "s", "hook_event_name": "UserPromptSubmit", "prompt": "/commit"}),
        ] {
            assert_eq!(read(Host::Claude, &payload(fields), &Env::new()), None);
        }
        let typed = json!({"session_id": "s", "hook_event_name": "UserPromptSubmit", "prompt": "commit it"});
        assert_eq!(read(Host::Codex, &payload(typed), &Env::new()), None);
    }

    #[test]
    fn no_field_of_any_host_lets_anything_personal_through() {
        const CANARIES: [&str; 8] = [
            "canary alice",
            "alice.canary@example.com",
            "/home/canary/secret.txt",
            "sk-ant-api03-CANARYcanaryCANARYcanary0123456789",
            "canary-host.corp.example",
            "10.20.30.40",
            "C:\\Users\\canary",
            "claude-canary",
        ];
        let env_keys = ["AI_AGENT", "COPILOT_CLI_BINARY_VERSION"];
        for (host, canary) in Host::ALL
            .into_iter()
            .flat_map(|host| CANARIES.map(|canary| (host, canary)))
        {
            let dialect = host.dialect();
            let env = env_of(&env_keys.map(|key| (key, canary)));
            for event in [dialect.start, dialect.command, dialect.end] {
                let keys = "session_id conversation_id prompt prompt_id turn_id generation_id timestamp source reason model version cursor_version cwd user_email message";
                let mut fields: Map<String, Value> = keys
                    .split(' ')
                    .map(|key| (key.to_owned(), canary.into()))
                    .collect();
                fields.insert("hook_event_name".to_owned(), event.into());
                let command = if canary.contains("-canary") {
                    "/etc/canary"
                } else {
                    canary
                };
                fields.insert("command_name".to_owned(), command.into());
                let Some(notice) = read(host, &Payload(fields), &env) else {
                    continue;
                };
                let known = format!("{:?} {:?} {:?}", notice.version, notice.model, notice.what);
                assert!(!known.to_lowercase().contains("canary"), "{known}");
                assert!(!known.contains("10.20"), "{known}");
            }
        }
    }
}
