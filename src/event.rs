//! A line of a buffer → the [`Event`] in it, or the reason why there is none. Nothing here does I/O
//! and nothing panics, whatever the bytes are: any program may have written them, or a power cut.

use crate::field::{self, Field, Fields};
use crate::timestamp;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use std::borrow::Cow;

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
    /// When it happened; `None` if the line has no readable timestamp.
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

/// The keys that may hold the event's name; the first that holds a text wins.
const NAME_KEYS: [&str; 3] = ["eventType", "event_type", "name"];

/// Suffixes that [`split_torn`] tries: bounded work, 64 times 32 KiB, on a line made of `{"` alone.
const SUFFIXES_MAX: usize = 64;

/// The event in a line, if it is not too old.
pub fn parse<'a>(line: &'a [u8], age: &Age) -> Result<Event<'a>, DropReason> {
    let event = read(line)?;
    match event.time {
        Some(time) if is_too_old(time, age) => Err(DropReason::TooOld),
        _ => Ok(event),
    }
}

/// Where a complete event begins inside a line that does not parse because a torn fragment was glued
/// in front of it. A name alone is not enough: the tail of a nested object may look like that.
pub fn split_torn(line: &[u8]) -> Option<usize> {
    let starts = line.windows(2).enumerate().skip(1);
    let starts = starts.filter(|(_, pair)| *pair == b"{\"").map(|(at, _)| at);
    starts.take(SUFFIXES_MAX).find(|at| {
        read(&line[*at..]).is_ok_and(|event| event.time.is_some() || has_id(&event.fields))
    })
}

/// The JSON object in a text that any program may have written.
pub fn object(text: &[u8]) -> Result<Map<String, Value>, DropReason> {
    match serde_json::from_str(&mended(text)).map_err(|error| malformed(&error))? {
        Value::Object(fields) => Ok(fields),
        _ => Err(NOT_AN_OBJECT),
    }
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
    let parsed = serde_json::from_str(text).map_err(|error| malformed(&error))?;
    let Field::Object(mut fields) = parsed else {
        return Err(NOT_AN_OBJECT);
    };
    let name = take_name(&mut fields).ok_or(DropReason::Malformed("has no event name"))?;
    // A timestamp nobody can read goes too: it could be anything, and `time` is what it was for.
    let time = fields
        .remove("timestamp")
        .and_then(|value| timestamp::read(&value));
    Ok(Event { name, time, fields })
}

/// NULs are what a power cut leaves, a byte order mark what PowerShell writes, `\r` what Windows does.
fn strip(line: &[u8]) -> &[u8] {
    let is_nothing = |byte: &u8| *byte == 0 || byte.is_ascii_whitespace();
    let mut rest = line;
    loop {
        match rest {
            [0xEF, 0xBB, 0xBF, after @ ..] => rest = after,
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
        text => Cow::Owned(replace_lone_surrogates(&text)),
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

/// JavaScript cuts strings between the halves of a surrogate pair and writes the half as `\ud83d`,
/// which `serde_json` rejects: without this every such event would be malformed.
fn replace_lone_surrogates(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let escape = match (escaped_unit(rest), rest.get(6..).and_then(escaped_unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                out.push_str("\\ufffd");
                rest = &rest[6..];
                continue;
            }
            // An escaped backslash is taken whole: the `u` behind it is then only a letter.
            _ => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&rest[..escape]);
        rest = &rest[escape..];
    }
    out.push_str(rest);
    out
}

/// The UTF-16 unit of a `\uXXXX` at the beginning of the text.
fn escaped_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex
        .then(|| u16::from_str_radix(digits, 16).ok())
        .flatten()
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
        assert!(event.fields.is_empty(), "the raw timestamp is no field");
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
        check_malformed(r#"{"name":"x","n":1e400}"#, "not JSON");
        check_malformed(r#"{"name":"x","n":NaN}"#, "not JSON");
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
    fn timestamps_are_read_in_every_usual_shape() {
        for same in [
            r#""2026-11-20T03:04:05Z""#,
            r#""2026-11-20t03:04:05z""#,
            r#""2026-11-20T05:04:05+02:00""#,
            r#""2026-11-20T05:04:05+0200""#,
            r#""2026-11-19T19:34:05-07:30""#,
            r#""2026-11-20T03:04:05""#,
            r#""2026-11-20 03:04:05""#,
            r#""2026-11-20 03:04:05Z""#,
            r#""2026-11-20 03:04:05 UTC""#,
            r#""2026-11-20 03:04:05 +0000""#,
            r#"" 2026-11-20T03:04:05.000000Z ""#,
            "1795143845",
            "1795143845.0",
            "1795143845000",
            r#""1795143845""#,
            r#""1795143845000""#,
        ] {
            check_time(same, Some("2026-11-20T03:04:05Z"));
        }
        check_time("1795143845.678", Some("2026-11-20T03:04:05.678Z"));
        check_time(r#""2026-11-20T03:04""#, Some("2026-11-20T03:04:00Z"));
        check_time("100000000000", Some("5138-11-16T09:46:40Z"));
        check_time("100000000001", Some("1973-03-03T09:46:40.001Z"));
    }

    #[test]
    fn what_is_no_time_is_dropped_and_the_event_kept() {
        for odd in [
            "null",
            "true",
            "[]",
            "{}",
            r#""""#,
            r#""yesterday""#,
            r#""2026""#,
            r#""2026-11-20""#,
            "1e300",
            "-1e300",
            r#""99999999999999999999999""#,
            r#""+12026-11-20T03:04:05Z""#,
            r#""2026-13-20T03:04:05Z""#,
            r#""2026-11-2é 03""#,
        ] {
            check_time(odd, None);
        }
        assert_eq!(
            parse(br#"{"name":"x"}"#, &thirty_days()).unwrap().time,
            None
        );
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
        check_age("0000-01-01T00:00:00Z", &thirty_days(), false);
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
        check_age("1970-01-01T00:00:00Z", &no_limit(), true);
        check_age(
            "1970-01-01T00:00:00Z",
            &Age {
                days_max: Some(i64::MAX),
                ..thirty_days()
            },
            true,
        );
    }

    fn check_split(torn: &str, event: &str, is_found: bool) {
        let line = format!("{torn}{event}");
        assert_eq!(
            split_torn(line.as_bytes()),
            is_found.then_some(torn.len()),
            "{line}"
        );
    }

    #[test]
    fn an_event_behind_a_torn_fragment_is_found() {
        let event = r#"{"eventType":"x","timestamp":"2026-11-20T03:04:05Z","a":{"b":1}}"#;
        for torn in [
            r#"{"a":1,"b"#,
            r#"{"a":{"b":{"#,
            "garbage",
            r#"{"eventType":"y","eventId":"1","t"#,
            "\0",
            "{",
        ] {
            check_split(torn, event, true);
        }
        check_split("{\"a", "{\"name\":\"x\",\"eventId\":\"1\"}\r\0", true);
        check_split("{\"a", "{\"name\":\"x\",\"timestamp\":1795143845}", true);
    }

    #[test]
    fn a_suffix_that_may_be_only_a_part_is_not_taken_for_an_event() {
        check_split("{\"a", r#"{"name":"x"}"#, false);
        check_split("{\"a", r#"{"name":"x","timestamp":"soon"}"#, false);
        check_split("{\"a", r#"{"name":"x","eventId":""}"#, false);
        check_split("{\"a", r#"{"timestamp":1795143845,"eventId":"1"}"#, false);
        check_split("{\"a", r#"{"name":"x","eventId":"1"}} "#, false);
        check_split("", r#"{"name":"x","eventId":"1"}"#, false);
        check_split("", "", false);
    }

    #[test]
    fn only_the_first_64_suffixes_are_tried() {
        let event = r#"{"name":"x","eventId":"1"}"#;
        check_split(&format!(" {}", "{\"".repeat(63)), event, true);
        check_split(&format!(" {}", "{\"".repeat(64)), event, false);
    }

    #[test]
    fn a_line_of_nothing_is_blank() {
        for line in ["", " \t\r\n", "\0\0\0", "\u{feff}", "\0\u{feff}\r"] {
            assert!(is_blank(line.as_bytes()), "{line:?}");
        }
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

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(line in any::<Vec<u8>>(), days_max in any::<Option<i64>>()) {
            let _ = parse(&line, &Age { now: at(NOW), days_max });
            let _ = is_blank(&line);
            prop_assert!(split_torn(&line).is_none_or(|start| 0 < start && start < line.len()));
        }

        #[test]
        fn no_almost_json_makes_it_panic(line in r#"([{}\[\]":,0-9eE.\-]|\\u[dD][89cCfF]0{0,2}|\\|"name"|"timestamp"|é|😀){0,60}"#) {
            let _ = parse(line.as_bytes(), &thirty_days());
            let _ = split_torn(line.as_bytes());
        }

        #[test]
        fn no_timestamp_makes_it_panic(number in any::<f64>(), text in any::<String>()) {
            let line = |timestamp: Value| json!({"name":"x","timestamp":timestamp}).to_string();
            prop_assert!(parse(line(json!(number)).as_bytes(), &no_limit()).is_ok());
            prop_assert!(parse(line(json!(text)).as_bytes(), &no_limit()).is_ok());
        }
    }
}
