//! An [`Event`] → the bytes of its envelope in Breeze's JSON, within Breeze's limits. What may be in
//! it is [`crate::privacy`]'s to say; this file only gives it its shape.
//!
//! The shape and the limits: Application Insights' Bond schemas (`Envelope`, `EventData`,
//! `ContextTagKeys`) and the answers of the real service. A field over a limit is cut here, because
//! Breeze refuses the whole event for it.

mod json;
mod shape;

use crate::event::{DropReason, Event};
use crate::field::Field;
use crate::naming::{LastText, Naming, Namings};
use crate::pairs::Pairs;
use crate::privacy::{self, Policy, Ruling};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use json::{write_number, write_object, write_text};
use serde_json::Number;
use shape::{cut, cut_text, is_measurement, text_of};
use std::borrow::Cow;
use std::rc::Rc;

/// UTF-16 units of an event's name.
const NAME_UNITS_MAX: usize = 512;
/// UTF-16 units of the key of a property or a measurement.
const KEY_UNITS_MAX: usize = 150;
/// Bytes of one envelope: "Telemetry item length must not exceed 65536".
const ENVELOPE_BYTES_MAX: usize = 65_536;

/// Room for the envelope of nearly every event.
const ENVELOPE_BYTES_USUAL: usize = 1024;

/// Breeze refuses an event whose `time` is more than 48 h old; one hour is left for the way and for
/// clocks that differ.
const WINDOW_PAST: TimeDelta = TimeDelta::hours(47);
/// Breeze refuses a `time` more than 2 h ahead; again one hour is left.
const WINDOW_AHEAD: TimeDelta = TimeDelta::hours(1);

/// What is counted in place of a field's name that is personal itself.
const NAME_WITHHELD: &str = "(name withheld)";

/// What every envelope of a pass has in common.
#[derive(Clone, Debug)]
pub struct Frame<'a> {
    /// The instrumentation key.
    pub ikey: &'a str,
    /// The application whose events these are.
    pub role: &'a str,
    /// The time of sending.
    pub now: DateTime<Utc>,
    /// What may leave the machine.
    policy: &'a Policy,
    /// The names of fields that came along under this policy.
    namings: Namings,
    /// The name of the last event.
    event_name: LastText,
}

impl<'a> Frame<'a> {
    /// The frame of events of this application, sent now under this policy.
    pub fn new(ikey: &'a str, role: &'a str, now: DateTime<Utc>, policy: &'a Policy) -> Frame<'a> {
        Frame {
            ikey,
            role,
            now,
            policy,
            namings: Namings::default(),
            event_name: LastText::default(),
        }
    }
}

/// An event, ready to be posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Exactly what is sent.
    pub json: Vec<u8>,
    /// The names of the fields that stay on the machine, for counting.
    pub fields_refused: Vec<String>,
}

/// Wraps an event. An error if its name may not leave or the envelope is over 65,536 bytes.
pub fn wrap(event: &Event, frame: &Frame) -> Result<Envelope, DropReason> {
    if !frame.event_name.is(&event.name) {
        if privacy::rule_event_name(&event.name) == Ruling::Stays {
            return Err(DropReason::Malformed("its name looks personal"));
        }
        frame.event_name.note(&event.name);
    }
    let time = Time::of(event.time, frame.now);
    let mut fields: Vec<(Rc<Naming>, &Field)> = Vec::with_capacity(event.fields.len());
    let named = |(name, value)| (frame.namings.of(name, frame.policy), value);
    fields.extend(event.fields.iter().map(named));
    // Our own properties first, then the known fields, then the others: so nothing of the line's can take
    // the place of ours, whatever it is called.
    fields.sort_by_key(|(naming, _)| naming.rank);
    let mut fields_refused = Vec::new();
    let mut data = EventData::of(&event.name, &time, fields.len());
    for (naming, value) in &fields {
        if naming.rule(value) == Ruling::Stays || !data.put(&naming.key, value) {
            fields_refused.push(told(&naming.name));
        }
    }
    let json =
        encode(&data, &time, frame).map_err(|_| DropReason::Malformed("cannot be encoded"))?;
    if json.len() > ENVELOPE_BYTES_MAX {
        return Err(DropReason::TooLong);
    }
    Ok(Envelope {
        json,
        fields_refused,
    })
}

/// As what a field that stays is counted.
fn told(name: &str) -> String {
    let name = if privacy::looks_personal(name) {
        NAME_WITHHELD
    } else {
        name
    };
    name.to_owned()
}

/// What an envelope carries.
struct EventData<'a> {
    name: &'a str,
    properties: Pairs<'a, Cow<'a, str>>,
    measurements: Pairs<'a, &'a Number>,
}

/// The shape of an envelope. It is written as it stands here: to have it written by its structure would
/// cost as much as everything else that is done to an event.
fn encode(data: &EventData, time: &Time, frame: &Frame) -> serde_json::Result<Vec<u8>> {
    let mut json = Vec::with_capacity(ENVELOPE_BYTES_USUAL);
    json.extend_from_slice(br#"{"name":"Microsoft.ApplicationInsights.Event","time":"#);
    write_text(&mut json, &time.sent)?;
    json.extend_from_slice(br#","iKey":"#);
    write_text(&mut json, frame.ikey)?;
    json.extend_from_slice(br#","tags":"#);
    write_object(&mut json, tags(data, frame.role), write_text)?;
    json.extend_from_slice(br#","data":{"baseType":"EventData","baseData":{"ver":2,"name":"#);
    write_text(&mut json, data.name)?;
    json.extend_from_slice(br#","properties":"#);
    let properties = data.properties.iter().map(|(key, value)| (key, &**value));
    write_object(&mut json, properties, write_text)?;
    if !data.measurements.is_empty() {
        json.extend_from_slice(br#","measurements":"#);
        let measurements = data.measurements.iter().map(|(key, value)| (key, *value));
        write_object(&mut json, measurements, write_number)?;
    }
    json.extend_from_slice(b"}}}");
    Ok(json)
}

/// The context tags we know a value for, with the UTF-16 units that Bond's `ContextTagKeys` allows.
/// Those of the event are read from the properties, so nothing is in a tag that may not leave.
fn tags<'a>(data: &'a EventData, role: &'a str) -> impl Iterator<Item = (&'static str, &'a str)> {
    let property = |key| data.properties.get(key).map_or("", |value| &**value);
    let tags = [
        ("ai.user.id", property("anonymous_id"), 128),
        ("ai.session.id", property("session_id"), 64),
        ("ai.application.ver", property("version"), 1024),
        ("ai.cloud.role", role, 256),
        // Every SDK puts the name of the machine here if we do not put something else.
        ("ai.cloud.roleInstance", "-", 256),
        ("ai.device.osVersion", property("platform"), 256),
        ("ai.operation.id", property("event_id"), 128),
        // The common way to ask Breeze not to locate the sender by its address.
        ("ai.location.ip", "0.0.0.0", 46),
        (
            "ai.internal.sdkVersion",
            concat!("tup:", env!("CARGO_PKG_VERSION")),
            64,
        ),
    ];
    let set = tags.into_iter().filter(|(_, value, _)| !value.is_empty());
    set.map(|(key, value, units_max)| (key, cut(value, units_max)))
}

/// When it happened, and under which time it can be sent.
struct Time {
    sent: String,
    happened: String,
    adjusted: Option<&'static str>,
}

impl Time {
    fn of(happened: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Time {
        let ahead = happened.map(|happened| happened.signed_duration_since(now));
        let adjusted = match ahead {
            None => Some("unknown"),
            Some(ahead) if ahead < -WINDOW_PAST => Some("late"),
            Some(ahead) if ahead > WINDOW_AHEAD => Some("early"),
            Some(_) => None,
        };
        let happened = rfc_3339(happened.unwrap_or(now));
        Time {
            sent: adjusted.map_or_else(|| happened.clone(), |_| rfc_3339(now)),
            happened,
            adjusted,
        }
    }
}

impl<'a> EventData<'a> {
    /// With our own properties, and room for so many more.
    fn of(name: &'a str, time: &'a Time, room: usize) -> EventData<'a> {
        let mut properties = Pairs::with_room(room + 2);
        properties.push("timestamp".into(), time.happened.as_str().into());
        if let Some(adjusted) = time.adjusted {
            properties.push("time_adjusted".into(), adjusted.into());
        }
        EventData {
            name: cut(name, NAME_UNITS_MAX),
            properties,
            measurements: Pairs::with_room(0),
        }
    }

    /// False if there is no room for it.
    fn put(&mut self, key: &'a str, value: &'a Field) -> bool {
        match value {
            Field::Null => true,
            Field::NoNumber => false,
            Field::Number(number) if is_measurement(key, number) => {
                // serde_json reads no infinity, but an event need not come from a line.
                let is_finite = number.as_f64().is_some_and(f64::is_finite);
                is_finite && insert(&mut self.measurements, key, number)
            }
            _ => insert(&mut self.properties, key, cut_text(key, text_of(value))),
        }
    }
}

/// Under the key, or under `key_2` to `key_9` if it is taken: `agentType` and `agent.type` are one key
/// on the wire. False if all are taken.
fn insert<'a, V>(pairs: &mut Pairs<'a, V>, key: &'a str, value: V) -> bool {
    let key = if key.is_empty() { "_" } else { key };
    let numbered = (2..=9).map(|number| format!("{}_{number}", cut(key, KEY_UNITS_MAX - 2)));
    let first = Cow::Borrowed(cut(key, KEY_UNITS_MAX));
    let mut keys = std::iter::once(first).chain(numbered.map(Cow::Owned));
    let free = keys.find(|key| !pairs.has(key));
    free.map(|key| pairs.push(key, value)).is_some()
}

/// UTC with milliseconds and `Z`. The detour makes 23:59:60, which Breeze may not know, the next second.
fn rfc_3339(time: DateTime<Utc>) -> String {
    let time = DateTime::from_timestamp_millis(time.timestamp_millis()).unwrap_or(time);
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::shape::VALUE_UNITS_MAX;
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    const NOW: &str = "2026-11-20T12:00:00Z";

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text)
            .unwrap()
            .with_timezone(&Utc)
    }

    fn event(fields: Value) -> Event<'static> {
        let Field::Object(fields) = fields.into() else {
            panic!("fields are an object")
        };
        Event {
            name: "x".into(),
            time: Some(at(NOW)),
            fields,
        }
    }

    fn wrap_with(event: &Event, policy: &Policy) -> Result<Envelope, DropReason> {
        wrap(event, &Frame::new("K", "atomic", at(NOW), policy))
    }

    fn wrapped(event: &Event) -> (Value, Vec<String>) {
        let envelope = wrap_with(event, &Policy::Default).unwrap();
        (
            serde_json::from_slice(&envelope.json).unwrap(),
            envelope.fields_refused,
        )
    }

    /// The properties without the timestamp every event has, and the measurements.
    fn check(fields: Value, properties: Value, measurements: Value) {
        check_with(&Policy::Default, fields, properties, measurements);
    }

    #[allow(
        clippy::needless_pass_by_value,
        reason = "json!() at the call reads better than &json!()"
    )]
    fn check_with(policy: &Policy, fields: Value, properties: Value, measurements: Value) {
        let envelope = wrap_with(&event(fields.clone()), policy).unwrap();
        let mut item: Value = serde_json::from_slice(&envelope.json).unwrap();
        let data = item["data"]["baseData"].as_object_mut().unwrap();
        data["properties"]
            .as_object_mut()
            .unwrap()
            .shift_remove("timestamp");
        assert_eq!(data["properties"], properties, "{fields}");
        assert_eq!(
            data.get("measurements")
                .cloned()
                .unwrap_or_else(|| json!({})),
            measurements,
            "{fields}"
        );
    }

    #[test]
    fn the_bytes_are_those_of_the_design() {
        let line = br#"{"anonymousId":"u-1","eventId":"e-1","sessionId":"s-1","eventType":"cli_command","timestamp":"2026-11-20T03:04:05.678Z","agentType":"claude","commands":["/commit","/push"],"commandCount":2,"platform":"linux","atomicVersion":"0.4.1","source":"session_hook","success":true,"costUSD":0.5,"prompt":"hello"}"#;
        let age = crate::event::Age {
            now: at(NOW),
            days_max: Some(30),
        };
        let envelope =
            wrap_with(&crate::event::parse(line, &age).unwrap(), &Policy::Default).unwrap();
        let expected = concat!(
            r#"{"name":"Microsoft.ApplicationInsights.Event","time":"2026-11-20T03:04:05.678Z","iKey":"K","#,
            r#""tags":{"ai.user.id":"u-1","ai.session.id":"s-1","ai.application.ver":"0.4.1","ai.cloud.role":"atomic","ai.cloud.roleInstance":"-","ai.device.osVersion":"linux","#,
            r#""ai.operation.id":"e-1","ai.location.ip":"0.0.0.0","ai.internal.sdkVersion":"tup:"#,
            env!("CARGO_PKG_VERSION"),
            r#""},"data":{"baseType":"EventData","baseData":{"ver":2,"name":"cli_command","properties":{"timestamp":"2026-11-20T03:04:05.678Z","event_id":"e-1","anonymous_id":"u-1","#,
            r#""session_id":"s-1","version":"0.4.1","agent_type":"claude","commands":"/commit,/push","platform":"linux","source":"session_hook","success":"true"},"#,
            r#""measurements":{"command_count":2,"cost_usd":0.5}}}}"#
        );
        assert_eq!(String::from_utf8(envelope.json).unwrap(), expected);
        assert_eq!(envelope.fields_refused, ["prompt"]);
    }

    #[test]
    fn what_is_missing_is_left_out() {
        let (item, _) = wrapped(&event(json!({"anonymousId": "", "sessionId": null})));
        let tags: Vec<&String> = item["tags"].as_object().unwrap().keys().collect();
        assert_eq!(
            tags,
            [
                "ai.cloud.role",
                "ai.cloud.roleInstance",
                "ai.location.ip",
                "ai.internal.sdkVersion"
            ]
        );
        assert_eq!(item["data"]["baseData"].get("measurements"), None);
    }

    fn check_sent_as(happened: Option<&str>, sent: &str, timestamp: &str, adjusted: Option<&str>) {
        let event = Event {
            time: happened.map(at),
            ..event(json!({}))
        };
        let (item, _) = wrapped(&event);
        let properties = &item["data"]["baseData"]["properties"];
        assert_eq!(item["time"], sent, "{happened:?}");
        assert_eq!(properties["timestamp"], timestamp, "{happened:?}");
        assert_eq!(
            properties.get("time_adjusted"),
            adjusted.map(Value::from).as_ref(),
            "{happened:?}"
        );
    }

    #[test]
    fn inside_the_window_an_event_is_sent_under_its_own_time() {
        for same in [
            "2026-11-18T13:00:00.000Z",
            "2026-11-20T13:00:00.000Z",
            "2026-11-20T12:00:00.000Z",
        ] {
            check_sent_as(Some(same), same, same, None);
        }
        check_sent_as(
            Some("2026-11-20T13:00:00+02:00"),
            "2026-11-20T11:00:00.000Z",
            "2026-11-20T11:00:00.000Z",
            None,
        );
        check_sent_as(
            Some("2026-11-19T23:59:60Z"),
            "2026-11-20T00:00:00.000Z",
            "2026-11-20T00:00:00.000Z",
            None,
        );
    }

    #[test]
    fn one_second_outside_it_is_sent_under_the_time_of_sending() {
        let now = "2026-11-20T12:00:00.000Z";
        check_sent_as(
            Some("2026-11-18T12:59:59Z"),
            now,
            "2026-11-18T12:59:59.000Z",
            Some("late"),
        );
        check_sent_as(
            Some("2026-11-20T13:00:01Z"),
            now,
            "2026-11-20T13:00:01.000Z",
            Some("early"),
        );
    }

    #[test]
    fn without_a_time_it_is_sent_as_of_now_and_says_so() {
        check_sent_as(
            None,
            "2026-11-20T12:00:00.000Z",
            "2026-11-20T12:00:00.000Z",
            Some("unknown"),
        );
    }

    #[test]
    fn values_become_texts_or_measures() {
        check(
            json!({"model": "claude-opus-4-1", "yes": true, "no": false, "nothing": null, "n": 3, "x": -0.25, "big": 1e300, "empty": ""}),
            json!({"model": "claude-opus-4-1", "yes": "true", "no": "false", "empty": ""}),
            json!({"n": 3, "x": -0.25, "big": 1e300}),
        );
        check(
            json!({"commands": ["a", 1, true, null, "b"]}),
            json!({"commands": "a,1,true,b"}),
            json!({}),
        );
        let policy = Policy::Strict(["tools", "meta", "mixed"].map(str::to_owned).into());
        check_with(
            &policy,
            json!({"tools": ["a", "b"], "meta": {"z": 1, "a": ["b"]}, "mixed": [1, {"a": 2}], "other": "x"}),
            json!({"tools": "a,b", "meta": r#"{"z":1,"a":["b"]}"#, "mixed": r#"[1,{"a":2}]"#}),
            json!({}),
        );
    }

    #[test]
    fn known_texts_stay_texts_whatever_their_type() {
        check(
            json!({
                "eventId": 12_345_678_901_234_567_890_u64, "anonymousId": 7, "sessionId": -1, "version": 1.5, "agentType": 5,
                "commands": 3, "command": true, "platform": 4, "source": 0.5, "commandCount": 2, "success": 1, "n": 6,
            }),
            json!({
                "event_id": "12345678901234567890", "anonymous_id": "7", "session_id": "-1", "version": "1.5", "agent_type": "5",
                "commands": "3", "command": "true", "platform": "4", "source": "0.5",
            }),
            json!({"command_count": 2, "success": 1, "n": 6}),
        );
    }

    #[test]
    fn integers_beyond_2_to_the_53_keep_their_digits_as_text() {
        check(
            json!({"a": 9_007_199_254_740_992_u64, "b": 9_007_199_254_740_993_u64, "c": -9_007_199_254_740_992_i64, "d": -9_007_199_254_740_993_i64, "e": u64::MAX, "f": i64::MIN, "g": 1e17}),
            json!({"b": "9007199254740993", "d": "-9007199254740993", "e": "18446744073709551615", "f": "-9223372036854775808"}),
            json!({"a": 9_007_199_254_740_992_u64, "c": -9_007_199_254_740_992_i64, "g": 1e17}),
        );
    }

    #[test]
    fn a_list_is_joined_unless_that_would_be_ambiguous() {
        let check = |list: Value, expected: &str| {
            check(
                json!({"commands": list}),
                json!({"commands": expected}),
                json!({}),
            );
        };
        check(json!(["/init", "/plan"]), "/init,/plan");
        check(json!(["/init"]), "/init");
        check(json!([]), "");
        check(json!([null, "/init", 2]), "/init,2");
        check(json!(["/a,b", "/c"]), r#"["/a,b","/c"]"#);
        check(json!(["say \"x\"", 1]), r#"["say \"x\"",1]"#);
        for bracket in ["[", "]", "{", "}"] {
            check(json!([bracket]), &format!("[\"{bracket}\"]"));
        }
    }

    #[test]
    fn what_is_no_number_is_left_out_and_counted_by_name() {
        let line =
            br#"{"name":"x","n":NaN,"version":-Infinity,"timestamp":1e999,"prompt":NaN,"a":1}"#;
        let event = crate::event::read(line).unwrap();
        let (item, fields_refused) = wrapped(&event);
        assert_eq!(fields_refused, ["version", "timestamp_text", "n", "prompt"]);
        let data = &item["data"]["baseData"];
        assert_eq!(data["measurements"], json!({"a": 1}));
        assert_eq!(data["properties"].as_object().unwrap().len(), 2, "{data}");
    }

    #[test]
    fn the_text_of_a_timestamp_leaves_unless_it_looks_personal() {
        let wrap = |line: &str, policy: &Policy| {
            let event = crate::event::read(line.as_bytes()).unwrap();
            let envelope = wrap_with(&event, policy).unwrap();
            let item: Value = serde_json::from_slice(&envelope.json).unwrap();
            let text = item["data"]["baseData"]["properties"]["timestamp_text"].clone();
            (text, envelope.fields_refused)
        };
        let (default, strict) = (Policy::Default, Policy::Strict(["model".to_owned()].into()));
        let check = |line, policy, expected: Value| {
            let refused: &[&str] = if expected.is_null() {
                &["timestamp_text"]
            } else {
                &[]
            };
            assert_eq!(
                wrap(line, policy),
                (
                    expected,
                    refused.iter().map(|name| (*name).to_owned()).collect()
                ),
                "{line}"
            );
        };
        let soon = r#"{"name":"x","timestamp":"soon"}"#;
        check(soon, &default, json!("soon"));
        check(soon, &strict, Value::Null);
        check(r#"{"name":"x","timestamp":0}"#, &default, json!("0"));
        check(
            r#"{"name":"x","timestamp":"anna@example.org"}"#,
            &default,
            Value::Null,
        );
        check(
            r#"{"name":"x","timestamp":"/home/anna"}"#,
            &default,
            Value::Null,
        );
        check(r#"{"name":"x","timestamp":{"a":1}}"#, &default, Value::Null);
    }

    #[test]
    fn a_long_timestamp_text_is_judged_whole_and_then_cut_to_64_bytes() {
        let sent = |name: &str, text: &str| {
            let line = json!({"name": "x", name: text}).to_string();
            let event = crate::event::read(line.as_bytes()).unwrap();
            let (item, fields_refused) = wrapped(&event);
            let properties = &item["data"]["baseData"]["properties"];
            let sent = properties["timestamp_text"].as_str().map(str::to_owned);
            assert_eq!(
                sent.is_none(),
                fields_refused == [name] || fields_refused == ["timestamp_text"]
            );
            sent
        };
        let filled = |length: usize, end: &str| format!("{}{end}", "x".repeat(length));
        for name in ["timestamp", "timestamp_text"] {
            for personal in [
                "somebody wrote a sentence here ".repeat(10),
                filled(60, " anna@example.org"),
                filled(30, " https://example.org/aaaaaaaaaaaaa?key=value"),
                filled(44, " https://anna:pass@example.org/"),
                filled(34, " aB3xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
            ] {
                assert_eq!(sent(name, &personal), None, "{name}: {personal}");
            }
            assert_eq!(sent(name, &filled(100, "")), Some(filled(64, "")));
            assert_eq!(sent(name, &"é".repeat(33)), Some("é".repeat(32)));
            let odd = format!("a{}", "é".repeat(33));
            assert_eq!(sent(name, &odd), Some(odd[..63].to_owned()));
        }
        assert_eq!(sent("timestampText", "soon"), None);
    }

    #[test]
    fn keys_become_snake_case() {
        check(
            json!({"HTTPStatus": "ok", "exit.code": 1, "some-thing": "x", "--": "y", "version": "1"}),
            json!({"version": "1", "http_status": "ok", "some_thing": "x", "_": "y"}),
            json!({"exit_code": 1}),
        );
    }

    #[test]
    fn no_field_of_the_line_takes_the_place_of_ours_or_of_another() {
        check(
            json!({"time_adjusted": "a", "EventId": "b", "eventId": "c", "event_id": "d", "TimeAdjusted": "e", "agent.type": "f", "agentType": "g", "atomicVersion": "1", "version": "2"}),
            json!({"event_id": "c", "event_id_2": "d", "version": "1", "version_2": "2", "agent_type": "g", "time_adjusted": "a", "event_id_3": "b", "time_adjusted_2": "e", "agent_type_2": "f"}),
            json!({}),
        );
        let (item, _) = wrapped(&event(json!({"Timestamp": "a"})));
        assert_eq!(
            item["data"]["baseData"]["properties"],
            json!({"timestamp": "2026-11-20T12:00:00.000Z", "timestamp_2": "a"})
        );
    }

    #[test]
    fn a_tenth_field_of_one_key_is_left_out_and_counted() {
        let fields: Map<String, Value> = (1..=10)
            .map(|number| (format!("a{}", ".".repeat(number)), json!(number)))
            .collect();
        let (item, fields_refused) = wrapped(&event(Value::Object(fields)));
        assert_eq!(
            item["data"]["baseData"]["measurements"]
                .as_object()
                .unwrap()
                .len(),
            9
        );
        assert_eq!(fields_refused, ["a.........."]);
    }

    #[test]
    fn an_event_whose_name_looks_personal_is_not_sent() {
        for name in ["alice@example.com", "/home/alice/x"] {
            let event = Event {
                name: name.into(),
                ..event(json!({}))
            };
            assert_eq!(
                wrap_with(&event, &Policy::Default),
                Err(DropReason::Malformed("its name looks personal"))
            );
        }
    }

    #[test]
    fn a_name_that_is_personal_itself_is_counted_without_being_told() {
        let (_, fields_refused) = wrapped(&event(json!({"/home/alice": 1, "cwd": "x"})));
        assert_eq!(fields_refused, ["(name withheld)", "cwd"]);
    }

    fn check_cut(text: &str, units_max: usize, expected: &str) {
        assert_eq!(cut(text, units_max), expected);
    }

    #[test]
    fn texts_are_cut_between_characters_at_their_utf_16_length() {
        check_cut("abc", 4, "abc");
        check_cut("abc", 3, "abc");
        check_cut("abc", 2, "ab");
        check_cut("é😀b", 3, "é😀");
        check_cut("é😀b", 2, "é");
        check_cut("", 0, "");
        check_cut("a", 0, "");
    }

    #[test]
    fn names_and_keys_are_cut_at_their_limits() {
        for (length, expected) in [(511, 511), (512, 512), (513, 512)] {
            let event = Event {
                name: "x".repeat(length).into(),
                ..event(json!({}))
            };
            assert_eq!(
                wrapped(&event).0["data"]["baseData"]["name"]
                    .as_str()
                    .unwrap()
                    .len(),
                expected
            );
        }
        for (length, expected) in [(149, 149), (150, 150), (151, 150)] {
            check(
                json!({"k".repeat(length): "v"}),
                json!({"k".repeat(expected): "v"}),
                json!({}),
            );
            check(
                json!({"k".repeat(length): 1}),
                json!({}),
                json!({"k".repeat(expected): 1}),
            );
        }
        let (long, longer) = ("k".repeat(151), "k".repeat(152));
        check(
            json!({&long: "a", &longer: "b"}),
            json!({"k".repeat(150): "a", ("k".repeat(148) + "_2"): "b"}),
            json!({}),
        );
    }

    #[test]
    fn values_are_cut_at_8192() {
        let commands = |length: usize| vec!["x"; length];
        for (length, expected) in [(4096, 8191), (4097, 8192), (4098, 8192)] {
            let (item, _) = wrapped(&event(json!({"commands": commands(length)})));
            assert_eq!(
                item["data"]["baseData"]["properties"]["commands"]
                    .as_str()
                    .unwrap()
                    .len(),
                expected
            );
        }
    }

    #[test]
    fn tags_are_cut_at_their_limits() {
        for (name, tag, max) in [
            ("anonymousId", "ai.user.id", 128),
            ("sessionId", "ai.session.id", 64),
            ("eventId", "ai.operation.id", 128),
        ] {
            for (length, expected) in [(max - 1, max - 1), (max, max), (max + 1, max)] {
                let (item, _) = wrapped(&event(json!({name: "x".repeat(length)})));
                assert_eq!(item["tags"][tag].as_str().unwrap().len(), expected, "{tag}");
            }
        }
        let long = "x".repeat(2000);
        let frame = Frame::new("K", &long, at(NOW), &Policy::Default);
        let item: Value =
            serde_json::from_slice(&wrap(&event(json!({})), &frame).unwrap().json).unwrap();
        assert_eq!(item["tags"]["ai.cloud.role"].as_str().unwrap().len(), 256);
    }

    #[test]
    fn an_envelope_of_65_536_bytes_is_sent_and_one_more_byte_is_too_long() {
        let of_length = |last: usize| {
            let fields: Map<String, Value> = (0..344)
                .map(|n| {
                    (
                        format!("k{n:03}"),
                        json!("x".repeat(if n == 0 { last } else { 180 })),
                    )
                })
                .collect();
            wrap_with(&event(Value::Object(fields)), &Policy::Default)
        };
        let rest = ENVELOPE_BYTES_MAX - of_length(0).unwrap().json.len();
        assert!(rest < 200, "{rest}");
        assert_eq!(of_length(rest).unwrap().json.len(), ENVELOPE_BYTES_MAX);
        assert_eq!(of_length(rest + 1), Err(DropReason::TooLong));
    }

    #[test]
    fn nothing_personal_is_ever_in_the_bytes() {
        const CANARIES: [&str; 9] = [
            "canary-alice",
            "canary-laptop",
            "/home/canary",
            "canary@example.com",
            "canary please fix the login page of our shop now",
            "ghp_canary0123456789",
            "C:\\Users\\canary",
            "https://canary:pw@example.com/",
            "Bearer canary",
        ];
        let mut fields = Map::new();
        for name in [
            "user",
            "userName",
            "hostname",
            "homeDir",
            "cwd",
            "email",
            "prompt",
            "message",
            "apiKey",
            "access_token",
            "args",
            "transcript_path",
        ] {
            for (number, canary) in CANARIES.iter().enumerate() {
                fields.insert(format!("{name}{number}"), json!(canary));
                fields.insert(format!("{name}List{number}"), json!([canary]));
            }
        }
        // The first two look like anything else; only a name can tell what they are.
        for name in [
            "model",
            "detail",
            "source",
            "version",
            "eventId",
            "anonymousId",
            "command",
            "x",
        ] {
            for (number, canary) in CANARIES.iter().enumerate().skip(2) {
                fields.insert(format!("{name}_{number}"), json!(canary));
                fields.insert(format!("o_{name}_{number}"), json!({"a": canary}));
                fields.insert(format!("{canary} {name}"), json!(true));
            }
            fields.insert(name.to_owned(), json!(CANARIES[fields.len() % 7 + 2]));
        }
        fields.insert("commands".to_owned(), json!(["/commit", CANARIES[2]]));
        let envelope = wrap_with(&event(Value::Object(fields)), &Policy::Default).unwrap();
        let text = String::from_utf8(envelope.json).unwrap();
        assert!(!text.contains("canary"), "{text}");
        assert!(envelope.fields_refused.len() > 300);
        assert!(
            !envelope
                .fields_refused
                .iter()
                .any(|name| name.contains("canary"))
        );
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            ".{0,220}".prop_map(Value::from),
            "[a-z]{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 24, 12, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..12).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{0,8}", inner, 0..5).prop_map(|map| json!(map))
            ]
        })
    }

    fn any_name() -> impl Strategy<Value = String> {
        prop_oneof![
            ".{0,200}",
            "[a-zA-Z_.]{0,12}",
            Just("commands".to_owned()),
            Just("eventId".to_owned()),
            Just("version".to_owned())
        ]
    }

    proptest! {
        #[test]
        fn an_envelope_is_always_within_the_limits(
            name in "[a-z😀]{1,600}", seconds in any::<Option<i32>>(), fields in prop::collection::vec((any_name(), any_value()), 0..12), is_strict in any::<bool>()
        ) {
            let time = seconds.and_then(|seconds| DateTime::from_timestamp(seconds.into(), 0));
            let names = fields.iter().map(|(name, _)| name.clone()).collect();
            let policy = if is_strict { Policy::Strict(names) } else { Policy::Default };
            let fields: Map<String, Value> = fields.into_iter().collect();
            let count = fields.len();
            let event = Event { name: name.into(), time, ..event(Value::Object(fields)) };
            let Ok(envelope) = wrap_with(&event, &policy) else { return Ok(()) };
            prop_assert!(envelope.json.len() <= ENVELOPE_BYTES_MAX);
            let item: Value = serde_json::from_slice(&envelope.json).unwrap();
            let data = &item["data"]["baseData"];
            let sent = data["properties"].as_object().unwrap();
            for (key, value) in sent {
                prop_assert!(key.encode_utf16().count() <= KEY_UNITS_MAX);
                prop_assert!(value.as_str().unwrap().encode_utf16().count() <= VALUE_UNITS_MAX);
            }
            let measurements = data.get("measurements").and_then(Value::as_object).cloned().unwrap_or_default();
            prop_assert!(measurements.values().all(|value| value.as_f64().unwrap().is_finite()));
            let ours = 1 + usize::from(sent.contains_key("time_adjusted"));
            prop_assert!(sent.len() + measurements.len() + envelope.fields_refused.len() <= count + ours);
        }
    }
}
