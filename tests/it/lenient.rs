//! What producers write beside plain JSON, and how much of it arrives.

use crate::kit::{BUFFER, Sandbox, event, event_id};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A buffer with this content, flushed: what the summary says, however many requests it took, and an empty buffer.
fn flushed(content: impl AsRef<[u8]>, line: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.append(content);
    // The bytes that would be sent are the bytes that are sent.
    let shown = sandbox
        .run(&["inspect", "--payload", "-n", "99"])
        .outputs()
        .1;
    let (code, said, stderr) = sandbox.flush().left("").outputs();
    let requests = format!(" in {} requests", sandbox.posts());
    let said = said.trim_end().replace(&requests, "");
    assert_eq!((code, said.as_str(), stderr.as_str()), (0, line, ""));
    let exchanges = sandbox.server.exchanges.lock().unwrap();
    let bodies: Vec<Value> = exchanges
        .iter()
        .map(|it| serde_json::from_slice(&it.body).unwrap())
        .collect();
    let shown: Vec<Value> = shown
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    // An event without a time carries the moment of its sending.
    let timeless = |bodies: Vec<Value>| {
        let mut envelopes = bodies
            .iter()
            .flat_map(|body| body.as_array().unwrap().clone())
            .collect::<Vec<_>>();
        for envelope in &mut envelopes {
            let properties = &mut envelope["data"]["baseData"]["properties"];
            if properties["time_adjusted"] == "unknown" {
                properties["timestamp"] = Value::Null;
                envelope["time"] = Value::Null;
            }
        }
        envelopes
    };
    assert_eq!(timeless(shown), timeless(bodies));
    drop(exchanges);
    sandbox
}

fn properties(sandbox: &Sandbox) -> Vec<Value> {
    let envelopes = sandbox.accepted().into_iter();
    envelopes
        .map(|envelope| envelope["data"]["baseData"]["properties"].clone())
        .collect()
}

fn rejected(sandbox: &Sandbox) -> Vec<String> {
    let text = sandbox.read("upload/rejected.jsonl");
    let records = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    records
        .map(|record| record["detail"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_value_that_is_no_number_costs_its_field_and_not_the_event() {
    let values = ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"];
    let line = |value: &str| {
        event(value).replace(
            '}',
            &format!(",\"ratio\":{value},\"kind\":\"{value}\",\"n\":1}}\n"),
        )
    };
    let content: String = values.iter().map(|value| line(value)).collect();
    let sandbox = flushed(content, "sent 5 events; left out: ratio (5)");
    assert_eq!(sandbox.delivered(), values);
    for (properties, value) in properties(&sandbox).iter().zip(values) {
        assert_eq!(properties["kind"], value);
    }
    assert_eq!(
        sandbox.accepted()[0]["data"]["baseData"]["measurements"],
        json!({"n": 1})
    );
}

#[test]
fn utf_16_of_powershell_is_sent_beside_utf_8() {
    let wide = |id: &str| utf16(&(event(id).replace("init", "/é上第😀") + "\r\n"));
    let content = [
        b"\xFF\xFE",
        &wide("a")[..],
        &wide("b"),
        (event("c") + "\n").as_bytes(),
        &[0; 5_000],
        &wide("d"),
        (event("e") + "\n").as_bytes(),
        &event("torn").as_bytes()[..60],
        &wide("f"),
    ]
    .concat();
    let sandbox = flushed(content, "sent 6 events, dropped 1 malformed");
    assert_eq!(sandbox.delivered(), ["a", "b", "c", "d", "e", "f"]);
    let commands: Vec<Value> = properties(&sandbox)
        .iter()
        .map(|it| it["command"].clone())
        .collect();
    let wide = json!("/é上第😀");
    assert_eq!(
        commands,
        [
            wide.clone(),
            wide.clone(),
            json!("init"),
            wide.clone(),
            json!("init"),
            wide
        ]
    );
}

#[test]
fn thousands_of_lines_in_utf_16_are_sent_from_the_cursor_on() {
    // The server is busy once: reading begins again at a cursor in the middle of the buffer.
    let sandbox = Sandbox::scripted("{}\n{}\n{\"status\": 429}\n");
    let ids: Vec<String> = (0..1_000).map(|number| format!("id-{number}")).collect();
    for id in &ids {
        sandbox.append(utf16(&(event(id) + "\r\n")));
    }
    let args = ["--flush", "--attempts", "1", "--lanes", "1"];
    assert_eq!(sandbox.run(&args).posts(3).outputs().0, 75);
    sandbox
        .run(&args)
        .stdout("sent 800 events in 8 requests")
        .left("")
        .code(0);
    assert_eq!(sandbox.delivered(), ids);
}

#[test]
fn a_kept_line_in_utf_16_is_sent_later() {
    let kept = r#"{"items": [{"index": 0, "statusCode": 500, "message": "x"}]}"#;
    let sandbox = Sandbox::scripted(kept);
    for id in ["a", "b"] {
        sandbox.append(utf16(&(event(id) + "\r\n")));
    }
    assert_eq!(sandbox.run(&["--flush", "--attempts", "1"]).outputs().0, 75);
    sandbox.append(utf16(&(event("c") + "\r\n")));
    sandbox.flush().stdout("sent 2 events").left("").code(0);
    let mut ids = sandbox.delivered();
    ids.sort();
    assert_eq!(ids, ["a", "b", "c"]);
}

#[test]
fn objects_glued_together_are_all_sent_with_or_without_ids() {
    let plain = |name: &str| format!("{{\"name\":\"{name}\"}}");
    let content = plain("a")
        + &plain("b")
        + ", "
        + &plain("c")
        + &event("d")
        + &event("e")
        + "\n"
        + &plain("f")
        + "\n";
    let sandbox = flushed(content, "sent 6 events");
    let names: Vec<String> = sandbox
        .accepted()
        .iter()
        .map(|it| it["data"]["baseData"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        ["a", "b", "c", "atomic_command", "atomic_command", "f"]
    );
    // A hundred, each in a place of its own: the server takes 60 of them, and then no more.
    let sandbox = Sandbox::scripted("{}\n{\"status\": 429}\n");
    let glued: String = (0..90).map(|number| plain(&format!("n{number}"))).collect();
    sandbox.append(glued + "\n");
    let args = ["--flush", "--request-events", "60", "--attempts", "1"];
    assert_eq!(sandbox.run(&args).posts(2).outputs().0, 75);
    sandbox.flush().stdout("sent 30 events").left("").code(0);
}

#[test]
fn in_a_glued_line_only_what_is_broken_is_rejected() {
    let torn = &event("torn")[..60];
    let content = event("a") + "{}" + torn + &event("b") + "\n" + &event("c") + torn + "\n";
    let sandbox = flushed(content, "sent 3 events, dropped 2 malformed and 1 torn");
    assert_eq!(sandbox.delivered(), ["a", "b", "c"]);
    assert_eq!(
        rejected(&sandbox),
        ["has no event name", "torn", "not JSON"]
    );
}

#[test]
fn glued_objects_in_utf_16_are_all_sent() {
    let content = utf16(&(event("a") + &event("b") + "\r\n" + &event("c") + "\r\n"));
    let sandbox = flushed(content, "sent 3 events");
    assert_eq!(sandbox.delivered(), ["a", "b", "c"]);
}

#[test]
fn of_glued_objects_in_utf_16_only_the_kept_ones_are_sent_again() {
    let kept = |index| format!(r#"{{"index": {index}, "statusCode": 500, "message": "x"}}"#);
    for (kept, sent) in [
        (kept(1), "sent 1 event"),
        (format!("{}, {}", kept(1), kept(2)), "sent 2 events"),
    ] {
        let sandbox = Sandbox::scripted(&format!("{{\"items\": [{kept}]}}\n"));
        let glued: String = ["a", "b", "c"].map(event).concat();
        sandbox.append(utf16(&(glued.replace("init", "/第漢😀") + "\r\n")));
        assert_eq!(sandbox.run(&["--flush", "--attempts", "1"]).outputs().0, 75);
        sandbox.flush().stdout(sent).left("").code(0);
        let mut ids = sandbox.delivered();
        ids.sort();
        assert_eq!(ids, ["a", "b", "c"]);
        assert!(
            properties(&sandbox)
                .iter()
                .all(|it| it["command"] == "/第漢😀")
        );
    }
}

#[test]
fn a_report_counts_glued_objects() {
    let sandbox = Sandbox::new();
    sandbox.append(event("a") + &event("b") + "\n" + &event("c") + "\n");
    let (code, stdout, _) = sandbox.run(&["report", "--json"]).outputs();
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["events"]), (0, &json!(3)), "{stdout}");
}

#[test]
fn a_time_that_cannot_be_true_is_unknown_and_never_too_old() {
    let values = [
        "0",
        "-1",
        "\"0001-01-01T00:00:00Z\"",
        "\"1970-01-01\"",
        "\"2019-12-31T23:59:59Z\"",
        "\"soon\"",
        "true",
    ];
    let line = |value: &&str| format!("{{\"name\":\"x\",\"timestamp\":{value}}}\n");
    let content: String = values.iter().map(line).collect();
    let sandbox = flushed(content, "sent 7 events");
    for (properties, value) in properties(&sandbox).iter().zip(values) {
        assert_eq!(properties["time_adjusted"], "unknown", "{value}");
        assert_eq!(
            properties["timestamp_text"],
            value.trim_matches('"'),
            "{value}"
        );
        let sent: DateTime<Utc> = properties["timestamp"].as_str().unwrap().parse().unwrap();
        assert!((telemetry_upload::world::now() - sent).abs() < TimeDelta::minutes(10));
    }
    let missing = flushed("{\"name\":\"x\"}\n", "sent 1 event");
    assert_eq!(properties(&missing)[0].get("timestamp_text"), None);
    let personal = "{\"name\":\"x\",\"timestamp\":\"/home/anna\"}\n";
    flushed(personal, "sent 1 event; left out: timestamp_text (1)");
}

#[test]
fn the_usual_forms_of_a_time_arrive_as_one() {
    let at = telemetry_upload::world::now() - TimeDelta::hours(1);
    let at = DateTime::from_timestamp_millis(at.timestamp_millis() / 1000 * 1000).unwrap();
    let forms = [
        at.timestamp().to_string(),
        at.timestamp_millis().to_string(),
        at.timestamp_micros().to_string(),
        format!("{}000", at.timestamp_micros()),
        format!("\"{}\"", at.timestamp_millis()),
        at.format("\"%Y-%m-%dT%H:%M:%S,000\"").to_string(),
        at.format("\"%Y-%m-%d %H:%M:%S.000000000 +0000 UTC m=+0.001\"")
            .to_string(),
        at.format("\"%Y-%m-%d %H:%M:%S\"").to_string(),
        at.format("\"%a, %d %b %Y %H:%M:%S +0000\"").to_string(),
        at.format("\"%a %b %e %H:%M:%S %Y\"").to_string(),
        at.format("\"%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)\"")
            .to_string(),
        at.format("\"%Y%m%dT%H%M%SZ\"").to_string(),
    ];
    let line = |form: &String| format!("{{\"name\":\"x\",\"timestamp\":{form}}}\n");
    let content: String = forms.iter().map(line).collect();
    let sandbox = flushed(content, "sent 12 events");
    let expected = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    for (properties, form) in properties(&sandbox).iter().zip(&forms) {
        assert_eq!(properties, &json!({"timestamp": expected}), "{form}");
    }
}

#[test]
fn texts_integers_and_lists_arrive_in_the_form_that_queries_know() {
    let line = r#"{"name":"x","eventId":123456789012345678901234567890,"agentType":5,"version":1.5,"command":true,"commands":["/init","/plan"],"big":9007199254740993,"bigger":18446744073709551616,"small":7,"list":["/a,b"]}"#;
    let odd = r#"{"name":"x","commands":["/a,b","/c"]}"#;
    let sandbox = flushed(
        format!("{line}\n{odd}\n"),
        "sent 2 events; left out: list (1)",
    );
    let mut found = properties(&sandbox);
    for properties in &mut found {
        for own in ["timestamp", "time_adjusted"] {
            properties.as_object_mut().unwrap().remove(own);
        }
    }
    let expected = json!({
        "event_id": "123456789012345678901234567890", "agent_type": "5", "version": "1.5", "command": "true",
        "commands": "/init,/plan", "big": "9007199254740993", "bigger": "18446744073709551616",
    });
    assert_eq!(found, [expected, json!({"commands": r#"["/a,b","/c"]"#})]);
    let envelope = &sandbox.accepted()[0];
    assert_eq!(event_id(envelope), "123456789012345678901234567890");
    assert_eq!(
        envelope["data"]["baseData"]["measurements"],
        json!({"small": 7})
    );
}

#[test]
fn an_event_is_recorded_from_a_pipe_of_powershell() {
    let sandbox = Sandbox::new().dated();
    let text = r#"{"eventType":"x","eventId":"e","timestamp":"t","platform":"p","command":"/é😀","n":NaN}"#;
    let bytes = [b"\xFF\xFE", &utf16(text)[..], &utf16("\r\n")].concat();
    sandbox.feed(&["record"], bytes).code(0);
    let expected = r#"{"eventType":"x","eventId":"e","timestamp":"t","platform":"p","command":"/é😀","n":null,"anonymousId":"anna"}"#;
    assert_eq!(sandbox.read(BUFFER), format!("{expected}\n"));
}

#[test]
fn a_line_of_nine_hundred_events_is_sent_whole() {
    let sandbox = Sandbox::new();
    let event = |n: usize| format!(r#"{{"eventType":"t","eventId":"g{n}"}}"#);
    let line: String = (0..900).map(event).collect();
    assert!(line.len() < 32 * 1024);
    sandbox.append(line + "\n");
    sandbox
        .flush()
        .stdout("sent 900 events in 9 requests")
        .left("")
        .code(0);
    let delivered = sandbox.delivered();
    let ids: std::collections::BTreeSet<&String> = delivered.iter().collect();
    assert_eq!((delivered.len(), ids.len()), (900, 900));
}

#[test]
fn a_last_line_that_is_too_long_is_not_taken_for_a_torn_one() {
    let sandbox = Sandbox::new();
    let event = |n: usize| format!(r#"{{"eventType":"t","eventId":"g{n}"}}"#);
    sandbox.append((0..2000).map(event).collect::<String>());
    sandbox
        .flush()
        .stdout("sent 0 events, dropped 1 too long")
        .left("")
        .code(0);
}
