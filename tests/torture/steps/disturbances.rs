//! Something happens at every step of a pass: a producer appends, the person edits the buffer, the disk
//! fails or is full, a write is cut short.

use super::{Answer, BATCH, Machine, NARROW, WIDTHS, Width, is_the_buffer, say};
use crate::lock;
use crate::os::faults::{Fault, Step};
use crate::os::{self, Open};
use crate::paths::{OWN_BUFFER, Paths};
use crate::state::State;
use crate::summary::Ending;
use crate::upload::Mode;
use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::rc::Rc;

const EVENTS: usize = 5 * BATCH;

/// Errno, from `errno.h` of Linux.
const EINTR: i32 = 4;
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// What an open of a file under a lease answers to those who do not wait (`O_NONBLOCK`).
const NONBLOCK: i32 = 0o4000;

fn kept() -> Answer {
    Answer::Partly(vec![1, 3], vec![])
}

fn machine(width: Width, answers: &[Answer]) -> Machine {
    let mut machine = Machine::of(width, answers);
    machine.fill(0..EVENTS);
    machine
}

fn steps(width: Width, answers: &[Answer]) -> usize {
    machine(width, answers)
        .pass(Mode::Background, |_, _| Fault::None)
        .1
}

/// Each of these in each width.
fn in_widths<const N: usize>(
    plans: [Vec<Answer>; N],
) -> impl Iterator<Item = (Width, Vec<Answer>)> {
    let in_width = |width| move |answers| (width, answers);
    WIDTHS
        .into_iter()
        .flat_map(move |width| plans.clone().into_iter().map(in_width(width)))
}

/// A server that keeps some, and is down for the last batch: the buffer is settled with something left.
fn settling() -> Vec<Answer> {
    let mut answers = vec![kept(); 5];
    answers.extend([Answer::Accept, Answer::Unreachable]);
    answers
}

/// A producer that appends one line as soon as it can, and then, as hooks do, looks whether somebody is
/// there to send it.
struct Producer {
    line: String,
    locks: bool,
    /// Whether the line is in the buffer, and whether an uploader was at work just then.
    done: Option<bool>,
}

impl Producer {
    /// Tries once. An open that waits for the uploader's lease, or for its lock, is tried again later.
    fn step(&mut self, paths: &Paths) {
        if self.done.is_some() {
            return;
        }
        let opened = fs::File::options()
            .append(true)
            .create(true)
            .custom_flags(NONBLOCK)
            .open(paths.buffer(OWN_BUFFER));
        let file = match opened {
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => return,
            opened => opened.unwrap(),
        };
        let held = if self.locks {
            let Some(held) = lock::take_now(&file).unwrap() else {
                return;
            };
            Some(held)
        } else {
            None
        };
        (&file).write_all(self.line.as_bytes()).unwrap();
        drop(held);
        let lock = os::open(&paths.uploader_lock(), Open::Create).unwrap();
        let uploader_is_at_work = lock::take_now(&lock).unwrap().is_none();
        self.done = Some(uploader_is_at_work);
    }
}

#[test]
fn a_line_appended_at_any_step_arrives_once_and_is_never_stranded() {
    let mut points = 0;
    for (width, answers) in in_widths([vec![], vec![kept(), kept()], settling()]) {
        for point in 0..steps(width, &answers) {
            for locks in [true, false] {
                let mut machine = machine(width, &answers);
                let line = machine.line(EVENTS);
                let producer = Rc::new(RefCell::new(Producer {
                    line,
                    locks,
                    done: None,
                }));
                let (appending, paths) = (producer.clone(), machine.paths.clone());
                let (done, _) = machine.pass(Mode::Background, move |step, _| {
                    if step >= point {
                        appending.borrow_mut().step(&paths);
                    }
                    Fault::None
                });
                let summary = done.unwrap().unwrap();
                producer.borrow_mut().step(&machine.paths);
                let left_to_the_uploader = producer.borrow().done.unwrap();
                if left_to_the_uploader && summary.ending == Ending::Done {
                    let id = format!("e{EVENTS}");
                    assert!(
                        machine.arrivals().contains_key(&id),
                        "step {point}: stranded"
                    );
                }
                machine.recover();
                machine.account(0);
                points += 1;
            }
        }
    }
    say(&format!(
        "{points} appends, at every step: nothing lost, nothing twice, none stranded"
    ));
}

/// What a person may do to the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edit {
    Empty,
    /// And new lines are appended at once, more than there were before.
    Refill,
    /// Other lines are put in the place of these, to the byte as many.
    Rewrite,
    Delete,
    Replace,
    CopyBack,
    DeleteCursor,
}

const EDITS: [Edit; 7] = [
    Edit::Empty,
    Edit::Refill,
    Edit::Rewrite,
    Edit::Delete,
    Edit::Replace,
    Edit::CopyBack,
    Edit::DeleteCursor,
];

/// Does it; `false` if it has to wait for the uploader's lease.
fn edit(edit: Edit, paths: &Paths, other: &str) -> bool {
    let path = paths.buffer(OWN_BUFFER);
    let over = |content: &str| {
        let opened = fs::File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(NONBLOCK)
            .open(&path);
        match opened {
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => false,
            opened => {
                opened.unwrap().write_all(content.as_bytes()).unwrap();
                true
            }
        }
    };
    match edit {
        Edit::Empty => over(""),
        Edit::CopyBack | Edit::Refill => over(other),
        Edit::Rewrite => {
            let length = fs::metadata(&path).map_or(0, |found| found.len());
            let blanks = usize::try_from(length).unwrap().checked_sub(other.len());
            blanks.is_some_and(|blanks| over(&(other.to_owned() + &"\n".repeat(blanks))))
        }
        Edit::Delete => fs::remove_file(&path).is_ok(),
        Edit::Replace => {
            let new = path.with_extension("theirs");
            fs::write(&new, other).unwrap();
            fs::rename(new, &path).is_ok()
        }
        Edit::DeleteCursor => {
            let _ = fs::remove_file(paths.cursor(OWN_BUFFER));
            true
        }
    }
}

/// Between the last look at the vouching bytes and the write that follows lies a microsecond that cannot
/// be closed; an edit in it is not tried.
fn is_between_look_and_write(step: &Step, buffer: &Path) -> bool {
    matches!(step, Step::Write(file, ..) if is_the_buffer(file, buffer))
}

#[test]
fn what_the_person_makes_of_the_buffer_at_any_step_stays_as_they_made_it() {
    let mut edits = 0;
    let accepting = [vec![Answer::Accept; 4], vec![Answer::Unreachable]].concat();
    for (width, answers) in in_widths([vec![], accepting, settling()]) {
        for point in 0..steps(width, &answers) {
            for what in EDITS {
                // An older copy of the buffer does not hold the lines that were appended again since.
                // With several lanes those of a batch are that did not get through while a later one did.
                let appends_again = answers.contains(&kept())
                    || width.lanes > 1 && answers.contains(&Answer::Unreachable);
                if what == Edit::CopyBack && appends_again {
                    continue;
                }
                let mut machine = machine(width, &answers);
                let copy = fs::read_to_string(machine.buffer()).unwrap();
                // More than there were, or so few that they fit into their place.
                let new = if what == Edit::Rewrite {
                    100..103
                } else {
                    100..145
                };
                let theirs: String = new.clone().map(|id| machine.line(id)).collect();
                assert_eq!(theirs.len() > copy.len(), what != Edit::Rewrite);
                let brings_lines = matches!(what, Edit::Replace | Edit::Refill | Edit::Rewrite);
                let other = if brings_lines { theirs.clone() } else { copy };
                let (paths, done) = (machine.paths.clone(), Rc::new(Cell::new(false)));
                let editing = done.clone();
                let (passed, _) = machine.pass(Mode::Background, move |step, taken| {
                    let buffer = paths.buffer(OWN_BUFFER);
                    let may = step >= point && !is_between_look_and_write(taken, &buffer);
                    if may && !editing.get() {
                        editing.set(edit(what, &paths, &other));
                    }
                    Fault::None
                });
                passed.unwrap().unwrap();
                let sent_meanwhile = machine.arrivals();
                if !brings_lines || !done.get() {
                    machine.put(theirs.as_bytes());
                }
                machine.recover();
                let arrivals = machine.arrivals();
                for id in new {
                    assert!(
                        arrivals.contains_key(&format!("e{id}")),
                        "{what:?} at {point}: e{id} is lost"
                    );
                }
                for id in (0..EVENTS).map(|id| format!("e{id}")) {
                    let keeps_lines = matches!(what, Edit::CopyBack | Edit::DeleteCursor);
                    if done.get() && !keeps_lines {
                        let before = sent_meanwhile.get(&id);
                        assert_eq!(
                            arrivals.get(&id),
                            before,
                            "{what:?} at {point}: {id} came back"
                        );
                    } else {
                        assert!(
                            arrivals.contains_key(&id),
                            "{what:?} at {point}: {id} is lost"
                        );
                    }
                }
                edits += 1;
            }
        }
    }
    say(&format!(
        "{edits} edits by hand, at every step: nothing brought back, no new line lost"
    ));
}

#[test]
fn a_failure_at_any_step_loses_nothing_and_repeats_at_most_the_batches_in_flight() {
    let mut failures = 0;
    for (width, answers) in in_widths([
        vec![],
        settling(),
        vec![Answer::Partly(vec![0], vec![2, 3])],
    ]) {
        for point in 0..steps(width, &answers) {
            for errno in [EIO, ENOSPC] {
                let mut machine = machine(width, &answers);
                let (done, _) = machine.pass(Mode::Background, move |step, _| {
                    if step == point {
                        Fault::Fail(errno)
                    } else {
                        Fault::None
                    }
                });
                let problems = done
                    .unwrap()
                    .map(|summary| summary.problems)
                    .unwrap_or_default();
                assert!(
                    !problems.iter().any(|problem| problem.contains("defect")),
                    "{problems:?}"
                );
                machine.recover();
                machine.account(width.in_flight());
                failures += 1;
            }
        }
    }
    say(&format!(
        "{failures} failures, at every step: nothing lost, at most what was in flight twice"
    ));
}

/// A disk that takes no new block: what stays within the blocks a file has can be written.
fn full(step: &Step) -> Fault {
    const BLOCK: u64 = 4096;
    match step {
        Step::Write(file, bytes, at) => {
            let blocks = file.metadata().unwrap().len().div_ceil(BLOCK);
            if at + bytes.len() as u64 > blocks * BLOCK {
                Fault::Fail(ENOSPC)
            } else {
                Fault::None
            }
        }
        _ => Fault::None,
    }
}

#[test]
fn a_disk_that_is_full_from_any_step_on_repeats_what_was_in_flight_and_no_more_however_many_passes_follow()
 {
    let (mut disks, mut twice) = (0, 0);
    for (width, answers) in in_widths([
        vec![],
        settling(),
        vec![Answer::Partly(vec![0], vec![2, 3]); 30],
    ]) {
        for point in 0..steps(width, &answers) {
            let mut machine = machine(width, &answers);
            State::reserve(&machine.paths);
            let (first, _) = machine.pass(Mode::Background, move |step, taken| {
                if step >= point {
                    full(taken)
                } else {
                    Fault::None
                }
            });
            let _ = first.unwrap();
            for _ in 0..5 {
                let (next, _) = machine.pass(Mode::Background, |_, taken| full(taken));
                let _ = next.unwrap();
            }
            machine.recover();
            twice = twice.max(machine.account(2 * width.in_flight()));
            disks += 1;
        }
    }
    say(&format!(
        "{disks} disks full from some step on, 6 passes each: nothing lost, at most {twice} events twice"
    ));
}

#[test]
fn a_write_that_is_interrupted_or_cut_short_is_carried_on_or_ends_the_pass_and_loses_nothing() {
    let mut writes = 0;
    for (width, answers) in in_widths([vec![], settling()]) {
        for point in 0..steps(width, &answers) {
            for bytes in [None, Some(0), Some(1), Some(7), Some(300)] {
                let mut machine = machine(width, &answers);
                let (done, _) =
                    machine.pass(Mode::Background, move |step, taken| match (bytes, taken) {
                        (None, Step::Write(..)) if step == point => Fault::Fail(EINTR),
                        (Some(bytes), Step::Write(..)) if step == point => Fault::Short(bytes),
                        _ => Fault::None,
                    });
                let _ = done.unwrap();
                machine.recover();
                machine.account(width.in_flight());
                writes += 1;
            }
        }
    }
    say(&format!(
        "{writes} writes interrupted or cut short: nothing lost, at most what was in flight twice"
    ));
}

#[test]
fn a_kept_line_is_not_lost_with_an_overlong_torn_one_before_it() {
    let mut machine = machine(NARROW, &[kept()]);
    // Its producer died, and it is longer than any line may be: nothing glued to it could be saved.
    machine.put(&vec![b'x'; 40_000]);
    machine
        .pass(Mode::Background, |_, _| Fault::None)
        .0
        .unwrap()
        .unwrap();
    machine.recover();
    machine.account(0);
}

#[test]
fn without_room_for_a_cursor_nothing_is_posted() {
    let machine = machine(NARROW, &[kept()]);
    State::reserve(&machine.paths);
    let (done, _) = machine.pass(Mode::Background, |_, taken| full(taken));
    assert_eq!(done.unwrap().unwrap().problems.len(), 1);
    assert_eq!(machine.server.requests.get(), 0);
}

#[test]
fn what_does_not_fit_before_the_bytes_that_vouch_for_the_offset_is_not_moved() {
    let mut machine = Machine::new(&[Answer::Accept, Answer::Unreachable]);
    // The first five are longer than the others, but not by as much as vouches for the place.
    machine.fill(5..10);
    machine.fill(0..5);
    let before = fs::read(machine.buffer()).unwrap();
    machine
        .pass(Mode::Background, |_, _| Fault::None)
        .0
        .unwrap()
        .unwrap();
    assert_eq!(fs::read(machine.buffer()).unwrap(), before);
    machine.recover();
    machine.account(0);
}

#[test]
fn lines_without_an_id_are_not_taken_for_those_that_were_delivered_before() {
    let machine = Machine::new(&[]);
    let same = r#"{"name":"x"}"#.to_owned() + "\n";
    for (count, all) in [(10, 10), (20, 30), (9, 39)] {
        machine.put(same.repeat(count).as_bytes());
        let (done, _) = machine.pass(Mode::Background, |_, _| Fault::None);
        done.unwrap().unwrap();
        assert_eq!(machine.server.taken.borrow().len(), all);
    }
}

#[test]
fn lines_without_an_id_are_not_taken_for_those_that_were_delivered_before_a_pass_saw_a_shorter_file()
 {
    let machine = Machine::new(&[]);
    let same = r#"{"name":"x"}"#.to_owned() + "\n";
    machine.put(same.repeat(10).as_bytes());
    // Ended between the truncation and the commit of 0: the cursor still says 130.
    let buffer = machine.buffer();
    let _ = machine.pass(Mode::Background, move |_, taken| match taken {
        Step::Sync(file) if is_the_buffer(file, &buffer) && file.metadata().unwrap().len() == 0 => {
            Fault::End
        }
        _ => Fault::None,
    });
    assert_eq!(machine.server.taken.borrow().len(), 10);
    machine.put(same.as_bytes());
    *machine.server.then.borrow_mut() = Answer::Status(503);
    machine
        .pass(Mode::Foreground, |_, _| Fault::None)
        .0
        .unwrap()
        .unwrap();
    machine.put(same.repeat(20).as_bytes());
    *machine.server.then.borrow_mut() = Answer::Accept;
    machine
        .pass(Mode::Foreground, |_, _| Fault::None)
        .0
        .unwrap()
        .unwrap();
    assert_eq!(machine.server.taken.borrow().len(), 31);
}

#[test]
fn lines_that_a_pass_keeps_do_not_make_it_go_on_for_ever() {
    let machine = machine(NARROW, &[]);
    *machine.server.then.borrow_mut() = Answer::Partly(vec![1], vec![]);
    machine
        .pass(Mode::Background, |_, _| Fault::None)
        .0
        .unwrap()
        .unwrap();
    // Each batch once, and never what was appended again.
    assert_eq!(machine.server.requests.get(), EVENTS / BATCH);
}
