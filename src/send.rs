//! One batch to the server: attempts, pauses, halving and redirects, until every event of it has a
//! fate.
//!
//! Halving finds the event that a request fails for. Two things make a batch fail as a whole:
//!
//! - The server refuses it (400, 413) without a word about which event. An event that is refused alone is
//!   poison only if the server accepted another one of the batch: a wrong key, or a proxy that refuses
//!   everybody, must never empty a buffer. Where the first and the last event are refused alone and
//!   nothing was accepted, halving stops.
//! - The server fails (5xx, 408), although it answers others. What fails alone is kept, and does not hold up
//!   what is behind it: see [`Sender::isolate`].

use crate::batch::{Batch, Content};
use crate::fate::{Blame, Fate, note_each};
use crate::requests::{Flight, Requests};
use crate::retry::{self, Next};
use crate::stop::Stop;
use crate::verdict::{OfEvent, Refusal, Trouble, Verdict};
use crate::world::World;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::VecDeque;
use std::time::Duration;

/// What came of a batch: a fate for each event that was to be posted, by its line.
#[derive(Debug)]
pub struct Sent {
    /// In the order of [`Batch::events`].
    pub fates: Vec<(usize, Fate)>,
    /// How the delivery ended.
    pub end: End,
}

/// How the delivery of a batch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Every event has its fate.
    Complete,
    /// The pass over this buffer must end.
    Stopped(Stop),
    /// Requests keep failing for this reason although the server answers: one of these events, indexes into
    /// the fates, may be the cause.
    Suspected(Trouble, Vec<usize>),
}

impl Sent {
    /// The events that may be the cause of failing requests.
    pub fn suspected(&self) -> &[usize] {
        match &self.end {
            End::Suspected(_, events) => events,
            End::Complete | End::Stopped(_) => &[],
        }
    }

    /// Whether the server accepted an event of it.
    pub fn is_accepted_in_part(&self) -> bool {
        is_delivered_in_part(&self.fates)
    }
}

fn is_delivered_in_part(fates: &[(usize, Fate)]) -> bool {
    fates.iter().any(|(_, fate)| *fate == Fate::Delivered)
}

/// Delivers batches during one pass.
pub struct Sender<'a, W: World> {
    /// Its requests.
    pub requests: Requests<'a, W>,
}

/// Builds a line's envelope again, under another time of sending.
pub type Rewrap<'a> = &'a dyn Fn(&[u8], DateTime<Utc>) -> Option<Vec<u8>>;

/// A batch on its way.
struct Delivery<'d> {
    batch: &'d mut Batch,
    fates: &'d mut Vec<(usize, Fate)>,
    rewrap: Rewrap<'d>,
    attempts_max: u32,
}

/// What to do with a part whose requests keep failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnFailure {
    /// Leave off, and suspect one of its events.
    Suspect,
    /// Halve it, down to the event that fails alone.
    Halve,
}

impl<W: World> Sender<'_, W> {
    /// Delivers a batch as far as it goes, with at most `attempts_max` attempts for each request. `flight`
    /// is its first request, if that was begun.
    pub fn deliver(
        &mut self,
        batch: &mut Batch,
        flight: Option<Flight>,
        attempts_max: u32,
        rewrap: Rewrap,
    ) -> Sent {
        let events = batch.events();
        let mut fates: Vec<(usize, Fate)> =
            events.iter().map(|index| (*index, Fate::Kept)).collect();
        let delivery = Delivery {
            batch,
            fates: &mut fates,
            rewrap,
            attempts_max,
        };
        let all = VecDeque::from([(0..events.len()).collect()]);
        let end = self.deliver_in_parts(delivery, all, flight, OnFailure::Suspect);
        Sent { fates, end }
    }

    /// Tries one event of a suspected batch once, alone; whether the server accepted it.
    pub fn probe(
        &mut self,
        batch: &mut Batch,
        sent: &mut Sent,
        event: usize,
        rewrap: Rewrap,
    ) -> bool {
        let mut delivery = Delivery {
            batch,
            fates: &mut sent.fates,
            rewrap,
            attempts_max: 1,
        };
        match self.deliver_part(&mut delivery, vec![event], &mut None) {
            Part::Stopped(stop) => sent.end = End::Stopped(stop),
            Part::Refused(..) | Part::Failed(..) => return false,
            Part::Judged => {
                if let End::Suspected(_, suspected) = &mut sent.end {
                    suspected.retain(|index| *index != event);
                }
            }
        }
        sent.fates[event].1 == Fate::Delivered
    }

    /// Finds the events that a suspected batch fails for, one attempt a request. Those that fail alone stay
    /// kept, and so does the rest if the server fails for too many in a row.
    pub fn isolate(&mut self, batch: &mut Batch, sent: &mut Sent, rewrap: Rewrap) {
        let End::Suspected(_, suspected) = &mut sent.end else {
            return;
        };
        let suspected = std::mem::take(suspected);
        let delivery = Delivery {
            batch,
            fates: &mut sent.fates,
            rewrap,
            attempts_max: 1,
        };
        // Together they have failed already.
        let parts = if suspected.len() < 2 {
            VecDeque::new()
        } else {
            halves(&suspected).into()
        };
        sent.end = self.deliver_in_parts(delivery, parts, None, OnFailure::Halve);
    }

    /// Posts these parts of the batch, and their halves as long as they fail.
    fn deliver_in_parts(
        &mut self,
        mut delivery: Delivery,
        mut parts: VecDeque<Vec<usize>>,
        mut flight: Option<Flight>,
        on_failure: OnFailure,
    ) -> End {
        let first = parts.front().and_then(|part| part.first().copied());
        let last = parts.back().and_then(|part| part.last().copied());
        let failures_max = failures_in_a_row_max(parts.iter().map(Vec::len).sum());
        let mut failures = 0;
        let mut refused_alone: Vec<(usize, Refusal)> = Vec::new();
        let is_refused =
            |alone: &[(usize, Refusal)], event| alone.iter().any(|it| Some(it.0) == event);
        loop {
            let is_accepted = is_delivered_in_part(delivery.fates);
            // The order of the buffer; but where the first is refused, the last tells whether all are.
            let from_end = !is_accepted && is_refused(&refused_alone, first);
            if from_end && is_refused(&refused_alone, last) {
                break;
            }
            let next = if from_end {
                parts.pop_back()
            } else {
                parts.pop_front()
            };
            let Some(part) = next else { break };
            let failed = match self.deliver_part(&mut delivery, part, &mut flight) {
                Part::Stopped(stop) => {
                    self.judge_alone(delivery.fates, &refused_alone);
                    return End::Stopped(stop);
                }
                Part::Failed(trouble, part) if on_failure == OnFailure::Suspect => {
                    self.judge_alone(delivery.fates, &refused_alone);
                    let undecided = std::iter::once(part).chain(parts).flatten();
                    return End::Suspected(trouble, undecided.collect());
                }
                Part::Failed(_, part) => {
                    failures += 1;
                    if failures > failures_max {
                        break;
                    }
                    part
                }
                Part::Judged => {
                    failures = 0;
                    continue;
                }
                Part::Refused(refusal, part) => {
                    if let [event] = part[..] {
                        refused_alone.push((event, refusal));
                    }
                    part
                }
            };
            if failed.len() > 1 {
                let [one, other] = halves(&failed);
                // Where the server fails, the largest parts come first: of those some are well.
                if from_end || on_failure == OnFailure::Halve {
                    parts.extend([one, other]);
                } else {
                    parts.push_front(other);
                    parts.push_front(one);
                }
            }
        }
        self.judge_alone(delivery.fates, &refused_alone)
            .map_or(End::Complete, End::Stopped)
    }

    /// Whether the events that were refused alone are poison; or the reason to stop, if the server accepted
    /// no other event of the batch.
    fn judge_alone(&self, fates: &mut [(usize, Fate)], alone: &[(usize, Refusal)]) -> Option<Stop> {
        let (_, first) = alone.first()?;
        if !is_delivered_in_part(fates) {
            let trouble = Trouble::RefusedAlike {
                status: first.status,
                is_bare: first.message.is_empty(),
            };
            return Some(self.requests.stop(trouble, None));
        }
        for (index, refusal) in alone {
            let mut refusal = refusal.clone();
            if refusal.message.is_empty() {
                refusal.message = format!("status {} without a word why", refusal.status);
            }
            fates[*index].1 = Fate::Refused(refusal);
        }
        None
    }

    /// Posts a part of the batch until each event of it has a fate, or it must be halved, or the
    /// sending must stop.
    fn deliver_part(
        &mut self,
        delivery: &mut Delivery,
        part: Vec<usize>,
        flight: &mut Option<Flight>,
    ) -> Part {
        let size = part.len();
        let mut pending = part;
        let mut attempts = 0;
        let mut rewrapped = false;
        while !pending.is_empty() {
            let lines: Vec<usize> = pending
                .iter()
                .map(|index| delivery.fates[*index].0)
                .collect();
            let judged = match self.requests.post(delivery.batch, &lines, flight.take()) {
                Ok(judged) => judged,
                Err(stop) => return Part::Stopped(stop),
            };
            let asked = judged.asked;
            let trouble = match judged.verdict {
                // The key cannot be wrong if the server accepted others of the batch.
                Verdict::Leave(Trouble::InvalidKey) if is_delivered_in_part(delivery.fates) => {
                    break;
                }
                Verdict::Leave(trouble) => return self.failed(trouble, asked, pending),
                Verdict::Split(status) => {
                    let message = String::new();
                    return Part::Refused(Refusal { status, message }, pending);
                }
                Verdict::Again(trouble) => Some(trouble),
                Verdict::Each(verdicts) => {
                    let blame = self.blame(&verdicts, rewrapped);
                    let undecided = note_each(delivery.fates, &pending, verdicts, blame);
                    pending = undecided.events;
                    if let Some(refusal) = undecided.suspected {
                        return Part::Refused(refusal, pending);
                    }
                    if blame == Blame::OurClock {
                        rewrapped = true;
                        self.rewrap(delivery, &lines);
                        continue;
                    }
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
                delivery.attempts_max,
                asked,
                self.dice(),
            );
            if let Next::Pause(pause) = next {
                if let Some(stop) = self.pause(pause, judged.at) {
                    return Part::Stopped(stop);
                }
                continue;
            }
            let is_taken_in_part = pending.len() < size;
            return self.used_up(trouble, asked, pending, is_taken_in_part);
        }
        Part::Judged
    }

    /// A part whose attempts are used up, after this trouble, or after a reply for each event.
    fn used_up(
        &self,
        trouble: Option<Trouble>,
        asked: Option<TimeDelta>,
        pending: Vec<usize>,
        is_taken_in_part: bool,
    ) -> Part {
        match (trouble, asked) {
            // What the server took of the part shows that it is at work: the rest is kept, and does
            // not hold up what is behind it.
            (None, None) => Part::Judged,
            (Some(_), None) if is_taken_in_part => Part::Judged,
            // It took some, and named a time for the rest.
            (None, Some(_)) => self.failed(Trouble::Status(429), asked, pending),
            (Some(trouble), _) => self.failed(trouble, asked, pending),
        }
    }

    /// A part that is not tried again in this pass.
    fn failed(&self, trouble: Trouble, asked: Option<TimeDelta>, part: Vec<usize>) -> Part {
        if asked.is_none() && trouble.may_be_one_event(self.requests.has_accepted) {
            Part::Failed(trouble, part)
        } else {
            Part::Stopped(self.requests.stop(trouble, asked))
        }
    }

    /// Pauses before the next attempt, unless the sending must stop. While others were waited for a part of
    /// the pause has gone by.
    fn pause(&mut self, pause: Duration, since: Duration) -> Option<Stop> {
        let pause = (since + pause).saturating_sub(self.requests.world.elapsed());
        let stop = self.requests.must_stop(pause);
        if stop.is_none() && !pause.is_zero() {
            self.requests.pace.paused();
            self.requests.world.sleep(pause);
        }
        stop
    }

    /// Whose fault it is if the server refused events for their time. Where its clock was not ours, now or
    /// when they were wrapped, it may be our fault.
    fn blame(&self, verdicts: &[OfEvent], rewrapped: bool) -> Blame {
        let for_time = |verdict: &OfEvent| matches!(verdict, OfEvent::RefusedForTime(_));
        let clock = &self.requests.clock;
        if !verdicts.iter().any(for_time) {
            Blame::TheEvent
        } else if !clock.is_known() {
            Blame::Unknown
        } else if clock.has_differed && !rewrapped {
            Blame::OurClock
        } else {
            Blame::TheEvent
        }
    }

    fn rewrap(&self, delivery: &mut Delivery, lines: &[usize]) {
        let now = self.requests.now();
        for index in lines {
            let line = &mut delivery.batch.lines[*index];
            if let Some(envelope) = (delivery.rewrap)(&line.bytes, now) {
                line.content = Content::Envelope(envelope);
            }
        }
    }

    /// Spreads the pauses of many machines; the odd nanoseconds of the clock are random enough.
    fn dice(&self) -> f64 {
        f64::from(self.requests.world.now().timestamp_subsec_nanos()) / 1e9
    }
}

/// Halving a number of events down to one takes as many failures as their number has bits: enough for two such
/// events beside each other.
fn failures_in_a_row_max(events: usize) -> u32 {
    2 * (usize::BITS - events.leading_zeros()) + 2
}

fn halves(part: &[usize]) -> [Vec<usize>; 2] {
    let (one, other) = part.split_at(part.len() / 2);
    [one.to_vec(), other.to_vec()]
}

/// How the delivery of a part ends.
enum Part {
    /// Each event has a fate.
    Judged,
    /// The server refused these like this, and does not say which of them is at fault.
    Refused(Refusal, Vec<usize>),
    /// The attempts for these are used up, and one of them may be the reason.
    Failed(Trouble, Vec<usize>),
    /// The pass over this buffer must end.
    Stopped(Stop),
}
