//! Stopped and resumed: a pass that is suspended at any moment, in the guard of the truncation too, and
//! others that hold a lock and hang.
//!
//! What must not wait for a stopped process ends while it is still stopped; no clock has to be asked.
//! The suspend of a whole machine is not tried: nothing here may put it to sleep.

use crate::chance::Chance;
use crate::in_flight::{Arrivals, Run, connection_string};
use crate::kit::{BUFFER, Sandbox, event, events};
use crate::oracle::{Allowed, Appended, account, nothing_is_left};
use crate::passes::PATIENT;
use crate::tools;
use crate::writers::{Recipe, line};
use crate::{Ended, Given};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Lines for one pass: more than one request takes, so that there is something to stop in.
const LINES: usize = 120;

/// What the rounds brought.
#[derive(Default)]
struct Seen {
    stopped: usize,
    killed: usize,
    /// Stopped while it held lock and lease.
    in_guard: usize,
    /// Records that went to the other buffer, which happens in the guard only.
    late: usize,
    /// The longest that a hook and a second uploader took beside the stopped one.
    hook: Duration,
    second: Duration,
}

/// Stops passes, and hangs those who hold locks.
pub fn stop_resume(given: Given) -> Ended {
    let seen = stopped_anywhere(given);
    let held = held_buffer();
    held_uploader();
    Ended::Held(format!(
        "{} passes stopped, {} of them in the guard, {} resumed and {} killed: 0 lost; beside them a hook took \
         {} ms at most ({} went to the other buffer), a second uploader {} ms; a hung holder of the buffer's lock: \
         {held}; of the uploader's: others leave with 0; the suspend of a machine is not tried",
        seen.stopped,
        seen.in_guard,
        seen.stopped - seen.killed,
        seen.killed,
        seen.hook.as_millis(),
        seen.late,
        seen.second.as_millis(),
    ))
}

/// Passes are stopped at any moment; beside them a hook appends and another uploader starts.
fn stopped_anywhere(given: Given) -> Seen {
    let rounds = given.size.pick(40, 2000);
    let mut chance = Chance::new(given.seed);
    let sandbox = Sandbox::new().dated();
    sandbox.write("config.json", PATIENT);
    let (mut seen, mut arrivals) = (Seen::default(), Arrivals::default());
    let appended = Appended::default();
    let usual = one_pass(&sandbox, &appended, &mut arrivals);
    for run in 1.. {
        // The guard lasts microseconds; it has to be hit once at least.
        if run > rounds && (seen.in_guard > 0 || run > rounds * 10) {
            break;
        }
        append_lines(&sandbox, &appended, run, LINES);
        let child = start(&sandbox, run);
        let pid = Pid::from_child(&child);
        if chance.percent(50) {
            std::thread::sleep(chance.up_to(usual));
        } else {
            wait_until_shorter(&sandbox, &child);
        }
        kill_process(pid, Signal::STOP).unwrap();
        if !stands_still(pid) {
            assert_eq!(ended(&sandbox, child).status.code(), Some(0));
            arrivals.take(&sandbox, &appended);
            continue;
        }
        seen.stopped += 1;
        let lockless = beside(&sandbox, &appended, run, &mut seen);
        assert!(stands_still(pid), "it was stopped all the while");
        if chance.percent(50) {
            seen.killed += 1;
            arrivals.killed(run, 1);
            kill_process(pid, Signal::KILL).unwrap();
            ended(&sandbox, child);
        } else {
            kill_process(pid, Signal::CONT).unwrap();
            assert_eq!(ended(&sandbox, child).status.code(), Some(0));
        }
        lockless.join().unwrap();
        appended.done(&format!("l{run}"));
        arrivals.take(&sandbox, &appended);
    }
    let (code, ..) = sandbox.flush().left("").outputs();
    assert_eq!(code, 0);
    arrivals.take(&sandbox, &appended);
    arrivals.account(&appended);
    nothing_is_left(&sandbox);
    assert!(seen.stopped > seen.killed && seen.killed > 0);
    // What the guard keeps out neither waits for it nor is lost.
    assert_eq!(seen.late, seen.in_guard);
    assert!(seen.in_guard > 0, "nothing guards the truncation");
    seen
}

/// A hook, a second uploader and a writer that knows no lock, while a pass is stopped. In the guard the
/// writer waits, and what it writes must not be cut off with the rest.
fn beside(sandbox: &Sandbox, appended: &Appended, run: Run, seen: &mut Seen) -> JoinHandle<()> {
    let in_guard = is_guarded(sandbox);
    seen.in_guard += usize::from(in_guard);
    let id = format!("h{run}");
    let property = format!("eventId={id}");
    let known = serde_json::json!({"eventType": "cli_command", "eventId": id});
    appended.intend(&id, &known.to_string());
    let begun = Instant::now();
    sandbox
        .run(&["record", "cli_command", "--verbose", "--prop", &property])
        .stdout(&format!("recorded event {id}"))
        .code(0);
    seen.hook = seen.hook.max(begun.elapsed());
    appended.done(&id);
    let late = sandbox.read("telemetry-events-late.jsonl");
    seen.late += usize::from(late.contains(&format!("\"{id}\"")));
    let begun = Instant::now();
    let second = sandbox.command(&[]).output().unwrap();
    seen.second = seen.second.max(begun.elapsed());
    assert_eq!(second.status.code(), Some(0), "{second:?}");
    let id = format!("l{run}");
    let line = line(&id, 0);
    appended.intend(&id, &line);
    let recipe = Recipe::Lockless(sandbox.path(BUFFER));
    std::thread::spawn(move || recipe.append(&line))
}

/// Someone who holds the buffer's lock and hangs: the sending goes on, and the file shrinks afterwards.
fn held_buffer() -> String {
    let refused = r#"{"items":[{"index":3,"statusCode":500,"message":"x"}]}"#;
    let sandbox = Sandbox::scripted(&format!("{refused}\n{refused}"));
    let appended = Appended::default();
    append_lines(&sandbox, &appended, 0, LINES);
    let Some(mut holder) = hung_locker(&sandbox) else {
        return "there is no flock here".to_owned();
    };
    let before = fs::metadata(sandbox.path(BUFFER)).unwrap().len();
    let args = ["--flush", "--attempts", "1"];
    let pass = || sandbox.run(&args).outputs().0;
    // What it keeps is appended again without the lock, and nothing is truncated.
    pass();
    let delivered = sandbox.delivered().len();
    assert!(delivered >= LINES - 2, "the sending goes on: {delivered}");
    let length = fs::metadata(sandbox.path(BUFFER)).unwrap().len();
    assert!(length > before, "{length} bytes after {before}");
    append_lines(&sandbox, &appended, 1, 5);
    pass();
    assert!(sandbox.delivered().len() >= LINES + 5 - 2);

    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(pass(), 0);
    account(&sandbox, &appended, Allowed::default()).to_string()
}

/// A pass that hangs with the uploader's lock: others leave with 0 and send nothing; when it is killed the
/// next one takes over.
fn held_uploader() {
    let (sandbox, gate) = Sandbox::gated();
    sandbox.write("config.json", PATIENT);
    let sandbox = sandbox.line(&event("a"));
    let holder = sandbox.spawn(&[]);
    sandbox.wait_for_post();
    let pid = Pid::from_child(&holder);
    kill_process(pid, Signal::STOP).unwrap();
    assert!(stands_still(pid));
    sandbox.append(events(0..3).concat());
    for args in [&[][..], &["--flush"], &["--detach"]] {
        let other = sandbox.command(args).output().unwrap();
        assert_eq!(other.status.code(), Some(0), "{other:?}");
    }
    assert_eq!(sandbox.posts(), 1, "nobody else sends");
    assert_eq!(sandbox.detached(), [0; 0], "no process is left");
    kill_process(pid, Signal::KILL).unwrap();
    ended(&sandbox, holder);
    gate.open();
    sandbox.flush().stdout("sent 4 events").left("").code(0);
}

/// A process that has the buffer's lock and does not move any more.
fn hung_locker(sandbox: &Sandbox) -> Option<Child> {
    let (bash, _) = (tools::find("bash")?, tools::find("flock")?);
    let child = Command::new(bash)
        .args(["-c", "exec 9>>\"$0\"; flock 9; kill -STOP $$"])
        .arg(sandbox.path(BUFFER))
        .spawn()
        .unwrap();
    assert!(stands_still(Pid::from_child(&child)));
    Some(child)
}

fn append_lines(sandbox: &Sandbox, appended: &Appended, run: Run, count: usize) {
    for n in 0..count {
        let id = format!("{run}-{n}");
        let line = line(&id, 0);
        appended.intend(&id, &line);
        sandbox.append(line + "\n");
        appended.done(&id);
    }
}

fn start(sandbox: &Sandbox, run: Run) -> Child {
    sandbox
        .command(&["--lanes", "1"])
        .env(
            "APPLICATIONINSIGHTS_CONNECTION_STRING",
            connection_string(sandbox, run),
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A whole pass that nobody stops, and how long it takes.
fn one_pass(sandbox: &Sandbox, appended: &Appended, arrivals: &mut Arrivals) -> Duration {
    append_lines(sandbox, appended, 0, LINES);
    let begun = Instant::now();
    assert_eq!(ended(sandbox, start(sandbox, 0)).status.code(), Some(0));
    arrivals.take(sandbox, appended);
    begun.elapsed()
}

fn ended(sandbox: &Sandbox, child: Child) -> Output {
    let output = sandbox.wait(child);
    assert!(output.stdout.is_empty() && output.stderr.is_empty());
    output
}

/// Until the pass truncates: whoever is stopped at this moment may still be in the guard, because the
/// length changes before the call returns.
fn wait_until_shorter(sandbox: &Sandbox, child: &Child) {
    let path = sandbox.path(BUFFER);
    let length = || fs::metadata(&path).map_or(0, |found| found.len());
    let before = length();
    let state = format!("/proc/{}/stat", child.id());
    let mut looks = 0_u32;
    while length() >= before {
        looks += 1;
        // It is seldom looked whether it lives, or the moment would be missed.
        if looks.is_multiple_of(1000) && is_over(&state) {
            return;
        }
    }
}

fn is_over(state: &str) -> bool {
    fs::read_to_string(state).is_ok_and(|stat| stat.contains(") Z "))
}

/// Waits until the process is stopped, or over.
fn stands_still(pid: Pid) -> bool {
    let state = format!("/proc/{}/stat", pid.as_raw_nonzero());
    loop {
        let stat = fs::read_to_string(&state).unwrap();
        // Every one of its threads: the first one stops for all of them.
        if stat.contains(") T ") {
            return true;
        }
        if stat.contains(") Z ") {
            return false;
        }
        std::thread::yield_now();
    }
}

/// Whether somebody holds the lease: an open that does not wait is refused then.
fn is_guarded(sandbox: &Sandbox) -> bool {
    let opened = File::options()
        .append(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(sandbox.path(BUFFER));
    opened.is_err_and(|err| err.kind() == ErrorKind::WouldBlock)
}
