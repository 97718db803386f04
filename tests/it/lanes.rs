//! Several requests under way at once: when there are, in which order they count, and what becomes of
//! them when the pass has to stop.

use crate::kit::{BUFFER, Sandbox, events};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use telemetry_upload::emulator::Moment;

/// Nobody should have to wait for so long; who does is woken to fail.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a second request is waited for where there should be none.
const MOMENT: Duration = Duration::from_millis(200);

/// How many requests the server has before it, and how many there ever were at once.
#[derive(Default)]
struct Crowd {
    now: Mutex<(usize, usize)>,
    changed: Condvar,
}

impl Crowd {
    /// A request was judged: it stays until so many have been there at once.
    fn wait_for(&self, expected: usize, patience: Duration) {
        let mut now = self.now.lock().unwrap();
        now.0 += 1;
        now.1 = now.1.max(now.0);
        self.changed.notify_all();
        let are_too_few = |now: &mut (usize, usize)| now.1 < expected;
        let _ = self
            .changed
            .wait_timeout_while(now, patience, are_too_few)
            .unwrap();
    }

    fn leave(&self) {
        self.now.lock().unwrap().0 -= 1;
    }

    fn most(&self) -> usize {
        self.now.lock().unwrap().1
    }
}

/// A server that, from its second request on, answers none before so many are under way at once.
fn expecting(lanes: usize, limits: &str) -> (Sandbox, Arc<Crowd>) {
    scripted_and_expecting("", lanes, limits, PATIENCE)
}

fn scripted_and_expecting(
    script: &str,
    lanes: usize,
    limits: &str,
    patience: Duration,
) -> (Sandbox, Arc<Crowd>) {
    let crowd = Arc::new(Crowd::default());
    let there = crowd.clone();
    let sandbox = Sandbox::acting(script, move |moment, count, _| match moment {
        Moment::Judged => there.wait_for(if count == 1 { 1 } else { lanes }, patience),
        Moment::Replied => there.leave(),
        Moment::Receiving => {}
    });
    sandbox.write("config.json", format!("{{\"limits\":{limits}}}"));
    (sandbox, crowd)
}

fn fill(sandbox: &Sandbox, count: usize) {
    sandbox.append(events(0..count).concat());
}

fn each_once(sandbox: &Sandbox, count: usize) {
    let delivered = sandbox.delivered();
    let ids: BTreeSet<&String> = delivered.iter().collect();
    assert_eq!((delivered.len(), ids.len()), (count, count));
}

#[test]
fn a_large_backlog_has_twenty_requests_under_way_and_each_event_arrives_once() {
    let (sandbox, crowd) = expecting(20, r#"{"requestEvents":2,"requestTimeoutMs":60000}"#);
    fill(&sandbox, 200);
    sandbox
        .run(&["--flush"])
        .stdout("sent 200 events in 100 requests")
        .left("")
        .code(0);
    assert_eq!(crowd.most(), 20);
    each_once(&sandbox, 200);
}

#[test]
fn a_backlog_of_a_few_batches_has_one_request_under_way() {
    let (sandbox, crowd) = scripted_and_expecting("", 2, "{}", MOMENT);
    fill(&sandbox, 350);
    sandbox
        .run(&["--flush"])
        .stdout("sent 350 events in 4 requests")
        .left("")
        .code(0);
    assert_eq!(crowd.most(), 1);
}

#[test]
fn there_are_no_more_lanes_than_the_person_allows() {
    let (sandbox, crowd) = expecting(
        3,
        r#"{"requestEvents":2,"lanes":3,"requestTimeoutMs":60000}"#,
    );
    fill(&sandbox, 100);
    sandbox
        .run(&["--flush"])
        .stdout("sent 100 events in 50 requests")
        .left("")
        .code(0);
    assert_eq!(crowd.most(), 3);
}

/// So small that two hundred events deserve every lane.
const SMALL: &str = r#"{"requestEvents":2,"pauseMs":1}"#;

fn small_batches(script: &str) -> Sandbox {
    let sandbox = Sandbox::scripted(script);
    sandbox.write("config.json", format!("{{\"limits\":{SMALL}}}"));
    fill(&sandbox, 200);
    sandbox
}

#[test]
fn a_server_that_is_down_for_a_moment_gets_every_batch_once_and_none_is_given_up() {
    // Every one of them has its answer before the first is tried again.
    let script = "{}\n".to_owned() + &"{\"status\":503}\n".repeat(20);
    let (sandbox, _) = scripted_and_expecting(&script, 20, SMALL, PATIENCE);
    fill(&sandbox, 200);
    sandbox
        .run(&["--flush"])
        .stdout("sent 200 events in 120 requests")
        .left("")
        .code(0);
    each_once(&sandbox, 200);
}

#[test]
fn when_a_server_asks_for_a_pause_no_request_is_begun_and_what_was_taken_meanwhile_is_not_repeated()
{
    let busy = "{\"status\":429,\"headers\":{\"Retry-After\":\"60\"}}\n";
    let sandbox = small_batches(&("{}\n".repeat(30) + busy));
    let (code, stdout, _) = sandbox.run(&["--flush"]).outputs();
    assert_eq!(code, 75, "{stdout}");
    assert!(stdout.contains("asks for a pause (429)"), "{stdout}");
    assert!((31..=52).contains(&sandbox.posts()), "{}", sandbox.posts());
    let kept = format!("kept {} for", 200 - sandbox.delivered().len());
    assert!(stdout.contains(&kept), "{stdout}");
    assert_ne!(sandbox.state("notBefore"), Value::Null);

    let _ = sandbox.run(&["--flush"]).outputs();
    each_once(&sandbox, 200);
    assert_eq!(sandbox.read(BUFFER), "");
}

#[test]
fn a_refused_batch_is_halved_while_others_are_under_way() {
    let sandbox = small_batches(&("{}\n".repeat(10) + "{\"status\":413,\"body\":\"\"}\n"));
    sandbox
        .run(&["--flush"])
        .stdout("sent 200 events in 102 requests")
        .left("")
        .code(0);
    each_once(&sandbox, 200);
}

#[test]
fn a_redirect_of_all_that_are_under_way_is_followed_once_for_each() {
    let there = "{\"status\":308,\"headers\":{\"Location\":\"/v2/track\"}}\n";
    // Every one of them has its answer before the first is followed.
    let script = "{}\n".to_owned() + &there.repeat(20);
    let (sandbox, _) = scripted_and_expecting(&script, 20, SMALL, PATIENCE);
    fill(&sandbox, 200);
    sandbox
        .run(&["--flush"])
        .stdout("sent 200 events in 120 requests")
        .left("")
        .code(0);
    each_once(&sandbox, 200);
}

#[test]
fn a_no_of_the_person_begins_no_request_and_what_was_taken_meanwhile_is_not_repeated() {
    let consent: Arc<Mutex<Option<PathBuf>>> = Arc::default();
    let file = consent.clone();
    let sandbox = Sandbox::acting("", move |moment, count, _| {
        if moment == Moment::Judged && count == 20 {
            let file = file.lock().unwrap().clone().unwrap();
            std::fs::write(file, r#"{"enabled":false,"consentGiven":true}"#).unwrap();
        }
    });
    let agreed = sandbox.read("telemetry.json");
    *consent.lock().unwrap() = Some(sandbox.path("telemetry.json"));
    sandbox.write("config.json", format!("{{\"limits\":{SMALL}}}"));
    fill(&sandbox, 200);
    let (_, stdout, _) = sandbox.run(&["--flush"]).outputs();
    assert!(stdout.contains("it was turned off"), "{stdout}");
    assert!((20..=40).contains(&sandbox.posts()), "{}", sandbox.posts());
    let kept = format!("kept {} for", 200 - sandbox.delivered().len());
    assert!(stdout.contains(&kept), "{stdout}");

    sandbox.write("telemetry.json", agreed);
    let _ = sandbox.run(&["--flush"]).outputs();
    each_once(&sandbox, 200);
}

#[test]
fn a_kill_repeats_at_most_what_was_under_way() {
    for killed_at in [2, 21, 22, 50, 99] {
        let sandbox = Sandbox::acting("", move |moment, count, client| {
            if moment == Moment::Judged && count == killed_at {
                client.kill();
            }
        });
        sandbox.write("config.json", format!("{{\"limits\":{SMALL}}}"));
        fill(&sandbox, 200);
        let killed = sandbox.wait(sandbox.spawn(&["--flush"]));
        assert_eq!(killed.status.code(), None, "killed at {killed_at}");
        let _ = sandbox.run(&["--flush"]).outputs();
        let delivered = sandbox.delivered();
        let ids: BTreeSet<&String> = delivered.iter().collect();
        assert_eq!(ids.len(), 200, "killed at {killed_at}");
        let twice = delivered.len() - ids.len();
        assert!(twice <= 20 * 2, "killed at {killed_at}: {twice} twice");
        assert_eq!(sandbox.read(BUFFER), "");
    }
}

#[test]
fn the_person_is_told_of_each_request_once() {
    let sandbox = small_batches("");
    let (_, _, stderr) = sandbox.run(&["--flush", "--verbose"]).outputs();
    let accepted = "accepted 2 of 2, attempt 1";
    assert_eq!(
        stderr
            .lines()
            .filter(|line| line.ends_with(accepted))
            .count(),
        100,
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 100, "{stderr}");
}

/// A flush of small batches by a shell that sets a limit first.
fn flush_within(limit: &str) -> (Sandbox, std::process::Output) {
    // Slow enough for every lane to be opened.
    let sandbox = small_batches(r#"{"delay_ms":20,"times":"forever"}"#);
    let script = format!("{limit}; exec \"$0\" --flush");
    let output = std::process::Command::new("sh")
        .args(["-c", &script, crate::kit::BINARY])
        .env_clear()
        .envs(&sandbox.env)
        .output()
        .unwrap();
    (sandbox, output)
}

/// Each thread reserves tens of megabytes of address space, and without it the system ends the program.
#[test]
fn where_the_address_space_or_the_files_are_few_a_backlog_is_sent_all_the_same() {
    for limit in ["ulimit -v 24000", "ulimit -n 16"] {
        let (sandbox, output) = flush_within(limit);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            said, "sent 200 events in 100 requests\n",
            "{limit}: {output:?}"
        );
        each_once(&sandbox, 200);
    }
}

/// Else a batch would be tried again, three times and with pauses, although the server asked for an hour.
#[test]
fn while_a_server_asks_for_a_pause_no_other_batch_is_tried_again() {
    let some = r#"{"items":[{"index":0,"statusCode":500,"message":"Internal Server Error"}]}"#;
    let busy = r#"{"status":429,"headers":{"Retry-After":"3600"}}"#;
    let script = format!("{{}}\n{}{busy}\n", format!("{some}\n").repeat(19));
    let limits = r#"{"requestEvents":2,"pauseMs":400}"#;
    let (sandbox, _) = scripted_and_expecting(&script, 20, limits, PATIENCE);
    fill(&sandbox, 200);
    let (code, stdout, _) = sandbox.run(&["--flush"]).outputs();
    assert_eq!(code, 75, "{stdout}");
    assert!(stdout.contains("asks for a pause (429)"), "{stdout}");
    // The first, the twenty that were under way, and one of those should its answer come before the 429.
    assert!((21..=23).contains(&sandbox.posts()), "{}", sandbox.posts());
    let _ = sandbox.run(&["--flush"]).outputs();
    each_once(&sandbox, 200);
}

/// The rows of the table of replies, each met by twenty requests that are under way.
#[test]
fn every_reply_means_the_same_with_lanes_on() {
    let item = |status: u16, words: &str| {
        let item = json!({"index": 0, "statusCode": status, "message": words});
        json!({"items": [item], "every": 1, "times": "forever"})
    };
    let bare = |status: u16| json!({"status": status, "body": "", "times": "forever"});
    let with = |status: u16, header: &str, value: &str| json!({"status": status, "body": "", "headers": {header: value}, "times": "forever"});
    let odd = r#"{"itemsReceived":2,"itemsAccepted":1,"errors":[]}"#;
    let body =
        |status: u16, body: &str| json!({"status": status, "body": body, "times": "forever"});
    let paused = true;
    for (step, code, words, is_paused) in [
        (
            bare(400),
            78,
            "every event was refused alike: status 400",
            paused,
        ),
        (
            bare(413),
            78,
            "every event was refused alike: status 413",
            paused,
        ),
        (
            item(400, "no"),
            78,
            "for a reason that is not known here",
            paused,
        ),
        (
            item(413, "no"),
            78,
            "every event was refused alike: status 413",
            paused,
        ),
        (
            item(400, "Invalid instrumentation key"),
            78,
            "Invalid instrumentation key",
            paused,
        ),
        (bare(401), 78, "the endpoint refuses us (401)", paused),
        (bare(403), 78, "the endpoint refuses us (403)", paused),
        (
            bare(404),
            78,
            "not the ingestion endpoint of the resource (404)",
            paused,
        ),
        (
            bare(405),
            78,
            "not the ingestion endpoint of the resource (405)",
            paused,
        ),
        (
            bare(402),
            75,
            "the daily quota of the resource is used up (402)",
            paused,
        ),
        (
            bare(439),
            75,
            "the daily quota of the resource is used up (439)",
            paused,
        ),
        (bare(408), 75, "the server answered 408", false),
        (bare(429), 75, "the server asks for a pause (429)", false),
        (
            with(429, "Retry-After", "600"),
            75,
            "the server asks for a pause (429)",
            paused,
        ),
        (
            with(503, "Retry-After", "600"),
            75,
            "the server answered 503",
            paused,
        ),
        (bare(418), 75, "the server answered 418", false),
        (bare(500), 75, "the server answered 500", false),
        (bare(501), 75, "the server answered 501", false),
        (bare(999), 75, "the server answered 999", false),
        (
            with(302, "Location", "http://hotel.example/"),
            75,
            "points to hotel.example",
            false,
        ),
        (
            with(308, "Location", "https://evil.example/"),
            75,
            "a foreign host, evil.example",
            false,
        ),
        (
            body(200, "<html>"),
            75,
            "a login page of the network",
            false,
        ),
        (body(200, odd), 75, "2 sent, 1 accepted, 0 errors", paused),
        (body(206, odd), 75, "2 sent, 1 accepted, 0 errors", paused),
        (
            body(200, "{\"itemsReceived\":"),
            75,
            "a body that cannot be read",
            paused,
        ),
    ] {
        let sandbox = small_batches(&("{}\n".repeat(30) + &step.to_string()));
        let (got, stdout, _) = sandbox.run(&["--flush"]).outputs();
        let told = format!("{step}: {stdout}");
        assert_eq!(got, code, "{told}");
        assert!(stdout.contains(words), "{told}");
        assert_eq!(
            sandbox.state("notBefore") != Value::Null,
            is_paused,
            "{told}"
        );
        each_once(&sandbox, 60);
        assert!(
            stdout.starts_with("sent 60 events in ") && stdout.contains("kept 140 for"),
            "{told}"
        );
        // What was under way, or was begun before a bad reply was seen, more attempts for one, and two probes.
        assert!(sandbox.posts() <= 30 + 2 * 20, "{told}");
    }
}
