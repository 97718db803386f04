//! Power cuts: the file system is shut down at a random moment of a pass, as if the machine had lost
//! its power; what was not on the disk by then is gone. Whatever was durable is delivered afterwards.

use crate::chance::Chance;
use crate::cut_off::{Disk, Saboteur};
use crate::kit::{self, BUFFER, Sandbox, Server};
use crate::mounts;
use crate::reckoning::Reckoning;
use crate::tools;
use crate::{Ended, Given};
use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use telemetry_upload::emulator::Moment;

const BATCH: usize = 20;
const EVENTS: usize = 300;
/// Appended and synced one by one while the pass is at work.
const MORE_EVENTS: usize = 40;

/// No pass takes as long to come to any moment.
const MOMENT_MAX: Duration = Duration::from_secs(60);

/// A file system, and how it is made.
struct Kind {
    name: &'static str,
    megabytes: u64,
    mkfs: &'static [&'static str],
}

const KINDS: &[Kind] = &[
    Kind {
        name: "ext4",
        megabytes: 64,
        mkfs: &["mkfs.ext4", "-q", "-F"],
    },
    Kind {
        name: "xfs",
        megabytes: 300,
        mkfs: &["mkfs.xfs", "-q", "-f"],
    },
];

/// Most cuts fall into the pass at large, some into the end of it, where it copies and truncates.
const SCRIPT: &str = r#"{}
{"items": [{"index": 3, "statusCode": 500, "message": "x"}, {"index": 8, "statusCode": 500, "message": "x"}]}
{"items": [{"index": 5, "statusCode": 400, "message": "109: Field 'name' on type 'EventData' is of no use"}]}
{"items": [{"index": 0, "statusCode": 500, "message": "x"}]}
{}
{}
{}
{}
{}
{"items": [{"index": 19, "statusCode": 500, "message": "x"}]}
{}
{"status": 429, "times": "forever"}"#;

/// The last request that is taken is followed by the one that ends the pass.
const LAST_REQUEST: usize = 12;

pub fn ext4(given: Given) -> Ended {
    mounts::alone("power_cuts_ext4", given, |given, place| {
        trial(&KINDS[0], given, place)
    })
}

pub fn xfs(given: Given) -> Ended {
    mounts::alone("power_cuts_xfs", given, |given, place| {
        trial(&KINDS[1], given, place)
    })
}

/// What came of all cuts.
#[derive(Default)]
struct Tally {
    cuts: usize,
    durable: usize,
    twice: usize,
    twice_max: usize,
    too_late: usize,
    moving: usize,
}

fn trial(kind: &Kind, given: Given, place: &Path) -> Ended {
    for tool in ["xfs_io", kind.mkfs[0]] {
        if tools::find(tool).is_none() {
            return Ended::Skipped(format!("there is no {tool} here"));
        }
    }
    let disk = Disk {
        image: place.join("image"),
        at: place.join("disk"),
    };
    let made = mounts::image(&disk.image, kind.megabytes, kind.mkfs);
    if let Err(why) = made.and_then(|()| disk.mounted()) {
        return Ended::Skipped(why);
    }
    let mut tally = Tally::default();
    let mut chance = Chance::new(given.seed);
    // How long it is from each moment to the end of the pass, as the cuts find out.
    let pass = undisturbed(&disk);
    let mut spans = [(Moment::Receiving, pass), (Moment::Replied, pass / 10)];
    for cut in 0..given.size.pick(10, 1000) {
        let (moment, span) = &mut spans[cut % 2];
        let (moment, delay) = (*moment, chance.up_to(*span));
        mounts::note(&format!("cut {cut}: {moment:?}, {delay:?}"));
        let late_before = tally.too_late;
        one(&disk, &Cut { moment, delay }, &mut tally);
        *span = span.mul_f64(if tally.too_late > late_before {
            0.8
        } else {
            1.05
        });
    }
    Ended::Held(format!("{}: {tally}", kind.name))
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cuts, {} durable events, 0 lost, 0 invented, 0 corrupt, {} twice (at most {} at a cut), {} cuts after the pass, {} while it moved the rest to the front",
            self.cuts, self.durable, self.twice, self.twice_max, self.too_late, self.moving
        )
    }
}

/// When the power goes.
struct Cut {
    /// At the first request, or when the last was answered and the pass tidies up.
    moment: Moment,
    /// How long after it.
    delay: Duration,
}

/// A sandbox whose data folder is on the disk, with events in it that are durable.
fn sandbox(disk: &Disk, reached: mpsc::Sender<Moment>) -> (Sandbox, Reckoning) {
    let reached = std::sync::Mutex::new(reached);
    let sandbox = Sandbox::acting(SCRIPT, move |moment, count, _| {
        let begins = moment == Moment::Receiving && count == 1;
        let tidies = moment == Moment::Replied && count == LAST_REQUEST;
        if begins || tidies {
            let _ = reached.lock().unwrap().send(moment);
        }
    })
    .dated()
    .env(
        "TELEMETRY_UPLOAD_DATA_DIR",
        &disk.data().display().to_string(),
    );
    let _ = fs::remove_dir_all(disk.data());
    fs::create_dir(disk.data()).unwrap();
    fs::copy(
        sandbox.path("telemetry.json"),
        disk.data().join("telemetry.json"),
    )
    .unwrap();
    let mut reckoning = Reckoning::default();
    let mut lines = String::new();
    for n in 0..EVENTS {
        let id = format!("event-{n:03}");
        let line = kit::event(&id);
        reckoning.certain(&id, &line);
        lines += &format!("{line}\n");
    }
    kit::append(&disk.data().join(BUFFER), lines);
    disk.sync();
    (sandbox, reckoning)
}

fn pass(sandbox: &Sandbox) -> Child {
    let batch = BATCH.to_string();
    // One after the other: at which request the power is cut says what stands on the disk then.
    let args = ["--flush", "--request-events", &batch, "--attempts", "1"];
    sandbox.spawn(&[&args[..], &["--lanes", "1"]].concat())
}

/// How long a pass takes when nothing happens.
fn undisturbed(disk: &Disk) -> Duration {
    let _mounted = disk.mounted().unwrap();
    let (send, _reached) = mpsc::channel();
    let (sandbox, _) = sandbox(disk, send);
    let begun = Instant::now();
    let ended = sandbox.wait(pass(&sandbox));
    assert_eq!(ended.status.code(), Some(75), "the last request is refused");
    assert_eq!(sandbox.posts(), LAST_REQUEST);
    begun.elapsed()
}

/// One cut, and everything after it.
fn one(disk: &Disk, cut: &Cut, tally: &mut Tally) {
    let mounted = disk.mounted().unwrap();
    let (send, reached) = mpsc::channel();
    let (mut sandbox, mut reckoning) = sandbox(disk, send);
    let saboteur = Saboteur::new(disk);
    let mut child = pass(&sandbox);
    let path = disk.data().join(BUFFER);
    let is_cut = Arc::new(AtomicBool::new(false));
    let sees_cut = is_cut.clone();
    let writer = std::thread::spawn(move || append_until(&sees_cut, &path));
    while reached.recv_timeout(MOMENT_MAX).unwrap() != cut.moment {}
    std::thread::sleep(cut.delay);
    let ended = child.try_wait().unwrap();
    is_cut.store(true, Ordering::SeqCst);
    saboteur.cut();
    child.kill().unwrap();
    child.wait().unwrap();
    for (id, line, durable) in writer.join().unwrap() {
        reckoning.perhaps(&id, Some(&line));
        if durable {
            reckoning.confirm(&id);
        }
    }
    let mut accepted = sandbox.accepted();
    drop(mounted);

    let _mounted = disk.mounted().unwrap();
    let buffer = disk.read(BUFFER);
    if !accepted.is_empty() {
        cursor_is_valid(&disk.read(&format!("upload/{BUFFER}.cursor")));
    }
    sandbox.server = Server::start("", Box::new(|_, _, _| {}));
    let place = sandbox.server.connection_string.clone();
    let key = "APPLICATIONINSIGHTS_CONNECTION_STRING".to_owned();
    sandbox.env.insert(key, place);
    let output = sandbox.wait(pass(&sandbox));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(disk.read(BUFFER), "");
    accepted.extend(sandbox.accepted());
    let twice = reckoning.account(&accepted, &disk.read("upload/rejected.jsonl"));
    assert!(twice <= BATCH, "{twice} twice");
    tally.cuts += 1;
    tally.durable += reckoning.count();
    tally.twice += twice;
    tally.twice_max = tally.twice_max.max(twice);
    tally.too_late += usize::from(ended.is_some());
    tally.moving += usize::from(buffer.contains("\n\n\n"));
}

/// A producer that syncs each line, until the cut. Each event, and whether it is durable: a sync that
/// returns only when the power has gone would never have returned.
fn append_until(is_cut: &AtomicBool, path: &Path) -> Vec<(String, String, bool)> {
    let mut events = Vec::new();
    loop {
        let id = format!("more-{:03}", events.len());
        let line = kit::event(&id);
        // Opened each time, as hooks do: a pass truncates only what nobody has open.
        let opened = File::options().append(true).open(path);
        let written = opened.and_then(|mut file| {
            file.write_all(format!("{line}\n").as_bytes())?;
            file.sync_data()
        });
        let durable = written.is_ok() && !is_cut.load(Ordering::SeqCst);
        events.push((id, line, durable));
        if !durable {
            return events;
        }
        // More would not fit where the delivered lines were, and nothing would be moved.
        if events.len() > MORE_EVENTS {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// One of the two slots at least is whole.
fn cursor_is_valid(text: &str) {
    let is_whole = |slot: &[u8]| slot.starts_with(b"cursor1 seq=") && slot.ends_with(b"\n");
    assert!(
        text.as_bytes().chunks(512).any(is_whole),
        "the cursor: {text:?}"
    );
}
