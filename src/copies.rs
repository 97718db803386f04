//! The local copies of what was sent, for the person who wants to see it: `upload/sent.jsonl`, one envelope
//! a line. They are written when a buffer's turn ends, the last of them only: the file holds no more, and
//! to write all of a backlog through it took a fifth of the processor time of a pass. A copy that is lost
//! loses no event.

use crate::batch::{Batch, Content};
use crate::fate::Fate;
use crate::journal::{self, Durable, SENT_BYTES_MAX};
use crate::paths::Paths;
use crate::settings::SentCopy;
use std::collections::VecDeque;

/// Copies that are not written yet.
#[derive(Debug, Default)]
pub struct Copies {
    envelopes: VecDeque<Vec<u8>>,
    bytes: u64,
}

impl Copies {
    /// Takes what was delivered of a batch.
    pub fn add(&mut self, batch: Batch, fates: &[Fate], copy: SentCopy) {
        if copy == SentCopy::Off {
            return;
        }
        for (line, fate) in batch.lines.into_iter().zip(fates) {
            if let (Content::Envelope(envelope), Fate::Delivered) = (line.content, fate) {
                self.bytes += envelope.len() as u64;
                self.envelopes.push_back(envelope);
            }
        }
        while self.bytes > SENT_BYTES_MAX {
            let oldest = self.envelopes.pop_front().unwrap_or_default();
            self.bytes -= oldest.len() as u64;
        }
    }

    /// Writes them; a failure is let go.
    pub fn write(&mut self, paths: &Paths) {
        let envelopes: Vec<Vec<u8>> = self.envelopes.drain(..).collect();
        self.bytes = 0;
        let path = paths.sent();
        let _ = journal::append(&path, SENT_BYTES_MAX, &envelopes, Durable::Eventually);
    }
}
