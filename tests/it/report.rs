//! `report`: what the events on this machine say.

use crate::kit::{BINARY, Sandbox, append, event, event_at};
use crate::tools::find;
use serde_json::{Value, json};
use snapbox::str;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

/// An envelope of a store: an event of this day, with this id.
fn envelope(id: &str, at: &str, tags: &Value, properties: &Value) -> Value {
    let mut envelope = json!({
        "time": at,
        "tags": tags,
        "data": {"baseType": "EventData", "baseData": {"name": "x", "properties": properties}},
    });
    let properties = &mut envelope["data"]["baseData"]["properties"];
    properties["event_id"] = id.into();
    properties["timestamp"] = at.into();
    envelope
}

fn command(id: &str, at: &str, name: &str, success: &str) -> Value {
    let tags = json!({
        "ai.user.id": "anna", "ai.session.id": "s-1", "ai.application.ver": "0.9.1", "ai.cloud.role": "atomic",
    });
    envelope(id, at, &tags, &json!({"command": name, "success": success}))
}

fn session(id: &str, at: &str, agent: &str, session: &str) -> Value {
    let tags = json!({"ai.user.id": "bert", "ai.session.id": session, "ai.cloud.role": "mytool"});
    envelope(
        id,
        at,
        &tags,
        &json!({"agent_type": agent, "commands": "/commit,/push"}),
    )
}

/// A small store with one of everything: commands, sessions, a copy, an event without an id, one that is
/// too old, a message that is no event, two damaged lines and a torn one.
fn store(sandbox: &Sandbox) -> String {
    let late = envelope(
        "late",
        "2026-11-03T10:00:00.000Z",
        &json!({"ai.application.ver": "0.9.0"}),
        &json!({"time_adjusted": "late", "command": "init"}),
    );
    let late = late.to_string().replacen("2026-11-03", "2026-11-05", 1);
    let no_id = command("", "2026-11-03T11:00:00.000Z", "status", "true").to_string();
    let lines = [
        command("old", "2026-10-31T23:59:59.999Z", "init", "true").to_string(),
        command("a", "2026-11-01T00:00:00.000Z", "init", "true").to_string(),
        command("b", "2026-11-01T09:00:00.000Z", "init", "false").to_string(),
        command("a", "2026-11-01T00:00:00.000Z", "init", "true").to_string(),
        command("c", "2026-11-02T23:59:00.000Z", "/create-gh-pr", "true").to_string(),
        session("d", "2026-11-03T08:00:00.000Z", "claude", "s-2").to_string(),
        session("e", "2026-11-03T08:30:00.000Z", "claude", "s-3").to_string(),
        session("f", "2026-11-03T09:00:00.000Z", "opencode", "s-4").to_string(),
        late,
        no_id.clone(),
        no_id,
        json!({"data": {"baseType": "MessageData", "baseData": {}}}).to_string(),
        "nonsense".to_owned(),
        "{}".to_owned(),
        "{\"time\": \"2026-11".to_owned(),
    ];
    let path = sandbox.path("store.jsonl");
    append(&path, lines.join("\n"));
    path.display().to_string()
}

/// A report over that store since the first of the month.
fn run<'a>(sandbox: &'a Sandbox, flags: &[&str]) -> crate::kit::Ran<'a> {
    let store = store(sandbox);
    let mut args = vec!["report", "--store", &store, "--since", "2026-11-01"];
    args.extend(flags);
    sandbox.run(&args)
}

#[test]
fn the_overview_fits_on_a_screen() {
    run(&Sandbox::new(), &[]).says(str![[r#"
9 events since [TIME]
2 anonymous ids, 4 sessions, 3 active days (in UTC)

command        events  share  success
/commit             3   25 %        -
/push               3   25 %        -
init                3   25 %     50 %
status              2   16 %    100 %
/create-gh-pr       1    8 %    100 %

agent     sessions  events
claude           2       2
opencode         1       1

version  people  events
0.9.1         1       5
0.9.0         0       1

copies of an event, not counted again: 1
--- stderr
telemetry-upload: skipped 2 damaged lines
--- exit 0

"#]]);
}

#[test]
fn one_table_by_command() {
    run(&Sandbox::new(), &["--by", "command"]).says(str![[r#"
command        events  people  sessions  success
/commit             3       1         3        -
/push               3       1         3        -
init                3       1         1     50 %
status              2       1         1    100 %
/create-gh-pr       1       1         1    100 %

copies of an event, not counted again: 1
--- stderr
telemetry-upload: skipped 2 damaged lines
--- exit 0

"#]]);
}

#[test]
fn one_table_by_day() {
    run(&Sandbox::new(), &["--by", "day"]).says(str![[r#"
day         events  people  sessions  success
2026-11-01       2       1         1     50 %
2026-11-02       1       1         1    100 %
2026-11-03       6       2         4    100 %

copies of an event, not counted again: 1
--- stderr
telemetry-upload: skipped 2 damaged lines
--- exit 0

"#]]);
}

#[test]
fn one_table_by_host_as_csv() {
    run(&Sandbox::new(), &["--by", "host", "--csv"]).says(str![[r#"
host,events,people,sessions,succeeded,failed,success_percent
atomic,5,1,1,4,1,80
mytool,3,1,3,0,0,
--- stderr
telemetry-upload: skipped 2 damaged lines
--- exit 0

"#]]);
}

#[test]
fn a_table_of_markdown_is_by_day_unless_said_otherwise() {
    run(&Sandbox::new(), &["--markdown"]).says(str![[r#"
| day | events | people | sessions | success |
| --- | ---: | ---: | ---: | ---: |
| 2026-11-01 | 2 | 1 | 1 | 50 % |
| 2026-11-02 | 1 | 1 | 1 | 100 % |
| 2026-11-03 | 6 | 2 | 4 | 100 % |
--- stderr
telemetry-upload: skipped 2 damaged lines
--- exit 0

"#]]);
}

#[test]
fn json_is_one_object_with_everything() {
    let sandbox = Sandbox::new();
    let (code, stdout, _) = run(&sandbox, &["--json"]).outputs();
    assert_eq!((code, stdout.lines().count()), (0, 1));
    let mut report: Value = serde_json::from_str(&stdout).unwrap();
    let report = report.as_object_mut().unwrap();
    let mut by = report.shift_remove("by").unwrap();
    assert_eq!(
        by["command"],
        json!([
            {"command": "/commit", "events": 3, "people": 1, "sessions": 3, "succeeded": 0, "failed": 0, "successPercent": null},
            {"command": "/push", "events": 3, "people": 1, "sessions": 3, "succeeded": 0, "failed": 0, "successPercent": null},
            {"command": "init", "events": 3, "people": 1, "sessions": 1, "succeeded": 1, "failed": 1, "successPercent": 50},
            {"command": "status", "events": 2, "people": 1, "sessions": 1, "succeeded": 2, "failed": 0, "successPercent": 100},
            {"command": "/create-gh-pr", "events": 1, "people": 1, "sessions": 1, "succeeded": 1, "failed": 0, "successPercent": 100},
        ])
    );
    assert_eq!(
        by["version"][1],
        json!({"version": "0.9.0", "events": 1, "people": 0, "sessions": 0, "succeeded": 0, "failed": 0, "successPercent": null})
    );
    let tables: Vec<String> = by.as_object_mut().unwrap().keys().cloned().collect();
    assert_eq!(tables, ["day", "command", "version", "agent", "host"]);
    assert!(report.shift_remove("until").unwrap().is_string());
    assert!(report.shift_remove("files").unwrap()[0].is_string());
    assert_eq!(
        Value::Object(report.clone()),
        json!({
            "since": "2026-11-01T00:00:00.000Z",
            "lines": 10, "copies": 1, "withoutId": 2, "older": 1, "oldest": "2026-10-31T23:59:59.999Z",
            "damaged": 2, "notCounted": 0, "changed": [], "forgot": false,
            "events": 9, "people": 2, "sessions": 4, "succeeded": 4, "failed": 1,
            "delays": [
                {"delay": "in time", "events": 8, "hoursMax": 0.0},
                {"delay": "late", "events": 1, "hoursMax": 48.0},
            ],
        })
    );
    let (_, stdout, _) = run(&sandbox, &["--json", "--by", "agent"]).outputs();
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let tables: Vec<&String> = report["by"].as_object().unwrap().keys().collect();
    assert_eq!(tables, ["agent"]);
}

#[test]
fn several_stores_are_one_report() {
    let sandbox = Sandbox::new();
    let (first, second) = (store(&sandbox), sandbox.path("second.jsonl"));
    let lines = [
        command("a", "2026-11-01T00:00:00.000Z", "init", "true").to_string(),
        command("z", "2026-11-01T00:00:00.000Z", "init", "true").to_string(),
    ];
    append(&second, lines.join("\n"));
    let second = second.display().to_string();
    let args = [
        "report",
        "--since",
        "2026-11-01",
        "--json",
        "--store",
        &first,
        "--store",
        &second,
    ];
    let (_, stdout, _) = sandbox.run(&args).outputs();
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (&report["events"], &report["copies"]),
        (&json!(10), &json!(2))
    );
}

fn report_of(sandbox: &Sandbox) -> Value {
    let (code, stdout, stderr) = sandbox.run(&["report", "--json"]).outputs();
    assert_eq!((code, stderr.as_str()), (0, ""));
    serde_json::from_str(&stdout).unwrap()
}

#[test]
fn what_was_sent_and_what_waits_is_counted_once() {
    let sandbox = Sandbox::new().line(&event("a")).line(&event("b"));
    sandbox.flush().stdout("sent 2 events").code(0);
    // "b" waits again, as after a crash before the commit; "c" is new.
    let sandbox = sandbox.line(&event("b")).line(&event("c"));
    let before = sandbox.files();
    let report = report_of(&sandbox);
    assert_eq!(
        (&report["events"], &report["lines"]),
        (&json!(3), &json!(4))
    );
    assert_eq!(report["by"]["host"][0]["host"], "atomic");
    assert_eq!(report["by"]["command"][0]["command"], "init");
    assert_eq!(report["by"]["agent"][0]["agent"], "claude");
    assert_eq!(sandbox.files(), before, "a report changes nothing");
    assert_eq!(sandbox.posts(), 1, "and sends nothing");
}

#[test]
fn the_older_copy_of_what_was_sent_is_read_too_and_its_end_is_said() {
    // Of the same moment, so that no midnight comes between them.
    let now = telemetry_upload::world::now();
    let sandbox = Sandbox::new().line(&event_at("a", now));
    sandbox.flush().stdout("sent 1 event").code(0);
    let (sent, older) = (
        sandbox.path("upload/sent.jsonl"),
        sandbox.path("upload/sent.jsonl.1"),
    );
    fs::rename(sent, older).unwrap();
    let sandbox = sandbox.line(&event_at("b", now));
    sandbox.flush().stdout("sent 1 event").code(0);
    assert_eq!(report_of(&sandbox)["forgot"], true);
    sandbox.run(&["report"]).says(str![[r#"
2 events since [TIME]
1 anonymous id, 0 sessions, 1 active day (in UTC)

command  events  share  success
init          2  100 %    100 %

agent   sessions  events
claude         0       2

version  people  events
0.9.1         1       2

upload/sent.jsonl keeps the last 0.5 to 2 MB; a store of the emulator's keeps everything
--- exit 0

"#]]);
}

#[test]
fn a_command_that_a_session_repeats_at_its_end_counts_once() {
    let now = telemetry_upload::world::now().to_rfc3339();
    let line = |event: Value| {
        let mut event = event;
        event["timestamp"] = now.clone().into();
        event.to_string()
    };
    let sandbox = Sandbox::new()
        .line(&line(
            json!({"name": "agent_command", "sessionId": "s-1", "command": "/commit"}),
        ))
        .line(&line(
            json!({"name": "agent_session", "sessionId": "s-1", "commands": ["/commit"]}),
        ))
        .line(&line(
            json!({"name": "agent_session", "sessionId": "s-2", "commands": ["/push", "/commit"]}),
        ));
    let report = report_of(&sandbox);
    let rows = report["by"]["command"].as_array().unwrap();
    let counted: Vec<(&str, u64)> = rows
        .iter()
        .map(|row| {
            (
                row["command"].as_str().unwrap(),
                row["events"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(counted, [("/commit", 2), ("/push", 1)]);
}

#[test]
fn it_is_there_when_telemetry_is_off() {
    let sandbox = Sandbox::new()
        .line(&event("a"))
        .env("DO_NOT_TRACK", "1")
        .env("CI", "true");
    assert_eq!(report_of(&sandbox)["events"], 1);
    let sandbox = sandbox.without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    assert_eq!(report_of(&sandbox)["events"], 1);
}

#[test]
fn what_waits_is_taken_for_what_will_leave() {
    let sandbox = Sandbox::new();
    sandbox.write("config.json", r#"{"allow": ["agentType"]}"#);
    let sandbox = sandbox
        .line(&event("a"))
        .line("{\"name\":\"/home/anna/secret\"}")
        .line("nonsense");
    let (code, stdout, stderr) = sandbox.run(&["report", "--json"]).outputs();
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (code, &report["events"], &report["by"]["command"]),
        (0, &json!(1), &json!([]))
    );
    assert_eq!(report["by"]["agent"][0]["agent"], "claude");
    assert_eq!(stderr, "telemetry-upload: skipped 2 damaged lines\n");
}

#[test]
fn where_nothing_is_it_says_where_it_looked_and_what_to_do() {
    let sandbox = Sandbox::new();
    sandbox.run(&["report"]).says(str![[r#"
No events since [TIME] in
  [HOME]/.local/share/atomic (telemetry-events*.jsonl, upload/sent.jsonl)
A tool records them, or you: telemetry-upload record hello --verbose
--- exit 0

"#]]);
}

#[test]
fn where_everything_is_older_it_says_since_when_to_ask() {
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    let sandbox = Sandbox::new().line(&event_at("a", at));
    sandbox.run(&["report"]).says(str![[r#"
No events since [TIME] in
  [HOME]/.local/share/atomic (telemetry-events*.jsonl, upload/sent.jsonl)
1 older event is there. To see that: telemetry-upload report --since 2026-01-02
--- exit 0

"#]]);
}

#[test]
fn the_next_step_is_about_the_same_events() {
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    let sandbox = Sandbox::new().line(&event_at("a", at));
    let buffer = sandbox.path(crate::kit::BUFFER);
    let other = sandbox.data().join("my data");
    fs::create_dir(&other).unwrap();
    let other = other.display().to_string();
    let flags = ["report", "--app", "my-tool", "--data-dir", &other];
    sandbox.run(&flags).says(str![[r#"
No events since [TIME] in
  [HOME]/.local/share/atomic/my data (telemetry-events*.jsonl, upload/sent.jsonl)
A tool records them, or you: telemetry-upload record hello --verbose --app my-tool --data-dir '[HOME]/.local/share/atomic/my data'
--- exit 0

"#]]);
    fs::copy(buffer, format!("{other}/telemetry-events.jsonl")).unwrap();
    sandbox.run(&flags).says(str![[r#"
No events since [TIME] in
  [HOME]/.local/share/atomic/my data (telemetry-events*.jsonl, upload/sent.jsonl)
1 older event is there. To see that: telemetry-upload report --since 2026-01-02 --app my-tool --data-dir '[HOME]/.local/share/atomic/my data'
--- exit 0

"#]]);
}

#[test]
fn what_is_not_of_the_emulator_is_refused_and_a_mark_before_it_is_not() {
    let sandbox = Sandbox::new();
    let store = sandbox.path("store").display().to_string();
    for content in [&b"\x1f\x8b\x08\0\xff"[..], b"a,b\n1,2\n"] {
        fs::write(&store, content).unwrap();
        let expected = format!("cannot read {store}: no line of it is JSON of the emulator's");
        sandbox
            .run(&["report", "--store", &store])
            .stderr(&expected)
            .code(1);
    }
    let line = command("a", "2026-11-01T00:00:00.000Z", "init", "true");
    fs::write(&store, format!("\u{feff}{line}\n")).unwrap();
    let args = [
        "report",
        "--store",
        &store,
        "--since",
        "2026-11-01",
        "--json",
    ];
    let (code, stdout, stderr) = sandbox.run(&args).outputs();
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (code, &report["events"], stderr.as_str()),
        (0, &json!(1), "")
    );
}

#[test]
fn a_time_that_is_to_come_is_refused() {
    let sandbox = Sandbox::new();
    sandbox
        .run(&["report", "--since", "9999-12-31"])
        .says(str![[r#"
--- stderr
telemetry-upload: there are no events yet of a time that is to come; see --since
--- exit 2

"#]]);
}

#[test]
fn an_empty_store_has_its_own_next_step() {
    let sandbox = Sandbox::new();
    sandbox.write("store.jsonl", "");
    let store = sandbox.path("store.jsonl").display().to_string();
    sandbox.run(&["report", "--store", &store]).says(str![[r#"
No events since [TIME] in
  [HOME]/.local/share/atomic/store.jsonl
The local endpoint writes them: telemetry-upload emulator --store FILE
--- exit 0

"#]]);
    sandbox
        .run(&["report", "--store", &store, "--csv"])
        .says(str![[r#"
day,events,people,sessions,succeeded,failed,success_percent
--- exit 0

"#]]);
}

#[test]
fn what_is_no_store_is_refused_without_waiting_for_it() {
    let sandbox = Sandbox::new();
    let fifo = sandbox.fifo("fifo").display().to_string();
    let folder = sandbox.data().display().to_string();
    let missing = sandbox.path("missing.jsonl").display().to_string();
    let refused = |store: &str, why: &str| {
        let expected = format!("cannot open {store}: {why}");
        sandbox
            .run(&["report", "--store", store])
            .stderr(&expected)
            .code(1);
    };
    refused(&fifo, "it is not a regular file");
    refused(&folder, "it is not a regular file");
    refused(&missing, "No such file or directory (os error 2)");
}

#[test]
fn the_name_of_a_store_need_not_be_a_text() {
    let sandbox = Sandbox::new();
    let path = sandbox.data().join(OsStr::from_bytes(b"odd-\xff.jsonl"));
    append(&path, "");
    for form in ["--json", "--markdown"] {
        let mut command = sandbox.command(&["report", form, "--store"]);
        let output = command.arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(output.stderr, b"");
    }
}

#[test]
fn all_of_time_is_not_too_much_to_ask_for() {
    let sandbox = Sandbox::new().line(&event_at("a", "2026-01-02T03:04:05Z".parse().unwrap()));
    for (form, expected) in [
        (&[][..], "1 event since "),
        (&["--json"], "\"events\":1,"),
        (&["--by", "day"], "2026-01-02 "),
    ] {
        let args = [&["report", "--since", "4294967295w"], form].concat();
        let (code, stdout, stderr) = sandbox.run(&args).outputs();
        assert_eq!((code, stderr.as_str()), (0, ""));
        assert!(stdout.contains(expected), "{stdout}");
    }
}

#[test]
fn wrong_usage_says_what_is_right() {
    let sandbox = Sandbox::new();
    sandbox.run(&["report", "--since", "soon"]).says(str![[r#"
--- stderr
error: invalid value 'soon' for '--since <WHEN>': it is a number of m, h, d or w, as in 7d, or a day, as in 2026-11-01

For more information, try '--help'.
--- exit 2

"#]]);
    sandbox.run(&["report", "--by", "person"]).says(str![[r#"
--- stderr
error: invalid value 'person' for '--by <WHAT>'
  [possible values: day, command, version, agent, host]

  tip: a similar value exists: 'version'

For more information, try '--help'.
--- exit 2

"#]]);
    sandbox.run(&["report", "--json", "--csv"]).says(str![[r#"
--- stderr
error: the argument '--json' cannot be used with '--csv'

Usage: telemetry-upload report --json

For more information, try '--help'.
--- exit 2

"#]]);
}

#[test]
fn names_cannot_order_the_terminal_and_json_stays_json() {
    let sandbox = Sandbox::new();
    let name = "a\u{1b}[31m\nb\u{202e}";
    let line = command("a", "2026-11-01T00:00:00.000Z", name, "true").to_string();
    append(&sandbox.path("store.jsonl"), line);
    let store = sandbox.path("store.jsonl").display().to_string();
    let args = ["report", "--store", &store, "--since", "2026-11-01"];
    sandbox
        .run(&[&args[..], &["--by", "command"]].concat())
        .says(str![[r#"
command                 events  people  sessions  success
a\u{1b}[31m\nb\u{202e}       1       1         1    100 %
--- exit 0

"#]]);
    for form in ["--json", "--csv", "--markdown"] {
        let (_, stdout, _) = sandbox
            .run(&[&args[..], &["--by", "command", form]].concat())
            .outputs();
        assert!(!stdout.contains(['\u{1b}', '\u{202e}']), "{stdout}");
    }
    let (_, stdout, _) = sandbox.run(&[&args[..], &["--json"]].concat()).outputs();
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["by"]["command"][0]["command"], name);
}

/// What a terminal of so many columns shows.
fn on_terminal(sandbox: &Sandbox, columns: u16, args: &[&str]) -> String {
    use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    unlockpt(&terminal).unwrap();
    let size = rustix::termios::Winsize {
        ws_row: 40,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(&terminal, size).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let end = fs::File::options()
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let mut child = sandbox
        .command(args)
        .stdout(end)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut shown = Vec::new();
    // Its end is an error: nobody holds the other end any more.
    let _ = fs::File::from(terminal).read_to_end(&mut shown);
    assert!(child.wait().unwrap().success());
    String::from_utf8(shown).unwrap()
}

#[test]
fn a_terminal_with_room_shows_bars_and_a_narrow_one_does_not() {
    let sandbox = Sandbox::new().env("NO_COLOR", "1").env("TERM", "xterm");
    let store = store(&sandbox);
    let args = ["report", "--store", &store, "--since", "2026-11-01"];
    let wide = on_terminal(&sandbox, 80, &args);
    assert!(
        wide.contains(&format!(
            "init                3   25 %     50 %  {}\r\n",
            "█".repeat(30)
        )),
        "{wide}"
    );
    assert!(!wide.contains('\u{1b}'), "{wide:?}");
    let narrow = on_terminal(&sandbox, 20, &args);
    assert!(
        !narrow.contains('█') && narrow.contains("/create…"),
        "{narrow}"
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let sandbox = Sandbox::new();
    let store = store(&sandbox);
    let Some(bash) = find("bash") else { return };
    let script = "\"$0\" report --store \"$1\" --since 2026-11-01 2>/dev/null | head -n 1; echo \"${PIPESTATUS[0]}\"";
    let output = Command::new(bash)
        .args(["-c", script, BINARY, &store])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", sandbox.home.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "9 events since 2026-11-01 00:00 UTC\n0\n");
}
