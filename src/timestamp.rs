//! Reads the time in a line: a text in one of the forms that programs write by default, or a number since 1970.

use crate::field::Field;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};

/// An event before this year was recorded while a clock was wrong.
const YEAR_MIN: i32 = 2020;

/// RFC 3339 has four digits for the year.
const YEAR_MAX: i32 = 9999;

/// What numbers since 1970 count, by magnitude: a number below the first limit counts seconds. 1e11 as seconds is the
/// year 5138, as milliseconds 1973; only one of them is plausible, and so it is at the other limits.
const EPOCH_UNITS: [(f64, f64); 4] = [
    (1e11, 1e6),           // seconds, and how many microseconds one has
    (1e14, 1e3),           // milliseconds
    (1e17, 1.0),           // microseconds
    (f64::INFINITY, 1e-3), // nanoseconds
];

/// Bytes of a text that may be a time. JavaScript's form has at most about 90, the name of the time zone included.
const TEXT_BYTES_MAX: usize = 128;

/// Dates with a time; an offset may follow. The first that fits wins. The name of the day is gone already.
const DATE_TIMES: [&str; 11] = [
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f", // Go, Python, databases
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d %H:%M:%S%.f",  // Go's log
    "%Y%m%dT%H%M%S%.f",      // basic ISO 8601
    "%d %b %Y %H:%M:%S%.f",  // RFC 2822, HTTP
    "%d-%b-%y %H:%M:%S",     // RFC 850
    "%b %d %Y %H:%M:%S%.f",  // JavaScript
    "%b %d %H:%M:%S %Y",     // C, Python's ctime
    "%b %d %H:%M:%S UTC %Y", // date
];

/// The first letters of each day's name.
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// The time in a field; `None` if it cannot be read or cannot be true.
pub fn read(value: &Field) -> Option<DateTime<Utc>> {
    let time = match value {
        Field::Number(number) => number.as_f64().and_then(read_epoch),
        Field::Text(text) => read_text(text.trim()),
        _ => None,
    };
    time.filter(|time| (YEAR_MIN..=YEAR_MAX).contains(&time.year()))
}

/// Precise to the microsecond: seconds in a float of 64 bits have no more.
fn read_epoch(number: f64) -> Option<DateTime<Utc>> {
    let mut units = EPOCH_UNITS.into_iter();
    let (_, micros) = units.find(|(below, _)| number.abs() < *below)?;
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the cast saturates, and chrono checks the range"
    )]
    DateTime::from_timestamp_micros((number * micros).round() as i64)
}

fn read_text(text: &str) -> Option<DateTime<Utc>> {
    read_written(text).or_else(|| read_bare(text))
}

/// A date with a time of day, in whatever year. A date alone or a number is not taken for one.
pub fn read_written(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.with_timezone(&Utc));
    }
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let text = with_decimal_point(without_remarks(text));
    let mut formats = DATE_TIMES.iter();
    formats.find_map(|format| read_date_time(&text, format))
}

/// A date alone, or a number.
fn read_bare(text: &str) -> Option<DateTime<Utc>> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let text = with_decimal_point(without_remarks(text));
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits < text.len() && !text[digits..].starts_with('.') {
        return read_date(&text, "%Y-%m-%d");
    }
    match digits {
        8 => read_date(&text, "%Y%m%d"),
        14 => read_date_time(&text, "%Y%m%d%H%M%S"),
        // Ten since 2001. "2026" is a year.
        10.. => text.parse().ok().and_then(read_epoch),
        _ => None,
    }
}

/// Removes what programs put around a time: the name of the day in front; behind it the name of a time zone in
/// brackets, and Go's monotonic clock; and the frame of a date in the JSON of .NET.
fn without_remarks(text: &str) -> &str {
    let text = text.strip_prefix("/Date(").unwrap_or(text);
    let text = text.strip_suffix(")/").unwrap_or(text);
    let ends = [" (", "[", " m="].iter().filter_map(|end| text.find(end));
    let text = text[..ends.min().unwrap_or(text.len())].trim();
    let letters = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (word, rest) = text.split_at(letters);
    if DAYS.iter().any(|day| word.starts_with(day)) {
        rest.trim_start_matches(',').trim()
    } else {
        text
    }
}

/// Half of the world, and Python's logs, write `10:00:00,123`.
fn with_decimal_point(text: &str) -> String {
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    let mut out = String::with_capacity(text.len());
    while let Some(char) = chars.next() {
        let is_decimal = before.is_ascii_digit() && chars.peek().is_some_and(char::is_ascii_digit);
        out.push(if char == ',' && is_decimal { '.' } else { char });
        before = char;
    }
    out
}

fn read_date_time(text: &str, format: &str) -> Option<DateTime<Utc>> {
    let (time, rest) = NaiveDateTime::parse_and_remainder(text, format).ok()?;
    let ahead = TimeDelta::seconds(read_offset(rest.trim())?.into());
    Some(time.checked_sub_signed(ahead)?.and_utc())
}

/// A day means its midnight.
fn read_date(text: &str, format: &str) -> Option<DateTime<Utc>> {
    let date = NaiveDate::parse_from_str(text, format).ok()?;
    Some(date.and_time(NaiveTime::MIN).and_utc())
}

/// Seconds ahead of UTC: `Z`, `+02`, `+0200`, `+02:00`, `UTC`, `GMT+0200`, `+0200 CEST`. A time without an offset is
/// UTC. The names of other zones are not read: `IST` is three of them.
fn read_offset(text: &str) -> Option<i32> {
    if ["", "Z", "z", "UTC", "GMT", "UT"].contains(&text) {
        return Some(0);
    }
    let named = ["GMT", "UTC"]
        .iter()
        .find_map(|name| text.strip_prefix(name));
    let offset = named.unwrap_or(text).split(' ').next()?;
    let (sign, digits) = (offset.get(..1)?, offset.get(1..)?.replace(':', ""));
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i32 = digits.parse().ok()?;
    let seconds = match digits.len() {
        2 => number * 3600,
        4 => number / 100 * 3600 + number % 100 * 60,
        _ => return None,
    };
    let sign = match sign {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    (seconds < 24 * 3600).then_some(sign * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::FixedOffset;
    use proptest::prelude::*;

    /// 2026-11-20, a Friday, at 10:00 UTC.
    const TEN: &str = "2026-11-20T10:00:00Z";

    fn of_json(value: &str) -> Option<DateTime<Utc>> {
        read(&serde_json::from_str(value).unwrap())
    }

    fn check(value: &str, expected: &str) {
        let found = of_json(value).map(|time| time.to_rfc3339());
        let expected: DateTime<Utc> = expected.parse().unwrap();
        assert_eq!(found, Some(expected.to_rfc3339()), "{value}");
    }

    #[test]
    fn a_time_is_read_in_every_usual_form() {
        for text in [
            // RFC 3339 and ISO 8601.
            "2026-11-20T10:00:00Z",
            "2026-11-20t10:00:00z",
            "2026-11-20T12:00:00+02:00",
            "2026-11-20T12:00:00+0200",
            "2026-11-20T12:00:00+02",
            "2026-11-20T02:30:00-07:30",
            "2026-11-20T10:00:00",
            "2026-11-20T10:00:00.000000000Z",
            "2026-11-20T10:00:00,000Z",
            "2026-11-20T10:00",
            "2026-11-20T10:00Z",
            "2026-11-20T12:00+02:00",
            "20261120T100000Z",
            "20261120T100000",
            "20261120T120000.000+0200",
            "20261120100000",
            "2026-11-20T11:00:00+01:00[Europe/Berlin]",
            // Python's and databases'.
            "2026-11-20 10:00:00",
            "2026-11-20 10:00",
            "2026-11-20 12:00:00.000000+02:00",
            "2026-11-20 10:00:00,000",
            "2026-11-20 10:00:00 UTC",
            "2026-11-20 10:00:00Z",
            "2026-11-20 12:00:00 +02:00",
            // Go's.
            "2026-11-20 10:00:00.000000000 +0000 UTC m=+0.000012345",
            "2026-11-20 10:00:00 +0000 UTC",
            "2026-11-20 11:00:00 +0100 CET m=-12.5",
            "2026-11-20 15:30:00 +0530 +0530",
            "2026/11/20 10:00:00.000000",
            // RFC 2822 and HTTP.
            "Fri, 20 Nov 2026 10:00:00 GMT",
            "Fri, 20 Nov 2026 12:00:00 +0200",
            "20 Nov 2026 10:00:00 -0000",
            "Friday, 20-Nov-26 10:00:00 GMT",
            // C's, JavaScript's and the shell's.
            "Fri Nov 20 10:00:00 2026",
            "Fri Nov 20 2026 10:00:00 GMT+0000 (Coordinated Universal Time)",
            "Fri Nov 20 2026 15:30:00 GMT+0530 (India Standard Time)",
            "Fri Nov 20 10:00:00 UTC 2026",
            // Numbers since 1970.
            "1795168800",
            "1795168800.0",
            "1795168800,000",
            "1795168800000",
            "1795168800000000",
            "1795168800000000000",
            "/Date(1795168800000)/",
        ] {
            check(&format!("\"{text}\""), TEN);
            check(&format!("\"  {text}\\n\""), TEN);
        }
        for number in [
            "1795168800",
            "1795168800.0",
            "1.7951688e9",
            "1795168800000",
            "1795168800000.0",
            "1795168800000000",
            "1795168800000000000",
        ] {
            check(number, TEN);
        }
    }

    #[test]
    fn the_fraction_of_a_second_is_kept() {
        for value in [
            r#""2026-11-20T10:00:00.678Z""#,
            r#""2026-11-20T10:00:00,678""#,
            r#""20261120T100000.678Z""#,
            r#""2026-11-20 10:00:00.678 +0000 UTC m=+0.1""#,
            r#""1795168800.678""#,
            r#""1795168800678.0""#,
            "1795168800.678",
            "1795168800678",
            "1795168800678000",
            "1795168800678000000",
        ] {
            check(value, "2026-11-20T10:00:00.678Z");
        }
    }

    #[test]
    fn a_date_alone_is_its_midnight() {
        for value in [r#""2026-11-20""#, r#""20261120""#, r#"" 2026-11-20 ""#] {
            check(value, "2026-11-20T00:00:00Z");
        }
    }

    #[test]
    fn the_day_of_a_month_may_have_one_digit() {
        check(r#""Fri Nov  6 10:00:00 2026""#, "2026-11-06T10:00:00Z");
        check(r#""Fri, 6 Nov 2026 10:00:00 GMT""#, "2026-11-06T10:00:00Z");
    }

    #[test]
    fn the_limits_between_the_units_have_one_meaning_that_can_be_true() {
        check("99999999999", "5138-11-16T09:46:39Z");
        check("99999999999990", "5138-11-16T09:46:39.990Z");
        check("99999999999990000", "5138-11-16T09:46:39.990Z");
        for small in ["100000000001", "100000000000001", "100000000000000001"] {
            assert_eq!(of_json(small), None, "{small}");
        }
    }

    #[test]
    fn a_time_that_cannot_be_true_is_none() {
        for value in [
            "0",
            "-1",
            "1",
            "20261120",
            "1577836799",
            "1577836799999",
            r#""0""#,
            r#""0001-01-01T00:00:00Z""#,
            r#""0000-00-00 00:00:00""#,
            r#""1970-01-01T00:00:00Z""#,
            r#""Thu Jan  1 00:00:00 1970""#,
            r#""2019-12-31T23:59:59.999Z""#,
            r#""2020-01-01T00:30:00+01:00""#,
            r#""+12026-11-20T10:00:00Z""#,
            r#""10000-01-01T00:00:00Z""#,
        ] {
            assert_eq!(of_json(value), None, "{value}");
        }
        check("1577836800", "2020-01-01T00:00:00Z");
        check(r#""2020-01-01""#, "2020-01-01T00:00:00Z");
        check(r#""9999-12-31T23:59:59Z""#, "9999-12-31T23:59:59Z");
    }

    #[test]
    fn what_is_no_time_is_none() {
        for value in [
            "null",
            "true",
            "[]",
            "{}",
            "1e300",
            "-1e300",
            "-9223372036854775808",
            r#""""#,
            r#""yesterday""#,
            r#""2026""#,
            r#""2026112""#,
            r#""10:00:00""#,
            r#""99999999999999999999999""#,
            r#""1795168800.6.7""#,
            r#""1795168800x""#,
            r#""inf""#,
            r#""NaN""#,
            r#""2026-13-20T10:00:00Z""#,
            r#""2026-11-20T25:00:00Z""#,
            r#""2026-11-2é 10""#,
            r#""é""#,
            r#""2026-11-20T10:00:00 é""#,
            // Not the morning for certain, and zones that are not the same for all.
            r#""2026-11-20 10:00:00 PM""#,
            r#""20 Nov 2026 10:00:00 IST""#,
            r#""11/20/2026 10:00:00""#,
            r#""2026-11-20T10:00:00+25:00""#,
            r#""2026-11-20T10:00:00+""#,
            r#""2026-11-20T10:00:00+0""#,
        ] {
            assert_eq!(of_json(value), None, "{value}");
        }
        let long = format!(
            "\"2026-11-20 10:00:00 +0000 {}\"",
            "x".repeat(TEXT_BYTES_MAX)
        );
        assert_eq!(of_json(&long), None);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(
            number in any::<f64>(),
            integer in any::<i64>(),
            text in any::<String>(),
            nearly in r"(Fri|, | |[0-9]{1,5}|Nov|[-+:.,/T()é]|GMT|UTC| m=|/Date\(){0,16}"
        ) {
            for value in [number.into(), integer.into(), text.into(), serde_json::Value::from(nearly)] {
                let time = read(&value.into());
                prop_assert!(time.is_none_or(|time| (YEAR_MIN..=YEAR_MAX).contains(&time.year())));
            }
        }

        #[test]
        fn what_chrono_writes_is_read(seconds in 1_577_836_800i64..4_000_000_000, minutes in -720i32..840) {
            let time = DateTime::from_timestamp(seconds, 0).unwrap();
            let there = time.with_timezone(&FixedOffset::east_opt(minutes * 60).unwrap());
            for text in [there.to_rfc3339(), there.to_rfc2822(), there.to_string(), seconds.to_string()] {
                prop_assert_eq!(read(&Field::Text(text.as_str().into())), Some(time), "{}", text);
            }
        }
    }
}
