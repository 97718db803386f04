//! Reads a buffer forward, line by line, in bounded memory and without any lock: the bytes below the
//! size seen at the start never change. If they do, the person changed them, and reading stops.

use crate::cursor::{self, Mark, TRAIL_BYTES};
use crate::event::is_blank;
use crate::os;
use crate::utf16::{self, Order};
use memchr::memchr2;
use std::fs::File;
use std::io;

/// Bytes asked of the system at once: 64 KB reads reach 5.9 GB/s, larger ones gain nothing.
const READ_BYTES: usize = 64 * 1024;

/// What ends a line.
const NEWLINE: u8 = b'\n';

/// A NUL ends a line too: JSON cannot hold one, so it is a hole that a power cut left, and the line
/// behind it is another. Unless it is half of a character of UTF-16.
const NUL: u8 = 0;

/// Bytes of an overlong line that are kept to show what it was.
pub const HEAD_BYTES: usize = 1024;

/// One line that is not blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it begins.
    pub at: Mark,
    /// Its bytes without the newline; of an overlong line the first [`HEAD_BYTES`]. UTF-16 is decoded.
    pub bytes: Vec<u8>,
    /// In UTF-16, what `bytes` was decoded from: offsets in `bytes` are not the file's.
    pub encoded: Option<(Order, Vec<u8>)>,
    /// Whether it is one that can be sent.
    pub shape: Shape,
}

impl Line {
    /// Where in the file a piece is that begins at this index into `bytes`, or a place in front of it.
    pub fn place_of(&self, begin: usize) -> Mark {
        match &self.encoded {
            None => self.at.after(&self.bytes[..begin]),
            Some((Order::Little, encoded)) if begin > 0 => {
                let before = String::from_utf8_lossy(&self.bytes[..begin]);
                self.at.after(&encoded[..utf16::bytes_of(encoded, &before)])
            }
            // With the high byte first a line can be read from its mark on only.
            Some(_) => self.at.clone(),
        }
    }
}

/// What a line is, before anyone parsed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Ends in a newline and is within the limit.
    Whole,
    /// Ends in a newline and is over the limit.
    TooLong,
    /// The last one, without a newline: it may still be growing.
    Tail,
    /// The same, and already over the limit.
    TooLongTail,
}

impl Shape {
    /// Whether it is the last one, without a newline.
    pub fn is_tail(self) -> bool {
        matches!(self, Shape::Tail | Shape::TooLongTail)
    }

    /// Whether it is over the limit.
    pub fn is_too_long(self) -> bool {
        matches!(self, Shape::TooLong | Shape::TooLongTail)
    }
}

/// What reading on brought.
#[derive(Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "handed out one at a time, and nearly all are lines"
)]
pub enum Next {
    /// A line.
    Line(Line),
    /// Everything below the size seen at the start has been read.
    End,
    /// The file does not hold what it held: someone else changed it.
    Changed,
}

/// The reader of one buffer, from a mark up to a size.
#[derive(Debug)]
pub struct Lines {
    /// What has been read and not yet let go; what vouches for `next` stays in it.
    window: Vec<u8>,
    /// File offset of `window[0]`.
    base: u64,
    /// Index into `window` of the first byte not yet handed out.
    next: usize,
    /// Bytes of the line handed out last, and of the blanks behind it, up to `next`.
    last: u64,
    size: u64,
    line_bytes_max: usize,
}

impl Lines {
    /// Reads from `from` up to `size`, and takes no line longer than `line_bytes_max`.
    pub fn new(from: &Mark, size: u64, line_bytes_max: usize) -> Lines {
        let window = from.vouching().to_vec();
        let (base, next) = (from.offset - window.len() as u64, window.len());
        Lines {
            window,
            base,
            next,
            last: from.line,
            size,
            line_bytes_max,
        }
    }

    /// Where reading stands: behind the last line handed out and the blanks after it.
    pub fn mark(&self) -> Mark {
        let offset = self.base + self.next as u64;
        Mark::of(offset, self.last, &self.window[..self.next])
    }

    /// Lets go of the bytes up to `end`; if they begin a line, it is the last one from here on.
    fn advance(&mut self, end: usize, begins_a_line: bool) {
        if begins_a_line {
            self.last = 0;
        }
        self.last += (end - self.next) as u64;
        self.next = end;
    }

    /// The next line that is not blank.
    pub fn next(&mut self, file: &File) -> io::Result<Next> {
        let mut overlong: Option<Line> = None;
        let mut searched = 0;
        let mut order = None;
        loop {
            if searched == 0 && overlong.is_none() {
                self.skip_nuls();
            }
            let found = match order {
                None => self.narrow_end(searched),
                Some(order) => self.wide_end(searched, order),
            };
            match found {
                Found::End((end, after)) => {
                    let is_further_part = overlong.is_some();
                    let line = overlong.take().or_else(|| self.line(end, order));
                    self.advance(self.next + after, line.is_some() && !is_further_part);
                    (searched, order) = (0, None);
                    if let Some(line) = line {
                        return Ok(Next::Line(line));
                    }
                    continue;
                }
                Found::Wide(begins) => {
                    (searched, order) = (0, Some(begins));
                    continue;
                }
                Found::NotYet(so_far) => searched = so_far,
            }
            if searched > self.line_bytes_max {
                let is_first_part = overlong.is_none();
                overlong = overlong.or_else(|| self.line(searched, order));
                self.advance(self.next + searched, is_first_part);
                searched = 0;
            }
            match self.fill(file)? {
                Fill::More => {}
                Fill::Changed => return Ok(Next::Changed),
                Fill::End => return Ok(self.tail(overlong, order)),
            }
        }
    }

    /// The end of a line in UTF-8, looked for in the window from `searched` bytes behind its beginning on.
    fn narrow_end(&self, searched: usize) -> Found {
        let line = &self.window[self.next..];
        let Some(end) = memchr2(NEWLINE, NUL, &line[searched..]).map(|end| searched + end) else {
            return Found::NotYet(line.len());
        };
        if line[end] == NUL {
            if line.len() - end < utf16::LOOKED_AT && !self.is_all() {
                return Found::NotYet(end);
            }
            match utf16::begins_before(line, end) {
                Some((0, order)) => return Found::Wide(order),
                Some((begin, _)) => return Found::End((begin, begin)),
                None => {}
            }
        }
        Found::End((end, end + 1))
    }

    /// The same of a line in UTF-16.
    fn wide_end(&self, searched: usize, order: Order) -> Found {
        let line = &self.window[self.next..];
        utf16::end(line, searched, order, self.is_all()).map_or_else(Found::NotYet, Found::End)
    }

    /// Whether all bytes below the size are in the window.
    fn is_all(&self) -> bool {
        self.base + self.window.len() as u64 >= self.size
    }

    /// The line of so many bytes from `next` on, unless it is blank.
    fn line(&self, length: usize, order: Option<Order>) -> Option<Line> {
        let bytes = &self.window[self.next..self.next + length];
        let (bytes, shape) = if bytes.len() > self.line_bytes_max {
            let head = &bytes[..HEAD_BYTES.min(bytes.len())];
            (head, Shape::TooLong)
        } else if is_blank(bytes) {
            return None;
        } else {
            (bytes, Shape::Whole)
        };
        let encoded = order.map(|order| (order, bytes.to_vec()));
        let bytes = order.map_or_else(
            || bytes.to_vec(),
            |order| utf16::decode(bytes, order).into_bytes(),
        );
        Some(Line {
            at: self.mark(),
            bytes,
            encoded,
            shape,
        })
    }

    /// What stands behind the last newline.
    fn tail(&mut self, overlong: Option<Line>, order: Option<Order>) -> Next {
        let is_further_part = overlong.is_some();
        let line = overlong.or_else(|| self.line(self.window.len() - self.next, order));
        self.advance(self.window.len(), line.is_some() && !is_further_part);
        line.map_or(Next::End, |line| {
            let shape = if line.shape.is_too_long() {
                Shape::TooLongTail
            } else {
                Shape::Tail
            };
            Next::Line(Line { shape, ..line })
        })
    }

    /// NULs at the head of a line are what a power cut, or a truncation under an open descriptor,
    /// leaves; there may be megabytes of them in front of a good line.
    fn skip_nuls(&mut self) {
        let nuls = self.window[self.next..]
            .iter()
            .take_while(|byte| **byte == NUL)
            .count();
        self.advance(self.next + nuls, false);
    }

    /// Reads on, and takes the trail before the new bytes along to see that it is what it was.
    fn fill(&mut self, file: &File) -> io::Result<Fill> {
        let end = self.base + self.window.len() as u64;
        if end >= self.size {
            return Ok(Fill::End);
        }
        let dead = self.next.saturating_sub(cursor::reach(self.last));
        self.window.drain(..dead);
        self.base += dead as u64;
        self.next -= dead;

        let overlap = self.window.len().min(TRAIL_BYTES);
        let fresh =
            usize::try_from(self.size - end).map_or(READ_BYTES, |left| left.min(READ_BYTES));
        let mut bytes = vec![0; overlap + fresh];
        let read = os::read_at(file, &mut bytes, end - overlap as u64)?;
        if read < bytes.len() || bytes[..overlap] != self.window[self.window.len() - overlap..] {
            return Ok(Fill::Changed);
        }
        self.window.extend_from_slice(&bytes[overlap..]);
        Ok(Fill::More)
    }
}

/// What a search for the end of a line brought.
enum Found {
    /// The end.
    End(utf16::End),
    /// The line is in UTF-16.
    Wide(Order),
    /// Not in the first so many bytes.
    NotYet(usize),
}

enum Fill {
    More,
    End,
    Changed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::Cursor;
    use crate::os::Open;
    use proptest::prelude::*;
    use std::path::PathBuf;

    const LINE_BYTES_MAX: usize = 2000;

    fn buffer(content: &[u8]) -> (tempfile::TempDir, PathBuf, File) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("buffer");
        std::fs::write(&path, content).unwrap();
        let file = os::open(&path, Open::Update).unwrap();
        (dir, path, file)
    }

    fn read_all(content: &[u8]) -> (Vec<Line>, Mark) {
        let (_dir, _path, file) = buffer(content);
        let mut lines = Lines::new(&Mark::default(), content.len() as u64, LINE_BYTES_MAX);
        let mut found = Vec::new();
        loop {
            match lines.next(&file).unwrap() {
                Next::Line(line) => found.push(line),
                Next::End => return (found, lines.mark()),
                Next::Changed => panic!("nobody changed the file"),
            }
        }
    }

    fn place(mark: &Mark) -> (u64, Vec<u8>) {
        (mark.offset, mark.trail().to_vec())
    }

    /// Whether a pass that begins anew finds the place again.
    fn vouches_for_itself(content: &[u8], mark: &Mark) -> bool {
        let (dir, _path, file) = buffer(content);
        let path = dir.path().join("cursor");
        Cursor::open(&path).unwrap().commit(9, mark).unwrap();
        let found = cursor::peek(&path)
            .unwrap()
            .mark(&file, 9, content.len() as u64);
        place(&found.unwrap()) == place(mark)
    }

    fn check(content: &[u8], expected: &[(&[u8], Shape)]) {
        let (found, end) = read_all(content);
        let found: Vec<(&[u8], Shape)> = found
            .iter()
            .map(|line| (&line.bytes[..], line.shape))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(place(&end), place(&Mark::default().after(content)));
    }

    #[test]
    fn lines_are_handed_out_without_newlines_and_blanks() {
        check(b"", &[]);
        check(b"\n \n\t\r\n", &[]);
        check(
            b"a\n\nb\r\n",
            &[(b"a", Shape::Whole), (b"b\r", Shape::Whole)],
        );
    }

    #[test]
    fn what_stands_behind_the_last_newline_is_the_tail() {
        check(b"a\nb", &[(b"a", Shape::Whole), (b"b", Shape::Tail)]);
        check(b"a\n  ", &[(b"a", Shape::Whole)]);
    }

    #[test]
    fn a_hole_of_nuls_in_front_of_a_line_costs_only_the_nuls() {
        let mut content = vec![0; 300_000];
        content.extend_from_slice(b"good\n");
        check(&content, &[(b"good", Shape::Whole)]);
        check(&vec![0; 300_000], &[]);
    }

    #[test]
    fn an_overlong_line_is_skipped_and_its_head_shown() {
        let head = vec![b'x'; HEAD_BYTES];
        for length in [
            LINE_BYTES_MAX + 1,
            READ_BYTES - 1,
            READ_BYTES,
            5 * READ_BYTES + 7,
        ] {
            let mut content = vec![b'x'; length];
            content.extend_from_slice(b"\ngood\n");
            check(
                &content,
                &[(&head, Shape::TooLong), (b"good", Shape::Whole)],
            );
        }
        let longest = vec![b'x'; LINE_BYTES_MAX];
        check(&[&longest[..], b"\n"].concat(), &[(&longest, Shape::Whole)]);
        check(&vec![b'x'; READ_BYTES * 2], &[(&head, Shape::TooLongTail)]);
    }

    #[test]
    fn a_change_in_the_bytes_before_a_read_is_seen() {
        let content = b"0123456789\n".repeat(20_000);
        let (_dir, path, file) = buffer(&content);
        let mut lines = Lines::new(&Mark::default(), content.len() as u64, LINE_BYTES_MAX);
        lines.next(&file).unwrap();
        std::fs::write(&path, b"x".repeat(content.len())).unwrap();
        while let Next::Line(_) = lines.next(&file).unwrap() {}
        assert_eq!(lines.next(&file).unwrap(), Next::Changed);
    }

    #[test]
    fn a_file_that_shrank_is_seen() {
        let content = b"0123456789\n".repeat(20_000);
        let (_dir, _path, file) = buffer(&content);
        let mut lines = Lines::new(&Mark::default(), content.len() as u64, LINE_BYTES_MAX);
        file.set_len(5).unwrap();
        assert_eq!(lines.next(&file).unwrap(), Next::Changed);
    }

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn utf16_big(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_be_bytes).collect()
    }

    /// The texts of the lines, without blanks at their ends.
    fn check_texts(parts: &[&[u8]], expected: &[(&str, Shape)]) {
        let content = parts.concat();
        let (found, end) = read_all(&content);
        let found: Vec<(&str, Shape)> = found
            .iter()
            .map(|line| {
                (
                    std::str::from_utf8(&line.bytes).unwrap().trim_end(),
                    line.shape,
                )
            })
            .collect();
        assert_eq!(found, expected, "{}", content.escape_ascii());
        assert_eq!(place(&end), place(&Mark::default().after(&content)));
    }

    const HOLE: [u8; 600] = [0; 600];
    const EMOJI: &str = r#"{"a":"é€上😀"}"#;

    #[test]
    fn utf_16_is_decoded_beside_utf_8() {
        let (wide, ended) = (utf16(EMOJI), utf16(&format!("{EMOJI}\r\n")));
        let whole = (EMOJI, Shape::Whole);
        let narrow = (r#"{"b":1}"#, Shape::Whole);
        let narrow_line: &[u8] = b"{\"b\":1}\n";
        check_texts(&[&ended, &ended], &[whole, whole]);
        check_texts(&[b"\xFF\xFE", &ended, &ended], &[whole, whole]);
        check_texts(
            &[narrow_line, &ended, narrow_line, &ended],
            &[narrow, whole, narrow, whole],
        );
        check_texts(
            &[&HOLE, &ended, &HOLE, narrow_line, &HOLE, &ended],
            &[whole, narrow, whole],
        );
        check_texts(&[&ended, &wide], &[whole, (EMOJI, Shape::Tail)]);
        // The second half of the newline may still follow.
        check_texts(&[&wide, b"\n"], &[(EMOJI, Shape::Tail)]);
        check_texts(&[&utf16("\r\n\n \r\n"), &ended, &utf16("\r\n")], &[whole]);
        check_texts(&[b"\xFF\xFE"], &[]);
        let pretty = utf16("{\r\n  \"a\": 1\r\n}\r\n");
        check_texts(
            &[&pretty],
            &["{", "  \"a\": 1", "}"].map(|line| (line, Shape::Whole)),
        );
    }

    #[test]
    fn a_piece_of_a_line_in_utf_16_is_read_again_from_its_place() {
        let pieces = [EMOJI, r#"{"b":"漢"}"#, r#"{"c":3}"#];
        let line = utf16(&format!("{}\r\n", pieces.concat()));
        for before in [&b"{\"n\":1}\n"[..], b"\xFF\xFE"] {
            let content = [before, &line].concat();
            let (found, _) = read_all(&content);
            let line = found.last().unwrap();
            let mut begin = 0;
            for (index, piece) in pieces.iter().enumerate() {
                let mark = line.place_of(begin);
                begin += piece.len();
                let offset = usize::try_from(mark.offset).unwrap();
                assert_eq!(
                    place(&mark),
                    place(&Mark::default().after(&content[..offset]))
                );
                assert!(vouches_for_itself(&content, &mark));
                let rest = utf16(&format!("{}\r\n", pieces[index..].concat()));
                assert!(
                    content[offset..].ends_with(&rest) && (index == 0 || content[offset..] == rest)
                );
            }
        }
    }

    #[test]
    fn utf_16_with_the_high_byte_first_is_decoded() {
        let ended = utf16_big(&format!("{EMOJI}\r\n"));
        let plain = utf16_big("{\"é\":1}\r\n");
        check_texts(
            &[b"\xFE\xFF", &ended, &plain, &plain, b"{\"b\":1}\n"],
            &[
                (EMOJI, Shape::Whole),
                ("{\"é\":1}", Shape::Whole),
                ("{\"é\":1}", Shape::Whole),
                ("{\"b\":1}", Shape::Whole),
            ],
        );
    }

    #[test]
    fn a_torn_line_of_one_encoding_costs_no_line_of_the_other() {
        let wide = utf16(EMOJI);
        let ended = utf16(&format!("{EMOJI}\r\n"));
        let whole = (EMOJI, Shape::Whole);
        let good: &[u8] = b"{\"b\":1}\n";
        check_texts(
            &[b"{\"torn", &ended, good],
            &[
                ("{\"torn", Shape::Whole),
                whole,
                ("{\"b\":1}", Shape::Whole),
            ],
        );
        for (bytes, head) in [(12, r#"{"a":""#), (13, r#"{"a":"é"#), (14, r#"{"a":"é"#)] {
            let torn = &wide[..bytes];
            let glued = format!("{head}{{\"b\":1}}");
            check_texts(
                &[torn, good, good],
                &[(&glued, Shape::Whole), ("{\"b\":1}", Shape::Whole)],
            );
            let after_hole = [(head, Shape::Whole), ("{\"b\":1}", Shape::Whole), whole];
            check_texts(&[torn, &HOLE, good, &ended], &after_hole);
        }
        // A producer of lines in UTF-8 ends a line that was left without its newline.
        let ended_by_another = [&wide[..], b"\n", good, &wide, b"\r\0\n", good, &ended].concat();
        let narrow = ("{\"b\":1}", Shape::Whole);
        check_texts(&[&ended_by_another], &[whole, narrow, whole, narrow, whole]);
    }

    proptest! {
        #[test]
        fn lines_in_two_encodings_are_told_apart_wherever_a_read_ends(
            lines in prop::collection::vec((any::<bool>(), "[^\0\n]{0,60}|[上第漢索笊\u{a0a}😀]{0,9}", 0usize..300, 0usize..3), 0..120)
        ) {
            let (mut content, mut expected) = (Vec::new(), Vec::new());
            for (is_wide, text, padding, end) in lines {
                let text = format!("{{\"a\":\"{text}{}\"}}\r", "x".repeat(padding));
                let line = format!("{text}\n");
                expected.push((content.len() as u64, text));
                content.extend(if is_wide { utf16(&line) } else { line.into_bytes() });
                content.extend(&HOLE[..[0, 4, 600][end]]);
            }
            let (found, end) = read_all(&content);
            prop_assert_eq!(place(&end), place(&Mark::default().after(&content)));
            for line in &found {
                let offset = usize::try_from(line.at.offset).unwrap();
                prop_assert_eq!(place(&line.at), place(&Mark::default().after(&content[..offset])));
            }
            let found: Vec<(u64, String)> =
                found.into_iter().map(|line| (line.at.offset, String::from_utf8(line.bytes).unwrap())).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn no_byte_is_lost_and_every_mark_vouches_for_itself(
            pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..3000), 0usize..3), 0..60)
        ) {
            let content: Vec<u8> =
                pieces.iter().flat_map(|(bytes, newlines)| [&bytes[..], &b"\n\n\n"[..*newlines]].concat()).collect();
            prop_assume!(!content.windows(4).any(|bytes| utf16::begins(bytes).is_some()));
            let (found, end) = read_all(&content);
            prop_assert_eq!(place(&end), place(&Mark::default().after(&content)));
            prop_assert!(vouches_for_itself(&content, &end));
            let mut expected: Vec<Vec<u8>> = Vec::new();
            for line in content.split(|byte| matches!(*byte, NEWLINE | NUL)) {
                let nuls = line.iter().take_while(|byte| **byte == 0).count();
                let line = &line[nuls..];
                if line.len() > LINE_BYTES_MAX {
                    expected.push(line[..HEAD_BYTES].to_vec());
                } else if !is_blank(line) {
                    expected.push(line.to_vec());
                }
            }
            prop_assert_eq!(found.iter().map(|line| line.bytes.clone()).collect::<Vec<_>>(), expected);
            for line in found {
                let offset = usize::try_from(line.at.offset).unwrap();
                prop_assert_eq!(place(&line.at), place(&Mark::default().after(&content[..offset])));
                prop_assert!(content[offset..].starts_with(&line.bytes));
            }
        }
    }
}
