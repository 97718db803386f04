//! The real binary, killed again and again at any moment, while 64 writers append, half of them without
//! a lock, and the server loses, refuses and postpones what it likes.

use crate::chance::Chance;
use crate::in_flight::{Arrivals, Run, connection_string};
use crate::kit::{BUFFER, Sandbox};
use crate::oracle::{Appended, nothing_is_left};
use crate::writers::{Grants, Pace, Recipe, line, write};
use crate::{Ended, Given};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use telemetry_upload::emulator::Moment;

const WRITERS: usize = 64;

/// What one request can hold.
const BATCH: usize = 100;

/// A pass without optimisation that streams: several times what it takes, and a small part of what it
/// would take to hold a backlog of the volume's size.
const MEMORY_KB_MAX: u64 = 48 * 1024;

/// No limit of a pass but those of a request is to play a part here.
const CONFIG: &str =
    r#"{"limits":{"requestTimeoutMs":100000,"deadlineS":3000,"bufferBytes":4000000000}}"#;

/// When a run is killed.
enum Kill<'a> {
    /// Up to this long after its start, or a moment after one of its requests.
    Somewhere(Duration, &'a Receiver<Moment>),
    /// Up to this long after its start.
    Within(Duration),
    Never,
}

/// The passes over one sandbox so far.
struct Passes {
    run: Run,
    killed: usize,
    /// Killed between the truncation and the commit that follows it.
    truncating: usize,
    memory_kb: u64,
    arrivals: Arrivals,
    chance: Chance,
}

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
    let (tell, hear): (Sender<Moment>, _) = channel();
    let script = moody(&mut chance, kills * 10);
    let sandbox = Sandbox::acting(&script, move |moment, _, _| {
        // Nobody listens any more once the trial is over.
        let _ = tell.send(moment);
    });
    let sandbox = ready(sandbox);
    let pass = usual_pass();
    let recipes = Recipe::mixed(&sandbox, WRITERS);
    let (appended, grants) = (Appended::default(), Grants::none_yet());
    let mut passes = Passes::new(chance.clone());
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
    let mut passes = Passes::new(chance.clone());
    let slowest = std::thread::scope(|scope| {
        let start = |(name, recipe)| {
            let (chance, appended) = (chance.of(name), &appended);
            scope.spawn(move || write(recipe, name, pace, chance, appended))
        };
        let writers: Vec<_> = recipes.iter().enumerate().map(start).collect();
        while !writers.iter().all(|writer| writer.is_finished()) {
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
    sandbox.write("config.json", CONFIG);
    sandbox
}

impl Passes {
    fn new(chance: Chance) -> Passes {
        Passes {
            run: 0,
            killed: 0,
            truncating: 0,
            memory_kb: 0,
            arrivals: Arrivals::default(),
            chance,
        }
    }

    /// Runs a pass, and kills it or not.
    fn one(&mut self, sandbox: &Sandbox, appended: &Appended, kill: &Kill) {
        self.run += 1;
        if let Kill::Somewhere(_, moments) = kill {
            moments.try_iter().for_each(drop);
        }
        // With one attempt what is postponed is appended again, with more it is tried again first.
        let attempts = if self.chance.percent(70) { "1" } else { "3" };
        let mut args = vec!["--attempts", attempts, "--pause-ms", "1"];
        args.extend(self.chance.percent(30).then_some("--flush"));
        let mut child = sandbox
            .command(&args)
            .env(
                "APPLICATIONINSIGHTS_CONNECTION_STRING",
                connection_string(sandbox, self.run),
            )
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let status = self.see_off(&mut child, kill);
        if status.signal() == Some(9) {
            self.killed += 1;
            self.arrivals.killed(self.run);
            self.truncating += usize::from(is_truncating(sandbox));
        } else {
            assert!(matches!(status.code(), Some(0 | 75)), "{status}");
        }
        self.arrivals.take(sandbox, appended);
    }

    /// Waits for the end of a run, or makes it.
    fn see_off(&mut self, child: &mut Child, kill: &Kill) -> ExitStatus {
        match kill {
            Kill::Somewhere(most, moments) if self.chance.percent(50) => {
                let moment = usize::try_from(self.chance.within(1..10)).unwrap();
                // As far as the pass comes: it may have nothing to send.
                let came = (0..moment).map_while(|_| moments.recv_timeout(*most).ok());
                came.for_each(drop);
                std::thread::sleep(self.chance.up_to(*most / 10));
            }
            Kill::Somewhere(most, _) | Kill::Within(most) => {
                std::thread::sleep(self.chance.up_to(*most));
            }
            Kill::Never => loop {
                self.look_at_memory(child);
                if let Some(status) = child.try_wait().unwrap() {
                    return status;
                }
                std::thread::sleep(Duration::from_millis(1));
            },
        }
        self.look_at_memory(child);
        child.kill().unwrap();
        child.wait().unwrap()
    }

    /// The peak so far, as long as there is a process.
    fn look_at_memory(&mut self, child: &Child) {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
        let status = status.unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse().ok());
        self.memory_kb = self.memory_kb.max(peak.unwrap_or_default());
    }

    /// The last pass, to an honest server, and the account of everything.
    fn end(mut self, sandbox: &Sandbox, appended: &Appended, slowest: Duration) -> Ended {
        let honest = Sandbox::new();
        self.run += 1;
        let place = connection_string(&honest, self.run);
        let begun = Instant::now();
        let last = sandbox.run(&["--flush", "--json", "--connection-string", &place]);
        let (code, stdout, stderr) = last.left("").outputs();
        assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
        let last = begun.elapsed();
        self.arrivals.take(&honest, appended);
        self.arrivals.take(sandbox, appended);
        let figures = self.arrivals.account(appended);
        nothing_is_left(sandbox);
        assert!(figures.twice <= self.killed * BATCH, "{figures:?}");
        assert!(self.memory_kb <= MEMORY_KB_MAX, "{} KB", self.memory_kb);
        #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
        let per_kill = figures.twice as f64 / self.killed.max(1) as f64;
        Ended::Held(format!(
            "{} kills ({} repeated something, {} between truncation and commit) in {} runs, {} requests, {} events: \
             0 lost, 0 invented, 0 corrupt, {} refused and written down, {} twice ({per_kill:.1} per kill); \
             slowest append {:.1} ms, peak memory {} MB, last pass {:.1} s",
            self.killed,
            figures.repeating,
            self.truncating,
            self.run,
            self.arrivals.requests,
            figures.events,
            figures.refused,
            figures.twice,
            slowest.as_secs_f64() * 1e3,
            self.memory_kb / 1024,
            last.as_secs_f64(),
        ))
    }
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

/// Whether the buffer is shorter than its cursor says it is delivered.
fn is_truncating(sandbox: &Sandbox) -> bool {
    let cursor = sandbox.read(&format!("upload/{BUFFER}.cursor"));
    let number = |line: &str, name: &str| -> Option<u64> {
        let (_, rest) = line.split_once(name)?;
        rest.split(' ').next()?.parse().ok()
    };
    let slots = cursor.lines();
    let newest = slots
        .filter_map(|line| Some((number(line, "seq=")?, number(line, "offset=")?)))
        .max();
    let size = fs::metadata(sandbox.path(BUFFER)).map_or(0, |found| found.len());
    newest.is_some_and(|(_, offset)| size < offset)
}
