//! The limits, to the byte and the second, and what odd lines become.

use crate::kit::{BUFFER, Sandbox, event, event_aged, event_at, events};
use chrono::TimeDelta;
use serde_json::Value;

/// One line in the buffer, one flush: what the summary says.
fn check(content: impl AsRef<[u8]>, line: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.append(content);
    sandbox.flush().stdout(line).left("").code(0);
    sandbox
}

fn reasons(sandbox: &Sandbox) -> Vec<String> {
    let rejected = sandbox.read("upload/rejected.jsonl");
    let record = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    rejected
        .lines()
        .map(|line| {
            format!(
                "{}: {}",
                record(line)["reason"].as_str().unwrap(),
                record(line)["detail"].as_str().unwrap()
            )
        })
        .collect()
}

#[test]
fn a_hundred_and_one_events_are_two_requests() {
    let lines = |count: usize| {
        (0..count)
            .map(|n| event(&n.to_string()) + "\n")
            .collect::<String>()
    };
    check(lines(100), "sent 100 events");
    check(lines(101), "sent 101 events in 2 requests");
}

#[test]
fn a_request_is_full_at_exactly_its_bytes() {
    let sandbox = Sandbox::new().line(&event("a")).line(&event("b"));
    sandbox.flush().stdout("sent 2 events").code(0);
    let bytes = sandbox.server.exchanges.lock().unwrap()[0].body.len();
    for (limit, line) in [
        (bytes, "sent 2 events"),
        (bytes - 1, "sent 2 events in 2 requests"),
    ] {
        let sandbox = Sandbox::new().line(&event("a")).line(&event("b"));
        sandbox
            .run(&["--flush", "--request-bytes", &limit.to_string()])
            .stdout(line)
            .code(0);
    }
}

#[test]
fn a_line_of_32_kib_is_sent_and_one_byte_more_is_rejected() {
    let padded = |length: usize| {
        let line = event("a").replace('}', ",\"blob\":\"");
        line.clone() + &"x".repeat(length - line.len() - 2) + "\"}\n"
    };
    check(padded(32 * 1024), "sent 1 event; left out: blob (1)");
    let sandbox = check(padded(32 * 1024 + 1), "sent 0 events, dropped 1 too long");
    assert_eq!(reasons(&sandbox).len(), 1);
}

#[test]
fn an_overlong_line_does_not_hide_the_next() {
    let sandbox = check(
        "x".repeat(3_000_000) + "\n" + &event("a") + "\n",
        "sent 1 event, dropped 1 too long",
    );
    assert_eq!(sandbox.delivered(), ["a"]);
}

#[test]
fn an_event_just_under_30_days_old_is_sent_and_one_just_over_is_dropped() {
    check(
        event_aged("a", TimeDelta::days(30) - TimeDelta::seconds(60)) + "\n",
        "sent 1 event",
    );
    check(
        event_aged("a", TimeDelta::days(30) + TimeDelta::seconds(1)) + "\n",
        "sent 0 events, dropped 1 too old",
    );
}

#[test]
fn odd_lines_that_hold_an_event_are_tolerated() {
    let a = event("a");
    let with_prefix = |prefix: &[u8]| [prefix, a.as_bytes(), b"\n"].concat();
    check(a.clone() + "\r\n", "sent 1 event");
    check("\n  \n\t\n".to_owned() + &a + "\n\n\n", "sent 1 event");
    check(with_prefix("\u{feff}".as_bytes()), "sent 1 event");
    check(with_prefix(&vec![0; 70_000]), "sent 1 event");
    check([a.as_bytes(), &[0; 100], b"\n"].concat(), "sent 1 event");
    let invalid = a
        .replace("init", "in#it")
        .replace('#', "\u{1}")
        .into_bytes();
    let invalid: Vec<u8> = invalid
        .iter()
        .map(|byte| if *byte == 1 { 0xff } else { *byte })
        .collect();
    let sandbox = check([&invalid[..], b"\n"].concat(), "sent 1 event");
    assert_eq!(
        sandbox.envelopes()[0]["data"]["baseData"]["properties"]["command"],
        "in\u{fffd}it"
    );
    let sandbox = check(a.replace("init", "in\\ud800it") + "\n", "sent 1 event");
    assert_eq!(
        sandbox.envelopes()[0]["data"]["baseData"]["properties"]["command"],
        "in\u{fffd}it"
    );
}

#[test]
fn lines_without_an_event_are_rejected_with_the_reason() {
    let check_rejected = |content: &str, reason: &str| {
        let sandbox = check(
            content.to_owned() + "\n",
            "sent 0 events, dropped 1 malformed",
        );
        assert_eq!(reasons(&sandbox), [reason], "{content:?}");
    };
    check_rejected("not json", "malformed: not JSON");
    check_rejected("[1,2]", "malformed: not a JSON object");
    check_rejected("42", "malformed: not a JSON object");
    check_rejected(
        "{\"timestamp\":\"2026-11-21T00:00:00Z\"}",
        "malformed: has no event name",
    );
    check_rejected("{\"eventType\":7}", "malformed: has no event name");
    let bomb = format!(
        "{{\"eventType\":\"x\",\"a\":{}1{}}}",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    check_rejected(&bomb, "malformed: nested too deeply");
}

#[test]
fn a_torn_fragment_glued_to_the_next_line_costs_only_itself() {
    let fragment = &event("torn")[..60];
    let sandbox = check(
        fragment.to_owned() + &event("good") + "\n",
        "sent 1 event, dropped 1 torn",
    );
    assert_eq!(sandbox.delivered(), ["good"]);
}

#[test]
fn a_fresh_tail_without_a_newline_is_left_alone_in_the_background() {
    let sandbox = Sandbox::new()
        .line(&event("a"))
        .line(&event("a"))
        .line(&event("a"));
    let tail = &event("b")[..50];
    sandbox.append(tail);
    sandbox.run(&[]).posts(1).left(tail).code(0);
    // Nothing but the tail: no request, and above all no spinning.
    sandbox.run(&[]).posts(1).left(tail).code(0);
    sandbox.append(&event("b")[50..]);
    sandbox.append("\n");
    sandbox.run(&[]).posts(2).left("").code(0);
    assert_eq!(sandbox.delivered(), ["a", "a", "a", "b"]);
}

#[test]
fn a_stale_tail_is_sent_if_it_is_whole_and_rejected_if_it_is_torn() {
    let whole = Sandbox::new();
    whole.append(event("a"));
    whole.age_buffer(61);
    whole.run(&[]).posts(1).left("").code(0);
    assert_eq!(whole.delivered(), ["a"]);

    let torn = Sandbox::new();
    torn.append(&event("a")[..50]);
    torn.age_buffer(61);
    torn.run(&[]).posts(0).left("").code(0);
    assert_eq!(reasons(&torn), ["torn: torn"]);
}

#[test]
fn a_flush_takes_the_tail_at_once() {
    check(event("a"), "sent 1 event");
    check(&event("a")[..50], "sent 0 events, dropped 1 torn");
    let sandbox = Sandbox::new();
    sandbox.append([0; 5000]);
    sandbox.flush().stdout("sent 0 events").left("").code(0);
}

#[test]
fn over_the_cap_the_oldest_lines_go_and_are_counted() {
    let sandbox = Sandbox::new();
    let line = event("x-0000") + "\n";
    let count = 120_000 / line.len();
    let lines: Vec<String> = (0..count)
        .map(|n| line.replace("x-0000", &format!("x-{n:04}")))
        .collect();
    sandbox.append(lines.concat());
    // 100,000 bytes allowed, down to 90,000.
    let kept = lines
        .iter()
        .rev()
        .scan(0, |bytes, line| {
            *bytes += line.len();
            Some(*bytes)
        })
        .take_while(|bytes| *bytes <= 90_000)
        .count();
    let expected = format!(
        "sent {kept} events in {} requests, dropped {} over the cap",
        kept.div_ceil(100),
        count - kept
    );
    sandbox
        .run(&["--flush", "--buffer-bytes", "100000"])
        .stdout(&expected)
        .left("")
        .code(0);
    assert_eq!(sandbox.delivered()[0], format!("x-{:04}", count - kept));
}

#[test]
fn offline_the_cap_counts_what_is_not_delivered_and_not_the_file() {
    let sandbox = Sandbox::scripted(r#"{"status": 503, "times": "forever"}"#);
    let lines: String = (0..500)
        .map(|n| event(&format!("x-{n:04}")) + "\n")
        .collect();
    sandbox.append(&lines);
    let args = ["--buffer-bytes", "100000", "--attempts", "1"];
    sandbox.run(&args).code(75);
    let dropped = sandbox.state("totals")["dropped"]["over_cap"]
        .as_u64()
        .unwrap();
    assert!(dropped > 0);
    sandbox.run(&args).code(75);
    assert_eq!(
        sandbox.state("totals")["dropped"]["over_cap"]
            .as_u64()
            .unwrap(),
        dropped,
        "live lines are not dropped again"
    );
}

#[test]
fn delivered_bytes_that_still_stand_in_the_file_do_not_count_for_the_cap() {
    // 48 KB are delivered and cannot go yet; 99 KB are waiting: under the cap of 100 KB.
    let sandbox = Sandbox::scripted("{}\n{\"status\": 429}");
    let lines = |range: std::ops::Range<usize>| {
        range
            .map(|n| event(&format!("x-{n:04}")) + "\n")
            .collect::<String>()
    };
    let args = [
        "--flush",
        "--buffer-bytes",
        "100000",
        "--request-events",
        "200",
        "--attempts",
        "1",
    ];
    sandbox.append(lines(0..420));
    assert_eq!(sandbox.run(&args).posts(2).outputs().0, 75);
    sandbox.append(lines(420..615));
    assert!(std::fs::metadata(sandbox.path(BUFFER)).unwrap().len() > 140_000);
    sandbox
        .run(&args)
        .stdout("sent 415 events in 3 requests")
        .left("")
        .code(0);
}

#[test]
fn a_clock_that_was_stepped_judges_no_age() {
    let now = telemetry_upload::world::now();
    let (boot_id, uptime) = telemetry_upload::os::boot().unwrap();
    let check = |shift: TimeDelta, line: &str| {
        let sandbox = Sandbox::new().line(&event_at("old", now - TimeDelta::days(31)));
        std::fs::create_dir(sandbox.path("upload")).unwrap();
        let clock = serde_json::json!({"at": now - shift, "bootId": boot_id, "uptimeS": uptime});
        sandbox.write(
            "upload/state.json",
            serde_json::json!({"clock": clock}).to_string(),
        );
        sandbox.flush().stdout(line).left("").code(0);
    };
    check(TimeDelta::days(40), "sent 1 event");
    check(TimeDelta::days(-40), "sent 1 event");
    check(TimeDelta::zero(), "sent 0 events, dropped 1 too old");
}

#[test]
fn identical_lines_are_all_sent() {
    let sandbox = Sandbox::new();
    for _ in 0..3 {
        sandbox.append("{\"name\":\"x\"}\n".repeat(200));
        sandbox.flush().left("").outputs();
    }
    assert_eq!(sandbox.delivered().len(), 600);
}

#[test]
fn limits_out_of_range_are_refused_with_the_range() {
    let sandbox = Sandbox::new().line(&event("a"));
    let before = sandbox.read(BUFFER);
    for (flag, value, range) in [
        ("request-events", 0, "1 and 64000"),
        ("request-events", 64_001, "1 and 64000"),
        ("request-bytes", 999, "1000 and 50000000"),
        ("line-bytes", 65_537, "1024 and 65536"),
        ("age-days", 0, "1 and 3650"),
        ("buffer-bytes", 99_999, "100000 and 10000000000"),
        ("attempts", 21, "1 and 20"),
        ("pause-ms", 30_001, "0 and 30000"),
        ("deadline-s", 0, "1 and 3600"),
        ("request-timeout-ms", 99, "100 and 300000"),
        ("connect-timeout-ms", 99, "100 and 300000"),
    ] {
        sandbox
            .run(&["--flush", &format!("--{flag}={value}")])
            .stderr(&format!(
                "the limit {flag} must be between {range}, not {value}"
            ))
            .left(&before)
            .code(78);
    }
    let (code, ..) = sandbox
        .run(&["--flush", "--age-days=-5"])
        .left(&before)
        .outputs();
    assert_eq!(code, 2);
    sandbox.write("config.json", r#"{"limits": {"ageDays": -5}}"#);
    let (code, ..) = sandbox.run(&["--flush"]).left(&before).outputs();
    assert_eq!(code, 78);
}

#[test]
fn the_local_files_are_bounded_whatever_is_rejected() {
    let sandbox = Sandbox::new();
    // Escaped, each of these takes six times its size.
    sandbox.append(("\u{1}".repeat(4000) + "\n").repeat(1000));
    sandbox
        .flush()
        .stdout("sent 0 events, dropped 1,000 malformed")
        .left("")
        .code(0);
    for name in ["upload/rejected.jsonl", "upload/rejected.jsonl.1"] {
        let length = std::fs::metadata(sandbox.path(name)).unwrap().len();
        assert!(
            length > 100_000 && length <= 512 * 1024,
            "{name}: {length} bytes"
        );
    }
}

#[test]
fn an_empty_variable_is_an_unset_one() {
    let sandbox = Sandbox::new()
        .line(&event("a"))
        .env("TELEMETRY_UPLOAD_APP", "")
        .env("TELEMETRY_UPLOAD_DATA_DIR", "");
    sandbox.flush().stdout("sent 1 event").left("").code(0);
}

#[test]
fn a_key_that_is_no_guid_is_sent_with_a_warning() {
    let sandbox = Sandbox::new().line(&event("a"));
    let text = sandbox
        .server
        .connection_string
        .replace("00000000-0000-4000-8000-000000000000", "mykey");
    let sandbox = sandbox.env("APPLICATIONINSIGHTS_CONNECTION_STRING", &text);
    let (code, _, stderr) = sandbox.flush().posts(1).outputs();
    assert!(stderr.contains("not a GUID"), "{stderr}");
    assert_eq!(code, 78);
}

#[test]
fn malformed_lines_do_not_split_requests() {
    let sandbox = Sandbox::new();
    let lines: Vec<String> = events(0..2000)
        .into_iter()
        .map(|line| line + "no event\n")
        .collect();
    sandbox.append(lines.concat());
    sandbox
        .flush()
        .stdout("sent 2,000 events in 20 requests, dropped 2,000 malformed")
        .left("")
        .code(0);
    assert_eq!(sandbox.delivered().len(), 2000);
    let rejected = sandbox.read("upload/rejected.jsonl");
    assert_eq!(rejected.lines().count(), 2000);
}

/// They are counted and written down once, when they leave, not with every pass that finds no server.
#[test]
fn malformed_lines_behind_events_that_stay_are_written_down_once() {
    let sandbox = Sandbox::scripted(r#"{"status": 429, "body": "", "times": 6}"#);
    let lines: Vec<String> = events(0..5)
        .into_iter()
        .map(|line| line + "no event\n")
        .collect();
    sandbox.append(lines.concat());
    for _ in 0..2 {
        sandbox.flush().stdout("sent 0 events in 3 requests, kept 10 for the next pass: the server asks for a pause (429)").code(75);
        assert_eq!(sandbox.read("upload/rejected.jsonl"), "");
    }
    sandbox
        .flush()
        .stdout("sent 5 events, dropped 5 malformed")
        .left("")
        .code(0);
    assert_eq!(sandbox.read("upload/rejected.jsonl").lines().count(), 5);
}
