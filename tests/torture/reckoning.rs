//! The account where the pass's own counts may be lost with what was broken below it: an event was
//! delivered, or the server refused it and it stands in `rejected.jsonl`, or it is lost.

use crate::kit::event_id;
use crate::oracle::carries;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What was appended.
#[derive(Debug, Default)]
pub struct Reckoning {
    /// Every line that may have come into the buffer, by its event id; none where only the id is known.
    known: BTreeMap<String, Option<String>>,
    /// Those that are there for certain.
    certain: BTreeSet<String>,
}

impl Reckoning {
    /// This line is in the buffer for certain.
    pub fn certain(&mut self, id: &str, line: &str) {
        self.perhaps(id, Some(line));
        self.certain.insert(id.to_owned());
    }

    /// This event may be in the buffer.
    pub fn perhaps(&mut self, id: &str, line: Option<&str>) {
        self.known.insert(id.to_owned(), line.map(str::to_owned));
    }

    /// It is there after all.
    pub fn confirm(&mut self, id: &str) {
        assert!(self.known.contains_key(id), "{id} was never announced");
        self.certain.insert(id.to_owned());
    }

    /// How many are there for certain.
    pub fn count(&self) -> usize {
        self.certain.len()
    }

    /// Panics if an event was lost, invented or changed; how many arrived more than once, all in all.
    pub fn account(&self, accepted: &[Value], rejected: &str) -> usize {
        let mut arrived: BTreeMap<String, usize> = BTreeMap::new();
        for envelope in accepted {
            let id = event_id(envelope);
            let Some(line) = self.known.get(&id) else {
                panic!("invented: {envelope}");
            };
            if let Some(line) = line {
                assert!(carries(envelope, line), "corrupt: {line} became {envelope}");
            }
            *arrived.entry(id).or_default() += 1;
        }
        let refused: BTreeSet<String> = rejected.lines().filter_map(refused_id).collect();
        let lost: Vec<&String> = self
            .certain
            .iter()
            .filter(|id| !arrived.contains_key(*id) && !refused.contains(*id))
            .collect();
        assert!(
            lost.is_empty(),
            "lost: {} of {}; the first: {:?}",
            lost.len(),
            self.certain.len(),
            &lost[..lost.len().min(10)]
        );
        arrived.values().map(|count| count - 1).sum()
    }
}

/// The id of an event that the server refused. A line of `rejected.jsonl` may be torn.
fn refused_id(rejection: &str) -> Option<String> {
    let rejection: Value = serde_json::from_str(rejection).ok()?;
    if rejection["reason"] != "refused" {
        return None;
    }
    let line: Value = serde_json::from_str(rejection["line"].as_str()?).ok()?;
    Some(line["eventId"].as_str()?.to_owned())
}
