//! One event for which every request fails although the server is well: it must not block the others, and
//! must not be lost.

use crate::kit::{BINARY, event, event_aged, events};
use crate::picky::Picky;
use serde_json::Value;
use std::process::Command;

/// Batches of ten events, one after the other.
const NARROW: &str = r#"{"limits":{"requestEvents":10,"pauseMs":1,"lanes":1}}"#;

/// As many under way as there may be.
const WIDE: &str = r#"{"limits":{"requestEvents":10,"pauseMs":1}}"#;

/// Fails with this status for every request that holds one of these events.
fn fails_for(
    ids: &[&str],
    status: u16,
) -> impl Fn(usize, &[String]) -> u16 + Send + Sync + 'static {
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    move |_, request: &[String]| {
        if ids.iter().any(|id| request.contains(id)) {
            status
        } else {
            200
        }
    }
}

#[test]
fn one_event_that_always_fails_does_not_block_the_11999_others() {
    let config = r#"{"limits":{"pauseMs":1}}"#;
    let case = Picky::new(12_000, config, fails_for(&["id-550"], 500));
    let (code, line) = case.flush();
    let end = "kept 1 for the next pass: the server answered 500";
    assert!(
        line.starts_with("sent 11,999 events in ") && line.ends_with(end),
        "{line}"
    );
    assert_eq!(code, 75);
    case.accepted_all_but(12_000, &["id-550"]);
    // 120 batches, three attempts for one of them, a probe, and twice seven halves.
    assert!(case.requests() < 120 + 20, "{}", case.requests());
    let words = case.sandbox.state("lastTrouble")["words"].clone();
    assert_eq!(words, "the server answered 500");
    let before = case.requests();
    assert_eq!(
        case.flush().1,
        format!("sent 0 events in 3 requests, {end}")
    );
    assert_eq!(case.requests(), before + 3);
}

#[test]
fn the_event_is_found_wherever_it_stands_and_whatever_the_server_fails_with() {
    for status in [408, 500, 501, 502, 503, 504, 599] {
        for (count, id) in [
            (50, "id-00"),
            (50, "id-09"),
            (50, "id-14"),
            (50, "id-49"),
            (10, "id-00"),
            (10, "id-09"),
            (2, "id-01"),
        ] {
            for config in [NARROW, WIDE] {
                let case = Picky::new(count, config, fails_for(&[id], status));
                let (code, line) = case.flush();
                let told = format!("{count} {id} {status} {config}: {line}");
                assert!(
                    line.ends_with(&format!(
                        "kept 1 for the next pass: the server answered {status}"
                    )),
                    "{told}"
                );
                assert_eq!(code, 75, "{told}");
                case.accepted_all_but(count, &[id]);
            }
        }
    }
}

#[test]
fn several_such_events_are_found_in_one_batch_and_in_neighbours() {
    for ids in [
        &["id-12", "id-17"][..],
        &["id-10", "id-19"],
        &["id-04", "id-15"],
        &["id-11", "id-12", "id-13"],
    ] {
        let case = Picky::new(60, NARROW, fails_for(ids, 500));
        let (code, line) = case.flush();
        let kept = format!("kept {} for the next pass", ids.len());
        assert!(line.contains(&kept), "{ids:?}: {line}");
        assert_eq!(code, 75);
        case.accepted_all_but(60, ids);
    }
}

/// Else what is recorded later would never leave: the event stands in front of it.
#[test]
fn an_event_that_stays_does_not_block_what_is_recorded_later() {
    for status in [401, 403, 404, 405, 439, 418, 500] {
        let case = Picky::new(30, NARROW, fails_for(&["id-15"], status));
        let (_, line) = case.flush();
        let end = format!("kept 1 for the next pass: the server answered {status}");
        assert!(line.ends_with(&end), "{line}");
        case.accepted_all_but(30, &["id-15"]);
        for pass in 1..4 {
            let from = 30 + pass * 10;
            case.sandbox.append(events(from..from + 5).concat());
            let (code, line) = case.flush();
            assert!(line.starts_with("sent 5 events in "), "{status}: {line}");
            assert_eq!(code, 75);
        }
        case.accepted_all_but(45, &["id-15"]);
    }
}

#[test]
fn many_such_events_do_not_keep_the_others_from_being_sent() {
    // One of ten, one of ninety, and sixty in a row before the others.
    for (count, fails) in [
        (400, (0..400).step_by(10).collect::<Vec<_>>()),
        (2000, (0..2000).step_by(90).collect()),
        (2000, (0..2000).step_by(48).collect()),
        (300, (0..60).collect()),
    ] {
        let ids: Vec<String> = fails.iter().map(|n| format!("id-{n:02}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let case = Picky::new(count, r#"{"limits":{"pauseMs":1}}"#, fails_for(&ids, 500));
        for _ in 0..4 {
            let (code, line) = case.flush();
            assert_eq!(code, 75, "{line}");
        }
        case.accepted_all_but(count, &ids);
    }
}

#[test]
fn an_event_alone_in_its_request_is_passed_if_the_next_is_accepted() {
    let config = r#"{"limits":{"requestEvents":1,"pauseMs":1}}"#;
    let case = Picky::new(8, config, fails_for(&["id-00"], 503));
    let (code, line) = case.flush();
    assert_eq!(
        line,
        "sent 7 events in 10 requests, kept 1 for the next pass: the server answered 503"
    );
    assert_eq!(code, 75);
    case.accepted_all_but(8, &["id-00"]);
}

#[test]
fn a_server_that_is_down_for_everybody_costs_two_more_requests() {
    for (count, requests) in [(1, 3), (2, 5), (10, 5), (500, 5)] {
        let case = Picky::new(count, NARROW, |_, _| 503);
        let (code, line) = case.flush();
        assert!(
            line.starts_with(&format!(
                "sent 0 events in {requests} requests, kept {count} "
            )),
            "{line}"
        );
        assert_eq!((code, case.requests()), (75, requests));
    }
    // It goes down in the middle of a backlog.
    let case = Picky::new(500, NARROW, |number, _| if number > 20 { 503 } else { 200 });
    assert_eq!(
        case.flush().1,
        "sent 200 events in 25 requests, kept 300 for the next pass: the server answered 503"
    );
}

#[test]
fn several_buffers_of_a_server_that_is_down_cost_one_more_request_each() {
    let case = Picky::new(20, NARROW, |_, _| 503);
    case.sandbox
        .write("telemetry-events-x.jsonl", events(20..40).concat());
    let (code, line) = case.flush();
    assert_eq!(
        line,
        "sent 0 events in 6 requests, kept 40 for the next pass: the server answered 503"
    );
    assert_eq!(code, 75);
}

#[test]
fn a_refusal_of_access_or_quota_ends_the_pass_unless_others_were_accepted() {
    for status in [401, 402, 403, 404, 405, 439] {
        // The first batch: it is about every request.
        let case = Picky::new(50, NARROW, fails_for(&["id-03"], status));
        let (_, line) = case.flush();
        assert!(line.starts_with("sent 0 events, kept 50 "), "{line}");
        assert_eq!(case.requests(), 1);
        // A later one: a firewall in between dislikes one event.
        let case = Picky::new(50, NARROW, fails_for(&["id-23"], status));
        let (code, line) = case.flush();
        assert!(line.starts_with("sent 49 events in "), "{line}");
        assert_eq!(code, 75);
        case.accepted_all_but(50, &["id-23"]);
        // The quota, or the key, ends for everybody: two more requests.
        let case = Picky::new(
            50,
            NARROW,
            move |number, _| if number > 2 { status } else { 200 },
        );
        let (_, line) = case.flush();
        assert!(
            line.starts_with("sent 20 events in 5 requests, kept 30 "),
            "{line}"
        );
        assert_ne!(case.sandbox.state("notBefore"), Value::Null);
    }
}

#[test]
fn a_server_that_goes_down_while_the_event_is_looked_for_is_left_alone() {
    // Eight requests: the batch three times, a probe, and four halves.
    let case = Picky::new(
        400,
        r#"{"limits":{"pauseMs":1,"lanes":1}}"#,
        |number, ids| {
            let is_poisoned = ids.contains(&"id-02".to_owned());
            if is_poisoned || number > 8 { 503 } else { 200 }
        },
    );
    let (code, line) = case.flush();
    assert!(
        line.ends_with("for the next pass: the server answered 503"),
        "{line}"
    );
    assert_eq!(code, 75);
    assert!(case.requests() < 40, "{}", case.requests());
    let accepted: usize = {
        let seen = case.seen.lock().unwrap();
        seen.iter()
            .filter(|(_, status)| *status == 200)
            .map(|(ids, _)| ids.len())
            .sum()
    };
    let kept = format!("kept {} for", 400 - accepted);
    assert!(line.contains(&kept), "{accepted}: {line}");
}

#[test]
fn an_event_that_is_refused_alone_in_its_buffer_does_not_block_the_others() {
    for status in [400, 413] {
        let case = Picky::new(5, NARROW, fails_for(&["alone"], status));
        case.sandbox
            .write("telemetry-events-a.jsonl", events(10..15).concat());
        // In the order of their names it is the second, and the usual buffer the last.
        case.sandbox
            .write("telemetry-events-m.jsonl", event("alone") + "\n");
        let (code, line) = case.flush();
        assert!(
            line.starts_with("sent 10 events in 3 requests, kept 1 for the next pass: every event was refused alike"),
            "{line}"
        );
        assert_eq!(code, 78);
        case.accepted_all_but(10, &[]);
        assert!(
            case.sandbox
                .read("telemetry-events-m.jsonl")
                .contains("alone")
        );
    }
}

/// Only lines that are dropped are behind it: they are no reason to hold them all in memory.
#[test]
fn a_long_run_of_lines_without_events_behind_it_is_not_read_into_memory() {
    let case = Picky::new(1, NARROW, fails_for(&["id-00"], 500));
    let old = event_aged("old", chrono::TimeDelta::days(40)) + "\n";
    case.sandbox.append(old.repeat(180_000));
    // Each line takes 400 bytes while its batch is under way; without them 24 MB of address space are enough.
    let output = Command::new("sh")
        .args(["-c", "ulimit -v 50000; exec \"$0\" --flush", BINARY])
        .env_clear()
        .envs(&case.sandbox.env)
        .output()
        .unwrap();
    let line = String::from_utf8_lossy(&output.stdout);
    assert!(line.contains("the server answered 500"), "{output:?}");
    assert_eq!(output.status.code(), Some(75));
}
