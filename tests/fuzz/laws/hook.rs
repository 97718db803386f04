use super::Draw;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use telemetry_upload::event::{self, Age};
use telemetry_upload::hosts::{self, Host, Notice, Payload};
use telemetry_upload::session;
use telemetry_upload::{Recorder, id};

/// What no event may hold, in whatever field of a payload it stands, and whatever stands around it.
const SECRETS: [&str; 4] = [
    "/home/alice/secret",
    r"C:\Users\alice\secret",
    "alice@secret.example",
    "sk-alice-secret-0123456789abcdefghij",
];

/// The fields that are looked at, and some that are not.
const KEYS: [&str; 18] = [
    "hook_event_name",
    "session_id",
    "conversation_id",
    "source",
    "reason",
    "model",
    "prompt",
    "command_name",
    "prompt_id",
    "turn_id",
    "generation_id",
    "timestamp",
    "transcript_path",
    "cwd",
    "version",
    "cursor_version",
    "command_args",
    "workspace_roots",
];

/// The words that mean something, and beginnings of some.
const WORDS: [&str; 24] = [
    "SessionStart",
    "UserPromptExpansion",
    "UserPromptSubmit",
    "SessionEnd",
    "session.created",
    "command.execute.before",
    "dispose",
    "BeforeAgent",
    "sessionStart",
    "beforeSubmitPrompt",
    "sessionEnd",
    "startup",
    "compact",
    "clear",
    "/review ",
    "review",
    "/",
    "claude-",
    "opus-4-1-",
    "1.0.",
    "/.claude/",
    "/.gemini/",
    "2026-11-20T12:00:00Z",
    " ",
];

/// Whatever an agent tells its hook, at most three kinds of events come of it, each one that a pass
/// would send, and nothing of the person's is in them or in what is noted of the session. What a
/// damaged note of the session says changes nothing about that.
pub fn hold(data: &[u8]) {
    let mut draw = Draw(data);
    let presumed = Host::ALL.get(draw.below(8)).copied();
    let env = environment(&mut draw);
    let payload = payload(&mut draw);
    let mut notices = Vec::new();
    for host in Host::ALL {
        notices.extend(hosts::read(host, &payload, &env));
    }
    for notice in &notices {
        check_notice(notice, &payload);
    }
    let speaking = hosts::recognise(&payload, &env, presumed);
    assert!(presumed.is_none() || speaking.is_some());
    if let Some(notice) = speaking.and_then(|host| hosts::read(host, &payload, &env)) {
        record(&notice, &payload, draw.rest());
    }
}

fn environment(draw: &mut Draw) -> BTreeMap<String, String> {
    let names = [
        "AI_AGENT",
        "CLAUDE_CODE_SESSION_ID",
        "COPILOT_CLI",
        "COPILOT_CLI_BINARY_VERSION",
        "GEMINI_SESSION_ID",
    ];
    let given = draw.byte();
    let is_given = |index: &usize| given >> index & 1 == 1;
    (0..names.len())
        .filter(is_given)
        .map(|index| (names[index].to_owned(), word(draw)))
        .collect()
}

/// An object out of the usual keys and words, or whatever else is one.
fn payload(draw: &mut Draw) -> Payload {
    let raw = draw.byte();
    if raw == 0 {
        return Payload(event::object(draw.rest()).unwrap_or_default());
    }
    let mut fields = Map::new();
    for _ in 0..raw % 16 {
        let key = KEYS[draw.below(KEYS.len())].to_owned();
        let value = match draw.below(12) {
            0 => json!(draw.number()),
            1 => json!({"a": word(draw)}),
            2 => json!([word(draw)]),
            3 => Value::Null,
            _ => json!(word(draw)),
        };
        fields.insert(key, value);
    }
    Payload(fields)
}

fn word(draw: &mut Draw) -> String {
    let kind = draw.byte();
    let mut text = String::new();
    if kind & 1 == 1 {
        text += WORDS[draw.below(WORDS.len())];
    }
    if kind & 2 == 2 {
        text += &draw.text();
    }
    if kind & 4 == 4 {
        text += SECRETS[draw.below(SECRETS.len())];
    }
    if kind & 8 == 8 {
        text += WORDS[draw.below(WORDS.len())];
    }
    text
}

fn check_notice(notice: &Notice, payload: &Payload) {
    // The session and the turn are only ever hashed.
    let said = format!("{:?} {:?} {:?}", notice.version, notice.model, notice.what);
    check_secrets(&said, payload);
}

fn check_secrets(said: &str, payload: &Payload) {
    let given = Value::Object(payload.0.clone()).to_string().to_lowercase();
    let mut others = given.clone();
    for secret in SECRETS {
        others = others.replace(
            json!(secret.to_lowercase()).as_str().unwrap_or_default(),
            "",
        );
        others = others.replace(
            &json!(secret.to_lowercase()).to_string().replace('"', ""),
            "",
        );
    }
    for part in ["alice", "secret"] {
        // It may be a word of the fuzzer's own.
        if !others.contains(part) {
            assert!(!said.to_lowercase().contains(part), "{said} from {given}");
        }
    }
}

/// Records it twice, with these bytes for what was noted of the session before.
fn record(notice: &Notice, payload: &Payload, noted: &[u8]) {
    let folder = super::folder();
    let recorder = Recorder::within("atomic", Some(folder.path()), BTreeMap::new()).unwrap();
    fs::write(
        recorder.paths().consent(),
        r#"{"enabled":true,"consentGiven":true,"anonymousId":"x"}"#,
    )
    .unwrap();
    let path = recorder
        .paths()
        .session(&id::of(&[notice.host.name(), &notice.session]));
    if !noted.is_empty() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, noted).unwrap();
    }
    let now = chrono::DateTime::from_timestamp(1_795_176_000, 0).unwrap();
    for seconds in [0, 60] {
        // An event that is too long is not recorded: what was noted may hold anything.
        let noting = session::note(&recorder, notice, now + chrono::TimeDelta::seconds(seconds));
        assert!(noting.is_ok() || !noted.is_empty(), "{noting:?}");
    }
    let buffer = fs::read(recorder.paths().buffer("telemetry-events.jsonl")).unwrap_or_default();
    let age = Age {
        now,
        days_max: None,
    };
    for line in buffer
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let event = event::parse(line, &age).unwrap();
        let kinds = ["agent_session_start", "agent_command", "agent_session"];
        assert!(kinds.contains(&&*event.name));
    }
    if noted.is_empty() {
        check_secrets(&String::from_utf8_lossy(&buffer), payload);
        let calls = fs::read(&path).unwrap_or_default();
        check_secrets(&String::from_utf8_lossy(&calls), payload);
    }
}
