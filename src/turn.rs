//! A buffer's turn in a round: its batches all the way, read, sent, written down, committed. Several may
//! be under way at once; each is written down and committed after those before it, so the cursor never
//! passes a line without a fate, and what a kill may repeat is what is under way.

use crate::batch::{Batch, Judged};
use crate::copies::Copies;
use crate::fate::{self, After, Fate};
use crate::intake::{self, Intake, More, Taken};
use crate::ledger;
use crate::requests::{Flight, Requests};
use crate::round::Round;
use crate::rules::Rules;
use crate::send::{End, Rewrap, Sender, Sent};
use crate::state::State;
use crate::stop::Stop;
use crate::world::World;
use anyhow::Result;
use std::collections::VecDeque;

/// Batches that wait for each lane: for fewer a connection of its own costs more than it saves.
const BATCHES_PER_LANE: u64 = 4;

/// Memory of the batches under way: twenty of the usual size take half of it; of the largest, three are
/// under way.
const UNDER_WAY_BYTES_MAX: usize = 6_000_000;

/// How a turn ends.
pub(crate) enum Step {
    /// There is more for its next turn.
    More,
    /// The buffer is read.
    End,
    /// The person changed the file under us.
    Changed,
    /// The sending has to stop.
    Stopped(Stop),
    /// A batch's end could not be made durable; the cursor stays before it.
    Unwritten(anyhow::Error),
}

/// A turn at work.
pub(crate) struct Turn<'t, 'a, W: World> {
    round: &'t mut Round<'a, W>,
    intake: &'t mut Intake,
    /// Bytes of this buffer that waited when its turn began.
    waiting: u64,
    batches_left: usize,
    under_way: VecDeque<Taking>,
    /// How the reading ended, once it has.
    read: Option<Result<Step>>,
    copies: Copies,
}

/// A batch that was taken from its buffer and is not committed.
struct Taking {
    batch: Batch,
    more: More,
    flight: Option<Flight>,
}

/// A batch whose delivery has ended.
struct Landed {
    batch: Batch,
    more: More,
    sent: Sent,
}

impl Landed {
    fn is_stopped(&self) -> bool {
        matches!(self.sent.end, End::Stopped(_))
    }

    /// Whether the server accepted an event of it, and asked for no pause.
    fn is_accepted(&self) -> bool {
        !self.is_stopped() && self.sent.is_accepted_in_part()
    }
}

impl<'t, 'a, W: World> Turn<'t, 'a, W> {
    /// Takes at most so many batches of the buffer all the way.
    ///
    /// # Errors
    /// A buffer that cannot be read, or has no room for its cursor.
    pub(crate) fn run(
        round: &'t mut Round<'a, W>,
        intake: &'t mut Intake,
        batches_max: usize,
    ) -> Result<Step> {
        let mut turn = Turn {
            waiting: intake.bytes_waiting(),
            round,
            intake,
            batches_left: batches_max,
            under_way: VecDeque::new(),
            read: None,
            copies: Copies::default(),
        };
        let step = turn.take_all_the_way();
        turn.copies.write(turn.round.pass.paths);
        step
    }

    fn take_all_the_way(&mut self) -> Result<Step> {
        loop {
            while self.batches_left > 0 && self.has_room() && self.read_on() {}
            let Some(first) = self.under_way.pop_front() else {
                return self.read.take().unwrap_or(Ok(Step::More));
            };
            if let Some(step) = self.land(first) {
                // What the reading ended with does not matter any more, but for an error, which is told.
                let read = self.read.take();
                self.round.summary.noting(read.unwrap_or(Ok(Step::End)));
                return Ok(step);
            }
            self.round.show(self.intake.bytes_waiting());
        }
    }

    /// Takes the next batch, unless the reading has ended; whether it may go on.
    fn read_on(&mut self) -> bool {
        if self.read.is_none() {
            self.batches_left = self.batches_left.saturating_sub(1);
            self.read = self
                .take()
                .map_or_else(|err| Some(Err(err)), |end| end.map(Ok));
        }
        self.read.is_none()
    }

    /// Whether one more may be under way. None may while the server, or the way to it, has trouble with
    /// another: it may want a pause.
    fn has_room(&mut self) -> bool {
        let requests = &self.round.sender.requests;
        let flights = self
            .under_way
            .iter_mut()
            .filter_map(|it| it.flight.as_mut());
        let mut answers = flights.map(|flight| requests.is_answered_well(flight));
        if answers.any(|well| well == Some(false)) {
            return false;
        }
        let batches = self.under_way.iter().map(|taking| &taking.batch);
        let held: usize = batches.map(Batch::held_bytes).sum();
        self.under_way.front().is_none_or(|first| {
            self.under_way.len() < self.lanes(&first.batch) && held < UNDER_WAY_BYTES_MAX
        })
    }

    /// How many lanes the buffer deserves, if its batches are like this one.
    fn lanes(&self, batch: &Batch) -> usize {
        let batches = self.waiting / batch.bytes_in_buffer().max(1);
        let deserved = usize::try_from(1 + batches / BATCHES_PER_LANE).unwrap_or(usize::MAX);
        deserved.min(
            self.round
                .sender
                .requests
                .pace
                .lanes(batch.envelope_bytes()),
        )
    }

    /// Takes the next batch, and begins to send it if there are several lanes; or says how the reading
    /// ends.
    fn take(&mut self) -> Result<Option<Step>> {
        let (batch, more) = match self.intake.take_batch(&self.rules())? {
            Taken::Batch(batch, more) => (batch, more),
            Taken::End => return Ok(Some(Step::End)),
            Taken::Changed => return Ok(Some(Step::Changed)),
        };
        let mut flight = None;
        if batch.event_count() > 0 {
            if let Err(err) = self.prepare_to_post(&batch) {
                self.keep(&batch);
                return Err(err);
            }
            if self.lanes(&batch) > 1 {
                flight = self.requests().begin(&batch);
            }
        }
        self.under_way.push_back(Taking {
            batch,
            more,
            flight,
        });
        Ok((more == More::No).then_some(Step::End))
    }

    /// Makes sure, as far as can be known, that what becomes of the batch can be written down: else every
    /// pass would post it again.
    fn prepare_to_post(&mut self, batch: &Batch) -> Result<()> {
        self.intake.buffer.arm()?;
        let paths = self.round.pass.paths;
        State::reserve(paths);
        ledger::check_room_for_rejected(paths, batch.rejected_bytes())
    }

    /// Settles the fates of a batch, and of those behind it that have their answers by now, and writes
    /// their end down, with one commit; says how the turn ends, if it does. A stop ends it for all that
    /// are under way: what the server has taken of them is committed with the rest.
    fn land(&mut self, first: Taking) -> Option<Step> {
        let (mut batch, mut fates) = (Batch::default(), Vec::new());
        let (mut stop, mut more): (Option<Stop>, More) = (None, first.more);
        let mut next = Some(first);
        while let Some(taking) = next {
            let halted = stop.clone().or_else(|| self.stop_under_way());
            self.requests().halted = halted;
            let landed = self.deliver(taking, self.round.attempts_max);
            for landed in self.go_past_poison(landed) {
                if let End::Stopped(further) = landed.sent.end {
                    stop = Some(match stop {
                        Some(stop) => Stop::or_longer(stop, further),
                        None => further,
                    });
                }
                fates.extend(fate::of_each(&landed.batch, landed.sent.fates));
                batch.join(landed.batch);
                more = landed.more;
            }
            next = if stop.is_some() || self.is_next_answered() {
                self.under_way.pop_front()
            } else {
                None
            };
        }
        self.requests().halted = None;
        let after = match (&stop, more) {
            (None, More::Yes) => After::ReadsOn,
            _ => After::Ends,
        };
        match self.write_down(&batch, &fates, after) {
            Ok(()) => {
                let copy = self.round.pass.settings.sent_copy;
                self.copies.add(&batch, &fates, copy);
                stop.map(Step::Stopped)
            }
            Err(err) => {
                while let Some(next) = self.under_way.pop_front() {
                    self.keep(&next.batch);
                }
                Some(Step::Unwritten(err))
            }
        }
    }

    /// Where the requests of a batch keep failing although the server answers, one of its events may be the
    /// reason, and must not block what is behind it. If the server accepts another event, those that it fails
    /// for are found by halving and stay kept. At most two requests are spent on a server that is down for
    /// everybody, and no more in the same pass. Returns the batch and those that were tried with it.
    fn go_past_poison(&mut self, first: Landed) -> Vec<Landed> {
        let End::Suspected(trouble, _) = first.sent.end.clone() else {
            return vec![first];
        };
        let mut landed = vec![first];
        let is_at_work = !self.requests().has_probed_in_vain && self.is_at_work(&mut landed);
        self.requests().has_probed_in_vain |= !is_at_work;
        let mut stop = (!is_at_work).then(|| self.requests().stop(trouble.clone(), None));
        for landed in &mut landed {
            if let End::Suspected(..) = landed.sent.end {
                match &stop {
                    Some(stop) => landed.sent.end = End::Stopped(stop.clone()),
                    None => self.isolate(landed),
                }
                if let End::Stopped(further) = &landed.sent.end {
                    stop = Some(further.clone());
                }
            }
        }
        if is_at_work {
            self.round.summary.kept_because = Some(trouble.about_one_event().to_string());
        }
        landed
    }

    /// Whether the server accepts something else: another event of the batch, the last or the one in the middle,
    /// or, if there is none, the next batch, which lands with it. One event, because of many some may be at
    /// fault, too; and of the same batch, because a kill repeats what is not committed.
    fn is_at_work(&mut self, landed: &mut Vec<Landed>) -> bool {
        let mut probes_left = 2;
        while probes_left > 0 && !landed.iter().any(Landed::is_stopped) {
            let newest = landed.len() - 1;
            let suspected = landed[newest].sent.suspected();
            if suspected.len() > 1 {
                let last = suspected.len() - 1;
                let event = suspected[if probes_left == 1 { last / 2 } else { last }];
                if self.accepts(&mut landed[newest], event) {
                    return true;
                }
                probes_left -= 1;
                continue;
            }
            let held: usize = landed.iter().map(|it| it.batch.held_bytes()).sum();
            let next = (held < UNDER_WAY_BYTES_MAX).then(|| self.next_under_way());
            let Some(next) = next.flatten() else {
                return false;
            };
            // What a flight brought may be as old as the trouble.
            let attempts_max = if next.flight.is_some() { 2 } else { 1 };
            let next = self.deliver(next, attempts_max);
            probes_left -= usize::from(next.batch.event_count() > 0);
            let is_accepted = next.is_accepted();
            landed.push(next);
            if is_accepted {
                return true;
            }
        }
        false
    }

    /// Whether the server accepts this one of the suspected events.
    fn accepts(&mut self, landed: &mut Landed, event: usize) -> bool {
        let (batch, sent) = (&mut landed.batch, &mut landed.sent);
        self.by_sender(|sender, rewrap| sender.probe(batch, sent, event, rewrap))
    }

    /// The batch behind those that landed, read now if none is under way.
    fn next_under_way(&mut self) -> Option<Taking> {
        if self.under_way.is_empty() {
            self.read_on();
        }
        self.under_way.pop_front()
    }

    /// The first reason to stop in the answers that are there by now.
    fn stop_under_way(&mut self) -> Option<Stop> {
        let requests = &self.round.sender.requests;
        self.under_way.iter_mut().find_map(|taking| {
            let flight = taking.flight.as_mut()?;
            requests.stop_in(flight, taking.batch.event_count())
        })
    }

    /// Whether the next can be committed with the one before: a pause should not come in between,
    /// which would leave those before it uncommitted for so long.
    fn is_next_answered(&mut self) -> bool {
        let next = self.under_way.front_mut();
        let flight = next.and_then(|taking| taking.flight.as_mut());
        let requests = &self.round.sender.requests;
        flight.and_then(|flight| requests.is_answered_well(flight)) == Some(true)
    }

    fn requests(&mut self) -> &mut Requests<'a, W> {
        &mut self.round.sender.requests
    }

    fn deliver(&mut self, taking: Taking, attempts_max: u32) -> Landed {
        let Taking {
            mut batch,
            more,
            flight,
        } = taking;
        let sent = self
            .by_sender(|sender, rewrap| sender.deliver(&mut batch, flight, attempts_max, rewrap));
        Landed { batch, more, sent }
    }

    fn isolate(&mut self, landed: &mut Landed) {
        let halted = self.stop_under_way();
        self.requests().halted = halted;
        let (batch, sent) = (&mut landed.batch, &mut landed.sent);
        self.by_sender(|sender, rewrap| sender.isolate(batch, sent, rewrap));
    }

    /// Has the sender work on a batch, with the rules by which its lines are wrapped again.
    fn by_sender<T>(&mut self, work: impl FnOnce(&mut Sender<'a, W>, Rewrap) -> T) -> T {
        let rules = self.rules();
        let rewrap = |line: &[u8], now| intake::rewrap(line, now, &rules);
        work(&mut self.round.sender, &rewrap)
    }

    /// Counts what became of each line of a batch, after everything is durable that must be. Where there is
    /// no room for that, the lines in front are committed that need none.
    fn write_down(&mut self, batch: &Batch, fates: &[Fate], after: After) -> Result<()> {
        let mut passed = fate::passed(fates, after);
        let written = self.commit(batch, fates, passed);
        if written.is_err() {
            passed = fate::passed_without_room(fates);
            if self.commit(batch, fates, passed).is_err() {
                passed = 0;
            }
        }
        let name = &self.intake.buffer.name;
        let summary = &mut self.round.summary;
        summary.account(name, &batch.lines, fates, passed);
        written
    }

    /// Everything that must be durable before the cursor passes so many lines, and then the cursor.
    fn commit(&mut self, batch: &Batch, fates: &[Fate], passed: usize) -> Result<()> {
        let pass = self.round.pass;
        let buffer = &mut self.intake.buffer;
        let lines: Vec<(&Judged, &Fate)> = batch.lines.iter().zip(fates).take(passed).collect();
        let end = batch.lines.get(passed).map_or(&batch.end, |line| &line.at);
        ledger::rejected(pass.paths, &buffer.name, pass.world.now(), &lines)?;
        let kept = lines
            .iter()
            .filter(|(_, fate)| **fate == Fate::Kept)
            .map(|(line, _)| &line.bytes[..]);
        buffer.append_again(end, kept)?;
        buffer.commit(end)
    }

    /// Counts a batch that nothing can be done for in this pass.
    fn keep(&mut self, batch: &Batch) {
        let fates = fate::of_each(batch, Vec::new());
        let name = &self.intake.buffer.name;
        let summary = &mut self.round.summary;
        summary.account(name, &batch.lines, &fates, 0);
    }

    fn rules(&self) -> Rules<'a> {
        let round = &self.round;
        round
            .pass
            .rules(&round.clock, round.sender.requests.clock.skew)
    }
}
