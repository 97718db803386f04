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
use std::fmt;
use std::io;
use std::path::PathBuf;

mod limits;

pub use limits::{LINE_BYTES_MAX_LEAST, Limits};

/// The day this version was written. No right clock shows an earlier time; CHANGELOG.md has it too.
pub const RELEASED_ON: &str = "2026-11-21";

/// A config file is a handful of keys.
const CONFIG_BYTES_MAX: u64 = 64 * 1024;

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
    #[serde(deserialize_with = "object")]
    limits: Limit,
}

/// A key that is there has a value: `"allow": null` must not mean "everything".
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// serde would take an array for a struct, and its numbers in turn.
fn object<'de, D: Deserializer<'de>>(value: D) -> Result<Limit, D::Error> {
    let fields: serde_json::Map<String, serde_json::Value> = Deserialize::deserialize(value)?;
    serde_json::from_value(fields.into()).map_err(serde::de::Error::custom)
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
            bail!(NoConnectionString(paths.config()));
        };
        Ok(Settings {
            app: app.to_owned(),
            connection: Connection::parse(text).context("bad connection string")?,
            policy: Policy::allowing(config.allow),
            limits: limits::settle(&flags.limits, &config.limits)?,
            ca_file: given_ca_file(flags, config.ca_file, paths),
            sent_copy: if config.sent_log == Some(false) {
                SentCopy::Off
            } else {
                SentCopy::Kept
            },
        })
    }
}

impl Limits {
    /// The limits that flags and config.json ask for, whether or not there is a connection string.
    ///
    /// # Errors
    /// config.json cannot be understood, or a limit is out of bounds.
    pub fn resolve(flags: &Limit, paths: &Paths) -> Result<Limits> {
        limits::settle(flags, &read_config(paths)?.limits)
    }

    /// The limits of a command that has no flags for them. Where config.json cannot be understood these are
    /// the defaults: `status` and `doctor` say so, and no upload sends anything.
    pub fn configured(paths: &Paths) -> Limits {
        Limits::resolve(&Limit::default(), paths).unwrap_or_default()
    }
}

/// The certificates to trust, whether or not there is a connection string.
///
/// # Errors
/// config.json cannot be understood.
pub fn ca_file(flags: &Upload, paths: &Paths) -> Result<Option<PathBuf>> {
    Ok(given_ca_file(flags, read_config(paths)?.ca_file, paths))
}

/// Never below the current directory, where a project could put one of its own.
fn given_ca_file(flags: &Upload, config: Option<PathBuf>, paths: &Paths) -> Option<PathBuf> {
    let given = flags.ca_file.clone();
    given.or(config.map(|file| paths.data().join(file)))
}

/// There is no connection string; the file that may hold one.
#[derive(Debug)]
pub struct NoConnectionString(PathBuf);

impl NoConnectionString {
    /// What is wrong, without what to do about it.
    pub const WORDS: &str = "no connection string";
}

impl fmt::Display for NoConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: set {CONNECTION_STRING}, or \"connectionString\" in {}, to the one that Azure's portal shows for the Application Insights resource",
            NoConnectionString::WORDS,
            self.0.display()
        )
    }
}

impl std::error::Error for NoConnectionString {}

pub(crate) fn read_config(paths: &Paths) -> Result<Config> {
    let path = paths.config();
    let bytes = match os::read_decision(&path, CONFIG_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Config::default()),
        Err(err) => return Err(err).with_context(|| format!("cannot read {}", path.display())),
    };
    let text = os::without_byte_order_mark(&bytes);
    // serde would take an array for a struct.
    if !text.trim_ascii_start().starts_with(b"{") {
        bail!(
            "cannot understand {}: it is not a JSON object",
            path.display()
        );
    }
    serde_json::from_slice(text).with_context(|| format!("cannot understand {}", path.display()))
}
