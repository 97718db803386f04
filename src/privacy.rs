//! The one file that decides what leaves the machine.
//!
//! Authors of hosts add fields every month, so a list of permitted fields alone would lose what they
//! measure, and a list of forbidden ones alone would leak what they did not think of. By default
//! therefore a field leaves only if nothing speaks against it:
//!
//! 1. The known fields ([`KNOWN`]) need no look at their name.
//! 2. Any other array or object stays: nobody can say what it will hold tomorrow.
//! 3. Any other field stays if a word of its name is one that personal things are called by
//!    (`PERSONAL_WORDS`: prompt, path, email, user, host, token, ...). A boolean leaves all the same,
//!    `has_email` says nothing, and so does a number whose name ends in a measure, `prompt_length`.
//! 4. Every text, a known field's too, and every name, stays if it looks personal by itself: a path, an
//!    e-mail address, an IP or hardware address, a URL with credentials or a query, a secret, more
//!    than a few words ([`looks_personal`]).
//!
//! In strict mode only the named fields leave, and the five that frame an event. To name a field
//! overrules rules 2 and 3, never rule 4. Where a rule is in doubt it keeps the field: a field that
//! stayed is counted by its name and seen, a field that left cannot be called back.

mod classes;
mod marks;
mod patterns;
mod secrets;

use crate::event::TIMESTAMP_TEXT;
use crate::field::Field;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// How the fields of an event are judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Known fields, and unknown ones that do not look personal.
    #[default]
    Default,
    /// Only fields of these names, as in the line or in `snake_case`, and the event's frame.
    Strict(BTreeSet<String>),
}

impl Policy {
    /// Strict if there is a list.
    pub fn allowing(names: Option<Vec<String>>) -> Policy {
        names.map_or(Policy::Default, |names| {
            Policy::Strict(names.into_iter().collect())
        })
    }
}

/// What becomes of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It may be sent.
    Leaves,
    /// It stays on the machine.
    Stays,
}

/// The fields known by name, in camelCase and in `snake_case`. They are Atomic's, and their
/// values are ids its hosts make up, versions, and names of commands. The last one is this program's:
/// the first 64 bytes of a timestamp that is no time, or of what a producer writes under this name.
pub const KNOWN: [(&str, &str); 13] = [
    ("eventId", "event_id"),
    ("anonymousId", "anonymous_id"),
    ("sessionId", "session_id"),
    ("atomicVersion", "atomic_version"),
    ("version", "version"),
    ("agentType", "agent_type"),
    ("commands", "commands"),
    ("commandCount", "command_count"),
    ("command", "command"),
    ("platform", "platform"),
    ("source", "source"),
    ("success", "success"),
    (TIMESTAMP_TEXT, TIMESTAMP_TEXT),
];

/// The first of the known fields frame an event: without its ids it cannot be counted at all, or only
/// twice, so strict mode does not ask for them. Name and timestamp are no fields any more here.
const FRAME_FIELDS: usize = 3;

/// Words that personal things are called by, with the reason. A plural's `s` is ignored. `language`,
/// `uuid`, `model`, `tool` are left out on purpose: they name things there are many equal ones of.
const PERSONAL_WORDS: [(&str, &str); 8] = [
    (
        "what a program was called with",
        "arg argument argv env environ environment param parameter stdin",
    ),
    (
        "what identifies a machine",
        "computer device domain fqdn host hostname imei ip ipaddr ipaddress ipv mac machine serial",
    ),
    (
        "what opens doors",
        "apikey auth authentication authorization bearer cookie credential jwt key oauth otp pass passphrase passwd password pin secret token",
    ),
    (
        "what people and models wrote",
        "answer body comment completion content description input message msg note output payload prompt query question reply request response said search snippet subject text title transcript typed",
    ),
    (
        "what programs wrote",
        "diff exception header patch stack stacktrace stderr stdout trace traceback",
    ),
    (
        "where in the world",
        "address birth birthday city gender geo lat latitude locale location lon longitude postal postcode street timezone tz zip",
    ),
    (
        "where on the disk or the net",
        "basename branch cwd dir directory dirname file filename filepath folder home link path project pwd remote repo repository uri url workspace",
    ),
    (
        "who",
        "account author company contact customer email employer firstname fullname handle lastname login mail member mobile nickname org organisation organization owner people person phone realname salary ssn surname user userid username",
    ),
];

/// The same, so telling that they are looked for inside of run-together names: `useremail`, `mypassword`.
const PERSONAL_PARTS: &str = "apikey cmdline commandline directory email filename filepath firstname fullname homedir hostname ipaddress lastname nickname passphrase passwd password prompt realname surname timezone userid username workdir";

/// A number whose name ends in one of these says how much, not who. `number` is missing on purpose:
/// `phone_number`.
const MEASURES: &str = "avg bytes chars count counts duration index len length limit lines max millis min minutes ms percent rate ratio score sec seconds secs size tokens total version words";

/// What a field's name says about whether it leaves, before anyone has looked at its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfName {
    /// It is one we know.
    Known,
    /// The person has named it.
    Named,
    /// Nothing in it speaks against the field.
    Harmless,
    /// Personal things are called so, but its end says that it is a measure of them.
    Measure,
    /// Personal things are called so.
    Personal,
    /// It stays, whatever it holds.
    Stays,
}

/// What this name says.
pub fn judge_name(policy: &Policy, name: &str) -> OfName {
    match policy {
        _ if is_one_of(&KNOWN[..FRAME_FIELDS], name) => OfName::Known,
        Policy::Default if is_one_of(&KNOWN, name) => OfName::Known,
        _ if looks_personal(name) => OfName::Stays,
        Policy::Strict(names) if names.contains(name) => OfName::Named,
        Policy::Strict(names) if names.contains(&snake_case(name)) => OfName::Named,
        Policy::Strict(_) => OfName::Stays,
        Policy::Default if !is_named_personally(name) => OfName::Harmless,
        Policy::Default if is_named_as_measure(name) => OfName::Measure,
        Policy::Default => OfName::Personal,
    }
}

/// Whether a field leaves the machine. Null is never sent, so there is nothing to refuse.
pub fn rule(says: OfName, name: &str, value: &Field) -> Ruling {
    let leaves = match (says, value) {
        (_, Field::Null) => true,
        (OfName::Known, value) => known_leaves(name, value),
        (OfName::Named, value) => !holds_personal(name, value),
        (OfName::Stays, _) | (_, Field::List(_) | Field::Object(_)) => false,
        (OfName::Harmless, Field::Text(_)) => !holds_personal(name, value),
        (OfName::Harmless, _) | (_, Field::Bool(_)) => true,
        (OfName::Measure, value) => matches!(value, Field::Number(_)),
        (OfName::Personal, _) => false,
    };
    if leaves {
        Ruling::Leaves
    } else {
        Ruling::Stays
    }
}

/// Whether the name of an event leaves. It may be as long as Breeze allows: a name is written by the
/// host's author. Everything else that speaks against a text speaks against a name.
pub fn rule_event_name(name: &str) -> Ruling {
    if patterns::is_telling(name) {
        Ruling::Stays
    } else {
        Ruling::Leaves
    }
}

/// Whether a text looks personal by itself, whatever it is called.
pub fn looks_personal(text: &str) -> bool {
    patterns::is_long(text) || patterns::is_telling(text)
}

/// The one form a name has on the wire and before the rules: `HTTPStatus` → `http_status`.
pub fn snake_case(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::with_capacity(name.len() + 4);
    for (index, now) in chars.iter().copied().enumerate() {
        let before = index.checked_sub(1).map(|index| chars[index]);
        let after_small = before.is_some_and(|before| before.is_lowercase() || before.is_numeric());
        let ends_acronym = before.is_some_and(char::is_uppercase)
            && chars.get(index + 1).is_some_and(|next| next.is_lowercase());
        let begins_word = now.is_uppercase() && (after_small || ends_acronym);
        if (begins_word || !now.is_alphanumeric()) && !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
        out.extend(now.to_lowercase().filter(|_| now.is_alphanumeric()));
    }
    out.truncate(out.trim_end_matches('_').len());
    out
}

fn is_one_of(known: &[(&str, &str)], name: &str) -> bool {
    known
        .iter()
        .any(|(camel, snake)| *camel == name || *snake == name)
}

/// Known fields are scalars, but for `commands`, a list of short names; any other shape is not the
/// field we know.
fn known_leaves(name: &str, value: &Field) -> bool {
    match value {
        Field::List(items) if name == "commands" => items
            .iter()
            .all(|item| item.is_scalar() && !holds_personal(name, item)),
        Field::List(_) | Field::Object(_) => false,
        scalar => !holds_personal(name, scalar),
    }
}

/// Whether any text in the value looks personal, the keys of objects included.
fn holds_personal(name: &str, value: &Field) -> bool {
    match value {
        // A version of four parts cannot be told from an address but by its name.
        Field::Text(text) => looks_personal(text) && !is_four_part_version(name, text),
        Field::List(items) => items.iter().any(|item| holds_personal(name, item)),
        Field::Object(fields) => fields
            .iter()
            .any(|(key, item)| looks_personal(key) || holds_personal(name, item)),
        Field::Null | Field::Bool(_) | Field::Number(_) | Field::NoNumber => false,
    }
}

fn is_four_part_version(name: &str, text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok() && words(name).last().is_some_and(|last| last == "version")
}

/// The words of a name; digits part words too, so that `user2` is still a user.
fn words(name: &str) -> Vec<String> {
    let snake = snake_case(name);
    let words = snake.split(|char: char| char == '_' || char.is_numeric());
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn is_named_personally(name: &str) -> bool {
    let is_listed = |word: &str| {
        PERSONAL_WORDS
            .iter()
            .any(|(_, list)| list.split(' ').any(|listed| listed == word))
    };
    let singular = |word: &str| word.strip_suffix("ies").map(|stem| format!("{stem}y"));
    let words = words(name);
    let run_together = words.concat();
    PERSONAL_PARTS
        .split(' ')
        .any(|part| run_together.contains(part))
        || words.iter().any(|word| {
            is_listed(word)
                || word.strip_suffix('s').is_some_and(is_listed)
                || word.strip_suffix("es").is_some_and(is_listed)
                || singular(word).is_some_and(|word| is_listed(&word))
        })
}

fn is_named_as_measure(name: &str) -> bool {
    words(name)
        .last()
        .is_some_and(|last| MEASURES.split(' ').any(|measure| measure == last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn rule(policy: &Policy, name: &str, value: &Value) -> Ruling {
        super::rule(judge_name(policy, name), name, &Field::from(value.clone()))
    }

    #[allow(
        clippy::needless_pass_by_value,
        reason = "json!() at the call reads better than &json!()"
    )]
    fn check(name: &str, value: Value, expected: Ruling) {
        assert_eq!(
            rule(&Policy::Default, name, &value),
            expected,
            "{name}: {value}"
        );
    }

    fn leaves(name: &str, value: Value) {
        check(name, value, Ruling::Leaves);
    }

    fn stays(name: &str, value: Value) {
        check(name, value, Ruling::Stays);
    }

    fn strictly(names: &[&str], name: &str, value: &Value) -> Ruling {
        rule(
            &Policy::Strict(names.iter().map(|name| (*name).to_owned()).collect()),
            name,
            value,
        )
    }

    #[test]
    fn an_event_of_atomic_leaves_whole() {
        leaves("anonymousId", json!("550e8400-e29b-41d4-a716-446655440000"));
        leaves("event_id", json!("550E8400-E29B-41D4-A716-446655440000"));
        leaves("sessionId", json!("01JD3QZ7K8M9N0P1Q2R3S4T5V6"));
        leaves("atomicVersion", json!("0.4.12-beta.1+build.7"));
        leaves("version", json!("1.2.3.4"));
        leaves("agentType", json!("claude"));
        leaves(
            "commands",
            json!([
                "/commit",
                "/research-codebase",
                "/opsx:apply",
                "init",
                3,
                true,
                null
            ]),
        );
        leaves("commands", json!("/commit,/create-gh-pr"));
        leaves("commandCount", json!(2));
        leaves("command", json!("/research-codebase"));
        leaves("platform", json!("darwin"));
        leaves("source", json!("session_hook"));
        leaves("success", json!(false));
    }

    #[test]
    fn what_hosts_may_add_tomorrow_leaves() {
        for (name, text) in [
            ("model", "claude-opus-4-1"),
            ("model", "claude-sonnet-4-5-20250929"),
            ("model", "Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8"),
            ("model", "us.anthropic.claude-sonnet-4-20250514-v1:0"),
            ("model", "openrouter/anthropic/claude-3.5-sonnet"),
            ("os", "linux"),
            ("arch", "x86_64"),
            ("osVersion", "10.0.19045.1"),
            ("macosVersion", "14.1"),
            ("kernel", "6.1.0-18-amd64"),
            ("skill", "research-codebase"),
            ("tool", "/commit"),
            ("toolName", "mcp__github__create_issue"),
            ("plugin", "commit-commands@claude-plugins-official"),
            ("package", "@anthropic-ai/claude-code@1.0.3-beta.rc"),
            ("language", "rust"),
            ("languageId", "c++"),
            ("shell", "zsh"),
            ("startedAt", "2026-11-20T03:04:05.678+02:00"),
            ("day", "2026/11/20"),
            ("uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
            (
                "hash",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            ("ownership", "shared"),
            ("kind", "text/plain"),
            ("terminal", "iTerm.app 3.5.0"),
            ("exitReason", "user asked to stop early"),
            ("ratio", "1/2"),
            ("emoji", "🎉"),
            ("effort", "high"),
            ("docs", "https://example.com/a/b#c"),
            ("region", "asia-southeast1"),
            ("dialect", "sk-SK"),
            ("crate", "std::fs::File"),
            ("empty", ""),
            ("release", "v1.2.3.4"),
            ("time", "12:34:56"),
            ("monkey", "x"),
            ("apartment", "x"),
            ("passed", "x"),
            ("keyboard", "qwerty"),
        ] {
            leaves(name, json!(text));
        }
    }

    #[test]
    fn names_that_personal_things_have_stay() {
        for name in [
            "prompt",
            "userPrompt",
            "user_prompt",
            "UserPrompt",
            "user-prompt",
            "user.prompt",
            "userprompt",
            "promptText",
            "USER",
            "user2",
            "users",
            "message",
            "msgs",
            "content",
            "body",
            "input",
            "toolOutput",
            "args",
            "argv",
            "params",
            "filePath",
            "filepaths",
            "cwd",
            "homeDirectory",
            "directories",
            "email",
            "userEmail",
            "useremail",
            "githubUsername",
            "login",
            "author",
            "owner",
            "firstName",
            "last_name",
            "full.name",
            "hostName",
            "machineID",
            "deviceId",
            "ip",
            "IPAddress",
            "ipv4",
            "addresses",
            "url",
            "repoUrl",
            "gitBranch",
            "branches",
            "repository",
            "queries",
            "project",
            "workspace",
            "token",
            "apiKey",
            "api_key",
            "APIKey",
            "Authorization",
            "cookies",
            "env",
            "environment",
            "locale",
            "timeZone",
            "tz",
            "phone",
            "stdout",
            "stackTrace",
            "diff",
            "transcript_path",
            "title",
            "description",
            "reply",
            "payload",
            "headers",
            "ssn",
            "birthDate",
            "gender",
            "lat",
            "city",
            "zipCode",
            "serial",
            "oauthState",
        ] {
            stays(name, json!("x"));
        }
    }

    #[test]
    fn booleans_leave_whatever_they_are_called() {
        leaves("has_email", json!(true));
        leaves("password", json!(false));
    }

    #[test]
    fn numbers_leave_if_they_measure() {
        for name in [
            "input_tokens",
            "promptLength",
            "user_count",
            "fileSizeBytes",
            "response.ms",
            "duration",
            "tokens",
            "exitCode",
            "p95",
            "x",
        ] {
            leaves(name, json!(12.5));
        }
        for name in [
            "phone",
            "user_id",
            "userId",
            "phone_number",
            "pin",
            "zip",
            "ip",
            "accountNumber",
            "latitude",
            "token",
        ] {
            stays(name, json!(4915));
        }
    }

    #[test]
    fn null_is_nothing_to_refuse() {
        leaves("prompt", Value::Null);
        assert_eq!(strictly(&[], "x", &Value::Null), Ruling::Leaves);
    }

    #[test]
    fn arrays_and_objects_stay_unless_they_are_the_commands() {
        stays("tools", json!(["a"]));
        stays("detail", json!({"a": 1}));
        stays("commands", json!({"a": 1}));
        stays("commands", json!([["a"]]));
        stays("source", json!(["a"]));
    }

    #[test]
    fn a_known_name_does_not_excuse_a_personal_value() {
        stays("commands", json!(["/commit", "cat /home/alice/notes"]));
        stays(
            "commands",
            json!(["please fix the bug in the login page of our shop"]),
        );
        stays("command", json!("curl https://bob:pw@example.com"));
        stays("anonymousId", json!("alice@example.com"));
        stays("source", json!("C:\\Users\\alice"));
        stays("platform", json!("10.1.2.3"));
    }

    #[test]
    fn a_name_may_itself_be_what_is_personal() {
        for name in [
            "/home/alice/x.rs",
            "alice@example.com",
            "please do not read what I wrote here today ok",
        ] {
            stays(name, json!(true));
            assert_eq!(strictly(&[name], name, &json!(1)), Ruling::Stays);
        }
    }

    fn check_text(text: &str, expected: bool) {
        assert_eq!(looks_personal(text), expected, "{text}");
        stays_with_everything_around(text, expected);
    }

    /// What is personal stays so inside of other text.
    fn stays_with_everything_around(text: &str, expected: bool) {
        if expected {
            for around in [
                format!("x {text}"),
                format!("x=\"{text}\""),
                format!("({text})"),
                format!("{text} x"),
                format!("'{text}'"),
            ] {
                assert!(looks_personal(&around), "{around}");
            }
        }
    }

    #[test]
    fn paths_look_personal() {
        for path in [
            "/home/alice",
            "/etc/passwd",
            "/a/b",
            "~/notes.md",
            "~alice/x",
            "./x",
            "../x",
            ".\\x",
            "..\\x",
            "C:\\x",
            "c:/x",
            "D:\\",
            "\\\\server\\share",
            "file:///x",
            "File:x",
            "src\\main.rs",
            "CORP\\alice",
            "vscode-remote://host/home/alice",
            "/Users/alice",
            "%USERPROFILE%\\x",
            "$HOME/Users/x/",
            "$HOME/x",
            "%USERPROFILE%",
            "%2Fhome%2Falice",
            "-Users-alice-Projects-acme",
            "／home／alice",
            "∕home∕alice∕x",
        ] {
            check_text(path, true);
        }
        for plain in [
            "/commit",
            "a/b",
            "a/b/c",
            "/",
            "//",
            "1.0/2",
            "and/or",
            "profile: x",
            "...",
            "a..b",
            "~",
            "~5",
            "C:",
            "https://example.com/a/b",
            "/a /b",
        ] {
            check_text(plain, false);
        }
    }

    #[test]
    fn addresses_look_personal() {
        for address in [
            "alice@example.com",
            "a.b+c@sub.example.co.uk",
            "bob@163.com",
            "müller@exämple.de",
            "<alice@example.com>",
            "mailto:alice@example.com",
            "alice%40example.com",
            "git@github.com:acme/secret.git",
            "10.0.0.1",
            "192.168.1.255:8080",
            "http://127.0.0.1/",
            "1.2.3.4-beta",
            "2001:db8::1",
            "[fe80::1%eth0]",
            "addr:2001:db8::1",
            "2001:0db8:0000:0000:0000:0000:0000:0001",
            "aa:bb:cc:dd:ee:0f",
            "AA-BB-CC-DD-EE-0F",
            "alice＠example.com",
            "alice\u{200b}@example.com",
            "+1 415 555 2671",
            "+49(30)1234-5678",
        ] {
            check_text(address, true);
        }
        for plain in [
            "a@b",
            "@scope/pkg",
            "x@1.2.3",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "10.0.19041.1",
            "v1.2.3.4",
            "::1",
            "a::b",
            "12:34:56",
            "2026-11-20",
            "1.0.0+20261120",
            "+1",
            "a+b",
        ] {
            check_text(plain, false);
        }
    }

    #[test]
    fn urls_with_credentials_or_a_query_look_personal() {
        for url in [
            "https://bob:pw@example.com/",
            "ssh://git@host/x",
            "https://example.com/?q=x",
            "postgres://u@h/db",
            "see https://a.b/c?d",
        ] {
            check_text(url, true);
        }
        for plain in [
            "https://example.com/",
            "https://example.com/a?",
            "https://example.com/@scope/pkg",
            "really?",
        ] {
            check_text(plain, false);
        }
    }

    #[test]
    fn secrets_look_personal() {
        for secret in [
            "ghp_abcd",
            "x-ghs_0123456789",
            "github_pat_11ABC",
            "sk-ant-api03-x",
            "sk-0123456789ab",
            "pk_live_0123",
            "sk_live_0123",
            "xoxb-1234-5678",
            "AKIAIOSFODNN7EXAMPLE",
            "AIzaSyA1234567890",
            "glpat-abcd",
            "npm_abcdefghijklmnopqrstuvwxyz0123456789",
            "pypi-AgEIcHlwaS5vcmcCJDExMTExMTEx",
            "hf_abcdefghijklmnopqrst",
            "ya29.a0AfH6SMBxxxx",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
            "Bearer x",
            "-----BEGIN RSA PRIVATE KEY-----",
            "-----BEGIN",
            "InstrumentationKey=1",
            "AccountKey=x",
            "PASSWORD=x",
            "password: x",
            "access_token=x",
            "client_secret=x",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "dGhpcyBpcyBhIFNlY3JldCBvZiAyNCBieXRlcyE",
        ] {
            check_text(secret, true);
        }
        for plain in [
            "sk-SK",
            "task-0123456789abcdef",
            "npm_config_cache",
            "hf_hub",
            "token",
            "Qwen3-Coder-480B-A35B-Instruct-FP8",
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ",
            "ghp_",
        ] {
            check_text(plain, false);
        }
    }

    #[test]
    fn an_opaque_token_begins_at_32_characters() {
        check_text(&format!("aB3{}", "x".repeat(28)), false);
        check_text(&format!("aB3{}", "x".repeat(29)), true);
    }

    #[test]
    fn free_text_begins_at_201_characters_nine_words_or_a_second_line() {
        check_text(&"x".repeat(200), false);
        check_text(&"x".repeat(201), true);
        check_text(&"é".repeat(200), false);
        check_text("a b c d e f g h", false);
        check_text("a b c d e f g h i", true);
        check_text("a\nb", true);
        check_text("a\n", false);
        check_text("请帮我修复登录页面的错误因为它坏了", true);
        check_text("提交代码", false);
    }

    #[test]
    fn strict_mode_sends_the_frame_and_what_is_named() {
        let allowed = ["model", "agentType", "tool_input", "prompt", "meta"];
        for (name, value) in [
            ("eventId", json!("1")),
            ("anonymous_id", json!("1")),
            ("sessionId", json!("1")),
            ("model", json!("x")),
            ("agentType", json!("claude")),
            ("toolInput", json!("x")),
            ("prompt", json!("hello")),
            ("meta", json!({"a": ["b", {"c": 1}]})),
        ] {
            assert_eq!(strictly(&allowed, name, &value), Ruling::Leaves, "{name}");
        }
        for (name, value) in [
            ("agent_type", json!("claude")),
            ("version", json!("1")),
            ("commands", json!([])),
            ("other", json!(true)),
            ("n", json!(1)),
            ("Model", json!({})),
        ] {
            let expected = if name == "Model" {
                Ruling::Leaves
            } else {
                Ruling::Stays
            };
            assert_eq!(strictly(&allowed, name, &value), expected, "{name}");
        }
    }

    #[test]
    fn naming_a_field_never_overrules_what_its_value_looks_like() {
        for value in [
            json!("/home/alice"),
            json!(["x", "alice@example.com"]),
            json!({"a": {"b": "Bearer x"}}),
            json!({"/home/alice/x": 1}),
        ] {
            assert_eq!(
                strictly(&["meta"], "meta", &value),
                Ruling::Stays,
                "{value}"
            );
        }
        assert_eq!(
            strictly(&[], "eventId", &json!("alice@example.com")),
            Ruling::Stays
        );
        assert_eq!(strictly(&[], "eventId", &json!({})), Ruling::Stays);
    }

    #[test]
    fn the_name_of_an_event_is_judged_by_its_value_but_not_its_length() {
        for name in ["cli_command", "user prompt submitted", &"x".repeat(513)] {
            assert_eq!(rule_event_name(name), Ruling::Leaves, "{name}");
        }
        for name in ["alice@example.com", "/home/alice/x", "a b c d e f g h i"] {
            assert_eq!(rule_event_name(name), Ruling::Stays, "{name}");
        }
    }

    #[test]
    fn names_become_snake_case() {
        for (name, expected) in [
            ("agentType", "agent_type"),
            ("HTTPStatus", "http_status"),
            ("statusHTTP", "status_http"),
            ("a.b-c d", "a_b_c_d"),
            ("event_id", "event_id"),
            ("p95Latency", "p95_latency"),
            ("__x__", "x"),
            ("A", "a"),
            ("ABC", "abc"),
            ("$ref", "ref"),
            ("a--b", "a_b"),
            ("", ""),
            ("--", ""),
            ("größeÄrger", "größe_ärger"),
            ("x86_64", "x86_64"),
        ] {
            assert_eq!(snake_case(name), expected, "{name}");
        }
    }

    #[test]
    fn the_tables_are_sorted() {
        let is_sorted = |list: &str| list.split(' ').collect::<Vec<_>>().is_sorted();
        assert!(PERSONAL_WORDS.iter().map(|(reason, _)| reason).is_sorted());
        for list in PERSONAL_WORDS
            .iter()
            .map(|(_, list)| *list)
            .chain([PERSONAL_PARTS, MEASURES])
        {
            assert!(is_sorted(list), "{list}");
        }
    }

    proptest! {
        #[test]
        fn no_name_and_no_text_make_it_panic(name in any::<String>(), text in any::<String>()) {
            let _ = rule(&Policy::Default, &name, &json!(text));
            let _ = rule_event_name(&name);
        }

        #[test]
        fn no_text_near_the_patterns_makes_it_panic(text in r"([/\\~.:@%?=\-_ ]|sk-|eyJ|http://|[aB3é😀]){0,40}") {
            let _ = looks_personal(&text);
        }
    }
}
