//! The power is cut at every step of a pass: nothing that was not synced survives, or only a part of it.

use super::crash_points::{ends_at, scenarios, twice_max};
use super::{Answer, BATCH, Machine, is_full, say};
use crate::os::faults::{self, Fault};
use crate::os::{self, Open};
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

fn machine(answers: &[Answer]) -> Machine {
    let mut machine = Machine::new(answers);
    machine.fill(0..SYNCED);
    let buffer = os::open(&machine.buffer(), Open::Update).unwrap();
    os::sync(&buffer).unwrap();
    faults::watch(machine.paths.data());
    machine.fill(SYNCED..SYNCED + UNSYNCED);
    machine
}

#[test]
fn a_power_cut_at_any_step_loses_no_durable_event_and_repeats_at_most_the_batch() {
    let faults: &[Fault] = if is_full() {
        &[Fault::End, Fault::EndHalfway]
    } else {
        &[Fault::End]
    };
    let (mut cuts, mut twice) = (0, 0);
    for (_, answers) in scenarios() {
        let (_, steps) = machine(&answers).pass(Mode::Background, |_, _| Fault::None);
        for point in 0..=steps {
            for fault in faults {
                for keeps in KEEPS {
                    let mut machine = machine(&answers);
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
                    let most = twice_max(1, &answers);
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
