//! One buffer on its way through a pass: lines in, batches out.

use crate::batch::{Batch, Content, Judged, SHOWN_BYTES_MAX};
use crate::buffer::Buffer;
use crate::cursor::Mark;
use crate::envelope;
use crate::event::{self, DropReason, Piece};
use crate::lines::{Line, Lines, Next, Shape};
use crate::news::Closed;
use crate::paths::Paths;
use crate::rules::{Rules, Tail};
use crate::settings::Limits;
use crate::settle::{self, Guard, Settled};
use crate::summary::{Ending, Summary};
use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};

/// A line without a newline is left alone for this long: its producer may still be writing.
const TAIL_FRESH: TimeDelta = TimeDelta::seconds(60);

/// How often a pass starts again on a buffer that the person keeps changing.
const RESTARTS_MAX: u32 = 3;

/// What the buffer brought.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "handed out one at a time, and nearly all are batches"
)]
pub enum Taken {
    /// Lines for one request, and whether more follow.
    Batch(Batch, More),
    /// Nothing is left to be read.
    End,
    /// The person changed the file under us.
    Changed,
}

/// Whether the buffer holds more for this pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// It may.
    Yes,
    /// It does not.
    No,
}

/// A buffer and how far it has been read.
#[derive(Debug)]
pub struct Intake {
    /// The buffer.
    pub buffer: Buffer,
    lines: Lines,
    /// Read, but for the next batch.
    carried: Vec<Judged>,
    /// Lines that begin before this offset are over the cap.
    over_cap: u64,
    /// How often it was opened anew because the file changed under it.
    restarts: u32,
}

impl Intake {
    /// Starts at the buffer's cursor.
    ///
    /// # Errors
    /// A buffer that cannot be read.
    pub fn new(buffer: Buffer, limits: &Limits) -> Result<Intake> {
        let over_cap = buffer.over_cap(limits.buffer_bytes_max)?.unwrap_or(0);
        let lines = buffer.lines(limits.line_bytes_max);
        Ok(Intake {
            buffer,
            lines,
            carried: Vec::new(),
            over_cap,
            restarts: 0,
        })
    }

    /// Opens a buffer by name; one that cannot be opened is a problem of its own, and of no other.
    pub fn open(
        paths: &Paths,
        name: &str,
        limits: &Limits,
        summary: &mut Summary,
    ) -> Option<Intake> {
        let opened = Buffer::open(paths, name).and_then(|buffer| Intake::new(buffer, limits));
        let intake = summary.noting(opened)?;
        summary.reads_again(name);
        Some(intake)
    }

    /// What is not delivered yet of that which stood there when it was opened.
    pub fn bytes_waiting(&self) -> u64 {
        self.buffer.size.saturating_sub(self.buffer.mark.offset)
    }

    /// Starts again after the person changed the file under us: it stays as it is, and is read by its
    /// cursor.
    pub fn reopen(self, paths: &Paths, limits: &Limits, summary: &mut Summary) -> Option<Intake> {
        let (name, restarts) = (self.buffer.name.clone(), self.restarts + 1);
        drop(self);
        if restarts > RESTARTS_MAX {
            summary.ending = Ending::Later(format!("{name} keeps being changed while it is read"));
            return None;
        }
        let mut intake = Intake::open(paths, &name, limits, summary)?;
        intake.restarts = restarts;
        Some(intake)
    }

    /// The end of a buffer in this round: what was delivered leaves the file.
    pub fn close(mut self, guard: Guard, summary: &mut Summary) -> Option<Closed> {
        let settled = settle::settle(&mut self.buffer, guard);
        if summary.noting(settled) == Some(Settled::TruncatedWithoutLease) {
            summary.truncated_without_lease += 1;
        }
        summary.noting(self.buffer.close())
    }

    /// Reads the lines of the next request.
    ///
    /// # Errors
    /// A buffer that cannot be read.
    pub fn take_batch(&mut self, rules: &Rules) -> Result<Taken> {
        let mut batch = Batch::default();
        loop {
            let lines = if self.carried.is_empty() {
                match self.buffer.next(&mut self.lines)? {
                    Next::Changed => return Ok(Taken::Changed),
                    Next::Line(line) if self.leaves_alone(&line, rules) => {
                        self.buffer.read_to = line.at.offset;
                        return Ok(self.ended(batch, line.at));
                    }
                    Next::Line(line) => self.judge(line, rules),
                    Next::End => {
                        let end = self.lines.mark();
                        return Ok(self.ended(batch, end));
                    }
                }
            } else {
                std::mem::take(&mut self.carried)
            };
            for line in lines {
                if self.carried.is_empty() && batch.fits(&line, rules.limits) {
                    batch.push(line);
                } else {
                    self.carried.push(line);
                }
            }
            if let Some(next) = self.carried.first() {
                batch.end = next.at.clone();
                return Ok(Taken::Batch(batch, More::Yes));
            }
        }
    }

    fn ended(&self, mut batch: Batch, end: Mark) -> Taken {
        if batch.lines.is_empty() && end == self.buffer.mark {
            return Taken::End;
        }
        batch.end = end;
        Taken::Batch(batch, More::No)
    }

    /// Counts the lines that were not read yet, when the pass over this buffer ends early.
    pub fn count_rest(&mut self) -> u64 {
        let mut count = self.carried.len() as u64;
        while let Ok(Next::Line(line)) = self.buffer.next(&mut self.lines) {
            count += u64::from(!line.shape.is_tail());
        }
        count
    }

    fn leaves_alone(&self, line: &Line, rules: &Rules) -> bool {
        let fresh = || {
            let changed: Option<DateTime<Utc>> = self.buffer.modified.map(Into::into);
            changed.is_none_or(|changed| rules.local - changed < TAIL_FRESH)
        };
        line.shape.is_tail()
            && ((rules.tail == Tail::TakenWhenStale && fresh()) || self.buffer.is_being_written())
    }

    /// Judges a line: one verdict, or one for each piece if several objects were glued together.
    fn judge(&self, line: Line, rules: &Rules) -> Vec<Judged> {
        if line.at.offset < self.over_cap {
            return vec![dropped(line.at, &[], DropReason::OverCap)];
        }
        if line.shape.is_too_long() {
            return vec![dropped(line.at, &line.bytes, DropReason::TooLong)];
        }
        let outcome = wrap(&line.bytes, rules);
        if !matches!(outcome, Err(DropReason::Malformed(_))) {
            return vec![judged(line.at, line.bytes, outcome)];
        }
        let pieces = event::pieces(&line.bytes);
        let mut begin = line.at.offset;
        let judge = |piece: &Piece| {
            let bytes = &line.bytes[piece.range.clone()];
            let mut at = line.place_of(piece.range.start);
            // The piece before it vouches for a place. The line would, too, and be held once for each of them.
            if at.offset > begin {
                at = at.vouched_for_by(at.offset - begin);
                begin = at.offset;
            }
            let is_last = piece.range.end == line.bytes.len();
            let is_torn = !piece.is_whole && (line.shape == Shape::Tail || !is_last);
            let outcome = match wrap(bytes, rules) {
                Err(DropReason::Malformed(_)) if is_torn => Err(DropReason::Torn),
                outcome => outcome,
            };
            judged(at, bytes.to_vec(), outcome)
        };
        pieces.iter().map(judge).collect()
    }
}

fn judged(at: Mark, bytes: Vec<u8>, outcome: Result<(Content, Vec<String>), DropReason>) -> Judged {
    match outcome {
        Ok((content, fields_refused)) => Judged {
            at,
            bytes,
            content,
            fields_refused,
        },
        Err(DropReason::TooOld) => dropped(at, &[], DropReason::TooOld),
        Err(reason) => dropped(at, &bytes, reason),
    }
}

/// A line that is dropped is not held, but for what will be shown of it.
fn dropped(at: Mark, bytes: &[u8], reason: DropReason) -> Judged {
    Judged {
        at,
        bytes: bytes[..bytes.len().min(SHOWN_BYTES_MAX)].to_vec(),
        content: Content::Drop(reason),
        fields_refused: Vec::new(),
    }
}

fn wrap(line: &[u8], rules: &Rules) -> Result<(Content, Vec<String>), DropReason> {
    let event = event::parse(line, &rules.age)?;
    let envelope = envelope::wrap(&event, &rules.frame)?;
    Ok((Content::Envelope(envelope.json), envelope.fields_refused))
}

/// The envelope of a line under another time of sending, when the server's clock turned out to differ.
pub fn rewrap(line: &[u8], now: DateTime<Utc>, rules: &Rules) -> Option<Vec<u8>> {
    let event = event::read(line).ok()?;
    let mut frame = rules.frame.clone();
    frame.now = now;
    envelope::wrap(&event, &frame)
        .ok()
        .map(|envelope| envelope.json)
}
