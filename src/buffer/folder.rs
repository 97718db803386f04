//! What the data folder holds: the buffers, what only looks like one, and the cursors of those that are gone.

use crate::cursor;
use crate::paths::{self, BUFFER_STEM as STEM, Paths};
use crate::wording::shell;
use anyhow::{Context, Result};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

/// The buffers of a data folder, by name, in a stable order. A missing folder has none.
///
/// # Errors
/// A folder that cannot be listed.
pub fn names(paths: &Paths) -> Result<Vec<String>> {
    let is_buffer = |name: OsString| {
        name.into_string()
            .ok()
            .filter(|name| paths::is_buffer(name))
    };
    list(paths, is_buffer)
}

/// A sentence about each buffer that holds something and has a name that is not UTF-8: no upload reads it.
///
/// # Errors
/// As those of [`names`].
pub fn unusable(paths: &Paths) -> Result<Vec<String>> {
    list(paths, |name| {
        let shown = name.to_string_lossy();
        let is_unusable =
            name.to_str().is_none() && paths::is_buffer(&shown) && holds_something(paths, &name);
        is_unusable.then(|| {
            format!("cannot send {shown}: its name is not UTF-8; rename it to {STEM}-NAME.jsonl")
        })
    })
}

/// Buffers that were renamed and hold something, as a rotation of logs does it: no upload reads them.
///
/// # Errors
/// As those of [`names`].
pub fn renamed(paths: &Paths) -> Result<Vec<String>> {
    list(paths, |name| {
        let name = name.into_string().ok()?;
        let found = std::fs::symlink_metadata(paths.buffer(&name)).ok()?;
        let holds_something = found.is_file() && found.len() > 0;
        (paths::is_renamed_buffer(&name) && holds_something).then_some(name)
    })
}

/// What to do about a renamed buffer.
pub fn advice_for_renamed(paths: &Paths, name: &str) -> String {
    let quoted = |name: &str| shell(&paths.buffer(name).display().to_string());
    let sent = quoted(&paths::sent_name(name));
    let name = quoted(name);
    format!(
        "to have it sent: mv -n {name} {sent} (unpack it first if it is compressed); if not, delete it"
    )
}

/// Removes the cursors of buffers that are gone. A cursor with an offset stays until it is older than
/// `written_before`. The user may bring the buffer back, and without the cursor its delivered events would be
/// sent again; events without a believable time then are. Only the holder of the uploader's lock may call this;
/// a failure leaves a small file behind.
pub fn remove_cursors_of_gone(paths: &Paths, written_before: Option<SystemTime>) {
    let Ok(names) = names(paths) else {
        return;
    };
    let in_use: Vec<PathBuf> = names.iter().map(|name| paths.cursor(name)).collect();
    let listing = std::fs::read_dir(paths.upload()).into_iter().flatten();
    for path in listing.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_of_gone = name.ends_with(paths::CURSOR) && !in_use.contains(&path);
        let is_old = || {
            let written = path.symlink_metadata().and_then(|found| found.modified());
            written.is_ok_and(|written| written_before.is_some_and(|before| written < before))
        };
        let says_nothing = || cursor::peek(&path).is_ok_and(|slot| slot.offset() == 0);
        if is_of_gone && (says_nothing() || is_old()) {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// Those names of the data folder that are wanted.
fn list(paths: &Paths, wanted: impl Fn(OsString) -> Option<String>) -> Result<Vec<String>> {
    let folder = paths.data();
    let listing = loop {
        match std::fs::read_dir(folder) {
            Ok(listing) => break listing,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            // Unlike other opens, this one is not tried again by std.
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => {
                return Err(err).with_context(|| format!("cannot list {}", folder.display()));
            }
        }
    };
    let mut names = Vec::new();
    for entry in listing {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        names.extend(wanted(entry.file_name()));
    }
    names.sort();
    Ok(names)
}

/// Whether any buffer may hold something for a pass, one of those that are [`unusable`] included.
///
/// # Errors
/// As those of [`names`].
pub fn is_anything_waiting(paths: &Paths) -> Result<bool> {
    let waiting = list(paths, |name| {
        let is_buffer = paths::is_buffer(&name.to_string_lossy());
        (is_buffer && holds_something(paths, &name)).then(String::new)
    });
    Ok(!waiting?.is_empty())
}

/// Whether a buffer may hold something for a pass. Costs one `stat`; what is not a regular file
/// counts, so that the pass says what is wrong with it.
pub fn has_bytes(paths: &Paths, name: &str) -> bool {
    holds_something(paths, name.as_ref())
}

fn holds_something(paths: &Paths, name: &OsStr) -> bool {
    std::fs::symlink_metadata(paths.data().join(name))
        .is_ok_and(|found| !found.is_file() || found.len() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::{Cursor, Mark};
    use std::collections::BTreeMap;
    use std::time::Duration;

    #[test]
    fn the_cursor_of_a_buffer_that_is_gone_is_removed_once_it_is_empty_or_old() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::find("a", Some(folder.path()), &BTreeMap::new()).unwrap();
        std::fs::create_dir(paths.upload()).unwrap();
        let text = "x".repeat(255 - "telemetry-events-.jsonl".len());
        let long = format!("telemetry-events-{text}.jsonl");
        let make = |name: &str, content: &str| {
            let path = paths.cursor(name);
            Cursor::open(&path)
                .and_then(|mut cursor| cursor.commit(1, &Mark::default().after(content.as_bytes())))
                .unwrap();
            path
        };
        let check = |name: &str, content: &str, written_before: Option<SystemTime>, stays: bool| {
            let path = make(name, content);
            remove_cursors_of_gone(&paths, written_before);
            assert_eq!(path.exists(), stays, "{name} {content:?}");
        };
        let (past, future) = (
            SystemTime::UNIX_EPOCH,
            SystemTime::from(crate::world::now()) + Duration::from_secs(9),
        );
        for name in ["telemetry-events.jsonl", "telemetry-events-a.jsonl", &long] {
            check(name, "", None, false);
            check(name, "{}\n", None, true);
            check(name, "{}\n", Some(past), true);
            check(name, "{}\n", Some(future), false);
        }
        std::fs::write(paths.buffer(&long), "").unwrap();
        check(&long, "{}\n", Some(future), true);
        check(&long, "", Some(future), true);
        std::fs::write(paths.upload().join("state.json"), "{}").unwrap();
        remove_cursors_of_gone(&paths, Some(future));
        assert!(paths.state().exists());
    }
}
