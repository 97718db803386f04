//! What a pass would find, as far as can be told without a lock and without the network: the cheap
//! look that decides whether a process, a thread or a connection is worth its while.

use crate::buffer;
use crate::paths::{OWN_BUFFER, Paths};
use crate::state::{NotBefore, State};
use anyhow::Result;
use chrono::{DateTime, Utc};

/// The prospects of a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// No buffer holds anything.
    Nothing,
    /// Something waits, but background passes are to stay away for now.
    Paused(NotBefore),
    /// Something waits.
    Waiting,
}

/// Looks. It costs a `stat`, and then either one small file, or a listing and a `stat` for each further
/// buffer.
///
/// # Errors
/// A data folder that cannot be listed.
pub fn look(paths: &Paths, now: DateTime<Utc>) -> Result<Outlook> {
    if !is_anything_waiting(paths)? {
        return Ok(Outlook::Nothing);
    }
    let pause = State::load(paths).pause_in_force(now).cloned();
    Ok(pause.map_or(Outlook::Waiting, Outlook::Paused))
}

/// Whether any buffer may hold something.
///
/// # Errors
/// A data folder that cannot be listed.
pub fn is_anything_waiting(paths: &Paths) -> Result<bool> {
    // Most events wait in the program's own buffer, which needs no listing to be found.
    if buffer::has_bytes(paths, OWN_BUFFER) {
        return Ok(true);
    }
    buffer::is_anything_waiting(paths)
}

/// Buffers that may hold something.
///
/// # Errors
/// A data folder that cannot be listed.
pub fn waiting(paths: &Paths) -> Result<Vec<String>> {
    Ok(buffer::names(paths)?
        .into_iter()
        .filter(|name| buffer::has_bytes(paths, name))
        .collect())
}
