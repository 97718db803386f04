//! Thirty days of a machine whose server is down nine times of ten: the age limit and the cap are at
//! work all along, the machine is started anew now and then, and the books agree to the event.

use super::{Answer, Machine, say};
use crate::append;
use crate::event::DropReason;
use crate::os::faults::{self, Fault};
use crate::paths::OWN_BUFFER;
use crate::upload::Mode;
use chrono::TimeDelta;
use std::collections::BTreeMap;
use std::fs;

const DAYS: usize = 30;
const PASSES_A_DAY: usize = 48;

/// Days between two starts of the machine.
const BOOT_DAYS: usize = 4;

#[test]
fn after_thirty_days_what_was_appended_is_delivered_or_counted_as_dropped_or_still_there() {
    let mut machine = Machine::new(&[]);
    machine.settings.limits.age_days_max = 2;
    machine.settings.limits.buffer_bytes_max = 100_000;
    let begun = machine.server.now.get();
    let (mut appended, mut delivered) = (0, 0);
    let mut dropped: BTreeMap<&str, u64> = BTreeMap::new();
    for pass in 0..DAYS * PASSES_A_DAY {
        let minutes = i64::try_from(pass * 24 * 60 / PASSES_A_DAY).unwrap();
        machine.server.now.set(begun + TimeDelta::minutes(minutes));
        let boot_minutes = i64::try_from(BOOT_DAYS * 24 * 60).unwrap();
        let boot = format!("boot {}", minutes / boot_minutes);
        faults::set_boot(&boot, minutes % boot_minutes * 60);
        // Quiet nights, busy days, and every seventh day a very busy one: numbers without a meaning.
        let hour = minutes / 60 % 24;
        let is_busy = minutes / 60 / 24 % 7 == 6;
        let events = if hour < 8 {
            0
        } else {
            pass * 7 % 5 + if is_busy { 40 } else { 0 }
        };
        for _ in 0..events {
            let line = machine.line(appended);
            append::line(&machine.paths, OWN_BUFFER, line.trim_end().as_bytes()).unwrap();
            appended += 1;
        }
        // Up one time of ten, and never in the third week.
        let week = minutes / 60 / 24 / 7;
        let up = pass % 10 == 3 && week != 2;
        *machine.server.then.borrow_mut() = if up {
            Answer::Accept
        } else {
            Answer::Status(503)
        };
        let (done, _) = machine.pass(Mode::Background, |_, _| Fault::None);
        let summary = done.unwrap().unwrap();
        assert_eq!(summary.problems, [] as [String; 0]);
        assert!(summary.law_holds());
        delivered += summary.delivered;
        for (reason, count) in summary.dropped {
            *dropped.entry(reason).or_default() += count;
        }
    }
    let left = fs::read_to_string(machine.buffer()).unwrap();
    let left = left.lines().filter(|line| !line.is_empty()).count() as u64;
    let arrivals = machine.arrivals();
    assert!(
        arrivals.values().all(|count| *count == 1),
        "something came twice"
    );
    assert_eq!(arrivals.len() as u64, delivered);
    let all_dropped: u64 = dropped.values().sum();
    assert_eq!(
        appended as u64,
        delivered + all_dropped + left,
        "{dropped:?}"
    );
    for reason in [DropReason::TooOld, DropReason::OverCap] {
        assert!(
            dropped.get(reason.key()).is_some_and(|count| *count > 0),
            "{dropped:?}"
        );
    }
    let state = crate::state::State::load(&machine.paths);
    assert_eq!(
        state.totals.delivered, delivered,
        "the books over all passes"
    );
    assert_eq!(state.totals.dropped.values().sum::<u64>(), all_dropped);
    say(&format!(
        "thirty days: {appended} appended = {delivered} delivered + {dropped:?} + {left} left"
    ));
}
