//! The power is cut at every step of a pass: nothing that was not synced survives, or only a part of it.

use super::crash_points::{ends_at, scenarios_in_widths, twice_max, writes_into_the_buffer};
use super::{Answer, BATCH, Machine, NARROW, Width, is_full, say};
use crate::os::faults::{self, Ended, Fault, Step};
use crate::os::{self, Open};
use crate::paths::OWN_BUFFER;
use crate::upload::Mode;
use std::cell::Cell;

/// Events that their producers made durable, and events that they did not.
const SYNCED: usize = 3 * BATCH;
const UNSYNCED: usize = 2 * BATCH;

/// What a disk keeps of the changes that were not synced: none, all, or every second one.
const KEEPS: [fn(usize) -> bool; 4] = [
    |_| false,
    |_| true,
    |change| change % 2 == 0,
    |change| change % 2 == 1,
];

fn machine(width: Width, answers: &[Answer]) -> Machine {
    let mut machine = Machine::of(width, answers);
    machine.fill(0..SYNCED);
    let buffer = os::open(&machine.buffer(), Open::Update).unwrap();
    os::sync(&buffer).unwrap();
    faults::watch(machine.paths.data());
    machine.fill(SYNCED..SYNCED + UNSYNCED);
    machine
}

#[test]
fn a_power_cut_at_any_step_loses_no_durable_event_and_repeats_at_most_the_batches_in_flight() {
    let faults: &[Fault] = if is_full() {
        &[Fault::End, Fault::EndHalfway]
    } else {
        &[Fault::End]
    };
    let (mut cuts, mut twice) = (0, 0);
    for (width, _, answers) in scenarios_in_widths() {
        let (_, steps) = machine(width, &answers).pass(Mode::Background, |_, _| Fault::None);
        for point in 0..=steps {
            for fault in faults {
                for keeps in KEEPS {
                    let mut machine = machine(width, &answers);
                    let _ = machine.pass(Mode::Background, ends_at(point, *fault));
                    let changes = Cell::new(0);
                    faults::with_image(|image| {
                        image.cut(|ways| {
                            changes.set(changes.get() + 1);
                            if keeps(changes.get()) { ways - 1 } else { 0 }
                        });
                    });
                    // Those that nobody made durable may be gone, unless a pass had begun to send them.
                    let arrived = machine.arrivals();
                    let buffer = std::fs::read_to_string(machine.buffer()).unwrap_or_default();
                    machine.appended.retain(|id, line| {
                        let number: usize = id[1..].parse().unwrap();
                        number < SYNCED
                            || arrived.contains_key(id)
                            || buffer.contains(line.as_str())
                    });
                    machine.recover();
                    let most = twice_max(1, width, &answers);
                    twice = twice.max(machine.account(most));
                    cuts += 1;
                }
            }
        }
    }
    say(&format!(
        "{cuts} power cuts, at every step: no durable event lost, at most {twice} events twice"
    ));
}

#[test]
fn a_copy_torn_by_a_power_cut_and_a_lost_cursor_send_no_mixture_of_two_events() {
    // The last batch does not get through, and is copied over the first events.
    let answers = [vec![Answer::Accept; 4], vec![Answer::Unreachable]].concat();
    let mut cuts = 0;
    for (point, length) in writes_into_the_buffer(&machine(NARROW, &answers)) {
        for bytes in (0..length).step_by(if is_full() { 1 } else { 7 }) {
            let mut machine = machine(NARROW, &answers);
            let (ended, _) = machine.pass(Mode::Background, ends_at(point + 1, Fault::End));
            assert_eq!(ended.unwrap_err(), Ended);
            // Of each change that was not synced, so many bytes have reached the disk.
            faults::with_image(|image| {
                image.cut(|ways| if ways == 3 { 1 } else { bytes.min(ways - 1) });
            });
            let _ = std::fs::remove_file(machine.paths.cursor(OWN_BUFFER));
            machine.recover();
            machine.account(SYNCED + UNSYNCED);
            cuts += 1;
        }
    }
    assert!(cuts > 0, "nothing was copied");
    say(&format!(
        "{cuts} copies torn by a power cut, the cursor lost: no mixture of two events"
    ));
}

#[test]
fn a_rejection_survives_a_power_cut_in_a_file_that_an_ended_pass_has_made() {
    let refusing = || Answer::Partly(vec![], vec![0]);
    let mut machine = machine(NARROW, &[refusing(), refusing()]);
    let rejected = machine.rejections()[1].clone();
    let (ended, _) = machine.pass(Mode::Background, move |_, taken| {
        let is_written = std::fs::metadata(&rejected).is_ok_and(|found| found.len() > 0);
        match taken {
            Step::SyncDir(_) if is_written => Fault::End,
            _ => Fault::None,
        }
    });
    assert_eq!(ended.unwrap_err(), Ended);
    machine
        .pass(Mode::Background, |_, _| Fault::None)
        .0
        .unwrap()
        .unwrap();
    faults::with_image(|image| image.cut(|_| 0));
    machine.recover();
    assert_eq!(machine.refused(), ["e0", "e0"]);
    machine.account(BATCH);
}
