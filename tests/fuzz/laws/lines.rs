use super::Draw;
use serde_json::{Map, Value};
use std::io::Write;
use telemetry_upload::cursor::Mark;
use telemetry_upload::event::{self, Age};
use telemetry_upload::field::Field;
use telemetry_upload::lines::{HEAD_BYTES, Line, Lines, Next, Shape};
use telemetry_upload::utf16;

const CONTENT_BYTES_MAX: usize = 400_000;

/// Reading a buffer from any mark up to any size hands out what a plain split at newlines and NULs
/// finds there, and no byte of it is left out: each line stands where its mark says, every mark knows
/// the bytes before it, and the last one stands at the size. Of each whole line an event is made if,
/// and only if, `serde_json` reads an object with a name there, and it has just these fields. Where
/// UTF-16 may begin, only the marks are held to this.
pub fn hold(data: &[u8]) {
    let mut draw = Draw(data);
    let (limit, from, to) = (draw.number(), draw.number(), draw.number());
    let content = content(&mut draw);
    let within = |number: u64, bound: usize| usize::try_from(number % (bound as u64 + 1)).unwrap();
    let size = content.len() - within(to, content.len()).min(within(to >> 32, 40));
    let from = within(from, size);
    let limit = 1 + within(limit, 70_000);
    let mut file = tempfile::tempfile_in(super::folder().path()).unwrap();
    file.write_all(&content).unwrap();

    let start = Mark::default().after(&content[..from]);
    let mut lines = Lines::new(&start, size as u64, limit);
    let mut found = Vec::new();
    loop {
        match lines.next(&file).unwrap() {
            Next::Line(line) => found.push(line),
            Next::End => break,
            Next::Changed => panic!("nobody changed the file"),
        }
    }
    assert_eq!(
        place(&lines.mark()),
        place(&Mark::default().after(&content[..size]))
    );
    for line in &found {
        let at = usize::try_from(line.at.offset).unwrap();
        assert_eq!(
            place(&line.at),
            place(&Mark::default().after(&content[..at]))
        );
    }
    let read = &content[from..size];
    if read.windows(4).any(|bytes| utf16::begins(bytes).is_some()) {
        return;
    }
    let plain = plain(read, limit);
    assert_eq!(found.len(), plain.len(), "lines");
    for (line, (at, bytes, shape)) in found.iter().zip(plain) {
        check_line(line, from + at, bytes, shape, &content);
        if bytes.len() <= limit {
            assert_eq!(line.bytes, bytes);
            check_event(bytes);
        }
    }
}

/// What two marks of the same place have in common, wherever reading began.
fn place(mark: &Mark) -> (u64, Vec<u8>) {
    (mark.offset, mark.trail().to_vec())
}

/// 0xFE, a count and a byte stand for a run of that byte as long as the count's square: the reader's
/// own blocks are longer than what a fuzzer makes by itself.
fn content(draw: &mut Draw) -> Vec<u8> {
    let mut content = Vec::new();
    while !draw.0.is_empty() && content.len() < CONTENT_BYTES_MAX {
        match draw.byte() {
            0xFE => {
                let count = usize::from(draw.byte());
                content.resize(content.len() + count * count, draw.byte());
            }
            byte => content.push(byte),
        }
    }
    content
}

/// Where each line begins, all its bytes, and its shape.
fn plain(content: &[u8], limit: usize) -> Vec<(usize, &[u8], Shape)> {
    let mut lines = Vec::new();
    let mut at = 0;
    for bytes in content.split(|byte| matches!(byte, b'\n' | 0)) {
        let end = at + bytes.len();
        let shape = match bytes.len() > limit {
            _ if end == content.len() => Shape::Tail,
            true => Shape::TooLong,
            false => Shape::Whole,
        };
        if bytes.len() > limit || !event::is_blank(bytes) {
            lines.push((at, bytes, shape));
        }
        at = end + 1;
    }
    lines
}

fn check_line(line: &Line, at: usize, bytes: &[u8], shape: Shape, content: &[u8]) {
    assert_eq!(line.shape, shape);
    assert_eq!(
        place(&line.at),
        place(&Mark::default().after(&content[..at]))
    );
    assert!(bytes.starts_with(&line.bytes) && !line.bytes.is_empty());
    assert!(line.bytes.len() == bytes.len() || line.bytes.len() <= HEAD_BYTES);
}

fn check_event(bytes: &[u8]) {
    let no_limit = Age {
        now: chrono::DateTime::UNIX_EPOCH,
        days_max: None,
    };
    let event = event::parse(bytes, &no_limit);
    match plain_event(bytes) {
        Some((name, fields)) => {
            let mut event = event.unwrap();
            if event.time.is_none() && !fields.contains_key("timestamp_text") {
                event.fields.remove("timestamp_text");
            }
            let expected = Field::Object(fields.into());
            // Integers beyond 64 bits are texts in an event.
            if !expected.is_rounded() {
                assert_eq!(
                    (&*event.name, Field::Object(event.fields)),
                    (&*name, expected)
                );
            }
        }
        // Only what `serde_json` is stricter about may be an event all the same.
        None => assert!(event.is_err() || is_mended(bytes)),
    }
}

fn plain_event(bytes: &[u8]) -> Option<(String, Map<String, Value>)> {
    let text = bytes.trim_ascii();
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let Value::Object(mut fields) = serde_json::from_slice(text).ok()? else {
        return None;
    };
    let is_name = |key: &&str| {
        fields
            .get(*key)
            .is_some_and(|name| !trimmed(name).is_empty())
    };
    let key = ["eventType", "event_type", "name"]
        .into_iter()
        .find(is_name)?;
    let name = trimmed(&fields.shift_remove(key)?).to_owned();
    fields.shift_remove("timestamp");
    Some((name, fields))
}

fn trimmed(name: &Value) -> &str {
    name.as_str().unwrap_or_default().trim()
}

/// Half a surrogate pair, bytes that are no UTF-8, more than one byte order mark, and what is no number, or one
/// beyond all floats.
fn is_mended(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let is_huge = |word: &str| word.parse().is_ok_and(|number: f64| !number.is_finite());
    text.contains("\\ud")
        || text.contains(['\u{fffd}', '\u{feff}'])
        || text
            .split(|char: char| !char.is_ascii_alphanumeric() && !"+-.".contains(char))
            .any(is_huge)
}
