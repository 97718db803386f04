//! One round of a pass: every buffer from its cursor on, batch by batch, until it is read or has had to
//! stop.

use crate::buffer;
use crate::clock::Clock;
use crate::intake::Intake;
use crate::news::AllClosed;
use crate::outlook;
use crate::requests::Requests;
use crate::retry;
use crate::route::Route;
use crate::send::Sender;
use crate::settle::Guard;
use crate::state::{NotBefore, State};
use crate::summary::Summary;
use crate::turn::{Step, Turn};
use crate::upload::Pass;
use crate::world::World;
use std::collections::VecDeque;

/// A round at work.
pub(crate) struct Round<'a, W: World> {
    pub(crate) pass: &'a Pass<'a, W>,
    pub(crate) clock: Clock,
    pub(crate) sender: Sender<'a, W>,
    pub(crate) summary: Summary,
    pub(crate) attempts_max: u32,
    /// Bytes that wait in the other buffers, and those that waited in all.
    elsewhere: u64,
    total: u64,
}

impl<'a, W: World> Round<'a, W> {
    /// Each buffer in turn, so that a long one does not hold up the others.
    pub(crate) fn run(
        pass: &'a Pass<'a, W>,
        guard: Guard,
        clock: &mut Clock,
        state: &mut State,
    ) -> (Summary, AllClosed) {
        let mut summary = Summary::default();
        let limits = &pass.settings.limits;
        let names = summary
            .noting(outlook::waiting(pass.paths))
            .unwrap_or_default();
        let unusable = summary.noting(buffer::unusable(pass.paths));
        summary.problems.extend(unusable.unwrap_or_default());
        let intakes: VecDeque<Intake> = names
            .iter()
            .filter_map(|name| Intake::open(pass.paths, name, limits, &mut summary))
            .collect();
        let closed = AllClosed::new(names);
        let endpoint = &pass.settings.connection.endpoint;
        let route = Route::new(endpoint, state.redirect.as_ref(), pass.world.now());
        state.not_before = None;
        let mut requests = Requests::new(pass.world, limits, pass.may, route);
        requests.has_accepted = state.last_delivered.is_some();
        let mut round = Round {
            pass,
            clock: clock.clone(),
            sender: Sender { requests },
            summary,
            attempts_max: limits.attempts_max,
            elsewhere: 0,
            total: bytes_waiting(&intakes),
        };
        let closed = round.all(intakes, closed, guard, state);
        let Round {
            sender,
            mut summary,
            ..
        } = round;
        clock.confirmed |= sender.requests.clock.confirms_ours;
        if sender.requests.clock.skew.is_some() || sender.requests.clock.confirms_ours {
            state.server_ahead_s = sender.requests.clock.skew.map(|skew| skew.num_seconds());
        }
        summary.requests = sender.requests.count;
        state.redirect = sender.requests.route.learned;
        (summary, closed)
    }

    fn all(
        &mut self,
        mut intakes: VecDeque<Intake>,
        mut closed: AllClosed,
        guard: Guard,
        state: &mut State,
    ) -> AllClosed {
        let (paths, limits) = (self.pass.paths, &self.pass.settings.limits);
        self.show(self.total);
        while let Some(mut intake) = intakes.pop_front() {
            self.elsewhere = bytes_waiting(&intakes);
            let batches_max = if intakes.is_empty() {
                usize::MAX
            } else {
                self.sender.requests.pace.lanes(0)
            };
            match Turn::run(self, &mut intake, batches_max) {
                Ok(Step::More) => intakes.push_back(intake),
                Ok(Step::End) => closed.note(intake.close(guard, &mut self.summary)),
                Ok(Step::Changed) => {
                    intakes.extend(intake.reopen(paths, limits, &mut self.summary));
                }
                Ok(Step::Stopped(stop)) => {
                    self.summary.ending = stop.ending();
                    state.not_before = stop.not_before().or(state.not_before.take());
                    self.keep_rest(&mut intake);
                    closed.note(intake.close(guard, &mut self.summary));
                    let is_about_events =
                        stop.is_refused_alike() && self.sender.requests.has_accepted;
                    if stop.ends_the_pass() && !is_about_events {
                        break;
                    }
                    // Something may be wrong with this one batch: the others get a try each.
                    self.attempts_max = 1;
                }
                Ok(Step::Unwritten(err)) => {
                    // Without room for what must be kept, each pass would repeat the batch.
                    let reason = format!("{err:#}");
                    let until = retry::after_full_disk(self.pass.world.now());
                    state.not_before = Some(NotBefore { until, reason });
                    self.summary.noting::<()>(Err(err));
                    self.keep_rest(&mut intake);
                    closed.look_no_more();
                    break;
                }
                Err(err) => {
                    self.summary.noting::<()>(Err(err));
                    self.keep_rest(&mut intake);
                }
            }
        }
        for mut intake in intakes {
            self.keep_rest(&mut intake);
            closed.note(intake.close(guard, &mut self.summary));
        }
        closed
    }

    /// Counts the lines of a buffer that are not read in this round.
    fn keep_rest(&mut self, intake: &mut Intake) {
        let rest = intake.count_rest();
        self.summary.keep_unread(&intake.buffer.name, rest);
    }

    /// Tells the person how much still waits.
    pub(crate) fn show(&self, waiting: u64) {
        let done = self.total.saturating_sub(self.elsewhere + waiting);
        let delivered = self.summary.delivered;
        self.pass.progress.show(done, self.total, delivered);
    }
}

fn bytes_waiting(intakes: &VecDeque<Intake>) -> u64 {
    intakes.iter().map(Intake::bytes_waiting).sum()
}
