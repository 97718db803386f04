use super::Draw;
use serde_json::json;
use telemetry_upload::event::{self, Age};

/// Beginnings of an object that are tried at most.
const TRIED_MAX: usize = 64;

/// Whatever fragment stands in front of an event, what is saved of the two is the whole event and
/// nothing of the fragment; it is saved whenever it can be told from a part of something else, and
/// few enough objects begin before it. What is saved of any other line is an event by itself.
pub fn hold(data: &[u8]) {
    let mut draw = Draw(data);
    let kind = draw.byte();
    let length = draw.number() >> 48;
    let fragment = draw.take(usize::try_from(length).unwrap() % 2048);
    let event = if kind.is_multiple_of(2) {
        made(&mut draw)
    } else {
        draw.rest().to_vec()
    };
    let line = [fragment, &event].concat();
    let found = event::split_torn(&line);
    if let Some(at) = found {
        assert!(at > 0 && is_event(&line[at..]) && line[at] == b'{');
    }
    if !is_event(&event) {
        return;
    }
    let start = fragment.len() + event.iter().position(|byte| *byte == b'{').unwrap();
    assert!(
        found.is_none_or(|at| at == start),
        "{found:?} is not {start}"
    );
    let begun = fragment.windows(2).skip(1).filter(|pair| pair == b"{\"");
    let is_due =
        start > 0 && line[start + 1] == b'"' && begun.count() < TRIED_MAX && has_id(&event);
    assert!(found.is_some() || !is_due, "the event is lost");
    check_pair(&event);
}

/// Two events without anything between them are told apart.
fn check_pair(event: &[u8]) {
    let event = event.trim_ascii();
    if event.first() == Some(&b'{') && event.last() == Some(&b'}') {
        let pieces = event::pieces(&[event, event].concat());
        let ranges: Vec<_> = pieces.into_iter().map(|piece| piece.range).collect();
        assert_eq!(ranges, [0..event.len(), event.len()..2 * event.len()]);
    }
}

/// An event as a producer writes it, with nested fields that look like events, too.
fn made(draw: &mut Draw) -> Vec<u8> {
    let (id, a, b) = (draw.text(), draw.text(), draw.text());
    let inner = json!({"name": a, "eventId": id, "a": {"timestamp": 1, "name": b}});
    let rest = String::from_utf8_lossy(draw.rest());
    let event =
        json!({"eventId": format!("1{id}"), a: rest, "in": inner, b: [inner], "eventType": "x"});
    event.to_string().into_bytes()
}

fn read(line: &[u8]) -> Option<event::Event<'_>> {
    let no_limit = Age {
        now: chrono::DateTime::UNIX_EPOCH,
        days_max: None,
    };
    event::parse(line, &no_limit).ok()
}

fn is_event(line: &[u8]) -> bool {
    read(line).is_some()
}

fn has_id(line: &[u8]) -> bool {
    let id = read(line).and_then(|event| event.fields.get("eventId")?.as_str().map(str::len));
    id.is_some_and(|length| length > 0)
}
