//! What is nobody's business: the connection string in the arguments of a process, and anything of an event
//! wherever it does not belong.

use super::{start_of_session, text};
use crate::kit::{BUFFER, Sandbox, event};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

/// The arguments and the environment of every process of ours over this home.
fn processes(sandbox: &Sandbox) -> Vec<(String, String)> {
    let read = |pid: i32, what: &str| {
        let path = PathBuf::from(format!("/proc/{pid}")).join(what);
        text(&fs::read(path).unwrap_or_default()).replace('\0', " ")
    };
    let found = sandbox.detached().into_iter();
    found
        .map(|pid| (read(pid, "cmdline"), read(pid, "environ")))
        .collect()
}

#[test]
fn the_connection_string_is_in_the_arguments_of_no_process_that_we_start() {
    let (sandbox, gate) = Sandbox::gated();
    let sandbox = sandbox.dated();
    // The environment has it already, or the flag did.
    sandbox.run(&["record", "a", "--spawn"]).code(0);
    sandbox.wait_for_post();
    let mut late = sandbox
        .command(&["hook", "--host", "claude"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut payload = late.stdin.take().unwrap();
    assert!(late.wait().unwrap().success());
    let found = processes(&sandbox);
    let is = |flag: &str| found.iter().any(|(arguments, _)| arguments.contains(flag));
    assert!(is("--detached") && is("--late"), "{found:?}");
    for (arguments, environment) in &found {
        assert!(!arguments.contains("InstrumentationKey"), "{arguments}");
        assert!(environment.contains("InstrumentationKey"), "{environment}");
    }
    payload.write_all(start_of_session().as_bytes()).unwrap();
    drop(payload);
    gate.open();
    sandbox.wait_for_delivered(1);
}

#[test]
fn the_key_is_in_no_file_but_the_copy_of_what_was_sent_and_in_no_message() {
    let key = "00000000-0000-4000-8000-000000000000";
    let scripts = [
        "",
        r#"{"status": 401, "times": "forever"}"#,
        r#"{"status": 503, "times": "forever"}"#,
        r#"{"status": 308, "headers": {"Location": "https://example.com/"}}"#,
        r#"{"items": [{"index": 0, "statusCode": 400, "message": "Invalid instrumentation key"}]}"#,
        r#"{"cut_after_bytes": 0, "times": "forever"}"#,
    ];
    for script in scripts {
        let sandbox = Sandbox::scripted(script).line(&event("a"));
        let (_, stdout, stderr) = sandbox.flush().outputs();
        assert!(!(stdout + &stderr).contains(key), "{script}");
        for (name, (_, content)) in sandbox.files() {
            let holds = text(&content).contains(key);
            assert!(!holds || name.ends_with("sent.jsonl"), "{script}: {name}");
        }
    }
    for broken in [
        format!("InstrumentationKey={key};IngestionEndpoint=http://example.com/"),
        format!("InstrumentationKey={key};IngestionEndpoint=https://user:{key}@example.com/"),
        format!("InstrumentationKey={key}{key}"),
        format!("InstrumentationKey={key};{key}"),
    ] {
        let sandbox = Sandbox::new()
            .line(&event("a"))
            .env("APPLICATIONINSIGHTS_CONNECTION_STRING", &broken);
        let (code, stdout, stderr) = sandbox.run(&["--flush"]).outputs();
        assert_eq!((code, stdout.as_str()), (78, ""), "{stderr}");
        let log = sandbox.read("upload/upload.log");
        assert!(
            !stderr.contains(key) && !log.is_empty() && !log.contains(key),
            "{stderr} {log}"
        );
    }
}

const CANARY: &str = "canarytext";

/// An event in whose every field something stands that must not turn up anywhere.
fn canaries() -> String {
    let mut fields: Value = serde_json::from_str(&event("a")).unwrap();
    for name in [
        "prompt",
        "path",
        "plugin",
        "command",
        "sessionId",
        "agentType",
    ] {
        fields[name] = json!(format!("{CANARY}-{name}"));
    }
    fields.to_string()
}

/// Looks wherever an event does not belong.
fn check_no_canary(sandbox: &Sandbox, outputs: &[String], story: &str) {
    for output in outputs {
        assert!(!output.contains(CANARY), "{story}: {output}");
    }
    for (name, (_, content)) in sandbox.files() {
        // The producer's own lines, and the copies of them that are kept for the person.
        let is_kept = [BUFFER, "rejected.jsonl", "rejected.jsonl.1", "sent.jsonl"]
            .iter()
            .any(|kept| name.ends_with(kept));
        assert!(
            is_kept || !text(&content).contains(CANARY),
            "{story}: {name}: {}",
            text(&content)
        );
    }
}

#[test]
fn nothing_of_an_event_is_in_a_log_whatever_the_server_answers() {
    let echo = format!("100: Field 'command' on type 'x' Actual: {CANARY}");
    let replies = [
        json!({"status": 400, "body": format!("<h1>{CANARY}</h1>"), "times": "forever"}),
        json!({"status": 500, "body": CANARY, "times": "forever"}),
        json!({"status": 200, "body": CANARY, "content_type": "text/html", "times": "forever"}),
        json!({"status": 418, "body": CANARY, "headers": {"X-Error": CANARY}, "times": "forever"}),
        json!({"status": 429, "headers": {"Retry-After": CANARY}, "times": "forever"}),
        json!({"status": 503, "headers": {"Date": CANARY, "Retry-After": "5"}, "times": "forever"}),
        // An address that the server sends us to is kept, and a refused one named: whoever looks for the
        // fault needs it.
        json!({"status": 308, "headers": {"Location": format!("\\\\{CANARY}")}, "times": "forever"}),
        json!({"items": [{"index": 0, "statusCode": 400, "message": echo}]}),
        json!({"items": [{"index": 0, "statusCode": 500, "message": echo}], "times": "forever"}),
        json!({"items": [{"index": 99, "statusCode": 400, "message": echo}], "times": "forever"}),
        json!({"status": 401, "body": json!({"itemsReceived": 1, "itemsAccepted": 0, "errors": [{"index": 0, "statusCode": 401, "message": echo}]}).to_string(), "times": "forever"}),
        json!({"cut_after_bytes": 20, "times": "forever"}),
    ];
    for reply in replies {
        let script = reply.to_string();
        let sandbox = Sandbox::scripted(&script).line(&canaries());
        let (_, stdout, stderr) = sandbox.run(&["--flush", "--pause-ms", "0"]).outputs();
        let (_, json, _) = sandbox.run(&["--json", "--pause-ms", "0"]).outputs();
        check_no_canary(&sandbox, &[stdout, stderr, json], &script);
    }
}

#[test]
fn nothing_of_an_event_is_in_a_log_whatever_is_wrong_with_it() {
    let whole = canaries();
    let lines: [(&str, Vec<u8>); 8] = [
        ("cut off", whole.as_bytes()[..whole.len() - 20].to_vec()),
        (
            "two halves",
            [&whole.as_bytes()[..60], whole.as_bytes()].concat(),
        ),
        ("no object", format!("\"{CANARY}\"").into_bytes()),
        ("a word", CANARY.as_bytes().to_vec()),
        (
            "no name",
            format!("{{\"{CANARY}\":\"{CANARY}\"}}").into_bytes(),
        ),
        (
            "a name that is none",
            format!("{{\"eventType\":{{\"{CANARY}\":1}}}}").into_bytes(),
        ),
        (
            "too long",
            whole.replace("init", &CANARY.repeat(5_000)).into_bytes(),
        ),
        (
            "a strange time",
            whole
                .replace("\"timestamp\":\"2", &format!("\"timestamp\":\"{CANARY}2"))
                .into_bytes(),
        ),
    ];
    for (what, line) in lines {
        let sandbox = Sandbox::new();
        sandbox.append([&line, &b"\n"[..]].concat());
        let (_, stdout, stderr) = sandbox.flush().outputs();
        let mut stdout = stdout;
        // Names of fields that were left out are shown to whoever asked, and written nowhere.
        if let Some(at) = stdout.find("; left out: ") {
            stdout.truncate(at);
        }
        check_no_canary(&sandbox, &[stdout, stderr], what);
    }
}

#[test]
fn nothing_of_an_event_is_in_a_log_whatever_cannot_be_written() {
    for name in [
        "rejected.jsonl",
        "sent.jsonl",
        "state.json.telemetry-upload.new",
        "telemetry-events.jsonl.cursor",
        "uploader.lock",
    ] {
        let sandbox = Sandbox::new().line(&canaries()).line(CANARY);
        fs::create_dir_all(sandbox.path("upload").join(name)).unwrap();
        let (_, stdout, stderr) = sandbox.flush().outputs();
        check_no_canary(&sandbox, &[stdout, stderr], name);
    }
}

#[test]
fn what_record_and_hook_refuse_is_not_repeated() {
    let sandbox = Sandbox::new().dated();
    let deep = format!("{}\"{CANARY}\"{}", "[".repeat(200), "]".repeat(200));
    for input in [
        CANARY.to_owned(),
        format!("\"{CANARY}\""),
        format!("{{\"{CANARY}\":"),
        format!("{{\"{CANARY}\":\"{CANARY}\"}}"),
        format!("{{\"eventType\":\"x\",\"a\":{deep}}}"),
        format!("{{\"eventType\":\"x\",\"a\":\"{}\"}}", CANARY.repeat(4_000)),
        format!(
            "{{\"eventType\":\"x\",\"a\":\"{}\"}}",
            CANARY.repeat(10_000)
        ),
        format!("{{\"eventType\":\"x\",\"eventType\":\"{CANARY}\"}}x"),
        format!("{{\"session_id\":\"{CANARY}\",\"hook_event_name\":\"{CANARY}\"}}"),
        format!(
            "{{\"session_id\":[\"{CANARY}\"],\"hook_event_name\":\"SessionStart\",\"source\":\"{CANARY}\"}}"
        ),
    ] {
        for args in [
            &["record", "--verbose"][..],
            &["hook", "--host", "claude", "--verbose"],
        ] {
            let (code, stdout, stderr) = sandbox.feed(args, &input).outputs();
            assert_eq!(code, 0, "{args:?} {input}");
            check_no_canary(&sandbox, &[stdout, stderr], &input);
        }
    }
    assert_eq!(sandbox.read(BUFFER), "", "none of these is an event");
}
