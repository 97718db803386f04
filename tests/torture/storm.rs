//! A thousand at once: uploaders, hooks and recorders, while one pass holds a slow server, and without.

use crate::kit::{BUFFER, Sandbox, event};
use crate::oracle::{Account, Allowed, Appended, account};
use crate::passes::PATIENT;
use crate::{Ended, Given};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use telemetry_upload::emulator::Moment;

/// One that does nothing takes a process's start; one of ours that leaves may take this many of them.
const STARTS_MAX: f64 = 15.0;

/// Longer than any of them takes, however busy the machine.
const HUNG: Duration = Duration::from_secs(120);

/// The storm, and how it ends.
pub fn storm(given: Given) -> Ended {
    let count = given.size.pick(100, 1000);
    let starts = at_once((0..count).map(|_| Command::new("/bin/true")));
    let (losers, held) = while_one_sends(count);
    let ratio = losers.as_secs_f64() / starts.as_secs_f64();
    assert!(ratio < STARTS_MAX, "{losers:?}, and {starts:?} for nothing");
    let cold = all_begin(count);
    let (passes, recorded) = all_record(count);
    Ended::Held(format!(
        "{count} uploaders beside a busy one left in {:.2} s ({count} starts of a program that does nothing: \
         {:.2} s), 1 request under way at most; beside it {count} hooks and recorders: {held}; {count} \
         uploaders at once: {cold}; {count} recorders that start passes: {recorded}, {passes} passes",
        losers.as_secs_f64(),
        starts.as_secs_f64(),
    ))
}

/// One pass waits for its reply all the while.
fn while_one_sends(count: usize) -> (Duration, Account) {
    let (sandbox, gate) = Sandbox::gated();
    sandbox.write("config.json", PATIENT);
    let sandbox = sandbox.dated().line(&event("first"));
    let holder = sandbox.spawn(&[]);
    sandbox.wait_for_post();

    let uploader = |_| sandbox.command(&[]);
    let losers = at_once((0..count).map(uploader));

    let payloads = tempfile::tempdir().unwrap();
    let others = (0..count).map(|n| match n % 3 {
        0 => uploader(n),
        1 => recorder(&sandbox, n),
        _ => hook(&sandbox, payloads.path(), n),
    });
    at_once(others);
    let begun = *sandbox.server.connections.lock().unwrap();
    assert_eq!((begun, sandbox.posts()), (1, 1), "one sends, and no other");
    assert_eq!(sandbox.detached(), [0; 0], "no process is left");

    let appended = noted(&sandbox);
    let of_others = (0..count).filter(|n| n % 3 != 0).count();
    assert_eq!(appended.count(), 1 + of_others, "what was recorded");
    gate.open();
    let output = sandbox.wait(holder);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    (losers, account(&sandbox, &appended, Allowed::default()))
}

/// Nobody is at work, and all begin in the same moment.
fn all_begin(count: usize) -> Account {
    let (sandbox, most) = counting();
    let lines: String = (0..250).map(|n| event(&n.to_string()) + "\n").collect();
    sandbox.append(lines);
    let appended = noted(&sandbox);
    at_once((0..count).map(|_| sandbox.command(&[])));
    assert_eq!(most.load(Ordering::SeqCst), 1, "requests at the same time");
    account(&sandbox, &appended, Allowed::default())
}

/// Each records an event and wants a pass. Returns how many passes there were.
fn all_record(count: usize) -> (usize, Account) {
    let (sandbox, most) = counting();
    at_once((0..count).map(|n| recorder(&sandbox, n)));
    sandbox.wait_for_delivered(count);
    sandbox.wait_for_quiet();
    assert_eq!(most.load(Ordering::SeqCst), 1, "requests at the same time");
    let appended = Appended::default();
    for id in (0..count).map(|n| format!("r{n}")) {
        let known = json!({"eventType": "cli_command", "eventId": id, "platform": "linux"});
        appended.intend(&id, &known.to_string());
        appended.done(&id);
    }
    let log = sandbox.read("upload/upload.log");
    let account = account(&sandbox, &appended, Allowed::default());
    assert!(log.lines().count() < count, "a pass for each event");
    (log.lines().count(), account)
}

/// A server that counts how many requests were under way at the same time at most.
fn counting() -> (Sandbox, Arc<AtomicUsize>) {
    let (now, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let sandbox = Sandbox::acting("", move |moment, _, _| match moment {
        Moment::Receiving => {
            let under_way = now.fetch_add(1, Ordering::SeqCst) + 1;
            seen.fetch_max(under_way, Ordering::SeqCst);
        }
        Moment::Judged => {}
        Moment::Replied => {
            now.fetch_sub(1, Ordering::SeqCst);
        }
    });
    sandbox.write("config.json", PATIENT);
    (sandbox.dated(), most)
}

fn recorder(sandbox: &Sandbox, n: usize) -> Command {
    let id = format!("eventId=r{n}");
    sandbox.command(&["record", "cli_command", "--prop", &id, "--spawn"])
}

/// Begins a session, after which a pass is wanted.
fn hook(sandbox: &Sandbox, payloads: &Path, n: usize) -> Command {
    let payload = payloads.join(n.to_string());
    let text = json!({"session_id": format!("s{n}"), "hook_event_name": "SessionStart", "source": "startup"});
    fs::write(&payload, text.to_string()).unwrap();
    let mut command = sandbox.command(&["hook", "--host", "claude"]);
    command.stdin(File::open(payload).unwrap());
    command
}

/// What stands in the buffer now.
fn noted(sandbox: &Sandbox) -> Appended {
    let appended = Appended::default();
    for line in sandbox.read(BUFFER).lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let id = event["eventId"].as_str().unwrap();
        appended.intend(id, line);
        appended.done(id);
    }
    appended
}

/// Starts all and waits for all, who end with 0 and say nothing; how long it took.
fn at_once(commands: impl Iterator<Item = Command>) -> Duration {
    let said = tempfile::NamedTempFile::new().unwrap();
    let output = || Stdio::from(said.reopen().unwrap());
    let commands: Vec<Command> = commands
        .map(|mut command| {
            command.stdout(output()).stderr(output());
            command
        })
        .collect();
    let count = commands.len();
    let begun = Instant::now();
    let running: Vec<Child> = commands
        .into_iter()
        .map(|mut command| command.spawn().unwrap())
        .collect();
    let (tell, hear) = channel();
    std::thread::spawn(move || {
        for mut child in running {
            let _ = tell.send(child.wait().unwrap().code());
        }
    });
    for _ in 0..count {
        let code = hear.recv_timeout(HUNG).expect("one hangs");
        assert_eq!(code, Some(0));
    }
    let took = begun.elapsed();
    assert_eq!(fs::read_to_string(said.path()).unwrap(), "");
    took
}
