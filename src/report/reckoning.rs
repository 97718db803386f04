//! Arrivals → numbers. What is held are the ids of events, people and sessions, as 64-bit hashes, and
//! the names that are counted by; never the events themselves.

use super::arrival::Arrival;
use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;

/// Events told apart: more than thirty buffers at their cap hold, and about 100 MB of memory.
const IDS_MAX: usize = 5_000_000;

/// What a delay is called where there was none to speak of.
const IN_TIME: &str = "in time";

/// What events are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// The day it happened on, in UTC.
    Day,
    /// The command.
    Command,
    /// The version of the application.
    Version,
    /// The agent.
    Agent,
    /// The application.
    Host,
}

impl By {
    /// All of them.
    pub const ALL: [By; 5] = [By::Day, By::Command, By::Version, By::Agent, By::Host];

    /// The word for it in arguments and headings.
    pub fn name(self) -> &'static str {
        match self {
            By::Day => "day",
            By::Command => "command",
            By::Version => "version",
            By::Agent => "agent",
            By::Host => "host",
        }
    }

    /// The one of this name.
    ///
    /// # Errors
    /// Which there are.
    pub fn from_name(name: &str) -> Result<By> {
        let found = By::ALL.into_iter().find(|by| by.name() == name);
        match found {
            Some(by) => Ok(by),
            None => bail!("there are day, command, version, agent and host"),
        }
    }

    fn key(self, arrival: &Arrival) -> Option<Cow<'_, str>> {
        let said = match self {
            By::Day => return Some(day(arrival.happened).into()),
            By::Command => &arrival.command,
            By::Version => &arrival.version,
            By::Agent => &arrival.agent,
            By::Host => &arrival.host,
        };
        said.as_deref().map(Cow::from)
    }
}

/// Some events, counted.
#[derive(Clone, Debug, Default)]
struct Tally {
    events: u64,
    people: HashSet<u64>,
    sessions: HashSet<u64>,
    succeeded: u64,
    failed: u64,
}

/// The numbers of some events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// What they have in common; empty where that is nothing.
    pub name: String,
    /// How many.
    pub events: u64,
    /// Anonymous ids.
    pub people: u64,
    /// Sessions.
    pub sessions: u64,
    /// Those that say they succeeded.
    pub succeeded: u64,
    /// Those that say they failed.
    pub failed: u64,
}

impl Row {
    /// Of a hundred that say either, how many succeeded, rounded down: 100 means all of them.
    pub fn success_percent(&self) -> Option<u64> {
        (self.succeeded * 100).checked_div(self.succeeded + self.failed)
    }
}

/// How late events were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Delay {
    /// How many.
    pub events: u64,
    /// The longest, in hours.
    pub hours_max: f64,
}

/// A report, while it is read and when it is done.
#[derive(Debug)]
pub struct Reckoning {
    /// From when on events are counted.
    pub since: DateTime<Utc>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    /// Lines with an event since then.
    pub lines: u64,
    /// Those of them that had arrived before.
    pub copies: u64,
    /// Events without an id, which cannot be told from their copies.
    pub without_id: u64,
    /// Lines with an event before that time.
    pub older: u64,
    /// When the first of those happened.
    pub oldest: Option<DateTime<Utc>>,
    /// Lines in which nothing can be read.
    pub damaged: u64,
    /// Lines that were too many to be told apart.
    pub beyond: u64,
    /// Whether older events may be missing: the copy of what was sent is bounded, and was full.
    pub forgot: bool,
    /// Files that somebody changed while they were read.
    pub changed: Vec<PathBuf>,
    /// How late they were sent, by the kind of the delay.
    pub delays: BTreeMap<String, Delay>,
    all: Tally,
    groups: BTreeMap<By, HashMap<String, Tally>>,
    ids: HashSet<u64>,
    ids_max: usize,
    hash: RandomState,
}

impl Reckoning {
    /// Nothing counted yet. Events will be counted by each of `by`.
    pub fn new(since: DateTime<Utc>, by: &[By]) -> Reckoning {
        Reckoning {
            since,
            files: Vec::new(),
            lines: 0,
            copies: 0,
            without_id: 0,
            older: 0,
            oldest: None,
            damaged: 0,
            beyond: 0,
            forgot: false,
            changed: Vec::new(),
            delays: BTreeMap::new(),
            all: Tally::default(),
            groups: by.iter().map(|by| (*by, HashMap::new())).collect(),
            ids: HashSet::new(),
            ids_max: IDS_MAX,
            hash: RandomState::new(),
        }
    }

    /// Counts an event, unless it is too old or was counted before.
    pub(super) fn add(&mut self, arrival: &Arrival) {
        if arrival.happened < self.since {
            self.older += 1;
            let first = self
                .oldest
                .map_or(arrival.happened, |oldest| oldest.min(arrival.happened));
            self.oldest = Some(first);
            return;
        }
        self.lines += 1;
        if let Some(id) = &arrival.id {
            let id = self.hash.hash_one(id);
            if self.ids.contains(&id) {
                self.copies += 1;
                return;
            }
            if self.ids.len() >= self.ids_max {
                self.beyond += 1;
                return;
            }
            self.ids.insert(id);
        } else {
            self.without_id += 1;
        }
        self.count(arrival);
    }

    fn count(&mut self, arrival: &Arrival) {
        let hash = |id: &String| self.hash.hash_one(id);
        let (person, session) = (
            arrival.person.as_ref().map(hash),
            arrival.session.as_ref().map(hash),
        );
        let note = |tally: &mut Tally| {
            tally.events += 1;
            tally.people.extend(person);
            tally.sessions.extend(session);
            tally.succeeded += u64::from(arrival.success == Some(true));
            tally.failed += u64::from(arrival.success == Some(false));
        };
        note(&mut self.all);
        for (by, tallies) in &mut self.groups {
            let Some(key) = by.key(arrival) else {
                continue;
            };
            // Most names are there already, and need no copy.
            match tallies.get_mut(key.as_ref()) {
                Some(tally) => note(tally),
                None => note(tallies.entry(key.into_owned()).or_default()),
            }
        }
        let kind = arrival.adjusted.as_deref().unwrap_or(IN_TIME);
        let delay = self.delays.entry(kind.to_owned()).or_default();
        delay.events += 1;
        #[allow(
            clippy::cast_precision_loss,
            reason = "a delay of centuries may be off by a millisecond"
        )]
        let hours = (arrival.sent - arrival.happened).num_milliseconds() as f64 / 3_600_000.0;
        delay.hours_max = if delay.events == 1 {
            hours
        } else {
            delay.hours_max.max(hours)
        };
    }

    /// All events.
    pub fn total(&self) -> Row {
        self.all.row("")
    }

    /// The numbers by this, days in order, anything else by how often it was. Empty if they were not
    /// counted by it.
    pub fn rows(&self, by: By) -> Vec<Row> {
        let tallies = self.groups.get(&by);
        let mut rows: Vec<Row> = tallies
            .into_iter()
            .flatten()
            .map(|(name, tally)| tally.row(name))
            .collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        if by != By::Day {
            // Stable: those of one number stay in the order of their names.
            rows.sort_by_key(|row| std::cmp::Reverse(row.events));
        }
        rows
    }
}

impl Tally {
    fn row(&self, name: &str) -> Row {
        Row {
            name: name.to_owned(),
            events: self.events,
            people: self.people.len() as u64,
            sessions: self.sessions.len() as u64,
            succeeded: self.succeeded,
            failed: self.failed,
        }
    }
}

fn day(at: DateTime<Utc>) -> String {
    at.date_naive().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(id: Option<&str>, at: &str) -> Arrival {
        let at: DateTime<Utc> = at.parse().unwrap();
        Arrival {
            id: id.map(str::to_owned),
            happened: at,
            sent: at,
            adjusted: None,
            person: Some("anna".to_owned()),
            session: None,
            host: None,
            version: None,
            agent: None,
            command: Some("init".to_owned()),
            success: Some(true),
        }
    }

    fn reckoning() -> Reckoning {
        Reckoning::new("2026-11-01T00:00:00Z".parse().unwrap(), &By::ALL)
    }

    #[test]
    fn an_event_that_arrived_twice_counts_once_and_one_without_an_id_each_time() {
        let mut reckoning = reckoning();
        for id in [Some("a"), Some("b"), Some("a"), None, None] {
            reckoning.add(&arrival(id, "2026-11-20T12:00:00Z"));
        }
        assert_eq!(
            (reckoning.lines, reckoning.copies, reckoning.without_id),
            (5, 1, 2)
        );
        assert_eq!((reckoning.total().events, reckoning.total().people), (4, 1));
    }

    #[test]
    fn it_begins_with_its_first_moment() {
        let mut reckoning = reckoning();
        reckoning.add(&arrival(None, "2026-10-31T23:59:59.999Z"));
        reckoning.add(&arrival(None, "2026-11-01T00:00:00Z"));
        assert_eq!((reckoning.older, reckoning.total().events), (1, 1));
        assert_eq!(reckoning.rows(By::Day)[0].name, "2026-11-01");
    }

    #[test]
    fn what_an_event_does_not_say_is_no_row() {
        let mut reckoning = reckoning();
        reckoning.add(&arrival(None, "2026-11-20T12:00:00Z"));
        assert_eq!(reckoning.rows(By::Agent), []);
        assert_eq!(reckoning.rows(By::Command).len(), 1);
    }

    #[test]
    fn more_events_than_can_be_told_apart_are_not_counted_and_said() {
        let mut reckoning = reckoning();
        reckoning.ids_max = 2;
        for id in ["a", "b", "a", "c", "d"] {
            reckoning.add(&arrival(Some(id), "2026-11-20T12:00:00Z"));
        }
        assert_eq!(
            (reckoning.total().events, reckoning.copies, reckoning.beyond),
            (2, 1, 2)
        );
    }

    #[test]
    fn only_when_all_succeeded_are_they_a_hundred_of_a_hundred() {
        for (succeeded, failed, expected) in [
            (0, 0, None),
            (0, 3, Some(0)),
            (1, 1, Some(50)),
            (999, 1, Some(99)),
            (3, 0, Some(100)),
        ] {
            let row = Row {
                succeeded,
                failed,
                ..Row::default()
            };
            assert_eq!(row.success_percent(), expected);
        }
    }
}
