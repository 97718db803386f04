//! Envelopes and rejected lines as a person reads them.

use serde_json::Value;

/// An envelope: its time, its name and how it fared, and below them what it carries, under the names of
/// the columns in which Azure shows it.
pub fn envelope(envelope: &Value, outcome: &str) -> Vec<String> {
    let data = &envelope["data"]["baseData"];
    let (time, name) = (word(&envelope["time"]), word(&data["name"]));
    let mut lines = vec![format!("{time} {name}{outcome}")];
    for (table, column) in [
        ("properties", "customDimensions"),
        ("measurements", "customMeasurements"),
    ] {
        let pairs = data[table].as_object().into_iter().flatten();
        let pairs: Vec<String> = pairs
            .map(|(key, value)| format!("{key}={}", word(value)))
            .collect();
        if !pairs.is_empty() {
            lines.push(format!("  {column}: {}", pairs.join("  ")));
        }
    }
    lines
}

/// A line of rejected.jsonl: when, from where and why, and below it what the producer wrote.
pub fn rejection(rejection: &Value) -> Vec<String> {
    let [at, buffer, reason, detail, line] =
        ["at", "buffer", "reason", "detail", "line"].map(|key| word(&rejection[key]));
    vec![
        format!("{at} {buffer}: {reason} ({detail})"),
        format!("  {line}"),
    ]
}

fn word(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
