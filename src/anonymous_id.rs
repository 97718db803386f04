//! The anonymous id: who an event is of, without saying who. It is made once somebody has agreed,
//! and changed when a month (UTC) begins, so that nobody can be followed for longer.

use crate::clock;
use crate::consent::{self, FileState};
use crate::id;
use crate::lock;
use crate::os::{self, Open, Replacement};
use crate::paths::Paths;
use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use serde_json::{Map, Value};
use std::io;

/// The id of this month. `file` is telemetry.json as it was when consent was found in it; if it has
/// no id, or another month's, it gets a new one. `None` if it has none and cannot be written.
pub fn current(paths: &Paths, file: &FileState, now: DateTime<Utc>) -> Option<String> {
    let known = fields(file)?;
    let found = id_in(&known);
    if due(&known, now) == Due::Nothing {
        return found;
    }
    // Whoever cannot write the file has an event all the same, under the id there was.
    renew(paths, now).unwrap_or(found)
}

/// What is to be done about the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    /// It is missing, or of another month.
    NewId,
    /// Nobody knows since when it is in use; from now on somebody does.
    Date,
}

fn due(fields: &Map<String, Value>, now: DateTime<Utc>) -> Due {
    if id_in(fields).is_none() {
        return Due::NewId;
    }
    // A clock that cannot be right would change the id now, and again once it is right.
    if !clock::is_possible(now) {
        return Due::Nothing;
    }
    let since = ["rotatedAt", "createdAt"].into_iter().find_map(|key| {
        let text = fields.get(key).and_then(Value::as_str)?;
        Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
    });
    let month = |time: DateTime<Utc>| (time.year(), time.month());
    match since {
        None => Due::Date,
        Some(since) if month(since) != month(now) => Due::NewId,
        Some(_) => Due::Nothing,
    }
}

fn fields(file: &FileState) -> Option<Map<String, Value>> {
    match file {
        FileState::Bytes(bytes) => serde_json::from_slice(bytes).ok(),
        FileState::Missing | FileState::Unreadable => None,
    }
}

fn id_in(fields: &Map<String, Value>) -> Option<String> {
    let id = fields.get("anonymousId").and_then(Value::as_str);
    id.filter(|id| !id.is_empty()).map(str::to_owned)
}

/// Does what is due and writes it down, unless somebody else has just done so.
fn renew(paths: &Paths, now: DateTime<Utc>) -> io::Result<Option<String>> {
    os::create_private_dir(&paths.upload())?;
    let lock_file = os::open(&paths.consent_lock(), Open::Create)?;
    let held = lock::take(&lock_file, lock::WAIT_OF_PRODUCER)?;
    let file = consent::read(&paths.consent());
    let Some(mut fields) = fields(&file) else {
        return Ok(None);
    };
    let due = due(&fields, now);
    if held.is_none() || due == Due::Nothing {
        return Ok(id_in(&fields));
    }
    let today = Value::String(now.to_rfc3339_opts(SecondsFormat::Millis, true));
    if due == Due::NewId {
        fields.insert("anonymousId".to_owned(), Value::String(id::random()));
        if !fields.contains_key("createdAt") {
            fields.insert("createdAt".to_owned(), today.clone());
        }
    }
    fields.insert("rotatedAt".to_owned(), today);
    let mut bytes = serde_json::to_vec_pretty(&fields)?;
    bytes.push(b'\n');
    let new = Replacement::write(&paths.consent(), &bytes)?;
    // A host knows no lock of ours. If the person said no while this was written, no it is.
    if consent::read(&paths.consent()) != file {
        new.discard()?;
        return Ok(None);
    }
    new.put()?;
    Ok(id_in(&fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::fs;

    const NOW: &str = "2026-12-01T00:00:00Z";

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// What becomes of this telemetry.json: the id and the file's new text.
    fn check(file: &str, now: &str) -> (tempfile::TempDir, Option<String>, String) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::find("a", Some(folder.path()), &BTreeMap::new()).unwrap();
        fs::write(paths.consent(), file).unwrap();
        let id = current(&paths, &consent::read(&paths.consent()), at(now));
        let text = fs::read_to_string(paths.consent()).unwrap();
        (folder, id, text)
    }

    fn check_kept(file: &str, now: &str, expected: Option<&str>) {
        let (_folder, id, text) = check(file, now);
        assert_eq!((id.as_deref(), text.as_str()), (expected, file));
    }

    #[test]
    fn an_id_of_this_month_is_left_alone() {
        for since in ["2026-12-01T00:00:00Z", "2026-12-31T23:59:59.999+00:00"] {
            let file = format!(
                r#"{{"enabled":true,"anonymousId":"x","createdAt":"{NOW}","rotatedAt":"{since}"}}"#
            );
            check_kept(&file, NOW, Some("x"));
        }
        check_kept(
            &format!(r#"{{"anonymousId":"x","createdAt":"{NOW}"}}"#),
            NOW,
            Some("x"),
        );
    }

    #[test]
    fn an_id_of_another_month_is_changed_and_every_other_key_kept_in_its_place() {
        let file = r#"{"z":[1,{"y":null}],"enabled":true,"consentGiven":true,"anonymousId":"x","createdAt":"2025-12-01T00:00:00Z","rotatedAt":"2026-11-30T23:59:59Z","more":"é"}"#;
        let (_folder, id, text) = check(file, NOW);
        let id = id.unwrap();
        assert_ne!(id, "x");
        let expected = format!(
            r#"{{"z":[1,{{"y":null}}],"enabled":true,"consentGiven":true,"anonymousId":"{id}","createdAt":"2025-12-01T00:00:00Z","rotatedAt":"2026-12-01T00:00:00.000Z","more":"é"}}"#
        );
        let compact: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(compact.to_string(), expected);
        assert!(
            text.starts_with("{\n  \"z\"") && text.ends_with("\n}\n"),
            "{text}"
        );
    }

    #[test]
    fn a_missing_id_is_made() {
        for file in [
            "{}",
            r#"{"anonymousId":""}"#,
            r#"{"anonymousId":null,"createdAt":"soon"}"#,
        ] {
            let (_folder, id, text) = check(file, "1999-01-01T00:00:00Z");
            let id = id.unwrap();
            assert_eq!((id.len(), &id[14..15]), (36, "4"), "{id}");
            assert!(
                text.contains(&format!("\"anonymousId\": \"{id}\"")),
                "{text}"
            );
            assert!(text.contains("rotatedAt"), "{text}");
        }
    }

    #[test]
    fn an_id_whose_age_nobody_knows_is_of_this_month() {
        let (_folder, id, text) = check(r#"{"anonymousId":"x","rotatedAt":"soon"}"#, NOW);
        assert_eq!(id.as_deref(), Some("x"));
        assert!(
            text.contains("\"rotatedAt\": \"2026-12-01T00:00:00.000Z\""),
            "{text}"
        );
    }

    #[test]
    fn a_clock_that_cannot_be_right_changes_no_id() {
        check_kept(
            r#"{"anonymousId":"x","rotatedAt":"2026-11-01T00:00:00Z"}"#,
            "1999-01-01T00:00:00Z",
            Some("x"),
        );
    }

    #[test]
    fn what_is_no_object_is_left_alone() {
        check_kept("[]", NOW, None);
        check_kept("{", NOW, None);
    }

    #[test]
    fn two_at_once_agree() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::find("a", Some(folder.path()), &BTreeMap::new()).unwrap();
        fs::write(paths.consent(), "{}").unwrap();
        // Both saw the file without an id.
        let stale = consent::read(&paths.consent());
        let ids = [0, 1].map(|_| current(&paths, &stale, at(NOW)));
        assert!(ids[0].is_some() && ids[0] == ids[1], "{ids:?}");
    }
}
