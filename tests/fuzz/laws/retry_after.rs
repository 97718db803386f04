use super::Draw;
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;
use telemetry_upload::retry::{self, NOT_BEFORE_MAX, Next};
use telemetry_upload::settings::Limits;
use telemetry_upload::verdict::Trouble;
use telemetry_upload::world::NoReply;

/// 9999-12-31, in seconds.
const LAST: u64 = 253_402_300_799;

/// A Retry-After, whatever a server writes, asks for more than nothing and for a day at most; a number
/// of seconds asks for just that, and a date for just the time until then. No trouble keeps the next
/// pass away for longer than a day, and no pause is longer than the longest that there may be.
pub fn hold(data: &[u8]) {
    let mut draw = Draw(data);
    let second = i64::try_from(draw.number() % LAST).unwrap();
    let now = DateTime::from_timestamp(second, 0).unwrap();
    let attempts = u32::try_from(draw.number() >> 32).unwrap();
    let attempts_max = u32::from(draw.byte());
    let dice = f64::from(draw.byte()) / 256.0;
    let trouble = trouble(&mut draw);
    let header = String::from_utf8_lossy(draw.rest());

    let asked = retry::retry_after(&header, now);
    assert!(asked.is_none_or(|asked| TimeDelta::zero() < asked && asked <= NOT_BEFORE_MAX));
    check_seconds(header.trim(), asked);
    check_date(&header, now, asked);
    let not_before = retry::not_before(&trouble, asked, now);
    assert!(not_before.is_none_or(|time| now < time && time <= now + NOT_BEFORE_MAX));
    let limits = Limits::default();
    match retry::next(&limits, attempts, attempts_max, asked, dice) {
        Next::Pause(pause) => {
            assert!(attempts < attempts_max && pause <= limits.pause_max.mul_f64(1.5));
            let asked = asked.map(|asked| asked.to_std().unwrap());
            assert!(asked.is_none_or(|asked| asked <= pause && asked <= Duration::from_secs(5)));
        }
        Next::Leave => assert!(attempts >= attempts_max || asked.is_some()),
    }
}

fn trouble(draw: &mut Draw) -> Trouble {
    match draw.below(6) {
        0 => Trouble::Quota(402),
        1 => Trouble::Denied(401),
        2 => Trouble::NotBreeze(200),
        3 => Trouble::NoReply(NoReply::HostNotFound),
        4 => Trouble::Redirected(String::new()),
        _ => Trouble::Status(u16::from(draw.byte())),
    }
}

fn check_seconds(header: &str, asked: Option<TimeDelta>) {
    let is_number = !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && header.len() < 300 {
        let seconds = header.parse().unwrap_or(i64::MAX).min(86_400);
        assert_eq!(asked.map_or(0, |asked| asked.num_seconds()), seconds);
    }
}

fn check_date(header: &str, now: DateTime<Utc>, asked: Option<TimeDelta>) {
    if let Some(date) = retry::http_date(header) {
        let until = (date - now).min(NOT_BEFORE_MAX);
        assert_eq!(asked.unwrap_or_default(), until.max(TimeDelta::zero()));
        let again = date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        assert_eq!(retry::http_date(&again), Some(date));
    }
}
