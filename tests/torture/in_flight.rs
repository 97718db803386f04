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
//! may arrive twice is therefore known by name: the events of the batches that a killed run sent last, as
//! many as it had lanes.

use crate::kit::{Sandbox, event_id};
use crate::oracle::Appended;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    /// The batches that each run sent, the last one in front: their events, and whether the server
    /// accepted them.
    batches: BTreeMap<Run, VecDeque<Batch>>,
    /// The runs that were killed, and how many lanes they had.
    killed: BTreeMap<Run, usize>,
}

type Batch = Vec<(String, bool)>;

/// No run has more lanes.
const LANES_MAX: usize = 20;

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
    /// This run was killed, which had so many lanes.
    pub fn killed(&mut self, run: Run, lanes: usize) {
        self.killed.insert(run, lanes);
    }

    /// The events that a killed run had under way, or may have had.
    fn in_flight(&self, run: Run) -> impl Iterator<Item = &(String, bool)> {
        let lanes = self.killed[&run];
        let batches = self.batches.get(&run).into_iter().flatten();
        batches.take(lanes).flatten()
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
        let batches = self.batches.entry(run).or_default();
        let is_rest_of = |before: &&mut Batch| {
            let is_left = |id: &String| before.iter().any(|(other, done)| other == id && !done);
            batch.len() < before.len() && batch.iter().all(|(id, _)| is_left(id))
        };
        match batches.iter_mut().find(is_rest_of) {
            Some(before) => {
                for (id, is_accepted) in batch {
                    let left = before
                        .iter_mut()
                        .find(|(other, done)| *other == id && !*done);
                    if let Some((_, done)) = left {
                        *done = is_accepted;
                    }
                }
            }
            None => batches.push_front(batch),
        }
        batches.truncate(LANES_MAX);
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

        let killed = self.killed.keys();
        let in_flight = killed.flat_map(|run| self.in_flight(*run));
        let in_flight: BTreeSet<&str> = in_flight.map(|(id, _)| id.as_str()).collect();
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
            let mut accepted = self.in_flight(run).filter(|(_, is_accepted)| *is_accepted);
            accepted.any(|(id, _)| self.accepted[id].1 > run)
        };
        self.killed.keys().filter(|run| came_again(**run)).count()
    }
}

fn run_of(envelope: &Value) -> Run {
    let key = envelope["iKey"].as_str().unwrap();
    key.rsplit_once('-').unwrap().1.parse().unwrap()
}
