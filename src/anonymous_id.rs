//! The anonymous id: who an event is of, without saying who. It is made once somebody has agreed,
//! and changed when a month (UTC) begins, so that nobody can be followed for longer.

use crate::clock;
use crate::consent::{self, FileState};
use crate::id;
use crate::lease::{self, Lease};
use crate::lock;
use crate::os::{self, Open, Replacement};
use crate::paths::Paths;
use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use serde_json::{Map, Value};
use std::fs;
use std::io;
use std::path::Path;

/// The id in telemetry.json as it was read.
pub fn of(file: &FileState) -> Option<String> {
    id_in(&fields(file)?)
}

/// Whether the id is missing or of another month, or nobody knows of which.
pub fn is_due(file: &FileState, now: DateTime<Utc>) -> bool {
    fields(file).is_some_and(|fields| due(&fields, now) != Due::Nothing)
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
        FileState::Missing | FileState::Refused(_) => None,
    }
}

fn id_in(fields: &Map<String, Value>) -> Option<String> {
    let id = fields.get("anonymousId").and_then(Value::as_str);
    id.filter(|id| !id.is_empty()).map(str::to_owned)
}

/// Does what is due and writes it down, unless somebody else has just done so.
///
/// # Errors
/// The file, its folder or the lock cannot be used.
pub fn renew(paths: &Paths, now: DateTime<Utc>) -> io::Result<()> {
    os::create_private_dir(&paths.upload())?;
    let lock_file = os::open(&paths.consent_lock(), Open::Create)?;
    let Some(_held) = lock::take(&lock_file, lock::WAIT_OF_PRODUCER)? else {
        return Ok(());
    };
    let path = paths.consent();
    let file = consent::read(&path);
    let (FileState::Bytes(before), Some(mut fields)) = (&file, fields(&file)) else {
        return Ok(());
    };
    match due(&fields, now) {
        Due::Nothing => return Ok(()),
        Due::Date => {}
        Due::NewId => {
            fields.insert("anonymousId".to_owned(), Value::String(id::random()));
        }
    }
    let today = Value::String(now.to_rfc3339_opts(SecondsFormat::Millis, true));
    for key in ["createdAt", "rotatedAt"] {
        if key == "rotatedAt" || !fields.contains_key(key) {
            fields.insert(key.to_owned(), today.clone());
        }
    }
    let mut after = serde_json::to_vec_pretty(&fields)?;
    after.push(b'\n');
    let new = Replacement::write(&path, &after)?;
    // Somebody who only reads it is gone in a moment.
    let replaced = lock::patiently(lock::WAIT_OF_PRODUCER, || {
        replace(&path, &new, before, &after)
    });
    match replaced {
        Err(err) if err.kind() == io::ErrorKind::Unsupported => {
            // A window of microseconds remains here.
            if consent::read(&path) == file {
                return new.put();
            }
            new.discard()
        }
        Err(err) => {
            // Ours goes. What somebody else has written stays where it can be found.
            if consent::read(new.other()) == FileState::Bytes(after) {
                let _ = new.discard();
            }
            Err(err)
        }
        Ok(_) => new.discard(),
    }
}

/// Replaces the file unless it is no longer what it was; `None` if it was left as it is. A host knows no lock of ours, and what it
/// writes may be the person's no: it must not be replaced by the yes that was read before, whether it
/// comes by a rename or into the file itself. So nobody may have the file open, and after the exchange
/// the one that came out is looked at; if it is not the one that was read, it goes back.
fn replace(path: &Path, new: &Replacement, before: &[u8], after: &[u8]) -> io::Result<Option<()>> {
    let current = os::open(path, Open::Update)?;
    let lease = lease::take(&current);
    if matches!(lease, Lease::Refused) {
        return Ok(None);
    }
    let inode_before = os::inode(&current.metadata()?);
    new.exchange()?;
    // From here on nothing may end this but an exchange that fails.
    let inode = |path: &Path| fs::symlink_metadata(path).map(|found| os::inode(&found));
    let content = os::read_up_to(&current, before.len() as u64);
    let is_wanted = matches!(&lease, Lease::Held(held) if held.is_wanted());
    let is_same = inode(new.other()).ok() == Some(inode_before);
    if is_same && content.is_ok_and(|content| content == before) && !is_wanted {
        return Ok(Some(()));
    }
    new.exchange()?;
    drop(lease);
    // Should ours not have come out, somebody has replaced it: theirs is the last word.
    if consent::read(new.other()) != FileState::Bytes(after.to_vec()) {
        new.exchange()?;
    }
    Ok(None)
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

    /// What stands there after a renewal during which somebody else wrote the file.
    fn check_race(write: impl Fn(&Path)) -> Value {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::find("a", Some(folder.path()), &BTreeMap::new()).unwrap();
        let before = br#"{"enabled":true}"#;
        fs::write(paths.consent(), before).unwrap();
        let after = br#"{"enabled":true,"anonymousId":"new"}"#;
        let new = Replacement::write(&paths.consent(), after).unwrap();
        write(&paths.consent());
        replace(&paths.consent(), &new, before, after).unwrap();
        new.discard().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        serde_json::from_slice(&fs::read(paths.consent()).unwrap()).unwrap()
    }

    #[test]
    fn the_persons_no_is_never_replaced_by_a_yes() {
        let no = r#"{"enabled":false}"#;
        let by_rename = check_race(|path| {
            fs::write(path.with_extension("theirs"), no).unwrap();
            fs::rename(path.with_extension("theirs"), path).unwrap();
        });
        let in_place = check_race(|path| fs::write(path, no).unwrap());
        for consent in [by_rename, in_place] {
            assert_eq!(consent["enabled"], false);
        }
        assert_eq!(check_race(|_| {})["anonymousId"], "new");
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
