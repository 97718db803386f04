//! `telemetry-upload hook`: what agents say becomes events, and nothing else of it is kept.

use crate::kit::{BUFFER, Sandbox};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, SystemTime};
use telemetry_upload::emulator::Moment;

/// A Claude whose session this is.
fn claude(session: &str) -> Sandbox {
    Sandbox::new()
        .dated()
        .env("CLAUDECODE", "1")
        .env("CLAUDE_CODE_SESSION_ID", session)
        .env("AI_AGENT", "claude-code_2-1-329_agent")
}

fn say(sandbox: &Sandbox, payload: &Value) {
    sandbox.feed(&["hook"], payload.to_string()).code(0);
}

/// Name and fields of what was recorded, without the ids and times that differ from run to run.
fn recorded(sandbox: &Sandbox) -> Vec<String> {
    let lines = sandbox.recorded().into_iter().map(|mut line| {
        let fields = line.as_object_mut().unwrap();
        for (key, length) in [("eventId", 36), ("sessionId", 36), ("timestamp", 24)] {
            let text = fields.shift_remove(key).unwrap();
            assert_eq!(text.as_str().unwrap().len(), length, "{key}: {text}");
        }
        assert_eq!(fields.shift_remove("anonymousId"), Some(json!("anna")));
        assert_eq!(fields.shift_remove("platform"), Some(json!("linux")));
        assert_eq!(fields.shift_remove("source"), Some(json!("session_hook")));
        line.to_string()
    });
    lines.collect()
}

fn start(session: &str) -> Value {
    json!({"session_id": session, "hook_event_name": "SessionStart", "source": "startup", "model": "claude-sonnet-4-5", "cwd": "/home/alice", "transcript_path": "/home/alice/x.jsonl"})
}

fn command(session: &str, name: &str, prompt_id: &str) -> Value {
    json!({"session_id": session, "hook_event_name": "UserPromptExpansion", "expansion_type": "slash_command", "command_name": name, "command_args": "of alice", "prompt": format!("/{name} of alice"), "prompt_id": prompt_id})
}

fn end(session: &str) -> Value {
    json!({"session_id": session, "hook_event_name": "SessionEnd", "reason": "prompt_input_exit"})
}

#[test]
fn a_session_of_claude_becomes_its_events() {
    let sandbox = claude("s").without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    say(&sandbox, &start("s"));
    say(
        &sandbox,
        &json!({"session_id": "s", "hook_event_name": "UserPromptSubmit", "prompt": "/commit of alice"}),
    );
    say(&sandbox, &command("s", "commit", "p1"));
    say(&sandbox, &command("s", "plugin:research-codebase", "p2"));
    say(&sandbox, &command("s", "commit", "p3"));
    say(
        &sandbox,
        &json!({"session_id": "s", "hook_event_name": "Stop", "last_assistant_message": "done, alice"}),
    );
    say(&sandbox, &end("s"));
    assert_eq!(
        recorded(&sandbox),
        [
            r#"{"eventType":"agent_session_start","agentType":"claude","agentVersion":"2.1.329","model":"claude-sonnet-4-5","trigger":"startup"}"#,
            r#"{"eventType":"agent_command","agentType":"claude","agentVersion":"2.1.329","command":"/commit"}"#,
            r#"{"eventType":"agent_command","agentType":"claude","agentVersion":"2.1.329","command":"/plugin:research-codebase"}"#,
            r#"{"eventType":"agent_command","agentType":"claude","agentVersion":"2.1.329","command":"/commit"}"#,
            r#"{"eventType":"agent_session","agentType":"claude","agentVersion":"2.1.329","model":"claude-sonnet-4-5","commands":["/commit","/plugin:research-codebase","/commit"],"commandCount":3,"reason":"prompt_input_exit"}"#,
        ]
    );
    let sessions: Vec<Value> = sandbox
        .recorded()
        .iter()
        .map(|line| line["sessionId"].clone())
        .collect();
    assert!(sessions.iter().all(|session| *session == sessions[0]));
}

#[test]
fn what_the_hooks_record_passes_the_rules_of_what_may_leave() {
    let sandbox = claude("s").hasty();
    for payload in [
        start("s"),
        command("s", "research-codebase", "p1"),
        end("s"),
    ] {
        say(&sandbox, &payload);
    }
    sandbox.wait_for_delivered(1);
    sandbox.wait_for_quiet();
    let events = sandbox.envelopes();
    let of = |name: &str| {
        let all: Vec<&Value> = events
            .iter()
            .map(|event| &event["data"]["baseData"])
            .filter(|data| data["name"] == name)
            .collect();
        assert_eq!(all.len(), 1, "{name}: {events:?}");
        all[0].clone()
    };
    assert_eq!(
        of("agent_session_start")["properties"]["model"],
        "claude-sonnet-4-5"
    );
    assert_eq!(
        of("agent_command")["properties"]["command"],
        "/research-codebase"
    );
    let session = of("agent_session");
    assert_eq!(session["properties"]["commands"], "/research-codebase");
    assert_eq!(session["properties"]["agent_version"], "2.1.329");
    assert_eq!(session["measurements"]["command_count"], 1);
    assert_eq!(sandbox.read(BUFFER), "");
    assert!(
        !sandbox.read("upload/upload.log").contains("left out"),
        "{}",
        sandbox.read("upload/upload.log")
    );
}

/// A session of each other host, in its own words.
#[test]
fn every_host_is_understood() {
    let check = |sandbox: Sandbox,
                 [agent, command]: [&str; 2],
                 session_key: &str,
                 [begin, submit, finish]: [&str; 3],
                 more: Value| {
        let sandbox = sandbox
            .dated()
            .without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
        for event in [begin, submit, finish] {
            let mut payload = json!({session_key: "s", "hook_event_name": event, "prompt": "/typed of alice", "command_name": "named", "source": "startup", "reason": "error"});
            payload
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            sandbox
                .feed(&["hook", "--host", "auto"], payload.to_string())
                .code(0);
        }
        let recorded = recorded(&sandbox);
        let expected = [
            format!(r#"{{"eventType":"agent_session_start",{agent},"trigger":"startup"}}"#),
            format!(r#"{{"eventType":"agent_command",{agent},"command":"{command}"}}"#),
            format!(
                r#"{{"eventType":"agent_session",{agent},"commands":["{command}"],"commandCount":1,"reason":"error"}}"#
            ),
        ];
        assert_eq!(recorded, expected);
    };
    let claudes = ["SessionStart", "UserPromptSubmit", "SessionEnd"];
    check(
        Sandbox::new()
            .env("COPILOT_CLI", "1")
            .env("COPILOT_CLI_BINARY_VERSION", "1.0.102"),
        [
            r#""agentType":"copilot","agentVersion":"1.0.102""#,
            "/typed",
        ],
        "session_id",
        claudes,
        json!({"timestamp": "2026-11-20T03:04:05.678Z"}),
    );
    check(
        Sandbox::new(),
        [r#""agentType":"codex""#, "/typed"],
        "session_id",
        claudes,
        json!({"turn_id": "t", "transcript_path": "/h/.codex/sessions/x.jsonl"}),
    );
    check(
        Sandbox::new().env("GEMINI_SESSION_ID", "s"),
        [r#""agentType":"gemini""#, "/typed"],
        "session_id",
        ["SessionStart", "BeforeAgent", "SessionEnd"],
        json!({"timestamp": "2026-11-20T03:04:05.678Z", "transcript_path": "/h/x"}),
    );
    check(
        Sandbox::new(),
        [r#""agentType":"cursor","agentVersion":"2.1.0""#, "/typed"],
        "conversation_id",
        ["sessionStart", "beforeSubmitPrompt", "sessionEnd"],
        json!({"generation_id": "g", "cursor_version": "2.1.0", "user_email": "alice@example.com"}),
    );
    check(
        Sandbox::new(),
        [
            r#""agentType":"opencode","agentVersion":"1.18.33""#,
            "/named",
        ],
        "session_id",
        ["session.created", "command.execute.before", "dispose"],
        json!({"turn_id": "t", "version": "1.18.33"}),
    );
}

#[test]
fn a_hook_registered_twice_counts_once() {
    let sandbox = claude("s").without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    for payload in [
        start("s"),
        command("s", "commit", "p1"),
        command("s", "commit", "p2"),
        end("s"),
    ] {
        for _ in 0..2 {
            say(&sandbox, &payload);
        }
    }
    let names: Vec<Value> = sandbox
        .recorded()
        .iter()
        .map(|line| line["eventType"].clone())
        .collect();
    assert_eq!(
        names,
        [
            "agent_session_start",
            "agent_command",
            "agent_command",
            "agent_session"
        ]
    );
}

#[test]
fn a_hook_called_twice_at_once_counts_once() {
    let sandbox = claude("s").without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    for payload in [start("s"), command("s", "commit", "p1"), end("s")] {
        let children: Vec<_> = (0..8)
            .map(|_| {
                let mut child = sandbox
                    .command(&["hook"])
                    .stdin(Stdio::piped())
                    .spawn()
                    .unwrap();
                child
                    .stdin
                    .take()
                    .unwrap()
                    .write_all(payload.to_string().as_bytes())
                    .unwrap();
                child
            })
            .collect();
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
    }
    assert_eq!(sandbox.recorded().len(), 3);
}

#[test]
fn the_same_call_has_the_same_id_even_if_nothing_is_known_of_the_first() {
    let ids = || {
        let sandbox = claude("s").without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
        for payload in [start("s"), command("s", "commit", "p1"), end("s")] {
            say(&sandbox, &payload);
        }
        sandbox
            .recorded()
            .iter()
            .map(|line| line["eventId"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let once = ids();
    assert_eq!(once, ids());
    assert!(once.iter().all(|id| &id[14..15] == "5"), "{once:?}");
}

#[test]
fn a_session_taken_up_again_is_another_run() {
    let sandbox = claude("s").without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    for payload in [
        start("s"),
        command("s", "commit", "p1"),
        end("s"),
        start("s"),
        command("s", "plan", "p2"),
        end("s"),
    ] {
        say(&sandbox, &payload);
    }
    let recorded = sandbox.recorded();
    assert_eq!(recorded.len(), 6);
    assert_eq!(
        (&recorded[2]["commands"], &recorded[5]["commands"]),
        (&json!(["/commit"]), &json!(["/plan"]))
    );
    let mut ids: Vec<&str> = recorded
        .iter()
        .map(|line| line["eventId"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6);
}

#[test]
fn a_command_may_overtake_the_start_of_its_session() {
    let sandbox = claude("s").without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    for payload in [
        command("s", "commit", "p1"),
        start("s"),
        start("s"),
        end("s"),
    ] {
        say(&sandbox, &payload);
    }
    let recorded = recorded(&sandbox);
    assert_eq!(recorded.len(), 3, "{recorded:?}");
    assert!(
        recorded[2].contains("agent_session") && recorded[2].contains("\"commandCount\":1"),
        "{recorded:?}"
    );
}

#[test]
fn a_session_that_begins_again_without_an_end_gets_one() {
    let sandbox = claude("s").without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    say(&sandbox, &start("s"));
    say(&sandbox, &command("s", "commit", "p1"));
    // An hour passes in which the host is killed.
    for journal in fs::read_dir(sandbox.path("upload/sessions")).unwrap() {
        let path = journal.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let aged: Vec<String> = text
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| {
                let mut step: Value = serde_json::from_str(line).unwrap();
                let at: DateTime<Utc> = step["at"].as_str().unwrap().parse().unwrap();
                step["at"] = json!(at - TimeDelta::hours(1));
                step.to_string()
            })
            .collect();
        fs::write(path, aged.join("\n") + "\n").unwrap();
    }
    say(&sandbox, &start("s"));
    // The run ended when it was last heard of, not now.
    let ended = sandbox.recorded()[2]["timestamp"]
        .as_str()
        .unwrap()
        .parse::<DateTime<Utc>>()
        .unwrap();
    assert!(telemetry_upload::world::now() - ended > TimeDelta::minutes(59));
    let recorded = recorded(&sandbox);
    assert_eq!(recorded.len(), 4, "{recorded:?}");
    assert!(
        recorded[2].contains(r#""commands":["/commit"],"commandCount":1,"reason":"unknown""#),
        "{recorded:?}"
    );
    assert!(recorded[3].contains("agent_session_start"), "{recorded:?}");
}

#[test]
fn a_compaction_is_no_start() {
    let sandbox = claude("s").without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    let mut compaction = start("s");
    compaction["source"] = json!("compact");
    say(&sandbox, &compaction);
    assert_eq!(sandbox.recorded().len(), 0);
}

#[test]
fn where_a_turn_has_no_id_the_same_command_at_the_same_moment_is_one() {
    let sandbox = Sandbox::new()
        .dated()
        .env("COPILOT_CLI", "1")
        .without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    for milliseconds in [678, 679] {
        let at = format!("2026-11-20T03:04:05.{milliseconds}Z");
        let payload = json!({"session_id": "s", "hook_event_name": "UserPromptSubmit", "prompt": "/commit", "timestamp": at});
        say(&sandbox, &payload);
    }
    assert_eq!(sandbox.recorded().len(), 1);
}

#[test]
fn what_happens_is_recorded_even_if_the_calls_before_cannot_be_known() {
    let sandbox = claude("s").without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    sandbox.write("upload", "a file where the folder belongs");
    for payload in [start("s"), command("s", "commit", "p1"), end("s")] {
        say(&sandbox, &payload);
    }
    let recorded = recorded(&sandbox);
    assert_eq!(recorded.len(), 3, "{recorded:?}");
    assert!(!recorded[2].contains("commandCount"), "{}", recorded[2]);
}

#[test]
fn no_folder_is_made_behind_a_link() {
    let sandbox = claude("s").without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), sandbox.path("upload")).unwrap();
    say(&sandbox, &start("s"));
    assert_eq!(sandbox.recorded().len(), 1);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_torn_call_does_not_swallow_the_next() {
    let sandbox = claude("s").without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    say(&sandbox, &start("s"));
    for calls in fs::read_dir(sandbox.path("upload/sessions")).unwrap() {
        crate::kit::append(&calls.unwrap().path(), "{\"kind\":\"comm");
    }
    for payload in [
        command("s", "commit", "p1"),
        command("s", "commit", "p1"),
        end("s"),
    ] {
        say(&sandbox, &payload);
    }
    let recorded = recorded(&sandbox);
    assert_eq!(recorded.len(), 3, "{recorded:?}");
    assert!(recorded[2].contains("\"commandCount\":1"), "{recorded:?}");
}

#[test]
fn where_nothing_ever_comes_nothing_waits_for_long() {
    let sandbox = claude("s");
    let mut child = sandbox
        .command(&["hook"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let silent = child.stdin.take().unwrap();
    assert!(child.wait().unwrap().success());
    sandbox.wait_for_quiet();
    drop(silent);
    assert_eq!(sandbox.recorded().len(), 0);
}

#[test]
fn while_telemetry_is_off_no_silent_session_is_ended_either() {
    let sandbox = claude("s")
        .hasty()
        .without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    say(&sandbox, &start("s"));
    sandbox.wait_for_quiet();
    for calls in fs::read_dir(sandbox.path("upload/sessions")).unwrap() {
        let file = fs::File::options()
            .append(true)
            .open(calls.unwrap().path())
            .unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(25 * 3600))
            .unwrap();
    }
    let sandbox = sandbox.env("DO_NOT_TRACK", "1");
    let files = sandbox.files();
    let lock = fs::File::open(sandbox.path("upload/detached.lock")).unwrap();
    let pass = sandbox
        .command(&["--detached"])
        .stdin(lock)
        .status()
        .unwrap();
    assert!(pass.success());
    assert_eq!(sandbox.files(), files);
}

#[test]
fn a_session_that_fell_silent_is_ended_by_a_later_pass() {
    let sandbox = claude("s").hasty();
    for payload in [start("s"), command("s", "commit", "p1")] {
        say(&sandbox, &payload);
    }
    sandbox.wait_for_quiet();
    let age_journals = |hours: u64| {
        for journal in fs::read_dir(sandbox.path("upload/sessions")).unwrap() {
            let file = fs::File::options()
                .append(true)
                .open(journal.unwrap().path())
                .unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600))
                .unwrap();
        }
    };
    let journals = || {
        fs::read_dir(sandbox.path("upload/sessions"))
            .unwrap()
            .count()
    };
    age_journals(25);
    let pass = || {
        sandbox.run(&["record", "x", "--spawn"]).code(0);
        sandbox.wait_for_quiet();
    };
    pass();
    let ended = sandbox
        .envelopes()
        .into_iter()
        .find(|event| event["data"]["baseData"]["name"] == "agent_session")
        .unwrap();
    assert_eq!(ended["data"]["baseData"]["properties"]["reason"], "unknown");
    assert_eq!(
        ended["data"]["baseData"]["properties"]["commands"],
        "/commit"
    );
    assert_eq!(journals(), 1);
    age_journals(47);
    pass();
    assert_eq!(journals(), 1, "it may be taken up again yet");
    age_journals(49);
    pass();
    assert_eq!(journals(), 0);
}

#[test]
fn nothing_personal_is_kept_whatever_the_payload_holds() {
    const CANARIES: [&str; 8] = [
        "canary-alice",
        "alice.canary@example.com",
        "/home/canary/secret.txt",
        "sk-ant-api03-CANARYcanaryCANARYcanary0123456789",
        "please CANARY fix the login",
        "canary-host.corp.example",
        "10.20.30.40",
        "C:\\Users\\canary",
    ];
    let events = [
        "SessionStart",
        "SessionEnd",
        "UserPromptSubmit",
        "BeforeAgent",
        "Stop",
        "PreToolUse",
        "sessionStart",
        "beforeSubmitPrompt",
        "sessionEnd",
        "session.created",
        "command.execute.before",
        "dispose",
    ];
    let keys = [
        "prompt",
        "cwd",
        "transcript_path",
        "source",
        "reason",
        "model",
        "command_args",
        "turn_id",
        "prompt_id",
        "generation_id",
        "timestamp",
        "user_email",
        "message",
        "last_assistant_message",
        "tool_input",
        "workspace_roots",
        "cursor_version",
        "version",
        "agent_type",
        "agent_id",
        "permission_mode",
        "title",
        "session_title",
        "initialPrompt",
        "error",
        "custom_instructions",
        "hostname",
    ];
    let hosts = [
        "auto", "claude", "copilot", "codex", "opencode", "gemini", "cursor",
    ];
    let sandbox = Sandbox::new()
        .dated()
        .env("CLAUDE_CODE_MESSAGING_TOKEN", CANARIES[3])
        .env("AI_AGENT", "claude-code_canary-alice_agent")
        .env("COPILOT_CLI_BINARY_VERSION", CANARIES[0])
        .env("USER", CANARIES[0])
        .without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    for (index, (host, event)) in hosts
        .iter()
        .flat_map(|host| events.iter().map(move |event| (host, event)))
        .enumerate()
    {
        let canary = CANARIES[index % CANARIES.len()];
        let mut payload = json!({
            "hook_event_name": event,
            "session_id": format!("{canary} {index}"),
            "conversation_id": format!("{canary} {index}"),
            // The name of a command is recorded; one that looks like anything else is not.
            "command_name": if canary == CANARIES[0] { "/etc/canary" } else { canary },
            canary: canary,
            "nested": {canary: [canary, {"prompt": canary}]},
        });
        for key in keys {
            payload[key] = json!(canary);
        }
        sandbox
            .feed(&["hook", "--host", host], payload.to_string())
            .code(0);
    }
    assert!(
        sandbox.recorded().len() > 30,
        "{}",
        sandbox.recorded().len()
    );
    for (name, (_, content)) in sandbox.files() {
        let text = format!("{name} {}", String::from_utf8_lossy(&content)).to_lowercase();
        for canary in CANARIES {
            let canary = serde_json::to_string(&canary.to_lowercase()).unwrap();
            assert!(
                !text.contains(canary.trim_matches('"')),
                "{canary} in {text}"
            );
        }
        assert!(!text.contains("canary"), "{text}");
    }
}

#[test]
fn garbage_is_met_with_silence() {
    let sandbox = claude("s").without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    let files = sandbox.files();
    let deep = "[".repeat(100_000);
    let wide = vec![b'x'; 100_000_000];
    let mut valid_but_huge = start("s");
    valid_but_huge["prompt"] = json!("x".repeat(2_000_000));
    let huge = valid_but_huge.to_string();
    let payloads: [&[u8]; 16] = [
        b"",
        b"\n",
        b"{",
        b"[]",
        b"null",
        b"42",
        b"\"SessionStart\"",
        b"\x00\xff\xfe",
        b"{}",
        br#"{"hook_event_name":"SessionStart"}"#,
        br#"{"session_id":"s"}"#,
        br#"{"session_id":7,"hook_event_name":"SessionStart"}"#,
        br#"{"session_id":"s","hook_event_name":["SessionStart"]}"#,
        deep.as_bytes(),
        &wide,
        huge.as_bytes(),
    ];
    for payload in payloads {
        for host in ["auto", "claude", "copilot", "cursor"] {
            sandbox.feed(&["hook", "--host", host], payload).code(0);
        }
    }
    assert_eq!(sandbox.files(), files);
}

#[test]
fn fields_of_the_wrong_type_are_as_if_they_were_missing() {
    let sandbox = claude("s").without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    say(
        &sandbox,
        &json!({"session_id": "s", "hook_event_name": "SessionStart", "source": {"a": 1}, "model": [1], "prompt_id": 7}),
    );
    assert_eq!(
        recorded(&sandbox),
        [
            r#"{"eventType":"agent_session_start","agentType":"claude","agentVersion":"2.1.329","trigger":"other"}"#
        ]
    );
}

#[test]
fn a_pipe_that_stays_open_keeps_nobody_waiting() {
    let sandbox = claude("s").without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    let mut child = sandbox
        .command(&["hook"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(start("s").to_string().as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(sandbox.recorded().len(), 1);
    drop(stdin);
}

#[test]
fn a_payload_that_comes_after_the_host_went_on_is_recorded_all_the_same() {
    let sandbox = claude("s").without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    // It is waited for during two seconds, which a busy machine may spend elsewhere.
    let is_recorded = (0..5).any(|_| {
        let mut child = sandbox
            .command(&["hook"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // The hook gives up on us, and its pipes end although somebody still waits for the payload.
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty());
        let written = stdin.write_all(start("s").to_string().as_bytes());
        drop(stdin);
        sandbox.wait_for_quiet();
        written.is_ok() && sandbox.recorded().len() == 1
    });
    assert!(is_recorded);
}

#[test]
fn where_telemetry_is_off_nothing_is_written() {
    for sandbox in [
        claude("s").env("DO_NOT_TRACK", "1"),
        claude("s").env("CI", "true"),
    ] {
        let files = sandbox.files();
        for payload in [start("s"), command("s", "commit", "p1"), end("s")] {
            say(&sandbox, &payload);
        }
        assert_eq!(sandbox.files(), files);
        assert!(sandbox.detached().is_empty());
    }
}

#[test]
fn verbose_says_what_became_of_a_payload() {
    let sandbox = claude("s").without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    let check = |payload: &str, words: &str| {
        let (code, stdout, stderr) = sandbox.feed(&["hook", "--verbose"], payload).outputs();
        assert_eq!((code, stdout.as_str()), (0, ""));
        assert!(stderr.contains(words), "{stderr}");
    };
    check(&start("s").to_string(), "recorded event ");
    check(
        &start("s").to_string(),
        "another hook of claude has recorded this",
    );
    check(
        r#"{"session_id":"s","hook_event_name":"Stop"}"#,
        "nothing of this is recorded for claude",
    );
    check(
        r#"{"session_id":"t","hook_event_name":"Stop"}"#,
        "nothing shows which agent this is; name it with --host",
    );
    check("nonsense", "the payload is no JSON object");
}

#[test]
fn a_host_that_is_only_presumed_gives_way_to_what_shows() {
    // Copilot runs the hooks in Claude's settings too.
    let sandbox = Sandbox::new()
        .dated()
        .env("COPILOT_CLI", "1")
        .without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    let payload = json!({"session_id": "s", "hook_event_name": "SessionStart", "timestamp": "2026-11-20T03:04:05.678Z", "source": "new"});
    sandbox
        .feed(&["hook", "--host", "claude"], payload.to_string())
        .code(0);
    assert_eq!(sandbox.recorded()[0]["agentType"], "copilot");
    // A Codex that Claude started has Claude's environment.
    let sandbox = claude("outer").without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    let payload = json!({"session_id": "s", "hook_event_name": "SessionStart", "transcript_path": "/h/.codex/sessions/x", "source": "startup"});
    sandbox
        .feed(&["hook", "--host", "claude"], payload.to_string())
        .code(0);
    assert_eq!(sandbox.recorded()[0]["agentType"], "codex");
    // Nothing shows: what was presumed it is.
    let sandbox = Sandbox::new()
        .dated()
        .without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    sandbox
        .feed(&["hook", "--host", "gemini"], start("s").to_string())
        .code(0);
    assert_eq!(sandbox.recorded()[0]["agentType"], "gemini");
}

/// A thousand with `TELEMETRY_UPLOAD_FULL_SIZE=1` in the environment.
#[test]
fn many_hooks_at_once_start_one_pass_and_lose_no_event() {
    let count = if std::env::var_os("TELEMETRY_UPLOAD_FULL_SIZE").is_some() {
        1000
    } else {
        150
    };
    let (now, most) = (Arc::new(AtomicI32::new(0)), Arc::new(AtomicI32::new(0)));
    let seen = (now.clone(), most.clone());
    let sandbox = Sandbox::acting("", move |moment, _, _| match moment {
        Moment::Receiving => {
            let busy = seen.0.fetch_add(1, Ordering::SeqCst) + 1;
            seen.1.fetch_max(busy, Ordering::SeqCst);
        }
        Moment::Judged => {}
        Moment::Replied => {
            seen.0.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let sandbox = sandbox.dated();
    let mut children = Vec::new();
    for number in 0..count {
        let session = format!("s{number}");
        let mut child = sandbox
            .command(&["hook"])
            .env("CLAUDE_CODE_SESSION_ID", &session)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        // Some hosts are slower than their hooks.
        let mut stdin = child.stdin.take().unwrap();
        stdin
            .write_all(start(&session).to_string().as_bytes())
            .unwrap();
        children.push(child);
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    sandbox.wait_for_delivered(count);
    sandbox.wait_for_quiet();
    let mut ids = sandbox.delivered();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), sandbox.delivered().len()), (count, count));
    assert_eq!(sandbox.read(BUFFER), "");
    assert_eq!(most.load(Ordering::SeqCst), 1, "requests at once");
    let log = sandbox.read("upload/upload.log");
    // The storm is over long before the first pass has gathered enough: there it is, and its last look.
    assert!(log.lines().count() <= 3, "{log}");
}
