//! The straight way, and the ways that end before it begins.

use crate::kit::{BUFFER, Sandbox, event, event_aged};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use telemetry_upload::emulator::Moment;

#[test]
fn events_leave_the_buffer_and_arrive() {
    let sandbox = Sandbox::new().line(&event("a")).line(&event("b"));
    let inode = sandbox.inode();
    sandbox
        .flush()
        .stdout("sent 2 events")
        .posts(1)
        .left("")
        .code(0);
    assert_eq!(sandbox.delivered(), ["a", "b"]);
    assert_eq!(sandbox.inode(), inode);
    sandbox
        .flush()
        .stdout("nothing to send")
        .posts(1)
        .left("")
        .code(0);
}

#[test]
fn the_background_pass_is_silent() {
    let sandbox = Sandbox::new().line(&event("a"));
    sandbox.run(&[]).posts(1).left("").code(0);
    sandbox.run(&[]).posts(1).left("").code(0);
}

#[test]
fn nothing_to_send_makes_no_file_and_no_connection() {
    let sandbox = Sandbox::new();
    sandbox.flush().stdout("nothing to send").code(0);
    sandbox.write(BUFFER, "");
    sandbox.flush().stdout("nothing to send").code(0);
    let names: Vec<String> = sandbox.files().into_keys().collect();
    assert_eq!(
        names,
        [
            ".local/share/atomic/telemetry-events.jsonl",
            ".local/share/atomic/telemetry.json"
        ]
    );
    assert_eq!(*sandbox.server.connections.lock().unwrap(), 0);
}

#[test]
fn a_dry_run_says_what_it_would_do_and_changes_nothing() {
    let sandbox = Sandbox::new()
        .line(&event("a"))
        .line("not json")
        .line(&event_aged("old", TimeDelta::days(31)));
    let before = sandbox.files();
    sandbox
        .run(&["--flush", "--dry-run"])
        .stdout("would send 1 event, dropped 1 malformed and 1 too old")
        .posts(0)
        .code(0);
    assert_eq!(sandbox.files(), before);
}

#[test]
fn the_json_summary_accounts_for_every_line() {
    let sandbox = Sandbox::new().line(&event("a")).line("not json");
    let (code, stdout, stderr) = sandbox.run(&["--json"]).outputs();
    let summary: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, stderr.as_str(), stdout.lines().count()), (0, "", 1));
    assert_eq!(summary["seen"], 2);
    assert_eq!(summary["delivered"], 1);
    assert_eq!(summary["dropped"]["malformed"], 1);
    assert_eq!(summary["kept"], 0);
    assert_eq!(summary["exit"], 0);
}

#[test]
fn several_buffers_travel_in_one_pass() {
    let sandbox = Sandbox::new().line(&event("a"));
    sandbox.write("telemetry-events-claude.jsonl", event("b") + "\n");
    sandbox.write("telemetry-events.jsonl.bak", event("not-a-buffer") + "\n");
    sandbox
        .flush()
        .stdout("sent 2 events in 2 requests")
        .posts(2)
        .code(0);
    assert_eq!(
        BTreeSet::from_iter(sandbox.delivered()),
        BTreeSet::from(["a".into(), "b".into()])
    );
    assert_eq!(sandbox.read("telemetry-events-claude.jsonl"), "");
}

#[test]
fn ten_thousand_events_arrive_exactly_once_in_a_hundred_requests() {
    let sandbox = Sandbox::new();
    let ids: Vec<String> = (0..10_000).map(|n| format!("id-{n:05}")).collect();
    sandbox.append(ids.iter().map(|id| event(id) + "\n").collect::<String>());
    let inode = sandbox.inode();
    sandbox
        .flush()
        .stdout("sent 10,000 events in 100 requests")
        .posts(100)
        .left("")
        .code(0);
    // Several requests are under way at once, and come in any order.
    let mut delivered = sandbox.delivered();
    delivered.sort();
    assert_eq!(delivered, ids);
    assert!(
        sandbox
            .requests()
            .iter()
            .all(|request| request.len() == 100)
    );
    assert_eq!(sandbox.inode(), inode);
}

/// The most memory an uploader took while the server read a request of its.
fn memory_peak_kb(content: &str, args: &[&str], line: &str, posts: usize) -> u64 {
    let peak_kb: Arc<Mutex<u64>> = Arc::default();
    let seen = peak_kb.clone();
    let sandbox = Sandbox::acting("", move |moment, count, client| {
        if moment == Moment::Judged && (count % 100 == 0 || count == posts) {
            *seen.lock().unwrap() = client.memory_peak_kb();
        }
    });
    sandbox.append(content);
    sandbox.run(args).stdout(line).posts(posts).left("").code(0);
    let peak_kb = *peak_kb.lock().unwrap();
    assert!(peak_kb > 1000);
    peak_kb
}

#[test]
fn a_backlog_of_fifty_megabytes_does_not_show_in_memory() {
    let padding = "x-".repeat(50);
    let line = event("id").replace('}', &format!(",\"plugin\":\"{padding}\"}}\n"));
    let content = line.repeat(150_000);
    assert!(
        content.len() > 50_000_000 && content.len() < 60_000_000,
        "{} bytes",
        content.len()
    );
    for (lanes, mb_max) in [("1", 16), ("20", 32)] {
        // Over the cap the oldest would go; this is about memory.
        let args = ["--flush", "--buffer-bytes", "100000000", "--lanes", lanes];
        let line = "sent 150,000 events in 1,500 requests";
        let peak_kb = memory_peak_kb(&content, &args, line, 1500);
        assert!(peak_kb < mb_max * 1024, "{lanes} lanes: {peak_kb} KB");
    }
}

#[test]
fn long_lines_that_are_only_dropped_do_not_show_in_memory_either() {
    let malformed = "x".repeat(30_000) + "\n";
    let old =
        event_aged("old", TimeDelta::days(31)).replace('}', &format!(",\"blob\":\"{malformed}"));
    let old = old.trim_end().to_owned() + "\"}\n";
    let content = malformed.repeat(700) + &old.repeat(700) + &event("a") + "\n";
    let line = "sent 1 event, dropped 700 malformed and 700 too old";
    let peak_kb = memory_peak_kb(&content, &["--flush"], line, 1);
    assert!(peak_kb < 16 * 1024, "{peak_kb} KB");
}

#[test]
fn an_event_of_ten_days_ago_arrives_with_its_true_time() {
    let now: DateTime<Utc> = telemetry_upload::world::now();
    let sandbox = Sandbox::new()
        .line(&event_aged("ten", TimeDelta::days(10)))
        .line(&event_aged("thirty-one", TimeDelta::days(31)))
        .line(&event_aged("tomorrow", TimeDelta::days(-1)));
    sandbox
        .flush()
        .stdout("sent 2 events, dropped 1 too old")
        .posts(1)
        .left("")
        .code(0);
    assert_eq!(sandbox.delivered(), ["ten", "tomorrow"]);
    let check = |envelope: &Value, age: TimeDelta, adjusted: &str| {
        let properties = &envelope["data"]["baseData"]["properties"];
        let time = |value: &Value| value.as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
        assert!((time(&properties["timestamp"]) - (now - age)).abs() < TimeDelta::minutes(1));
        assert!((time(&envelope["time"]) - now).abs() < TimeDelta::minutes(1));
        assert_eq!(properties["time_adjusted"], adjusted);
    };
    check(&sandbox.envelopes()[0], TimeDelta::days(10), "late");
    check(&sandbox.envelopes()[1], TimeDelta::days(-1), "early");
}

#[test]
fn what_was_sent_is_kept_as_a_local_copy_unless_switched_off() {
    let sandbox = Sandbox::new().line(&event("a"));
    sandbox.flush().stdout("sent 1 event").left("").code(0);
    let copy: Value = serde_json::from_str(&sandbox.read("upload/sent.jsonl")).unwrap();
    assert_eq!(copy, sandbox.envelopes()[0]);
    let quiet = Sandbox::new().line(&event("a"));
    quiet.write("config.json", r#"{"sentLog": false}"#);
    quiet.flush().stdout("sent 1 event").left("").code(0);
    assert!(!quiet.path("upload/sent.jsonl").exists());
}

#[test]
fn our_files_are_private_whatever_the_umask() {
    let sandbox = Sandbox::new().line(&event("a")).line("not json");
    let status = std::process::Command::new("sh")
        .args(["-c", "umask 000; exec \"$0\"", crate::kit::BINARY])
        .env_clear()
        .envs(&sandbox.env)
        .status()
        .unwrap();
    assert!(status.success());
    let ours: Vec<(String, u32)> = sandbox
        .files()
        .into_iter()
        .filter(|(name, _)| name.contains("/upload/"))
        .map(|(name, (mode, _))| (name, mode))
        .collect();
    assert!(ours.len() >= 5, "{ours:?}");
    assert!(ours.iter().all(|(_, mode)| *mode == 0o600), "{ours:?}");
    let folder = std::fs::metadata(sandbox.path("upload")).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_log_line_and_the_state_say_how_the_pass_ended() {
    let sandbox = Sandbox::new().line(&event("a"));
    sandbox.run(&[]).left("").code(0);
    let log = sandbox.read("upload/upload.log");
    assert!(log.ends_with("Z exit 0 sent 1 event\n"), "{log}");
    assert_eq!(sandbox.state("totals")["delivered"], 1);
    assert_eq!(sandbox.state("last")["exit"], 0);
}
