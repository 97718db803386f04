//! A line of a buffer → the [`Event`] in it, or the reason why there is none. Nothing here does I/O
//! and nothing panics, whatever the bytes are: any program may have written them, or a power cut.

mod glue;
mod mend;

use crate::field::{self, Field, Fields};
use crate::timestamp;
use crate::utf16;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use std::borrow::Cow;

pub use glue::{Piece, pieces, split_torn};

/// Why a line leaves the buffer without being delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Older than the age limit, 30 days unless configured otherwise.
    TooOld,
    /// Among the oldest lines of a buffer over its 50 MB cap.
    OverCap,
    /// Over 32 KiB as a line, or over Breeze's 65,536 bytes once encoded.
    TooLong,
    /// The beginning of a line whose end was never written.
    Torn,
    /// Not an event; the text says what is wrong, in words.
    Malformed(&'static str),
    /// The server refused it for good.
    Refused,
}

impl DropReason {
    /// Every reason once, for tables and look-ups by key.
    pub const ALL: [DropReason; 6] = [
        DropReason::TooOld,
        DropReason::OverCap,
        DropReason::TooLong,
        DropReason::Torn,
        DropReason::Malformed(""),
        DropReason::Refused,
    ];

    /// The name used in JSON and in logs.
    pub fn key(self) -> &'static str {
        match self {
            DropReason::TooOld => "too_old",
            DropReason::OverCap => "over_cap",
            DropReason::TooLong => "too_long",
            DropReason::Torn => "torn",
            DropReason::Malformed(_) => "malformed",
            DropReason::Refused => "refused",
        }
    }

    /// The words used for people, as in "dropped 8 older than 30 days".
    pub fn words(self) -> &'static str {
        match self {
            DropReason::TooOld => "too old",
            DropReason::OverCap => "over the cap",
            DropReason::TooLong => "too long",
            DropReason::Torn => "torn",
            DropReason::Malformed(_) => "malformed",
            DropReason::Refused => "refused by the server",
        }
    }

    /// Whether such a line is written into rejected.jsonl: something is wrong with the line itself.
    pub fn is_written_down(self) -> bool {
        matches!(
            self,
            DropReason::TooLong | DropReason::Torn | DropReason::Malformed(_) | DropReason::Refused
        )
    }
}

/// One event, as its producer wrote it, borrowed from its line as far as that can be.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// What happened, for example `cli_command`; never empty.
    pub name: Cow<'a, str>,
    /// When it happened; `None` if the line has no timestamp that can be read and can be true. What it has
    /// instead is the field `timestamp_text`.
    pub time: Option<DateTime<Utc>>,
    /// Everything else, in the line's order.
    pub fields: Fields<'a>,
}

impl Event<'_> {
    /// The same without its line.
    fn into_owned(self) -> Event<'static> {
        Event {
            name: field::owned(self.name),
            time: self.time,
            fields: field::all_owned(self.fields),
        }
    }
}

/// What the age of an event is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    /// The time of this pass.
    pub now: DateTime<Utc>,
    /// The oldest that is sent, in days; `None` if the clock is not to be trusted and no age is judged.
    pub days_max: Option<i64>,
}

/// A line of JSON that holds something else.
const NOT_AN_OBJECT: DropReason = DropReason::Malformed("not a JSON object");

/// An object that is no event.
const NO_NAME: DropReason = DropReason::Malformed("has no event name");

/// The keys that may hold the event's name; the first that holds a text wins.
const NAME_KEYS: [&str; 3] = ["eventType", "event_type", "name"];

/// The field that says what a timestamp was that cannot be read or cannot be true.
pub const TIMESTAMP_TEXT: &str = "timestamp_text";

/// The event in a line, if it is not too old.
pub fn parse<'a>(line: &'a [u8], age: &Age) -> Result<Event<'a>, DropReason> {
    let event = read(line)?;
    match event.time {
        Some(time) if is_too_old(time, age) => Err(DropReason::TooOld),
        _ => Ok(event),
    }
}

/// The JSON object in a text that any program may have written, PowerShell into a pipe too.
pub fn object(text: &[u8]) -> Result<Map<String, Value>, DropReason> {
    let decoded = utf16::begins(text).map(|order| utf16::decode(text, order));
    let text = mended(decoded.as_deref().map_or(text, str::as_bytes));
    let fields = read_fields(&text)?.into_iter();
    Ok(fields
        .map(|(name, value)| (name.into_owned(), value.into()))
        .collect())
}

/// True for lines that hold nothing: white space, NULs, a byte order mark.
pub fn is_blank(line: &[u8]) -> bool {
    strip(line).is_empty()
}

fn is_too_old(time: DateTime<Utc>, age: &Age) -> bool {
    // A limit too large for a TimeDelta is no limit.
    let limit = age.days_max.and_then(TimeDelta::try_days);
    limit.is_some_and(|limit| age.now.signed_duration_since(time) > limit)
}

fn has_id(fields: &Fields) -> bool {
    let id = fields.get("eventId").or_else(|| fields.get("event_id"));
    id.and_then(Field::as_str).is_some_and(|id| !id.is_empty())
}

/// The event in a line, however old.
pub fn read(line: &[u8]) -> Result<Event<'_>, DropReason> {
    match mended(line) {
        Cow::Borrowed(text) => read_text(text),
        Cow::Owned(text) => read_text(&text).map(Event::into_owned),
    }
}

fn read_text(text: &str) -> Result<Event<'_>, DropReason> {
    let mut fields = read_fields(text)?;
    let name = take_name(&mut fields).ok_or(NO_NAME)?;
    let timestamp = fields.remove("timestamp").unwrap_or(Field::Null);
    let time = timestamp::read(&timestamp);
    if time.is_none()
        && let Some(text) = timestamp_text(timestamp)
        && !fields.has(TIMESTAMP_TEXT)
    {
        fields.push(TIMESTAMP_TEXT.into(), text);
    }
    Ok(Event { name, time, fields })
}

/// What a timestamp says that is no time; `None` if it says nothing.
fn timestamp_text(timestamp: Field) -> Option<Field> {
    let text = match timestamp {
        Field::Text(text) => text.trim().to_owned(),
        Field::Number(number) => number.to_string(),
        Field::Bool(bool) => bool.to_string(),
        Field::Null => return None,
        other => return Some(other),
    };
    (!text.is_empty()).then_some(Field::Text(text.into()))
}

/// The fields of a JSON object, with numbers that `serde_json` cannot read or would round.
fn read_fields(text: &str) -> Result<Fields<'_>, DropReason> {
    let strict = serde_json::from_str(text);
    if strict.as_ref().map_or(true, Field::is_rounded)
        && let Some(mended) = mend::numbers(text)
        && let Ok(Field::Object(mut fields)) = serde_json::from_str(&mended.text)
    {
        for name in mended.lost {
            if fields.get(&name) == Some(&Field::Null) {
                fields.insert(name.into(), Field::NoNumber);
            }
        }
        return Ok(field::all_owned(fields));
    }
    match strict.map_err(|error| malformed(&error))? {
        Field::Object(fields) => Ok(fields),
        _ => Err(NOT_AN_OBJECT),
    }
}

/// NULs are what a power cut leaves, a byte order mark what PowerShell writes, `\r` what Windows does.
fn strip(line: &[u8]) -> &[u8] {
    let is_nothing = |byte: &u8| *byte == 0 || byte.is_ascii_whitespace();
    let mut rest = line;
    loop {
        match rest {
            [0xEF, 0xBB, 0xBF, after @ ..] => rest = after,
            [0xFF, 0xFE] | [0xFE, 0xFF] => return &[],
            [first, after @ ..] if is_nothing(first) => rest = after,
            [before @ .., last] if is_nothing(last) => rest = before,
            _ => return rest,
        }
    }
}

/// What stands in a line as `serde_json` can read it.
fn mended(line: &[u8]) -> Cow<'_, str> {
    let line = strip(line);
    // Far faster than the lossy way where nothing is lost.
    let text =
        std::str::from_utf8(line).map_or_else(|_| String::from_utf8_lossy(line), Cow::Borrowed);
    match text {
        text if !text.contains("\\u") => text,
        text => Cow::Owned(mend::replace_lone_surrogates(&text)),
    }
}

/// `serde_json` has no public kind for its recursion limit (128 levels), only these words.
fn malformed(error: &serde_json::Error) -> DropReason {
    DropReason::Malformed(if error.to_string().contains("recursion limit exceeded") {
        "nested too deeply"
    } else {
        "not JSON"
    })
}

/// Shift, not swap: removing a field must not change the order of the others.
fn take_name<'a>(fields: &mut Fields<'a>) -> Option<Cow<'a, str>> {
    let is_name = |value: &Field| value.as_str().is_some_and(|name| !name.trim().is_empty());
    let key = NAME_KEYS
        .into_iter()
        .find(|key| fields.get(key).is_some_and(is_name))?;
    match fields.remove(key) {
        Some(Field::Text(Cow::Borrowed(name))) => Some(Cow::Borrowed(name.trim())),
        Some(Field::Text(Cow::Owned(name))) => Some(Cow::Owned(name.trim().to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const NOW: &str = "2026-11-20T12:00:00Z";

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text)
            .unwrap()
            .with_timezone(&Utc)
    }

    fn thirty_days() -> Age {
        Age {
            now: at(NOW),
            days_max: Some(30),
        }
    }

    fn no_limit() -> Age {
        Age {
            now: at(NOW),
            days_max: None,
        }
    }

    #[test]
    fn a_line_with_something_wrong_in_it_is_written_down() {
        for reason in DropReason::ALL {
            let is_the_lines_fault = !matches!(reason, DropReason::TooOld | DropReason::OverCap);
            assert_eq!(
                reason.is_written_down(),
                is_the_lines_fault,
                "{}",
                reason.key()
            );
        }
    }

    fn check_fields(line: &[u8], name: &str, fields: &Value) {
        let event = parse(line, &no_limit()).unwrap();
        assert_eq!(
            (&*event.name, Field::Object(event.fields)),
            (name, Field::from(fields.clone())),
            "{line:?}"
        );
    }

    fn check_malformed(line: &str, what: &'static str) {
        assert_eq!(
            parse(line.as_bytes(), &no_limit()),
            Err(DropReason::Malformed(what)),
            "{line}"
        );
    }

    fn check_time(timestamp: &str, expected: Option<&str>) {
        let line = format!(r#"{{"name":"x","timestamp":{timestamp}}}"#);
        let event = parse(line.as_bytes(), &no_limit()).unwrap();
        assert_eq!(event.time, expected.map(at), "{timestamp}");
        let is_text = event.fields.has("timestamp_text");
        assert_eq!(event.fields.len(), usize::from(is_text), "{timestamp}");
        assert!(expected.is_none() || !is_text, "a time needs no text");
    }

    #[test]
    fn a_line_becomes_an_event_with_its_fields_in_order() {
        let line = br#"{"z":1,"eventType":"cli_command","y":2,"timestamp":"2026-11-20T03:04:05.678Z","a":[1],"m":null}"#;
        let event = parse(line, &thirty_days()).unwrap();
        assert_eq!(
            (&*event.name, event.time),
            ("cli_command", Some(at("2026-11-20T03:04:05.678Z")))
        );
        assert_eq!(
            event
                .fields
                .iter()
                .map(|(name, _)| name)
                .collect::<Vec<_>>(),
            ["z", "y", "a", "m"]
        );
    }

    #[test]
    fn the_name_is_the_first_key_that_holds_one_and_only_that_key_goes() {
        check_fields(
            br#"{"eventType":"a","event_type":"b","name":"c"}"#,
            "a",
            &json!({"event_type":"b","name":"c"}),
        );
        check_fields(
            br#"{"event_type":"b","name":"c"}"#,
            "b",
            &json!({"name":"c"}),
        );
        check_fields(br#"{"name":"c"}"#, "c", &json!({}));
        check_fields(
            br#"{"eventType":"","name":" c "}"#,
            "c",
            &json!({"eventType":""}),
        );
    }

    #[test]
    fn what_is_no_event_is_malformed_and_says_why() {
        check_malformed("{", "not JSON");
        check_malformed(r#"{"name":"x"} {"#, "not JSON");
        check_malformed(r#"{"name":"x","n":undefined}"#, "not JSON");
        check_malformed(r#"{"name":"x","n":-}"#, "not JSON");
        check_malformed("", "not JSON");
        for line in ["[]", "1", "null", "\"name\""] {
            check_malformed(line, "not a JSON object");
        }
        for line in [
            "{}",
            r#"{"name":""}"#,
            r#"{"name":"  "}"#,
            r#"{"name":7}"#,
            r#"{"eventType":null}"#,
        ] {
            check_malformed(line, "has no event name");
        }
    }

    #[test]
    fn a_depth_bomb_is_named_as_one() {
        check_malformed(&"[".repeat(32 * 1024), "nested too deeply");
        check_malformed(&"{\"a\":".repeat(6000), "nested too deeply");
        let nested = |depth| {
            format!(
                r#"{{"name":"x","a":{}{}}}"#,
                "[".repeat(depth),
                "]".repeat(depth)
            )
        };
        assert!(parse(nested(126).as_bytes(), &no_limit()).is_ok());
        check_malformed(&nested(127), "nested too deeply");
    }

    #[test]
    fn dirt_around_a_line_is_ignored() {
        let plain = r#"{"name":"x","a":1}"#;
        for (before, after) in [
            ("\0\0", "\0"),
            ("\u{feff}", "\r"),
            ("\0\u{feff} \t", " \0 \r"),
            (" ", "\n"),
        ] {
            check_fields(
                format!("{before}{plain}{after}").as_bytes(),
                "x",
                &json!({"a":1}),
            );
        }
    }

    #[test]
    fn invalid_utf_8_is_read_with_replacement_characters() {
        check_fields(
            b"{\"name\":\"x\",\"a\":\"\xff\xc3\"}",
            "x",
            &json!({"a":"\u{fffd}\u{fffd}"}),
        );
    }

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_are_kept() {
        let check = |escaped: &str, expected: &str| {
            let line = format!(r#"{{"name":"x","a":"{escaped}"}}"#);
            check_fields(line.as_bytes(), "x", &json!({ "a": expected }));
        };
        check(r"\ud83d\ude00", "😀");
        check(r"a\ud800b", "a\u{fffd}b");
        check(r"\uDC00", "\u{fffd}");
        check(r"\ude00\ud83d", "\u{fffd}\u{fffd}");
        check(r"\ud83d\ud83d\ude00", "\u{fffd}😀");
        check(r"\ud800\n\u00e9", "\u{fffd}\né");
        check(r"\\ud800", r"\ud800");
        check(r"\\\ud800", "\\\u{fffd}");
        check(r"\ud800\\ude00", "\u{fffd}\\ude00");
    }

    #[test]
    fn the_last_of_two_equal_keys_wins() {
        check_fields(
            br#"{"name":"x","a":1,"b":2,"a":3}"#,
            "x",
            &json!({"a":3,"b":2}),
        );
    }

    #[test]
    fn the_time_of_an_event_is_its_timestamp() {
        check_time(
            r#""2026-11-20T05:04:05+02:00""#,
            Some("2026-11-20T03:04:05Z"),
        );
        check_time("1795143845.678", Some("2026-11-20T03:04:05.678Z"));
        check_time("null", None);
        assert_eq!(
            parse(br#"{"name":"x"}"#, &thirty_days()).unwrap().time,
            None
        );
    }

    fn check_timestamp_text(timestamp: &str, expected: Option<&str>) {
        let line = format!(r#"{{"name":"x","timestamp":{timestamp},"a":1}}"#);
        let event = parse(line.as_bytes(), &thirty_days()).unwrap();
        let text = event.fields.get("timestamp_text");
        assert_eq!(
            (event.time, text.and_then(Field::as_str)),
            (None, expected),
            "{timestamp}"
        );
        assert_eq!(
            event.fields.has("timestamp_text"),
            expected.is_some(),
            "{timestamp}"
        );
    }

    #[test]
    fn a_timestamp_that_is_no_time_is_kept_as_text() {
        check_timestamp_text(r#"" yesterday ""#, Some("yesterday"));
        check_timestamp_text(r#""2026-13-20T03:04:05Z""#, Some("2026-13-20T03:04:05Z"));
        check_timestamp_text("true", Some("true"));
        check_timestamp_text("1e300", Some("1e+300"));
        check_timestamp_text("99999999999999999999999", Some("99999999999999999999999"));
        for nothing in ["null", r#""""#, r#"" ""#] {
            check_timestamp_text(nothing, None);
        }
        let long = "é".repeat(400);
        check_timestamp_text(&format!("\"{long}\""), Some(&long));
    }

    #[test]
    fn a_time_that_cannot_be_true_is_kept_as_text_and_never_too_old() {
        check_timestamp_text("0", Some("0"));
        check_timestamp_text("-1", Some("-1"));
        for text in [
            "0001-01-01T00:00:00Z",
            "1970-01-01T00:00:00Z",
            "2019-12-31T23:59:59Z",
        ] {
            check_timestamp_text(&format!("\"{text}\""), Some(text));
        }
    }

    #[test]
    fn a_timestamp_of_another_shape_is_counted_and_never_replaces_a_field() {
        let read = |line: &'static str| read(line.as_bytes()).unwrap().fields;
        let fields = read(r#"{"name":"x","timestamp":{"a":1}}"#);
        assert!(matches!(
            fields.get("timestamp_text"),
            Some(Field::Object(_))
        ));
        let fields = read(r#"{"name":"x","timestamp":NaN}"#);
        assert_eq!(fields.get("timestamp_text"), Some(&Field::NoNumber));
        let fields = read(r#"{"name":"x","timestamp":"soon","timestamp_text":"mine"}"#);
        assert_eq!(
            fields.get("timestamp_text").and_then(Field::as_str),
            Some("mine")
        );
    }

    fn check_field(value: &str, expected: Field) {
        let line = format!(r#"{{"a":1,"name":"x","b":{value}}}"#);
        let event = parse(line.as_bytes(), &no_limit()).unwrap();
        assert_eq!(
            event.fields.get("a"),
            Some(&Field::Number(1.into())),
            "{value}"
        );
        assert_eq!(event.fields.get("b"), Some(&expected), "{value}");
        assert_eq!(
            serde_json::to_string(&expected).unwrap(),
            Value::from(expected).to_string()
        );
    }

    #[test]
    fn what_is_no_number_costs_the_field_and_not_the_event() {
        for value in ["NaN", "Infinity", "-Infinity", "1e999", "-1e400", "nan"] {
            check_field(value, Field::NoNumber);
            check_field(&format!("[1,{value}]"), json!([1, null]).into());
            check_field(&format!("{{\"b\":{value}}}"), json!({"b": null}).into());
            check_field(&format!("\"{value}\""), json!(value).into());
        }
        // The last of two equal keys wins.
        check_field(r#"NaN,"b":2"#, json!(2).into());
        check_field(r#"2,"b":NaN"#, Field::NoNumber);
        // And what else is mended stays mended.
        check_field(r#"[NaN,"\ud800"]"#, json!([null, "\u{fffd}"]).into());
    }

    #[test]
    fn an_integer_beyond_64_bits_keeps_its_digits() {
        check_field("18446744073709551615", json!(u64::MAX).into());
        check_field("-9223372036854775808", json!(i64::MIN).into());
        for digits in [
            "18446744073709551616",
            "-9223372036854775809",
            "123456789012345678901234567890",
        ] {
            check_field(digits, json!(digits).into());
            check_field(&format!("[{digits}]"), json!([digits]).into());
            check_field(&format!("{{\"a\":{digits}}}"), json!({"a": digits}).into());
        }
        check_field("1e300", json!(1e300).into());
        check_field(
            "18446744073709551616.0",
            json!(18_446_744_073_709_551_616.0).into(),
        );
    }

    #[test]
    fn an_object_in_a_pipe_is_read_as_a_line_is() {
        let check = |text: &[u8], expected: Value| {
            assert_eq!(object(text).map(Value::Object), Ok(expected), "{text:?}");
        };
        check(
            b"\xEF\xBB\xBF{\"a\":NaN,\"b\":1}\r\n",
            json!({"a": null, "b": 1}),
        );
        check(
            br#"{"a":18446744073709551616}"#,
            json!({"a": "18446744073709551616"}),
        );
        let text = r#"{"a":"é上😀"}"#;
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        check(&little, json!({"a": "é上😀"}));
        check(
            &[b"\xFF\xFE", &little[..], b"\r\0\n\0"].concat(),
            json!({"a": "é上😀"}),
        );
        check(
            &[b"\xFE\xFF", &big[..], b"\0\n"].concat(),
            json!({"a": "é上😀"}),
        );
        assert_eq!(object(b"[1]"), Err(NOT_AN_OBJECT));
    }

    fn check_age(timestamp: &str, age: &Age, is_sent: bool) {
        let line = format!(r#"{{"name":"x","timestamp":"{timestamp}"}}"#);
        let expected = if is_sent {
            None
        } else {
            Some(DropReason::TooOld)
        };
        assert_eq!(parse(line.as_bytes(), age).err(), expected, "{timestamp}");
    }

    #[test]
    fn an_event_exactly_30_days_old_is_sent() {
        check_age("2026-10-21T12:00:00Z", &thirty_days(), true);
    }

    #[test]
    fn one_second_more_is_dropped_as_too_old() {
        check_age("2026-10-21T11:59:59Z", &thirty_days(), false);
        check_age("2020-01-01T00:00:00Z", &thirty_days(), false);
    }

    #[test]
    fn the_future_is_never_too_old() {
        check_age("9999-12-31T23:59:60Z", &thirty_days(), true);
        check_age(
            "2026-11-20T12:00:01Z",
            &Age {
                days_max: Some(0),
                ..thirty_days()
            },
            true,
        );
    }

    #[test]
    fn without_a_trusted_clock_or_with_a_limit_beyond_time_no_age_is_judged() {
        check_age("2020-01-01T00:00:00Z", &no_limit(), true);
        check_age(
            "2020-01-01T00:00:00Z",
            &Age {
                days_max: Some(i64::MAX),
                ..thirty_days()
            },
            true,
        );
    }

    #[test]
    fn a_line_of_nothing_is_blank() {
        for line in ["", " \t\r\n", "\0\0\0", "\u{feff}", "\0\u{feff}\r"] {
            assert!(is_blank(line.as_bytes()), "{line:?}");
        }
        assert!(is_blank(b"\xFF\xFE\r\0"), "a line of UTF-16");
        for line in ["{}", "\0x", "x\u{feff}", "\u{a0}"] {
            assert!(!is_blank(line.as_bytes()), "{line:?}");
        }
    }

    #[test]
    fn every_reason_has_its_own_key_and_words() {
        let keys = DropReason::ALL.map(DropReason::key);
        assert_eq!(
            keys,
            [
                "too_old",
                "over_cap",
                "too_long",
                "torn",
                "malformed",
                "refused"
            ]
        );
        let words = DropReason::ALL.map(DropReason::words);
        assert_eq!(
            words,
            [
                "too old",
                "over the cap",
                "too long",
                "torn",
                "malformed",
                "refused by the server"
            ]
        );
    }

    /// They are in order, and nothing is between them but blanks and commas.
    fn check_pieces(line: &[u8]) {
        let mut end = 0;
        for Piece { range, is_whole } in pieces(line) {
            let between = &line[end..range.start];
            let is_between = |byte: &u8| byte.is_ascii_whitespace() || [0, b','].contains(byte);
            assert!(between.iter().all(is_between), "{line:?}");
            assert!(
                !is_whole || object(&line[range.clone()]).is_ok(),
                "{line:?}"
            );
            end = range.end;
        }
        assert!(
            is_blank(&line[end..]) || line[end..].contains(&b','),
            "{line:?}"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(line in any::<Vec<u8>>(), days_max in any::<Option<i64>>()) {
            let _ = parse(&line, &Age { now: at(NOW), days_max });
            let _ = is_blank(&line);
            prop_assert!(split_torn(&line).is_none_or(|start| 0 < start && start < line.len()));
            check_pieces(&line);
        }

        #[test]
        fn no_almost_json_makes_it_panic(line in r#"([{}\[\]":,0-9eE.\-]|\\u[dD][89cCfF]0{0,2}|\\|"name"|"timestamp"|é|😀){0,60}"#) {
            let _ = parse(line.as_bytes(), &thirty_days());
            check_pieces(line.as_bytes());
        }

        #[test]
        fn no_timestamp_makes_it_panic(number in any::<f64>(), text in any::<String>()) {
            let line = |timestamp: Value| json!({"name":"x","timestamp":timestamp}).to_string();
            prop_assert!(parse(line(json!(number)).as_bytes(), &no_limit()).is_ok());
            prop_assert!(parse(line(json!(text)).as_bytes(), &no_limit()).is_ok());
        }
    }
}
