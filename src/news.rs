//! Whether others appended to a buffer while a pass was at it.

use crate::buffer;
use crate::cursor::Mark;
use crate::lines::{HEAD_BYTES, Lines, Next};
use crate::os::{self, Open};
use crate::paths::Paths;
use std::fs::File;
use std::io;
use std::ops::Range;

/// What a closed buffer looked like, to be compared once the uploader's lock is free.
#[derive(Debug)]
pub struct Closed {
    name: String,
    news: bool,
    tail: u64,
}

impl Closed {
    /// Looks at a buffer behind the place where reading ended. What stands in `own` this pass has
    /// appended itself.
    pub(crate) fn look(
        name: &str,
        file: &File,
        own: &[Range<u64>],
        from: u64,
    ) -> io::Result<Closed> {
        let to = file.metadata()?.len();
        let (news, tail) = Seen { own, from, to }.scan(file)?;
        Ok(Closed {
            name: name.to_owned(),
            news,
            tail,
        })
    }

    /// A buffer that was not there before.
    fn unseen(name: String) -> Closed {
        Closed {
            name,
            news: false,
            tail: 0,
        }
    }

    /// Whether complete lines stand in the buffer that this pass has not judged. A producer appends
    /// before it tries the lock and the uploader releases before it looks, so one of the two sees
    /// the event. A torn tail and lines this pass kept are not news, or it would spin.
    pub fn has_news(&self, paths: &Paths) -> bool {
        if self.news {
            return true;
        }
        let Ok(file) = os::open(&paths.buffer(&self.name), Open::Read) else {
            return false;
        };
        let Ok(to) = file.metadata().map(|found| found.len()) else {
            return false;
        };
        // Shorter than it was: emptied by hand, and whatever stands in it now is new.
        let from = if to < self.tail { 0 } else { self.tail };
        Seen { own: &[], from, to }
            .scan(&file)
            .is_ok_and(|(news, _)| news)
    }
}

/// All buffers of a round.
#[derive(Debug)]
pub struct AllClosed {
    tried: Vec<String>,
    closed: Vec<Closed>,
    over: bool,
}

impl AllClosed {
    /// These were waiting when the round began.
    pub fn new(tried: Vec<String>) -> AllClosed {
        AllClosed {
            tried,
            closed: Vec::new(),
            over: false,
        }
    }

    /// A further round would post again what could not be written down in this one.
    pub fn look_no_more(&mut self) {
        self.over = true;
    }

    /// Notes a buffer that was closed.
    pub fn note(&mut self, closed: Option<Closed>) {
        self.closed.extend(closed);
    }

    /// Whether any buffer has news, or one that was empty or missing when the round began holds a
    /// complete line now.
    pub fn has_news(&self, paths: &Paths) -> bool {
        let new = || {
            let names = buffer::names(paths).unwrap_or_default();
            names
                .into_iter()
                .filter(|name| !self.tried.contains(name) && buffer::has_bytes(paths, name))
                .any(|name| Closed::unseen(name).has_news(paths))
        };
        !self.over && (self.closed.iter().any(|closed| closed.has_news(paths)) || new())
    }
}

struct Seen<'a> {
    own: &'a [Range<u64>],
    from: u64,
    to: u64,
}

impl Seen<'_> {
    /// Whether a complete line that is not our own begins in the range, and where the tail begins.
    fn scan(&self, file: &File) -> io::Result<(bool, u64)> {
        let mut lines = Lines::new(&Mark::at(self.from), self.to, HEAD_BYTES);
        loop {
            match lines.next(file)? {
                Next::Line(line) if line.shape.is_tail() => {
                    return Ok((false, line.at.offset));
                }
                Next::Line(line) if self.own.iter().any(|own| own.contains(&line.at.offset)) => {}
                Next::Line(_) | Next::Changed => return Ok((true, self.to)),
                Next::End => return Ok((false, lines.mark().offset)),
            }
        }
    }
}
