//! Numbers, moments and reasons, as people read them.

use crate::event::DropReason;
use chrono::{DateTime, Utc};

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
