//! One line of a store, an envelope → what a report wants to know of the event in it.

use crate::os;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

/// An event as it arrived. A text that is missing or empty is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    /// What tells it from every other.
    pub id: Option<String>,
    /// When it happened, or, where it does not say, when it was sent.
    pub happened: DateTime<Utc>,
    /// When it was sent, if that is too far from when it happened; else the same.
    pub sent: DateTime<Utc>,
    /// Why the two differ: `late`, `early` or `unknown`.
    pub adjusted: Option<String>,
    /// The anonymous id.
    pub person: Option<String>,
    /// The session.
    pub session: Option<String>,
    /// The application.
    pub host: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The agent.
    pub agent: Option<String>,
    /// The command.
    pub command: Option<String>,
    /// The commands of a session, joined by commas.
    pub commands: Option<String>,
    /// Whether it succeeded.
    pub success: Option<bool>,
}

/// A line in which nothing can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

impl Arrival {
    /// Reads a line. None if it is telemetry of another kind: an SDK may have sent it.
    pub(super) fn read(line: &[u8]) -> Result<Option<Arrival>, Damaged> {
        let line = os::without_byte_order_mark(line);
        let envelope: Envelope = serde_json::from_slice(line).map_err(|_| Damaged)?;
        if envelope.data.base_type != "EventData" {
            return Ok(None);
        }
        let properties = envelope.data.base_data.properties.unwrap_or_default();
        let tags = envelope.tags.unwrap_or_default();
        let sent = moment(&envelope.time);
        let happened = moment(&properties.timestamp).or(sent).ok_or(Damaged)?;
        Ok(Some(Arrival {
            id: text(properties.event_id),
            happened,
            sent: sent.unwrap_or(happened),
            adjusted: text(properties.time_adjusted),
            person: text(tags.person),
            session: text(tags.session),
            host: text(tags.host),
            version: text(tags.version),
            agent: text(properties.agent_type),
            command: text(properties.command),
            commands: text(properties.commands),
            success: match text(properties.success).as_deref() {
                Some("true") => Some(true),
                Some("false") => Some(false),
                _ => None,
            },
        }))
    }
}

/// Only what is wanted. The values are of any kind: a wrong one is as good as none.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    time: Value,
    #[serde(default)]
    tags: Option<Tags>,
    data: Data,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tags {
    #[serde(rename = "ai.user.id")]
    person: Value,
    #[serde(rename = "ai.session.id")]
    session: Value,
    #[serde(rename = "ai.application.ver")]
    version: Value,
    #[serde(rename = "ai.cloud.role")]
    host: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    #[serde(default)]
    base_type: String,
    #[serde(default)]
    base_data: BaseData,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BaseData {
    properties: Option<Properties>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Properties {
    timestamp: Value,
    time_adjusted: Value,
    event_id: Value,
    agent_type: Value,
    command: Value,
    commands: Value,
    success: Value,
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn moment(value: &Value) -> Option<DateTime<Utc>> {
    let moment = DateTime::parse_from_rfc3339(value.as_str()?).ok()?;
    Some(moment.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(line: &Value) -> Result<Option<Arrival>, Damaged> {
        Arrival::read(line.to_string().as_bytes())
    }

    fn envelope(properties: &Value) -> Value {
        json!({
            "time": "2026-11-20T12:00:00Z",
            "data": {"baseType": "EventData", "baseData": {"name": "x", "properties": properties}},
        })
    }

    fn check(properties: &Value, at: &str, success: Option<bool>) {
        let arrival = read(&envelope(properties)).unwrap().unwrap();
        let at: DateTime<Utc> = at.parse().unwrap();
        assert_eq!(
            (arrival.happened, arrival.success),
            (at, success),
            "{properties}"
        );
    }

    #[test]
    fn it_happened_when_it_says_and_else_when_it_was_sent() {
        check(
            &json!({"timestamp": "2026-11-01T01:00:00+02:00"}),
            "2026-10-31T23:00:00Z",
            None,
        );
        for odd in [
            json!({}),
            json!({"timestamp": 7}),
            json!({"timestamp": "soon"}),
            json!(null),
        ] {
            check(&odd, "2026-11-20T12:00:00Z", None);
        }
    }

    #[test]
    fn success_is_said_or_not() {
        for (success, expected) in [
            (json!("true"), Some(true)),
            (json!("false"), Some(false)),
            (json!("maybe"), None),
            (json!(1), None),
        ] {
            check(
                &json!({"success": success}),
                "2026-11-20T12:00:00Z",
                expected,
            );
        }
    }

    #[test]
    fn an_empty_text_is_none() {
        let arrival = read(&envelope(&json!({"event_id": "", "command": ""})))
            .unwrap()
            .unwrap();
        assert_eq!((arrival.id, arrival.command), (None, None));
    }

    #[test]
    fn other_telemetry_is_no_event_and_no_damage() {
        let line = json!({"time": "2026-11-20T12:00:00Z", "data": {"baseType": "MessageData"}});
        assert_eq!(read(&line), Ok(None));
    }

    #[test]
    fn what_cannot_be_read_is_damaged() {
        for line in [
            "",
            "{",
            "[]",
            "7",
            "{\"data\":{\"baseType\":\"EventData\"}}",
            "\u{0}",
        ] {
            assert_eq!(Arrival::read(line.as_bytes()), Err(Damaged), "{line}");
        }
        assert_eq!(Arrival::read(b"\xff\xfe"), Err(Damaged));
    }
}
