//! What the value of a field becomes on the wire: a measurement, or the text of a property within its limit.

use crate::event::TIMESTAMP_TEXT;
use crate::field::Field;
use serde_json::Number;
use std::borrow::Cow;

/// UTF-16 units of a property's value.
pub(super) const VALUE_UNITS_MAX: usize = 8192;

/// Bytes of a timestamp that is no time.
const TIMESTAMP_TEXT_BYTES_MAX: usize = 64;

/// Keys of properties that are texts for every query: ids, versions and names. A producer may write them as numbers.
const TEXTS: [&str; 10] = [
    "event_id",
    "anonymous_id",
    "session_id",
    "version",
    "agent_type",
    "commands",
    "command",
    "platform",
    "source",
    TIMESTAMP_TEXT,
];

/// The largest integer up to which a measurement, a float of 64 bits, has all of them.
const EXACT_MAX: u64 = 1 << 53;

/// Whether a number is a measurement. An integer that would lose digits is rather an id, and stays a text.
pub(super) fn is_measurement(key: &str, number: &Number) -> bool {
    let negative = || number.as_i64().map(i64::unsigned_abs);
    let magnitude = number.as_u64().or_else(negative);
    !TEXTS.contains(&key) && magnitude.is_none_or(|magnitude| magnitude <= EXACT_MAX)
}

/// The text a value is sent as.
pub(super) fn text_of<'a>(value: &'a Field) -> Cow<'a, str> {
    match value {
        Field::Text(text) => Cow::Borrowed(text),
        Field::List(items) if items.iter().all(is_plain_in_list) => {
            let items = items.iter().filter(|item| **item != Field::Null);
            items.map(text_of).collect::<Vec<_>>().join(",").into()
        }
        // The JSON of a boolean or a number is its text.
        other => serde_json::to_string(other).unwrap_or_default().into(),
    }
}

/// Whether it can be told from its neighbours in a list without quotes.
fn is_plain_in_list(item: &Field) -> bool {
    match item {
        Field::Text(text) => {
            let is_marking = |byte| matches!(byte, b',' | b'"' | b'[' | b']' | b'{' | b'}');
            !text.bytes().any(is_marking)
        }
        item => item.is_scalar(),
    }
}

/// A property's value within its limit.
pub(super) fn cut_text<'a>(key: &str, text: Cow<'a, str>) -> Cow<'a, str> {
    let length = match key {
        TIMESTAMP_TEXT => {
            let mut ends = (0..=TIMESTAMP_TEXT_BYTES_MAX.min(text.len())).rev();
            ends.find(|end| text.is_char_boundary(*end)).unwrap_or(0)
        }
        _ => cut(&text, VALUE_UNITS_MAX).len(),
    };
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..length]),
        Cow::Owned(mut text) => {
            text.truncate(length);
            Cow::Owned(text)
        }
    }
}

/// At most so many UTF-16 units, the unit of .NET, cut between two characters.
pub(super) fn cut(text: &str, units_max: usize) -> &str {
    // A character has at least as many bytes as units.
    if text.len() <= units_max {
        return text;
    }
    let mut units = 0;
    let beyond = text.char_indices().find(|(_, char)| {
        units += char.len_utf16();
        units > units_max
    });
    beyond.map_or(text, |(end, _)| &text[..end])
}
