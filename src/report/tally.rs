//! What is counted, and by what.

use super::arrival::Arrival;
use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

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

    pub(super) fn key(self, arrival: &Arrival) -> Option<Cow<'_, str>> {
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
pub(super) struct Tally {
    events: u64,
    people: HashSet<u64>,
    sessions: HashSet<u64>,
    succeeded: u64,
    failed: u64,
}

/// By name.
pub(super) type Tallies = HashMap<String, Tally>;

/// Who said something, and whether it succeeded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) person: Option<u64>,
    pub(super) session: Option<u64>,
    pub(super) success: Option<bool>,
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

impl Tally {
    pub(super) fn note(&mut self, said: Said) {
        self.events += 1;
        self.people.extend(said.person);
        self.sessions.extend(said.session);
        self.succeeded += u64::from(said.success == Some(true));
        self.failed += u64::from(said.success == Some(false));
    }

    pub(super) fn row(&self, name: &str) -> Row {
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

/// Most names are there already, and need no copy.
pub(super) fn note(tallies: &mut Tallies, name: &str, said: Said) {
    match tallies.get_mut(name) {
        Some(tally) => tally.note(said),
        None => tallies.entry(name.to_owned()).or_default().note(said),
    }
}

fn day(at: DateTime<Utc>) -> String {
    at.date_naive().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

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
