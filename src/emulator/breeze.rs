//! What Breeze makes of a body and of each item in it, without any I/O.
//!
//! Types, limits and messages are those of Microsoft's published schema and of answers of the real
//! service that people quoted. The service refuses what is too long, it never shortens; and it
//! counts UTF-16 units. Only the first fault of an item is reported.

use super::fault::Fault;
use super::{reply, schema};
use crate::os;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Deserializer, Map, Value, json};

/// Bytes of one item.
const ITEM_BYTES_MAX: usize = 65_536;
/// How old an item may be: 48 hours.
const AGE_MAX: TimeDelta = TimeDelta::milliseconds(172_800_000);
/// How far ahead of the server's clock an item may be: 2 hours.
const AHEAD_MAX: TimeDelta = TimeDelta::milliseconds(7_200_000);

/// UTF-16 units of the envelope's own fields.
const TIME_UNITS_MAX: usize = 64;
const KEY_UNITS_MAX: usize = 40;

/// UTF-16 units of each tag. A tag that is not in this table has no limit but the item's.
const TAG_UNITS_MAX: [(&str, usize); 28] = [
    ("ai.application.ver", 1024),
    ("ai.device.id", 1024),
    ("ai.device.locale", 64),
    ("ai.device.model", 256),
    ("ai.device.oemName", 256),
    ("ai.device.osVersion", 256),
    ("ai.device.type", 64),
    ("ai.location.ip", 46),
    ("ai.location.country", 256),
    ("ai.location.province", 256),
    ("ai.location.city", 256),
    ("ai.operation.id", 128),
    ("ai.operation.name", 1024),
    ("ai.operation.parentId", 512),
    ("ai.operation.syntheticSource", 1024),
    ("ai.operation.correlationVector", 64),
    ("ai.session.id", 64),
    ("ai.session.isFirst", 5),
    ("ai.user.id", 128),
    ("ai.user.authUserId", 1024),
    ("ai.user.accountId", 1024),
    ("ai.cloud.role", 256),
    ("ai.cloud.roleVer", 256),
    ("ai.cloud.roleInstance", 256),
    ("ai.cloud.location", 256),
    ("ai.internal.sdkVersion", 64),
    ("ai.internal.agentVersion", 64),
    ("ai.internal.nodeName", 256),
];

const INVALID_KEY: &str = "Invalid instrumentation key";

/// A JSON object.
type Fields = Map<String, Value>;

/// Why one item was not accepted, as it stands in the reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ItemError {
    /// Its place in the body, from 0.
    pub index: usize,
    /// Its own status, with the meaning of an HTTP status.
    pub status_code: u16,
    /// The reason, which often begins with a code.
    pub message: String,
}

/// The items of a body: an array, one object, or objects one after the other. The content type does not
/// matter, to the real service neither.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Value>, Fault> {
    let text = os::without_byte_order_mark(body);
    let mut values = Deserializer::from_slice(text)
        .into_iter::<Value>()
        .peekable();
    if values.peek().is_none() {
        return Err(Fault::Empty);
    }
    let mut items = Vec::new();
    for value in values {
        match value.map_err(|err| not_json(&err, text, body.len() - text.len()))? {
            Value::Array(array) => items.extend(array),
            object @ Value::Object(_) => items.push(object),
            _ => return Err(Fault::NotItems),
        }
    }
    Ok(items)
}

/// Where a body stops being JSON. `text` is its rest, behind the first `bytes_before`.
fn not_json(err: &serde_json::Error, text: &[u8], bytes_before: usize) -> Fault {
    let lines = text.split_inclusive(|&byte| byte == b'\n');
    let lines_before = lines.take(err.line().saturating_sub(1));
    let byte = bytes_before + lines_before.map(<[u8]>::len).sum::<usize>() + err.column();
    if err.is_eof() {
        Fault::CutOff { byte }
    } else {
        Fault::NotJson { byte }
    }
}

/// The body of a reply.
pub(super) fn reply(received: usize, accepted: usize, errors: &[ItemError]) -> Vec<u8> {
    json!({"itemsReceived": received, "itemsAccepted": accepted, "appId": null, "errors": errors})
        .to_string()
        .into_bytes()
}

/// What Breeze says of an item that it refuses with this status. The service was quoted with the first two;
/// for the others HTTP's words have to do.
pub(super) fn words_of(status: u16) -> &'static str {
    match status {
        400 => INVALID_KEY,
        402 | 439 => "Daily quota exceeded",
        _ => match reply::reason(status) {
            "" => "Unknown",
            words => words,
        },
    }
}

/// Whether Breeze accepts an item, or the message with which it answers 400 for it.
pub(super) fn judge(item: &Value, now: DateTime<Utc>) -> Result<(), String> {
    check_size(item)?;
    let envelope = object(item, "item", "Envelope")?;
    check_key(envelope)?;
    schema::check(&schema::ENVELOPE, envelope)?;
    check_time(required_text(envelope, "time", "Envelope")?, now)?;
    check_tags(envelope)?;
    let data = required_object(envelope, "data", "Envelope")?;
    let base_type = required_text(data, "baseType", "Data")?;
    let base_data = required_object(data, "baseData", "Data")?;
    schema::check_data(base_type, base_data)
}

fn check_size(item: &Value) -> Result<(), String> {
    if item.to_string().len() > ITEM_BYTES_MAX {
        return Err(format!(
            "Telemetry item length must not exceed {ITEM_BYTES_MAX}"
        ));
    }
    Ok(())
}

/// Any well-formed key will do: the emulator has no resources that a key could belong to.
fn check_key(envelope: &Fields) -> Result<(), String> {
    let key = text(envelope, "iKey", "Envelope")?.unwrap_or("");
    check_length(key, KEY_UNITS_MAX, "iKey", "Envelope")?;
    let guid = match key.split_once('-') {
        Some((prefix, rest))
            if prefix.len() == 3 && !prefix.contains(|c: char| !c.is_ascii_alphabetic()) =>
        {
            rest
        }
        _ => key,
    };
    if !is_guid(guid) {
        return Err(INVALID_KEY.to_owned());
    }
    Ok(())
}

fn check_time(time: &str, now: DateTime<Utc>) -> Result<(), String> {
    check_length(time, TIME_UNITS_MAX, "time", "Envelope")?;
    let field = "Field 'time' on type 'Envelope'";
    let Ok(parsed) = DateTime::parse_from_rfc3339(time) else {
        return Err(format!(
            "102: {field} is not a valid time string. Expected: date, Actual: {time}"
        ));
    };
    let age = now.signed_duration_since(parsed);
    if age > AGE_MAX {
        let (expected, actual) = (AGE_MAX.num_milliseconds(), age.num_milliseconds());
        return Err(format!(
            "103: {field} is older than the allowed min date. Expected: now - {expected}ms, Actual: now - {actual}ms"
        ));
    }
    if -age > AHEAD_MAX {
        let (expected, actual) = (AHEAD_MAX.num_milliseconds(), -age.num_milliseconds());
        // Nobody has quoted the real code and text for a time in the future; these are our guess.
        return Err(format!(
            "104: {field} is newer than the allowed max date. Expected: now + {expected}ms, Actual: now + {actual}ms"
        ));
    }
    Ok(())
}

fn check_tags(envelope: &Fields) -> Result<(), String> {
    let Some(tags) = optional_object(envelope, "tags", "Envelope")? else {
        return Ok(());
    };
    for tag in tags.keys() {
        let value = text(tags, tag, "ContextTagKeys")?.unwrap_or("");
        if let Some((_, units_max)) = TAG_UNITS_MAX.iter().find(|(known, _)| known == tag) {
            check_length(value, *units_max, tag, "ContextTagKeys")?;
        }
    }
    Ok(())
}

/// A field that must hold text; SDKs write null for one they leave out.
fn text<'a>(map: &'a Fields, field: &str, on: &str) -> Result<Option<&'a str>, String> {
    match map.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong_type(field, on, "string", other)),
    }
}

fn required_text<'a>(map: &'a Fields, field: &str, on: &str) -> Result<&'a str, String> {
    match text(map, field, on)? {
        None | Some("") => Err(missing(field, on, "string")),
        Some(text) => Ok(text),
    }
}

pub(super) fn object<'a>(value: &'a Value, field: &str, on: &str) -> Result<&'a Fields, String> {
    value
        .as_object()
        .ok_or_else(|| wrong_type(field, on, "object", value))
}

pub(super) fn optional_object<'a>(
    map: &'a Fields,
    field: &str,
    on: &str,
) -> Result<Option<&'a Fields>, String> {
    match map.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => object(value, field, on).map(Some),
    }
}

fn required_object<'a>(map: &'a Fields, field: &str, on: &str) -> Result<&'a Fields, String> {
    optional_object(map, field, on)?.ok_or_else(|| missing(field, on, "object"))
}

pub(super) fn check_length(
    text: &str,
    units_max: usize,
    field: &str,
    on: &str,
) -> Result<(), String> {
    let units = text.encode_utf16().count();
    if units > units_max {
        return Err(format!(
            "100: Field '{field}' on type '{on}' is too long. Expected: {units_max} characters, Actual: {units}"
        ));
    }
    Ok(())
}

pub(super) fn wrong_type(field: &str, on: &str, expected: &str, actual: &Value) -> String {
    let actual = match actual {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    format!(
        "106: Field '{field}' on type '{on}' is of incorrect type. Expected: {expected}, Actual: {actual}"
    )
}

pub(super) fn missing(field: &str, on: &str, expected: &str) -> String {
    format!(
        "109: Field '{field}' on type '{on}' is required but missing or empty. Expected: {expected}, Actual: "
    )
}

fn is_guid(text: &str) -> bool {
    let mut lengths = [8, 4, 4, 4, 12].iter();
    let parts_fit = text.split('-').all(|part| {
        lengths.next() == Some(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    parts_fit && lengths.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-20T12:00:00Z";

    fn now() -> DateTime<Utc> {
        NOW.parse().unwrap()
    }

    fn envelope() -> Value {
        json!({"name": "Microsoft.ApplicationInsights.Event", "time": NOW,
            "iKey": "00000000-0000-4000-8000-000000000000", "tags": {"ai.user.id": "u"},
            "data": {"baseType": "EventData", "baseData": {
                "ver": 2, "name": "e", "properties": {"p": "v"}, "measurements": {"m": 1.5}}}})
    }

    /// Puts `value` at `pointer` into a good envelope and compares the message; "" means accepted.
    #[track_caller]
    fn check(pointer: &str, value: impl Into<Value>, message: &str) {
        let mut item = envelope();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        item.pointer_mut(parent).unwrap()[field] = value.into();
        assert_eq!(
            judge(&item, now()).err().unwrap_or_default(),
            message,
            "{pointer}"
        );
    }

    #[track_caller]
    fn check_missing(pointer: &str, message: &str) {
        let mut item = envelope();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        item.pointer_mut(parent)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove(field)
            .unwrap();
        assert_eq!(
            judge(&item, now()).err().unwrap_or_default(),
            message,
            "{pointer}"
        );
        check(pointer, Value::Null, message);
    }

    fn too_long(field: &str, on: &str, units_max: usize) -> String {
        let actual = units_max + 1;
        format!(
            "100: Field '{field}' on type '{on}' is too long. Expected: {units_max} characters, Actual: {actual}"
        )
    }

    /// The longest text is accepted, one character more is not.
    #[track_caller]
    fn check_limit(pointer: &str, field: &str, on: &str, units_max: usize) {
        check(pointer, "x".repeat(units_max), "");
        check(
            pointer,
            "x".repeat(units_max + 1),
            &too_long(field, on, units_max),
        );
    }

    #[test]
    fn required_fields_are_required() {
        let text = |field, on| missing(field, on, "string");
        check_missing("/name", &text("name", "Envelope"));
        check_missing("/time", &text("time", "Envelope"));
        check_missing("/data", &missing("data", "Envelope", "object"));
        check_missing("/data/baseType", &text("baseType", "Data"));
        check_missing("/data/baseData", &missing("baseData", "Data", "object"));
        check("/name", "", &text("name", "Envelope"));
        check("/data/baseType", "", &text("baseType", "Data"));
        check(
            "/data/baseData/name",
            "",
            "109: Field 'name' on type 'EventData' is required but missing or empty. Expected: string, Actual: ",
        );
    }

    #[test]
    fn other_fields_are_not() {
        for pointer in [
            "/tags",
            "/data/baseData/properties",
            "/data/baseData/measurements",
        ] {
            check_missing(pointer, "");
        }
        check("/seq", Value::Null, "");
        check("/unknown", json!([1]), "");
    }

    #[test]
    fn the_key_is_a_guid_with_or_without_a_prefix() {
        let invalid = "Invalid instrumentation key";
        check_missing("/iKey", invalid);
        for good in [
            "ABCDEF01-2345-6789-abcd-EF0123456789",
            "EAP-00000000-0000-4000-8000-000000000000",
            "ica-00000000-0000-4000-8000-000000000000",
        ] {
            check("/iKey", good, "");
        }
        for bad in [
            "",
            "key",
            "0000000000004000800000000000000",
            "00000000-0000-4000-8000-00000000000",
            "00000000-0000-4000-8000-00000000000g",
            "00000000-0000-4000-8000-000000000000-",
            "1AP-00000000-0000-4000-8000-000000000000",
        ] {
            check("/iKey", bad, invalid);
        }
        check("/iKey", "x".repeat(41), &too_long("iKey", "Envelope", 40));
        check(
            "/iKey",
            5,
            &wrong_type("iKey", "Envelope", "string", &json!(5)),
        );
    }

    #[test]
    fn a_time_may_be_48_hours_old_and_2_hours_ahead() {
        check("/time", "2026-11-18T12:00:00.000Z", "");
        check("/time", "2026-11-20T14:00:00.0000000000000Z", "");
        check("/time", "2026-11-20T16:00:00+02:00", "");
        check(
            "/time",
            "2026-11-18T11:59:59.999Z",
            "103: Field 'time' on type 'Envelope' is older than the allowed min date. Expected: now - 172800000ms, Actual: now - 172800001ms",
        );
        check(
            "/time",
            "2026-11-20T14:00:01Z",
            "104: Field 'time' on type 'Envelope' is newer than the allowed max date. Expected: now + 7200000ms, Actual: now + 7201000ms",
        );
    }

    #[test]
    fn a_time_that_is_none_is_quoted() {
        for bad in ["fake", "2026-11-20", "1795000000", "2026-13-20T12:00:00Z"] {
            let message = format!(
                "102: Field 'time' on type 'Envelope' is not a valid time string. Expected: date, Actual: {bad}"
            );
            check("/time", bad, &message);
        }
        check("/time", "9".repeat(65), &too_long("time", "Envelope", 64));
    }

    #[test]
    fn texts_have_limits() {
        check_limit("/name", "name", "Envelope", 1024);
        check_limit("/data/baseData/name", "name", "EventData", 512);
        check_limit(
            "/data/baseData/properties/p",
            "properties",
            "EventData",
            8192,
        );
        for (tag, units_max) in TAG_UNITS_MAX {
            check_limit(&format!("/tags/{tag}"), tag, "ContextTagKeys", units_max);
        }
        check("/tags/ai.unknown", "x".repeat(5000), "");
    }

    #[test]
    fn keys_have_limits() {
        for (field, value) in [("properties", json!("v")), ("measurements", json!(1))] {
            let pointer = |units| format!("/data/baseData/{field}/{}", "k".repeat(units));
            check(&pointer(150), value.clone(), "");
            check(&pointer(151), value, &too_long(field, "EventData", 150));
        }
    }

    #[test]
    fn lengths_are_counted_in_utf_16_units() {
        check("/data/baseData/name", "é".repeat(512), "");
        check("/data/baseData/name", "😀".repeat(256), "");
        check(
            "/data/baseData/name",
            "😀".repeat(256) + "x",
            &too_long("name", "EventData", 512),
        );
    }

    #[test]
    fn values_of_the_wrong_type_are_refused() {
        for (pointer, field, on, expected, value) in [
            ("/name", "name", "Envelope", "string", json!(1)),
            ("/time", "time", "Envelope", "string", json!(1_795_000_000)),
            ("/tags", "tags", "Envelope", "object", json!("t")),
            ("/tags/t", "t", "ContextTagKeys", "string", json!(true)),
            ("/data", "data", "Envelope", "object", json!([])),
            ("/data/baseData", "baseData", "Data", "object", json!("b")),
            (
                "/data/baseData/name",
                "name",
                "EventData",
                "string",
                json!({}),
            ),
            (
                "/data/baseData/properties",
                "properties",
                "EventData",
                "object",
                json!([]),
            ),
            (
                "/data/baseData/measurements",
                "measurements",
                "EventData",
                "object",
                json!(1),
            ),
            (
                "/data/baseData/measurements/m",
                "measurements",
                "EventData",
                "double",
                json!("1"),
            ),
        ] {
            check(
                pointer,
                value.clone(),
                &wrong_type(field, on, expected, &value),
            );
        }
        let message = "106: Field 'item' on type 'Envelope' is of incorrect type. Expected: object, Actual: number";
        assert_eq!(judge(&json!(1), now()), Err(message.to_owned()));
    }

    #[test]
    fn values_that_official_sdks_send_are_tolerated() {
        for value in [
            json!(1),
            json!(1.5),
            json!(true),
            json!(null),
            json!([1, "a"]),
            json!({"k": 1}),
        ] {
            check("/data/baseData/properties/p", value, "");
        }
        for value in [json!(1), json!(-1.5e300), json!(true), json!(null)] {
            check("/data/baseData/measurements/m", value, "");
        }
    }

    #[test]
    fn other_types_are_judged_too() {
        let data = |base_type, data: Value| json!({"baseType": base_type, "baseData": data});
        check("/data", data("MessageData", json!({"message": "m"})), "");
        check(
            "/data",
            data("MessageData", json!({})),
            &missing("message", "MessageData", "string"),
        );
        check("/data", data("UnknownData", json!({"message": 5})), "");
        check(
            "/data",
            json!({"baseType": "MessageData"}),
            &missing("baseData", "Data", "object"),
        );
    }

    #[test]
    fn an_item_has_at_most_65536_bytes() {
        let rest = envelope().to_string().len() + ",\"x\":\"\"".len();
        check("/x", "x".repeat(ITEM_BYTES_MAX - rest), "");
        check(
            "/x",
            "x".repeat(ITEM_BYTES_MAX - rest + 1),
            "Telemetry item length must not exceed 65536",
        );
    }

    #[test]
    fn a_body_is_an_array_an_object_or_lines_of_objects() {
        for (body, items) in [
            ("[]", Ok(0)),
            ("[{},{}]", Ok(2)),
            (" [\n{}\n]\n", Ok(1)),
            ("{}", Ok(1)),
            ("{\"a\":\n1}", Ok(1)),
            ("{}\n{}", Ok(2)),
            ("{}\n{}\n", Ok(2)),
            ("{}\r\n{}\r\n\r\n", Ok(2)),
            ("\u{feff}{}", Ok(1)),
            ("[1,{}]", Ok(2)),
            ("", Err(Fault::Empty)),
            ("\n", Err(Fault::Empty)),
            ("1", Err(Fault::NotItems)),
            ("\"a\"", Err(Fault::NotItems)),
            ("{}\n{", Err(Fault::CutOff { byte: 4 })),
            ("[{}", Err(Fault::CutOff { byte: 3 })),
            ("[{\"a\":NaN}]", Err(Fault::NotJson { byte: 7 })),
            ("{}\r\n{}\r\n{x", Err(Fault::NotJson { byte: 10 })),
            ("\u{feff}<html>", Err(Fault::NotJson { byte: 4 })),
            ("<html>", Err(Fault::NotJson { byte: 1 })),
        ] {
            assert_eq!(
                parse(body.as_bytes()).map(|items| items.len()),
                items,
                "{body:?}"
            );
        }
        assert_eq!(parse(b"\xff\xfe"), Err(Fault::NotJson { byte: 1 }));
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn a_reply_lists_what_was_refused() {
        let errors = [ItemError {
            index: 1,
            status_code: 400,
            message: "m".to_owned(),
        }];
        let expected = r#"{"itemsReceived":2,"itemsAccepted":1,"appId":null,"errors":[{"index":1,"statusCode":400,"message":"m"}]}"#;
        assert_eq!(String::from_utf8(reply(2, 1, &errors)).unwrap(), expected);
    }
}
