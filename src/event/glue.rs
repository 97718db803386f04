//! Lines in which several events stand, because a producer forgot a newline or was killed before it wrote one.

use super::{NO_NAME, has_id, is_blank, mend, read};
use std::ops::Range;

/// Pieces of one line at most: the shortest events there may be in the longest line there may be.
const PIECES_MAX: usize = 65_536 / br#"{"name":"x"}"#.len();

/// Beginnings of an object that are tried behind a fragment. Each that fails costs one reading of the line up to its
/// end at most; events that are found are read once.
const TRIED_MAX: usize = 64;

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it is in the line.
    pub range: Range<usize>,
    /// Whether it is a JSON object; else a fragment.
    pub is_whole: bool,
}

/// What a line consists of that does not parse: objects one after the other, with blanks and commas between them, and
/// fragments. At least one piece.
pub fn pieces(line: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = separators(line);
    while let Some(length) = object(&line[at..]).filter(|_| pieces.len() < PIECES_MAX) {
        pieces.push(Piece {
            range: at..at + length,
            is_whole: true,
        });
        at += length;
        at += separators(&line[at..]);
    }
    let events = trailing_events(line, at);
    let fragment_end = events.first().map_or(line.len(), |event| event.start);
    let end = events.last().map_or(line.len(), |event| event.end);
    let fragment = |range| Piece {
        range,
        is_whole: false,
    };
    if pieces.is_empty() || !is_blank(&line[at..fragment_end]) {
        pieces.push(fragment(at..fragment_end));
    }
    pieces.extend(events.into_iter().map(|range| Piece {
        range,
        is_whole: true,
    }));
    if !is_blank(&line[end..]) {
        pieces.push(fragment(end..line.len()));
    }
    pieces
}

/// Where a complete event begins inside a line that does not parse because a torn fragment was glued
/// in front of it.
pub fn split_torn(line: &[u8]) -> Option<usize> {
    trailing_events(line, 1).pop().map(|event| event.start)
}

/// The events with which the line ends, one behind the other, looked for from `from` on; of too many the first.
/// Each has an id or a time: a name alone is not enough, the tail of a nested object may look like that.
fn trailing_events(line: &[u8], mut from: usize) -> Vec<Range<usize>> {
    for _ in 0..TRIED_MAX {
        let mut begins = (from..line.len()).filter(|at| line[*at..].starts_with(b"{\""));
        let Some(mut at) = begins.next() else { break };
        from = at + 1;
        let mut events = Vec::new();
        while let Some(length) = event(&line[at..]) {
            // What follows may show that this one is a part of something else, and those before it with it.
            from = at + 1;
            events.push(at..at + length);
            at += length;
            if is_blank(&line[at..]) || events.len() == PIECES_MAX {
                return events;
            }
            at += blanks(&line[at..]);
        }
    }
    Vec::new()
}

/// Bytes of the event that begins here, if it does, is complete and can be told from a part of one.
fn event(bytes: &[u8]) -> Option<usize> {
    let end = object_end(bytes)?;
    let event = read(&bytes[..end]).ok()?;
    (event.time.is_some() || has_id(&event.fields)).then_some(end)
}

fn blanks(bytes: &[u8]) -> usize {
    let is_blank = |byte: &&u8| byte.is_ascii_whitespace() || **byte == 0;
    bytes.iter().take_while(is_blank).count()
}

/// Bytes between two objects.
fn separators(bytes: &[u8]) -> usize {
    let is_between = |byte: &&u8| byte.is_ascii_whitespace() || matches!(byte, b',' | 0);
    bytes.iter().take_while(is_between).count()
}

/// Bytes of the object that begins here, if it does and is complete.
fn object(bytes: &[u8]) -> Option<usize> {
    let end = object_end(bytes)?;
    let is_object = match read(&bytes[..end]) {
        Ok(_) => true,
        Err(reason) => reason == NO_NAME,
    };
    is_object.then_some(end)
}

/// Where the brackets are closed that are opened here.
fn object_end(bytes: &[u8]) -> Option<usize> {
    if bytes.first() != Some(&b'{') {
        return None;
    }
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = mend::string_end(bytes, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces, of which fragments begin with `~`.
    fn check(glued: &[&str]) {
        let is_fragment = |piece: &&str| piece.starts_with('~');
        let plain = |piece: &&str| piece.trim_start_matches('~').to_owned();
        let line: String = glued.iter().map(plain).collect();
        let found: Vec<String> = pieces(line.as_bytes())
            .into_iter()
            .map(|Piece { range, is_whole }| {
                let text = &line[range];
                if is_whole {
                    text.to_owned()
                } else {
                    format!("~{text}")
                }
            })
            .collect();
        let is_between = |piece: &&&str| piece.chars().all(|char| " ,\t\r\0".contains(char));
        let expected = glued.iter().filter(|piece| !is_between(piece));
        assert_eq!(found, expected.copied().collect::<Vec<_>>(), "{line}");
        assert!(line.is_empty() || glued.iter().any(is_fragment) || !found.is_empty());
    }

    const A: &str = r#"{"name":"a"}"#;
    const B: &str = r#"{"name":"b","in":{"name":"}{\"","eventId":"1"},"list":[{}]}"#;
    const WITH_ID: &str = r#"{"name":"c","eventId":"c"}"#;

    #[test]
    fn objects_glued_together_are_told_apart_with_or_without_ids() {
        check(&[A]);
        check(&[A, B]);
        check(&[A, B, WITH_ID, A, A]);
        check(&[A, " ", B, ", ", A, ",\r"]);
        check(&[" ,", A]);
        check(&["{}", r#"{"a":1}"#, A]);
        check(&[
            r#"{"name":"n","x":NaN}"#,
            r#"{"name":"n","x":"\ud800"}"#,
            r#"{"name":"n","x":1e999}"#,
        ]);
        check(&vec![A; PIECES_MAX]);
    }

    #[test]
    fn a_fragment_between_objects_is_a_piece_of_its_own() {
        check(&[A, r#"~{"name":"tor"#]);
        check(&[A, "~}"]);
        check(&[r#"~{"name":"tor"#, WITH_ID]);
        check(&[A, B, r#"~{"name":"tor"#, WITH_ID]);
        check(&[
            r#"~{"name":"tor"#,
            WITH_ID,
            r#"{"name":"d","timestamp":1795143845}"#,
        ]);
        check(&["~not JSON"]);
        check(&["~"]);
        check(&["~[1,2]"]);
        check(&[r#"~{"a":{"name":"x","eventId":"1"},"b"#]);
        check(&["~{a}{b}"]);
        // Without an id it may be a part of the fragment.
        check(&[r#"~{"a":1,"b{"name":"x"}"#]);
    }

    #[test]
    fn many_events_behind_a_fragment_are_found() {
        let mut glued = vec![r#"~{"name":"tor"#];
        glued.resize(1 + PIECES_MAX, WITH_ID);
        check(&glued);
        // A second fragment takes those in front of it along.
        let lost = format!(r#"~{{"name":"tor{WITH_ID}{WITH_ID}{{"tor"#);
        check(&[&lost, WITH_ID, " ", WITH_ID]);
    }

    #[test]
    fn pieces_are_bounded() {
        let line = "{}".repeat(PIECES_MAX + 5);
        let found = pieces(line.as_bytes());
        assert_eq!(found.len(), PIECES_MAX + 1);
        assert!(!found[PIECES_MAX].is_whole);
        let line = format!("~{}", WITH_ID.repeat(PIECES_MAX + 5));
        let found = pieces(line.as_bytes());
        assert_eq!(found.len(), 1 + PIECES_MAX + 1);
        assert!(!found[PIECES_MAX + 1].is_whole);
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
}
