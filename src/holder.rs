//! Who is at work: the holder of `upload/uploader.lock`.

use crate::lock;
use crate::os::{self, Open};
use crate::paths::Paths;
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// The note in the lock file is a line of forty bytes.
const NOTE_BYTES_MAX: u64 = 200;

/// A pass is ended by its watchdog within seconds of its deadline.
const GRACE: TimeDelta = TimeDelta::seconds(10);

/// The uploader that holds the lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// Its process number, if its note can be read.
    pub pid: Option<u32>,
    /// Since when, if its note can be read.
    pub since: Option<DateTime<Utc>>,
}

impl Holder {
    /// Whether it is at work for longer than any pass may be: it was stopped, or its file system hangs.
    pub fn is_hung(&self, deadline: Duration, now: DateTime<Utc>) -> bool {
        let deadline = TimeDelta::from_std(deadline).unwrap_or(TimeDelta::MAX);
        self.since
            .is_some_and(|since| now - since > deadline + GRACE)
    }
}

/// Looks for a holder. To do so it takes the lock, if it is free, for a moment.
pub fn find(paths: &Paths) -> Option<Holder> {
    let file = os::open(&paths.uploader_lock(), Open::Update).ok()?;
    if !lock::is_held(&file) {
        return None;
    }
    let note = os::read_up_to(&file, NOTE_BYTES_MAX).unwrap_or_default();
    Some(read(&String::from_utf8_lossy(&note)))
}

/// `pid 4711 since 2026-11-21T09:30:00Z`.
fn read(note: &str) -> Holder {
    let mut words = note.split_whitespace();
    let mut value = |key: &str| words.find(|word| *word == key).and(words.next());
    Holder {
        pid: value("pid").and_then(|pid| pid.parse().ok()),
        since: value("since").and_then(|since| since.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_far_as_it_can_be() {
        let since: DateTime<Utc> = "2026-11-21T09:30:00Z".parse().unwrap();
        let check =
            |note: &str, pid, since| assert_eq!(read(note), Holder { pid, since }, "{note}");
        check(
            "pid 4711 since 2026-11-21T09:30:00Z\n",
            Some(4711),
            Some(since),
        );
        check("pid 4711 since tomorrow", Some(4711), None);
        check("", None, None);
        check("pid", None, None);
    }

    #[test]
    fn a_pass_that_outlives_its_deadline_by_more_than_ten_seconds_hangs() {
        let since: DateTime<Utc> = "2026-11-21T09:30:00Z".parse().unwrap();
        let holder = Holder {
            pid: None,
            since: Some(since),
        };
        let check = |seconds: i64, expected: bool| {
            let now = since + TimeDelta::seconds(seconds);
            assert_eq!(
                holder.is_hung(Duration::from_secs(300), now),
                expected,
                "{seconds}"
            );
        };
        check(0, false);
        check(310, false);
        check(311, true);
        check(-1000, false);
    }
}
