//! From when on events are counted.

use anyhow::{Result, bail};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

/// The beginning of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// So long before now.
    Ago(TimeDelta),
    /// The midnight, UTC, at which this day begins.
    Day(NaiveDate),
}

/// A day, in its one form: a shorter one is a typing error.
const DAY: &str = "2026-11-01";

impl Since {
    /// Reads `30m`, `24h`, `7d`, `4w` or `2026-11-01`.
    ///
    /// # Errors
    /// What it may look like.
    pub fn parse(text: &str) -> Result<Since> {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d");
        if let Ok(day) = day.map(Since::Day)
            && text.len() == DAY.len()
        {
            return Ok(day);
        }
        match ago(text) {
            Some(ago) => Ok(Since::Ago(ago)),
            None => bail!("it is a number of m, h, d or w, as in 7d, or a day, as in {DAY}"),
        }
    }

    /// The moment itself; what lies before all time is its beginning.
    pub fn moment(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Since::Ago(ago) => now
                .checked_sub_signed(ago)
                .unwrap_or(DateTime::<Utc>::MIN_UTC),
            Since::Day(day) => day.and_time(NaiveTime::MIN).and_utc(),
        }
    }
}

fn ago(text: &str) -> Option<TimeDelta> {
    let (at, unit) = text.char_indices().next_back()?;
    let digits = &text[..at];
    // A number may have a sign elsewhere.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u32 = digits.parse().ok()?;
    let count = i64::from(count);
    match unit {
        'm' => TimeDelta::try_minutes(count),
        'h' => TimeDelta::try_hours(count),
        'd' => TimeDelta::try_days(count),
        'w' => TimeDelta::try_weeks(count),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_while_ago_or_a_day() {
        for (text, expected) in [
            ("30m", "2026-11-20T11:30:00Z"),
            ("24h", "2026-11-19T12:00:00Z"),
            ("7d", "2026-11-13T12:00:00Z"),
            ("4w", "2026-10-23T12:00:00Z"),
            ("0d", "2026-11-20T12:00:00Z"),
            ("2026-11-01", "2026-11-01T00:00:00Z"),
        ] {
            let now: DateTime<Utc> = "2026-11-20T12:00:00Z".parse().unwrap();
            let expected: DateTime<Utc> = expected.parse().unwrap();
            assert_eq!(Since::parse(text).unwrap().moment(now), expected, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "d",
            "7",
            "7x",
            "-7d",
            "+7d",
            "2026-1-1",
            "+2026-11-01",
            "7dd",
            "1.5h",
            "2026-13-01",
            "7ü",
            "99999999999d",
        ] {
            assert!(Since::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn more_than_there_ever_was_is_everything() {
        let now: DateTime<Utc> = "2026-11-20T12:00:00Z".parse().unwrap();
        let since = Since::parse("4294967295w").unwrap();
        assert_eq!(since.moment(now), DateTime::<Utc>::MIN_UTC);
    }
}
