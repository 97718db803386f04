//! Every row of the table of replies: the requests seen, what is left in the buffer byte for byte,
//! the line printed, the exit code, and when the next pass may try.

use crate::kit::{Sandbox, event, event_at};
use crate::picky::{Picky, Told};
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use serde_json::{Value, json};
use telemetry_upload::gzip;

const TOO_LONG: &str =
    "100: Field 'name' on type 'EventData' is too long. Expected: 512 characters";

/// How long the next background pass stays away.
#[derive(Clone, Copy)]
enum Away {
    No,
    Seconds(i64),
    UntilMidnight,
}

struct Row {
    script: String,
    events: usize,
    posts: usize,
    delivered: &'static [&'static str],
    left: &'static [&'static str],
    line: &'static str,
    code: i32,
    away: Away,
}

/// Events a, b, c … in the buffer, one flush against the script.
fn check(row: &Row) {
    let sandbox = Sandbox::scripted(&row.script);
    let ids = &["a", "b", "c", "d", "e"][..row.events];
    let now = telemetry_upload::world::now();
    let line = |id: &str| event_at(id, now) + "\n";
    for id in ids {
        sandbox.append(line(id));
    }
    let left: String = row.left.iter().map(|id| line(id)).collect();
    let ran = sandbox.run(&["--flush", "--pause-ms", "1", "--request-timeout-ms", "1500"]);
    ran.stdout(row.line)
        .posts(row.posts)
        .left(&left)
        .code(row.code);
    assert_eq!(sandbox.delivered(), row.delivered, "{}", row.script);
    check_away(&sandbox.state("notBefore"), row.away, &row.script);
}

fn check_away(not_before: &Value, away: Away, script: &str) {
    let until = || {
        not_before["until"]
            .as_str()
            .unwrap()
            .parse::<DateTime<Utc>>()
            .unwrap()
    };
    let now = telemetry_upload::world::now();
    match away {
        Away::No => assert_eq!(*not_before, Value::Null, "{script}"),
        Away::Seconds(seconds) => {
            let off = (until() - now - TimeDelta::seconds(seconds)).abs();
            assert!(off < TimeDelta::seconds(30), "{script}: {}", until());
        }
        Away::UntilMidnight => {
            assert_eq!(until().time(), NaiveTime::MIN, "{script}");
            assert!(
                until() > now && until() - now <= TimeDelta::days(1),
                "{script}"
            );
        }
    }
}

fn bare(status: u16) -> String {
    json!({"status": status, "body": "", "times": "forever"}).to_string()
}

/// A batch of two that stays whole.
fn stays(script: String, posts: usize, line: &'static str, code: i32, away: Away) -> Row {
    Row {
        script,
        events: 2,
        posts,
        delivered: &[],
        left: &["a", "b"],
        line,
        code,
        away,
    }
}

#[test]
fn statuses_that_may_pass_are_retried_and_then_kept() {
    let lines = [
        (
            408,
            "sent 0 events in 5 requests, kept 2 for the next pass: the server answered 408",
        ),
        (
            429,
            "sent 0 events in 3 requests, kept 2 for the next pass: the server asks for a pause (429)",
        ),
        (
            500,
            "sent 0 events in 5 requests, kept 2 for the next pass: the server answered 500",
        ),
        (
            502,
            "sent 0 events in 5 requests, kept 2 for the next pass: the server answered 502",
        ),
        (
            503,
            "sent 0 events in 5 requests, kept 2 for the next pass: the server answered 503",
        ),
        (
            504,
            "sent 0 events in 5 requests, kept 2 for the next pass: the server answered 504",
        ),
    ];
    // Where one event may be the reason, each half is tried once more.
    for (status, line) in lines {
        let posts = if status == 429 { 3 } else { 5 };
        check(&stays(bare(status), posts, line, 75, Away::No));
    }
}

#[test]
fn a_status_that_passes_costs_one_more_request() {
    for status in [408, 429, 500, 502, 503, 504] {
        check(&Row {
            script: json!({"status": status}).to_string(),
            events: 2,
            posts: 2,
            delivered: &["a", "b"],
            left: &[],
            line: "sent 2 events in 2 requests",
            code: 0,
            away: Away::No,
        });
    }
}

#[test]
fn statuses_about_access_end_the_pass_for_an_hour() {
    let line = "sent 0 events, kept 2 for the next pass: the endpoint refuses us (401); check the resource's access, private link and local authentication settings";
    check(&stays(bare(401), 1, line, 78, Away::Seconds(3600)));
    let line = "sent 0 events, kept 2 for the next pass: the endpoint refuses us (403); check the resource's access, private link and local authentication settings";
    check(&stays(bare(403), 1, line, 78, Away::Seconds(3600)));
}

#[test]
fn a_wrong_endpoint_is_a_matter_of_configuration() {
    let line = "sent 0 events, kept 2 for the next pass: this is not the ingestion endpoint of the resource (404); check IngestionEndpoint in the connection string";
    check(&stays(bare(404), 1, line, 78, Away::Seconds(3600)));
    let line = "sent 0 events, kept 2 for the next pass: this is not the ingestion endpoint of the resource (405); check IngestionEndpoint in the connection string";
    check(&stays(bare(405), 1, line, 78, Away::Seconds(3600)));
}

#[test]
fn a_used_up_quota_waits_for_midnight() {
    let line =
        "sent 0 events, kept 2 for the next pass: the daily quota of the resource is used up (402)";
    check(&stays(bare(402), 1, line, 75, Away::UntilMidnight));
    let line =
        "sent 0 events, kept 2 for the next pass: the daily quota of the resource is used up (439)";
    check(&stays(bare(439), 1, line, 75, Away::UntilMidnight));
}

#[test]
fn an_unknown_status_is_kept() {
    for (status, posts, line) in [
        (
            418,
            1,
            "sent 0 events, kept 2 for the next pass: the server answered 418",
        ),
        (
            501,
            3,
            "sent 0 events in 3 requests, kept 2 for the next pass: the server answered 501",
        ),
        (
            999,
            1,
            "sent 0 events, kept 2 for the next pass: the server answered 999",
        ),
    ] {
        check(&stays(bare(status), posts, line, 75, Away::No));
    }
}

#[test]
fn a_captive_portal_loses_nothing() {
    let line = "sent 0 events, kept 2 for the next pass: something answered 200, but not as Application Insights does; a login page of the network, perhaps";
    for body in ["<html>Welcome</html>", "", "{}"] {
        let script =
            json!({"status": 200, "body": body, "content_type": "text/html", "times": "forever"})
                .to_string();
        check(&stays(script, 1, line, 75, Away::No));
    }
    let line = "sent 0 events, kept 2 for the next pass: the network answered 302 instead of Application Insights; a captive portal, perhaps: log in with a browser";
    let script =
        json!({"status": 302, "body": "", "headers": {"Location": "/login"}, "times": "forever"});
    check(&stays(script.to_string(), 1, line, 75, Away::No));
    for (status, line) in [
        (
            301,
            "sent 0 events, kept 2 for the next pass: the network answered 301 and points to login.hotel.example; a captive portal, perhaps: log in with a browser",
        ),
        (
            302,
            "sent 0 events, kept 2 for the next pass: the network answered 302 and points to login.hotel.example; a captive portal, perhaps: log in with a browser",
        ),
        (
            303,
            "sent 0 events, kept 2 for the next pass: the network answered 303 and points to login.hotel.example; a captive portal, perhaps: log in with a browser",
        ),
        (
            511,
            "sent 0 events, kept 2 for the next pass: the network answered 511 and points to login.hotel.example; a captive portal, perhaps: log in with a browser",
        ),
    ] {
        let location = "http://login.hotel.example/?mac=00:11:22";
        let script = json!({"status": status, "body": "<html>", "headers": {"Location": location}, "times": "forever"});
        check(&stays(script.to_string(), 1, line, 75, Away::No));
    }
}

/// Else what was accepted, perhaps, would be sent again with every pass.
#[test]
fn a_reply_that_cannot_be_believed_is_given_an_hour() {
    let mut longest = " ".repeat(256 * 1024);
    longest.push_str(r#"{"itemsReceived":2,"itemsAccepted":2,"errors":[]}"#);
    let unreadable = "sent 0 events, kept 2 for the next pass: the server answered 200 with a body that cannot be read: over 256 KB, or in an unknown form or encoding";
    for (status, body, encoding, line) in [
        (
            200,
            r#"{"itemsReceived":2,"itemsAccepted":1,"errors":[]}"#,
            "",
            "sent 0 events, kept 2 for the next pass: the server answered 200 with a reply that does not add up: 2 sent, 1 accepted, 0 errors",
        ),
        (
            206,
            r#"{"itemsReceived":2,"itemsAccepted":1,"errors":[{"index":7,"statusCode":400,"message":"x"}]}"#,
            "",
            "sent 0 events, kept 2 for the next pass: the server answered 206 with a reply that does not add up: 2 sent, 1 accepted, 1 error",
        ),
        (
            500,
            r#"{"itemsReceived":2,"itemsAccepted":1,"errors":[{"index":7,"statusCode":500,"message":"x"}]}"#,
            "",
            "sent 0 events, kept 2 for the next pass: the server answered 500 with a reply that does not add up: 2 sent, 1 accepted, 1 error",
        ),
        (200, r#"{"itemsReceived":2,"itemsAcc"#, "", unreadable),
        (200, longest.as_str(), "", unreadable),
        (200, "not really Brotli", "br", unreadable),
    ] {
        let script = json!({"status": status, "body": body, "headers": {"Content-Encoding": encoding}, "times": "forever"});
        check(&stays(script.to_string(), 1, line, 75, Away::Seconds(3600)));
    }
}

#[test]
fn a_byte_order_mark_and_other_letter_case_in_a_reply_are_read() {
    for body in [
        "\u{feff}{\"itemsReceived\":2,\"itemsAccepted\":2,\"errors\":[]}",
        r#"{"ItemsReceived":2,"ItemsAccepted":2,"Errors":null}"#,
    ] {
        check_all_sent(&json!({"status": 200, "body": body}));
    }
}

/// None was asked for in gzip, but some proxies pack all the same, and not all of them say so.
#[test]
fn a_reply_packed_unasked_is_read() {
    for headers in ["Content-Encoding: gzip\r\n", ""] {
        let taken = br#"{"itemsReceived":2,"itemsAccepted":2,"errors":[]}"#;
        let server = Picky::new(2, "{}", move |_, _| Told {
            status: 200,
            headers,
            body: Some(gzip::encode(taken)),
        });
        assert_eq!(server.flush(), (0, "sent 2 events".to_owned()));
    }
    // A bomb is as long as any other.
    let server = Picky::new(2, "{}", |_, _| Told {
        status: 200,
        headers: "",
        body: Some(gzip::encode(&vec![b' '; 300_000])),
    });
    let (code, line) = server.flush();
    assert!(line.contains("a body that cannot be read"), "{line}");
    assert_eq!(code, 75);
}

/// A script whose first reply says that two events were accepted.
fn check_all_sent(step: &Value) {
    let sandbox = Sandbox::scripted(&step.to_string());
    let sandbox = sandbox.line(&event("a")).line(&event("b"));
    sandbox
        .flush()
        .stdout("sent 2 events")
        .posts(1)
        .left("")
        .code(0);
}

#[test]
fn retry_after_is_persisted_in_every_form() {
    let line = "sent 0 events, kept 2 for the next pass: the server asks for a pause (429)";
    let at = telemetry_upload::world::now() + TimeDelta::seconds(600);
    let forms = ["600".to_owned()].into_iter().chain(
        [
            "%a, %d %b %Y %H:%M:%S GMT",
            "%A, %d-%b-%y %H:%M:%S GMT",
            "%a %b %e %H:%M:%S %Y",
        ]
        .map(|form| at.format(form).to_string()),
    );
    for form in forms {
        let script = json!({"status": 429, "headers": {"Retry-After": form}, "times": "forever"})
            .to_string();
        check(&stays(script, 1, line, 75, Away::Seconds(600)));
    }
    let script = json!({"status": 429, "headers": {"Retry-After": "99999999"}}).to_string();
    check(&stays(script, 1, line, 75, Away::Seconds(86_400)));
}

#[test]
fn a_short_retry_after_is_waited_for() {
    check(&Row {
        script: json!({"status": 429, "headers": {"Retry-After": "0.2"}}).to_string(),
        events: 1,
        posts: 2,
        delivered: &["a"],
        left: &[],
        line: "sent 1 event in 2 requests",
        code: 0,
        away: Away::No,
    });
}

#[test]
fn no_reply_is_retried_and_then_kept() {
    let cut = r#"{"cut_after_bytes": 30, "times": "forever"}"#;
    let sandbox = Sandbox::scripted(cut).line(&event("a"));
    let (code, stdout, stderr) = sandbox.flush().posts(3).outputs();
    assert!(stdout.starts_with(
        "sent 0 events in 3 requests, kept 1 for the next pass: no reply from the server: "
    ));
    assert_eq!((code, stderr.as_str()), (75, ""));

    let sandbox =
        Sandbox::scripted(r#"{"close": "on_accept", "times": "forever"}"#).line(&event("a"));
    assert_eq!(sandbox.flush().posts(0).outputs().0, 75);
    assert!(!sandbox.read("telemetry-events.jsonl").is_empty());

    let hang = r#"{"delay_ms": 60000, "times": "forever"}"#;
    let sandbox = Sandbox::scripted(hang).line(&event("a"));
    sandbox
        .run(&["--flush", "--pause-ms", "1", "--request-timeout-ms", "300"])
        .posts(3)
        .stdout("sent 0 events in 3 requests, kept 1 for the next pass: no reply from the server: timed out (global)")
        .code(75);

    let drip = r#"{"drip_ms": 300, "times": "forever"}"#;
    let sandbox = Sandbox::scripted(drip).line(&event("a"));
    let (code, ..) = sandbox
        .run(&["--flush", "--attempts", "1", "--request-timeout-ms", "700"])
        .outputs();
    assert_eq!(code, 75);
}

#[test]
fn a_partial_reply_keeps_exactly_the_retriable_lines() {
    let items = json!([
        {"index": 1, "statusCode": 500, "message": "Internal Server Error"},
        {"index": 2, "statusCode": 400, "message": TOO_LONG},
        {"index": 3, "statusCode": 206, "message": "Telemetry sampled out."},
    ]);
    let again = json!([{"index": 0, "statusCode": 500, "message": "Internal Server Error"}]);
    let script = format!(
        "{}\n{}",
        json!({"items": items}),
        json!({"items": again, "times": "forever"})
    );
    let sandbox = Sandbox::scripted(&script);
    let lines: Vec<String> = ["a", "b", "c", "d", "e"]
        .iter()
        .map(|id| event(id) + "\n")
        .collect();
    sandbox.append(lines.concat());
    sandbox
        .flush()
        .stdout("sent 3 events in 3 requests, dropped 1 refused by the server, kept 1 for the next pass")
        .posts(3)
        .left(&lines[1])
        .code(75);
    assert_eq!(
        sandbox.requests(),
        [vec!["a", "b", "c", "d", "e"], vec!["b"], vec!["b"]]
    );
    let rejected: Value = serde_json::from_str(&sandbox.read("upload/rejected.jsonl")).unwrap();
    assert_eq!(rejected["reason"], "refused");
    assert_eq!(rejected["status"], 400);
    assert_eq!(rejected["detail"], TOO_LONG);
    assert_eq!(
        rejected["line"].as_str().unwrap().to_owned() + "\n",
        lines[2]
    );
}

#[test]
fn a_retriable_item_that_recovers_is_sent_once_more_and_no_other() {
    let items = json!([{"index": 0, "statusCode": 429, "message": "x"}]);
    check(&Row {
        script: json!({"items": items}).to_string(),
        events: 3,
        posts: 2,
        delivered: &["b", "c", "a"],
        left: &[],
        line: "sent 3 events in 2 requests",
        code: 0,
        away: Away::No,
    });
}

#[test]
fn refused_for_good_alone_leaves_nothing_behind() {
    let items = json!([{"index": 0, "statusCode": 400, "message": TOO_LONG}]);
    check(&Row {
        script: json!({"items": items}).to_string(),
        events: 1,
        posts: 1,
        delivered: &[],
        left: &[],
        line: "sent 0 events, dropped 1 refused by the server",
        code: 0,
        away: Away::No,
    });
}

#[test]
fn kept_items_do_not_hold_up_the_batches_behind_them() {
    let kept = json!([{"index": 0, "statusCode": 402, "message": "quota"}]);
    let sandbox = Sandbox::scripted(&json!({"items": kept}).to_string());
    let lines: Vec<String> = ["a", "b", "c", "d"]
        .iter()
        .map(|id| event(id) + "\n")
        .collect();
    sandbox.append(lines.concat());
    sandbox
        .run(&["--flush", "--request-events", "2"])
        .stdout("sent 3 events in 2 requests, kept 1 for the next pass")
        .left(&lines[0])
        .posts(2)
        .code(75);
    sandbox
        .flush()
        .stdout("sent 1 event")
        .left("")
        .posts(3)
        .code(0);
}

#[test]
fn a_wrong_key_never_empties_a_buffer() {
    let script = refuses_all(400, "Invalid instrumentation key");
    let line = "sent 0 events, kept 2 for the next pass: every event was refused alike: Invalid instrumentation key; check the connection string";
    check(&stays(script, 1, line, 78, Away::Seconds(3600)));
}

#[test]
fn a_servers_own_words_about_everything_are_not_repeated() {
    // They may quote an event; the log is no place for it.
    let script = refuses_all(400, "no, alice@example.com");
    let line = "sent 0 events in 3 requests, kept 2 for the next pass: every event was refused alike: for a reason that is not known here; check the connection string";
    check(&stays(script, 3, line, 78, Away::Seconds(3600)));
    let key = refuses_all(400, "Invalid instrumentation key of alice@example.com");
    let line = "sent 0 events, kept 2 for the next pass: every event was refused alike: Invalid instrumentation key; check the connection string";
    check(&stays(key, 1, line, 78, Away::Seconds(3600)));
}

/// Every event of a request is refused with this status and these words.
fn refuses_all(status: u16, words: &str) -> String {
    let items: Vec<Value> = (0..100)
        .map(|n| json!({"index": n, "statusCode": status, "message": words}))
        .collect();
    json!({"items": items, "every": 100, "times": "forever"}).to_string()
}

/// The body a server refuses two of three events with, and what becomes of them.
#[test]
fn an_odd_index_in_a_reply_spoils_nothing() {
    for errors in [
        json!([{"index": 1, "statusCode": 402, "message": "x"}, {"index": 7, "statusCode": 400, "message": TOO_LONG}]),
        json!([{"index": "1", "statusCode": "402", "message": "x"}]),
        json!([{"index": 1, "statusCode": 500, "message": "x"}, {"index": 1, "statusCode": 402, "message": "x"}]),
    ] {
        let body = json!({"itemsReceived": 5, "itemsAccepted": 4, "errors": errors}).to_string();
        let sandbox = Sandbox::scripted(&json!({"status": 206, "body": body}).to_string());
        let lines = ["a", "b", "c", "d", "e"].map(|id| event(id) + "\n");
        sandbox.append(lines.concat());
        sandbox
            .flush()
            .stdout("sent 4 events, kept 1 for the next pass")
            .posts(1)
            .left(&lines[1])
            .code(75);
    }
}

#[test]
fn an_item_that_is_refused_while_others_are_accepted_is_at_fault_itself() {
    for status in [400, 413] {
        let words = "no, and no word why";
        let items = json!([{"index": 1, "statusCode": status, "message": words}]);
        let sandbox = Sandbox::scripted(&json!({"items": items}).to_string());
        let sandbox = sandbox.line(&event("a")).line(&event("b"));
        sandbox
            .flush()
            .stdout("sent 1 event, dropped 1 refused by the server")
            .posts(1)
            .left("")
            .code(0);
        let rejected: Value = serde_json::from_str(&sandbox.read("upload/rejected.jsonl")).unwrap();
        assert_eq!(
            (&rejected["status"], &rejected["detail"]),
            (&json!(status), &json!(words))
        );
    }
}

/// Never thrown away as a whole: a gateway with a small limit refuses all items of a request alike.
#[test]
fn items_that_are_all_refused_without_a_known_reason_are_halved() {
    for status in [400, 413] {
        let items = json!([{"index": 0, "statusCode": status, "message": "?"}, {"index": 1, "statusCode": status, "message": "?"}]);
        check_halved_once(json!({"items": items}).to_string());
    }
}

/// A first reply that refuses two events together, which are accepted one by one.
fn check_halved_once(script: String) {
    check(&Row {
        script,
        events: 2,
        posts: 3,
        delivered: &["a", "b"],
        left: &[],
        line: "sent 2 events in 3 requests",
        code: 0,
        away: Away::No,
    });
}

#[test]
fn a_time_that_is_refused_without_a_date_to_compare_is_kept() {
    let old = "103: Field 'time' on type 'Envelope' is older than the allowed min date.";
    let items = json!([{"index": 0, "statusCode": 400, "message": old}]);
    let script = json!({"items": items, "headers": {"Date": "?"}}).to_string();
    check(&Row {
        script,
        events: 5,
        posts: 1,
        delivered: &["b", "c", "d", "e"],
        left: &["a"],
        line: "sent 4 events, kept 1 for the next pass",
        code: 75,
        away: Away::No,
    });
}

#[test]
fn halving_ends_when_the_first_and_the_last_event_are_refused_alone() {
    for (status, why) in [
        (
            400,
            "status 400 without a word why; check the connection string",
        ),
        (
            413,
            "status 413, too large, even for one event; check whether a proxy or gateway limits the size of requests",
        ),
    ] {
        let sandbox = Sandbox::scripted(&bare(status));
        let lines: String = (0..100).map(|n| event(&format!("id-{n}")) + "\n").collect();
        sandbox.append(&lines);
        let line = format!(
            "sent 0 events in 14 requests, kept 100 for the next pass: every event was refused alike: {why}"
        );
        sandbox
            .flush()
            .stdout(&line)
            .posts(14)
            .left(&lines)
            .code(78);
    }
}

#[test]
fn a_bare_400_is_halved_until_the_poison_stands_alone() {
    // 4 events: all → first half → a, b(poison) → second half.
    let script = [
        bare_once(400),
        bare_once(400),
        "{}".into(),
        bare_once(400),
        "{}".into(),
    ]
    .join("\n");
    check(&Row {
        script,
        events: 4,
        posts: 5,
        delivered: &["a", "c", "d"],
        left: &[],
        line: "sent 3 events in 5 requests, dropped 1 refused by the server",
        code: 0,
        away: Away::No,
    });
}

#[test]
fn a_413_is_halved_too() {
    check_halved_once(bare_once(413));
}

#[test]
fn a_lone_event_that_gets_a_bare_400_is_rejected_only_if_another_of_its_batch_was_accepted() {
    let refused = "sent 0 events, kept 1 for the next pass: every event was refused alike: ";
    for status in [400, 413] {
        // A proxy answers like this to everybody: no evidence against the event.
        let sandbox = Sandbox::scripted(&bare(status)).line(&event("a"));
        let line = sandbox.read("telemetry-events.jsonl");
        let (code, stdout, _) = sandbox.flush().posts(1).left(&line).outputs();
        assert!(stdout.starts_with(refused), "{stdout}");
        assert_eq!(code, 78);
        // Another batch is no evidence: what refuses this one may be new.
        let script = format!("{{}}\n{}", bare(status));
        let sandbox = Sandbox::scripted(&script)
            .line(&event("a"))
            .line(&event("b"));
        let (code, stdout, _) = sandbox
            .run(&["--flush", "--request-events", "1"])
            .posts(2)
            .outputs();
        assert!(
            stdout.starts_with("sent 1 event in 2 requests, kept 1"),
            "{stdout}"
        );
        assert_eq!(
            (code, sandbox.state("totals")["dropped"].to_string()),
            (78, "{}".to_owned())
        );
        // Another event of the same batch is.
        let script = [bare_once(status), "{}".to_owned(), bare(status)].join("\n");
        let sandbox = Sandbox::scripted(&script)
            .line(&event("a"))
            .line(&event("b"));
        sandbox
            .flush()
            .stdout("sent 1 event in 3 requests, dropped 1 refused by the server")
            .left("")
            .code(0);
    }
}

#[test]
fn a_400_for_everything_is_the_endpoints_word_about_us() {
    let line = "sent 0 events in 3 requests, kept 2 for the next pass: every event was refused alike: status 400 without a word why; check the connection string";
    check(&stays(bare(400), 3, line, 78, Away::Seconds(3600)));
}

fn bare_once(status: u16) -> String {
    json!({"status": status, "body": ""}).to_string()
}

#[test]
fn a_redirect_on_the_same_host_is_followed_and_remembered() {
    for status in [307, 308] {
        let redirect = json!({"status": status, "headers": {"Location": "/v2/track", "Cache-Control": "max-age=600"}});
        let sandbox = Sandbox::scripted(&format!("{redirect}\n{{}}\n{{}}")).line(&event("a"));
        let (code, stdout, _) = sandbox.flush().posts(2).outputs();
        let paths: Vec<String> = sandbox
            .server
            .exchanges
            .lock()
            .unwrap()
            .iter()
            .map(|seen| seen.path.clone())
            .collect();
        assert_eq!(paths, ["/v2.1/track", "/v2/track"]);
        assert_eq!((code, stdout.as_str()), (0, "sent 1 event in 2 requests\n"));
        assert!(
            sandbox.state("redirect")["to"]
                .as_str()
                .unwrap()
                .ends_with("/v2/track")
        );
        let sandbox = sandbox.line(&event("b"));
        sandbox.flush().stdout("sent 1 event").posts(3).code(0);
        assert_eq!(
            sandbox.server.exchanges.lock().unwrap()[2].path,
            "/v2/track"
        );
    }
}

#[test]
fn a_redirect_with_breezes_own_body_is_followed() {
    let body = json!({"itemsReceived": 1, "itemsAccepted": 0, "errors": [{"index": 0, "statusCode": 308, "message": "elsewhere"}]});
    let redirect =
        json!({"status": 308, "body": body.to_string(), "headers": {"Location": "/v2/track"}});
    let sandbox = Sandbox::scripted(&redirect.to_string()).line(&event("a"));
    sandbox
        .flush()
        .stdout("sent 1 event in 2 requests")
        .posts(2)
        .left("")
        .code(0);
}

#[test]
fn a_redirect_to_a_foreign_host_receives_not_one_byte() {
    for host in ["127.0.0.1", "localhost"] {
        let elsewhere = Sandbox::new();
        let location = format!("http://{host}:{}/v2.1/track", elsewhere.server.port);
        let script = json!({"status": 307, "headers": {"Location": location}, "times": "forever"})
            .to_string();
        let sandbox = Sandbox::scripted(&script).line(&event("a"));
        let (code, stdout, _) = sandbox.flush().posts(1).outputs();
        let why = match host {
            "127.0.0.1" => "it leads to another port".to_owned(),
            other => format!("it leads to a foreign host, {other}"),
        };
        let expected = format!(
            "sent 0 events, kept 1 for the next pass: a redirect was not followed: {why}
"
        );
        assert_eq!(stdout, expected);
        assert_eq!(code, 75);
        assert_eq!(*elsewhere.server.connections.lock().unwrap(), 0);
    }
}

#[test]
fn redirects_in_a_circle_end() {
    let there = json!({"status": 308, "headers": {"Location": "/x/track"}});
    let back = json!({"status": 308, "headers": {"Location": "/v2.1/track"}});
    let line = "sent 0 events in 2 requests, kept 2 for the next pass: a redirect was not followed: it leads in a circle";
    check(&stays(format!("{there}\n{back}"), 2, line, 75, Away::No));
    let chain: Vec<String> = (0..20)
        .map(|n| {
            json!({"status": 308, "headers": {"Location": format!("/x{n}/track")}}).to_string()
        })
        .collect();
    let line = "sent 0 events in 11 requests, kept 2 for the next pass: a redirect was not followed: more than 10 in a row";
    check(&stays(chain.join("\n"), 11, line, 75, Away::No));
}

#[test]
fn the_pause_the_server_asked_for_is_kept_in_the_background_and_overridden_by_a_flush() {
    let script = r#"{"status": 429, "headers": {"Retry-After": "600"}}"#;
    let sandbox = Sandbox::scripted(script).line(&event("a"));
    sandbox.run(&[]).posts(1).code(75);
    sandbox.run(&[]).posts(1).code(75);
    let (code, stdout, _) = sandbox.run(&["--json"]).posts(1).outputs();
    assert_eq!(code, 75);
    assert!(
        stdout.contains("the server asks for a pause (429); not before "),
        "{stdout}"
    );
    let (code, stdout, _) = sandbox.flush().posts(2).left("").outputs();
    assert!(
        stdout.starts_with("sent 1 event; did not wait until 20"),
        "{stdout}"
    );
    assert_eq!(code, 0);
    assert_eq!(sandbox.state("notBefore"), Value::Null);
}

#[test]
fn offline_for_fifty_runs_loses_nothing_and_counts_no_attempts_against_events() {
    let sandbox = Sandbox::new();
    let lines: String = (0..150).map(|n| event(&format!("id-{n}")) + "\n").collect();
    sandbox.append(&lines);
    let nowhere = "InstrumentationKey=00000000-0000-4000-8000-000000000000;IngestionEndpoint=http://127.0.0.1:9/";
    for _ in 0..50 {
        sandbox
            .run(&["--connection-string", nowhere, "--pause-ms", "0"])
            .left(&lines)
            .code(75);
    }
    assert_eq!(sandbox.state("failuresInARow"), 50);
    sandbox
        .flush()
        .stdout("sent 150 events in 2 requests")
        .left("")
        .posts(2)
        .code(0);
    assert_eq!(sandbox.state("failuresInARow"), 0);
}

#[test]
fn a_clock_that_is_wrong_costs_a_request_and_not_the_event() {
    // The server believes it is a year later than this machine does.
    let later = telemetry_upload::world::now() + TimeDelta::days(365);
    let old = "103: Field 'time' on type 'Envelope' is older than the allowed min date. Expected: now - 172800000ms";
    let date = later.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let items = json!([{"index": 0, "statusCode": 400, "message": old}]);
    let sandbox =
        Sandbox::scripted(&json!({"items": items, "headers": {"Date": date}}).to_string())
            .line(&event("a"));
    // The second request carries the server's time, which this emulator, on our clock, refuses for good.
    let (code, ..) = sandbox.flush().posts(2).outputs();
    let envelopes = sandbox.envelopes();
    let time: DateTime<Utc> = envelopes[1]["time"].as_str().unwrap().parse().unwrap();
    assert!((time - later).abs() < TimeDelta::minutes(1), "{time}");
    assert_eq!(
        envelopes[1]["data"]["baseData"]["properties"]["time_adjusted"],
        "late"
    );
    assert_eq!(code, 0);
}
