//! A report as one JSON object.

use super::reckoning::{Delay, Reckoning};
use super::tally::{By, Row};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Everything that was counted, by each of `by`.
pub fn json(reckoning: &Reckoning, by: &[By], now: DateTime<Utc>) -> Value {
    let stamp = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let total = reckoning.total();
    let delay = |(kind, delay): (&String, &Delay)| json!({"delay": kind, "events": delay.events, "hoursMax": delay.hours_max});
    // The name of a file need not be a text.
    let names = |paths: &[PathBuf]| -> Vec<String> {
        let names = paths.iter().map(|path| path.display().to_string());
        names.collect()
    };
    let tables = by.iter().map(|by| {
        let rows = reckoning.rows(*by);
        let rows: Value = rows.iter().map(|row| object(by.name(), row)).collect();
        (by.name().to_owned(), rows)
    });
    json!({
        "since": stamp(reckoning.since),
        "until": stamp(now),
        "files": names(&reckoning.files),
        "lines": reckoning.lines,
        "copies": reckoning.copies,
        "withoutId": reckoning.without_id,
        "older": reckoning.older,
        "oldest": reckoning.oldest.map(stamp),
        "damaged": reckoning.damaged,
        "notCounted": reckoning.beyond,
        "changed": names(&reckoning.changed),
        "forgot": reckoning.forgot,
        "events": total.events,
        "people": total.people,
        "sessions": total.sessions,
        "succeeded": total.succeeded,
        "failed": total.failed,
        "by": tables.collect::<Map<String, Value>>(),
        "delays": reckoning.delays.iter().map(delay).collect::<Value>(),
    })
}

fn object(name: &str, row: &Row) -> Value {
    json!({
        name: row.name,
        "events": row.events,
        "people": row.people,
        "sessions": row.sessions,
        "succeeded": row.succeeded,
        "failed": row.failed,
        "successPercent": row.success_percent(),
    })
}
