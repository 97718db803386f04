//! Several at once: uploaders, appenders, and a person with an editor.

use crate::kit::{BUFFER, CONSENT, Sandbox, append, event, events};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use telemetry_upload::emulator::Moment;

/// A path that an action needs before the sandbox exists.
#[derive(Clone, Default)]
struct Later(Arc<Mutex<Option<PathBuf>>>);

impl Later {
    fn set(&self, path: PathBuf) {
        *self.0.lock().unwrap() = Some(path);
    }

    fn get(&self) -> PathBuf {
        self.0.lock().unwrap().clone().unwrap()
    }
}

#[test]
fn of_two_uploaders_one_works_and_the_other_leaves() {
    let sandbox = Sandbox::scripted(r#"{"delay_ms": 2500}"#).line(&event("a"));
    let first = sandbox.spawn(&["--flush"]);
    sandbox.wait_for_post();
    let begun = Instant::now();
    let second = sandbox.command(&["--flush"]).output().unwrap();
    let waited = begun.elapsed();
    assert_eq!(
        String::from_utf8_lossy(&second.stdout),
        "another uploader is at work; nothing to do here\n"
    );
    assert_eq!(second.status.code(), Some(0));
    assert_eq!(sandbox.posts(), 1);
    let output = sandbox.wait(first);
    assert!(
        begun.elapsed() > 3 * waited,
        "the second one ({waited:?}) did not wait for the first"
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), "sent 1 event\n");
}

#[test]
fn a_thousand_events_from_eight_writers_and_three_uploaders_arrive_once() {
    let sandbox = Sandbox::new();
    let path = sandbox.path(BUFFER);
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let path = path.clone();
            std::thread::spawn(move || {
                for n in 0..125 {
                    let line = event(&format!("{writer}-{n}")) + "\n";
                    let mut file = fs::File::options()
                        .append(true)
                        .create(true)
                        .open(&path)
                        .unwrap();
                    // Half of the writers know the lock, half do not.
                    if writer % 2 == 0 {
                        file.lock().unwrap();
                    }
                    file.write_all(line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    let inode = loop {
        if let Ok(found) = fs::metadata(&path) {
            break std::os::unix::fs::MetadataExt::ino(&found);
        }
    };
    while writers.iter().any(|writer| !writer.is_finished()) {
        let runs: Vec<_> = (0..3)
            .map(|_| sandbox.command(&[]).spawn().unwrap())
            .collect();
        for mut run in runs {
            assert_eq!(run.wait().unwrap().code(), Some(0));
        }
    }
    for writer in writers {
        writer.join().unwrap();
    }
    sandbox.run(&[]).left("").code(0);
    let delivered = sandbox.delivered();
    assert_eq!(delivered.len(), 1000);
    assert_eq!(BTreeSet::from_iter(delivered).len(), 1000);
    assert_eq!(sandbox.inode(), inode);
}

#[test]
fn an_event_appended_at_the_worst_moment_is_not_stranded() {
    // After the last read and before the lock is released: while the last reply is under way.
    let buffer = Later::default();
    let path = buffer.clone();
    let sandbox = Sandbox::acting("", move |moment, count, _| {
        if moment == Moment::Judged && count <= 2 {
            append(&path.get(), event(&format!("late-{count}")) + "\n");
        }
    });
    buffer.set(sandbox.path(BUFFER));
    let sandbox = sandbox.line(&event("a"));
    sandbox.run(&[]).posts(3).left("").code(0);
    assert_eq!(sandbox.delivered(), ["a", "late-1", "late-2"]);
}

#[test]
fn locked_appends_go_on_while_a_reply_hangs() {
    let (sandbox, gate) = Sandbox::gated();
    let sandbox = sandbox.line(&event("a"));
    let mut child = sandbox.spawn(&["--flush"]);
    sandbox.wait_for_post();
    for n in 0..200 {
        let mut file = fs::File::options()
            .append(true)
            .open(sandbox.path(BUFFER))
            .unwrap();
        file.lock().unwrap();
        file.write_all((event(&n.to_string()) + "\n").as_bytes())
            .unwrap();
    }
    // All two hundred were done before the one reply came: nobody waited for the network.
    assert!(child.try_wait().unwrap().is_none());
    assert_eq!(sandbox.posts(), 1);
    gate.open();
    let output = sandbox.wait(child);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "sent 201 events in 3 requests\n"
    );
    assert_eq!(sandbox.read(BUFFER), "");
}

#[test]
fn a_hung_hook_that_holds_the_lock_does_not_stop_the_sending() {
    let sandbox = Sandbox::new().line(&event("a"));
    let holder = fs::File::options()
        .append(true)
        .open(sandbox.path(BUFFER))
        .unwrap();
    holder.lock().unwrap();
    let line = sandbox.read(BUFFER);
    sandbox
        .flush()
        .stdout("sent 1 event")
        .posts(1)
        .left(&line)
        .code(0);
    sandbox
        .flush()
        .stdout("sent 0 events")
        .posts(1)
        .left(&line)
        .code(0);
    drop(holder);
    sandbox
        .flush()
        .stdout("sent 0 events")
        .posts(1)
        .left("")
        .code(0);
}

#[test]
fn a_flush_leaves_a_line_alone_that_is_being_written() {
    // A shell writes a long line in pieces, under the lock.
    let sandbox = Sandbox::new();
    let line = event("a") + "\n";
    let (half, rest) = line.split_at(100);
    sandbox.append(half);
    let mut writer = fs::File::options()
        .append(true)
        .open(sandbox.path(BUFFER))
        .unwrap();
    writer.lock().unwrap();
    sandbox
        .flush()
        .stdout("sent 0 events")
        .posts(0)
        .left(half)
        .code(0);
    writer.write_all(rest.as_bytes()).unwrap();
    drop(writer);
    sandbox.flush().stdout("sent 1 event").left("").code(0);
}

#[test]
fn a_descriptor_that_stays_open_delays_the_truncation_and_appends_to_the_same_file() {
    let sandbox = Sandbox::new().line(&event("a"));
    let mut holder = fs::File::options()
        .append(true)
        .open(sandbox.path(BUFFER))
        .unwrap();
    let line = sandbox.read(BUFFER);
    sandbox.flush().stdout("sent 1 event").left(&line).code(0);
    let b = event("b") + "\n";
    holder.write_all(b.as_bytes()).unwrap();
    drop(holder);
    sandbox.flush().stdout("sent 1 event").left("").code(0);
    assert_eq!(sandbox.delivered(), ["a", "b"]);
}

#[test]
fn above_a_megabyte_an_open_descriptor_no_longer_prevents_the_truncation() {
    let sandbox = Sandbox::new();
    sandbox.append(
        (0..5000)
            .map(|n| event(&n.to_string()) + "\n")
            .collect::<String>(),
    );
    assert!(fs::metadata(sandbox.path(BUFFER)).unwrap().len() > 1024 * 1024);
    let _holder = fs::File::open(sandbox.path(BUFFER)).unwrap();
    let (code, stdout, _) = sandbox.run(&["--flush", "--json"]).left("").outputs();
    assert_eq!(code, 0);
    assert!(stdout.contains("\"truncatedWithoutLease\":1"), "{stdout}");
}

#[test]
fn what_is_left_moves_to_the_front_and_later_appends_follow_it() {
    // Two batches pass, the third does not: 5 lines of 25 are left, and fit over the delivered ones.
    let sandbox = Sandbox::scripted("{}\n{}\n{\"status\": 429, \"times\": 3}");
    let lines = events(0..25);
    sandbox.append(lines.concat());
    let inode = sandbox.inode();
    sandbox
        .run(&["--flush", "--request-events", "10", "--pause-ms", "1"])
        .stdout("sent 20 events in 5 requests, kept 5 for the next pass: the server asks for a pause (429)")
        .left(&lines[20..].concat())
        .code(75);
    assert_eq!(sandbox.inode(), inode);
    let sandbox = sandbox.line(&event("new"));
    sandbox.flush().stdout("sent 6 events").left("").code(0);
    assert_eq!(sandbox.delivered().len(), 26);
    assert_eq!(sandbox.inode(), inode);
}

#[test]
fn what_does_not_fit_over_the_delivered_bytes_stays_behind_the_cursor() {
    let sandbox = Sandbox::scripted("{}\n{\"status\": 429, \"times\": 3}");
    let lines = events(0..25);
    sandbox.append(lines.concat());
    sandbox
        .run(&["--request-events", "10", "--pause-ms", "1"])
        .left(&lines.concat())
        .code(75);
    sandbox.flush().stdout("sent 15 events").left("").code(0);
    assert_eq!(sandbox.delivered().len(), 25);
}

#[test]
fn a_buffer_emptied_by_hand_during_the_pass_stays_empty() {
    let buffer = Later::default();
    let path = buffer.clone();
    let kept = r#"{"items": [{"index": 0, "statusCode": 402, "message": "x"}]}"#;
    let sandbox = Sandbox::acting(kept, move |moment, _, _| {
        if moment == Moment::Judged {
            fs::File::options()
                .write(true)
                .truncate(true)
                .open(path.get())
                .unwrap();
        }
    });
    buffer.set(sandbox.path(BUFFER));
    let sandbox = sandbox.line(&event("a")).line(&event("b"));
    sandbox.run(&[]).posts(1).left("").code(75);
    assert_eq!(
        sandbox.delivered(),
        ["b"],
        "what was emptied away is not brought back"
    );
    sandbox.flush().stdout("nothing to send").left("").code(0);
}

#[test]
fn a_kept_line_does_not_glue_to_a_torn_tail() {
    let kept = r#"{"items": [{"index": 0, "statusCode": 402, "message": "x"}]}"#;
    let sandbox = Sandbox::scripted(kept).line(&event("a")).line(&event("b"));
    // The producer of the torn line never comes back; its fragment costs only itself.
    sandbox.append(&event("c")[..100]);
    sandbox.run(&[]).posts(2).left("").code(0);
    assert_eq!(sandbox.delivered(), ["b", "a"]);
    assert_eq!(sandbox.state("totals")["dropped"]["malformed"], 1);
}

#[test]
fn a_buffer_replaced_by_hand_during_the_pass_stays_as_it_is_and_is_sent_next() {
    let buffer = Later::default();
    let path = buffer.clone();
    let sandbox = Sandbox::acting("", move |moment, count, _| {
        if moment == Moment::Judged && count == 1 {
            let new = path.get().with_extension("new");
            fs::write(&new, event("replaced") + "\n").unwrap();
            fs::rename(new, path.get()).unwrap();
        }
    });
    buffer.set(sandbox.path(BUFFER));
    let sandbox = sandbox.line(&event("a"));
    sandbox.run(&[]).outputs();
    sandbox.run(&[]).left("").code(0);
    assert_eq!(sandbox.delivered(), ["a", "replaced"]);
}

#[test]
fn one_buffer_that_cannot_move_does_not_hold_up_the_others() {
    // The first batch meets a 500 for as long as it is tried; the other buffer's comes through.
    let sandbox = Sandbox::scripted(r#"{"status": 500, "times": 3}"#).line(&event("stuck"));
    sandbox.write("telemetry-events-other.jsonl", event("free") + "\n");
    let (code, stdout, _) = sandbox.flush().posts(4).outputs();
    assert_eq!(code, 75, "{stdout}");
    assert_eq!(sandbox.delivered().len(), 1);
    // A buffer that cannot be read is named, and the others are sent all the same.
    let sandbox = Sandbox::new().line(&event("free"));
    fs::create_dir(sandbox.path("telemetry-events-dir.jsonl")).unwrap();
    sandbox
        .flush()
        .stdout("sent 1 event")
        .stderr("cannot open {data}/telemetry-events-dir.jsonl: Is a directory (os error 21)")
        .left("")
        .code(1);
}

#[test]
fn a_long_buffer_takes_turns_with_a_short_one() {
    let sandbox = Sandbox::new();
    sandbox.append(
        (0..50)
            .map(|n| event(&format!("long-{n:02}")) + "\n")
            .collect::<String>(),
    );
    sandbox.write("telemetry-events-z.jsonl", event("short") + "\n");
    sandbox.run(&["--request-events", "10"]).posts(6).code(0);
    assert!(
        sandbox.requests()[..2].contains(&vec!["short".to_owned()]),
        "{:?}",
        sandbox.requests()
    );
}

#[test]
fn consent_is_this_folders_own() {
    // A consent file elsewhere counts for nothing.
    let sandbox = Sandbox::new().line(&event("a"));
    fs::remove_file(sandbox.path("telemetry.json")).unwrap();
    fs::write(sandbox.home.path().join("telemetry.json"), CONSENT).unwrap();
    sandbox
        .flush()
        .stdout(
            "telemetry is off: nobody has agreed yet (there is no telemetry.json); nothing was sent",
        )
        .posts(0)
        .code(0);
}
