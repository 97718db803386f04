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
    attempt(file, fs2::FileExt::try_lock_exclusive)
}

/// Whether another process holds the lock. The look takes a shared lock for a moment, so any number of
/// processes may look at once, even at a file that is open for reading only, and [`take_past_looks`] is not
/// misled by them.
///
/// # Errors
/// As [`take_now`].
pub fn is_held(file: &File) -> io::Result<bool> {
    Ok(attempt(file, fs2::FileExt::try_lock_shared)?.is_none())
}

fn attempt(file: &File, lock: impl Fn(&File) -> io::Result<()>) -> io::Result<Option<Held<'_>>> {
    loop {
        match lock(file) {
            Ok(()) => return Ok(Some(Held(file))),
            Err(err) if err.raw_os_error() == fs2::lock_contended_error().raw_os_error() => {
                return Ok(None);
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(in_words(err)),
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

/// The longest wait for processes that only look. A look takes microseconds, more on a busy machine.
const WAIT_FOR_LOOKS: Duration = Duration::from_millis(500);

/// As [`take_now`], for a lock that others look at by [`is_held`]: a look does not count as holding it, and
/// is over in a moment.
pub fn take_past_looks(file: &File) -> io::Result<Option<Held<'_>>> {
    let taken = patiently(WAIT_FOR_LOOKS, || {
        // Where another uploader is at work, this is all.
        if is_held(file)? {
            return Ok(Some(None));
        }
        Ok(take_now(file)?.map(Some))
    });
    Ok(taken?.flatten())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::{self, Open};
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn looking_at_a_lock_keeps_no_process_from_taking_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let open = || os::open(&path, Open::Create).unwrap();
        let (file, other) = (open(), open());
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let _ = is_held(&open()).unwrap();
                        // As a process does that looks once and ends.
                        step();
                    }
                });
            }
            let taken = (0..300).filter(|_| take_past_looks(&file).unwrap().is_some());
            let taken = taken.count();
            let held = take_past_looks(&file).unwrap();
            let patience = Patience::of(WAIT_FOR_LOOKS);
            let is_other_busy =
                take_past_looks(&other).unwrap().is_none() && is_held(&other).unwrap();
            let is_at_once = !patience.left().is_zero();
            drop(held);
            is_over.store(true, Ordering::Relaxed);
            assert_eq!((taken, is_other_busy, is_at_once), (300, true, true));
        });
    }
}
