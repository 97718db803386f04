//! The anonymous id: who an event is of, without saying who. It is made once somebody has agreed,
//! and changed when a month (UTC) begins, so that nobody can be followed for longer.

use crate::answer::{self, Fields};
use crate::clock;
use crate::consent::FileState;
use crate::id;
use crate::paths::Paths;
use anyhow::Result;
use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use serde_json::Value;

/// The id in telemetry.json as it was read.
pub fn of(file: &FileState) -> Option<String> {
    id_in(&answer::fields(file).ok()??)
}

/// Whether the id is missing or of another month, or nobody knows of which.
pub fn is_due(file: &FileState, now: DateTime<Utc>) -> bool {
    let fields = answer::fields(file).ok().flatten();
    fields.is_some_and(|fields| due(&fields, now) != Due::Nothing)
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

fn due(fields: &Fields, now: DateTime<Utc>) -> Due {
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

fn id_in(fields: &Fields) -> Option<String> {
    let id = fields.get("anonymousId").and_then(Value::as_str);
    id.filter(|id| !id.is_empty()).map(str::to_owned)
}

/// The fields with what is due done; `None` if nothing is.
pub fn renewed(mut fields: Fields, now: DateTime<Utc>) -> Option<Fields> {
    match due(&fields, now) {
        Due::Nothing => return None,
        Due::Date => {}
        Due::NewId => set_new(&mut fields),
    }
    date(&mut fields, now);
    Some(fields)
}

/// The fields with another id, whose month begins now.
pub fn reset(mut fields: Fields, now: DateTime<Utc>) -> Fields {
    set_new(&mut fields);
    date(&mut fields, now);
    fields
}

fn set_new(fields: &mut Fields) {
    fields.insert("anonymousId".to_owned(), Value::String(id::random()));
}

fn date(fields: &mut Fields, now: DateTime<Utc>) {
    let today = Value::String(now.to_rfc3339_opts(SecondsFormat::Millis, true));
    for key in ["createdAt", "rotatedAt"] {
        if key == "rotatedAt" || !fields.contains_key(key) {
            fields.insert(key.to_owned(), today.clone());
        }
    }
}

/// Does what is due and writes it down, unless somebody else has just done so, or is at the file.
///
/// # Errors
/// The file, its folder or the lock cannot be used.
pub fn renew(paths: &Paths, now: DateTime<Utc>) -> Result<()> {
    answer::change_once(paths, |fields| renewed(fields?, now))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent;
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
        if is_due(&consent::read(&paths.consent()), at(now)) {
            renew(&paths, at(now)).unwrap();
        }
        let id = of(&consent::read(&paths.consent()));
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
    #[cfg(target_os = "linux")]
    fn while_somebody_has_the_file_open_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::find("a", Some(folder.path()), &BTreeMap::new()).unwrap();
        fs::write(paths.consent(), "{}").unwrap();
        let theirs = fs::File::options()
            .write(true)
            .open(paths.consent())
            .unwrap();
        renew(&paths, at(NOW)).unwrap();
        assert_eq!(fs::read_to_string(paths.consent()).unwrap(), "{}");
        drop(theirs);
        renew(&paths, at(NOW)).unwrap();
        assert!(of(&consent::read(&paths.consent())).is_some());
    }

    #[test]
    fn two_at_once_agree() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::find("a", Some(folder.path()), &BTreeMap::new()).unwrap();
        fs::write(paths.consent(), "{}").unwrap();
        let ids = [0, 1].map(|_| {
            renew(&paths, at(NOW)).unwrap();
            of(&consent::read(&paths.consent()))
        });
        assert!(ids[0].is_some() && ids[0] == ids[1], "{ids:?}");
    }
}
