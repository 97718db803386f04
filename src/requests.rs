//! The requests of a pass: whether one may be begun, where it goes, the redirects it meets, and what the
//! replies tell of the server's clock and of the way to it.

use crate::batch::Batch;
use crate::connection::Endpoint;
use crate::consent::Consent;
use crate::pace::Pace;
use crate::retry;
use crate::route::Route;
use crate::server_clock::ServerClock;
use crate::settings::Limits;
use crate::stop::Stop;
use crate::verdict::{self, Cure, Elsewhere, OfEvent, Trouble, Verdict};
use crate::world::{Answer, NoReply, Reply, UnderWay, World};
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// The requests of one pass.
pub struct Requests<'a, W: World> {
    pub(crate) world: &'a W,
    pub(crate) limits: &'a Limits,
    may: &'a dyn Fn() -> Consent,
    /// Where requests go.
    pub route: Route,
    /// What is known of the server's clock.
    pub clock: ServerClock,
    /// How many were begun.
    pub count: u64,
    /// How many may be under way at once.
    pub pace: Pace,
    /// Why no request may be begun for now; those under way still have their answers.
    pub halted: Option<Stop>,
    /// Whether the server has accepted an event, in this pass or an earlier one: then it does not refuse
    /// everything.
    pub has_accepted: bool,
    /// Whether the server accepted no probe in this pass: it is down for everybody, and is not probed again.
    pub has_probed_in_vain: bool,
}

/// The first request of a batch, while it is under way.
#[derive(Debug)]
pub struct Flight {
    request: UnderWay,
    place: Endpoint,
    since: Duration,
    bytes: usize,
}

/// A request that is done.
struct Answered {
    place: Endpoint,
    /// Of its body before gzip.
    bytes: usize,
    took: Duration,
    at: Duration,
    reply: Result<Reply, NoReply>,
}

/// What a request came to.
pub struct Judgement {
    /// What it means.
    pub verdict: Verdict,
    /// The pause the server asked for.
    pub asked: Option<TimeDelta>,
    /// When, by [`World::elapsed`].
    pub at: Duration,
}

impl<'a, W: World> Requests<'a, W> {
    /// Posts along this route, as long as it may.
    pub fn new(
        world: &'a W,
        limits: &'a Limits,
        may: &'a dyn Fn() -> Consent,
        route: Route,
    ) -> Self {
        Requests {
            world,
            limits,
            may,
            route,
            clock: ServerClock::default(),
            count: 0,
            pace: Pace::new(limits),
            halted: None,
            has_accepted: false,
            has_probed_in_vain: false,
        }
    }

    /// The time of day, by the server's clock where ours is known to be wrong.
    pub fn now(&self) -> DateTime<Utc> {
        self.world.now() + self.clock.skew.unwrap_or_default()
    }

    /// Whether a request after this pause must not be begun.
    pub fn must_stop(&self, pause: Duration) -> Option<Stop> {
        if self.halted.is_some() {
            return self.halted.clone();
        }
        // It could outlive the pass.
        if self.world.elapsed() + pause + self.limits.request_timeout > self.limits.deadline {
            return Some(Stop::Deadline);
        }
        match (self.may)() {
            Consent::Allowed => None,
            Consent::Denied(rule) => Some(Stop::Off(rule)),
        }
    }

    /// The reason to stop that a trouble is; with a pause for the passes to come, if it asks for one.
    pub fn stop(&self, trouble: Trouble, asked: Option<TimeDelta>) -> Stop {
        // Midnight is the server's; what is written down is read by our own clock.
        let until = retry::not_before(&trouble, asked, self.now())
            .map(|until| until - self.clock.skew.unwrap_or_default());
        Stop::Trouble(trouble, until)
    }

    /// Begins the first request of a batch, if one may be begun; [`Requests::post`] goes on with it.
    pub fn begin(&mut self, batch: &Batch) -> Option<Flight> {
        if self.must_stop(Duration::ZERO).is_some() {
            return None;
        }
        self.count += 1;
        let (place, since) = (self.route.place().clone(), self.world.elapsed());
        let body = batch.body(&batch.events());
        Some(Flight {
            request: self.world.begin(&place, &body),
            bytes: body.len(),
            place,
            since,
        })
    }

    /// Whether there is an answer by now, and whether it is one that needs no further request.
    pub fn is_answered_well(&self, flight: &mut Flight) -> Option<bool> {
        let answer = self.world.look(&mut flight.request)?;
        let reply = answer.reply.as_ref();
        Some(reply.is_ok_and(|reply| reply.status == 200))
    }

    /// The reason to stop that is in the answer to a request under way, if it is there and is one: others
    /// must not go on meanwhile, because the server asks for a pause, or refuses us.
    pub fn stop_in(&self, flight: &mut Flight, sent: usize) -> Option<Stop> {
        let answer = self.world.look(&mut flight.request)?;
        let reply = answer.reply.as_ref().ok()?;
        let asked = self.asked(reply);
        match (verdict::judge(reply, sent).ok()?, asked) {
            (Verdict::Leave(trouble), None) if trouble.may_be_one_event(self.has_accepted) => None,
            (Verdict::Leave(trouble), _) | (Verdict::Again(trouble), Some(_)) => {
                Some(self.stop(trouble, asked))
            }
            _ => None,
        }
    }

    /// The pause that the server asked for.
    fn asked(&self, reply: &Reply) -> Option<TimeDelta> {
        retry::retry_after(reply.retry_after.as_deref()?, self.world.now())
    }

    /// One request, begun already or not, and the redirects it meets.
    ///
    /// # Errors
    /// A reason why it may not be begun.
    pub fn post(
        &mut self,
        batch: &Batch,
        lines: &[usize],
        flight: Option<Flight>,
    ) -> Result<Judgement, Stop> {
        let mut answered = match flight {
            Some(flight) => self.wait_for(flight),
            None => self.post_now(batch, lines)?,
        };
        let mut visited = vec![answered.place.clone()];
        loop {
            let Answered {
                place,
                bytes,
                took,
                at,
                reply,
            } = answered;
            let judgement = |verdict, asked| Ok(Judgement { verdict, asked, at });
            let reply = match reply {
                Ok(reply) => reply,
                Err(no_reply) => {
                    if place == *self.route.place() {
                        self.route.reset();
                    }
                    let trouble = Trouble::NoReply(no_reply);
                    return match trouble.cure() {
                        Cure::Time => judgement(Verdict::Again(trouble), None),
                        Cure::Configuration => judgement(Verdict::Leave(trouble), None),
                    };
                }
            };
            let now = self.world.now() - self.world.elapsed().saturating_sub(at);
            let asked = self.asked(&reply);
            match verdict::judge(&reply, lines.len()) {
                // A place we were sent to in an earlier pass may be gone by now, which another batch may have
                // found out since this one was begun.
                Ok(Verdict::Leave(trouble))
                    if !trouble.may_be_accepted()
                        && (place != *self.route.place() || self.route.forget_cached()) =>
                {
                    visited = vec![self.route.place().clone()];
                }
                Ok(verdict) => {
                    if let Verdict::Each(events) = &verdict {
                        self.has_accepted |= events.contains(&OfEvent::Delivered);
                        self.pace.replied(took, bytes);
                        if let Some(date) = &reply.date {
                            self.clock.compare(date, now);
                        }
                    }
                    return judgement(verdict, asked);
                }
                // Another batch has been sent elsewhere since this one was begun: it goes there, too.
                Err(_) if place != *self.route.place() => {
                    visited = vec![self.route.place().clone()];
                }
                Err(Elsewhere(location)) => {
                    let followed = self.route.follow(&location, &reply, &mut visited, now);
                    if let Err(trouble) = followed {
                        return judgement(Verdict::Leave(trouble), asked);
                    }
                }
            }
            answered = self.post_now(batch, lines)?;
        }
    }

    fn wait_for(&mut self, flight: Flight) -> Answered {
        let Answer { reply, at } = self.world.answer(flight.request);
        Answered {
            place: flight.place,
            bytes: flight.bytes,
            took: at.saturating_sub(flight.since),
            at,
            reply,
        }
    }

    fn post_now(&mut self, batch: &Batch, lines: &[usize]) -> Result<Answered, Stop> {
        self.must_stop(Duration::ZERO).map_or(Ok(()), Err)?;
        self.count += 1;
        let (place, since) = (self.route.place().clone(), self.world.elapsed());
        let body = batch.body(lines);
        let reply = self.world.post(&place, &body);
        let at = self.world.elapsed();
        Ok(Answered {
            place,
            bytes: body.len(),
            took: at.saturating_sub(since),
            at,
            reply,
        })
    }
}
