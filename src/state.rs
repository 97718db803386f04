//! What one pass leaves for the next: `upload/state.json`. It may be deleted at any time; the price
//! is a pause forgotten and totals that begin anew.

use crate::clock::Reading;
use crate::os::{self, Open, Replacement};
use crate::paths::Paths;
use crate::retry::NOT_BEFORE_MAX;
use crate::summary::Summary;
use anyhow::{Context, Result};
use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// The file is a few hundred bytes; more is not ours.
const STATE_BYTES_MAX: u64 = 64 * 1024;

/// "Lately" is a week.
pub const DAYS_MAX: usize = 7;

/// Everything that outlives a pass, but for the cursors.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct State {
    /// When the next pass may try, and why not before.
    pub not_before: Option<NotBefore>,
    /// Passes in a row that ended with events left. It counts, and decides nothing.
    pub failures_in_a_row: u64,
    /// The last pass that had something to do.
    pub last: Option<Last>,
    /// When the server last accepted an event.
    pub last_delivered: Option<DateTime<Utc>>,
    /// What last went wrong. It stays when all goes well again, for people who look later.
    pub last_trouble: Option<LastTrouble>,
    /// Where the service sent us.
    pub redirect: Option<Redirect>,
    /// When the counting began.
    pub since: Option<DateTime<Utc>>,
    /// Since then.
    pub totals: Totals,
    /// The last days (UTC) on which something was counted, at most [`DAYS_MAX`] of them.
    pub days: BTreeMap<NaiveDate, Totals>,
    /// The clock at the end of the last pass.
    pub clock: Option<Reading>,
    /// By how many seconds the server's clock was ahead of ours, where the two differed.
    pub server_ahead_s: Option<i64>,
}

/// What went wrong.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastTrouble {
    /// When.
    pub at: DateTime<Utc>,
    /// In words.
    pub words: String,
}

/// A pause that the server, or a full disk, imposed.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotBefore {
    /// Until then.
    pub until: DateTime<Utc>,
    /// Why, in words.
    pub reason: String,
}

/// How a pass ended.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Last {
    /// When.
    pub at: DateTime<Utc>,
    /// With which exit code.
    pub exit: u8,
    /// The summary line.
    pub summary: String,
    /// The same without the trouble, where it tells one that is in `last_trouble` as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<String>,
}

/// A redirect that is followed without asking again.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Redirect {
    /// The configured endpoint.
    pub from: String,
    /// The one to post to.
    pub to: String,
    /// For how long.
    pub until: DateTime<Utc>,
}

/// Counts over many passes.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Totals {
    /// Events the server accepted.
    pub delivered: u64,
    /// Lines dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
}

impl Totals {
    /// Adds what one round did.
    pub fn add(&mut self, round: &Summary) {
        self.delivered += round.delivered;
        for (reason, count) in &round.dropped {
            *self.dropped.entry((*reason).to_owned()).or_default() += count;
        }
    }
}

impl State {
    /// Counts what one round did, in total and for its day.
    pub fn count(&mut self, now: DateTime<Utc>, round: &Summary) {
        self.since.get_or_insert(now);
        self.totals.add(round);
        self.days.entry(now.date_naive()).or_default().add(round);
        while self.days.len() > DAYS_MAX {
            self.days.pop_first();
        }
        if round.delivered > 0 {
            self.last_delivered = Some(now);
        }
    }

    /// What was counted within the last days, today included.
    pub fn lately(&self, now: DateTime<Utc>) -> Totals {
        let today = now.date_naive();
        let first = today - Days::new(DAYS_MAX as u64 - 1);
        let mut lately = Totals::default();
        for (_, day) in self.days.range(first..=today) {
            lately.delivered += day.delivered;
            for (reason, count) in &day.dropped {
                *lately.dropped.entry(reason.clone()).or_default() += count;
            }
        }
        lately
    }

    /// Reads the state; a missing, damaged or foreign file is an empty one.
    pub fn load(paths: &Paths) -> State {
        let bytes = os::read_small(&paths.state(), STATE_BYTES_MAX).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Replaces the file in one step, or, where there is no room for a second one, writes over it: a
    /// pause that a full disk imposes must be remembered on a full disk.
    ///
    /// # Errors
    /// The file, and why it could not be written.
    pub fn save(&self, paths: &Paths) -> Result<()> {
        let path = paths.state();
        let write = || -> Result<()> {
            let mut bytes = serde_json::to_vec_pretty(self)?;
            bytes.push(b'\n');
            let replaced = Replacement::write(&path, &bytes).and_then(Replacement::put);
            Ok(replaced.or_else(|err| write_over(&path, bytes).map_err(|_| err))?)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// Makes sure, as far as there is room, that there is a file to write over.
    pub fn reserve(paths: &Paths) {
        let path = paths.state();
        let make = || {
            let file = os::open(&path, Open::New)?;
            os::write_at(&file, b"{}\n", 0)?;
            os::sync(&file)
        };
        if !path.exists() && make().is_err() {
            // An empty one has no block to be written over. Sending goes on: it may be what makes room.
            let _ = std::fs::remove_file(&path);
        }
    }

    /// The pause that is in force. One that lies further ahead than any may is the work of a clock
    /// that jumped, and is ignored.
    pub fn pause_in_force(&self, now: DateTime<Utc>) -> Option<&NotBefore> {
        self.not_before
            .as_ref()
            .filter(|pause| now < pause.until && pause.until - now <= NOT_BEFORE_MAX)
    }
}

/// Writes within the blocks that the file has. What a power cut in the middle leaves is an empty state, or
/// one of old and new parts, of which each is as good as the other.
fn write_over(path: &Path, mut bytes: Vec<u8>) -> io::Result<()> {
    let file = os::open(path, Open::Update)?;
    // The rest of what was there becomes blanks, which JSON may end in: nothing is given back.
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    bytes.resize(bytes.len().max(length), b' ');
    os::write_at(&file, &bytes, 0)?;
    os::sync(&file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use std::fs;

    #[test]
    fn a_pause_further_ahead_than_its_cap_is_ignored() {
        let now: DateTime<Utc> = "2026-11-20T12:00:00Z".parse().unwrap();
        let check = |ahead: TimeDelta, expected: bool| {
            let not_before = Some(NotBefore {
                until: now + ahead,
                reason: String::new(),
            });
            let state = State {
                not_before,
                ..State::default()
            };
            assert_eq!(state.pause_in_force(now).is_some(), expected, "{ahead}");
        };
        check(TimeDelta::seconds(1), true);
        check(TimeDelta::hours(24), true);
        check(TimeDelta::hours(25), false);
        check(TimeDelta::zero(), false);
        check(TimeDelta::seconds(-1), false);
    }

    #[test]
    fn lately_is_the_last_seven_days_and_the_total_is_everything() {
        let today: DateTime<Utc> = "2026-11-20T12:00:00Z".parse().unwrap();
        let mut state = State::default();
        for days_ago in (0..20).rev() {
            let round = Summary {
                delivered: 1,
                dropped: BTreeMap::from([("malformed", 2)]),
                ..Summary::default()
            };
            state.count(today - Days::new(days_ago), &round);
        }
        let lately = state.lately(today);
        assert_eq!((state.totals.delivered, lately.delivered), (20, 7));
        assert_eq!(
            (
                state.totals.dropped["malformed"],
                lately.dropped["malformed"]
            ),
            (40, 14)
        );
        assert_eq!(state.days.len(), DAYS_MAX);
        assert_eq!(state.since, Some(today - Days::new(19)));
        assert_eq!(state.lately(today + Days::new(7)), Totals::default());
        // A clock that was set back does not see into the future.
        assert_eq!(state.lately(today - Days::new(2)).delivered, 5);
    }

    #[test]
    fn a_damaged_file_is_an_empty_state() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::find("a", Some(dir.path()), &BTreeMap::new()).unwrap();
        fs::create_dir(paths.upload()).unwrap();
        fs::write(paths.state(), b"{\"notBefore\":").unwrap();
        assert_eq!(State::load(&paths), State::default());
    }
}
