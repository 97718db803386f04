//! Lines of a buffer packed into one request, within the limits of count and bytes.

use crate::cursor::Mark;
use crate::event::DropReason;
use crate::settings::Limits;

/// Lines in one batch, dropped ones included, for each event a request may hold: a long run of lines
/// that are only dropped is committed now and then too.
const LINES_PER_EVENT: usize = 10;

/// Bytes of lines held at once, beside those of the envelopes: a hundred lines of the usual 350 bytes, and
/// the bytes that vouch for each, take a twentieth of it, a hundred of the longest four times as much.
const HELD_BYTES_MAX: usize = 1_500_000;

/// Bytes of a line that are kept to show why it was rejected. Escaped they take six times as many at
/// most, so that at least twenty always fit into the file.
pub const SHOWN_BYTES_MAX: usize = 4096;

/// What an entry of rejected.jsonl takes beside the line itself.
const REJECTION_BYTES: u64 = 200;

/// One line, judged as far as it can be without the server.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Where it begins in the buffer.
    pub at: Mark,
    /// Its bytes without the newline, in UTF-8 if the producer wrote UTF-16; of a line that is dropped as
    /// many as are shown.
    pub bytes: Vec<u8>,
    /// What is to become of it.
    pub content: Content,
    /// Names of its fields that do not leave the machine.
    pub fields_refused: Vec<String>,
}

/// What a line holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// An event in Breeze's JSON, to be posted.
    Envelope(Vec<u8>),
    /// Nothing that is posted.
    Drop(DropReason),
}

/// The lines of one request, and the lines dropped between them.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order of the buffer, without a gap.
    pub lines: Vec<Judged>,
    /// Where the buffer goes on behind them.
    pub end: Mark,
    events: usize,
    envelope_bytes: usize,
    held_bytes: usize,
    rejected_bytes: u64,
}

impl Batch {
    /// Whether this line still fits. The first event always does.
    pub fn fits(&self, line: &Judged, limits: &Limits) -> bool {
        if self.lines.len() >= limits.request_events_max * LINES_PER_EVENT
            || self.held_bytes >= HELD_BYTES_MAX
        {
            return false;
        }
        match &line.content {
            Content::Drop(_) => true,
            Content::Envelope(_) if self.events == 0 => true,
            Content::Envelope(envelope) => {
                let events = self.events + 1;
                events <= limits.request_events_max
                    && body_bytes(events, self.envelope_bytes + envelope.len())
                        <= limits.request_bytes_max
            }
        }
    }

    /// Adds a line.
    pub fn push(&mut self, line: Judged) {
        match &line.content {
            Content::Envelope(envelope) => {
                self.events += 1;
                self.envelope_bytes += envelope.len();
            }
            Content::Drop(reason) if reason.is_written_down() => {
                self.rejected_bytes += REJECTION_BYTES + 2 * line.bytes.len() as u64;
            }
            Content::Drop(_) => {}
        }
        self.held_bytes += line.bytes.len() + usize::try_from(line.at.reach()).unwrap_or_default();
        self.lines.push(line);
    }

    /// Adds the batch that follows it in the buffer, so that both are committed as one.
    pub fn join(&mut self, next: Batch) {
        self.events += next.events;
        self.envelope_bytes += next.envelope_bytes;
        self.held_bytes += next.held_bytes;
        self.rejected_bytes += next.rejected_bytes;
        self.lines.extend(next.lines);
        self.end = next.end;
    }

    /// How many of its lines are posted.
    pub fn event_count(&self) -> usize {
        self.events
    }

    /// Bytes it takes in the buffer.
    pub fn bytes_in_buffer(&self) -> u64 {
        let begin = self
            .lines
            .first()
            .map_or(self.end.offset, |line| line.at.offset);
        self.end.offset - begin
    }

    /// Bytes that the lines that are dropped will take in rejected.jsonl, nearly.
    pub fn rejected_bytes(&self) -> u64 {
        self.rejected_bytes
    }

    /// Bytes of its envelopes.
    pub fn envelope_bytes(&self) -> usize {
        self.envelope_bytes
    }

    /// Bytes of memory it takes, nearly.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes + self.envelope_bytes
    }

    /// The indexes of the lines that are posted.
    pub fn events(&self) -> Vec<usize> {
        let is_event = |(_, line): &(usize, &Judged)| matches!(line.content, Content::Envelope(_));
        self.lines
            .iter()
            .enumerate()
            .filter(is_event)
            .map(|(index, _)| index)
            .collect()
    }

    /// The request body that posts these lines: one JSON array.
    pub fn body(&self, indexes: &[usize]) -> Vec<u8> {
        let mut body = Vec::with_capacity(body_bytes(indexes.len(), self.envelope_bytes) + 1);
        body.push(b'[');
        for index in indexes {
            if let Content::Envelope(envelope) = &self.lines[*index].content {
                if body.len() > 1 {
                    body.push(b',');
                }
                body.extend_from_slice(envelope);
            }
        }
        body.push(b']');
        body
    }
}

/// Brackets, the commas between, and the envelopes.
fn body_bytes(events: usize, envelope_bytes: usize) -> usize {
    envelope_bytes + events + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(bytes: usize) -> Judged {
        Judged {
            at: Mark::default(),
            bytes: Vec::new(),
            content: Content::Envelope(vec![b'1'; bytes]),
            fields_refused: Vec::new(),
        }
    }

    fn limits(events: usize, bytes: usize) -> Limits {
        Limits {
            request_events_max: events,
            request_bytes_max: bytes,
            ..Limits::default()
        }
    }

    fn pack(sizes: &[usize], limits: &Limits) -> Vec<Batch> {
        let mut batches = vec![Batch::default()];
        for size in sizes {
            let line = line(*size);
            if !batches[batches.len() - 1].fits(&line, limits) {
                batches.push(Batch::default());
            }
            let last = batches.len() - 1;
            batches[last].push(line);
        }
        batches
    }

    fn check(sizes: &[usize], limits: &Limits, expected: &[usize]) {
        let found: Vec<usize> = pack(sizes, limits)
            .iter()
            .map(|batch| batch.lines.len())
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_hundred_events_are_one_request_and_one_more_are_two() {
        check(&[10; 100], &Limits::default(), &[100]);
        check(&[10; 101], &Limits::default(), &[100, 1]);
    }

    #[test]
    fn the_body_is_full_at_exactly_the_limit() {
        check(&[40, 40], &limits(100, 83), &[2]);
        check(&[40, 40], &limits(100, 82), &[1, 1]);
    }

    #[test]
    fn an_event_over_the_limit_travels_alone() {
        check(&[10, 200, 10], &limits(100, 100), &[1, 1, 1]);
    }

    fn dropped(reason: DropReason) -> Judged {
        Judged {
            content: Content::Drop(reason),
            ..line(0)
        }
    }

    fn of(lines: impl IntoIterator<Item = Judged>) -> Batch {
        let mut batch = Batch::default();
        for line in lines {
            batch.push(line);
        }
        batch
    }

    #[test]
    fn lines_that_are_only_dropped_fill_a_batch_too() {
        let limits = limits(7, 1000);
        let run = |count| of((0..count).map(|_| dropped(DropReason::TooOld)));
        assert!(run(7 * LINES_PER_EVENT - 1).fits(&line(1), &limits));
        assert!(!run(7 * LINES_PER_EVENT).fits(&line(1), &limits));
    }

    #[test]
    fn the_lines_that_are_held_fill_a_batch_too() {
        let held = |bytes| Judged {
            bytes: vec![b'x'; bytes],
            ..dropped(DropReason::TooOld)
        };
        assert!(of([held(HELD_BYTES_MAX - 1)]).fits(&line(1), &Limits::default()));
        assert!(!of([held(HELD_BYTES_MAX)]).fits(&line(1), &Limits::default()));
    }

    #[test]
    fn rejected_lines_do_not_split_requests() {
        let lines = (0..200).map(|n| {
            if n % 2 == 0 {
                line(1)
            } else {
                dropped(DropReason::Torn)
            }
        });
        let batch = of(lines);
        assert_eq!(
            (batch.event_count(), batch.rejected_bytes()),
            (100, 100 * REJECTION_BYTES)
        );
        assert!(batch.fits(&dropped(DropReason::Torn), &Limits::default()));
        assert!(!batch.fits(&line(1), &Limits::default()));
    }

    #[test]
    fn only_events_are_posted() {
        let batch = of([dropped(DropReason::TooOld), line(1), line(1)]);
        assert_eq!(batch.events(), [1, 2]);
    }

    #[test]
    fn the_body_is_an_array_of_the_chosen_entries() {
        let mut batch = Batch::default();
        for digit in 1..4u8 {
            let content = Content::Envelope(vec![b'0' + digit]);
            batch.push(Judged { content, ..line(0) });
        }
        assert_eq!(batch.body(&[0, 2]), b"[1,3]");
        assert_eq!(batch.body(&[]), b"[]");
    }

    proptest! {
        #[test]
        fn no_event_is_lost_and_no_body_exceeds_the_limits(sizes in prop::collection::vec(1usize..60, 0..200)) {
            let limits = limits(7, 150);
            let batches = pack(&sizes, &limits);
            prop_assert_eq!(batches.iter().map(|batch| batch.lines.len()).sum::<usize>(), sizes.len());
            for batch in batches {
                prop_assert!(batch.events().len() <= 7);
                prop_assert!(batch.body(&batch.events()).len() <= 150);
            }
        }
    }
}
