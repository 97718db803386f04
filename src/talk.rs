//! A world that says what happens in it, for `--verbose`: a line for each request and each pause, of
//! counts and statuses alone.

use crate::connection::Endpoint;
use crate::terminal;
use crate::verdict::{self, OfEvent, Verdict};
use crate::world::{Answer, NoReply, Reply, UnderWay, World};
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

/// Another world, told about on standard error.
#[derive(Debug)]
pub struct Talk<'a, W> {
    world: &'a W,
    /// The number of the last attempt.
    attempt: Cell<u32>,
    /// Whether there was a pause since: only before a further attempt there is one.
    paused: Cell<bool>,
    /// Where the requests under way go, and of how many events they are, in their order.
    under_way: RefCell<VecDeque<(Endpoint, usize)>>,
}

impl<'a, W: World> Talk<'a, W> {
    /// About this world.
    pub fn about(world: &'a W) -> Self {
        Talk {
            world,
            attempt: Cell::new(0),
            paused: Cell::new(false),
            under_way: RefCell::default(),
        }
    }

    fn tell_of(&self, endpoint: &Endpoint, sent: usize, reply: &Result<Reply, NoReply>) {
        let earlier = if self.paused.replace(false) {
            self.attempt.get()
        } else {
            0
        };
        let attempt = earlier + 1;
        self.attempt.set(attempt);
        terminal::complain(&tell(endpoint, sent, reply, attempt));
    }
}

impl<W: World> World for Talk<'_, W> {
    fn now(&self) -> DateTime<Utc> {
        self.world.now()
    }

    fn elapsed(&self) -> Duration {
        self.world.elapsed()
    }

    fn post(&self, endpoint: &Endpoint, body: &[u8]) -> Result<Reply, NoReply> {
        let reply = self.world.post(endpoint, body);
        self.tell_of(endpoint, events_in(body), &reply);
        reply
    }

    fn begin(&self, endpoint: &Endpoint, body: &[u8]) -> UnderWay {
        let about = (endpoint.clone(), events_in(body));
        self.under_way.borrow_mut().push_back(about);
        self.world.begin(endpoint, body)
    }

    fn look<'r>(&self, request: &'r mut UnderWay) -> Option<&'r Answer> {
        self.world.look(request)
    }

    fn answer(&self, request: UnderWay) -> Answer {
        let answer = self.world.answer(request);
        if let Some((endpoint, sent)) = self.under_way.borrow_mut().pop_front() {
            self.tell_of(&endpoint, sent, &answer.reply);
        }
        answer
    }

    fn sleep(&self, pause: Duration) {
        let seconds = pause.as_secs_f64();
        terminal::complain(&format!("waits {seconds:.1} s before it tries again"));
        self.paused.set(true);
        self.world.sleep(pause);
    }
}

fn events_in(body: &[u8]) -> usize {
    let events: Result<Vec<&RawValue>, _> = serde_json::from_slice(body);
    events.map_or(0, |events| events.len())
}

fn tell(endpoint: &Endpoint, sent: usize, reply: &Result<Reply, NoReply>, attempt: u32) -> String {
    let host = endpoint.host();
    let said = match reply {
        Err(no_reply) => format!("no reply ({no_reply})"),
        Ok(reply) => {
            let accepted = match verdict::judge(reply, sent) {
                Err(_) => return format!("{host}: {}, a redirect", reply.status),
                Ok(Verdict::Each(events)) => {
                    let delivered = |of: &&OfEvent| **of == OfEvent::Delivered;
                    events.iter().filter(delivered).count()
                }
                Ok(_) => 0,
            };
            let asked = reply.retry_after.as_deref();
            let asked = asked.map_or(String::new(), |after| format!(", Retry-After {after}"));
            format!("{}, accepted {accepted} of {sent}{asked}", reply.status)
        }
    };
    format!("{host}: {said}, attempt {attempt}")
}
