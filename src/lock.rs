//! `flock`, and nothing else: the one file that names fs2.
//!
//! Always by path: from Rust 1.89 on, `File`'s own `lock` methods shadow fs2's.

use crate::os;
use crate::world::Patience;
use std::fs::File;
use std::io;
use std::time::Duration;

/// A lock that ends when the value does, or with the process.
#[derive(Debug)]
pub struct Held<'a>(&'a File);

impl Held<'_> {
    /// Leaves the lock to a process that has inherited the open file, and with it the lock.
    pub fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        #[cfg(test)]
        crate::os::faults::unlocking();
        // Closing the descriptor or dying releases it too, so there is nothing to do about a failure.
        let _ = fs2::FileExt::unlock(self.0);
    }
}

/// Takes the lock if nobody has it; `None` if somebody does.
///
/// # Errors
/// `Unsupported` where the file system has no locks, as some network and FUSE file systems.
pub fn take_now(file: &File) -> io::Result<Option<Held<'_>>> {
    #[cfg(test)]
    crate::os::faults::locking();
    loop {
        match fs2::FileExt::try_lock_exclusive(file) {
            Ok(()) => return Ok(Some(Held(file))),
            Err(err) if err.raw_os_error() == fs2::lock_contended_error().raw_os_error() => {
                return Ok(None);
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(in_words(err)),
        }
    }
}

/// Whether another process holds the lock now.
pub fn is_held(file: &File) -> bool {
    matches!(take_now(file), Ok(None))
}

/// Whether the file system of this file, which may be open for reading only, has locks.
///
/// # Errors
/// As [`take_now`].
pub fn check(file: &File) -> io::Result<()> {
    match fs2::FileExt::try_lock_shared(file).map_err(in_words) {
        Err(err) if err.kind() == io::ErrorKind::Unsupported => Err(err),
        // Another process has the lock, or it was taken here and ends with this value.
        _ => {
            drop(Held(file));
            Ok(())
        }
    }
}

fn in_words(err: io::Error) -> io::Error {
    if !os::has_no_locks(&err) {
        return err;
    }
    let words = format!(
        "its file system has no locks ({err}); move the data folder to a local file system"
    );
    io::Error::new(io::ErrorKind::Unsupported, words)
}

/// The longest wait of the uploader for a buffer's lock: a hung hook that holds it must not stop the
/// sending.
pub const WAIT_OF_UPLOADER: Duration = Duration::from_millis(500);

/// The longest wait of a producer, because a host waits for it. What the lock is held for takes
/// microseconds; a holder that takes longer is hung, or was stopped.
pub const WAIT_OF_PRODUCER: Duration = Duration::from_millis(100);

const STEP: Duration = Duration::from_millis(1);

/// Takes the lock, waiting at most so long; `None` if it stayed taken.
pub fn take(file: &File, wait_max: Duration) -> io::Result<Option<Held<'_>>> {
    patiently(wait_max, || take_now(file))
}

/// The same for work that is safe without the lock: `None` also where the file system has none.
pub fn take_if_any(file: &File, wait_max: Duration) -> io::Result<Option<Held<'_>>> {
    match take(file, wait_max) {
        Err(err) if err.kind() == io::ErrorKind::Unsupported => Ok(None),
        taken => taken,
    }
}

/// Tries again and again for so long; `None` if it never worked.
pub fn patiently<T>(
    wait_max: Duration,
    mut attempt: impl FnMut() -> io::Result<Option<T>>,
) -> io::Result<Option<T>> {
    let patience = Patience::of(wait_max);
    loop {
        let done = attempt()?;
        if done.is_some() || patience.left().is_zero() {
            return Ok(done);
        }
        step();
    }
}

/// One short step of a bounded wait for something that others hold for microseconds.
#[allow(
    clippy::disallowed_methods,
    reason = "a wait of a millisecond for a lock is no pause between attempts"
)]
pub fn step() {
    std::thread::sleep(STEP);
}
