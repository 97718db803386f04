//! Random sequences of everything that can happen to a buffer, against a model: producers append, whole
//! and torn, passes run, end anywhere or fail, the power is cut, the person edits, clocks are set. The
//! model knows which events must arrive and how often an event may come twice.

use super::{Answer, BATCH, Machine, WIDTHS, Width, ids_of_refused, is_full, say};
use crate::append;
use crate::os::faults::{self, Fault};
use crate::os::{self, Open};
use crate::paths::OWN_BUFFER;
use crate::upload::Mode;
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

#[derive(Clone, Debug)]
enum Action {
    /// So many events, each under the lock, as `record` does it.
    Append(usize),
    /// So many, by producers that know no lock and no torn lines.
    AppendPlainly(usize),
    /// A producer is killed in the middle of a line.
    AppendTorn,
    /// A producer, or the system, has made everything in the buffer durable.
    Sync,
    /// A pass, how the server answers it, and what happens at one of its steps.
    Pass(Mode, Vec<Answer>, Option<(usize, Fault)>),
    /// The power is cut, at this step of a pass that is answered so, or between two passes; the number
    /// chooses what is left of what was not durable.
    PowerCut(Option<(usize, Vec<Answer>)>, u64),
    /// The person empties, deletes or replaces the buffer.
    Edit(Edit),
    /// The person clears away what is beside it.
    DeleteSidecar(&'static str),
    /// The clock is set forward or back.
    SetClock(i64),
}

#[derive(Clone, Copy, Debug)]
enum Edit {
    Empty,
    Delete,
    Replace,
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let some = || prop::collection::btree_set(0..BATCH, 0..3);
    prop_oneof![
        4 => Just(Answer::Accept),
        3 => (some(), some()).prop_map(|(kept, refused)| {
            let refused = refused.difference(&kept).copied().collect();
            Answer::Partly(kept.into_iter().collect(), refused)
        }),
        1 => prop_oneof![Just(503), Just(429), Just(500), Just(404), Just(302)].prop_map(Answer::Status),
        1 => Just(Answer::Lost),
        1 => Just(Answer::Unreachable),
    ]
}

fn any_fault() -> impl Strategy<Value = Option<(usize, Fault)>> {
    let fault = prop_oneof![
        3 => Just(Fault::End),
        3 => Just(Fault::EndHalfway),
        1 => Just(Fault::Fail(5)),
        1 => Just(Fault::Fail(28)),
        1 => (0usize..400).prop_map(Fault::Short),
    ];
    prop::option::weighted(0.6, (0usize..70, fault))
}

fn any_action() -> impl Strategy<Value = Action> {
    let mode = prop_oneof![Just(Mode::Background), Just(Mode::Foreground)];
    let answers = || prop::collection::vec(any_answer(), 0..6);
    prop_oneof![
            4 => (1usize..9).prop_map(Action::Append),
            4 => (1usize..9).prop_map(Action::AppendPlainly),
            1 => Just(Action::AppendTorn),
            2 => Just(Action::Sync),
            8 => (mode, answers(), any_fault()).prop_map(|(mode, answers, fault)| Action::Pass(mode, answers, fault)),
    3 => (prop::option::weighted(0.8, (0usize..70, answers())), any::<u64>()).prop_map(|(pass, seed)| Action::PowerCut(pass, seed)),
            1 => prop_oneof![Just(Edit::Empty), Just(Edit::Delete), Just(Edit::Replace)].prop_map(Action::Edit),
            1 => prop_oneof![Just("cursor"), Just("state.json")].prop_map(Action::DeleteSidecar),
            1 => (-1000i64..1000).prop_map(Action::SetClock),
        ]
}

/// What must become of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// It must arrive, or be refused and written down.
    Must,
    /// The person removed it, or it was not durable when the power was cut, or it was never whole.
    May,
}

struct Model {
    machine: Machine,
    width: Width,
    due: BTreeMap<String, (Due, DateTime<Utc>)>,
    /// How often what was in flight may come again.
    repeats: usize,
    /// Whether a cursor was lost: what stands before it comes again.
    cursor_lost: bool,
    latest: DateTime<Utc>,
    next: usize,
}

impl Model {
    fn new(width: Width) -> Model {
        let machine = Machine::of(width, &[]);
        faults::watch(machine.paths.data());
        let latest = machine.server.now.get();
        Model {
            machine,
            width,
            due: BTreeMap::new(),
            repeats: 0,
            cursor_lost: false,
            latest,
            next: 0,
        }
    }

    fn event(&mut self, due: Due) -> String {
        let id = self.next;
        self.next += 1;
        let line = self.machine.line(id);
        let now = self.machine.server.now.get();
        self.due.insert(format!("e{id}"), (due, now));
        line
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Append(count) => {
                for _ in 0..*count {
                    let line = self.event(Due::Must);
                    append::line(&self.machine.paths, OWN_BUFFER, line.trim_end().as_bytes())
                        .unwrap();
                }
            }
            Action::AppendPlainly(count) => {
                for _ in 0..*count {
                    let line = self.event(Due::Must);
                    self.machine.put(line.as_bytes());
                }
            }
            Action::AppendTorn => {
                let line = self.event(Due::May);
                self.machine.put(&line.as_bytes()[..line.len() * 2 / 3]);
            }
            Action::Sync => {
                let file = os::open(&self.machine.buffer(), Open::Create).unwrap();
                os::sync(&file).unwrap();
                os::sync_dir(self.machine.paths.data()).unwrap();
            }
            Action::Pass(mode, answers, fault) => self.pass(*mode, answers, *fault),
            Action::PowerCut(pass, seed) => self.power_cut(pass.as_ref(), *seed),
            Action::Edit(edit) => self.edit(*edit),
            Action::DeleteSidecar(name) => {
                let path = match *name {
                    "cursor" => self.machine.paths.cursor(OWN_BUFFER),
                    name => self.machine.paths.upload().join(name),
                };
                self.cursor_lost |= *name == "cursor";
                let _ = fs::remove_file(&path);
                faults::with_image(|image| image.take_as_it_is(&path));
            }
            Action::SetClock(hours) => {
                let now = self.machine.server.now.get() + TimeDelta::hours(*hours);
                self.machine.server.now.set(now);
                self.latest = self.latest.max(now);
            }
        }
    }

    fn pass(&mut self, mode: Mode, answers: &[Answer], fault: Option<(usize, Fault)>) {
        let lost = answers
            .iter()
            .filter(|answer| **answer == Answer::Lost)
            .count();
        self.repeats += lost + usize::from(fault.is_some());
        *self.machine.server.answers.borrow_mut() = answers.iter().cloned().collect();
        let (done, _) = self.machine.pass(mode, move |step, _| match fault {
            Some((point, fault)) if step == point => fault,
            _ => Fault::None,
        });
        self.machine.server.answers.borrow_mut().clear();
        if let (None, Ok(done)) = (fault, done) {
            assert_eq!(done.unwrap().problems, [] as [String; 0]);
        }
    }

    fn power_cut(&mut self, pass: Option<&(usize, Vec<Answer>)>, seed: u64) {
        if let Some((step, answers)) = pass {
            self.pass(Mode::Foreground, answers, Some((*step, Fault::EndHalfway)));
        }
        // Whatever was not on the disk itself may be gone: the line, and what was written of its fate.
        let durable = |path: &PathBuf| {
            let bytes = faults::with_image(|image| image.durable(path).to_vec()).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let buffer = durable(&self.machine.buffer());
        let refused = self
            .machine
            .rejections()
            .iter()
            .map(durable)
            .collect::<String>();
        let refused = ids_of_refused(&refused);
        let arrived = self.machine.arrivals();
        for (id, (due, _)) in &mut self.due {
            let is_durable = buffer.contains(self.machine.appended[id].as_str());
            if !is_durable && !arrived.contains_key(id) && !refused.contains(id) {
                *due = Due::May;
            }
        }
        let dice = Cell::new(seed | 1);
        // Marsaglia's xorshift: any numbers do that are the same for the same seed.
        let choose = |ways: usize| {
            let mut x = dice.get();
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            dice.set(x);
            usize::try_from(x >> 33).unwrap() % ways
        };
        faults::with_image(|image| image.cut(choose));
    }

    fn edit(&mut self, edit: Edit) {
        let arrived = self.machine.arrivals();
        for (id, (due, _)) in &mut self.due {
            if !arrived.contains_key(id) {
                *due = Due::May;
            }
        }
        let path = self.machine.buffer();
        match edit {
            Edit::Empty => fs::write(&path, "").unwrap(),
            Edit::Delete => {
                let _ = fs::remove_file(&path);
            }
            Edit::Replace => {
                let line = self.event(Due::Must);
                let new = path.with_extension("theirs");
                fs::write(&new, line).unwrap();
                fs::rename(new, &path).unwrap();
            }
        }
        faults::with_image(|image| image.take_as_it_is(&path));
    }

    /// Everything that must arrive has, and not more often than it may.
    fn check(mut self) {
        self.machine.recover();
        let arrivals = self.machine.arrivals();
        let refused = self.machine.refused();
        let age_max = TimeDelta::days(self.machine.settings.limits.age_days_max.into());
        for (id, (due, appended)) in &self.due {
            let was_ever_too_old = self.latest - *appended >= age_max - TimeDelta::hours(1);
            let has_a_fate = arrivals.contains_key(id) || refused.contains(id);
            assert!(
                has_a_fate || *due == Due::May || was_ever_too_old,
                "{id} is lost"
            );
        }
        let twice: usize = arrivals.values().map(|count| count - 1).sum();
        assert!(
            self.cursor_lost || twice <= self.repeats * self.width.in_flight(),
            "{twice} came twice, {} times what was in flight may have",
            self.repeats
        );
        assert_eq!(fs::read_to_string(self.machine.buffer()).unwrap(), "");
    }
}

#[test]
fn whatever_happens_in_whatever_order_no_durable_event_is_lost() {
    let cases = if is_full() { 100_000 } else { 400 };
    // The same ones for every change; others whenever it is done in full.
    let rng_seed = if is_full() {
        RngSeed::Random
    } else {
        RngSeed::Fixed(1)
    };
    let config = ProptestConfig {
        cases,
        rng_seed,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(
        width in prop::sample::select(&WIDTHS[..]),
        actions in prop::collection::vec(any_action(), 0..64),
    )| {
        let mut model = Model::new(width);
        for action in &actions {
            model.act(action);
        }
        model.check();
    });
    say(&format!(
        "{cases} random sequences: no durable event lost, none twice but for ends and lost replies"
    ));
}
