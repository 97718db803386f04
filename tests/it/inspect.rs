//! `inspect` shows the data themselves.

use crate::kit::{BUFFER, Sandbox, append, event, event_aged, events};
use chrono::TimeDelta;
use serde_json::Value;
use snapbox::str;

const FIXED: &str =
    r#"{"eventType":"cli_command","eventId":"a","command":"init","prompt":"fix my login"}"#;

#[test]
fn what_waits_is_shown_as_its_producer_wrote_it() {
    let sandbox = Sandbox::new().line(FIXED).line("not an event");
    append(
        &sandbox.path("telemetry-events-claude.jsonl"),
        "{\"name\":\"b\"}\n",
    );
    sandbox.run(&["inspect"]).says(str![[r#"
telemetry-events-claude.jsonl
{"name":"b"}
telemetry-events.jsonl
{"eventType":"cli_command","eventId":"a","command":"init","prompt":"fix my login"}
not an event
--- exit 0

"#]]);
    sandbox.run(&["inspect", "-n", "1"]).says(str![[r#"
telemetry-events-claude.jsonl
{"name":"b"}
--- stderr
telemetry-upload: 2 more; to see all: -n 3
--- exit 0

"#]]);
    sandbox
        .run(&["inspect", "--pending", "--json"])
        .says(str![[r#"
{"buffer":"telemetry-events-claude.jsonl","line":"{\"name\":\"b\"}"}
{"buffer":"telemetry-events.jsonl","line":"{\"eventType\":\"cli_command\",\"eventId\":\"a\",\"command\":\"init\",\"prompt\":\"fix my login\"}"}
{"buffer":"telemetry-events.jsonl","line":"not an event"}
--- exit 0

"#]]);
}

#[test]
fn nothing_is_said_to_be_nothing() {
    let sandbox = Sandbox::new();
    sandbox.run(&["inspect"]).says(str![[r#"
--- stderr
telemetry-upload: nothing waits
--- exit 0

"#]]);
    sandbox.run(&["inspect", "--payload"]).says(str![[r#"
--- stderr
telemetry-upload: nothing would be sent
--- exit 0

"#]]);
    sandbox.run(&["inspect", "--sent"]).says(str![[r#"
--- stderr
telemetry-upload: there is no copy of anything sent
--- exit 0

"#]]);
    sandbox.run(&["inspect", "--rejected"]).says(str![[r#"
--- stderr
telemetry-upload: nothing was rejected
--- exit 0

"#]]);
}

/// The bodies that came over the wire, before gzip.
fn bodies(sandbox: &Sandbox) -> Vec<u8> {
    let exchanges = sandbox.server.exchanges.lock().unwrap();
    let bodies: Vec<&[u8]> = exchanges
        .iter()
        .map(|exchange| &exchange.body[..])
        .collect();
    [bodies.join(&b'\n'), b"\n".to_vec()].concat()
}

#[test]
fn the_payload_is_what_goes_over_the_wire_byte_for_byte() {
    let now = telemetry_upload::world::now().to_rfc3339();
    let odd = format!(
        "{{\"name\":\"ä\u{202e}\",\"timestamp\":\"{now}\",\"n\":1.50,\"kind\":\"\\u001b[31m\"}}"
    );
    let sandbox = Sandbox::new()
        .line(&event("a"))
        .line("not an event")
        .line(&odd);
    sandbox.append(events(0..250).concat());
    append(
        &sandbox.path("telemetry-events-other.jsonl"),
        event("z") + "\n",
    );
    let (code, shown, stderr) = sandbox.run(&["inspect", "--payload"]).posts(0).outputs();
    assert_eq!((code, stderr.as_str()), (0, ""));
    let _ = sandbox.flush().outputs();
    let wire = bodies(&sandbox);
    // One batch of each buffer in turn goes over the wire; here it is buffer by buffer.
    let sorted = |bytes: &[u8]| {
        let mut lines: Vec<Vec<u8>> = bytes
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        lines.sort();
        lines
    };
    assert!(wire.len() > 100_000);
    assert_eq!(sorted(shown.as_bytes()), sorted(&wire));
}

#[test]
fn a_payload_of_late_events_differs_from_the_wire_by_the_time_of_sending_only() {
    let sandbox = Sandbox::new().line(&event_aged("a", TimeDelta::days(10)));
    let (_, shown, _) = sandbox.run(&["inspect", "--payload"]).outputs();
    let _ = sandbox.flush().outputs();
    let without_time = |bytes: &[u8]| {
        let mut body: Value = serde_json::from_slice(bytes).unwrap();
        body[0].as_object_mut().unwrap().remove("time").unwrap();
        body
    };
    assert_eq!(
        without_time(shown.as_bytes()),
        without_time(&bodies(&sandbox))
    );
}

#[test]
fn the_payload_needs_to_know_the_key() {
    let sandbox = Sandbox::new()
        .without_env("APPLICATIONINSIGHTS_CONNECTION_STRING")
        .line(FIXED);
    sandbox.run(&["inspect", "--payload"]).says(str![[r#"
--- stderr
telemetry-upload: cannot build what would be sent: no connection string: set APPLICATIONINSIGHTS_CONNECTION_STRING, or "connectionString" in [HOME]/.local/share/atomic/config.json, to the one that Azure's portal shows for the Application Insights resource
--- exit 78

"#]]);
}

#[test]
fn what_was_sent_and_what_was_rejected_can_be_seen_afterwards() {
    let sandbox = Sandbox::new().line(FIXED).line("not an event");
    let _ = sandbox.flush().outputs();
    sandbox.run(&["inspect", "--sent"]).says(str![[r#"
[TIME] cli_command
  customDimensions: timestamp=[TIME]  time_adjusted=unknown  event_id=a  command=init
--- exit 0

"#]]);
    sandbox.run(&["inspect", "--rejected"]).says(str![[r#"
[TIME] telemetry-events.jsonl: malformed (not JSON)
  not an event
--- exit 0

"#]]);
    let (_, sent, _) = sandbox.run(&["inspect", "--sent", "--json"]).outputs();
    assert_eq!(sent, sandbox.read("upload/sent.jsonl"));
    let (_, rejected, _) = sandbox.run(&["inspect", "--rejected", "--json"]).outputs();
    assert_eq!(rejected, sandbox.read("upload/rejected.jsonl"));
}

#[test]
fn the_last_ones_are_shown_from_both_generations() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("upload")).unwrap();
    sandbox.write("upload/sent.jsonl.1", "{\"n\":1}\n{\"n\":2}\n");
    sandbox.write("upload/sent.jsonl", "{\"n\":3}\n{\"n\":");
    sandbox
        .run(&["inspect", "--sent", "--json", "-n", "3"])
        .says(str![[r#"
{"n":2}
{"n":3}
--- stderr
telemetry-upload: 1 more; to see all: -n 4
--- exit 0

"#]]);
}

#[test]
fn the_data_can_be_seen_while_telemetry_is_off() {
    let sandbox = Sandbox::new().line(FIXED).env("DO_NOT_TRACK", "1");
    let before = sandbox.files();
    let (code, shown, stderr) = sandbox.run(&["inspect"]).outputs();
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(shown, format!("{BUFFER}\n{FIXED}\n"));
    assert_eq!(sandbox.files(), before);
}

#[test]
fn two_views_at_once_are_wrong_usage() {
    Sandbox::new()
        .run(&["inspect", "--sent", "--payload"])
        .says(str![[r#"
--- stderr
error: the argument '--sent' cannot be used with '--payload'

Usage: telemetry-upload inspect --sent

For more information, try '--help'.
--- exit 2

"#]]);
    Sandbox::new()
        .run(&["inspect", "-n", "many"])
        .says(str![[r#"
--- stderr
error: invalid value 'many' for '-n <COUNT>': invalid digit found in string

For more information, try '--help'.
--- exit 2

"#]]);
}
