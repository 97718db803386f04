//! Ways to lose, strand or repeat an event that were found by looking for them; each was red once.

use crate::kit::{BUFFER, Sandbox, append, event, event_aged, events};
use chrono::TimeDelta;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use telemetry_upload::emulator::Moment;

/// A server that appends one event to another buffer while it has the first `requests`.
fn appending_elsewhere(requests: usize) -> Sandbox {
    let path: Arc<Mutex<Option<PathBuf>>> = Arc::default();
    let other = path.clone();
    let sandbox = Sandbox::acting("", move |moment, count, _| {
        if moment == Moment::Judged && count <= requests {
            let other = other.lock().unwrap().clone().unwrap();
            append(&other, event(&format!("other-{count}")) + "\n");
        }
    });
    *path.lock().unwrap() = Some(sandbox.path("telemetry-events-other.jsonl"));
    sandbox
}

#[test]
fn an_event_in_a_buffer_that_was_missing_when_the_pass_began_is_not_stranded() {
    let sandbox = appending_elsewhere(1).line(&event("a"));
    sandbox.run(&[]).left("").code(0);
    assert_eq!(sandbox.delivered(), ["a", "other-1"]);
}

#[test]
fn a_broken_buffer_does_not_strand_an_event_in_another() {
    let sandbox = appending_elsewhere(1).line(&event("a"));
    fs::create_dir(sandbox.path("telemetry-events-broken.jsonl")).unwrap();
    sandbox
        .flush()
        .stdout("sent 2 events in 2 requests")
        .stderr("cannot open {data}/telemetry-events-broken.jsonl: Is a directory (os error 21)")
        .left("")
        .code(1);
}

#[test]
fn a_stepped_clock_is_distrusted_by_every_pass_until_it_is_confirmed() {
    let old = event_aged("a", TimeDelta::days(40));
    let sandbox = Sandbox::scripted(r#"{"status": 503, "times": 2}"#).line(&old);
    fs::create_dir(sandbox.path("upload")).unwrap();
    let (boot_id, uptime_s) = telemetry_upload::os::boot().unwrap();
    let at = telemetry_upload::world::now() - TimeDelta::days(40);
    let clock = serde_json::json!({"at": at, "bootId": boot_id, "uptimeS": uptime_s - 60});
    sandbox.write(
        "upload/state.json",
        serde_json::json!({"clock": clock}).to_string(),
    );
    let before = sandbox.read(BUFFER);
    for _ in 0..2 {
        sandbox.run(&["--attempts", "1"]).left(&before).code(75);
    }
    // The server's clock says the same as ours: it was the old reading that was wrong.
    sandbox.flush().stdout("sent 1 event").left("").code(0);
    let sandbox = sandbox.line(&old);
    sandbox
        .flush()
        .stdout("sent 0 events, dropped 1 too old")
        .left("")
        .code(0);
}

#[test]
fn a_cursor_that_is_not_true_any_more_does_not_become_true_again() {
    let line = "{\"name\":\"x\"}\n";
    let sandbox = Sandbox::scripted("{}\n{\"status\":429}\n{\"status\":429}");
    sandbox.append(line.repeat(30));
    sandbox
        .run(&["--request-events", "20", "--attempts", "1"])
        .code(75);
    // The person empties it; a pass is told to wait; then identical lines grow past the old offset.
    fs::File::options()
        .write(true)
        .truncate(true)
        .open(sandbox.path(BUFFER))
        .unwrap();
    sandbox.append(line.repeat(5));
    sandbox.run(&["--attempts", "1"]).posts(3).code(75);
    sandbox.append(line.repeat(40));
    sandbox.flush().stdout("sent 45 events").left("").code(0);
}

#[test]
fn a_server_that_is_wrong_about_the_time_costs_no_event() {
    for date in [
        "Sun, 20 Nov 2039 12:00:00 GMT",
        "Fri, 20 Nov 2099 12:00:00 GMT",
    ] {
        let sandbox = Sandbox::scripted(&format!(r#"{{"headers": {{"Date": "{date}"}}}}"#));
        sandbox.append(events(0..25).concat());
        let (code, ..) = sandbox
            .run(&["--flush", "--request-events", "10"])
            .left("")
            .outputs();
        assert_eq!((code, sandbox.delivered().len()), (0, 25), "{date}");
    }
}

#[test]
fn a_date_at_the_end_of_time_does_not_end_the_program() {
    let date = "Mon, 31 Dec +262142 23:59:59 GMT";
    let script = format!(
        "{{\"headers\": {{\"Date\": \"{date}\"}}}}\n{{\"status\": 401, \"times\": \"forever\"}}"
    );
    let sandbox = Sandbox::scripted(&script);
    sandbox.append(events(0..25).concat());
    let (code, _, stderr) = sandbox
        .run(&["--flush", "--request-events", "10"])
        .outputs();
    assert_eq!((code, stderr.as_str()), (78, ""));
}

#[test]
fn a_proxy_that_answers_400_to_everything_empties_no_buffer_event_by_event() {
    let sandbox = Sandbox::scripted(
        r#"{"status": 400, "content_type": "text/html", "body": "<h1>Bad Request</h1>", "times": "forever"}"#,
    );
    for n in 0..4 {
        sandbox.append(event(&format!("id-{n:02}")) + "\n");
        let (code, ..) = sandbox.flush().left(&sandbox.read(BUFFER)).outputs();
        assert_eq!(code, 78);
    }
    assert!(!sandbox.path("upload/rejected.jsonl").exists());
}

#[test]
fn two_events_on_one_line_are_both_sent() {
    let sandbox = Sandbox::new();
    sandbox.append(format!("{}{}{}\n", event("a"), event("b"), event("c")));
    sandbox.flush().stdout("sent 3 events").left("").code(0);
    assert_eq!(sandbox.delivered(), ["a", "b", "c"]);
}

#[test]
fn an_event_without_its_newline_and_the_next_one_are_both_sent() {
    let sandbox = Sandbox::new();
    sandbox.append(event("a"));
    sandbox.run(&[]).posts(0).code(0);
    sandbox.append(event("b") + "\n");
    sandbox.run(&[]).left("").code(0);
    assert_eq!(sandbox.delivered(), ["a", "b"]);
}

#[test]
fn a_good_event_behind_a_hole_that_a_power_cut_left_is_sent() {
    let sandbox = Sandbox::new();
    sandbox.append(b"{\"eventId\":\"torn\",\"eve");
    sandbox.append(vec![0; 40_000]);
    sandbox.append(event("good") + "\n" + &event("next") + "\n");
    sandbox
        .flush()
        .stdout("sent 2 events, dropped 1 malformed")
        .left("")
        .code(0);
    assert_eq!(sandbox.delivered(), ["good", "next"]);
}

#[test]
fn a_last_line_with_an_event_behind_a_fragment_is_saved() {
    let sandbox = Sandbox::new();
    sandbox.append(format!("{{\"a\":1,\"b{}", event("good")));
    sandbox
        .flush()
        .stdout("sent 1 event, dropped 1 torn")
        .left("")
        .code(0);
}

#[test]
fn a_fresh_tail_is_judged_by_our_own_clock_and_not_the_servers() {
    let date = telemetry_upload::world::now() + TimeDelta::hours(1);
    let date = date.format("%a, %d %b %Y %H:%M:%S GMT");
    let sandbox = Sandbox::scripted(&format!("{{\"headers\": {{\"Date\": \"{date}\"}}}}"));
    sandbox.append(events(0..12).concat());
    let last = event("last");
    sandbox.append(&last[..100]);
    sandbox.run(&["--request-events", "10"]).code(0);
    sandbox.append(format!("{}\n", &last[100..]));
    sandbox.run(&[]).left("").code(0);
    assert_eq!(sandbox.delivered().len(), 13);
}

#[test]
fn a_pause_is_written_for_the_clock_that_reads_it() {
    for hours in [-3, 30] {
        let date = telemetry_upload::world::now() + TimeDelta::hours(hours);
        let date = date.format("%a, %d %b %Y %H:%M:%S GMT");
        let sandbox = Sandbox::scripted(&format!(
            "{{\"headers\": {{\"Date\": \"{date}\"}}}}\n{{\"status\": 429, \"headers\": {{\"Retry-After\": \"3600\"}}}}"
        ));
        sandbox.append(events(0..12).concat());
        sandbox.run(&["--request-events", "10"]).posts(2).code(75);
        sandbox.run(&["--request-events", "10"]).posts(2).code(75);
    }
}

#[test]
fn a_remembered_redirect_to_a_place_that_is_gone_is_forgotten() {
    let there = r#"{"status": 308, "headers": {"Location": "/v2/track"}}"#;
    let sandbox =
        Sandbox::scripted(&format!("{there}\n{{}}\n{{\"status\": 404}}")).line(&event("a"));
    sandbox
        .flush()
        .stdout("sent 1 event in 2 requests")
        .left("")
        .code(0);
    let sandbox = sandbox.line(&event("b"));
    sandbox
        .flush()
        .stdout("sent 1 event in 2 requests")
        .left("")
        .code(0);
    let seen = sandbox.server.exchanges.lock().unwrap();
    assert_eq!(
        (seen[2].path.as_str(), seen[3].path.as_str()),
        ("/v2/track", "/v2.1/track")
    );
    drop(seen);
    assert_eq!(sandbox.state("redirect"), serde_json::Value::Null);
}

#[test]
fn a_batch_that_cannot_be_written_down_is_not_posted_again_in_the_same_pass() {
    let sandbox = appending_elsewhere(8);
    sandbox.write("telemetry-events-other.jsonl", event("other") + "\n");
    sandbox.append(format!("{}\nnot json\n", event("a")));
    fs::create_dir_all(sandbox.path("upload/rejected.jsonl")).unwrap();
    let (code, ..) = sandbox.flush().outputs();
    assert_eq!(code, 1);
    let times = sandbox.delivered().iter().filter(|id| *id == "a").count();
    assert_eq!(times, 1);
    let (code, ..) = sandbox.flush().outputs();
    assert_eq!(code, 1);
    let times = sandbox.delivered().iter().filter(|id| *id == "a").count();
    assert_eq!(
        times, 1,
        "what cannot be written down stands apart from what was posted"
    );
}

#[test]
fn a_part_of_a_kept_line_is_taken_back_when_the_disk_is_full() {
    let kept = r#"{"items": [{"index": 0, "statusCode": 402, "message": "x"}]}"#;
    let sandbox = Sandbox::scripted(kept);
    // The copy of the kept line begins 100 bytes before the limit of 8 KB.
    let content = events(0..12).concat();
    let blank = "\n".repeat(8 * 1024 - 100 - content.len());
    sandbox.append(content + &blank);
    let before = sandbox.read(BUFFER);
    let output = sandbox.flush_with_files_up_to(8);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("cannot append the lines to be kept"),
        "{stderr}"
    );
    assert_eq!(sandbox.read(BUFFER), before);
}

#[test]
fn the_law_holds_over_rounds_between_which_someone_else_took_lines() {
    use telemetry_upload::summary::Summary;
    let mut first = Summary {
        seen: 3,
        delivered: 1,
        kept: 2,
        ..Summary::default()
    };
    first.add(Summary {
        seen: 1,
        delivered: 1,
        ..Summary::default()
    });
    assert!(first.law_holds(), "{first:?}");
}

#[test]
fn the_watchdog_does_not_wait_for_anyone_to_hear_its_last_words() {
    let sandbox = Sandbox::new().line(&event("a"));
    let fifo = sandbox.fifo("fifo");
    // A pipe that is full and that nobody reads, as standard error.
    let (reader, mut writer) = std::io::pipe().unwrap();
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
    while std::io::Write::write(&mut writer, &[b'x'; 4096]).is_ok() {}
    while std::io::Write::write(&mut writer, b"x").is_ok() {}
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::empty()).unwrap();
    let ca_file = fifo.to_str().unwrap();
    let status = sandbox
        .command(&[
            "--flush",
            "--deadline-s",
            "1",
            "--request-timeout-ms",
            "900",
            "--ca-file",
            ca_file,
        ])
        .stderr(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(75));
    drop(reader);
}
