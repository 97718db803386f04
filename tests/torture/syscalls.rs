//! Killed at every system call, and refused every system call with every error it may have: whatever
//! happens below the program, it ends in a way it documents, says nothing of an event, and the next
//! pass delivers everything.

use crate::aftermath::{Expected, How, check};
use crate::chance::Chance;
use crate::errnos;
use crate::scenarios::{Prepared, SCENARIOS, Scenario};
use crate::strace::{self, Calls, Fault, Hits, Injection, Traced, When};
use crate::{Ended, Given};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How often a fault is tried whose call did not come: with several threads not every run makes the
/// same calls.
const TRIES_MAX: usize = 5;

/// Cases at a time.
const WORKERS: usize = 2;

/// One fault in one scenario.
struct Case {
    scenario: &'static Scenario,
    injection: Injection,
}

/// What came of all of them.
#[derive(Default)]
struct Tally {
    cases: AtomicUsize,
    twice: AtomicUsize,
    twice_max: AtomicUsize,
    out_of_memory: AtomicUsize,
    folder_close: AtomicUsize,
    unfired: Mutex<Vec<String>>,
    failed: Mutex<Vec<String>>,
}

/// A kill before every system call of a pass and of the producers.
pub fn kills(given: Given) -> Ended {
    let cases_max = given.size.pick(120, usize::MAX);
    sweep(given, (Expected::AnyEnding, cases_max), kills_of)
}

/// Every error of every system call.
pub fn errors(given: Given) -> Ended {
    let cases_max = given.size.pick(220, usize::MAX);
    sweep(given, (Expected::AnyEnding, cases_max), errors_of)
}

/// What is interrupted goes on as if nothing had been.
pub fn interruptions(given: Given) -> Ended {
    let cases_max = given.size.pick(80, usize::MAX);
    sweep(
        given,
        (Expected::AsUndisturbed, cases_max),
        interruptions_of,
    )
}

fn kills_of(scenario: &'static Scenario, calls: &Calls) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, hits) in calls {
        let reachable = |n: &usize| hits[n - 1] != Hits::default();
        for n in (1..=hits.len()).filter(reachable) {
            cases.push(case(scenario, name, When::Nth(n), Fault::Kill));
        }
    }
    cases
}

/// Each error at each call, and at all of them.
fn errors_of(scenario: &'static Scenario, calls: &Calls) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, hits) in calls {
        let reachable = |n: &usize| hits[n - 1].own && !hits[n - 1].before_main;
        let mut whens: Vec<When> = (1..=hits.len()).filter(reachable).map(When::Nth).collect();
        if let Some(When::Nth(first)) = whens.first() {
            whens.push(When::FromNthOn(*first));
        }
        let never = errnos::NEVER_FAIL.contains(&name.as_str());
        let errnos = errnos::of(name);
        assert!(
            whens.is_empty() || never || !errnos.is_empty(),
            "what errors does {name} have?"
        );
        for errno in errnos {
            // Nobody is interrupted for ever, and whoever is tries for ever.
            let for_ever = |when: &&When| matches!(when, When::FromNthOn(_)) && *errno == "EINTR";
            let of_this = whens.iter().filter(|when| !for_ever(when));
            cases.extend(of_this.map(|when| case(scenario, name, *when, Fault::Error(errno))));
        }
    }
    cases
}

fn case(scenario: &'static Scenario, call: &str, when: When, fault: Fault) -> Case {
    let call = call.to_owned();
    Case {
        scenario,
        injection: Injection { call, when, fault },
    }
}

/// An interruption at every call that knows one.
fn interruptions_of(scenario: &'static Scenario, calls: &Calls) -> Vec<Case> {
    let mut cases = errors_of(scenario, calls);
    cases.retain(|case| {
        let Injection { call, fault, .. } = &case.injection;
        // A connection is not asked for again, the request is; that is for the pass to decide.
        *fault == Fault::Error("EINTR") && call != "connect"
    });
    cases
}

/// Runs the cases that come from every scenario's calls, or some of them.
fn sweep(
    given: Given,
    (expected, cases_max): (Expected, usize),
    cases_of: impl Fn(&'static Scenario, &Calls) -> Vec<Case>,
) -> Ended {
    if let Err(why) = strace::find() {
        return Ended::Skipped(why);
    }
    let mut cases = Vec::new();
    let (mut calls_total, mut before_main, mut masked) = (0, 0, 0);
    for scenario in SCENARIOS {
        let calls = calls_of(scenario);
        for hits in calls.values() {
            calls_total += hits.len();
            before_main += hits.iter().filter(|hit| hit.before_main).count();
            masked += hits.iter().filter(|hit| hit.own && hit.before_main).count();
        }
        cases.extend(cases_of(scenario, &calls));
    }
    let of = cases.len();
    Chance::new(given.seed).shuffle(&mut cases);
    cases.truncate(cases_max);
    let tally = Tally::default();
    let next = Mutex::new(cases.iter());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let Some(case) = next.lock().unwrap().next() else {
                        return;
                    };
                    tally.take(case, expected);
                }
            });
        }
    });
    tally.ended(&format!(
        "{} scenarios, {calls_total} calls ({before_main} come before main and are only killed at, {masked} of a thread share their number with one of these), of {of} cases",
        SCENARIOS.len()
    ))
}

/// The calls of an undisturbed run: of three, because threads make them vary.
fn calls_of(scenario: &'static Scenario) -> Calls {
    let mut all = Calls::new();
    for _ in 0..3 {
        let prepared = (scenario.prepare)();
        let traced = run(scenario, &prepared, None);
        assert_eq!(
            traced.output.status.code(),
            Some(scenario.code),
            "{}",
            scenario.name
        );
        check(scenario, prepared, &traced, (Expected::AsUndisturbed, None));
        for (name, hits) in strace::calls(&traced.log) {
            let known = all.entry(name).or_default();
            known.resize(known.len().max(hits.len()), Hits::default());
            for (known, hit) in known.iter_mut().zip(hits) {
                known.own |= hit.own;
                known.before_main |= hit.before_main;
            }
        }
    }
    all
}

fn run(scenario: &Scenario, prepared: &Prepared, injection: Option<&Injection>) -> Traced {
    let (args, stdin) = (scenario.args, scenario.stdin);
    strace::run(&prepared.sandbox, scenario.follow, injection, args, stdin)
}

impl Tally {
    fn take(&self, case: &Case, expected: Expected) {
        self.cases.fetch_add(1, Ordering::Relaxed);
        let name = format!("{} {}", case.scenario.name, case.injection);
        let tried = catch_unwind(AssertUnwindSafe(|| self.fires(case, expected)));
        match tried {
            Ok(true) => {}
            Ok(false) => self.unfired.lock().unwrap().push(name),
            Err(panic) => {
                let words = panic.downcast_ref::<String>().cloned();
                let words = words.or_else(|| panic.downcast_ref::<&str>().map(|w| (*w).to_owned()));
                let words = words.unwrap_or_default();
                self.failed.lock().unwrap().push(format!("{name}: {words}"));
            }
        }
    }

    /// Whether the fault came to be; panics if the promise did not hold.
    fn fires(&self, case: &Case, expected: Expected) -> bool {
        for _ in 0..TRIES_MAX {
            let prepared = (case.scenario.prepare)();
            let traced = run(case.scenario, &prepared, Some(&case.injection));
            let sign = match case.injection.fault {
                Fault::Kill => "killed by SIGKILL",
                Fault::Error(_) => "(INJECTED)",
            };
            let fired = traced.log.contains(sign);
            let (how, twice) = check(
                case.scenario,
                prepared,
                &traced,
                (expected, Some(&case.injection)),
            );
            if fired {
                self.twice.fetch_add(twice, Ordering::Relaxed);
                self.twice_max.fetch_max(twice, Ordering::Relaxed);
                let count = match how {
                    How::AsDocumented => return true,
                    How::OutOfMemory => &self.out_of_memory,
                    How::FolderClose => &self.folder_close,
                };
                count.fetch_add(1, Ordering::Relaxed);
                return true;
            }
        }
        false
    }

    fn ended(self, what: &str) -> Ended {
        let (failed, unfired) = (
            self.failed.into_inner().unwrap(),
            self.unfired.into_inner().unwrap(),
        );
        assert!(
            failed.is_empty(),
            "{} cases failed:\n{}",
            failed.len(),
            failed.join("\n")
        );
        // Whether a thread has to wait for another differs from run to run.
        let is_wait = |name: &&String| name.contains(" futex:");
        let (waits, others): (Vec<&String>, Vec<&String>) = unfired.iter().partition(is_wait);
        assert!(others.is_empty(), "never fired: {others:?}");
        let cases = self.cases.into_inner() - waits.len();
        Ended::Held(format!(
            "{what}: {cases} cases, all fired but {} waits for a thread that were not needed again, 0 failed, {} events twice (at most {} in a case), {} out of memory, {} std's panic over the close of a folder",
            waits.len(),
            self.twice.into_inner(),
            self.twice_max.into_inner(),
            self.out_of_memory.into_inner(),
            self.folder_close.into_inner(),
        ))
    }
}
