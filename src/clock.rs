//! Whether the clock may be believed. Only the age of events hangs on it, and an event dropped for a
//! wrong clock's sake is lost.

use crate::os;
use crate::retry;
use crate::settings::RELEASED_ON;
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// A clock that runs further ahead than this in years is wrong: nobody runs a version so old.
const YEARS_AHEAD_MAX: u64 = 20;

/// Within one start of the machine the clock may drift this far from the time that really passed;
/// more is a step. NTP corrects seconds, a wrong time zone is exactly an hour.
const STEP_MAX: TimeDelta = TimeDelta::hours(1);

/// From here on the server's clock is believed before ours.
const SKEW_MAX: TimeDelta = TimeDelta::minutes(5);

/// One reading, kept for the next pass to compare.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reading {
    at: DateTime<Utc>,
    boot_id: String,
    uptime_s: i64,
}

impl Reading {
    /// What the clock and the uptime say together.
    pub fn new(at: DateTime<Utc>, boot: Option<(String, i64)>) -> Option<Reading> {
        boot.map(|(boot_id, uptime_s)| Reading {
            at,
            boot_id,
            uptime_s,
        })
    }
}

/// What is known of our clock in this pass.
#[derive(Clone, Debug)]
pub struct Clock {
    /// What it and the uptime say together.
    pub reading: Option<Reading>,
    /// Whether it can be right, and was not stepped since it was last believed.
    pub credible: bool,
    /// Whether the server's clock agrees with it.
    pub confirmed: bool,
}

impl Clock {
    /// Reads the clock at `now`, and compares it with when it was last believed.
    pub fn read(now: DateTime<Utc>, last: Option<&Reading>) -> Clock {
        let reading = Reading::new(now, os::boot());
        Clock {
            credible: is_credible(now, last, reading.as_ref()),
            confirmed: false,
            reading,
        }
    }

    /// The reading that the next pass may compare with: one that is believed, or none. Else a step
    /// would be distrusted by one pass only.
    pub fn believed(&self) -> Option<&Reading> {
        self.reading
            .as_ref()
            .filter(|_| self.credible || self.confirmed)
    }
}

/// Whether the clock can be right, and was not stepped since the last pass.
fn is_credible(now: DateTime<Utc>, last: Option<&Reading>, current: Option<&Reading>) -> bool {
    let stepped = match (last, current) {
        (Some(last), Some(current)) if last.boot_id == current.boot_id => {
            let passed = TimeDelta::seconds(current.uptime_s.saturating_sub(last.uptime_s));
            ((current.at - last.at) - passed).abs() > STEP_MAX
        }
        _ => false,
    };
    is_possible(now) && !stepped
}

/// Whether it can be this late, or this early, at all while this version is in use.
pub fn is_possible(now: DateTime<Utc>) -> bool {
    let Ok(released) = RELEASED_ON.parse::<NaiveDate>() else {
        return true;
    };
    let earliest = released.checked_sub_days(Days::new(1));
    let latest = released.checked_add_days(Days::new(YEARS_AHEAD_MAX * 365));
    earliest.is_none_or(|day| now.date_naive() >= day)
        && latest.is_none_or(|day| now.date_naive() <= day)
}

/// How far the server's clock is ahead of ours; none if it does not say, or says the impossible: a
/// server that says 2099 is no better than a clock that does.
pub fn ahead(date: &str, now: DateTime<Utc>) -> Option<TimeDelta> {
    let date = retry::http_date(date).filter(|date| is_possible(*date))?;
    Some(date - now)
}

/// Whether two clocks so far apart are told apart at all.
pub fn differ(ahead: TimeDelta) -> bool {
    ahead.abs() > SKEW_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn reading(at_text: &str, boot_id: &str, uptime_s: i64) -> Reading {
        Reading {
            at: at(at_text),
            boot_id: boot_id.to_owned(),
            uptime_s,
        }
    }

    #[test]
    fn a_clock_before_the_release_or_decades_after_it_is_wrong() {
        let check = |now, expected| assert_eq!(is_credible(at(now), None, None), expected, "{now}");
        check("1970-01-01T00:00:00Z", false);
        check("2026-11-19T23:59:59Z", false);
        check("2026-11-20T00:00:00Z", true);
        check("2046-01-01T00:00:00Z", true);
        check("2047-01-01T00:00:00Z", false);
    }

    #[test]
    fn a_step_within_one_boot_is_seen_and_time_that_passed_is_not_a_step() {
        let last = reading("2026-12-01T00:00:00Z", "a", 1000);
        let check = |now: &str, boot, uptime, expected| {
            let current = reading(now, boot, uptime);
            assert_eq!(
                is_credible(at(now), Some(&last), Some(&current)),
                expected,
                "{now} {boot} {uptime}"
            );
        };
        check("2026-12-02T00:00:00Z", "a", 87_400, true);
        check("2027-01-10T00:00:00Z", "a", 1060, false);
        check("2026-11-25T00:00:00Z", "a", 1060, false);
        check("2027-01-10T00:00:00Z", "b", 60, true);
    }

    #[test]
    fn a_skew_of_minutes_is_ignored() {
        let now = at("2026-11-20T12:00:00Z");
        let check = |date: &str, seconds: i64, expected: bool| {
            let found = ahead(date, now).unwrap();
            assert_eq!(found, TimeDelta::seconds(seconds), "{date}");
            assert_eq!(differ(found), expected, "{date}");
        };
        check("Fri, 20 Nov 2026 12:05:00 GMT", 300, false);
        check("Fri, 20 Nov 2026 12:05:01 GMT", 301, true);
        check("Fri, 20 Nov 2026 11:00:00 GMT", -3600, true);
        for date in [
            "yesterday",
            "Thu, 01 Jan 2099 00:00:00 GMT",
            "Mon, 31 Dec +262142 23:59:59 GMT",
        ] {
            assert_eq!(ahead(date, now), None, "{date}");
        }
    }
}
