//! Recording: an event gets what every event has, and goes to the buffer. For hosts written in Rust
//! this is the whole interface; the commands `record` and `hook` end here, too.
//!
//! ```no_run
//! use serde_json::json;
//! use telemetry_upload::Recorder;
//!
//! # fn main() -> anyhow::Result<()> {
//! let recorder = Recorder::new("mytool")?;
//! recorder.record("cli_command", json!({"command": "init", "success": true}))?;
//! recorder.start_pass()?;
//! # Ok(())
//! # }
//! ```

use crate::anonymous_id;
use crate::append;
use crate::consent::{self, Consent, Rule};
use crate::detach::{self, Started};
use crate::event::{self, DropReason};
use crate::id;
use crate::os;
use crate::paths::{OWN_BUFFER, Paths};
use crate::settings::{LINE_BYTES_MAX_LEAST, Limits};
use crate::world;
use anyhow::{Context, Result, bail};
use chrono::SecondsFormat;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Records the events of one application, if the person agreed.
///
/// It changes nothing of its host's process: no signal handler, no umask, no environment. So an append
/// beyond the size that the host may give a file (`ulimit -f`) raises SIGXFSZ, which ends a host that does
/// not ignore it; with SIGXFSZ ignored it is an error of [`Recorder::record`].
#[derive(Clone, Debug)]
pub struct Recorder {
    app: String,
    paths: Paths,
    env: BTreeMap<String, String>,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is in the buffer, under this event id.
    Written(String),
    /// Telemetry is off, by this rule; nothing was written.
    Off(Rule),
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Recorded::Written(id) => write!(f, "recorded event {id}"),
            Recorded::Off(rule) => write!(f, "nothing is recorded, telemetry is off: {rule}"),
        }
    }
}

impl Recorder {
    /// For an application, in its own data folder, as the environment of this process says.
    ///
    /// # Errors
    /// A name that could leave the folder, or no home folder to start from.
    pub fn new(app: &str) -> Result<Recorder> {
        Recorder::within(app, None, os::environment())
    }

    /// The same, with the data folder and the environment given. What is the same in this process's own
    /// environment is handed on to a pass as it is there, even if it is not UTF-8.
    ///
    /// # Errors
    /// As [`Recorder::new`].
    pub fn within(
        app: &str,
        data_dir: Option<&Path>,
        env: BTreeMap<String, String>,
    ) -> Result<Recorder> {
        let paths = Paths::find(app, data_dir, &env)?;
        let app = app.to_owned();
        Ok(Recorder { app, paths, env })
    }

    /// Appends one event. `fields` is what serializes to a JSON object; `eventId`, `timestamp`,
    /// `anonymousId` and `platform` are filled in where they are missing. It takes well under a
    /// millisecond, and a few tenths of a second at most, should somebody hang who holds a lock.
    ///
    /// # Errors
    /// An event that no pass would send (no name, over 32 KiB), or a buffer that cannot be written.
    pub fn record(&self, name: &str, fields: impl Serialize) -> Result<Recorded> {
        let mut event = Map::from_iter([("eventType".to_owned(), name.into())]);
        match serde_json::to_value(fields).context("cannot record these fields")? {
            Value::Object(fields) => event.extend(fields),
            _ => bail!("cannot record these fields: they are not an object"),
        }
        self.append(event)
    }

    /// Appends one event whose name is among its fields.
    ///
    /// # Errors
    /// As [`Recorder::record`].
    pub fn append(&self, mut event: Map<String, Value>) -> Result<Recorded> {
        let now = world::now();
        let mut file = consent::read(&self.paths.consent());
        if let Consent::Denied(rule) = consent::decide(&self.env, &self.app, &file) {
            return Ok(Recorded::Off(rule));
        }
        if anonymous_id::is_due(&file, now) {
            // Whoever cannot write the file has an event all the same, under the id there was.
            let _ = anonymous_id::renew(&self.paths, now);
            // It took a while, in which the person may have said no.
            file = consent::read(&self.paths.consent());
            if let Consent::Denied(rule) = consent::decide(&self.env, &self.app, &file) {
                return Ok(Recorded::Off(rule));
            }
        }
        let id = fill(&mut event, ["eventId", "event_id"], || Some(id::random()));
        fill(&mut event, ["timestamp"; 2], || {
            Some(now.to_rfc3339_opts(SecondsFormat::Millis, true))
        });
        fill(&mut event, ["anonymousId", "anonymous_id"], || {
            anonymous_id::of(&file)
        });
        fill(&mut event, ["platform"; 2], || Some(PLATFORM.to_owned()));
        let line = serde_json::to_vec(&event)?;
        check(&line, &self.paths)?;
        append::line(&self.paths, OWN_BUFFER, &line)?;
        Ok(Recorded::Written(id.unwrap_or_default()))
    }

    /// The rule by which telemetry is off, if it is.
    pub fn denied(&self) -> Option<Rule> {
        match consent::ask(&self.env, &self.app, &self.paths.consent()) {
            Consent::Denied(rule) => Some(rule),
            Consent::Allowed => None,
        }
    }

    /// Where its files are.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Starts a detached pass of this very program, unless there is nothing for it to do.
    pub(crate) fn detach(&self) -> Result<Started> {
        let mut command = detach::this_program(&self.app, &self.paths)?;
        detach::start(&self.app, &self.paths, &self.env, &mut command)
    }

    /// Starts a pass that outlives this process, unless there is nothing for it to do. The program
    /// `telemetry-upload` is looked for beside this one and on the `PATH`.
    ///
    /// # Errors
    /// The program is not there, or cannot be started.
    pub fn start_pass(&self) -> Result<()> {
        detach::by_program(&self.app, &self.paths, &self.env)
    }
}

/// What Atomic calls this system.
const PLATFORM: &str = if cfg!(target_os = "macos") {
    "darwin"
} else if cfg!(windows) {
    "win32"
} else {
    std::env::consts::OS
};

/// The value under either spelling of a key, made if it is missing or empty.
fn fill(
    event: &mut Map<String, Value>,
    [camel, snake]: [&str; 2],
    missing: impl FnOnce() -> Option<String>,
) -> Option<String> {
    let given = |key: &str| match event.get(key)? {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    if let Some(given) = given(camel).or_else(|| given(snake)) {
        return Some(given);
    }
    let made = missing()?;
    event.insert(camel.to_owned(), Value::String(made.clone()));
    Some(made)
}

/// Refuses what a pass would only drop.
fn check(line: &[u8], paths: &Paths) -> Result<()> {
    // Nearly every line is short enough for any limit, and config.json need not be read for it.
    if line.len() > LINE_BYTES_MAX_LEAST {
        let bytes_max = Limits::configured(paths).line_bytes_max;
        if line.len() > bytes_max {
            bail!(
                "cannot record an event of {} bytes: {bytes_max} are the most",
                line.len()
            );
        }
    }
    // Old events are the pass's to drop and count.
    match event::read(line) {
        Ok(_) => Ok(()),
        Err(DropReason::Malformed(why)) => bail!("cannot record this event: it {why}"),
        Err(reason) => bail!("cannot record this event: it is {}", reason.words()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;

    const CONSENT: &str = r#"{"enabled":true,"consentGiven":true,"anonymousId":"anna","rotatedAt":"9999-01-01T00:00:00Z"}"#;

    fn sandbox() -> (tempfile::TempDir, Recorder) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("telemetry.json"), CONSENT).unwrap();
        let recorder = Recorder::within("a", Some(folder.path()), BTreeMap::new()).unwrap();
        (folder, recorder)
    }

    fn buffer(folder: &tempfile::TempDir) -> String {
        fs::read_to_string(folder.path().join(OWN_BUFFER)).unwrap_or_default()
    }

    #[test]
    fn what_is_given_stays_and_what_is_missing_is_filled_in() {
        let (folder, recorder) = sandbox();
        let given = json!({
            "eventId": "e", "timestamp": 1_795_143_845, "anonymousId": "bob", "platform": "plan9", "n": 1,
        });
        assert_eq!(
            recorder.record("x", &given).unwrap(),
            Recorded::Written("e".to_owned())
        );
        let expected = r#"{"eventType":"x","eventId":"e","timestamp":1795143845,"anonymousId":"bob","platform":"plan9","n":1}"#;
        assert_eq!(buffer(&folder), format!("{expected}\n"));
    }

    #[test]
    fn the_other_spelling_of_a_key_counts_too_and_an_empty_value_does_not() {
        let (folder, recorder) = sandbox();
        recorder
            .record(
                "x",
                json!({"event_id": "e", "anonymous_id": "bob", "platform": "", "timestamp": null}),
            )
            .unwrap();
        let event: Value = serde_json::from_str(&buffer(&folder)).unwrap();
        assert_eq!(
            event.as_object().unwrap().keys().collect::<Vec<_>>(),
            [
                "eventType",
                "event_id",
                "anonymous_id",
                "platform",
                "timestamp"
            ]
        );
        assert_eq!(event["platform"], PLATFORM);
        assert!(event["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    fn check_refused(name: &str, fields: Value, words: &str) {
        let (folder, recorder) = sandbox();
        let err = recorder.record(name, fields).unwrap_err();
        assert!(format!("{err:#}").contains(words), "{err:#}");
        assert_eq!(buffer(&folder), "");
    }

    #[test]
    fn what_no_pass_would_send_is_refused() {
        check_refused("", json!({}), "has no event name");
        check_refused("x", json!([1]), "they are not an object");
        check_refused(
            "x",
            json!({"text": "x".repeat(32 * 1024)}),
            "32768 are the most",
        );
        let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
        check_refused("x", json!({"deep": deep}), "nested too deeply");
    }

    #[test]
    fn without_consent_nothing_is_written() {
        let (folder, recorder) = sandbox();
        fs::write(folder.path().join("telemetry.json"), "{}").unwrap();
        assert_eq!(
            recorder.record("x", json!({})).unwrap(),
            Recorded::Off(Rule::NotGiven)
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
