//! A pass cannot outlive its deadline, whatever DNS, TLS or a server does. Being killed at any
//! instant loses nothing, so the watchdog simply ends the process; its locks end with it.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// Past its deadline a pass begins no request; what is under way gets this long to finish, and the
/// last words as long again.
const GRACE: Duration = Duration::from_secs(1);

/// A watchdog at work; it ends when this value does.
#[derive(Debug)]
pub struct Watchdog(#[allow(dead_code, reason = "its end is the sign")] Sender<()>);

/// Starts the thread that says its last words and ends the process with `exit_code` when the time is
/// up.
///
/// # Errors
/// The system gives no thread: too many processes, or too little memory.
#[allow(
    clippy::disallowed_methods,
    reason = "a thread that must end a process that hangs"
)]
pub fn start(
    deadline: Duration,
    exit_code: u8,
    last_words: impl FnOnce() + Send + 'static,
) -> io::Result<Watchdog> {
    let (end, ended) = mpsc::channel();
    thread::Builder::new().spawn(move || {
        let has_ended = |wait| ended.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected);
        if has_ended(deadline + GRACE) {
            return;
        }
        // Whoever should hear them may not be listening: a pipe that is full, a terminal that is held.
        // Without a thread for them they stay unsaid.
        let _ = thread::Builder::new().spawn(last_words);
        if !has_ended(GRACE) {
            std::process::exit(exit_code.into());
        }
    })?;
    Ok(Watchdog(end))
}

/// Does on a thread of its own what may take for ever, and waits so long for it at most; `None` if it
/// was not done by then.
///
/// # Errors
/// The system gives no thread.
pub fn within<T: Send + 'static>(
    wait_max: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    let (give, given) = mpsc::channel();
    thread::Builder::new().spawn(move || give.send(work()))?;
    Ok(given.recv_timeout(wait_max).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_not_waited_for() {
        let (keep_waiting, signal) = mpsc::channel::<()>();
        let late = within(Duration::from_millis(1), move || signal.recv()).unwrap();
        assert_eq!(late, None);
        drop(keep_waiting);
        assert_eq!(within(Duration::MAX, || 7).unwrap(), Some(7));
    }
}
