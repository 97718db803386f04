//! How this program appends to a buffer: as a producer among others.

use crate::lock;
use crate::os::{self, Open};
use crate::paths::{self, Paths};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io;
use std::path::Path;

/// Appends one line, given without its newline, with one write, under the buffer's lock. A buffer
/// whose last line was torn gets a newline first, or the new line would be lost with it.
///
/// Where the uploader keeps the buffer shut (it was stopped, or is starved, at the worst moment), the
/// line goes to the buffer beside it: a host that waits no longer must not lose its event.
///
/// # Errors
/// A buffer that is not a plain file of this user's own, or a full disk.
pub fn line(paths: &Paths, buffer: &str, line: &[u8]) -> Result<()> {
    if append(paths, buffer, line)? == Appended::Yes {
        return Ok(());
    }
    let beside = paths::beside(buffer);
    match append(paths, &beside, line)? {
        Appended::Yes => Ok(()),
        // An uploader shuts one buffer at a time, so this is somebody else's doing.
        Appended::Shut => bail!(
            "cannot append to {}: it is kept shut",
            paths.buffer(&beside).display()
        ),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Appended {
    Yes,
    /// Somebody holds a lease on the buffer, and goes on holding it.
    Shut,
}

fn append(paths: &Paths, buffer: &str, line: &[u8]) -> Result<Appended> {
    let path = paths.buffer(buffer);
    let context = || format!("cannot append to {}", path.display());
    let Some(file) = open(&path).with_context(context)? else {
        return Ok(Appended::Shut);
    };
    #[cfg(windows)]
    os::create_private_dir(&paths.upload()).with_context(context)?;
    #[cfg(windows)]
    let sidecar = os::open(&paths.sidecar(buffer), Open::Create).with_context(context)?;
    #[cfg(windows)]
    let lock_file = &sidecar;
    #[cfg(not(windows))]
    let lock_file = &file;
    // It is not checked yet: to lock what is not ours costs this wait at most, and nothing is written.
    let held = lock::take_if_any(lock_file, lock::WAIT_OF_PRODUCER).with_context(context)?;
    // Under the lock, so that one look says what the file is and where it ends.
    let length = os::check_file(&file).with_context(context)?.len();
    let mut bytes = Vec::with_capacity(line.len() + 2);
    // Without the lock somebody may be in the middle of a line. A blank line costs nothing.
    if held.is_none() || os::ends_torn(&file, length).with_context(context)? {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(line);
    bytes.push(b'\n');
    os::write_once(&file, &bytes).with_context(context)?;
    Ok(Appended::Yes)
}

/// Opens the buffer, which is still to be checked. While the uploader holds its lease, for microseconds, an
/// open that does not wait is refused; `None` if it goes on for long.
fn open(path: &Path) -> io::Result<Option<File>> {
    lock::patiently(lock::WAIT_OF_PRODUCER, || {
        match os::open_unchecked(path, Open::Append) {
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => Ok(None),
            opened => opened.map(Some),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::{self, Lease};
    use crate::paths::OWN_BUFFER;
    use std::collections::BTreeMap;
    use std::fs;
    use std::time::Duration;

    fn sandbox() -> (tempfile::TempDir, Paths) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::find("a", Some(folder.path()), &BTreeMap::new()).unwrap();
        (folder, paths)
    }

    fn check(before: &str, expected: &str) {
        let (_folder, paths) = sandbox();
        fs::write(paths.buffer(OWN_BUFFER), before).unwrap();
        line(&paths, OWN_BUFFER, b"{}").unwrap();
        assert_eq!(
            fs::read_to_string(paths.buffer(OWN_BUFFER)).unwrap(),
            expected
        );
    }

    #[test]
    fn a_line_goes_behind_what_is_there() {
        check("", "{}\n");
        check("{\"a\":1}\n", "{\"a\":1}\n{}\n");
        check("\n", "\n{}\n");
    }

    #[test]
    fn a_torn_line_is_ended_first() {
        check("{\"a\":", "{\"a\":\n{}\n");
        check("\0", "\0\n{}\n");
    }

    #[test]
    fn a_holder_that_hangs_is_not_waited_for() {
        let (_folder, paths) = sandbox();
        let hung = os::open(&paths.buffer(OWN_BUFFER), Open::Append).unwrap();
        let _held = lock::take_now(&hung).unwrap().unwrap();
        line(&paths, OWN_BUFFER, b"{}").unwrap();
        assert_eq!(
            fs::read_to_string(paths.buffer(OWN_BUFFER)).unwrap(),
            "\n{}\n"
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_buffer_that_the_uploader_keeps_shut_costs_no_event() {
        let (_folder, paths) = sandbox();
        let uploader = os::open(&paths.buffer(OWN_BUFFER), Open::Create).unwrap();
        let Lease::Held(held) = lease::take(&uploader) else {
            panic!("nobody else has it open");
        };
        line(&paths, OWN_BUFFER, b"{}").unwrap();
        drop(held);
        let content = |name: &str| fs::read_to_string(paths.buffer(name)).unwrap();
        assert_eq!(content(OWN_BUFFER), "");
        assert_eq!(content("telemetry-events-late.jsonl"), "{}\n");
        let waiting = crate::outlook::waiting(&paths).unwrap();
        assert_eq!(waiting, ["telemetry-events-late.jsonl"]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_uploaders_lease_is_waited_for() {
        let (_folder, paths) = sandbox();
        let uploader = os::open(&paths.buffer(OWN_BUFFER), Open::Create).unwrap();
        let lease = || match lease::take(&uploader) {
            Lease::Held(held) => held,
            other => panic!("{other:?}"),
        };
        // On a busy machine the lease may end before the append begins, or outlast its patience.
        let waited = (0..50).any(|_| {
            let held = lease();
            std::thread::scope(|scope| {
                let appending = scope.spawn(|| line(&paths, OWN_BUFFER, b"{}"));
                lock::patiently(Duration::from_millis(20), || Ok(None::<()>)).unwrap();
                let was_waiting = !appending.is_finished();
                drop(held);
                was_waiting && appending.join().unwrap().is_ok()
            })
        });
        assert!(waited);
    }
}
