//! The local copies of what was sent, for the person who wants to see it: `upload/sent.jsonl`, one envelope
//! a line. They are written when a buffer's turn ends, and of a backlog only the last: to write all of it
//! through the files, which keep no more, would cost a fifth of the pass. A copy that is lost loses no event.

use crate::batch::{Batch, Content};
use crate::fate::Fate;
use crate::journal::{self, Durable, SENT_BYTES_MAX};
use crate::paths::Paths;
use crate::settings::SentCopy;
use std::path::Path;

/// Lines that are written at once: each such block is built in memory beside the copies themselves.
const LINES_AT_ONCE: usize = 100;

/// Bytes of a generation of them in memory, of which there are two.
const GENERATION_BYTES_MAX: u64 = SENT_BYTES_MAX / 2;

/// Copies that are not written yet: lines, and the generation before.
#[derive(Debug, Default)]
pub struct Copies {
    older: Vec<u8>,
    newer: Vec<u8>,
    /// Whether there were more.
    are_last: bool,
}

impl Copies {
    /// Takes what was delivered of a batch.
    pub fn add(&mut self, batch: &Batch, fates: &[Fate], copy: SentCopy) {
        if copy == SentCopy::Off {
            return;
        }
        for (line, fate) in batch.lines.iter().zip(fates) {
            if let (Content::Envelope(envelope), Fate::Delivered) = (&line.content, fate) {
                if (self.newer.len() + envelope.len()) as u64 >= GENERATION_BYTES_MAX {
                    self.are_last |= !self.older.is_empty();
                    self.older = std::mem::take(&mut self.newer);
                }
                self.newer.extend_from_slice(envelope);
                self.newer.push(b'\n');
            }
        }
    }

    /// Writes them; a failure is let go. Where they are only the last, the file with the older ones tells
    /// readers so by being there.
    pub fn write(&self, paths: &Paths) {
        let path = paths.sent();
        append(&path, &self.older);
        if self.are_last {
            let _ = journal::begin_generation(&path);
        }
        append(&path, &self.newer);
    }
}

fn append(path: &Path, generation: &[u8]) {
    let lines = generation.split(|byte| *byte == b'\n');
    let lines: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
    for lines in lines.chunks(LINES_AT_ONCE) {
        let _ = journal::append(path, SENT_BYTES_MAX, lines, Durable::Eventually);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Judged;
    use crate::cursor::Mark;
    use std::collections::BTreeMap;

    fn batch(numbers: std::ops::Range<usize>) -> Batch {
        let mut batch = Batch::default();
        for number in numbers {
            batch.push(Judged {
                at: Mark::default(),
                bytes: Vec::new(),
                content: Content::Envelope(format!("{number:01000}").into_bytes()),
                fields_refused: Vec::new(),
            });
        }
        batch
    }

    #[test]
    fn of_a_backlog_the_last_half_megabyte_at_least_is_kept_and_an_older_file_tells_that_there_was_more()
     {
        for count in [1, 900, 1_100, 2_000, 2_500, 5_000] {
            let folder = tempfile::tempdir().unwrap();
            let paths = Paths::find("a", Some(folder.path()), &BTreeMap::new()).unwrap();
            std::fs::create_dir(paths.upload()).unwrap();
            let mut copies = Copies::default();
            for begin in (0..count).step_by(100) {
                let batch = batch(begin..(begin + 100).min(count));
                let fates = vec![Fate::Delivered; batch.lines.len()];
                copies.add(&batch, &fates, SentCopy::Kept);
            }
            copies.write(&paths);
            let [older, newer] = journal::generations(&paths.sent());
            assert_eq!(older.exists(), count > 1_046, "{count}");
            let kept = journal::read(&paths.sent(), SENT_BYTES_MAX).unwrap();
            assert!(kept.len() >= count.min(523), "{count}: {}", kept.len());
            let last = format!("{:01000}", count - 1);
            assert_eq!(kept.last().unwrap(), last.as_bytes());
            assert!(newer.metadata().unwrap().len() <= SENT_BYTES_MAX);
        }
    }
}
