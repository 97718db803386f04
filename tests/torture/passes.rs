//! Passes over one sandbox, killed or not, and their account.

use crate::Ended;
use crate::chance::Chance;
use crate::in_flight::{Arrivals, Run, connection_string};
use crate::kit::{BUFFER, Sandbox};
use crate::oracle::{Appended, nothing_is_left};
use crate::writers::line;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use telemetry_upload::emulator::Moment;

/// How much is under way at once.
#[derive(Clone, Copy, Debug)]
pub struct Width {
    events: usize,
    lanes: usize,
}

/// One full batch after the other.
pub const NARROW: Width = Width {
    events: 100,
    lanes: 1,
};

/// Batches so small that a few dozen lines deserve several lanes.
pub const WIDE: Width = Width {
    events: 3,
    lanes: 20,
};

/// Full batches, many at once where there is a backlog.
pub const WIDE_AND_FULL: Width = Width {
    events: 100,
    lanes: 20,
};

/// No time limit plays a part, however busy the machine, and no cap, however large the volume.
pub const PATIENT: &str = r#"{"limits":{"requestTimeoutMs":170000,"connectTimeoutMs":170000,"deadlineS":3000,"bufferBytes":4000000000,"gatherS":1}}"#;

/// A pass without optimisation that streams: several times what it takes, and a small part of what it
/// would take to hold a backlog of the volume's size.
const MEMORY_KB_MAX: u64 = 48 * 1024;

/// When a run is killed.
pub enum Kill<'a> {
    /// Up to this long after its start, or a moment after one of its requests.
    Somewhere(Duration, &'a Receiver<Moment>),
    /// Up to this long after its start.
    Within(Duration),
    Never,
}

/// The passes over one sandbox so far.
pub struct Passes {
    run: Run,
    pub killed: usize,
    /// Killed between the truncation and the commit that follows it.
    truncating: usize,
    memory_kb: u64,
    arrivals: Arrivals,
    chance: Chance,
    widths: [Width; 2],
    /// What may have come twice: with each kill what was under way.
    twice_max: usize,
}

impl Passes {
    /// Passes of these widths, by chance.
    pub fn new(chance: Chance, widths: [Width; 2]) -> Passes {
        Passes {
            run: 0,
            killed: 0,
            truncating: 0,
            memory_kb: 0,
            arrivals: Arrivals::default(),
            chance,
            widths,
            twice_max: 0,
        }
    }

    /// Runs a pass, and kills it or not.
    pub fn one(&mut self, sandbox: &Sandbox, appended: &Appended, kill: &Kill) {
        self.run += 1;
        if let Kill::Somewhere(_, moments) = kill {
            moments.try_iter().for_each(drop);
        }
        // With one attempt what is postponed is appended again, with more it is tried again first.
        let attempts = if self.chance.percent(70) { "1" } else { "3" };
        let width = self.widths[usize::from(self.chance.percent(50))];
        let (events, lanes) = (width.events.to_string(), width.lanes.to_string());
        let mut args = vec!["--attempts", attempts, "--pause-ms", "1"];
        args.extend(["--request-events", &events, "--lanes", &lanes]);
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
            self.arrivals.killed(self.run, width.lanes);
            self.twice_max += width.events * width.lanes;
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
    pub fn end(mut self, sandbox: &Sandbox, appended: &Appended, slowest: Duration) -> Ended {
        // It has something to do, and so takes up whatever a kill has left lying about.
        let line = line("last", 0);
        appended.intend("last", &line);
        sandbox.append(line + "\n");
        appended.done("last");
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
        assert!(figures.twice <= self.twice_max, "{figures:?}");
        assert!(self.memory_kb <= MEMORY_KB_MAX, "{} KB", self.memory_kb);
        #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
        let per_kill = figures.twice as f64 / self.killed.max(1) as f64;
        Ended::Held(format!(
            "{} kills ({} repeated something, {} between truncation and commit) in {} runs, {} requests, {} events: \
             0 lost, 0 invented, 0 corrupt, {} refused and written down, {} twice ({per_kill:.1} per kill, {} of them in no batch that was in flight); \
             slowest append {:.1} ms, peak memory {} MB, last pass {:.1} s",
            self.killed,
            figures.repeating,
            self.truncating,
            self.run,
            self.arrivals.requests,
            figures.events,
            figures.refused,
            figures.twice,
            figures.unexplained,
            slowest.as_secs_f64() * 1e3,
            self.memory_kb / 1024,
            last.as_secs_f64(),
        ))
    }
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
