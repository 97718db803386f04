//! Numbers, moments and reasons, as people read them.

use crate::event::DropReason;
use chrono::{DateTime, TimeDelta, Utc};

/// A moment, for people.
pub fn minute(at: &DateTime<Utc>) -> impl std::fmt::Display {
    at.format("%Y-%m-%d %H:%M UTC")
}

/// What became of lines dropped under this key.
pub fn words(key: &str) -> &'static str {
    DropReason::ALL
        .iter()
        .find(|reason| reason.key() == key)
        .map_or("dropped", |reason| reason.words())
}

/// How many of something, for people.
pub fn counted(count: u64, noun: &str) -> String {
    format!(
        "{} {noun}{}",
        grouped(count),
        if count == 1 { "" } else { "s" }
    )
}

/// "1 event waits", "2 events wait".
pub fn events_wait(count: u64) -> String {
    let wait = if count == 1 { "waits" } else { "wait" };
    format!("{} {wait}", counted(count, "event"))
}

/// A length of time in its largest unit.
pub fn span(length: TimeDelta) -> String {
    let units = [
        (length.num_days(), "day"),
        (length.num_hours(), "hour"),
        (length.num_minutes(), "minute"),
    ];
    let largest = units.into_iter().find(|(count, _)| *count > 0);
    let (count, unit) = largest.unwrap_or((length.num_seconds().max(0), "second"));
    counted(count.unsigned_abs(), unit)
}

/// How one clock stands to another that is ahead of it by so much: "2 hours behind", "2 hours ahead of".
pub fn lag(ahead: TimeDelta) -> String {
    let way = if ahead > TimeDelta::zero() {
        "behind"
    } else {
        "ahead of"
    };
    format!("{} {way}", span(ahead.abs()))
}

/// A word of a POSIX shell, for commands that are to be copied.
pub fn shell(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Thousands, set apart by commas.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart_and_one_is_singular() {
        for (count, expected) in [
            (0, "0 events"),
            (1, "1 event"),
            (999, "999 events"),
            (1_284, "1,284 events"),
            (1_000_000, "1,000,000 events"),
        ] {
            assert_eq!(counted(count, "event"), expected);
        }
    }
}
