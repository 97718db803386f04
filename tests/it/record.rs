//! `telemetry-upload record`: any host can append.

use crate::kit::{BUFFER, Sandbox};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Stdio;

/// The line that was recorded, its id and time checked and replaced by words.
fn recorded(sandbox: &Sandbox) -> String {
    let mut lines = sandbox.recorded();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for (key, length, word) in [("eventId", 36, "<id>"), ("timestamp", 24, "<now>")] {
        if let Some(text) = lines[0][key].as_str().filter(|text| text.len() == length) {
            assert!(text.is_ascii(), "{text}");
            lines[0][key] = json!(word);
        }
    }
    lines[0].to_string()
}

#[test]
fn an_event_is_recorded_from_arguments() {
    let sandbox = Sandbox::new().dated();
    let args = [
        "record",
        "cli_command",
        "--prop",
        "command=init",
        "-p",
        "success=true",
        "-p",
        "durationMs=12",
        "-p",
        "version=1.10",
        "-p",
        "note=a=b",
        "-p",
        "empty=",
    ];
    sandbox.run(&args).posts(0).code(0);
    assert_eq!(
        recorded(&sandbox),
        r#"{"eventType":"cli_command","command":"init","success":true,"durationMs":12,"version":"1.10","note":"a=b","empty":"","eventId":"<id>","timestamp":"<now>","anonymousId":"anna","platform":"linux"}"#
    );
    assert!(sandbox.read(BUFFER).ends_with("}\n"));
    assert_eq!(
        fs::metadata(sandbox.path(BUFFER)).unwrap().mode() & 0o777,
        0o600
    );
    assert!(!sandbox.path("upload").exists(), "nothing else is made");
}

#[test]
fn an_event_is_recorded_from_standard_input_on_one_line() {
    let sandbox = Sandbox::new().dated();
    let pretty = "\u{feff}{\n  \"name\": \"x\",\n  \"text\": \"a\\nb \\ud800\",\n  \"n\": 1\n}\n";
    sandbox.feed(&["record", "--prop", "n=2"], pretty).code(0);
    assert_eq!(
        recorded(&sandbox),
        "{\"name\":\"x\",\"text\":\"a\\nb \u{fffd}\",\"n\":2,\"eventId\":\"<id>\",\"timestamp\":\"<now>\",\"anonymousId\":\"anna\",\"platform\":\"linux\"}"
    );
}

#[test]
fn what_is_recorded_is_delivered() {
    let sandbox = Sandbox::new().dated();
    sandbox
        .run(&["record", "cli_command", "-p", "command=init", "-p", "n=2"])
        .code(0);
    sandbox.flush().stdout("sent 1 event").left("").code(0);
    let data = &sandbox.envelopes()[0]["data"]["baseData"];
    assert_eq!(data["name"], "cli_command");
    assert_eq!(data["properties"]["command"], "init");
    assert_eq!(data["properties"]["anonymous_id"], "anna");
    assert_eq!(data["measurements"], json!({"n": 2}));
}

fn check_refused(args: &[&str], input: &[u8], complaint: &str) {
    let sandbox = Sandbox::new().dated();
    let files = sandbox.files();
    let with = |more: &[&'static str]| [&["record"], args, more].concat();
    sandbox.feed(&with(&[]), input).code(0);
    sandbox
        .feed(&with(&["--verbose"]), input)
        .stderr(complaint)
        .code(0);
    assert_eq!(sandbox.files(), files, "{args:?}");
}

#[test]
fn what_is_no_event_is_refused_in_silence_and_said_when_asked() {
    check_refused(&[], b"", "cannot record standard input: it is not JSON");
    check_refused(
        &[],
        b"[1]",
        "cannot record standard input: it is not a JSON object",
    );
    check_refused(
        &[],
        b"\xff\xfe\x00",
        "cannot record standard input: it is not JSON",
    );
    check_refused(
        &[],
        b"{\"a\":1}",
        "cannot record this event: it has no event name",
    );
    check_refused(
        &[],
        &vec![b'x'; 100_000],
        "cannot record an event of over 65536 bytes",
    );
    let long = format!("{{\"name\":\"x\",\"a\":\"{}\"}}", "x".repeat(40_000));
    check_refused(
        &[],
        long.as_bytes(),
        "cannot record an event of 40147 bytes: 32768 are the most",
    );
    check_refused(
        &["  "],
        b"",
        "cannot record this event: it has no event name",
    );
}

#[test]
fn wrong_usage_fails_no_host() {
    let sandbox = Sandbox::new().dated();
    let files = sandbox.files();
    for args in [
        &["record", "x", "--prop", "novalue"][..],
        &["record", "x", "--prop", "=1"],
        &["record", "x", "--flag-of-next-year"],
        &["record", "x", "y"],
        &["record", "x", "--app", "../evil"],
        &["hook", "--host", "emacs"],
        &["hook", "--flag-of-next-year"],
        &["--detach", "--flag-of-next-year"],
        &["--detach", "--flush"],
        &["--detach=true"],
        &["--app", "atomic", "record", "x"],
        &["--bogus", "hook"],
    ] {
        sandbox.run(args).code(0);
    }
    assert_eq!(sandbox.files(), files);
    let (code, _, complaint) = sandbox
        .run(&["record", "x", "--bad", "--verbose"])
        .outputs();
    assert_eq!(code, 0);
    assert!(
        complaint.contains("unexpected argument '--bad'"),
        "{complaint}"
    );
    let (code, help, _) = sandbox.run(&["record", "--help"]).outputs();
    assert_eq!(code, 0);
    assert!(help.contains("NAME=VALUE"), "{help}");
}

#[test]
fn verbose_says_what_was_recorded() {
    let sandbox = Sandbox::new().dated();
    let (code, stdout, stderr) = sandbox
        .run(&["record", "x", "-p", "eventId=mine", "--verbose"])
        .outputs();
    assert_eq!(
        (code, stdout.as_str(), stderr.as_str()),
        (0, "recorded event mine\n", "")
    );
}

#[test]
fn where_telemetry_is_off_nothing_is_written_and_the_rule_is_named_when_asked() {
    let check = |sandbox: Sandbox, rule: &str| {
        let files = sandbox.files();
        sandbox.run(&["record", "x", "--spawn"]).code(0);
        sandbox
            .run(&["record", "x", "--spawn", "--verbose"])
            .stderr(&format!("nothing is recorded, telemetry is off: {rule}"))
            .code(0);
        sandbox
            .run(&["--detach", "--verbose"])
            .stderr(&format!("no pass was started: telemetry is off: {rule}"))
            .code(0);
        assert_eq!(sandbox.files(), files);
        assert!(sandbox.detached().is_empty());
    };
    check(
        Sandbox::new().env("DO_NOT_TRACK", "1"),
        "DO_NOT_TRACK is set",
    );
    check(
        Sandbox::new().env("ATOMIC_TELEMETRY", "off"),
        "ATOMIC_TELEMETRY says off",
    );
    check(
        Sandbox::new().env("GITHUB_ACTIONS", "true"),
        "this is a CI system, the variable GITHUB_ACTIONS says",
    );
    let nobody_asked = Sandbox::new();
    fs::remove_file(nobody_asked.path("telemetry.json")).unwrap();
    check(
        nobody_asked,
        "nobody has agreed yet (there is no telemetry.json)",
    );
}

#[test]
fn the_anonymous_id_is_made_with_consent_and_kept_for_the_month() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "telemetry.json",
        r#"{"enabled":true,"consentGiven":true,"theirs":[1,2]}"#,
    );
    for _ in 0..3 {
        sandbox.run(&["record", "x"]).code(0);
    }
    let consent: Value = serde_json::from_str(&sandbox.read("telemetry.json")).unwrap();
    let keys: Vec<&String> = consent.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "enabled",
            "consentGiven",
            "theirs",
            "anonymousId",
            "createdAt",
            "rotatedAt"
        ]
    );
    assert_eq!(consent["theirs"], json!([1, 2]));
    for line in sandbox.recorded() {
        assert_eq!(line["anonymousId"], consent["anonymousId"]);
    }
    let mode = fs::metadata(sandbox.path("telemetry.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_anonymous_id_changes_with_the_month() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "telemetry.json",
        r#"{"enabled":true,"consentGiven":true,"anonymousId":"old","createdAt":"2026-01-15T00:00:00.000Z","rotatedAt":"2026-09-30T23:59:59.999Z"}"#,
    );
    sandbox.run(&["record", "x"]).code(0);
    let consent: Value = serde_json::from_str(&sandbox.read("telemetry.json")).unwrap();
    assert_ne!(consent["anonymousId"], "old");
    assert_eq!(consent["createdAt"], "2026-01-15T00:00:00.000Z");
    assert_eq!(sandbox.recorded()[0]["anonymousId"], consent["anonymousId"]);
}

#[test]
fn many_at_once_agree_on_one_new_id_and_lose_no_event() {
    let sandbox = Sandbox::new();
    sandbox.write("telemetry.json", r#"{"enabled":true,"consentGiven":true}"#);
    let children: Vec<_> = (0..40).map(|_| sandbox.spawn(&["record", "x"])).collect();
    for child in children {
        assert!(sandbox.wait(child).status.success());
    }
    let recorded = sandbox.recorded();
    assert_eq!(recorded.len(), 40);
    let consent: Value = serde_json::from_str(&sandbox.read("telemetry.json")).unwrap();
    for line in recorded {
        assert_eq!(line["anonymousId"], consent["anonymousId"]);
    }
}

#[test]
fn a_consent_file_that_cannot_be_rewritten_stops_no_event() {
    let sandbox = Sandbox::new();
    sandbox.write("upload", "where the lock's folder belongs");
    sandbox.run(&["record", "x"]).code(0);
    assert_eq!(
        sandbox.recorded()[0]["anonymousId"],
        "11111111-1111-4111-8111-111111111111"
    );
}

#[test]
fn a_torn_line_is_ended_before_the_next() {
    let sandbox = Sandbox::new().dated();
    sandbox.append("{\"torn\":");
    sandbox.run(&["record", "x"]).code(0);
    let text = sandbox.read(BUFFER);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (2, "{\"torn\":"));
    assert!(serde_json::from_str::<Value>(lines[1]).is_ok(), "{text}");
}

#[test]
fn what_is_no_plain_file_of_ones_own_is_not_appended_to() {
    let link = Sandbox::new().dated();
    fs::write(link.path("elsewhere"), "").unwrap();
    symlink(link.path("elsewhere"), link.path(BUFFER)).unwrap();
    link.run(&["record", "x", "--verbose"])
        .stderr("cannot append to {data}/telemetry-events.jsonl: it is a symbolic link, which is not followed here")
        .code(0);
    assert_eq!(link.read("elsewhere"), "");
    let fifo = Sandbox::new().dated();
    fifo.fifo(BUFFER);
    fifo.run(&["record", "x"]).code(0);
    let linked = Sandbox::new().dated();
    fs::write(linked.path("elsewhere"), "").unwrap();
    fs::hard_link(linked.path("elsewhere"), linked.path(BUFFER)).unwrap();
    linked.run(&["record", "x"]).code(0);
    assert_eq!(linked.read("elsewhere"), "");
}

#[test]
fn an_event_is_taken_as_soon_as_it_is_whole() {
    let sandbox = Sandbox::new().dated();
    let mut child = sandbox
        .command(&["record"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"{\"name\":\"x\"}").unwrap();
    // The pipe stays open: whoever waited for its end would wait for ever.
    assert!(child.wait().unwrap().success());
    drop(stdin);
    assert_eq!(sandbox.recorded().len(), 1);
}

#[test]
fn with_spawn_it_is_sent_at_once() {
    let sandbox = Sandbox::new().dated();
    let (code, stdout, stderr) = sandbox
        .run(&["record", "x", "--spawn", "--verbose"])
        .outputs();
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.ends_with("; a pass is on its way\n"), "{stdout}");
    sandbox.wait_for_delivered(1);
}

#[test]
fn another_application_has_its_own_folder() {
    let sandbox = Sandbox::new();
    let folder = sandbox.home.path().join(".local/share/mytool");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("telemetry.json"), crate::kit::CONSENT).unwrap();
    sandbox.run(&["record", "x", "--app", "mytool"]).code(0);
    assert!(
        fs::read_to_string(folder.join(BUFFER))
            .unwrap()
            .contains("\"x\"")
    );
    assert!(!sandbox.path(BUFFER).exists());
}
