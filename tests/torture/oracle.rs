//! The oracle: what was appended against what arrived.
//!
//! Writers note each event's line before they append it (intent) and after (done). At the end every
//! done event was delivered or is in a counted drop, nothing was invented, what arrived equals what was
//! appended, nothing arrived twice but for a kill or a lost reply, the counts add up, the buffer is
//! empty and no stray file is left.

use crate::kit::{Sandbox, event_id};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

/// What the writers did. Shared by all of them.
#[derive(Debug, Default)]
pub struct Appended {
    /// Every line that a writer was about to append, by its event id.
    intent: Mutex<BTreeMap<String, String>>,
    /// Those that were appended for certain.
    done: Mutex<BTreeSet<String>>,
}

impl Appended {
    /// Before the append.
    pub fn intend(&self, id: &str, line: &str) {
        let before = self
            .intent
            .lock()
            .unwrap()
            .insert(id.to_owned(), line.to_owned());
        assert!(before.is_none(), "the id {id} is used twice");
    }

    /// After it.
    pub fn done(&self, id: &str) {
        self.done.lock().unwrap().insert(id.to_owned());
    }

    /// How many were appended for certain.
    pub fn count(&self) -> usize {
        self.done.lock().unwrap().len()
    }

    /// Panics if this envelope of an event was invented, or does not say what was appended.
    pub fn check(&self, id: &str, envelope: &Value) {
        let line = self.intent.lock().unwrap().get(id).cloned();
        let line = line.unwrap_or_else(|| panic!("invented: {envelope}"));
        assert!(
            carries(envelope, &line),
            "corrupt: {line} became {envelope}"
        );
    }

    /// Whether the line of this event begins with this; what is long is shown in part only.
    pub fn is_beginning_of(&self, id: &str, shown: &str) -> bool {
        let intent = self.intent.lock().unwrap();
        intent.get(id).is_some_and(|line| line.starts_with(shown))
    }

    /// Whether some line begins with this, and goes on.
    pub fn begins(&self, fragment: &str) -> bool {
        let intent = self.intent.lock().unwrap();
        let mut lines = intent.values();
        lines.any(|line| line.len() > fragment.len() && line.starts_with(fragment))
    }

    /// Those appended for certain that are not accounted for.
    pub fn missing(&self, is_accounted_for: impl Fn(&str) -> bool) -> Vec<String> {
        let done = self.done.lock().unwrap();
        let missing = done.iter().filter(|id| !is_accounted_for(id));
        missing.cloned().collect()
    }
}

/// What else may have happened to the events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed {
    /// How many may have arrived more than once: what was in flight at kills and lost replies.
    pub twice: usize,
    /// How many lines may have been dropped, counted: the exact number.
    pub dropped: u64,
}

/// The account.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    pub appended: usize,
    pub delivered: usize,
    pub twice: usize,
    pub dropped: u64,
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(
            f,
            "{} events, {} delivered, 0 lost, 0 invented, 0 corrupt, {} twice",
            self.appended, self.delivered, self.twice
        )?;
        if self.dropped > 0 {
            write!(f, ", {} dropped and counted", self.dropped)?;
        }
        Ok(())
    }
}

/// Accounts for every event, or panics with the first that cannot be accounted for. To be called when
/// the last pass has ended.
pub fn account(sandbox: &Sandbox, appended: &Appended, allowed: Allowed) -> Account {
    let mut arrived: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for envelope in sandbox.accepted() {
        arrived
            .entry(event_id(&envelope))
            .or_default()
            .push(envelope);
    }
    for (id, envelopes) in &arrived {
        for envelope in envelopes {
            appended.check(id, envelope);
        }
    }
    let missing = appended.missing(|id| arrived.contains_key(id));
    let dropped = dropped(sandbox);
    assert!(
        missing.len() as u64 <= dropped,
        "lost: {} of {}, {dropped} dropped; the first: {:?}",
        missing.len(),
        appended.count(),
        &missing[..missing.len().min(10)]
    );
    assert_eq!(dropped, allowed.dropped, "dropped and counted");
    let twice = arrived.values().map(|all| all.len() - 1).sum();
    assert!(
        twice <= allowed.twice,
        "{twice} arrived twice, at most {} may have",
        allowed.twice
    );
    nothing_is_left(sandbox);
    Account {
        appended: appended.count(),
        delivered: arrived.len(),
        twice,
        dropped,
    }
}

/// Whether the envelope says what the line said.
pub fn carries(envelope: &Value, line: &str) -> bool {
    let line: Value = serde_json::from_str(line).unwrap();
    let base = &envelope["data"]["baseData"];
    let fields = line.as_object().unwrap();
    fields.iter().all(|(name, value)| {
        let snake = telemetry_upload::privacy::snake_case(name);
        let said = match name.as_str() {
            "eventType" => &base["name"],
            "atomicVersion" => &base["properties"]["version"],
            _ if value.is_number() => &base["measurements"][&snake],
            _ => &base["properties"][&snake],
        };
        match value {
            Value::Bool(yes) => *said == Value::String(yes.to_string()),
            Value::Number(_) => said.as_f64() == value.as_f64(),
            other => said == other,
        }
    })
}

/// What the pass's own books say was dropped.
fn dropped(sandbox: &Sandbox) -> u64 {
    let totals = sandbox.state("totals");
    let reasons = totals["dropped"].as_object().cloned().unwrap_or_default();
    reasons.values().filter_map(Value::as_u64).sum()
}

/// All buffers are empty, and no stray file is there.
pub fn nothing_is_left(sandbox: &Sandbox) {
    for (path, (_, content)) in sandbox.files() {
        let name = path.rsplit('/').next().unwrap();
        if telemetry_upload::paths::is_buffer(name) {
            assert_eq!(String::from_utf8_lossy(&content), "", "{name} is empty");
        }
    }
    no_stray_file(sandbox);
}

/// The files that may be there when nothing waits.
pub fn no_stray_file(sandbox: &Sandbox) {
    let known = [
        "uploader.lock",
        "detached.lock",
        "consent.lock",
        "state.json",
        "upload.log",
        "upload.log.1",
        "rejected.jsonl",
        "rejected.jsonl.1",
        "sent.jsonl",
        "sent.jsonl.1",
        "telemetry.json",
        "config.json",
    ];
    for (path, (mode, _)) in sandbox.files() {
        let name = path.rsplit('/').next().unwrap();
        let is_known = known.contains(&name)
            || path.contains("/upload/sessions/")
            || telemetry_upload::paths::is_buffer(name.trim_end_matches(".cursor"));
        assert!(is_known, "a stray file: {path}");
        if path.contains("/upload/") {
            assert_eq!(mode, 0o600, "{path}");
        }
    }
}
