//! What the program says of itself is true: about what was rejected, what no upload reads, who is at work,
//! what went wrong, and by which limits it judges.

use crate::kit::{BUFFER, Sandbox, append, event, event_aged, events};
use chrono::TimeDelta;
use serde_json::{Value, json};
use snapbox::str;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use telemetry_upload::emulator::Moment;
use telemetry_upload::holder;
use telemetry_upload::paths::Paths;

const BAD: &str = "APPLICATIONINSIGHTS_CONNECTION_STRING";

fn status_json(sandbox: &Sandbox) -> Value {
    let (_, stdout, _) = sandbox.run(&["status", "--json"]).outputs();
    serde_json::from_str(&stdout).unwrap()
}

/// Whether a check of `doctor` says this, and how it came out.
fn doctor_says(sandbox: &Sandbox, words: &str) -> Option<String> {
    let (_, stdout, _) = sandbox.run(&["doctor", "--json"]).outputs();
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let said = |check: &&Value| check["words"].as_str().unwrap().contains(words);
    let found = checks.iter().find(said)?;
    Some(found["result"].as_str().unwrap().to_owned())
}

#[test]
fn lines_that_were_rejected_lately_are_not_all_well() {
    let sandbox = Sandbox::new().line("not json").line("[]").line(&event("a"));
    sandbox
        .flush()
        .stdout("sent 1 event, dropped 2 malformed")
        .code(0);
    sandbox.run(&["status"]).begins(str![[r#"
2 lines were rejected in the last 7 days: 2 malformed.
Next: to see what and why, run: telemetry-upload inspect --rejected
--- exit 0

"#]]);
    // A week later that is over.
    let state = sandbox.read("upload/state.json");
    let mut state: Value = serde_json::from_str(&state).unwrap();
    let days = state["days"].as_object().unwrap().clone();
    let day = days.values().next().unwrap().clone();
    state["days"] = json!({"2026-11-20": day});
    sandbox.write("upload/state.json", state.to_string());
    sandbox.run(&["status"]).begins(str![[r#"
All is well; nothing waits.
--- exit 0

"#]]);
}

#[test]
fn a_line_the_server_refused_is_rejected_too_and_an_old_event_is_not() {
    let items =
        json!([{"index": 0, "statusCode": 400, "message": "103: Field 'x' on type 'y' is bad."}]);
    let sandbox = Sandbox::scripted(&json!({"items": items}).to_string())
        .line(&event("a"))
        .line(&event("b"))
        .line(&event_aged("old", TimeDelta::days(40)));
    let sent = "sent 1 event, dropped 1 refused by the server and 1 too old";
    sandbox.flush().stdout(sent).code(0);
    sandbox.run(&["status"]).begins(str![[r#"
1 line was rejected in the last 7 days: 1 refused by the server.
Next: to see what and why, run: telemetry-upload inspect --rejected
--- exit 0

"#]]);
}

#[test]
fn a_buffer_that_was_renamed_is_named_with_what_to_do() {
    let sandbox = Sandbox::new();
    sandbox.write("telemetry-events.jsonl.1", event("a") + "\n");
    sandbox.write("telemetry-events.jsonl.2", "");
    sandbox.write("telemetry-events.jsonl.lock", "4711\n");
    sandbox.run(&["status"]).begins(str![[r#"
A buffer was renamed, and no upload reads it: telemetry-events.jsonl.1.
Next: to have it sent: mv -n [HOME]/.local/share/atomic/telemetry-events.jsonl.1 [HOME]/.local/share/atomic/telemetry-events-renamed-1.jsonl (unpack it first if it is compressed); if not, delete it
--- exit 0

"#]]);
    assert_eq!(
        status_json(&sandbox)["renamed"],
        json!(["telemetry-events.jsonl.1"])
    );
    let words = "telemetry-events.jsonl.1: it was renamed, and no upload reads it";
    assert_eq!(doctor_says(&sandbox, words).as_deref(), Some("warning"));
    // What is advised works.
    fs::rename(
        sandbox.path("telemetry-events.jsonl.1"),
        sandbox.path("telemetry-events-renamed-1.jsonl"),
    )
    .unwrap();
    sandbox.flush().stdout("sent 1 event").code(0);
    assert_eq!(doctor_says(&sandbox, "it was renamed"), None);
}

#[test]
fn the_time_left_is_that_of_the_uploader_at_work() {
    let (sandbox, gate) = Sandbox::gated();
    let sandbox = sandbox.line(&event("a"));
    let child = sandbox.spawn(&["--deadline-s", "3600"]);
    sandbox.wait_for_post();
    let (code, stdout, _) = sandbox.run(&["status"]).outputs();
    let first = stdout.lines().next().unwrap();
    assert_eq!(code, 0);
    assert!(first.ends_with(", at most 59 minutes left."), "{first}");
    let note = fs::read_to_string(sandbox.path("upload/uploader.lock")).unwrap();
    assert!(note.contains(" until "), "{note}");
    let (_, stdout, _) = sandbox.run(&["doctor"]).outputs();
    assert!(stdout.contains(", at most 59 minutes left\n"), "{stdout}");
    gate.open();
    sandbox.wait(child);
}

#[test]
fn a_detached_pass_that_waits_for_further_events_is_running() {
    let sandbox = Sandbox::new().line(&event("a"));
    sandbox.write("config.json", r#"{"limits":{"gatherS":100}}"#);
    sandbox.run(&["--detach"]).code(0);
    sandbox.wait_for_empty_buffer();
    let detached = sandbox.detached()[0];
    let expected = format!(
        "background upload (pid {detached}) is running, and sends what is recorded in at most 1 minute"
    );
    let look = || {
        let (code, stdout, _) = sandbox.run(&["status"]).outputs();
        assert_eq!(code, 0);
        stdout.lines().next().unwrap().to_owned()
    };
    // It may still be letting the uploader's lock go, and writing down who it is.
    let mut looks = std::iter::repeat_with(look).take(1000);
    let first = looks.find(|first| first.starts_with("A background upload (pid"));
    let first = first.unwrap();
    assert_eq!(first, format!("A {expected}."));
    assert_eq!(
        doctor_says(&sandbox, &format!("a {expected}")).as_deref(),
        Some("ok")
    );
    let pid = rustix::process::Pid::from_raw(detached).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    sandbox.wait_for_quiet();
    sandbox.run(&["status"]).begins(str![[r#"
All is well; nothing waits.
--- exit 0

"#]]);
}

#[test]
fn only_the_command_itself_makes_wrong_usage_silent() {
    let sandbox = Sandbox::new();
    for loud in [
        "purge --app hook --yess",
        "status --app record --bogus",
        "--app hook --bogus",
        "--data-dir record --flush --bogus",
        "inspect record",
        "purge --detach",
    ] {
        let words: Vec<&str> = loud.split(' ').collect();
        let (code, stdout, stderr) = sandbox.run(&words).outputs();
        assert_eq!((code, stdout.as_str()), (2, ""), "{loud}");
        assert!(stderr.starts_with("error: "), "{loud}: {stderr}");
    }
    for silent in [
        "hook --bogus",
        "record a b c",
        "--app x record y",
        "--app hook hook --bogus",
        "--detach --bogus",
        "--app x --detach --age-days many",
        "--newer value hook",
    ] {
        let words: Vec<&str> = silent.split(' ').collect();
        let outputs = sandbox.run(&words).outputs();
        assert_eq!(outputs, (0, String::new(), String::new()), "{silent}");
    }
}

#[test]
fn a_look_at_the_lock_is_no_uploader_at_work() {
    let sandbox = Sandbox::new().line(&event("first"));
    sandbox.flush().stdout("sent 1 event").code(0);
    let paths = Paths::find("atomic", Some(&sandbox.data()), &sandbox.env).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let looks: Vec<_> = (0..3)
        .map(|_| {
            let (paths, is_over) = (paths.clone(), is_over.clone());
            std::thread::spawn(move || {
                let mut others = 0;
                while !is_over.load(Ordering::Relaxed) {
                    // Of the three, none is mistaken for an uploader by another.
                    others += usize::from(
                        holder::find(&paths).is_some_and(|one| one.pid == Some(std::process::id())),
                    );
                }
                others
            })
        })
        .collect();
    for n in 0..60 {
        append(&sandbox.path(BUFFER), event(&format!("e{n}")) + "\n");
        sandbox.flush().stdout("sent 1 event").code(0);
    }
    is_over.store(true, Ordering::Relaxed);
    for look in looks {
        assert_eq!(look.join().unwrap(), 0);
    }
}

#[test]
fn limits_hold_without_a_connection_string() {
    let sandbox = Sandbox::new().without_env(BAD);
    sandbox.write(
        "config.json",
        r#"{"limits":{"lineBytes":1024,"ageDays":3,"bufferBytes":100000,"deadlineS":60}}"#,
    );
    let long = format!("text={}", "x".repeat(2000));
    let (code, _, stderr) = sandbox
        .run(&["record", "a", "--prop", &long, "--verbose"])
        .outputs();
    assert_eq!(code, 0);
    assert!(stderr.ends_with(" bytes: 1024 are the most\n"), "{stderr}");
    assert_eq!(sandbox.read(BUFFER), "");
    let sandbox = sandbox.line(&event_aged("old", TimeDelta::days(4)));
    sandbox.append(format!("{}\n", "y".repeat(1025)));
    sandbox.append(format!("{}\n", "z".repeat(1024)));
    let (_, stdout, _) = sandbox.run(&["inspect"]).outputs();
    let lengths: Vec<usize> = stdout.lines().skip(2).map(str::len).collect();
    assert_eq!(lengths, [1024, 1024]);
    let (_, stdout, _) = sandbox.run(&["status"]).outputs();
    assert!(stdout.contains("what is over 3 days old"), "{stdout}");
    assert!(!stdout.contains("a buffer is over"), "{stdout}");
    sandbox.append(events(0..600).concat());
    let (_, stdout, _) = sandbox.run(&["status"]).outputs();
    assert!(stdout.contains("a buffer is over 100 KB"), "{stdout}");
    fs::create_dir_all(sandbox.path("upload")).unwrap();
    let since = telemetry_upload::world::now() - TimeDelta::seconds(80);
    let note = format!("pid 4711 since {}\n", since.to_rfc3339());
    sandbox.write("upload/uploader.lock", note);
    let file = fs::File::open(sandbox.path("upload/uploader.lock")).unwrap();
    file.lock().unwrap();
    let words = "longer than the 60 seconds it may take";
    assert_eq!(doctor_says(&sandbox, words).as_deref(), Some("problem"));
}

#[test]
fn lines_up_to_the_limit_are_recorded() {
    let sandbox = Sandbox::new().dated();
    sandbox.write("config.json", r#"{"limits":{"lineBytes":65536}}"#);
    let long = format!("text={}", "x".repeat(40_000));
    sandbox.run(&["record", "a", "--prop", &long]).code(0);
    assert_eq!(sandbox.recorded().len(), 1);
}

#[test]
fn what_a_round_kept_stays_counted_when_its_buffer_cannot_be_opened_again() {
    let data = Arc::new(std::sync::Mutex::new(None::<std::path::PathBuf>));
    let later = data.clone();
    let kept = json!([
        {"index": 0, "statusCode": 500, "message": "x"},
        {"index": 1, "statusCode": 500, "message": "x"},
    ]);
    let script = format!("{}\n", json!({"items": kept}));
    let sandbox = Sandbox::acting(&script, move |moment, count, _| {
        // The other buffer is being sent: a second name of the first one, and news in the other.
        if moment == Moment::Judged && count == 2 {
            let data = later.lock().unwrap().clone().unwrap();
            let first = data.join("telemetry-events-a.jsonl");
            fs::hard_link(first, data.join("second-name")).unwrap();
            append(&data.join(BUFFER), event("news") + "\n");
        }
    });
    *data.lock().unwrap() = Some(sandbox.data());
    let lines: String = ["a", "b", "c"].map(|id| event(id) + "\n").concat();
    append(&sandbox.path("telemetry-events-a.jsonl"), lines);
    let sandbox = sandbox.line(&event("d"));
    let (_, stdout, _) = sandbox
        .run(&["--flush", "--json", "--attempts", "1", "--pause-ms", "1"])
        .outputs();
    let summary: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(sandbox.delivered(), ["c", "d", "news"]);
    let count = |key: &str| summary[key].as_u64().unwrap();
    assert_eq!(
        (count("seen"), count("delivered"), count("kept")),
        (5, 3, 2),
        "{stdout}"
    );
    let problem = summary["problems"][0].as_str().unwrap();
    assert!(problem.contains("more than one hard link"), "{problem}");
}

#[test]
fn a_scheduled_upload_says_once_what_the_user_has_to_mend() {
    let sandbox = Sandbox::new().line(&event("a"));
    let good = sandbox.env[BAD].clone();
    let sandbox = sandbox.env(BAD, "nonsense");
    sandbox.run(&[]).says(str![[r#"
--- stderr
telemetry-upload: bad connection string: the connection string has a part without `=`; a right one: InstrumentationKey=<guid>;IngestionEndpoint=https://<region>.in.applicationinsights.azure.com/
--- exit 78

"#]]);
    sandbox.run(&[]).says(str![[r#"
--- exit 78

"#]]);
    sandbox.run(&["--detach"]).code(0);
    let (code, stdout, _) = sandbox.run(&["--json"]).outputs();
    assert_eq!(code, 78);
    assert!(stdout.contains(r#""ending":"misconfigured""#), "{stdout}");
    // Another problem is said.
    let sandbox = sandbox.env(BAD, "");
    let (code, stdout, stderr) = sandbox.run(&[]).outputs();
    assert_eq!((code, stdout.as_str()), (78, ""));
    assert!(
        stderr.starts_with("telemetry-upload: no connection string: "),
        "{stderr}"
    );
    sandbox.run(&[]).code(78);
    // And the same one, once it had been mended.
    let sandbox = sandbox.env(BAD, &good);
    sandbox.run(&[]).left("").code(0);
    let sandbox = sandbox.env(BAD, "").line(&event("b"));
    let (_, _, stderr) = sandbox.run(&[]).outputs();
    assert!(
        stderr.starts_with("telemetry-upload: no connection string: "),
        "{stderr}"
    );
    sandbox.run(&[]).code(78);
}

#[test]
fn a_scheduled_upload_that_the_endpoint_refuses_says_so_once_and_an_outage_never() {
    let refused = "{\"status\": 403, \"times\": 2}\n{\"status\": 401, \"times\": \"forever\"}\n";
    let sandbox = Sandbox::scripted(refused).line(&event("a"));
    let anew = || {
        // As an hour later.
        let mut state: Value = serde_json::from_str(&sandbox.read("upload/state.json")).unwrap();
        state["notBefore"] = Value::Null;
        sandbox.write("upload/state.json", state.to_string());
        append(&sandbox.path(BUFFER), event("b") + "\n");
        sandbox.run(&[])
    };
    let first = sandbox.run(&[]).outputs();
    assert_eq!((first.0, first.1.as_str()), (78, ""));
    assert!(
        first.2.contains("the endpoint refuses us (403)"),
        "{}",
        first.2
    );
    assert_eq!(first.2.lines().count(), 1);
    anew().code(78);
    let other = anew().outputs();
    assert!(
        other.2.contains("the endpoint refuses us (401)"),
        "{}",
        other.2
    );
    anew().code(78);
    let down = Sandbox::scripted("{\"status\": 503, \"times\": \"forever\"}\n").line(&event("a"));
    down.run(&["--attempts", "1"]).code(75);
}

#[test]
fn a_problem_that_comes_before_the_lock_is_said_once_too() {
    let sandbox = Sandbox::new().line(&event("a"));
    fs::create_dir_all(sandbox.path("upload/uploader.lock")).unwrap();
    let (code, _, stderr) = sandbox.run(&[]).outputs();
    assert_eq!(code, 1);
    assert!(stderr.contains("uploader.lock"), "{stderr}");
    sandbox.run(&[]).code(1);
}

#[test]
fn a_buffer_whose_name_is_not_utf_8_is_named() {
    let sandbox = Sandbox::new();
    let name = OsStr::from_bytes(b"telemetry-events-\xff.jsonl");
    fs::write(sandbox.data().join(name), event("a") + "\n").unwrap();
    sandbox.flush().says(str![[r#"
--- stderr
telemetry-upload: cannot send telemetry-events-�.jsonl: its name is not UTF-8; rename it to telemetry-events-NAME.jsonl
--- exit 1

"#]]);
    sandbox.run(&["status"]).begins(str![[r#"
Something is in the way: cannot send telemetry-events-�.jsonl: its name is not UTF-8; rename it to telemetry-events-NAME.jsonl.
Next: mend it; telemetry-upload doctor looks closer
--- exit 1

"#]]);
    let words = "its name is not UTF-8";
    assert_eq!(doctor_says(&sandbox, words).as_deref(), Some("problem"));
    let (code, _, stderr) = sandbox.run(&["--dry-run"]).outputs();
    assert_eq!(code, 1);
    assert!(stderr.contains(words), "{stderr}");
    append(&sandbox.path(BUFFER), event("b") + "\n");
    sandbox.flush().outputs();
    assert_eq!(sandbox.delivered(), ["b"]);
}

#[test]
fn a_buffer_with_the_longest_name_there_may_be_is_sent_and_not_twice() {
    let name = format!("telemetry-events-{}.jsonl", "x".repeat(255 - 23));
    let sandbox = Sandbox::scripted("{}\n{\"status\": 429, \"times\": \"forever\"}\n");
    let lines = events(0..4).concat();
    append(&sandbox.path(&name), lines);
    let some = [
        "--flush",
        "--request-events",
        "2",
        "--attempts",
        "1",
        "--lanes",
        "1",
    ];
    sandbox
        .run(&some)
        .stdout("sent 2 events in 2 requests, kept 2 for the next pass: the server asks for a pause (429)")
        .code(75);
    let left = sandbox.run(&["--dry-run", "--json"]).outputs().1;
    let left: Value = serde_json::from_str(&left).unwrap();
    assert_eq!(left["seen"], 2);
    assert_eq!(doctor_says(&sandbox, &name).as_deref(), Some("ok"));
}

#[test]
fn the_cursor_of_a_buffer_that_is_gone_is_removed_and_one_that_comes_back_is_not_sent_twice() {
    let sandbox = Sandbox::scripted("{}\n{}\n{\"status\": 429}\n").line(&event("x"));
    let (gone, away) = ("telemetry-events-gone.jsonl", "telemetry-events-away.jsonl");
    append(&sandbox.path(gone), event("a") + "\n");
    append(&sandbox.path(away), events(0..2).concat());
    // Sorted: away, two batches of which the second fails; gone; and the usual one.
    let flush = [
        "--flush",
        "--request-events",
        "1",
        "--attempts",
        "1",
        "--lanes",
        "1",
    ];
    sandbox.run(&flush).outputs();
    let cursor = |name: &str| sandbox.path(&format!("upload/{name}.cursor"));
    sandbox.flush().outputs();
    let delivered = sandbox.delivered();
    assert!(cursor(gone).exists());
    fs::remove_file(sandbox.path(gone)).unwrap();
    // Delivered in part, then moved away by the user, and later brought back.
    append(&sandbox.path(away), events(2..40).concat());
    let reader = fs::File::open(sandbox.path(away)).unwrap();
    sandbox.flush().outputs();
    assert!(!cursor(gone).exists());
    fs::rename(sandbox.path(away), sandbox.path("moved")).unwrap();
    append(&sandbox.path(BUFFER), event("y") + "\n");
    sandbox.flush().outputs();
    assert!(cursor(away).exists());
    fs::rename(sandbox.path("moved"), sandbox.path(away)).unwrap();
    drop(reader);
    sandbox.flush().outputs();
    assert_eq!(sandbox.delivered().len(), delivered.len() + 38 + 1);
}

#[test]
fn a_hole_of_zero_bytes_costs_no_event() {
    let sandbox = Sandbox::new();
    sandbox.write("config.json", r#"{"limits":{"bufferBytes":100000}}"#);
    let file = fs::File::create(sandbox.path(BUFFER)).unwrap();
    // A truncation under a producer that had not opened the file for append.
    file.write_all_at((event("a") + "\n").as_bytes(), 5_000_000)
        .unwrap();
    let (_, stdout, _) = sandbox.run(&["status"]).outputs();
    assert!(!stdout.contains("a buffer is over"), "{stdout}");
    sandbox.flush().stdout("sent 1 event").left("").code(0);
    // And really over it, the hole notwithstanding.
    let lines = events(0..600);
    file.write_all_at(lines.concat().as_bytes(), 5_000_000)
        .unwrap();
    let (_, stdout, _) = sandbox.run(&["status"]).outputs();
    assert!(stdout.contains("a buffer is over"), "{stdout}");
    let bytes = lines[599].len();
    let kept = 90_000 / bytes;
    sandbox.flush().outputs();
    assert_eq!(sandbox.delivered().len(), 1 + kept);
}

#[test]
fn status_names_a_ca_file_that_cannot_be_used() {
    let sandbox = Sandbox::new().line(&event("a"));
    sandbox.write("config.json", r#"{"caFile":"nope.pem"}"#);
    let (code, stdout, _) = sandbox.run(&["status"]).outputs();
    assert!(stdout.contains("cannot read the CA file"), "{stdout}");
    assert_eq!(code, 78);
}

#[test]
fn limits_that_are_no_object_are_an_error() {
    let sandbox = Sandbox::new().line(&event("a"));
    sandbox.write("config.json", r#"{"limits":[1,2000,3000]}"#);
    let (code, _, stderr) = sandbox.run(&["--flush"]).outputs();
    assert!(stderr.contains("cannot understand"), "{stderr}");
    assert_eq!(code, 78);
}
