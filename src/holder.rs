//! Who is at work: the holder of `upload/uploader.lock`, or of `upload/detached.lock`.

use crate::lock;
use crate::os::{self, Open};
use crate::paths::Paths;
use crate::wording::span;
use chrono::{DateTime, TimeDelta, Utc};
use std::path::Path;
use std::time::Duration;

/// The note in the lock file is a line of forty bytes.
const NOTE_BYTES_MAX: u64 = 200;

/// A pass is ended by its watchdog within seconds of its deadline.
const GRACE: TimeDelta = TimeDelta::seconds(10);

/// The process that holds the lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// Its process number, if its note can be read.
    pub pid: Option<u32>,
    /// Since when, if its note can be read.
    pub since: Option<DateTime<Utc>>,
    /// Its deadline, if its note says one.
    pub until: Option<DateTime<Utc>>,
}

impl Holder {
    /// Whether it is at work for longer than any pass may be: it was stopped, or its file system hangs.
    pub fn is_hung(&self, deadline: Duration, now: DateTime<Utc>) -> bool {
        self.left(deadline, now).is_some_and(|left| left < -GRACE)
    }

    /// The time until its deadline, negative afterwards. `deadline` is how long a pass may take, for a note
    /// that does not say it.
    pub fn left(&self, deadline: Duration, now: DateTime<Utc>) -> Option<TimeDelta> {
        let until = self.until.or_else(|| {
            let deadline = TimeDelta::from_std(deadline).ok()?;
            self.since?.checked_add_signed(deadline)
        });
        until.map(|until| until - now)
    }
}

/// What `status` and `doctor` say about a detached pass that waits, without the article.
pub fn words_of_detached(holder: &Holder, gather: Duration, now: DateTime<Utc>) -> String {
    let pid = holder.pid.map(|pid| format!(" (pid {pid})"));
    let left = holder.left(gather, now);
    let left = left.map(|left| format!(" in at most {}", span(left)));
    format!(
        "background upload{} is running, and sends what is recorded{}",
        pid.unwrap_or_default(),
        left.unwrap_or_default()
    )
}

/// Looks for an uploader at work, without keeping another from the lock.
pub fn find(paths: &Paths) -> Option<Holder> {
    of(&paths.uploader_lock())
}

/// Looks for a detached pass, which between its uploads waits for further events.
pub fn find_detached(paths: &Paths) -> Option<Holder> {
    of(&paths.detached_lock())
}

fn of(lock: &Path) -> Option<Holder> {
    let file = os::open(lock, Open::Update).ok()?;
    if !lock::is_held(&file).unwrap_or(false) {
        return None;
    }
    let note = os::read_up_to(&file, NOTE_BYTES_MAX).unwrap_or_default();
    Some(read(&String::from_utf8_lossy(&note)))
}

/// `pid 4711 since 2026-11-21T09:30:00Z until 2026-11-21T09:35:00Z`.
fn read(note: &str) -> Holder {
    let mut words = note.split_whitespace();
    let mut value = |key: &str| words.find(|word| *word == key).and(words.next());
    Holder {
        pid: value("pid").and_then(|pid| pid.parse().ok()),
        since: value("since").and_then(|since| since.parse().ok()),
        until: value("until").and_then(|until| until.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_far_as_it_can_be() {
        let since: DateTime<Utc> = "2026-11-21T09:30:00Z".parse().unwrap();
        let later = since + TimeDelta::minutes(5);
        let check = |note: &str, pid, since, until| {
            assert_eq!(read(note), Holder { pid, since, until }, "{note}");
        };
        check(
            "pid 4711 since 2026-11-21T09:30:00Z until 2026-11-21T09:35:00Z\n",
            Some(4711),
            Some(since),
            Some(later),
        );
        check(
            "pid 4711 since 2026-11-21T09:30:00Z\n",
            Some(4711),
            Some(since),
            None,
        );
        check("pid 4711 since tomorrow", Some(4711), None, None);
        check("", None, None, None);
        check("pid", None, None, None);
    }

    #[test]
    fn a_background_upload_is_described_as_far_as_it_is_known() {
        let since: DateTime<Utc> = "2026-11-21T09:30:00Z".parse().unwrap();
        let check = |pid, since, expected: &str| {
            let holder = Holder {
                pid,
                since,
                until: None,
            };
            let now = "2026-11-21T09:30:05Z".parse().unwrap();
            let words = words_of_detached(&holder, Duration::from_secs(15), now);
            assert_eq!(words, expected);
        };
        check(
            Some(4711),
            Some(since),
            "background upload (pid 4711) is running, and sends what is recorded in at most 10 seconds",
        );
        check(
            None,
            None,
            "background upload is running, and sends what is recorded",
        );
    }

    #[test]
    fn the_note_knows_the_deadline_better_than_the_settings() {
        let since: DateTime<Utc> = "2026-11-21T09:30:00Z".parse().unwrap();
        let check = |until: Option<i64>, expected: i64| {
            let holder = Holder {
                pid: None,
                since: Some(since),
                until: until.map(|seconds| since + TimeDelta::seconds(seconds)),
            };
            let left = holder.left(Duration::from_secs(300), since + TimeDelta::seconds(100));
            assert_eq!(left, Some(TimeDelta::seconds(expected)));
        };
        check(None, 200);
        check(Some(3600), 3500);
        check(Some(50), -50);
    }

    #[test]
    fn a_pass_that_outlives_its_deadline_by_more_than_ten_seconds_hangs() {
        let since: DateTime<Utc> = "2026-11-21T09:30:00Z".parse().unwrap();
        let holder = Holder {
            since: Some(since),
            ..Holder::default()
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
