//! The real binary, killed again and again at any moment, while 64 writers append, half of them without
//! a lock, and the server loses, refuses and postpones what it likes.

use crate::chance::Chance;
use crate::kit::Sandbox;
use crate::oracle::Appended;
use crate::passes::{Kill, NARROW, PATIENT, Passes, WIDE, WIDE_AND_FULL};
use crate::writers::{Grants, Pace, Recipe, line, write};
use crate::{Ended, Given};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::mpsc::channel;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

const WRITERS: usize = 64;

/// Ends the writers, even if the trial fails.
struct LastGrant<'a>(&'a Grants);

impl Drop for LastGrant<'_> {
    fn drop(&mut self) {
        self.0.no_more();
    }
}

/// Kills, 5 % of the items refused for now, some for good, 2 % of the requests answered 503.
pub fn kills(given: Given) -> Ended {
    let kills = given.size.pick(300, 10_000);
    let mut chance = Chance::new(given.seed);
    let (tell, hear) = channel();
    let script = moody(&mut chance, kills * 10);
    let sandbox = Sandbox::acting(&script, move |moment, _, _| {
        // Nobody listens any more once the trial is over.
        let _ = tell.send(moment);
    });
    let sandbox = ready(sandbox);
    let pass = usual_pass();
    let recipes = Recipe::mixed(&sandbox, WRITERS);
    let (appended, grants) = (Appended::default(), Grants::none_yet());
    let mut passes = Passes::new(chance.clone(), [NARROW, WIDE]);
    let pace = Pace::Granted(&grants, pass);
    let slowest = std::thread::scope(|scope| {
        let last_grant = LastGrant(&grants);
        let choices = chance.clone();
        let start = |(name, recipe)| {
            let (chance, appended) = (choices.of(name), &appended);
            scope.spawn(move || write(recipe, name, pace, chance, appended))
        };
        let writers: Vec<_> = recipes.iter().enumerate().map(start).collect();
        while passes.killed < kills {
            grants.more(chance.within(0..32));
            passes.one(&sandbox, &appended, &Kill::Somewhere(pass * 3 / 2, &hear));
        }
        drop(last_grant);
        let slowest = writers.into_iter().map(|writer| writer.join().unwrap());
        slowest.max().unwrap()
    });
    passes.end(&sandbox, &appended, slowest)
}

/// Much, as fast as it can be written, while uploaders run one after the other.
pub fn volume(given: Given) -> Ended {
    volume_with(given, &Kill::Never)
}

/// The same while they are killed.
pub fn volume_and_kills(given: Given) -> Ended {
    volume_with(given, &Kill::Within(usual_pass() * 3))
}

fn volume_with(given: Given, kill: &Kill) -> Ended {
    let pace = Pace::Lines(given.size.pick(50, 10_000));
    let chance = Chance::new(given.seed);
    let sandbox = ready(Sandbox::new());
    let recipes = Recipe::mixed(&sandbox, WRITERS);
    let appended = Appended::default();
    let mut passes = Passes::new(chance.clone(), [NARROW, WIDE_AND_FULL]);
    let slowest = std::thread::scope(|scope| {
        let start = |(name, recipe)| {
            let (chance, appended) = (chance.of(name), &appended);
            scope.spawn(move || write(recipe, name, pace, chance, appended))
        };
        let writers: Vec<_> = recipes.iter().enumerate().map(start).collect();
        while !writers.iter().all(ScopedJoinHandle::is_finished) {
            passes.one(&sandbox, &appended, kill);
        }
        let slowest = writers.into_iter().map(|writer| writer.join().unwrap());
        slowest.max().unwrap()
    });
    let delivered = |sandbox: &Sandbox| sandbox.state("totals")["delivered"].clone();
    let ended = passes.end(&sandbox, &appended, slowest);
    if matches!(kill, Kill::Never) {
        // Nobody took the passes' own books away from them.
        assert_eq!(delivered(&sandbox), json!(appended.count()));
    }
    ended
}

/// How long a pass over one line takes on this machine, now: 10 ms, or several times that.
fn usual_pass() -> Duration {
    let sandbox = ready(Sandbox::new());
    let mut times: Vec<Duration> = (0..9)
        .map(|n| {
            let sandbox = &sandbox;
            sandbox.append(line(&n.to_string(), 0) + "\n");
            let begun = Instant::now();
            sandbox.run(&[]).left("").code(0);
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

fn ready(sandbox: Sandbox) -> Sandbox {
    let sandbox = sandbox.dated();
    sandbox.write("config.json", PATIENT);
    sandbox
}

/// A server for so many requests that answers 2 % of them 503, postpones 5 % of the items of the others,
/// and refuses one in five hundred for good.
fn moody(chance: &mut Chance, requests: usize) -> String {
    let mut script = String::new();
    for _ in 0..requests {
        if chance.percent(2) {
            script += "{\"status\":503}\n";
            continue;
        }
        let mut places = BTreeSet::new();
        while places.len() < 5 {
            places.insert(chance.within(0..100));
        }
        let mut items: Vec<_> = places
            .iter()
            .map(|index| json!({"index": index, "statusCode": 500, "message": "Internal Server Error"}))
            .collect();
        let place = chance.within(0..100);
        if chance.percent(20) && !places.contains(&place) {
            let message =
                "100: Field 'name' on type 'EventData' is too long. Expected: 512 characters";
            items.push(json!({"index": place, "statusCode": 400, "message": message}));
        }
        script += &format!("{}\n", json!({"items": items, "every": 100}));
    }
    script
}
