//! The only loop: one pass over all buffers of an application.

use crate::batch::{Batch, Judged};
use crate::clock::Clock;
use crate::consent::Consent;
use crate::fate::{self, After, Fate};
use crate::lane::{self, Lane, More, Taken};
use crate::ledger;
use crate::lock;
use crate::news::AllClosed;
use crate::os::{self, Open};
use crate::outlook::{self, Outlook};
use crate::paths::Paths;
use crate::retry;
use crate::route::Route;
use crate::rules::{Rules, Tail};
use crate::send::{Sender, Sent};
use crate::settings::Settings;
use crate::settle::Guard;
use crate::state::{NotBefore, State};
use crate::stop::Stop;
use crate::summary::{Ending, Summary, Tense};
use crate::terminal::Progress;
use crate::wording::minute;
use crate::world::World;
use anyhow::{Context, Result};
use chrono::TimeDelta;
use std::collections::VecDeque;

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
        let now = self.world.now();
        let pause = match outlook::look(self.paths, now)? {
            Outlook::Nothing => return Ok(Summary::ended(Ending::Nothing)),
            Outlook::Paused(pause) if self.mode != Mode::Foreground => {
                let why = format!("{}; not before {}", pause.reason, minute(&pause.until));
                return Ok(Summary::ended(Ending::Later(why)));
            }
            Outlook::Paused(pause) => Some(pause),
            Outlook::Waiting => None,
        };
        let data = self.paths.data();
        os::check_dir(data).with_context(|| format!("cannot use {}", data.display()))?;
        let folder = self.paths.upload();
        os::create_private_dir(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let path = self.paths.uploader_lock();
        let lock_file = os::open(&path, Open::Create)
            .with_context(|| format!("cannot open {}", path.display()))?;

        let mut state = State::load(self.paths);
        let mut clock = Clock::read(now, state.clock.as_ref());
        let mut summary = Summary {
            pause_overridden: pause.map(|pause| pause.until),
            ..Summary::default()
        };
        let mut held = lock::take_now(&lock_file)
            .with_context(|| format!("cannot lock {}", path.display()))?;
        if held.is_none() {
            return Ok(Summary::ended(Ending::Busy));
        }
        let mut guard = Guard::Patient;
        while let Some(lock) = held {
            ledger::note_owner(&lock_file, now);
            // Read again: whoever held the lock a moment ago has written it.
            state = State::load(self.paths);
            let (round, closed) = self.round(guard, &mut clock, &mut state);
            guard = Guard::Quick;
            ledger::finish(self.paths, self.world.now(), &mut state, &round, &clock);
            let ended = round.ending != Ending::Done;
            summary.add(round);
            drop(lock);
            // The look after the release: see `Closed::has_news`.
            let looks_again = !ended && self.mode != Mode::Gathering;
            held = if looks_again && closed.has_news(self.paths) {
                lock::take_now(&lock_file).unwrap_or_default()
            } else {
                None
            };
        }
        if !summary.law_holds() {
            let counts = summary.json(Tense::Done);
            summary.problems.push(format!(
                "the counts of this pass do not add up, which is a defect; please report {counts}"
            ));
        }
        Ok(summary)
    }

    /// One batch from each buffer in turn, so that a long one does not hold up the others, until
    /// every buffer is read or has had to stop.
    fn round(&self, guard: Guard, clock: &mut Clock, state: &mut State) -> (Summary, AllClosed) {
        let mut summary = Summary::default();
        let limits = &self.settings.limits;
        let names = summary
            .noting(outlook::waiting(self.paths))
            .unwrap_or_default();
        let mut lanes: VecDeque<Lane> = names
            .iter()
            .filter_map(|name| Lane::open(self.paths, name, limits, &mut summary))
            .collect();
        let mut closed = AllClosed::new(names);
        let endpoint = &self.settings.connection.endpoint;
        let route = Route::new(endpoint, state.redirect.as_ref(), self.world.now());
        let mut sender = Sender::new(self.world, limits, self.may, route);
        let mut attempts_max = limits.attempts_max;
        state.not_before = None;
        let waiting = |lanes: &VecDeque<Lane>| lanes.iter().map(Lane::bytes_waiting).sum::<u64>();
        let total = waiting(&lanes);
        self.progress.show(0, total, summary.delivered);
        while let Some(mut lane) = lanes.pop_front() {
            match self.step(&mut lane, &mut sender, attempts_max, clock, &mut summary) {
                Ok(Step::More) => lanes.push_back(lane),
                Ok(Step::End) => closed.note(lane.close(guard, &mut summary)),
                Ok(Step::Changed) => lanes.extend(lane.reopen(self.paths, limits, &mut summary)),
                Ok(Step::Stopped(stop)) => {
                    summary.ending = stop.ending();
                    state.not_before = stop.not_before().or(state.not_before.take());
                    summary.keep_unread(lane.count_rest());
                    closed.note(lane.close(guard, &mut summary));
                    if stop.ends_the_pass() {
                        break;
                    }
                    // Something may be wrong with this one batch: the others get a try each.
                    attempts_max = 1;
                }
                Ok(Step::Unwritten(err)) => {
                    // Without room for what must be kept, each pass would repeat the batch.
                    let reason = format!("{err:#}");
                    let until = retry::after_full_disk(self.world.now());
                    state.not_before = Some(NotBefore { until, reason });
                    summary.noting::<()>(Err(err));
                    summary.keep_unread(lane.count_rest());
                    closed.look_no_more();
                    break;
                }
                Err(err) => {
                    summary.noting::<()>(Err(err));
                    summary.keep_unread(lane.count_rest());
                }
            }
            let done = total.saturating_sub(waiting(&lanes));
            self.progress.show(done, total, summary.delivered);
        }
        for mut lane in lanes {
            summary.keep_unread(lane.count_rest());
            closed.note(lane.close(guard, &mut summary));
        }
        clock.confirmed |= sender.confirms_our_clock;
        if sender.skew.is_some() || sender.confirms_our_clock {
            state.server_ahead_s = sender.skew.map(|skew| skew.num_seconds());
        }
        summary.requests = sender.requests;
        state.redirect = sender.route.learned;
        (summary, closed)
    }

    /// Takes one batch all the way: read, sent, written down, committed.
    fn step(
        &self,
        lane: &mut Lane,
        sender: &mut Sender<W>,
        attempts_max: u32,
        clock: &Clock,
        summary: &mut Summary,
    ) -> Result<Step> {
        let rules = self.rules(clock, sender.skew);
        let (mut batch, more) = match lane.take_batch(&rules)? {
            Taken::Batch(batch, more) => (batch, more),
            Taken::End => return Ok(Step::End),
            Taken::Changed => return Ok(Step::Changed),
        };
        let sent = if batch.events().is_empty() {
            Sent::default()
        } else {
            if let Err(err) = lane.buffer.arm() {
                summary.account(&batch.lines, &fate::of_each(&batch, Vec::new()), 0);
                return Err(err);
            }
            State::reserve(self.paths);
            let rewrap = |line: &[u8], now| lane::rewrap(line, now, &rules);
            sender.deliver(&mut batch, attempts_max, &rewrap)
        };
        let after = if more == More::Yes && sent.stop.is_none() {
            After::ReadsOn
        } else {
            After::Ends
        };
        let fates = fate::of_each(&batch, sent.fates);
        let passed = fate::passed(&fates, after);
        let written = self.write_down(lane, &batch, &fates, passed);
        let passed = if written.is_ok() { passed } else { 0 };
        summary.account(&batch.lines, &fates, passed);
        Ok(match (written, sent.stop, more) {
            (Err(err), ..) => Step::Unwritten(err),
            (_, Some(stop), _) => Step::Stopped(stop),
            (_, None, More::Yes) => Step::More,
            (_, None, More::No) => Step::End,
        })
    }

    /// Everything that must be durable before the cursor passes, and then the cursor.
    fn write_down(
        &self,
        lane: &mut Lane,
        batch: &Batch,
        fates: &[Fate],
        passed: usize,
    ) -> Result<()> {
        let lines: Vec<(&Judged, &Fate)> = batch.lines.iter().zip(fates).take(passed).collect();
        let end = batch.lines.get(passed).map_or(batch.end, |line| line.at);
        ledger::rejected(self.paths, &lane.buffer.name, self.world.now(), &lines)?;
        let kept = lines
            .iter()
            .filter(|(_, fate)| **fate == Fate::Kept)
            .map(|(line, _)| &line.bytes[..]);
        lane.buffer.append_again(&end, kept)?;
        ledger::sent(self.paths, self.settings.sent_copy, &lines);
        lane.buffer.commit(&end)
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

enum Step {
    More,
    End,
    Changed,
    Stopped(Stop),
    /// The batch's end could not be made durable; the cursor stays before it.
    Unwritten(anyhow::Error),
}
