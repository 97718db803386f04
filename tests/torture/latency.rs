//! How long an append takes: with no uploader at all, while a pass hangs in flight, and while passes
//! send and settle all along.
//!
//! Times on a machine that others use say little by themselves, so the three take turns, and what is
//! held against the promise is the difference. An append that waited for the server, or for a pass that
//! does, would be slow in every round, by the length of a wait.

use crate::kit::{BUFFER, Sandbox};
use crate::oracle::{Account, Allowed, Appended, account};
use crate::passes::PATIENT;
use crate::writers::{Recipe, line};
use crate::{Ended, Given};
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// They take turns so often.
const ROUNDS: usize = 10;

/// By this much the slow appends beside a pass that hangs may be slower than those beside none.
const MORE_MAX: Duration = Duration::from_millis(1);

const RECIPES: [&str; 3] = ["library", "locked", "lockless"];

/// One situation: its own home, and how long each append took, by recipe and round.
struct Situation {
    sandbox: Sandbox,
    appended: Appended,
    recipes: [Recipe; 3],
    times: [Vec<Vec<Duration>>; 3],
}

/// How long the appends of a round took, by recipe.
type Times = [Vec<Duration>; 3];

/// Appends by each recipe in each situation.
pub fn latency(given: Given) -> Ended {
    let appends = given.size.pick(1000, 10_000) / ROUNDS;
    let mut alone = Situation::new(Sandbox::new());
    let (sandbox, gate) = Sandbox::gated();
    let mut stalled = Situation::new(sandbox);
    let mut busy = Situation::new(Sandbox::new());

    stalled.append("first", 0);
    let hung = stalled.sandbox.spawn(&[]);
    stalled.sandbox.wait_for_post();
    let buffer = File::open(stalled.sandbox.path(BUFFER)).unwrap();
    assert!(buffer.try_lock().is_ok(), "no lock is held across a post");
    drop(buffer);
    for round in 0..ROUNDS {
        alone.note(alone.round(round, appends, || ()));
        stalled.note(stalled.round(round, appends, || ()));
        let (go_on, passes) = (AtomicBool::new(true), AtomicUsize::new(0));
        let times = std::thread::scope(|scope| {
            scope.spawn(|| keep_passing(&busy.sandbox, &go_on, &passes));
            let _over = Over(&go_on);
            // A pass goes on as long as events come, so they come in parts.
            busy.round(round, appends, || {
                let before = passes.load(Ordering::SeqCst);
                while passes.load(Ordering::SeqCst) == before && go_on.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
            })
        });
        busy.note(times);
    }
    assert_eq!(stalled.sandbox.posts(), 1, "it hangs to the end");
    let words = RECIPES.iter().enumerate().map(|(recipe, name)| {
        let [alone, stalled, busy] = [&alone, &stalled, &busy].map(|s| &s.times[recipe]);
        let (usual, beside) = (slow_of_rounds(alone), slow_of_rounds(stalled));
        let (worst_usual, median) = (usual[ROUNDS - 1], beside[ROUNDS / 2]);
        assert!(
            median <= worst_usual + MORE_MAX,
            "{name}: the slow appends took {median:?} beside a pass that hangs, {worst_usual:?} beside none"
        );
        let [alone, stalled, busy] = [alone, stalled, busy].map(|rounds| figures(rounds));
        format!("{name} {alone} alone, {stalled} stalled, {busy} busy")
    });
    let words: Vec<String> = words.collect();

    gate.open();
    let output = stalled.sandbox.wait(hung);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let accounts = [alone, stalled, busy].map(Situation::end);
    let events: usize = accounts.iter().map(|account| account.appended).sum();
    Ended::Held(format!(
        "p50/p99.9/max in µs: {}; {events} events, 0 lost, 0 twice",
        words.join("; ")
    ))
}

impl Situation {
    fn new(sandbox: Sandbox) -> Situation {
        let sandbox = sandbox.dated();
        sandbox.write("config.json", PATIENT);
        let path = sandbox.path(BUFFER);
        Situation {
            recipes: [
                Recipe::library(&sandbox),
                Recipe::Locked(path.clone()),
                Recipe::Lockless(path),
            ],
            sandbox,
            appended: Appended::default(),
            times: Default::default(),
        }
    }

    fn append(&self, id: &str, recipe: usize) -> Duration {
        let line = line(id, 0);
        self.appended.intend(id, &line);
        let begun = Instant::now();
        self.recipes[recipe].append(&line);
        let took = begun.elapsed();
        self.appended.done(id);
        took
    }

    /// So many appends by each recipe, in turn, in four parts; before each part it waits.
    fn round(&self, round: usize, appends: usize, wait: impl Fn()) -> Times {
        let mut times = Times::default();
        for n in 0..appends {
            if n % (appends / 4) == 0 {
                wait();
            }
            for (recipe, times) in times.iter_mut().enumerate() {
                times.push(self.append(&format!("{round}-{n}-{recipe}"), recipe));
            }
        }
        times
    }

    fn note(&mut self, times: Times) {
        for (all, round) in self.times.iter_mut().zip(times) {
            all.push(round);
        }
    }

    fn end(self) -> Account {
        let (code, ..) = self.sandbox.flush().left("").outputs();
        assert_eq!(code, 0);
        account(&self.sandbox, &self.appended, Allowed::default())
    }
}

/// Passes, one after the other.
fn keep_passing(sandbox: &Sandbox, go_on: &AtomicBool, passes: &AtomicUsize) {
    let _over = Over(go_on);
    while go_on.load(Ordering::SeqCst) {
        let mut command = sandbox.command(&["--flush"]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        passes.fetch_add(1, Ordering::SeqCst);
    }
}

/// Ends the passes, even if the trial fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Of each round how long its slow appends took, in order.
fn slow_of_rounds(rounds: &[Vec<Duration>]) -> Vec<Duration> {
    let mut slow: Vec<Duration> = rounds.iter().map(|round| slow(round.clone())).collect();
    slow.sort();
    slow
}

/// What 99.9 % of the appends do not exceed.
fn slow(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[(times.len() * 999).div_ceil(1000) - 1]
}

fn figures(rounds: &[Vec<Duration>]) -> String {
    let mut all: Vec<Duration> = rounds.concat();
    all.sort();
    let micros = [all[all.len() / 2], slow(all.clone()), all[all.len() - 1]];
    micros.map(|time| time.as_micros().to_string()).join("/")
}
