//! What a pass would find, as far as can be told without a lock and without the network: the cheap
//! look that decides whether a process, a thread or a connection is worth its while.

use crate::buffer;
use crate::paths::Paths;
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

/// Looks. It costs a listing, a `stat` a buffer, and one small file.
///
/// # Errors
/// A data folder that cannot be listed.
pub fn look(paths: &Paths, now: DateTime<Utc>) -> Result<Outlook> {
    if waiting(paths)?.is_empty() {
        return Ok(Outlook::Nothing);
    }
    let pause = State::load(paths).pause_in_force(now).cloned();
    Ok(pause.map_or(Outlook::Waiting, Outlook::Paused))
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
