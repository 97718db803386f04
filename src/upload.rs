//! A pass over all buffers of an application: rounds, until nothing new waits.

use crate::buffer;
use crate::clock::Clock;
use crate::consent::Consent;
use crate::entry::Entry;
use crate::ledger;
use crate::lock::Held;
use crate::paths::Paths;
use crate::round::Round;
use crate::rules::{Rules, Tail};
use crate::settings::Settings;
use crate::settle::Guard;
use crate::state::State;
use crate::summary::{Ending, Summary, Tense};
use crate::terminal::Progress;
use crate::world::World;
use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use std::time::SystemTime;

/// Who asked for the pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A hook or a schedule: it honours the pause the server asked for.
    Background,
    /// The same, where another pass follows that sees what is appended during this one.
    Gathering,
    /// A person: it sends now, a last line without a newline too.
    Foreground,
}

/// Everything one pass needs.
pub struct Pass<'a, W: World> {
    /// Clock and network.
    pub world: &'a W,
    /// What to do.
    pub settings: &'a Settings,
    /// Where the files are.
    pub paths: &'a Paths,
    /// Who asked.
    pub mode: Mode,
    /// May we still? Asked again before every request.
    pub may: &'a dyn Fn() -> Consent,
    /// Where a person sees it move.
    pub progress: &'a Progress,
}

impl<'a, W: World> Pass<'a, W> {
    /// The same in another world.
    pub fn within<'b, V: World>(&self, world: &'b V) -> Pass<'b, V>
    where
        'a: 'b,
    {
        Pass {
            world,
            settings: self.settings,
            paths: self.paths,
            mode: self.mode,
            may: self.may,
            progress: self.progress,
        }
    }

    /// Delivers what waits in the buffers, and accounts for every line.
    ///
    /// # Errors
    /// The uploader's own folder or lock cannot be used; every buffer is as it was.
    pub fn run(&self) -> Result<Summary> {
        let entry = match Entry::find(self.paths, self.mode, self.world.now())? {
            Ok(entry) => entry,
            Err(ending) => return Ok(Summary::ended(ending)),
        };
        Ok(match entry.take()? {
            Some(held) => self.run_within(&entry, held),
            None => Summary::ended(Ending::Busy),
        })
    }

    /// The same for those who have the lock already.
    pub fn run_within<'e>(&self, entry: &'e Entry, held: Held<'e>) -> Summary {
        let now = self.world.now();
        let mut summary = Summary {
            pause_overridden: entry.pause.as_ref().map(|pause| pause.until),
            ..Summary::default()
        };
        let mut clock = None;
        let mut before = None;
        let mut guard = Guard::Patient;
        let mut held = Some(held);
        while let Some(lock) = held {
            ledger::note_owner(entry.lock_file(), now, self.settings.limits.deadline);
            // Not before the lock is held: whoever held it a moment ago has written it.
            let mut state = State::load(self.paths);
            let clock = clock.get_or_insert_with(|| Clock::read(now, state.clock.as_ref()));
            if before.is_none() {
                buffer::remove_cursors_of_gone(self.paths, self.oldest_sent(clock, now));
            }
            before.get_or_insert_with(|| state.clone());
            let (round, closed) = Round::run(self, guard, clock, &mut state);
            guard = Guard::Quick;
            ledger::finish(self.paths, self.world.now(), &mut state, &round, clock);
            let ended = round.ending != Ending::Done;
            summary.add(round);
            drop(lock);
            // The look after the release: see `Closed::has_news`.
            let looks_again = !ended && self.mode != Mode::Gathering;
            held = if looks_again && closed.has_news(self.paths) {
                entry.take().unwrap_or_default()
            } else {
                None
            };
        }
        summary.is_news = before.is_some_and(|state| ledger::is_news(self.paths, &state, &summary));
        if !summary.law_holds() {
            let counts = summary.json(Tense::Done);
            summary.problems.push(format!(
                "the counts of this pass do not add up, which is a defect; please report {counts}"
            ));
        }
        summary
    }

    /// An event with a believable time before this one is dropped as too old. `None` if the clock is not
    /// believed, so that no age is judged.
    fn oldest_sent(&self, clock: &Clock, now: DateTime<Utc>) -> Option<SystemTime> {
        let age = TimeDelta::days(self.settings.limits.age_days_max.into());
        clock.credible.then(|| SystemTime::from(now - age))
    }

    /// How lines are judged at this moment, the server's clock being ahead of ours by `skew`.
    pub(crate) fn rules(&self, clock: &Clock, skew: Option<TimeDelta>) -> Rules<'_> {
        let tail = if self.mode == Mode::Foreground {
            Tail::Taken
        } else {
            Tail::TakenWhenStale
        };
        Rules::new(self.settings, clock, self.world.now(), skew, tail)
    }
}
