//! Deleting what waits, and every copy of an event that is kept here. What a producer appends meanwhile
//! stays. The buffers are emptied as a pass empties them, by the cursor and [`settle`], so an end at any
//! moment leaves what a later purge or pass understands.

use crate::answer;
use crate::buffer::{self, Buffer};
use crate::journal;
use crate::ledger;
use crate::lines::Next;
use crate::lock;
use crate::os::{self, Open, Replacement};
use crate::paths::Paths;
use crate::settings::Limits;
use crate::settle::{self, Guard, Settled};
use crate::waiting;
use crate::wording::{counted, grouped};
use crate::world;
use anyhow::{Context, Result, bail};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest wait for a pass at work: one that was told to stop ends with its request.
const WAIT_OF_PERSON: Duration = Duration::from_secs(6);

/// What there is to be deleted, or was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Events that wait.
    pub events: u64,
    /// Bytes of the buffers, what is delivered already included.
    pub bytes: u64,
    /// Copies of lines that were refused.
    pub rejected: u64,
    /// Copies of events that were sent.
    pub sent: u64,
    /// Sessions of agents of which something is known.
    pub sessions: u64,
    /// Copies of telemetry.json with an old anonymous id, which somebody who was killed has left.
    pub old_ids: u64,
    /// Damaged files that were set aside from the place of telemetry.json. They may hold an old anonymous id.
    pub damaged: u64,
    /// What could not be looked at or deleted, a sentence each.
    pub problems: Vec<String>,
}

impl Contents {
    /// One phrase for each kind of which there is something.
    pub fn phrases(&self) -> Vec<String> {
        let mut phrases = Vec::new();
        let bytes = grouped(self.bytes);
        if self.events > 0 {
            let events = counted(self.events, "waiting event");
            phrases.push(format!("{events} (buffers of {bytes} bytes)"));
        } else if self.bytes > 0 {
            phrases.push(format!("what is left of delivered events ({bytes} bytes)"));
        }
        let kinds = [
            ("the copies of", self.rejected, "refused event"),
            ("the copies of", self.sent, "sent event"),
            ("what is known of", self.sessions, "agent session"),
            ("the rest of", self.old_ids, "old anonymous id"),
            ("the copies of", self.damaged, "damaged consent file"),
        ];
        for (what, count, noun) in kinds {
            if count > 0 {
                phrases.push(format!("{what} {}", counted(count, noun)));
            }
        }
        phrases
    }

    fn noting<T: Default>(&mut self, done: Result<T>) -> T {
        done.unwrap_or_else(|err| {
            self.problems.push(format!("{err:#}"));
            T::default()
        })
    }
}

/// Looks at what there is. Changes and makes nothing.
///
/// # Errors
/// A data folder that cannot be listed.
pub fn look(paths: &Paths) -> Result<Contents> {
    let limits = Limits::configured(paths);
    let mut found = Contents::default();
    for name in buffer::names(paths)? {
        found.bytes += fs::symlink_metadata(paths.buffer(&name)).map_or(0, |found| found.len());
        found.events += found.noting(waiting::look(paths, &name, &limits)).events;
    }
    let rejected = journal::read(&paths.rejected(), journal::REJECTED_BYTES_MAX);
    found.rejected = found.noting(rejected).len() as u64;
    let sent = journal::read(&paths.sent(), journal::SENT_BYTES_MAX);
    found.sent = found.noting(sent).len() as u64;
    found.sessions = found.noting(sessions(paths)).len() as u64;
    found.old_ids = u64::from(fs::symlink_metadata(old_id(paths)).is_ok());
    found.damaged = damaged(paths).count() as u64;
    found.problems.extend(not_read(paths));
    Ok(found)
}

/// Deletes all of it and says what it was; `None` if a pass is at work and stays at it.
///
/// # Errors
/// The folder or the lock cannot be used; nothing is deleted.
pub fn delete(paths: &Paths) -> Result<Option<Contents>> {
    let (data, folder) = (paths.data(), paths.upload());
    os::check_dir(data).with_context(|| format!("cannot use {}", data.display()))?;
    os::create_private_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = paths.uploader_lock();
    let lock_file =
        os::open(&path, Open::Create).with_context(|| format!("cannot open {}", path.display()))?;
    let held = lock::take(&lock_file, WAIT_OF_PERSON)
        .with_context(|| format!("cannot lock {}", path.display()))?;
    if held.is_none() {
        return Ok(None);
    }
    let limits = Limits::configured(paths);
    ledger::note_owner(&lock_file, world::now(), limits.deadline);
    // The copies first: on a full disk they make the room that a cursor needs.
    let mut deleted = Contents::default();
    for path in journal::generations(&paths.rejected()) {
        let done = remove(&path, journal::REJECTED_BYTES_MAX);
        deleted.rejected += deleted.noting(done);
    }
    for path in journal::generations(&paths.sent()) {
        deleted.sent += deleted.noting(remove(&path, journal::SENT_BYTES_MAX));
    }
    for path in deleted.noting(sessions(paths)) {
        deleted.sessions += deleted.noting(forget(&path));
    }
    deleted.old_ids = deleted.noting(remove_old_id(paths));
    for path in damaged(paths) {
        deleted.damaged += u64::from(deleted.noting(unlink(&path)));
    }
    for name in buffer::names(paths)? {
        let (events, bytes) = deleted.noting(empty(paths, &name, &limits));
        deleted.events += events;
        deleted.bytes += bytes;
    }
    deleted.problems.extend(not_read(paths));
    Ok(Some(deleted))
}

/// Files that hold events, and that no upload reads: whether they are still wanted is the user's to say.
fn not_read(paths: &Paths) -> impl Iterator<Item = String> {
    let renamed = buffer::renamed(paths).unwrap_or_default();
    let unusable = buffer::unusable(paths).unwrap_or_default();
    let left = |name| format!("{name} is no buffer by its name, and stays; delete it by hand");
    renamed.into_iter().map(left).chain(unusable)
}

/// Empties a buffer of what stands in it now; returns the events that had waited, and its bytes.
fn empty(paths: &Paths, name: &str, limits: &Limits) -> Result<(u64, u64)> {
    let mut buffer = Buffer::open(paths, name)?;
    let mut lines = buffer.lines(limits.line_bytes_max);
    let mut events = 0;
    let end = loop {
        match buffer.next(&mut lines)? {
            // Its producer is in the middle of it.
            Next::Line(line) if line.shape.is_tail() && buffer.is_being_written() => {
                break line.at;
            }
            Next::Line(_) => events += 1,
            Next::End => break lines.mark(),
            Next::Changed => bail!(
                "cannot empty {}: another program is changing it; run this again in a moment",
                paths.buffer(name).display()
            ),
        }
    };
    let bytes = end.offset;
    buffer.commit(&end).with_context(|| {
        format!(
            "cannot empty {} (if the disk is full, make a little room and run this again)",
            paths.buffer(name).display()
        )
    })?;
    if settle::settle(&mut buffer, Guard::Patient)? == Settled::Left {
        settle::blank(&mut buffer)?;
    }
    Ok((events, bytes))
}

/// Removes a file, whatever it is: a link goes, and what it leads to stays.
fn remove(path: &Path, bytes_max: u64) -> Result<u64> {
    // What cannot be read goes, too.
    let lines = journal::read_one(path, bytes_max).unwrap_or_default();
    let is_removed = unlink(path)?;
    Ok(if is_removed { lines.len() as u64 } else { 0 })
}

/// Whether it was there.
fn unlink(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed
            .map(|()| true)
            .with_context(|| format!("cannot delete {}", path.display())),
    }
}

/// What a change of telemetry.json leaves if it is killed in its last moment.
fn old_id(paths: &Paths) -> PathBuf {
    Replacement::beside(&paths.consent())
}

fn remove_old_id(paths: &Paths) -> Result<u64> {
    let (path, lock_path) = (old_id(paths), paths.consent_lock());
    if fs::symlink_metadata(&path).is_err() {
        return Ok(0);
    }
    let context = || format!("cannot delete {}", path.display());
    // Whoever is in the middle of a change needs it for a moment.
    let lock_file = os::open(&lock_path, Open::Create).with_context(context)?;
    let _held = lock::take(&lock_file, lock::WAIT_OF_PRODUCER).with_context(context)?;
    unlink(&path).map(u64::from)
}

/// The files and links that were set aside. A folder stays: what it holds was put there by the user.
fn damaged(paths: &Paths) -> impl Iterator<Item = PathBuf> {
    answer::names_set_aside(paths)
        .filter(|path| fs::symlink_metadata(path).is_ok_and(|found| !found.is_dir()))
}

fn sessions(paths: &Paths) -> Result<Vec<PathBuf>> {
    let folder = paths.sessions();
    if fs::symlink_metadata(&folder).is_err() {
        return Ok(Vec::new());
    }
    let context = || format!("cannot use {}", folder.display());
    // Files are removed here: a link must not lead to those of somebody else's.
    os::check_private_dir(&folder).with_context(context)?;
    let mut sessions = Vec::new();
    for entry in fs::read_dir(&folder).with_context(context)? {
        sessions.push(entry.with_context(context)?.path());
    }
    Ok(sessions)
}

/// Removes what is known of a session. A hook that is writing it is waited for; one that hangs is not.
fn forget(path: &Path) -> Result<u64> {
    let remove = || -> io::Result<()> {
        let file = os::open(path, Open::Update);
        let _held = file
            .as_ref()
            .map(|file| lock::take(file, lock::WAIT_OF_PRODUCER));
        fs::remove_file(path)
    };
    remove().with_context(|| format!("cannot delete {}", path.display()))?;
    Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::faults::{self, Fault};
    use crate::paths::OWN_BUFFER;
    use std::collections::BTreeMap;

    fn filled() -> (tempfile::TempDir, Paths) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::find("a", Some(folder.path()), &BTreeMap::new()).unwrap();
        fs::create_dir_all(paths.sessions()).unwrap();
        let lines = "{\"name\":\"canary\",\"n\":1}\n".repeat(9);
        for path in [
            paths.buffer(OWN_BUFFER),
            paths.rejected(),
            paths.sent(),
            journal::older(&paths.sent()),
            paths.session("x"),
        ] {
            fs::write(path, &lines).unwrap();
        }
        (folder, paths)
    }

    #[test]
    fn an_old_id_that_a_killed_change_has_left_goes() {
        let (_folder, paths) = filled();
        fs::write(old_id(&paths), r#"{"anonymousId":"old"}"#).unwrap();
        assert_eq!(look(&paths).unwrap().old_ids, 1);
        assert_eq!(delete(&paths).unwrap().unwrap().old_ids, 1);
        assert!(!old_id(&paths).exists());
        assert_eq!(look(&paths).unwrap(), Contents::default());
    }

    #[test]
    fn damaged_consent_files_go_and_a_folder_set_aside_stays() {
        let (folder, paths) = filled();
        let beside = folder.path().join("beside.json");
        fs::write(&beside, "{").unwrap();
        fs::write(paths.damaged_consent(1), "{\"anonymousId\":\"old\"").unwrap();
        fs::create_dir(paths.damaged_consent(2)).unwrap();
        let mut count = 1;
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&beside, paths.damaged_consent(100)).unwrap();
            count += 1;
        }
        assert_eq!(look(&paths).unwrap().damaged, count);
        assert_eq!(delete(&paths).unwrap().unwrap().damaged, count);
        check_gone(&paths);
        for (path, stays) in [
            (paths.damaged_consent(1), false),
            (paths.damaged_consent(2), true),
            (paths.damaged_consent(100), false),
            (beside, true),
        ] {
            let found = fs::symlink_metadata(&path);
            assert_eq!(found.is_ok(), stays, "{}", path.display());
        }
    }

    fn check_gone(paths: &Paths) {
        assert_eq!(look(paths).unwrap(), Contents::default());
        assert_eq!(fs::read(paths.buffer(OWN_BUFFER)).unwrap(), b"");
    }

    #[test]
    fn everything_goes_and_is_counted() {
        let (_folder, paths) = filled();
        let deleted = delete(&paths).unwrap().unwrap();
        let phrases = [
            "9 waiting events (buffers of 216 bytes)",
            "the copies of 9 refused events",
            "the copies of 18 sent events",
            "what is known of 1 agent session",
        ];
        assert_eq!(deleted.phrases(), phrases);
        check_gone(&paths);
    }

    #[test]
    fn after_an_end_at_any_step_nothing_is_torn_and_a_second_purge_finishes() {
        for halfway in [Fault::End, Fault::EndHalfway] {
            let mut at = 0;
            loop {
                let (_folder, paths) = filled();
                let of_process = paths.clone();
                let (ended, _) = faults::run(
                    move |step, _| if step == at { halfway } else { Fault::None },
                    move || drop(delete(&of_process).unwrap()),
                );
                let left = waiting::look(&paths, OWN_BUFFER, &Limits::default())
                    .unwrap()
                    .events;
                assert!([0, 9].contains(&left), "{left} at step {at}");
                delete(&paths).unwrap().unwrap();
                check_gone(&paths);
                if ended.is_ok() {
                    break;
                }
                at += 1;
            }
            assert!(at > 5, "{at} steps");
        }
    }

    #[test]
    fn what_somebody_holds_open_is_blanked_and_the_next_purge_cuts_it_off() {
        let (_folder, paths) = filled();
        let reader = fs::File::open(paths.buffer(OWN_BUFFER)).unwrap();
        delete(&paths).unwrap().unwrap();
        let left = fs::read(paths.buffer(OWN_BUFFER)).unwrap();
        if cfg!(target_os = "linux") {
            assert_eq!(left, vec![b'\n'; 216]);
        }
        drop(reader);
        delete(&paths).unwrap().unwrap();
        check_gone(&paths);
    }
}
