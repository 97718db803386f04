//! What waits in a buffer, for people: how many events, how many bytes, since when. Changes and makes
//! nothing.

use crate::buffer::{self, Buffer};
use crate::event::{self};
use crate::lines::Next;
use crate::os::Open;
use crate::paths::Paths;
use crate::settings::Limits;
use anyhow::Result;
use chrono::{DateTime, Utc};

/// What is not delivered yet of one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// The buffer's file name.
    pub name: String,
    /// Lines that a pass would read; a few of them may turn out to be no events, or several.
    pub events: u64,
    /// Bytes behind the cursor.
    pub bytes: u64,
    /// Whether the next pass drops its oldest events, because they are more than the limit.
    pub is_over_cap: bool,
    /// When the first event that says so happened. Lines are appended in order, so it is the oldest, but
    /// for producers that append late.
    pub oldest: Option<DateTime<Utc>>,
}

/// The same of several buffers together.
pub fn sum(buffers: &[Waiting]) -> Waiting {
    let mut all = Waiting::default();
    for one in buffers {
        all.events += one.events;
        all.bytes += one.bytes;
        // The earlier of two, if there are two.
        all.oldest = all.oldest.into_iter().chain(one.oldest).min();
    }
    all
}

/// The events that wait in all buffers, as far as they can be seen.
pub fn events(paths: &Paths) -> u64 {
    let limits = Limits::configured(paths);
    let names = buffer::names(paths).unwrap_or_default();
    let found = names
        .iter()
        .filter_map(|name| look(paths, name, &limits).ok());
    found.map(|found| found.events).sum()
}

/// Counts. It reads all that waits, at most twice the 50 MB cap, which takes a few tenths of a second.
///
/// # Errors
/// The buffer is not a plain file of this user's own, or cannot be read.
pub fn look(paths: &Paths, name: &str, limits: &Limits) -> Result<Waiting> {
    let buffer = Buffer::look(paths, name, Open::Read)?;
    let mut waiting = Waiting {
        name: name.to_owned(),
        bytes: buffer.size - buffer.mark.offset,
        is_over_cap: buffer.over_cap(limits.buffer_bytes_max)?.is_some(),
        ..Waiting::default()
    };
    let mut lines = buffer.lines(limits.line_bytes_max);
    while let Next::Line(line) = buffer.next(&mut lines)? {
        waiting.events += 1;
        if waiting.oldest.is_none() {
            waiting.oldest = event::read(&line.bytes).ok().and_then(|event| event.time);
        }
    }
    Ok(waiting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn lines_are_counted_and_the_first_readable_time_is_the_oldest() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::find("atomic", Some(dir.path()), &BTreeMap::new()).unwrap();
        let text = "not an event\n\n{\"name\":\"a\",\"timestamp\":\"2026-11-01T00:00:00Z\"}\n{\"name\":\"b\"}\n";
        std::fs::write(paths.buffer("telemetry-events.jsonl"), text).unwrap();
        let found = look(&paths, "telemetry-events.jsonl", &Limits::default()).unwrap();
        assert_eq!((found.events, found.bytes), (3, text.len() as u64));
        assert_eq!(
            found.oldest.unwrap().to_rfc3339(),
            "2026-11-01T00:00:00+00:00"
        );
    }
}
