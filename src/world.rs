//! The outside world behind one trait: the clock, the network, and sleep. With its parts in `world/` the
//! only file that names ureq, reads the clock, or pauses.

use crate::connection::Endpoint;
use crate::gzip::{self, Packer};
use crate::settings::Limits;
use anyhow::Result;
use chrono::{DateTime, Utc};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime};
use ureq::http::HeaderMap;

mod agents;
mod lanes;
mod no_proxy;
mod no_reply;
mod proxies;
mod proxy;
mod reach;
mod roots;

pub use no_reply::{NoReply, ProxyFailure};
pub use proxies::{Directly, Proxies, UnusableProxy, Way};
pub use proxy::{Proxy, ProxyName};
pub use reach::{connect, lookup};

use agents::Agents;
use lanes::Lanes;

/// A reply names at most every event of the request; a hostile one is cut here.
const REPLY_BYTES_MAX: usize = 256 * 1024;

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Body, unpacked where it came as gzip; at most 256 KB.
    pub body: Vec<u8>,
    /// Whether there was a body that could not be read: it is too long, or in another encoding.
    pub is_unreadable: bool,
    /// `Retry-After`, as sent.
    pub retry_after: Option<String>,
    /// `Location`, as sent.
    pub location: Option<String>,
    /// `Cache-Control`, as sent.
    pub cache_control: Option<String>,
    /// `Date`, as sent: the server's clock.
    pub date: Option<String>,
}

/// What came of a request, and when.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The reply, if there was one.
    pub reply: Result<Reply, NoReply>,
    /// By [`World::elapsed`].
    pub at: Duration,
}

/// A request that was begun.
#[derive(Debug)]
pub enum UnderWay {
    /// It is done already.
    Done(Answer),
    /// A lane is at it.
    InLane(Receiver<Answer>),
}

/// Everything that is not a pure function of the buffer and the settings.
pub trait World {
    /// The time of day.
    fn now(&self) -> DateTime<Utc>;
    /// Time since the pass began, on a clock that nobody sets.
    fn elapsed(&self) -> Duration;
    /// Posts one request body, gzipped, and waits for its reply.
    ///
    /// # Errors
    /// [`NoReply`], if none came.
    fn post(&self, endpoint: &Endpoint, body: &[u8]) -> Result<Reply, NoReply>;
    /// Begins to post the same, where it can be while others are under way. A world that does one thing
    /// after the other has done it when this returns.
    fn begin(&self, endpoint: &Endpoint, body: &[u8]) -> UnderWay {
        let reply = self.post(endpoint, body);
        let at = self.elapsed();
        UnderWay::Done(Answer { reply, at })
    }
    /// What came of a request, if it is there by now.
    fn look<'r>(&self, request: &'r mut UnderWay) -> Option<&'r Answer> {
        if let UnderWay::InLane(lane) = request {
            *request = UnderWay::Done(lane.try_recv().ok()?);
        }
        match request {
            UnderWay::Done(answer) => Some(answer),
            UnderWay::InLane(_) => None,
        }
    }
    /// Waits for what comes of a request. Who begins several asks in the same
    /// order, which [`crate::talk`] counts on.
    fn answer(&self, request: UnderWay) -> Answer {
        match request {
            UnderWay::Done(answer) => answer,
            UnderWay::InLane(lane) => lane.recv().unwrap_or_else(|_| Answer {
                reply: Err(NoReply::Failed("its thread has ended".to_owned())),
                at: self.elapsed(),
            }),
        }
    }
    /// Pauses.
    fn sleep(&self, pause: Duration);
}

/// The time of day, for those who need it outside a pass.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place that reads the clock"
)]
pub fn now() -> DateTime<Utc> {
    // Not chrono's own, which panics where the clock says a time before 1970.
    SystemTime::now().into()
}

/// A pause outside a pass.
#[allow(clippy::disallowed_methods, reason = "the one place that pauses")]
pub fn sleep(pause: Duration) {
    std::thread::sleep(pause);
}

/// A time that runs out.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    begun: Instant,
    wait_max: Duration,
}

impl Patience {
    /// It runs from now on.
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the clock"
    )]
    pub fn of(wait_max: Duration) -> Patience {
        let begun = Instant::now();
        Patience { begun, wait_max }
    }

    /// What is left of it.
    pub fn left(&self) -> Duration {
        self.wait_max.saturating_sub(self.begun.elapsed())
    }
}

/// The real one.
#[derive(Debug)]
pub struct RealWorld {
    started: Instant,
    agents: Arc<Agents>,
    lanes: Lanes,
    packer: RefCell<Packer>,
}

impl RealWorld {
    /// One that trusts this CA file alone, if there is one, else whom this process should, which its
    /// environment may say.
    ///
    /// # Errors
    /// A CA file that cannot be read or holds no certificate.
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the clock"
    )]
    pub fn new(
        limits: &Limits,
        ca_file: Option<&Path>,
        env: &BTreeMap<String, String>,
    ) -> Result<RealWorld> {
        Ok(RealWorld {
            started: Instant::now(),
            agents: Arc::new(Agents::new(limits, ca_file, env)?),
            lanes: Lanes::none_yet(),
            packer: RefCell::default(),
        })
    }
}

impl World for RealWorld {
    fn now(&self) -> DateTime<Utc> {
        now()
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn post(&self, endpoint: &Endpoint, body: &[u8]) -> Result<Reply, NoReply> {
        let packed = self.packer.borrow_mut().pack(body);
        post(&self.agents, endpoint, &packed)
    }

    fn begin(&self, endpoint: &Endpoint, body: &[u8]) -> UnderWay {
        let packed = self.packer.borrow_mut().pack(body);
        let (agents, started) = (Arc::clone(&self.agents), self.started);
        let endpoint = endpoint.clone();
        self.lanes.begin(move || Answer {
            reply: post(&agents, &endpoint, &packed),
            at: started.elapsed(),
        })
    }

    fn sleep(&self, pause: Duration) {
        sleep(pause);
    }
}

fn post(agents: &Agents, endpoint: &Endpoint, packed: &[u8]) -> Result<Reply, NoReply> {
    let proxy = match agents.proxies.way_to(endpoint) {
        Way::Direct(_) => None,
        Way::Through(proxy) => Some(proxy),
        Way::Unusable(proxy) => return Err(NoReply::ProxyUnusable(proxy)),
    };
    let name = proxy.as_ref().map(|proxy| &proxy.name);
    let no_reply = |err: &ureq::Error| NoReply::of(err, name);
    let mut response = agents
        .post(endpoint, proxy.as_ref(), packed)
        .map_err(|err| no_reply(&err))?;
    let status = response.status().as_u16();
    if status == 407 {
        return Err(NoReply::CredentialsWanted(name.cloned()));
    }
    let [retry_after, location, cache_control, date] =
        ["Retry-After", "Location", "Cache-Control", "Date"]
            .map(|name| header(response.headers(), name));
    let encoding = header(response.headers(), "Content-Encoding");
    let limited = response
        .body_mut()
        .with_config()
        .limit(REPLY_BYTES_MAX as u64);
    let body = match limited.read_to_vec() {
        Err(ureq::Error::BodyExceedsLimit(_)) => None,
        read => decoded(read.map_err(|err| no_reply(&err))?, encoding.as_deref()),
    };
    Ok(Reply {
        status,
        is_unreadable: body.is_none(),
        body: body.unwrap_or_default(),
        retry_after,
        location,
        cache_control,
        date,
    })
}

/// The body as text. None was asked for in gzip, but some proxies pack all the same.
fn decoded(body: Vec<u8>, encoding: Option<&str>) -> Option<Vec<u8>> {
    const GZIP: &[u8] = b"\x1f\x8b";
    if body.starts_with(GZIP) {
        return gzip::decode(&body, REPLY_BYTES_MAX).ok();
    }
    let is_plain = encoding.is_none_or(|name| {
        let name = name.trim();
        body.is_empty()
            || ["", "identity", "gzip"]
                .iter()
                .any(|it| name.eq_ignore_ascii_case(it))
    });
    is_plain.then_some(body)
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
