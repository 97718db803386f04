//! Every knob and limit, from the flags, config.json and the environment, in this order. Each number
//! says its unit and its reason.
//!
//! config.json is the person's. The environment may be a project's: some agents load the `.env` of the
//! folder they work in into the environment of their hooks, and the variable with the connection string
//! is the one that any application for Azure has there.

use crate::cli::{Limit, Upload};
use crate::connection::Connection;
use crate::detach;
use crate::os;
use crate::paths::Paths;
use crate::privacy::Policy;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The day this version was written. No right clock shows an earlier time; CHANGELOG.md has it too.
pub const RELEASED_ON: &str = "2026-11-21";

/// A config file is a handful of keys.
const CONFIG_BYTES_MAX: u64 = 64 * 1024;

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
            request_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(3),
        }
    }
}

/// Where Azure's own libraries look for the connection string.
pub const CONNECTION_STRING: &str = "APPLICATIONINSIGHTS_CONNECTION_STRING";

/// What one pass is to do.
#[derive(Debug)]
pub struct Settings {
    /// The application, which is the cloud role of its events.
    pub app: String,
    /// Where events go.
    pub connection: Connection,
    /// What may leave.
    pub policy: Policy,
    /// How much and how long.
    pub limits: Limits,
    /// Trust only the certificates in this file.
    pub ca_file: Option<PathBuf>,
    /// Whether a local copy of what was sent is kept.
    pub sent_copy: SentCopy,
}

/// Whether `upload/sent.jsonl` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentCopy {
    /// A bounded copy of what was sent.
    Kept,
    /// None.
    Off,
}

/// config.json. An unknown key is an error: a misspelt `allow` must not open what it was to close.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(deserialize_with = "given")]
    connection_string: Option<String>,
    #[serde(deserialize_with = "given")]
    pub(crate) allow: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    sent_log: Option<bool>,
    #[serde(deserialize_with = "given")]
    ca_file: Option<PathBuf>,
    limits: Limit,
}

/// A key that is there has a value: `"allow": null` must not mean "everything".
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

impl Settings {
    /// Settles every knob once, before anything is read or sent.
    ///
    /// # Errors
    /// What is missing or wrong, in which place, and what a right one looks like.
    pub fn resolve(
        flags: &Upload,
        app: &str,
        paths: &Paths,
        env: &BTreeMap<String, String>,
    ) -> Result<Settings> {
        let config = read_config(paths)?;
        let given = [
            detach::given_connection_string(flags, env),
            config.connection_string.as_deref(),
            env.get(CONNECTION_STRING).map(String::as_str),
        ];
        let mut given = given.into_iter().flatten();
        let Some(text) = given.find(|text| !text.trim().is_empty()) else {
            bail!(
                "no connection string: set {CONNECTION_STRING}, or \"connectionString\" in {}, to the one that Azure's portal shows for the Application Insights resource",
                paths.config().display()
            );
        };
        Ok(Settings {
            app: app.to_owned(),
            connection: Connection::parse(text).context("bad connection string")?,
            policy: Policy::allowing(config.allow),
            limits: limits(&flags.limits, &config.limits)?,
            // Never below the current directory, where a project could put one of its own.
            ca_file: flags
                .ca_file
                .clone()
                .or(config.ca_file.map(|file| paths.data().join(file))),
            sent_copy: if config.sent_log == Some(false) {
                SentCopy::Off
            } else {
                SentCopy::Kept
            },
        })
    }
}

pub(crate) fn read_config(paths: &Paths) -> Result<Config> {
    let path = paths.config();
    match os::read_decision(&path, CONFIG_BYTES_MAX) {
        // serde would take an array for a struct.
        Ok(bytes) if !bytes.trim_ascii_start().starts_with(b"{") => {
            bail!(
                "cannot understand {}: it is not a JSON object",
                path.display()
            )
        }
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("cannot understand {}", path.display())),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(Config::default()),
        Err(err) => Err(err).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn limits(flags: &Limit, config: &Limit) -> Result<Limits> {
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
        ("line-bytes", limits.line_bytes_max as u64, 1_024, 65_536),
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
