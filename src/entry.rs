//! The way into a pass: whether there is anything for it to do, and then the uploader's lock. Both are
//! looked at before anything is made that costs more, because most passes end here.

use crate::lock::{self, Held};
use crate::os::{self, Open};
use crate::outlook::{self, Outlook};
use crate::paths::Paths;
use crate::state::NotBefore;
use crate::summary::Ending;
use crate::upload::Mode;
use crate::wording::minute;
use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use std::fs::File;
use std::path::PathBuf;

/// A pass that has something to do, and may now try to get the lock.
#[derive(Debug)]
pub struct Entry {
    lock_file: File,
    path: PathBuf,
    /// The pause that a person goes ahead of.
    pub pause: Option<NotBefore>,
}

impl Entry {
    /// Looks for something to do, or says why this pass has nothing to.
    ///
    /// # Errors
    /// The data folder or the uploader's own cannot be used.
    pub fn find(paths: &Paths, mode: Mode, now: DateTime<Utc>) -> Result<Result<Entry, Ending>> {
        let pause = match outlook::look(paths, now)? {
            Outlook::Nothing => return Ok(Err(Ending::Nothing)),
            Outlook::Paused(pause) if mode != Mode::Foreground => {
                let why = format!("{}; not before {}", pause.reason, minute(&pause.until));
                return Ok(Err(Ending::Later(why)));
            }
            Outlook::Paused(pause) => Some(pause),
            Outlook::Waiting => None,
        };
        let data = paths.data();
        os::check_dir(data).with_context(|| format!("cannot use {}", data.display()))?;
        let folder = paths.upload();
        os::create_private_dir(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let path = paths.uploader_lock();
        let lock_file = os::open(&path, Open::Create)
            .with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Ok(Entry {
            lock_file,
            path,
            pause,
        }))
    }

    /// Takes the lock; `None` if another uploader is at work.
    ///
    /// # Errors
    /// The system refuses even to try.
    pub fn take(&self) -> Result<Option<Held<'_>>> {
        lock::take_past_looks(&self.lock_file)
            .with_context(|| format!("cannot lock {}", self.path.display()))
    }

    /// The file that is locked, to say in it who holds it.
    pub fn lock_file(&self) -> &File {
        &self.lock_file
    }
}
