//! The time in a line: a text in the shapes that programs write, or a number since 1970.

use crate::field::Field;
use chrono::{DateTime, Datelike, NaiveDateTime, Utc};

/// Epoch numbers above this are milliseconds: in seconds it is the year 5138, in milliseconds 1973.
const EPOCH_SECONDS_MAX: f64 = 1e11;

/// Digits from which a string of digits is an epoch number: ten since 2001; "2026" is a year.
const EPOCH_DIGITS_MIN: usize = 10;

/// The time in a field; none if nobody can read it.
pub fn read(value: &Field) -> Option<DateTime<Utc>> {
    let time = match value {
        Field::Number(number) => number.as_f64().and_then(read_epoch),
        Field::Text(text) => read_date_time(text.trim()),
        _ => None,
    };
    // RFC 3339, and so the wire, knows four digits of a year.
    time.filter(|time| (0..=9999).contains(&time.year()))
}

fn read_epoch(number: f64) -> Option<DateTime<Utc>> {
    let ms = if number.abs() > EPOCH_SECONDS_MAX {
        number
    } else {
        number * 1000.0
    };
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the cast saturates, and chrono checks the range"
    )]
    DateTime::from_timestamp_millis(ms.round() as i64)
}

/// RFC 3339 with any offset, and the shapes near it that shells and databases write. A time without an
/// offset is taken as UTC: `date -u` and most loggers mean that.
fn read_date_time(text: &str) -> Option<DateTime<Utc>> {
    if text.len() >= EPOCH_DIGITS_MIN && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().and_then(read_epoch);
    }
    let text = match (text.get(..10), text.get(10..11), text.get(11..)) {
        (Some(date), Some(" "), Some(time)) => format!("{date}T{}", time.trim_start()),
        _ => text.to_owned(),
    };
    let with_offset = [
        "%Y-%m-%dT%H:%M:%S%.f%#z",
        "%Y-%m-%dT%H:%M:%S%.f %#z",
        "%Y-%m-%dT%H:%M%#z",
    ];
    let without = [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%dT%H:%M:%S%.f UTC",
        "%Y-%m-%dT%H:%M",
    ];
    let rfc_3339 = DateTime::parse_from_rfc3339(&text).ok();
    rfc_3339
        .or_else(|| {
            with_offset
                .iter()
                .find_map(|format| DateTime::parse_from_str(&text, format).ok())
        })
        .map(|time| time.with_timezone(&Utc))
        .or_else(|| {
            without.iter().find_map(|format| {
                NaiveDateTime::parse_from_str(&text, format)
                    .ok()?
                    .and_utc()
                    .into()
            })
        })
}
