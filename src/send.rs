//! One batch to the server: attempts, pauses, halving and redirects, until every event of it has a
//! fate.

use crate::batch::Batch;
use crate::clock;
use crate::consent::Consent;
use crate::fate::Fate;
use crate::retry::{self, Next};
use crate::route::Route;
use crate::settings::Limits;
use crate::stop::Stop;
use crate::verdict::{self, Item, Refusal, Trouble, Verdict};
use crate::world::World;
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// What came of a batch: a fate for each event that was to be posted, by entry.
#[derive(Debug)]
pub struct Sent {
    /// In the order of [`Batch::events`].
    pub fates: Vec<(usize, Fate)>,
    /// Set if the pass over this buffer must end.
    pub stop: Option<Stop>,
}

/// The connection to the server during one pass.
pub struct Sender<'a, W: World> {
    world: &'a W,
    limits: &'a Limits,
    may: &'a dyn Fn() -> Consent,
    /// Where requests go.
    pub route: Route,
    /// How far the server's clock is ahead of ours.
    pub skew: Option<TimeDelta>,
    /// Requests that were posted.
    pub requests: u64,
}

/// Builds an entry's envelope again, under another time of sending.
pub type Rewrap<'a> = &'a dyn Fn(&[u8], DateTime<Utc>) -> Option<Vec<u8>>;

impl<'a, W: World> Sender<'a, W> {
    /// Posts along this route, as long as it may.
    pub fn new(
        world: &'a W,
        limits: &'a Limits,
        may: &'a dyn Fn() -> Consent,
        route: Route,
    ) -> Self {
        Sender {
            world,
            limits,
            may,
            route,
            skew: None,
            requests: 0,
        }
    }

    /// The time of day, by the server's clock where ours is known to be wrong.
    pub fn now(&self) -> DateTime<Utc> {
        self.world.now() + self.skew.unwrap_or_default()
    }

    /// Delivers a batch as far as it goes, with at most `attempts_max` attempts for each request.
    pub fn deliver(&mut self, batch: &mut Batch, attempts_max: u32, rewrap: Rewrap) -> Sent {
        let events = batch.events();
        let mut fates: Vec<(usize, Fate)> =
            events.iter().map(|index| (*index, Fate::Kept)).collect();
        let mut refused_alone = Vec::new();
        // Groups are indexes into `fates`; the first half is on top, so the order stays the buffer's.
        let mut groups: Vec<Vec<usize>> = vec![(0..events.len()).collect()];
        let mut stop = None;
        while let Some(group) = groups.pop() {
            match self.deliver_group(batch, &mut fates, group, attempts_max, rewrap) {
                Group::Judged => {}
                Group::Refused(status, group) if group.len() == 1 => {
                    refused_alone.push((group[0], status));
                }
                Group::Refused(_, group) => {
                    let (first, second) = group.split_at(group.len() / 2);
                    groups.extend([second.to_vec(), first.to_vec()]);
                }
                Group::Stopped(why) => {
                    stop = Some(why);
                    break;
                }
            }
        }
        let stop = self.judge_alone(&mut fates, &refused_alone).or(stop);
        Sent { fates, stop }
    }

    /// An event that gets a bare 400 all by itself is poison, unless every one of several does: then
    /// it is the endpoint that refuses us, and a wrong key must never empty a buffer.
    fn judge_alone(&self, fates: &mut [(usize, Fate)], alone: &[(usize, u16)]) -> Option<Stop> {
        let (_, status) = *alone.first()?;
        if alone.len() > 1 && alone.len() == fates.len() {
            let trouble = Trouble::Misconfigured(format!("status {status} for every event"));
            let until = retry::not_before(&trouble, None, self.now());
            return Some(Stop::Trouble(trouble, until));
        }
        if fates.len() > 1 && !fates.iter().any(|(_, fate)| *fate == Fate::Delivered) {
            // Stopped half-way with nothing accepted yet: no evidence against these events.
            return None;
        }
        for (index, status) in alone {
            fates[*index].1 = Fate::Refused(Refusal {
                status: *status,
                message: String::new(),
            });
        }
        None
    }

    fn deliver_group(
        &mut self,
        batch: &mut Batch,
        fates: &mut [(usize, Fate)],
        group: Vec<usize>,
        attempts_max: u32,
        rewrap: Rewrap,
    ) -> Group {
        let events = group.len();
        let mut pending = group;
        let mut attempt = 1;
        let mut rewrapped = false;
        while !pending.is_empty() {
            if let Some(stop) = self.must_stop(Duration::ZERO) {
                return Group::Stopped(stop);
            }
            let entries: Vec<usize> = pending.iter().map(|index| fates[*index].0).collect();
            let (verdict, asked) = self.post(&batch.body(&entries), entries.len());
            let trouble = match verdict {
                Verdict::Items(items) => {
                    let for_time = items
                        .iter()
                        .any(|item| matches!(item, Item::RefusedForTime(_)));
                    if for_time && self.skew.is_some() && !rewrapped {
                        // The server's clock is not ours: what it refused may be our clock's fault.
                        self.rewrap(batch, &entries, rewrap);
                        rewrapped = true;
                        pending = settle_items(fates, &pending, items, Blame::OurClock);
                        continue;
                    }
                    pending = settle_items(fates, &pending, items, Blame::TheEvent);
                    None
                }
                Verdict::Again(trouble) => Some(trouble),
                Verdict::Leave(trouble) => return Group::Stopped(self.stop(trouble, asked)),
                Verdict::Split(status) => return Group::Refused(status, pending),
                Verdict::Redirect(location) => {
                    let trouble = Trouble::Redirected(format!("to {location}"));
                    return Group::Stopped(self.stop(trouble, asked));
                }
            };
            if pending.is_empty() {
                break;
            }
            let limits = Limits {
                attempts_max,
                ..self.limits.clone()
            };
            match (
                retry::next(&limits, attempt, asked, dice(self.world.now())),
                trouble,
            ) {
                (Next::Pause(pause), _) => match self.must_stop(pause) {
                    Some(stop) => return Group::Stopped(stop),
                    None => self.world.sleep(pause),
                },
                // What the server took of the group shows that it is at work: the rest is kept, and
                // does not hold up what stands behind it.
                (Next::Leave, Some(_)) if pending.len() < events && asked.is_none() => break,
                (Next::Leave, Some(trouble)) => return Group::Stopped(self.stop(trouble, asked)),
                // The server took part of the batch and named a time for the rest.
                (Next::Leave, None) if asked.is_some() => {
                    return Group::Stopped(self.stop(Trouble::Status(429), asked));
                }
                (Next::Leave, None) => break,
            }
            attempt += 1;
        }
        Group::Judged
    }

    fn rewrap(&self, batch: &mut Batch, entries: &[usize], rewrap: Rewrap) {
        let now = self.now();
        for index in entries {
            let entry = &mut batch.entries[*index];
            if let Some(envelope) = rewrap(&entry.line, now) {
                entry.content = crate::batch::Content::Envelope(envelope);
            }
        }
    }

    /// Whether a request after this pause must not be begun.
    fn must_stop(&self, pause: Duration) -> Option<Stop> {
        // It could outlive the pass.
        if self.world.elapsed() + pause + self.limits.request_timeout > self.limits.deadline {
            return Some(Stop::Deadline);
        }
        match (self.may)() {
            Consent::Allowed => None,
            Consent::Denied(rule) => Some(Stop::Off(rule)),
        }
    }

    fn stop(&self, trouble: Trouble, asked: Option<TimeDelta>) -> Stop {
        let until = retry::not_before(&trouble, asked, self.now());
        Stop::Trouble(trouble, until)
    }

    /// One request, and the redirects it meets.
    fn post(&mut self, body: &[u8], sent: usize) -> (Verdict, Option<TimeDelta>) {
        let mut visited = vec![self.route.place()];
        loop {
            self.requests += 1;
            let reply = match self.world.post(&self.route.url(), body) {
                Ok(reply) => reply,
                Err(no_reply) => {
                    self.route.reset();
                    return (Verdict::Again(Trouble::NoReply(no_reply.why)), None);
                }
            };
            let now = self.world.now();
            let verdict = verdict::judge(&reply, sent);
            if let Verdict::Items(_) = verdict {
                // Only Breeze's own clock is believed, not a captive portal's.
                self.skew = clock::skew(reply.date.as_deref(), now);
            }
            let asked = reply
                .retry_after
                .as_deref()
                .and_then(|header| retry::retry_after(header, now));
            let Verdict::Redirect(location) = verdict else {
                return (verdict, asked);
            };
            if let Err(trouble) = self.route.follow(&location, &reply, &mut visited, now) {
                return (Verdict::Leave(trouble), asked);
            }
        }
    }
}

enum Group {
    Judged,
    Refused(u16, Vec<usize>),
    Stopped(Stop),
}

#[derive(Clone, Copy)]
enum Blame {
    TheEvent,
    OurClock,
}

/// Writes down each event's fate and returns those to try again.
fn settle_items(
    fates: &mut [(usize, Fate)],
    pending: &[usize],
    items: Vec<Item>,
    blame: Blame,
) -> Vec<usize> {
    let mut again = Vec::new();
    for (index, item) in pending.iter().zip(items) {
        fates[*index].1 = match (item, blame) {
            (Item::Delivered, _) => Fate::Delivered,
            (Item::Refused(refusal), _) | (Item::RefusedForTime(refusal), Blame::TheEvent) => {
                Fate::Refused(refusal)
            }
            (Item::Kept(_), _) => Fate::Kept,
            (Item::Again(_), _) | (Item::RefusedForTime(_), Blame::OurClock) => {
                again.push(*index);
                Fate::Kept
            }
        };
    }
    again
}

/// Spreads the pauses of many machines; the odd nanoseconds of the clock are random enough for that.
fn dice(now: DateTime<Utc>) -> f64 {
    f64::from(now.timestamp_subsec_nanos()) / 1e9
}
