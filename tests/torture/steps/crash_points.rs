//! The process ends before, or in the middle of, every step of a pass; and then again at every step of
//! the pass that recovers.

use super::{Answer, BATCH, Machine, NARROW, WIDTHS, Width, is_full, is_the_buffer, say};
use crate::os::faults::{Ended, Fault, Step};
use crate::paths::OWN_BUFFER;
use crate::upload::Mode;
use std::cell::RefCell;
use std::rc::Rc;

/// What the server does meanwhile, and what comes of it: which paths through a pass are taken.
pub(super) fn scenarios() -> Vec<(&'static str, Vec<Answer>)> {
    use Answer::{Accept, FailsFor, Lost, Partly, Unreachable};
    let kept = Partly(vec![1, 3], vec![]);
    let mixed = Partly(vec![0, 4], vec![2]);
    vec![
        ("everything is delivered: truncated to nothing", vec![]),
        (
            "kept lines are appended again",
            vec![kept.clone(), Accept, kept.clone()],
        ),
        (
            "refused lines are written down",
            vec![mixed.clone(), mixed.clone()],
        ),
        (
            "down early: what is left does not fit over the delivered",
            vec![Accept, Unreachable],
        ),
        (
            "down late: what is left moves to the front",
            vec![Accept, Accept, Accept, Accept, Unreachable],
        ),
        (
            "one event that the server fails for is found, and appended again",
            vec![FailsFor(7); 4 * BATCH],
        ),
        (
            "kept, refused, then down: everything at once",
            vec![mixed, Accept, kept, Accept, Accept, Lost],
        ),
    ]
}

/// Lines of the buffer: five batches, and a line that is no event.
const EVENTS: usize = 5 * BATCH;

fn machine(width: Width, answers: &[Answer]) -> Machine {
    let mut machine = Machine::of(width, answers);
    machine.fill(0..12);
    machine.put(b"no event\n\n");
    machine.fill(12..EVENTS);
    machine
}

/// Ends the process at this step.
pub(super) fn ends_at(point: usize, fault: Fault) -> impl FnMut(usize, &Step) -> Fault {
    move |step, _| if step == point { fault } else { Fault::None }
}

/// What may come twice: at each end the batches in flight, accepted or kept, and, where a reply was lost,
/// its batch.
pub(super) fn twice_max(ends: usize, width: Width, answers: &[Answer]) -> usize {
    let lost = answers.iter().filter(|answer| **answer == Answer::Lost);
    ends * width.in_flight() + lost.count() * width.batch
}

/// Each scenario in each width.
pub(super) fn scenarios_in_widths() -> impl Iterator<Item = (Width, &'static str, Vec<Answer>)> {
    let in_width = |width| move |(name, answers)| (width, name, answers);
    WIDTHS
        .into_iter()
        .flat_map(move |width| scenarios().into_iter().map(in_width(width)))
}

/// The last ends in the middle of what a cursor's slot says, whose second half is blank.
const ENDS: [Fault; 3] = [Fault::End, Fault::EndHalfway, Fault::EndAfter(60)];

/// How many steps a pass takes that is left alone.
fn steps(machine: &Machine, mode: Mode) -> usize {
    machine.pass(mode, |_, _| Fault::None).1
}

#[test]
fn without_an_end_nothing_comes_twice_but_what_a_lost_reply_was_for() {
    for (width, _, answers) in scenarios_in_widths() {
        let mut machine = machine(width, &answers);
        let (done, _) = machine.pass(Mode::Background, |_, _| Fault::None);
        done.unwrap().unwrap();
        machine.recover();
        machine.account(twice_max(0, width, &answers));
    }
}

#[test]
fn an_end_at_any_step_loses_nothing_and_repeats_at_most_the_batches_in_flight() {
    let (mut ends, mut twice) = (0, 0);
    for (width, name, answers) in scenarios_in_widths() {
        let steps = steps(&machine(width, &answers), Mode::Background);
        assert!(steps > 20, "{name}: {steps}");
        for (point, fault) in (0..steps).flat_map(|point| ENDS.map(|fault| (point, fault))) {
            let mut machine = machine(width, &answers);
            let (ended, _) = machine.pass(Mode::Background, ends_at(point, fault));
            assert_eq!(ended.unwrap_err(), Ended, "{name}: step {point}");
            machine.recover();
            twice = twice.max(machine.account(twice_max(1, width, &answers)));
            ends += 1;
        }
    }
    say(&format!(
        "{ends} ends, at every step: nothing lost, at most {twice} events twice"
    ));
}

#[test]
fn two_ends_at_any_two_steps_lose_nothing_and_repeat_at_most_what_was_in_flight_twice() {
    // Every pair, or one of so many: a number that shares no factor with the steps of a batch.
    let stride = if is_full() { 1 } else { 263 };
    let (mut pairs, mut done, mut twice) = (0, 0, 0);
    for (width, _, answers) in scenarios_in_widths() {
        let steps_before = steps(&machine(width, &answers), Mode::Background);
        for (point, fault) in (0..steps_before).flat_map(|point| ENDS.map(|fault| (point, fault))) {
            let ended_once = || {
                let machine = machine(width, &answers);
                let _ = machine.pass(Mode::Background, ends_at(point, fault));
                machine
            };
            let steps_after = steps(&ended_once(), Mode::Foreground);
            for (further, again) in
                (0..steps_after).flat_map(|step| ENDS.map(|fault| (step, fault)))
            {
                pairs += 1;
                if pairs % stride != 0 {
                    continue;
                }
                let mut machine = ended_once();
                let (ended, _) = machine.pass(Mode::Foreground, ends_at(further, again));
                assert_eq!(ended.unwrap_err(), Ended);
                machine.recover();
                twice = twice.max(machine.account(twice_max(2, width, &answers)));
                done += 1;
            }
        }
    }
    say(&format!(
        "{done} of {pairs} pairs of ends: nothing lost, at most {twice} events twice"
    ));
}

/// The steps that write into the buffer, and how much.
pub(super) fn writes_into_the_buffer(machine: &Machine) -> Vec<(usize, usize)> {
    let writes = Rc::new(RefCell::new(Vec::new()));
    let (noted, buffer) = (writes.clone(), machine.buffer());
    let _ = machine.pass(Mode::Background, move |step, taken| {
        if let Step::Write(file, bytes, _) = taken
            && is_the_buffer(file, &buffer)
        {
            noted.borrow_mut().push((step, bytes.len()));
        }
        Fault::None
    });
    writes.take()
}

#[test]
fn an_end_while_the_rest_is_copied_and_a_lost_cursor_send_no_mixture_of_two_events() {
    // The last batch does not get through, and is copied over the first events.
    let answers = [vec![Answer::Accept; 4], vec![Answer::Unreachable]].concat();
    let mut ends = 0;
    for (point, length) in writes_into_the_buffer(&machine(NARROW, &answers)) {
        for bytes in (0..length).step_by(if is_full() { 1 } else { 5 }) {
            let mut machine = machine(NARROW, &answers);
            let (ended, _) = machine.pass(Mode::Background, ends_at(point, Fault::EndAfter(bytes)));
            assert_eq!(ended.unwrap_err(), Ended);
            std::fs::remove_file(machine.paths.cursor(OWN_BUFFER)).unwrap();
            machine.recover();
            // What stood before the cursor comes again; none of it is half one event and half another.
            machine.account(EVENTS);
            ends += 1;
        }
    }
    assert!(ends > 0, "nothing was copied");
    say(&format!(
        "{ends} ends in the middle of a copy, the cursor lost: nothing lost, no mixture of two events"
    ));
}
