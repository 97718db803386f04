//! Arrivals → numbers. What is held are the ids of events, people and sessions, as 64-bit hashes, the
//! names that are counted by, and the lists of commands until it is known which of them repeat others.

use super::arrival::Arrival;
use super::tally::{self, By, Row, Said, Tallies, Tally};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;

/// Events told apart: more than thirty buffers at their cap hold, and about 100 MB of memory.
const IDS_MAX: usize = 5_000_000;

/// What a delay is called where there was none to speak of.
const IN_TIME: &str = "in time";

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
    groups: BTreeMap<By, Tallies>,
    silent: BTreeMap<By, u64>,
    /// Sessions that said their commands one by one.
    spoken: HashSet<u64>,
    /// Commands that a session said at its end; a summary only, if it is one of those.
    lists: Vec<(Said, String)>,
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
            groups: by.iter().map(|by| (*by, Tallies::new())).collect(),
            silent: BTreeMap::new(),
            spoken: HashSet::new(),
            lists: Vec::new(),
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
        let said = Said {
            person: arrival.person.as_ref().map(hash),
            session: arrival.session.as_ref().map(hash),
            success: arrival.success,
        };
        self.all.note(said);
        for (by, tallies) in &mut self.groups {
            match by.key(arrival) {
                Some(key) => tally::note(tallies, &key, said),
                None if *by == By::Command && arrival.commands.is_some() => {}
                None => *self.silent.entry(*by).or_default() += 1,
            }
        }
        if self.groups.contains_key(&By::Command) {
            match (&arrival.command, &arrival.commands) {
                (Some(_), _) => self.spoken.extend(said.session),
                (None, Some(list)) => self.lists.push((said, list.clone())),
                (None, None) => {}
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

    /// Counts the commands that were only said in a list; to be called when everything is read.
    pub fn close(&mut self) {
        let Some(tallies) = self.groups.get_mut(&By::Command) else {
            return;
        };
        for (said, list) in self.lists.drain(..) {
            if said
                .session
                .is_some_and(|session| self.spoken.contains(&session))
            {
                continue;
            }
            for command in list.split(',').filter(|command| !command.is_empty()) {
                tally::note(tallies, command, said);
            }
        }
    }

    /// Events that say nothing of this.
    pub fn silent(&self, by: By) -> u64 {
        self.silent.get(&by).copied().unwrap_or(0)
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
            commands: None,
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
    fn a_list_of_commands_counts_unless_its_session_said_them_one_by_one() {
        let mut reckoning = reckoning();
        let list = |session: Option<&str>| Arrival {
            session: session.map(str::to_owned),
            command: None,
            commands: Some("/push,init,/push,".to_owned()),
            ..arrival(None, "2026-11-20T12:00:00Z")
        };
        reckoning.add(&list(Some("spoken")));
        reckoning.add(&Arrival {
            session: Some("spoken".to_owned()),
            ..arrival(None, "2026-11-20T12:00:00Z")
        });
        reckoning.add(&list(Some("silent")));
        reckoning.add(&list(None));
        reckoning.close();
        let rows = reckoning.rows(By::Command);
        let counted: Vec<(&str, u64)> = rows
            .iter()
            .map(|row| (row.name.as_str(), row.events))
            .collect();
        assert_eq!(counted, [("/push", 4), ("init", 3)]);
        assert_eq!(reckoning.silent(By::Command), 0);
        assert_eq!(reckoning.silent(By::Agent), 4);
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
}
