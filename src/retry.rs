//! The pauses: how long between two attempts, and when the next pass may try. A pass pauses for
//! seconds; anything longer is written down, and it leaves.

use crate::settings::Limits;
use crate::timestamp;
use crate::verdict::Trouble;
use crate::world::NoReply;
use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use std::time::Duration;

/// The longest Retry-After that is slept instead of written down.
const SLEPT_MAX: Duration = Duration::from_secs(5);

/// Retry-After and every other not-before is capped at a day, as in the official JavaScript exporter:
/// a server, or a jump of the clock, must not silence a machine for longer.
pub const NOT_BEFORE_MAX: TimeDelta = TimeDelta::days(1);

/// How long a pass stays away after an answer that only a person can change, or a full disk.
const HOUR: TimeDelta = TimeDelta::hours(1);

/// The most one pause is stretched or shortened by: half, so that a thousand machines spread out.
const JITTER: f64 = 0.5;

/// What to do after an attempt that may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Sleep this long, then try again.
    Pause(Duration),
    /// Try no more in this pass.
    Leave,
}

/// The pause after so many attempts, if there may be one more; `dice` in 0..1 spreads it.
pub fn next(
    limits: &Limits,
    attempts: u32,
    attempts_max: u32,
    asked: Option<TimeDelta>,
    dice: f64,
) -> Next {
    if attempts >= attempts_max {
        return Next::Leave;
    }
    let doubled = limits
        .pause_first
        .saturating_mul(1 << attempts.saturating_sub(1).min(16))
        .min(limits.pause_max);
    let spread = doubled.mul_f64(1.0 - JITTER + 2.0 * JITTER * dice.clamp(0.0, 1.0));
    match asked.map(|asked| asked.to_std().unwrap_or_default()) {
        Some(asked) if asked > SLEPT_MAX => Next::Leave,
        Some(asked) => Next::Pause(asked.max(spread)),
        None => Next::Pause(spread),
    }
}

/// Before when the next pass should not try, if this trouble says so.
pub fn not_before(
    trouble: &Trouble,
    asked: Option<TimeDelta>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    if let Some(asked) = asked {
        return Some(now + asked);
    }
    match trouble {
        // A wrong password that is sent again and again locks an account.
        Trouble::NoReply(NoReply::CredentialsWanted(_))
        // What was accepted, perhaps, must not be sent again with every pass.
        | Trouble::DoesNotAddUp { .. }
        | Trouble::Unreadable(_)
        | Trouble::Denied(_)
        | Trouble::WrongEndpoint(_)
        | Trouble::InvalidKey
        | Trouble::RefusedAlike { .. } => Some(now + HOUR),
        // A captive portal ends when its user logs in, and asking a closed door costs little.
        Trouble::NoReply(_)
        | Trouble::Status(_)
        | Trouble::NotBreeze(_)
        | Trouble::Portal(..)
        | Trouble::Redirected(_) => None,
        Trouble::Quota(_) => next_midnight(now),
    }
}

/// When to come back after a disk was too full to keep what must be kept.
pub fn after_full_disk(now: DateTime<Utc>) -> DateTime<Utc> {
    now + HOUR
}

/// Breeze resets its quota at UTC midnight.
fn next_midnight(now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let tomorrow = now.date_naive().checked_add_days(Days::new(1))?;
    Some(tomorrow.and_time(NaiveTime::MIN).and_utc())
}

/// Reads a Retry-After: seconds, or a date. Of several, which a proxy joins with commas, the longest
/// counts. Past, zero and unreadable ones are none.
pub fn retry_after(header: &str, now: DateTime<Utc>) -> Option<TimeDelta> {
    let in_seconds = header.split(',').filter_map(seconds).max();
    let asked = in_seconds.or_else(|| Some(http_date(header)? - now))?;
    (asked > TimeDelta::zero()).then_some(asked.min(NOT_BEFORE_MAX))
}

fn seconds(text: &str) -> Option<TimeDelta> {
    let seconds: f64 = text.trim().parse().ok()?;
    // NaN and the infinities are no numbers of seconds; what is left is capped before it is cast.
    let capped = seconds.is_finite().then(|| seconds.clamp(0.0, 86_400.0))?;
    TimeDelta::from_std(Duration::from_secs_f64(capped)).ok()
}

/// Reads a date of HTTP (RFC 9110, 5.6.7), and the other forms of a date with a time that servers write instead.
pub fn http_date(text: &str) -> Option<DateTime<Utc>> {
    timestamp::read_written(text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> DateTime<Utc> {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    fn pause(attempts: u32, asked: Option<i64>, dice: f64) -> Next {
        let asked = asked.map(TimeDelta::seconds);
        next(&Limits::default(), attempts, 3, asked, dice)
    }

    #[test]
    fn a_full_disk_is_given_an_hour() {
        assert_eq!(after_full_disk(now()), now() + TimeDelta::hours(1));
    }

    #[test]
    fn three_attempts_one_and_two_seconds_apart_spread_by_half() {
        let ms = |ms| Next::Pause(Duration::from_millis(ms));
        assert_eq!(
            [
                pause(1, None, 0.5),
                pause(2, None, 0.5),
                pause(3, None, 0.5)
            ],
            [ms(1000), ms(2000), Next::Leave]
        );
        assert_eq!(
            [pause(1, None, 0.0), pause(1, None, 1.0)],
            [ms(500), ms(1500)]
        );
    }

    #[test]
    fn a_pause_never_exceeds_its_cap() {
        assert_eq!(
            next(&Limits::default(), 90, 100, None, 0.5),
            Next::Pause(Duration::from_secs(30))
        );
    }

    #[test]
    fn a_short_retry_after_is_slept_and_a_long_one_left_for() {
        assert_eq!(pause(1, Some(5), 0.5), Next::Pause(Duration::from_secs(5)));
        assert_eq!(pause(1, Some(6), 0.5), Next::Leave);
    }

    #[test]
    fn retry_after_is_read_in_every_form() {
        let check = |header, expected: Option<i64>| {
            assert_eq!(
                retry_after(header, now()),
                expected.map(TimeDelta::seconds),
                "{header:?}"
            );
        };
        check("3", Some(3));
        check(" 120 ", Some(120));
        check("0", None);
        check("-5", None);
        check("NaN", None);
        check("inf", None);
        check("99999999999999999999", Some(86_400));
        check("soon", None);
        check("", None);
        check("Fri, 20 Nov 2026 12:00:10 GMT", Some(10));
        check("Friday, 20-Nov-26 12:00:10 GMT", Some(10));
        check("Fri Nov 20 12:00:10 2026", Some(10));
        check("Fri, 20 Nov 2026 11:59:59 GMT", None);
        check("Fri, 20 Nov 2026 12:00:10 -0000", Some(10));
        check("Fri, 20 Nov 2026 13:00:10 +0100", Some(10));
        check("2026-11-20T12:00:10Z", Some(10));
        check("2026-11-20T13:00:20+01:00", Some(20));
        check("2026-11-20T12:00:10", Some(10));
        check("2026-11-21", None);
        check("20261121", Some(86_400)); // seconds
        check("120, 60", Some(120));
        check("60,120", Some(120));
        check("soon, 60", Some(60));
        check("Sat, 20 Nov 2027 12:00:00 GMT", Some(86_400));
        assert_eq!(
            retry_after("0.5", now()),
            Some(TimeDelta::milliseconds(500))
        );
    }

    #[test]
    fn asctime_pads_its_day_with_a_space() {
        assert_eq!(
            http_date("Sun Nov  1 08:49:37 2026"),
            "2026-11-01T08:49:37Z".parse().ok()
        );
    }

    #[test]
    fn each_trouble_has_its_time_to_come_back() {
        let check = |trouble: Trouble, expected: Option<&str>| {
            let expected = expected.map(|text| text.parse::<DateTime<Utc>>().unwrap());
            assert_eq!(not_before(&trouble, None, now()), expected, "{trouble:?}");
        };
        check(Trouble::NoReply(NoReply::HostNotFound), None);
        check(
            Trouble::NoReply(NoReply::CredentialsWanted(None)),
            Some("2026-11-20T13:00:00Z"),
        );
        check(Trouble::Status(503), None);
        check(Trouble::NotBreeze(200), None);
        check(Trouble::Redirected(String::new()), None);
        check(Trouble::Portal(302, None), None);
        check(Trouble::Unreadable(200), Some("2026-11-20T13:00:00Z"));
        check(
            Trouble::RefusedAlike {
                status: 413,
                is_bare: true,
            },
            Some("2026-11-20T13:00:00Z"),
        );
        check(Trouble::Denied(401), Some("2026-11-20T13:00:00Z"));
        check(Trouble::WrongEndpoint(404), Some("2026-11-20T13:00:00Z"));
        check(Trouble::InvalidKey, Some("2026-11-20T13:00:00Z"));
        check(Trouble::Quota(402), Some("2026-11-21T00:00:00Z"));
        let asked = not_before(&Trouble::Status(429), Some(TimeDelta::seconds(90)), now());
        assert_eq!(asked, Some("2026-11-20T12:01:30Z".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn any_retry_after_is_read_without_panic_and_capped(header: String, seconds: i64) {
            for header in [header, seconds.to_string()] {
                if let Some(asked) = retry_after(&header, now()) {
                    prop_assert!(asked > TimeDelta::zero() && asked <= NOT_BEFORE_MAX);
                }
            }
        }
    }
}
