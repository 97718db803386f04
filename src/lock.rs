//! `flock`, and nothing else: the one file that names fs2.
//!
//! Always by path: from Rust 1.89 on, `File`'s own `lock` methods shadow fs2's.

use std::fs::File;
use std::io;
use std::time::Duration;

/// A lock that ends when the value does, or with the process.
#[derive(Debug)]
pub struct Held<'a>(&'a File);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Closing the descriptor or dying releases it too, so there is nothing to do about a failure.
        let _ = fs2::FileExt::unlock(self.0);
    }
}

/// Takes the lock if nobody has it; `None` if somebody does.
pub fn take_now(file: &File) -> io::Result<Option<Held<'_>>> {
    match fs2::FileExt::try_lock_exclusive(file) {
        Ok(()) => Ok(Some(Held(file))),
        Err(err) if err.raw_os_error() == fs2::lock_contended_error().raw_os_error() => Ok(None),
        Err(err) => Err(err),
    }
}

/// The longest wait for a buffer's lock: a hung hook that holds it must not stop the sending.
pub const WAIT_MAX: Duration = Duration::from_millis(500);

const STEP: Duration = Duration::from_millis(1);

/// Takes the lock, waiting at most [`WAIT_MAX`]; `None` if it stayed taken.
pub fn take(file: &File) -> io::Result<Option<Held<'_>>> {
    for _ in 0..WAIT_MAX.as_millis() / STEP.as_millis() {
        if let Some(held) = take_now(file)? {
            return Ok(Some(held));
        }
        step();
    }
    take_now(file)
}

/// One short step of a bounded wait for something that others hold for microseconds.
#[allow(
    clippy::disallowed_methods,
    reason = "a wait of a millisecond for a lock is no pause between attempts"
)]
pub fn step() {
    std::thread::sleep(STEP);
}
