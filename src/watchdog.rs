//! A pass cannot outlive its deadline, whatever DNS, TLS or a server does. Being killed at any
//! instant loses nothing, so the watchdog simply ends the process; its locks end with it.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

/// Past its deadline a pass begins no request; what is under way gets this long to finish, and the
/// last words as long again.
const GRACE: Duration = Duration::from_secs(1);

/// A watchdog at work; it ends when this value does.
#[derive(Debug)]
pub struct Watchdog(#[allow(dead_code, reason = "its end is the sign")] Sender<()>);

/// Starts the thread that says its last words and ends the process with `exit_code` when the time is
/// up.
#[allow(
    clippy::disallowed_methods,
    reason = "a thread that must end a process that hangs"
)]
pub fn start(
    deadline: Duration,
    exit_code: u8,
    last_words: impl FnOnce() + Send + 'static,
) -> Watchdog {
    let (end, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let has_ended = |wait| ended.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected);
        if has_ended(deadline + GRACE) {
            return;
        }
        // Whoever should hear them may not be listening: a pipe that is full, a terminal that is held.
        std::thread::spawn(last_words);
        if !has_ended(GRACE) {
            std::process::exit(exit_code.into());
        }
    });
    Watchdog(end)
}
