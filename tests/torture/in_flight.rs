//! The account where passes are killed.
//!
//! The passes' own totals cannot serve here: a kill between a commit and the writing of `state.json`
//! loses that round's counts (of what it did, never of an event). What can be relied on is written
//! outside of the passes or before the cursor moves: what the server accepted and refused, and
//! `rejected.jsonl`, which is synced before the cursor passes a line. So the law is held against these:
//! each event that was appended was accepted by the server, or was refused by it and stands in
//! `rejected.jsonl`.
//!
//! Each run has an instrumentation key of its own, and every envelope carries it: so it is known of each
//! request which run sent it, although the server may read a request whose sender is dead by then. What
//! may arrive twice is therefore known by name: the events of the batch that a killed run sent last.

use crate::kit::{Sandbox, event_id};
use crate::oracle::Appended;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use telemetry_upload::emulator::Exchange;

/// The number of a run of the uploader.
pub type Run = u64;

/// Where this run sends to: the server's address under a key of the run's own.
pub fn connection_string(sandbox: &Sandbox, run: Run) -> String {
    let text = &sandbox.server.connection_string;
    let (_, endpoint) = text.split_once(';').unwrap();
    format!("InstrumentationKey=00000000-0000-4000-8000-{run:012};{endpoint}")
}

/// Everything that became of the events, in little memory.
#[derive(Debug, Default)]
pub struct Arrivals {
    pub requests: usize,
    /// How often each event was accepted, and by which run last.
    accepted: BTreeMap<String, (usize, Run)>,
    /// What the server refused for good.
    refused: BTreeSet<String>,
    /// What stands in `rejected.jsonl` as refused.
    rejected: BTreeSet<String>,
    /// Lines there that are no event: the beginning of a copy whose writer was killed.
    fragments: Vec<String>,
    /// The batch that each run sent last: its events, and whether the server accepted them.
    last_batches: BTreeMap<Run, Vec<(String, bool)>>,
    killed: BTreeSet<Run>,
}

/// What the account says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub events: usize,
    pub twice: usize,
    /// Of these, events that were in no batch that a killed run sent last.
    pub unexplained: usize,
    pub refused: usize,
    /// Kills that made something arrive twice.
    pub repeating: usize,
}

impl Arrivals {
    /// This run was killed.
    pub fn killed(&mut self, run: Run) {
        self.killed.insert(run);
    }

    /// Takes away what has been written down since the last time. To be called while no pass runs.
    pub fn take(&mut self, sandbox: &Sandbox, appended: &Appended) {
        let exchanges = std::mem::take(&mut *sandbox.server.exchanges.lock().unwrap());
        for exchange in &exchanges {
            self.note_request(exchange, appended);
        }
        for name in ["upload/rejected.jsonl.1", "upload/rejected.jsonl"] {
            // One that was cut short by a kill does not count: its line is still in the buffer.
            let text = sandbox.read(name);
            let whole = text.split_inclusive('\n').filter(|it| it.ends_with('\n'));
            for rejection in whole {
                self.note_rejection(&serde_json::from_str(rejection).unwrap(), appended);
            }
            let _ = fs::remove_file(sandbox.path(name));
        }
    }

    fn note_request(&mut self, exchange: &Exchange, appended: &Appended) {
        self.requests += 1;
        let mut batch = Vec::new();
        let mut run = 0;
        for (envelope, refusal) in &exchange.verdicts {
            let id = event_id(envelope);
            appended.check(&id, envelope);
            run = run_of(envelope);
            match refusal {
                None => {
                    let (count, last) = self.accepted.entry(id.clone()).or_default();
                    *count += 1;
                    *last = run.max(*last);
                }
                Some(refusal) if refusal.status_code == 400 => {
                    self.refused.insert(id.clone());
                }
                Some(_) => {}
            }
            batch.push((id, refusal.is_none()));
        }
        // What was not accepted of a batch is tried again, in a smaller request.
        let last = self.last_batches.entry(run).or_default();
        let is_rest = batch.len() < last.len()
            && batch.iter().all(|(id, _)| {
                let before = last.iter().find(|(before, _)| before == id);
                before.is_some_and(|(_, was_accepted)| !was_accepted)
            });
        if is_rest {
            for (id, is_accepted) in batch {
                let before = last.iter_mut().find(|(before, was)| *before == id && !*was);
                if let Some((_, was_accepted)) = before {
                    *was_accepted = is_accepted;
                }
            }
        } else {
            *last = batch;
        }
    }

    fn note_rejection(&mut self, rejection: &Value, appended: &Appended) {
        let line = rejection["line"].as_str().unwrap();
        match rejection["reason"].as_str().unwrap() {
            "refused" => {
                let (_, id) = line.split_once("\"eventId\":\"").unwrap();
                let (id, _) = id.split_once('"').unwrap();
                assert!(appended.is_beginning_of(id, line), "corrupt: {line}");
                self.rejected.insert(id.to_owned());
            }
            _ => self.fragments.push(line.to_owned()),
        }
    }

    /// Accounts for every event, or panics with the first that cannot be accounted for.
    pub fn account(&self, appended: &Appended) -> Figures {
        for fragment in &self.fragments {
            assert!(appended.begins(fragment), "dropped, no copy: {fragment}");
        }
        assert!(self.fragments.len() <= self.killed.len(), "torn copies");
        let unasked: Vec<_> = self.rejected.difference(&self.refused).collect();
        assert!(unasked.is_empty(), "dropped as refused: {unasked:?}");

        let mut in_flight: BTreeSet<&str> = BTreeSet::new();
        for run in &self.killed {
            let batch = self.last_batches.get(run).into_iter().flatten();
            in_flight.extend(batch.map(|(id, _)| id.as_str()));
        }
        let (mut twice, mut unexplained) = (0, 0);
        for (id, (count, _)) in &self.accepted {
            // Refused and then accepted counts as twice, too. How often an event in flight may come again
            // is not told here: of one that was kept there may be several copies, and each comes again.
            let more = count - 1 + usize::from(self.rejected.contains(id));
            if !in_flight.contains(id.as_str()) {
                unexplained += more;
            }
            twice += more;
        }
        let lost =
            appended.missing(|id| self.accepted.contains_key(id) || self.rejected.contains(id));
        assert!(lost.is_empty(), "{} lost: {lost:?}", lost.len());
        Figures {
            events: appended.count(),
            twice,
            unexplained,
            refused: self.rejected.len(),
            repeating: self.repeating(),
        }
    }

    /// Kills after which something came again that had been accepted: they hit a batch between the
    /// server's verdict and the commit.
    fn repeating(&self) -> usize {
        let came_again = |run: Run| {
            let batch = self.last_batches.get(&run).into_iter().flatten();
            let mut accepted = batch.filter(|(_, is_accepted)| *is_accepted);
            accepted.any(|(id, _)| self.accepted[id].1 > run)
        };
        self.killed.iter().filter(|run| came_again(**run)).count()
    }
}

fn run_of(envelope: &Value) -> Run {
    let key = envelope["iKey"].as_str().unwrap();
    key.rsplit_once('-').unwrap().1.parse().unwrap()
}
