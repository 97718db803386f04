//! A disk that is really full, at every step of a pass and of a producer: nothing is lost, little is
//! repeated, and when there is room again everything is delivered.
//!
//! A pass that cannot write down what became of a batch repeats it, and those under way with it: that is
//! the price, for each pass that says so by its exit code. All others repeat nothing.

use crate::crowded::Crowded;
use crate::mounts::{self, Mounted};
use crate::{Ended, Given, Size};
use std::collections::BTreeMap;
use std::path::Path;

pub const BATCH: usize = 7;
pub const LANES: usize = 2;
pub const EVENTS: usize = 42;
const PASSES: usize = 8;

/// What is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    Tmpfs,
    Ext4,
    /// A tmpfs with room, but for no further file.
    Inodes,
}

/// What the server does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    Ok,
    Down,
    /// One of every seven events: in turn to be kept, and refused for good.
    Seventh,
    /// The same, and down at every fourth request.
    Both,
}

/// Whether a pass was there before the disk was full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    Nothing,
    APass,
}

/// One way for a disk to be full.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub disk: Disk,
    pub answers: Answers,
    pub before: Before,
    /// Blocks, or files, that there is room for.
    pub room: u64,
}

/// What came of all cases.
#[derive(Default)]
struct Tally {
    cases: usize,
    events: usize,
    twice: usize,
    unwritten: usize,
    /// How often there was no room for what.
    missed: BTreeMap<&'static str, usize>,
}

/// Every step must have met the full disk, but for `state.json`, which is written over where it stands.
const STEPS: [&str; 5] = [
    "the cursor",
    "lines to be kept",
    "rejected.jsonl",
    "sent.jsonl",
    "a producer's line",
];

pub fn run(given: Given) -> Ended {
    mounts::alone("full_disk", given, trial)
}

fn trial(given: Given, place: &Path) -> Ended {
    let mut tally = Tally::default();
    let mut skipped = None;
    for case in cases(given.size) {
        match disk(case.disk, place) {
            Ok(mounted) => tally.take(case, &mounted.at),
            Err(why) => skipped = Some(why),
        }
    }
    // Where a disk was skipped, others may not come to every step.
    for step in STEPS.iter().filter(|_| skipped.is_none()) {
        let met = tally.missed.contains_key(*step);
        assert!(
            met,
            "there was room for {step} in every case: {:?}",
            tally.missed
        );
    }
    let skipped = skipped.map_or_else(String::new, |why| format!("; skipped: {why}"));
    Ended::Held(format!(
        "{} disks, {} passes on them, {} events, 0 lost, 0 invented, 0 corrupt, {} twice in {} passes that could not write a batch's end (bound {BATCH} x {LANES} each), no room for {:?}{skipped}",
        tally.cases,
        tally.cases * PASSES,
        tally.events,
        tally.twice,
        tally.unwritten,
        tally.missed,
    ))
}

fn cases(size: Size) -> Vec<Case> {
    use Answers::{Both, Down, Ok, Seventh};
    let mut cases = Vec::new();
    for disk in [Disk::Tmpfs, Disk::Ext4, Disk::Inodes] {
        let rooms = match (disk, size) {
            (Disk::Tmpfs, Size::Quick) => vec![0, 1, 2, 3, 5],
            (Disk::Ext4, Size::Quick) => vec![0, 2, 6, 12],
            (Disk::Inodes, Size::Quick) => vec![0, 1, 2, 3, 4, 5],
            (Disk::Tmpfs, Size::Full) => (0..16).collect(),
            (Disk::Ext4, Size::Full) => (0..40).collect(),
            (Disk::Inodes, Size::Full) => (0..10).collect(),
        };
        let all_answers: &[Answers] = size.pick(&[Both], &[Ok, Down, Seventh, Both]);
        for before in [Before::Nothing, Before::APass] {
            for answers in all_answers {
                for room in &rooms {
                    let (answers, room) = (*answers, *room);
                    cases.push(Case {
                        disk,
                        answers,
                        before,
                        room,
                    });
                }
            }
        }
    }
    cases
}

fn disk(disk: Disk, place: &Path) -> Result<Mounted, String> {
    let at = place.join("disk");
    match disk {
        Disk::Tmpfs => mounts::mount(&["-t", "tmpfs", "-o", "size=256k", "torture"], &at),
        Disk::Inodes => {
            let options = "size=4m,nr_inodes=64";
            mounts::mount(&["-t", "tmpfs", "-o", options, "torture"], &at)
        }
        Disk::Ext4 => {
            let image = place.join("image");
            mounts::image(&image, 8, &["mkfs.ext4", "-q", "-F", "-m", "0"])?;
            mounts::mount(&["-o", "loop", &image.display().to_string()], &at)
        }
    }
}

impl Tally {
    fn take(&mut self, case: Case, at: &Path) {
        mounts::note(&format!("{case:?}"));
        let mut full = Crowded::new(case, at);
        let filler = full.fill();
        let mut unwritten = 0;
        for pass in 0..PASSES {
            full.record(pass, &mut self.missed);
            unwritten += full.pass(&mut self.missed);
        }
        filler.remove();
        let twice = full.deliver_the_rest();
        assert!(
            twice <= unwritten * BATCH * LANES,
            "{twice} twice in {unwritten} passes that could not write a batch's end; {case:?}"
        );
        self.cases += 1;
        self.events += full.reckoning.count();
        self.twice += twice;
        self.unwritten += unwritten;
    }
}
