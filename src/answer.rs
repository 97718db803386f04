//! The person's answer, telemetry.json, and the one way in which it is changed here.
//!
//! A host knows no lock of ours, and what it writes may be the person's no: it must not be replaced by a
//! yes that was read before. So a change is made of what stands there at that very moment, or not at all.

use crate::consent::{self, CONSENT_BYTES_MAX, FileState};
use crate::lease::{self, Lease};
use crate::lock;
use crate::os::{self, Open, Replacement};
use crate::paths::Paths;
use crate::world::Patience;
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

mod damaged;

pub use damaged::{Damaged, names_set_aside};

/// The longest wait of a person for others who are at the file; each of them takes microseconds.
const WAIT_OF_PERSON: Duration = Duration::from_secs(3);

/// What the file says, in its order; keys of other programs included.
pub type Fields = Map<String, Value>;

/// The fields of the file as it was read; `None` if there is none.
///
/// # Errors
/// It is not one that could be changed without a loss, and why.
pub fn fields(file: &FileState) -> Result<Option<Fields>> {
    let Some(pairs) = pairs(file)? else {
        return Ok(None);
    };
    let mut seen = BTreeSet::new();
    if let Some((key, _)) = pairs.iter().find(|(key, _)| !seen.insert(key)) {
        bail!("the key {key:?} stands there twice");
    }
    Ok(Some(pairs.into_iter().collect()))
}

/// The same, but of a key that stands there twice the last one, as most programs read it.
fn last_fields(file: &FileState) -> Result<Option<Fields>> {
    Ok(pairs(file)?.map(|pairs| pairs.into_iter().collect()))
}

fn pairs(file: &FileState) -> Result<Option<Vec<(String, Value)>>> {
    match file {
        FileState::Missing => Ok(None),
        FileState::Refused(why) => bail!("{why}"),
        FileState::Shut => bail!("{}", consent::SHUT),
        FileState::Bytes(bytes) => consent::pairs(bytes).map(Some).map_err(anyhow::Error::msg),
    }
}

/// How much may stand in the way of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Nothing: a yes, or another id.
    Careful,
    /// A no is the last thing to fail. It does without a lock that cannot be had, of a key that stands
    /// there twice it keeps the last one, and it takes the place of a file that may not be written.
    Refusal,
}

impl Change {
    fn fields(self, file: &FileState) -> Result<Option<Fields>> {
        match self {
            Change::Careful => fields(file),
            Change::Refusal => last_fields(file),
        }
    }
}

/// Changes the file as a person asked, making it and its folder if they are missing. Should others write
/// it at the same moment, `edit` is asked again about what they wrote. It leaves the file as it is by
/// returning nothing.
///
/// # Errors
/// The file cannot be changed, and why; it is as it was.
pub fn change(paths: &Paths, edit: impl Fn(Option<Fields>) -> Option<Fields>) -> Result<()> {
    change_patiently(paths, Change::Careful, edit)
}

/// The same for a no. It also works where telemetry.json cannot be read: that file is set aside, and returned.
///
/// # Errors
/// The file cannot be changed, and why; it is as it was.
pub fn refuse(
    paths: &Paths,
    edit: impl Fn(Option<Fields>) -> Option<Fields>,
) -> Result<Option<Damaged>> {
    let damaged = damaged::set_aside(paths)?;
    match (change_patiently(paths, Change::Refusal, edit), &damaged) {
        (Err(err), Some(damaged)) => Err(damaged.put_back(paths, err)),
        (done, _) => done.map(|()| damaged),
    }
}

fn change_patiently(
    paths: &Paths,
    change: Change,
    edit: impl Fn(Option<Fields>) -> Option<Fields>,
) -> Result<()> {
    let path = paths.consent();
    let context = || format!("cannot change {}", path.display());
    // Before anything is made: what is refused shall be as it was.
    change.fields(&consent::read(&path)).with_context(context)?;
    make_data_folder(paths).with_context(context)?;
    let patience = Patience::of(WAIT_OF_PERSON);
    while !attempt(paths, change, &edit).with_context(context)? {
        if patience.left().is_zero() {
            bail!(
                "{}: another program keeps writing it, or holds it or {} open",
                context(),
                paths.consent_lock().display()
            );
        }
        lock::step();
    }
    os::sync_dir(paths.data()).with_context(context)
}

fn make_data_folder(paths: &Paths) -> io::Result<()> {
    let data = paths.data();
    os::check_root_is_at_home(data)?;
    if fs::metadata(data).is_ok() {
        os::check_dir(data)
    } else {
        os::create_private_dir(data)
    }
}

/// Changes the file, unless others are at it; whether they were not.
///
/// # Errors
/// The file, its folder or the lock cannot be used.
pub fn change_once(
    paths: &Paths,
    edit: impl FnOnce(Option<Fields>) -> Option<Fields>,
) -> Result<bool> {
    attempt(paths, Change::Careful, edit)
}

fn attempt(
    paths: &Paths,
    change: Change,
    edit: impl FnOnce(Option<Fields>) -> Option<Fields>,
) -> Result<bool> {
    match change {
        Change::Careful => {
            let lock_file = open_lock(paths)?;
            let Some(_held) = lock::take(&lock_file, lock::WAIT_OF_PRODUCER)? else {
                return Ok(false);
            };
            write(paths, change, edit)
        }
        Change::Refusal => {
            // Whoever holds it for longer hangs, or was stopped.
            let lock_file = open_lock(paths).ok();
            let _held = lock_file
                .as_ref()
                .map(|file| lock::take(file, lock::WAIT_OF_PRODUCER));
            write(paths, change, edit)
        }
    }
}

fn open_lock(paths: &Paths) -> Result<File> {
    let (folder, path) = (paths.upload(), paths.consent_lock());
    os::create_private_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    os::open(&path, Open::Create).with_context(|| format!("cannot open {}", path.display()))
}

fn write(
    paths: &Paths,
    change: Change,
    edit: impl FnOnce(Option<Fields>) -> Option<Fields>,
) -> Result<bool> {
    let path = paths.consent();
    let file = consent::read(&path);
    let Some(fields) = edit(change.fields(&file)?) else {
        return Ok(true);
    };
    let after = written(&fields)?;
    if matches!(&file, FileState::Bytes(before) if *before == after) {
        return Ok(true);
    }
    let new = Replacement::write(&path, &after).context("cannot write beside it")?;
    let FileState::Bytes(before) = &file else {
        return Ok(new.put_if_absent()?);
    };
    // Somebody who only reads it is gone in a moment.
    let replaced = lock::patiently(lock::WAIT_OF_PRODUCER, || {
        replace(&path, &new, before, &after)
    });
    match replaced {
        Err(err) if may_be_renamed(change, &err) => {
            // A window of microseconds remains here.
            let is_same = consent::read(&path) == file;
            if is_same { new.put() } else { new.discard() }?;
            Ok(is_same)
        }
        Err(err) => {
            // Ours goes. What somebody else has written stays where it can be found.
            if consent::read(new.other()) == FileState::Bytes(after) {
                let _ = new.discard();
            }
            Err(err.into())
        }
        Ok(replaced) => {
            new.discard()?;
            Ok(replaced == Some(Replaced::Yes))
        }
    }
}

/// Whether the file, which was not touched, can still be replaced without a look at what comes out.
fn may_be_renamed(change: Change, err: &io::Error) -> bool {
    match err.kind() {
        io::ErrorKind::Unsupported => true,
        io::ErrorKind::PermissionDenied => change == Change::Refusal,
        _ => false,
    }
}

/// The new text: for people, or without blanks where it would be too long to be read again.
fn written(fields: &Fields) -> Result<Vec<u8>> {
    let is_too_long = |text: &[u8]| text.len() as u64 > CONSENT_BYTES_MAX;
    let mut text = serde_json::to_vec_pretty(fields)?;
    text.push(b'\n');
    if is_too_long(&text) {
        text = serde_json::to_vec(fields)?;
    }
    if is_too_long(&text) {
        bail!("it would be too long to be read again");
    }
    Ok(text)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replaced {
    Yes,
    /// It is no longer what it was.
    No,
}

/// Replaces the file unless it is no longer what it was; `None` if somebody has it open. What a host
/// writes may come by a rename or into the file itself. So nobody may have the file open, and after the
/// exchange the one that came out is looked at; if it is not the one that was read, it goes back.
fn replace(
    path: &Path,
    new: &Replacement,
    before: &[u8],
    after: &[u8],
) -> io::Result<Option<Replaced>> {
    let current = match os::open(path, Open::Update) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Some(Replaced::No)),
        Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        opened => opened?,
    };
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
    let is_same_file = inode(new.other()).ok() == Some(inode_before);
    let is_same = is_same_file && content.is_ok_and(|content| content == before);
    if is_same && !is_wanted {
        return Ok(Some(Replaced::Yes));
    }
    new.exchange()?;
    drop(lease);
    // Should ours not have come out, somebody has replaced it: theirs is the last word.
    if consent::read(new.other()) != FileState::Bytes(after.to_vec()) {
        new.exchange()?;
    }
    Ok((!is_same).then_some(Replaced::No))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::{Consent, Rule};
    use std::collections::BTreeMap;

    pub(super) fn sandbox() -> (tempfile::TempDir, Paths) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::find("a", Some(folder.path()), &BTreeMap::new()).unwrap();
        (folder, paths)
    }

    /// What stands there after a renewal during which somebody else wrote the file.
    fn check_race(write: impl Fn(&Path)) -> Value {
        let (folder, paths) = sandbox();
        let before = br#"{"enabled":true}"#;
        fs::write(paths.consent(), before).unwrap();
        let after = br#"{"enabled":true,"anonymousId":"new"}"#;
        let new = Replacement::write(&paths.consent(), after).unwrap();
        write(&paths.consent());
        // A program that another test starts holds the file open for a moment.
        let replaced = lock::patiently(WAIT_OF_PERSON, || {
            replace(&paths.consent(), &new, before, after)
        });
        assert!(replaced.unwrap().is_some());
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

    fn yes(fields: Option<Fields>) -> Fields {
        let mut fields = fields.unwrap_or_default();
        fields.insert("enabled".to_owned(), true.into());
        fields
    }

    /// What stands there after a person's yes.
    fn check_yes(before: Option<&str>, expected: &str) {
        let (_folder, paths) = sandbox();
        if let Some(before) = before {
            fs::write(paths.consent(), before).unwrap();
        }
        change(&paths, |fields| Some(yes(fields))).unwrap();
        let compact: Value = serde_json::from_slice(&fs::read(paths.consent()).unwrap()).unwrap();
        assert_eq!(compact.to_string(), expected);
        assert!(
            !paths
                .data()
                .join("telemetry.json.telemetry-upload.new")
                .exists()
        );
    }

    #[test]
    fn keys_of_others_stay_in_their_places() {
        check_yes(None, r#"{"enabled":true}"#);
        check_yes(Some("{}"), r#"{"enabled":true}"#);
        check_yes(Some("\u{feff}{\"z\":1}"), r#"{"z":1,"enabled":true}"#);
        check_yes(
            Some(r#"{"z":[1,{"y":null}],"enabled":"no","more":"é"}"#),
            r#"{"z":[1,{"y":null}],"enabled":true,"more":"é"}"#,
        );
    }

    #[test]
    fn what_could_not_be_kept_is_not_changed() {
        for (before, why) in [
            ("[]", "it is not one JSON object"),
            ("{", "it is not one JSON object"),
            (r#"{"x":1,"x":1}"#, "the key \"x\" stands there twice"),
            ("{\"enabled\":true,}", "it is not one JSON object"),
        ] {
            let (folder, paths) = sandbox();
            fs::write(paths.consent(), before).unwrap();
            let err = format!(
                "{:#}",
                change(&paths, |fields| Some(yes(fields))).unwrap_err()
            );
            assert!(err.ends_with(why), "{err}");
            assert_eq!(fs::read_to_string(paths.consent()).unwrap(), before);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_no_is_possible_where_a_yes_would_lose_something() {
        let (_folder, paths) = sandbox();
        let twice = r#"{"x":1,"enabled":true,"x":2,"enabled":true,"consentGiven":true}"#;
        let long = format!(
            r#"{{"enabled":true,"consentGiven":true,"n":[{}0]}}"#,
            "0,".repeat(20_000)
        );
        for before in [twice, &long] {
            fs::write(paths.consent(), before).unwrap();
            let allowed = consent::ask(&BTreeMap::new(), "a", &paths.consent());
            assert_eq!(allowed, Consent::Allowed);
            refuse(&paths, |fields| {
                let mut fields = fields.unwrap_or_default();
                fields.insert("enabled".to_owned(), false.into());
                Some(fields)
            })
            .unwrap();
            let denied = consent::ask(&BTreeMap::new(), "a", &paths.consent());
            assert_eq!(denied, Consent::Denied(Rule::NotEnabled));
        }
        fs::write(paths.consent(), twice).unwrap();
        assert!(change(&paths, |fields| Some(yes(fields))).is_err());
    }

    #[test]
    fn an_answer_that_replaces_a_damaged_file_meanwhile_is_kept() {
        let (_folder, paths) = sandbox();
        fs::write(paths.consent(), "{").unwrap();
        let asked = std::cell::Cell::new(0);
        refuse(&paths, |fields| {
            asked.set(asked.get() + 1);
            if asked.get() == 1 {
                fs::write(paths.consent(), r#"{"theirs":1}"#).unwrap();
            }
            let mut fields = fields.unwrap_or_default();
            fields.insert("enabled".to_owned(), false.into());
            Some(fields)
        })
        .unwrap();
        let text = fs::read_to_string(paths.consent()).unwrap();
        assert_eq!(text, "{\n  \"theirs\": 1,\n  \"enabled\": false\n}\n");
    }

    #[test]
    fn a_person_s_command_is_made_of_what_others_wrote_meanwhile() {
        let (_folder, paths) = sandbox();
        fs::write(paths.consent(), r#"{"n":0}"#).unwrap();
        let asked = std::cell::Cell::new(0);
        change(&paths, |fields| {
            asked.set(asked.get() + 1);
            if asked.get() <= 3 {
                fs::write(paths.consent(), format!(r#"{{"n":{}}}"#, asked.get())).unwrap();
            }
            Some(yes(fields))
        })
        .unwrap();
        let text = fs::read_to_string(paths.consent()).unwrap();
        assert_eq!(text, "{\n  \"n\": 3,\n  \"enabled\": true\n}\n");
    }

    #[test]
    fn a_file_that_appears_meanwhile_is_not_replaced() {
        let (_folder, paths) = sandbox();
        let no = r#"{"theirs":1,"enabled":false}"#;
        let asked = std::cell::Cell::new(0);
        change(&paths, |fields| {
            asked.set(asked.get() + 1);
            if asked.get() == 1 {
                fs::write(paths.consent(), no).unwrap();
            }
            Some(yes(fields))
        })
        .unwrap();
        let text = fs::read_to_string(paths.consent()).unwrap();
        assert_eq!(text, "{\n  \"theirs\": 1,\n  \"enabled\": true\n}\n");
    }
}
