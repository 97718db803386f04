//! One batch to the server: attempts, pauses, halving and redirects, until every event of it has a
//! fate.

use crate::batch::{Batch, Content};
use crate::fate::{Blame, Fate, note_each};
use crate::requests::{Flight, Requests};
use crate::retry::{self, Next};
use crate::stop::Stop;
use crate::verdict::{OfEvent, Refusal, Trouble, Verdict};
use crate::world::World;
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// What came of a batch: a fate for each event that was to be posted, by its line.
#[derive(Debug, Default)]
pub struct Sent {
    /// In the order of [`Batch::events`].
    pub fates: Vec<(usize, Fate)>,
    /// Set if the pass over this buffer must end.
    pub stop: Option<Stop>,
}

/// Delivers batches during one pass.
pub struct Sender<'a, W: World> {
    /// Its requests.
    pub requests: Requests<'a, W>,
}

/// Builds a line's envelope again, under another time of sending.
pub type Rewrap<'a> = &'a dyn Fn(&[u8], DateTime<Utc>) -> Option<Vec<u8>>;

impl<W: World> Sender<'_, W> {
    /// Delivers a batch as far as it goes, with at most `attempts_max` attempts for each request. `flight`
    /// is its first request, if that was begun.
    pub fn deliver(
        &mut self,
        batch: &mut Batch,
        mut flight: Option<Flight>,
        attempts_max: u32,
        rewrap: Rewrap,
    ) -> Sent {
        let events = batch.events();
        let mut fates: Vec<(usize, Fate)> =
            events.iter().map(|index| (*index, Fate::Kept)).collect();
        let mut refused_alone = Vec::new();
        // Parts are indexes into `fates`; the first half is on top, so the order stays the buffer's.
        let mut parts: Vec<Vec<usize>> = vec![(0..events.len()).collect()];
        let mut stop = None;
        while let Some(part) = parts.pop() {
            match self.deliver_part(batch, &mut fates, part, &mut flight, attempts_max, rewrap) {
                Part::Judged => {}
                Part::Refused(status, part) if part.len() == 1 => {
                    refused_alone.push((part[0], status));
                }
                Part::Refused(_, part) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second.to_vec(), first.to_vec()]);
                }
                Part::Stopped(why) => {
                    stop = Some(why);
                    break;
                }
            }
        }
        let stop = self.judge_alone(&mut fates, &refused_alone).or(stop);
        Sent { fates, stop }
    }

    /// An event that gets a bare 400 all by itself is poison, if the server has judged others. If it
    /// has not, or refuses every one of several, it is about us: a wrong key, or a proxy in between,
    /// must never empty a buffer.
    fn judge_alone(&self, fates: &mut [(usize, Fate)], alone: &[(usize, u16)]) -> Option<Stop> {
        let (_, status) = *alone.first()?;
        let all = alone.len() == fates.len();
        if all && (alone.len() > 1 || !self.requests.judged) {
            let trouble = Trouble::Misconfigured(format!("status {status} without a word why"));
            return Some(self.requests.stop(trouble, None));
        }
        if !all && fates.iter().all(|(_, fate)| *fate == Fate::Kept) {
            // Stopped half-way with nothing judged yet: no evidence against these events.
            return None;
        }
        for (index, status) in alone {
            fates[*index].1 = Fate::Refused(Refusal {
                status: *status,
                message: format!("status {status} without a word why"),
            });
        }
        None
    }

    /// Posts a part of the batch until each event of it has a fate, or it must be halved, or the
    /// sending must stop.
    fn deliver_part(
        &mut self,
        batch: &mut Batch,
        fates: &mut [(usize, Fate)],
        part: Vec<usize>,
        flight: &mut Option<Flight>,
        attempts_max: u32,
        rewrap: Rewrap,
    ) -> Part {
        let size = part.len();
        let mut pending = part;
        let mut attempts = 0;
        let mut rewrapped = false;
        while !pending.is_empty() {
            let lines: Vec<usize> = pending.iter().map(|index| fates[*index].0).collect();
            let judged = match self.requests.post(batch, &lines, flight.take()) {
                Ok(judged) => judged,
                Err(stop) => return Part::Stopped(stop),
            };
            let asked = judged.asked;
            let trouble = match judged.verdict {
                // The key cannot be wrong if the server took the others.
                Verdict::Leave(Trouble::Misconfigured(_)) if pending.len() < size => break,
                Verdict::Leave(trouble) => {
                    return Part::Stopped(self.requests.stop(trouble, asked));
                }
                Verdict::Split(status) => return Part::Refused(status, pending),
                Verdict::Again(trouble) => Some(trouble),
                Verdict::Each(verdicts) if self.blames_our_clock(&verdicts) && !rewrapped => {
                    rewrapped = true;
                    self.rewrap(batch, &lines, rewrap);
                    pending = note_each(fates, &pending, verdicts, Blame::OurClock);
                    continue;
                }
                Verdict::Each(verdicts) => {
                    pending = note_each(fates, &pending, verdicts, Blame::TheEvent);
                    None
                }
            };
            attempts += 1;
            if pending.is_empty() {
                break;
            }
            let next = retry::next(
                self.requests.limits,
                attempts,
                attempts_max,
                asked,
                self.dice(),
            );
            let taken = pending.len() < size;
            if let Some(end) = self.pause_or_end(next, judged.at, trouble, asked, taken) {
                return end;
            }
        }
        Part::Judged
    }

    /// After an attempt that left events pending: pauses before the next one, or says how it ends. While
    /// others were waited for a part of the pause has gone by.
    fn pause_or_end(
        &mut self,
        next: Next,
        since: Duration,
        trouble: Option<Trouble>,
        asked: Option<TimeDelta>,
        taken: bool,
    ) -> Option<Part> {
        if let Next::Pause(pause) = next {
            let pause = (since + pause).saturating_sub(self.requests.world.elapsed());
            let stop = self.requests.must_stop(pause);
            if stop.is_none() && !pause.is_zero() {
                self.requests.pace.paused();
                self.requests.world.sleep(pause);
            }
            return stop.map(Part::Stopped);
        }
        match (trouble, asked) {
            // What the server took of the part shows that it is at work: the rest is kept, and does
            // not hold up what stands behind it.
            (None, None) => Some(Part::Judged),
            (Some(_), None) if taken => Some(Part::Judged),
            // It took some, and named a time for the rest.
            (None, Some(_)) => Some(Part::Stopped(
                self.requests.stop(Trouble::Status(429), asked),
            )),
            (Some(trouble), _) => Some(Part::Stopped(self.requests.stop(trouble, asked))),
        }
    }

    /// The server refused events for their time, and its clock was not ours, now or when they were
    /// wrapped: it may be our fault.
    fn blames_our_clock(&self, verdicts: &[OfEvent]) -> bool {
        let for_time = |verdict: &OfEvent| matches!(verdict, OfEvent::RefusedForTime(_));
        self.requests.clock.has_differed && verdicts.iter().any(for_time)
    }

    fn rewrap(&self, batch: &mut Batch, lines: &[usize], rewrap: Rewrap) {
        let now = self.requests.now();
        for index in lines {
            let line = &mut batch.lines[*index];
            if let Some(envelope) = rewrap(&line.bytes, now) {
                line.content = Content::Envelope(envelope);
            }
        }
    }

    /// Spreads the pauses of many machines; the odd nanoseconds of the clock are random enough.
    fn dice(&self) -> f64 {
        f64::from(self.requests.world.now().timestamp_subsec_nanos()) / 1e9
    }
}

/// How the delivery of a part ends.
enum Part {
    /// Each event has a fate.
    Judged,
    /// The server refused the request as a whole, with this status and without a word why.
    Refused(u16, Vec<usize>),
    /// The pass over this buffer must end.
    Stopped(Stop),
}
