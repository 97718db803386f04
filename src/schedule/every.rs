//! How often.

use anyhow::{Result, bail};
use std::fmt;

/// The shortest time between two passes. A host that wants its events sooner starts a pass itself.
const MINUTES_MIN: u32 = 15;
/// The longest: what waits for days may be too old to be worth much.
const MINUTES_MAX: u32 = 24 * 60;

/// A time between two passes, in whole minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Every {
    minutes: u32,
}

impl Every {
    /// What a person writes: `30m`, `1h`.
    ///
    /// # Errors
    /// What a right one looks like.
    pub fn parse(text: &str) -> Result<Every> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let number: Option<u32> = digits.parse().ok();
        let minutes = match (number, &text[digits.len()..]) {
            (Some(number), "m") => Some(number),
            (Some(number), "h") => number.checked_mul(60),
            _ => None,
        };
        match minutes {
            Some(minutes) if (MINUTES_MIN..=MINUTES_MAX).contains(&minutes) => {
                Ok(Every { minutes })
            }
            _ => bail!("it is a number of minutes or hours from 15m to 24h, like 30m or 6h"),
        }
    }

    /// A time that was read from a schedule.
    pub(super) fn of_minutes(minutes: u32) -> Every {
        Every { minutes }
    }

    /// In minutes.
    pub fn minutes(self) -> u32 {
        self.minutes
    }

    /// In seconds.
    pub fn seconds(self) -> u32 {
        self.minutes * 60
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.minutes.is_multiple_of(60) {
            write!(f, "{}h", self.minutes / 60)
        } else {
            write!(f, "{}m", self.minutes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(u32, &str)>) {
        let every = Every::parse(text).ok();
        let said = every.map(|every| (every.minutes(), every.to_string()));
        let expected = expected.map(|(minutes, said)| (minutes, said.to_owned()));
        assert_eq!(said, expected, "{text}");
    }

    #[test]
    fn minutes_and_hours_are_understood_within_their_limits() {
        check("15m", Some((15, "15m")));
        check("90m", Some((90, "90m")));
        check("60m", Some((60, "1h")));
        check("1h", Some((60, "1h")));
        check("24h", Some((1440, "24h")));
    }

    #[test]
    fn anything_else_is_not() {
        for text in [
            "",
            "m",
            "h",
            "1",
            "14m",
            "1441m",
            "25h",
            "0h",
            "1d",
            "1 h",
            "1H",
            "-1h",
            "1h30m",
            "1.5h",
            "99999999999h",
            "4000000000h",
            "é",
        ] {
            check(text, None);
        }
    }
}
