//! Killed at the worst moments, by the server, which knows them best.

use crate::kit::{BUFFER, Sandbox, event, events};
use std::collections::BTreeMap;
use std::ops::Range;
use telemetry_upload::cursor::{Cursor, Mark};
use telemetry_upload::emulator::Moment;

const EVENTS: usize = 25;
const FIRST: Range<usize> = 0..10;
const SECOND: Range<usize> = 10..20;

/// Which events the server gets twice.
enum Twice {
    /// All of these.
    All(Range<usize>),
    /// None but these: what the client managed before it died is up to the scheduler.
    Some(Range<usize>),
}

/// Kills the uploader at a moment of the second request, runs it again, and accounts for every event.
fn check(moment: Moment, script: &str, expected: Twice) {
    let sandbox = Sandbox::acting(script, move |now, count, client| {
        if now == moment && count == 2 {
            client.kill();
        }
    });
    let ids: Vec<String> = (0..EVENTS).map(|n| format!("id-{n:02}")).collect();
    sandbox.append(ids.iter().map(|id| event(id) + "\n").collect::<String>());
    let args = ["--flush", "--request-events", "10", "--pause-ms", "1"];
    let (killed, ..) = sandbox.run(&args).outputs();
    assert_eq!(killed, -1, "the first run is killed");
    let second = sandbox.run(&args).left("").outputs();
    assert_eq!(second.0, 0, "{second:?}");
    let mut arrivals: BTreeMap<String, usize> = BTreeMap::new();
    for id in sandbox.delivered() {
        *arrivals.entry(id).or_default() += 1;
    }
    assert_eq!(
        arrivals.keys().cloned().collect::<Vec<_>>(),
        ids,
        "none lost, none invented"
    );
    let twice: Vec<&String> = arrivals
        .iter()
        .filter(|(_, count)| **count > 1)
        .map(|(id, _)| id)
        .collect();
    // What arrives twice is the batch in flight, under the same ids.
    match expected {
        Twice::All(in_flight) => assert_eq!(twice, ids[in_flight].iter().collect::<Vec<_>>()),
        Twice::Some(in_flight) => {
            assert!(
                twice.iter().all(|id| ids[in_flight.clone()].contains(id)),
                "{twice:?}"
            );
        }
    }
}

#[test]
fn killed_while_the_body_is_on_its_way() {
    check(Moment::Receiving, "", Twice::Some(SECOND));
}

#[test]
fn killed_before_the_reply() {
    check(Moment::Judged, "", Twice::All(SECOND));
}

#[test]
fn killed_after_the_reply() {
    check(Moment::Replied, "", Twice::Some(SECOND));
}

#[test]
fn killed_with_a_partial_reply_under_way() {
    let some = r#"{"items": [{"index": 3, "statusCode": 500, "message": "x"}]}"#;
    // The second request is the first batch's rest.
    let both = format!("{some}\n{some}");
    check(Moment::Judged, &both, Twice::All(FIRST));
    check(Moment::Replied, &both, Twice::Some(FIRST));
}

#[test]
fn a_lost_answer_repeats_the_batch_under_the_same_ids() {
    let sandbox = Sandbox::scripted(r#"{"cut_after_bytes": 0}"#).line(&event("a"));
    sandbox
        .flush()
        .stdout("sent 1 event in 2 requests")
        .posts(2)
        .left("")
        .code(0);
    assert_eq!(sandbox.delivered(), ["a", "a"]);
}

#[test]
fn a_deleted_cursor_repeats_and_never_loses() {
    let sandbox = Sandbox::scripted("{}\n{\"status\": 503, \"times\": \"forever\"}");
    sandbox.append(events(0..15).concat());
    let args = ["--request-events", "10", "--attempts", "1"];
    sandbox.run(&args).code(75);
    let cursor = sandbox.path(&format!("upload/{BUFFER}.cursor"));
    assert!(std::fs::metadata(&cursor).unwrap().len() == 1024);
    std::fs::remove_file(cursor).unwrap();
    let nowhere = Sandbox::new();
    sandbox
        .run(&[
            "--flush",
            "--connection-string",
            &nowhere.server.connection_string,
        ])
        .left("")
        .outputs();
    let all: std::collections::BTreeSet<String> = sandbox
        .delivered()
        .into_iter()
        .chain(nowhere.delivered())
        .collect();
    assert_eq!(all.len(), 15);
}

#[test]
fn every_sidecar_may_be_damaged_and_nothing_is_lost() {
    for name in ["state.json", &format!("{BUFFER}.cursor"), "uploader.lock"] {
        let sandbox = Sandbox::new().line(&event("a"));
        std::fs::create_dir(sandbox.path("upload")).unwrap();
        sandbox.write(&format!("upload/{name}"), b"\xff\0garbage");
        sandbox.flush().stdout("sent 1 event").left("").code(0);
        assert_eq!(sandbox.delivered(), ["a"], "{name}");
    }
}

#[test]
fn a_pass_that_gets_no_thread_keeps_everything() {
    // No stack is as large; it fails like a limit on processes, which root has none of.
    let sandbox = Sandbox::new()
        .line(&event("a"))
        .env("RUST_MIN_STACK", "1000000000000000");
    let before = sandbox.read(BUFFER);
    sandbox
        .flush()
        .stdout("sent 0 events: cannot start the watchdog: Resource temporarily unavailable (os error 11)")
        .posts(0)
        .left(&before)
        .code(75);
}

#[test]
fn the_watchdog_ends_a_pass_that_hangs() {
    let sandbox = Sandbox::scripted(r#"{"delay_ms": 60000, "times": "forever"}"#).line(&event("a"));
    let before = sandbox.read(BUFFER);
    sandbox
        .run(&[
            "--flush",
            "--deadline-s",
            "1",
            "--request-timeout-ms",
            "900",
            "--attempts",
            "20",
            "--pause-ms",
            "1",
        ])
        .left(&before)
        .stdout("sent 0 events, kept 1 for the next pass: the time for one pass is used up")
        .code(75);
    // Where nothing of ours can notice the time, the watchdog does: here in the reading of a file.
    let sandbox = Sandbox::new().line(&event("a"));
    let fifo = sandbox.fifo("fifo");
    let before = sandbox.read(BUFFER);
    sandbox
        .run(&[
            "--flush",
            "--deadline-s",
            "1",
            "--request-timeout-ms",
            "900",
            "--ca-file",
            fifo.to_str().unwrap(),
        ])
        .stderr(
            "the pass hung and was ended at its deadline; nothing is lost, the next pass goes on",
        )
        .left(&before)
        .code(75);
    let log = sandbox.read("upload/upload.log");
    assert!(log.ends_with("the next pass goes on\n"), "{log}");
}

/// A buffer of 25 lines of which 20 are delivered, as a crash during the settling leaves it.
struct Settling {
    sandbox: Sandbox,
    lines: Vec<String>,
    dead: usize,
}

impl Settling {
    fn new() -> Settling {
        let lines = events(0..25);
        let sandbox = Sandbox::new();
        sandbox.append(lines.concat());
        std::fs::create_dir(sandbox.path("upload")).unwrap();
        let delivered = lines[..20].concat();
        let mark = Mark::default().after(delivered.as_bytes());
        let mut cursor = Cursor::open(&sandbox.path(&format!("upload/{BUFFER}.cursor"))).unwrap();
        cursor.commit(sandbox.inode(), &mark).unwrap();
        let dead = delivered.len();
        Settling {
            sandbox,
            lines,
            dead,
        }
    }

    fn file(&self) -> std::fs::File {
        let path = self.sandbox.path(BUFFER);
        std::fs::File::options().write(true).open(path).unwrap()
    }

    fn overwrite(&self, bytes: &[u8]) {
        std::os::unix::fs::FileExt::write_all_at(&self.file(), bytes, 0).unwrap();
    }

    fn truncate(&self, length: usize) {
        self.file().set_len(length as u64).unwrap();
    }

    fn tail(&self) -> String {
        self.lines[20..].concat()
    }

    /// The next pass sends exactly what was left, once.
    fn check(&self) {
        self.sandbox
            .flush()
            .stdout("sent 5 events")
            .left("")
            .code(0);
        assert_eq!(
            self.sandbox.delivered(),
            ["id-20", "id-21", "id-22", "id-23", "id-24"]
        );
    }
}

#[test]
fn a_crash_before_the_settling() {
    Settling::new().check();
}

#[test]
fn a_crash_after_the_blanking() {
    let crashed = Settling::new();
    crashed.overwrite(&b"\n".repeat(crashed.tail().len()));
    crashed.check();
}

#[test]
fn a_crash_in_the_middle_of_the_copying() {
    let crashed = Settling::new();
    let tail = crashed.tail();
    crashed.overwrite(&b"\n".repeat(tail.len()));
    crashed.overwrite(&tail.as_bytes()[..tail.len() / 2 + 7]);
    crashed.check();
}

#[test]
fn a_crash_after_the_copying_and_before_the_truncation() {
    let crashed = Settling::new();
    crashed.overwrite(crashed.tail().as_bytes());
    crashed.check();
}

#[test]
fn a_crash_after_the_truncation_and_before_the_commit_of_0() {
    let crashed = Settling::new();
    crashed.overwrite(crashed.tail().as_bytes());
    crashed.truncate(crashed.tail().len());
    crashed.check();
}

#[test]
fn a_crash_after_the_truncation_and_then_more_lines_than_the_old_offset() {
    let crashed = Settling::new();
    crashed.overwrite(crashed.tail().as_bytes());
    crashed.truncate(crashed.tail().len());
    let more = events(25..60);
    crashed.sandbox.append(more.concat());
    assert!(crashed.tail().len() + more.concat().len() > crashed.dead);
    crashed
        .sandbox
        .flush()
        .stdout("sent 40 events")
        .left("")
        .code(0);
    let expected: Vec<String> = (20..60).map(|n| format!("id-{n:02}")).collect();
    assert_eq!(crashed.sandbox.delivered(), expected);
}

#[test]
fn a_crash_during_the_copying_and_the_cursor_deleted_too_costs_fragments_and_no_event() {
    let crashed = Settling::new();
    let tail = crashed.tail();
    crashed.overwrite(&b"\n".repeat(tail.len()));
    crashed.overwrite(&tail.as_bytes()[..tail.len() / 2 + 7]);
    std::fs::remove_file(crashed.sandbox.path(&format!("upload/{BUFFER}.cursor"))).unwrap();
    let (code, stdout, _) = crashed.sandbox.flush().left("").outputs();
    assert_eq!(code, 0, "{stdout}");
    let delivered = crashed.sandbox.delivered();
    for n in 20..25 {
        assert!(delivered.contains(&format!("id-{n:02}")), "{delivered:?}");
    }
}

#[test]
fn a_commit_half_written_repeats_at_most_the_batch() {
    let crashed = Settling::new();
    let path = crashed.sandbox.path(&format!("upload/{BUFFER}.cursor"));
    let mark = Mark::default().after(crashed.lines[..22].concat().as_bytes());
    let mut cursor = Cursor::open(&path).unwrap();
    cursor.commit(crashed.sandbox.inode(), &mark).unwrap();
    let mut slots = std::fs::read(&path).unwrap();
    let newest = slots.windows(5).position(|five| five == b"seq=2").unwrap();
    slots[newest + 20..newest + 60].fill(0);
    std::fs::write(&path, slots).unwrap();
    crashed.check();
}

#[test]
fn a_crash_between_appending_again_and_the_commit_repeats_the_copies() {
    let sandbox = Sandbox::new().line(&event("a")).line(&event("b"));
    // The kept line stands at the end again, and a second copy was cut short.
    sandbox.append(format!("\n{}\n{}", event("a"), &event("b")[..90]));
    sandbox
        .flush()
        .stdout("sent 3 events, dropped 1 torn")
        .left("")
        .code(0);
    assert_eq!(sandbox.delivered(), ["a", "b", "a"]);
}
