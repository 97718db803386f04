//! Conservation: every kind of producer at once, while uploads run again and again. What was appended
//! arrives, whole and once.

use crate::kit::{BINARY, BUFFER, Sandbox};
use crate::tools::{find, python, silent};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The size, processes times events: small enough for every `cargo test`. With
/// `TELEMETRY_UPLOAD_FULL_SIZE=1` in the environment it is 64 times 500.
fn size() -> (usize, usize) {
    match std::env::var_os("TELEMETRY_UPLOAD_FULL_SIZE") {
        Some(_) => (64, 500),
        None => (24, 40),
    }
}

/// Our own appender, run once for each event as a hook or a command-line tool does.
const RECORD: &str = r#"
n=0
while [ $n -lt "$EVENTS" ]; do
    "$BINARY" record cli_command --prop "command=c-$WRITER-$n" </dev/null || echo "exit code $?"
    n=$((n + 1))
done
"#;

/// A Claude Code session: the binary finds out the host by the session's id, and is handed a payload
/// with everything in it that must not leave.
const HOOK: &str = r#"
n=0
while [ $n -lt "$EVENTS" ]; do
    "$BINARY" hook --host auto <<JSON || echo "exit code $?"
{"session_id":"$CLAUDE_CODE_SESSION_ID","transcript_path":"/home/a/t.jsonl","cwd":"/home/a","prompt_id":"p-$WRITER-$n","hook_event_name":"UserPromptExpansion","expansion_type":"slash_command","command_name":"c-$WRITER-$n","command_args":"SECRET","command_source":"projectSettings","prompt":"/c SECRET"}
JSON
    n=$((n + 1))
done
"#;

/// Appends the lines it is given, each under the lock.
const FLOCK: &str = r#"
while IFS= read -r line; do
    { flock 9; printf '%s\n' "$line" >&9; } 9>>"$BUFFER"
done <"$LINES"
"#;

/// Appends without knowing any lock.
const PLAIN: &str = r#"
while IFS= read -r line; do
    printf '%s\n' "$line" >>"$BUFFER"
done <"$LINES"
"#;

const PYTHON: &str = r#"
import fcntl, os
for line in open(os.environ["LINES"], "rb"):
    with open(os.environ["BUFFER"], "ab", 0) as buffer:
        fcntl.flock(buffer, fcntl.LOCK_EX)
        buffer.write(line)
"#;

const NODE: &str = r#"
const fs = require("fs")
const lines = fs.readFileSync(process.env.LINES, "utf8").split("\n").slice(0, -1)
const next = () => { if (lines.length) fs.appendFile(process.env.BUFFER, lines.shift() + "\n", next) }
next()
"#;

/// The program, its flag, its script.
type Kind = (PathBuf, &'static str, &'static str);

/// The kinds of producers that this machine can run.
fn kinds() -> Vec<Kind> {
    let sh = PathBuf::from("/bin/sh");
    let mut kinds = vec![(sh.clone(), "-c", RECORD), (sh, "-c", HOOK)];
    if let Some(bash) = find("bash") {
        kinds.extend(find("flock").map(|_| (bash.clone(), "-c", FLOCK)));
        kinds.push((bash, "-c", PLAIN));
    }
    kinds.extend(python().map(|python| (python, "-c", PYTHON)));
    kinds.extend(find("node").map(|node| (node, "-e", NODE)));
    kinds
}

/// A fresh event, up to 3 KB long: what a shell writes in one piece.
fn line(command: &str, number: usize) -> String {
    let at = telemetry_upload::world::now().to_rfc3339();
    let padding = "x".repeat(number * 131 % 3000);
    json!({"eventType": "cli_command", "eventId": command, "timestamp": at, "command": command, "padding": padding})
        .to_string()
        + "\n"
}

/// A producer, ready to be started.
fn prepare(sandbox: &Sandbox, kind: &Kind, writer: usize, events: usize) -> Command {
    let lines = sandbox.home.path().join(format!("lines-{writer}"));
    let text: String = (0..events)
        .map(|n| line(&format!("c-{writer}-{n}"), n))
        .collect();
    fs::write(&lines, text).unwrap();
    let (program, flag, script) = kind;
    let mut command = Command::new(program);
    command
        .args([flag, script])
        .env_clear()
        .envs(&sandbox.env)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("BINARY", BINARY)
        .env("BUFFER", sandbox.path(BUFFER))
        .env("LINES", lines)
        .env("WRITER", writer.to_string())
        .env("EVENTS", events.to_string())
        .env("CLAUDE_CODE_SESSION_ID", format!("session-{writer}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The accepted envelopes' properties.
fn arrived(sandbox: &Sandbox) -> Vec<Value> {
    let exchanges = sandbox.server.exchanges.lock().unwrap();
    exchanges
        .iter()
        .flat_map(|exchange| &exchange.verdicts)
        .map(|(envelope, error)| {
            assert!(error.is_none(), "{envelope}");
            envelope["data"]["baseData"]["properties"].clone()
        })
        .collect()
}

#[test]
fn every_kind_of_producer_at_once_loses_tears_and_repeats_nothing() {
    let (writers, events) = size();
    let sandbox = Sandbox::new();
    let kinds = kinds();
    let producers: Vec<Command> = (0..writers)
        .map(|writer| prepare(&sandbox, &kinds[writer % kinds.len()], writer, events))
        .collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for args in [&["--flush", "--pause-ms", "1"][..], &[]] {
            let (sandbox, done) = (&sandbox, &done);
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    let output = sandbox.command(args).output().unwrap();
                    assert_eq!(output.status.code(), Some(0), "{output:?}");
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
        let running: Vec<Child> = producers
            .into_iter()
            .map(|mut producer| producer.spawn().unwrap())
            .collect();
        let outputs: Vec<_> = running
            .into_iter()
            .map(|child| child.wait_with_output().unwrap())
            .collect();
        done.store(true, Ordering::SeqCst);
        for output in outputs {
            silent(&output, "a producer");
        }
    });
    sandbox.flush().left("").outputs();

    let expected: BTreeSet<String> = (0..writers)
        .flat_map(|writer| (0..events).map(move |n| format!("c-{writer}-{n}")))
        .collect();
    let arrived = arrived(&sandbox);
    // A slash command is recorded with its slash.
    let text = |event: &Value, name: &str| {
        let text = event[name].as_str().unwrap_or_default();
        text.trim_start_matches('/').to_owned()
    };
    let commands: BTreeSet<String> = arrived.iter().map(|event| text(event, "command")).collect();
    let lost: Vec<_> = expected.difference(&commands).collect();
    assert!(lost.is_empty(), "{} lost: {lost:?}", lost.len());
    assert_eq!(
        arrived.len(),
        expected.len(),
        "something arrived twice, or was never appended"
    );
    let ids: BTreeSet<String> = arrived
        .iter()
        .map(|event| text(event, "event_id"))
        .collect();
    assert_eq!(ids.len(), expected.len(), "two events share an id");
    let leaks = arrived
        .iter()
        .filter(|event| event.to_string().contains("SECRET"));
    assert_eq!(leaks.count(), 0);
    // Nothing was torn: no fragment was refused, and nothing is left that could be one.
    assert_eq!(sandbox.state("totals")["dropped"], json!({}));
    assert_eq!(sandbox.read("upload/rejected.jsonl"), "");
    assert_eq!(fs::metadata(sandbox.path(BUFFER)).unwrap().len(), 0);
}
