//! The limits of a pass: the defaults with their reasons, and the bounds of what may be asked for.

use crate::cli::Limit;
use anyhow::{Result, bail};
use std::time::Duration;

/// The least that `line_bytes_max` may be: a shorter line is within every limit.
pub const LINE_BYTES_MAX_LEAST: usize = 1_024;

/// The limits of a pass. The defaults are the product's promise; every one may be overridden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Events in one request. Python's official exporter sends 100; a refused batch repeats at most these.
    pub request_events_max: usize,
    /// Bytes of one request's JSON before gzip. Breeze documents no limit; one second at 4 Mbit/s.
    pub request_bytes_max: usize,
    /// Bytes of one line. Breeze refuses an event over 65,536 bytes once encoded; escaping can double a line.
    pub line_bytes_max: usize,
    /// Days an event is kept for. Breeze refuses a `time` older than 48 h, so older ones travel under
    /// the time of sending, with their own in a property.
    pub age_days_max: u32,
    /// Undelivered bytes of one buffer; over it the oldest lines go, down to nine tenths. What the offline
    /// stores of the official SDKs hold; 150,000 events of the usual size, a year of a busy machine.
    pub buffer_bytes_max: u64,
    /// Attempts for one request. Enough for a server that is restarted; an outage is the next pass's.
    pub attempts_max: u32,
    /// The pause after the first attempt; doubled after each further one.
    pub pause_first: Duration,
    /// The longest pause, for those who raise the attempts: longer ones are the next pass's.
    pub pause_max: Duration,
    /// A whole pass. A backlog at the cap takes 1,500 requests, which a link of 200 ms answers in this.
    pub deadline: Duration,
    /// How long a detached pass stays for what comes next: at most four of them start in a minute, and
    /// an event waits at most this long.
    pub gather: Duration,
    /// Requests under way at once. Twenty deliver 150,000 events to a server 30 ms away in 3 s, one in
    /// 46 s; a pass that is killed may repeat as many batches.
    pub lanes_max: usize,
    /// One request, connecting included; a large body over a slow link gets its share more.
    pub request_timeout: Duration,
    /// Finding the host and connecting to it: one lost packet is sent again after 1 s, a second after 3.
    pub connect_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_events_max: 100,
            request_bytes_max: 500_000,
            line_bytes_max: 32 * 1024,
            age_days_max: 30,
            buffer_bytes_max: 50_000_000,
            attempts_max: 3,
            pause_first: Duration::from_secs(1),
            pause_max: Duration::from_secs(30),
            deadline: Duration::from_secs(300),
            gather: Duration::from_secs(15),
            lanes_max: 20,
            request_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(3),
        }
    }
}

/// The limits that flags and config.json ask for, in this order; else the defaults.
pub(super) fn settle(flags: &Limit, config: &Limit) -> Result<Limits> {
    let default = Limits::default();
    let millis = |ms: Option<u64>, default: Duration| ms.map_or(default, Duration::from_millis);
    let limits = Limits {
        request_events_max: flags
            .request_events
            .or(config.request_events)
            .unwrap_or(default.request_events_max),
        request_bytes_max: flags
            .request_bytes
            .or(config.request_bytes)
            .unwrap_or(default.request_bytes_max),
        line_bytes_max: flags
            .line_bytes
            .or(config.line_bytes)
            .unwrap_or(default.line_bytes_max),
        age_days_max: flags
            .age_days
            .or(config.age_days)
            .unwrap_or(default.age_days_max),
        buffer_bytes_max: flags
            .buffer_bytes
            .or(config.buffer_bytes)
            .unwrap_or(default.buffer_bytes_max),
        attempts_max: flags
            .attempts
            .or(config.attempts)
            .unwrap_or(default.attempts_max),
        pause_first: millis(flags.pause_ms.or(config.pause_ms), default.pause_first),
        pause_max: default.pause_max,
        deadline: flags
            .deadline_s
            .or(config.deadline_s)
            .map_or(default.deadline, Duration::from_secs),
        gather: flags
            .gather_s
            .or(config.gather_s)
            .map_or(default.gather, Duration::from_secs),
        lanes_max: flags.lanes.or(config.lanes).unwrap_or(default.lanes_max),
        request_timeout: millis(
            flags.request_timeout_ms.or(config.request_timeout_ms),
            default.request_timeout,
        ),
        connect_timeout: millis(
            flags.connect_timeout_ms.or(config.connect_timeout_ms),
            default.connect_timeout,
        ),
    };
    check(&limits)?;
    Ok(limits)
}

fn check(limits: &Limits) -> Result<()> {
    let bounds = [
        (
            "request-events",
            limits.request_events_max as u64,
            1,
            64_000,
        ),
        (
            "request-bytes",
            limits.request_bytes_max as u64,
            1_000,
            50_000_000,
        ),
        (
            "line-bytes",
            limits.line_bytes_max as u64,
            LINE_BYTES_MAX_LEAST as u64,
            65_536,
        ),
        ("age-days", limits.age_days_max.into(), 1, 3_650),
        (
            "buffer-bytes",
            limits.buffer_bytes_max,
            100_000,
            10_000_000_000,
        ),
        ("attempts", limits.attempts_max.into(), 1, 20),
        (
            "pause-ms",
            u64::try_from(limits.pause_first.as_millis()).unwrap_or(u64::MAX),
            0,
            30_000,
        ),
        ("deadline-s", limits.deadline.as_secs(), 1, 3_600),
        ("lanes", limits.lanes_max as u64, 1, 64),
        ("gather-s", limits.gather.as_secs(), 0, 300),
        (
            "request-timeout-ms",
            u64::try_from(limits.request_timeout.as_millis()).unwrap_or(u64::MAX),
            100,
            300_000,
        ),
        (
            "connect-timeout-ms",
            u64::try_from(limits.connect_timeout.as_millis()).unwrap_or(u64::MAX),
            100,
            300_000,
        ),
    ];
    for (name, value, least, most) in bounds {
        if value < least || value > most {
            bail!("the limit {name} must be between {least} and {most}, not {value}");
        }
    }
    // Else no request could ever be begun.
    if limits.deadline <= limits.request_timeout {
        bail!(
            "the limit deadline-s must be longer than request-timeout-ms, which is {}",
            limits.request_timeout.as_millis()
        );
    }
    Ok(())
}
