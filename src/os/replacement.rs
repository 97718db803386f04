//! New content for a whole file, put in its place in one step.

use super::{Open, open, rename, sync, system, truncate, write_at};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// New content for a file, written beside it and durable, that is not in its place yet.
#[derive(Debug)]
pub struct Replacement {
    new: PathBuf,
    path: PathBuf,
}

impl Replacement {
    /// Writes the new content of `path`. Two at once need a lock around them: they share the name, which
    /// no host uses for its own.
    pub fn write(path: &Path, bytes: &[u8]) -> io::Result<Replacement> {
        let new = Replacement::beside(path);
        let file = open(&new, Open::Create)?;
        let written = truncate(&file, 0)
            .and_then(|()| write_at(&file, bytes, 0))
            .and_then(|()| sync(&file));
        let replacement = Replacement {
            new,
            path: path.to_owned(),
        };
        if let Err(err) = written {
            // On a full disk, what is of no use must not take room.
            let _ = replacement.discard();
            return Err(err);
        }
        Ok(replacement)
    }

    /// Where it is written, and left by a process that was killed.
    pub fn beside(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(".telemetry-upload.new");
        PathBuf::from(name)
    }

    /// Puts it in its place, in one step.
    pub fn put(self) -> io::Result<()> {
        let put = rename(&self.new, &self.path);
        if put.is_err() {
            let _ = self.discard();
        }
        put
    }

    /// Puts it in its place, in one step, and takes what was there: the two have changed places.
    ///
    /// # Errors
    /// `Unsupported` where the system or the file system cannot; nothing has changed then.
    pub fn exchange(&self) -> io::Result<()> {
        system::exchange(&self.new, &self.path)
    }

    /// Puts it in its place unless something is there by now; whether it did.
    pub fn put_if_absent(self) -> io::Result<bool> {
        let put = rename_if_absent(&self.new, &self.path);
        if !matches!(put, Ok(true)) {
            self.discard()?;
        }
        put
    }

    /// What is not in its place.
    pub fn other(&self) -> &Path {
        &self.new
    }

    /// Removes what is not in its place.
    pub fn discard(self) -> io::Result<()> {
        fs::remove_file(&self.new)
    }
}

/// Gives whatever is there another name, unless something has that name already; whether it did.
pub fn rename_if_absent(from: &Path, to: &Path) -> io::Result<bool> {
    match system::rename_to_new(from, to) {
        Ok(()) => Ok(true),
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        // A window of microseconds remains here.
        Err(err) if err.kind() == io::ErrorKind::Unsupported => {
            let is_absent = fs::symlink_metadata(to).is_err();
            if is_absent {
                rename(from, to)?;
            }
            Ok(is_absent)
        }
        Err(err) => Err(err),
    }
}
