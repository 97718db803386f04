//! Reads a buffer forward, line by line, in bounded memory and without any lock: the bytes below the
//! size seen at the start never change. If they do, the person changed them, and reading stops.

use crate::cursor::{self, Mark, TRAIL_BYTES};
use crate::event::is_blank;
use crate::os;
use memchr::memchr2;
use std::fs::File;
use std::io;

/// Bytes asked of the system at once: 64 KB reads reach 5.9 GB/s, larger ones gain nothing.
const READ_BYTES: usize = 64 * 1024;

/// What ends a line.
const NEWLINE: u8 = b'\n';

/// A NUL ends a line too: JSON cannot hold one, so it is a hole that a power cut left, and the line
/// behind it is another.
const NUL: u8 = 0;

/// Bytes of an overlong line that are kept to show what it was.
pub const HEAD_BYTES: usize = 1024;

/// One line that is not blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it begins.
    pub at: Mark,
    /// Its bytes without the newline; of an overlong line the first [`HEAD_BYTES`].
    pub bytes: Vec<u8>,
    /// Whether it is one that can be sent.
    pub shape: Shape,
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
        loop {
            if searched == 0 && overlong.is_none() {
                self.skip_nuls();
            }
            let unsearched = &self.window[self.next + searched..];
            if let Some(end_of_line) = memchr2(NEWLINE, NUL, unsearched) {
                let end = self.next + searched + end_of_line;
                let is_further_part = overlong.is_some();
                let line = overlong.take().or_else(|| self.line(end));
                self.advance(end + 1, line.is_some() && !is_further_part);
                searched = 0;
                if let Some(line) = line {
                    return Ok(Next::Line(line));
                }
                continue;
            }
            searched = self.window.len() - self.next;
            if searched > self.line_bytes_max {
                let is_first_part = overlong.is_none();
                overlong = overlong.or_else(|| self.line(self.window.len()));
                self.advance(self.window.len(), is_first_part);
                searched = 0;
            }
            match self.fill(file)? {
                Fill::More => {}
                Fill::Changed => return Ok(Next::Changed),
                Fill::End => return Ok(self.tail(overlong)),
            }
        }
    }

    /// The line from `next` to `end`, unless it is blank.
    fn line(&self, end: usize) -> Option<Line> {
        let bytes = &self.window[self.next..end];
        if bytes.len() > self.line_bytes_max {
            let head = &bytes[..HEAD_BYTES.min(bytes.len())];
            return Some(Line {
                at: self.mark(),
                bytes: head.to_vec(),
                shape: Shape::TooLong,
            });
        }
        (!is_blank(bytes)).then(|| Line {
            at: self.mark(),
            bytes: bytes.to_vec(),
            shape: Shape::Whole,
        })
    }

    /// What stands behind the last newline.
    fn tail(&mut self, overlong: Option<Line>) -> Next {
        let is_further_part = overlong.is_some();
        let line = overlong.or_else(|| self.line(self.window.len()));
        self.advance(self.window.len(), line.is_some() && !is_further_part);
        line.map_or(Next::End, |line| {
            Next::Line(Line {
                shape: Shape::Tail,
                ..line
            })
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
        check(&vec![b'x'; READ_BYTES * 2], &[(&head, Shape::Tail)]);
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

    proptest! {
        #[test]
        fn no_byte_is_lost_and_every_mark_vouches_for_itself(
            pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..3000), 0usize..3), 0..60)
        ) {
            let content: Vec<u8> =
                pieces.iter().flat_map(|(bytes, newlines)| [&bytes[..], &b"\n\n\n"[..*newlines]].concat()).collect();
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
