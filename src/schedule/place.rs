//! Where a text of ours stands: in a file of its own, or in the crontab.

use super::tool::{self, ORDER_MAX, QUESTION_MAX};
use crate::host_settings;
use crate::os::{self, Replacement};
use anyhow::{Context, Result, bail};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A unit or an agent has a kilobyte.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// What `crontab -l` complains of where there is no crontab: Debian's words, and those of `busybox`.
const NO_CRONTAB: [&str; 2] = ["no crontab for", "No such file"];

/// Where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A file of its own.
    File(PathBuf),
    /// The crontab, behind this program.
    Crontab(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => write!(f, "{}", path.display()),
            Place::Crontab(_) => f.write_str("the crontab"),
        }
    }
}

impl Place {
    /// What stands there, if anything does.
    ///
    /// # Errors
    /// It is not a plain file of this user's own, or the crontab cannot be had.
    pub(super) fn read(&self) -> Result<Option<Vec<u8>>> {
        match self {
            Place::File(path) => match os::read_small(path, FILE_BYTES_MAX) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(err) => Err(err).with_context(|| format!("cannot use {}", path.display())),
            },
            Place::Crontab(program) => {
                let said = tool::run(program, &["-l"], b"", QUESTION_MAX)?;
                if said.is_success {
                    return Ok(Some(said.stdout));
                }
                let complaint = said.complaint();
                if said.stdout.is_empty()
                    && NO_CRONTAB.iter().any(|words| complaint.contains(words))
                {
                    return Ok(None);
                }
                bail!("cannot read the crontab: {complaint}")
            }
        }
    }

    fn write(&self, text: Option<&[u8]>) -> Result<()> {
        let cannot = || format!("cannot write {self}");
        match (self, text) {
            (Place::File(path), Some(text)) => write_file(path, text).with_context(cannot),
            (Place::File(path), None) => {
                // Its folders stay: whether they were made for it, nobody knows.
                fs::remove_file(path).with_context(|| format!("cannot remove {self}"))
            }
            (Place::Crontab(program), text) => {
                tool::run(program, &["-"], text.unwrap_or_default(), ORDER_MAX)
                    .and_then(|said| said.check("crontab"))
                    .with_context(cannot)?;
                Ok(())
            }
        }
    }
}

fn write_file(path: &Path, text: &[u8]) -> Result<()> {
    let folder = path.parent().context("it has no folder")?;
    os::check_root_is_at_home(folder)?;
    os::create_shared_dir(folder)?;
    // A proxy's variable may hold a password, so only this user may read it.
    Replacement::write(path, text)?.put()?;
    Ok(())
}

/// One text that is to be another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub(super) place: Place,
    pub(super) before: Option<Vec<u8>>,
    pub(super) after: Option<Vec<u8>>,
}

impl Change {
    /// Whether there is nothing to do.
    pub fn is_nothing(&self) -> bool {
        self.before == self.after
    }

    /// Whether nothing is there yet.
    pub fn is_new(&self) -> bool {
        self.before.is_none()
    }

    /// Whether a file goes.
    pub fn is_removal(&self) -> bool {
        self.after.is_none()
    }

    /// Where.
    pub fn place(&self) -> String {
        self.place.to_string()
    }

    /// What comes and goes, line by line.
    pub fn lines(&self) -> Vec<String> {
        let text = |bytes: &Option<Vec<u8>>| {
            String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned()
        };
        host_settings::diff(&text(&self.before), &text(&self.after))
    }

    /// Makes it.
    ///
    /// # Errors
    /// What could not be written; or it was changed meanwhile, and is left alone.
    pub(super) fn make(&self) -> Result<()> {
        if self.place.read()? != self.before {
            bail!("{} was changed meanwhile by another program", self.place);
        }
        self.place.write(self.after.as_deref())?;
        // Some crontabs take what they do not keep.
        if self.place.read()?.unwrap_or_default() != self.after.clone().unwrap_or_default() {
            bail!("{} does not hold what was just written", self.place);
        }
        Ok(())
    }

    /// Undoes it.
    ///
    /// # Errors
    /// What could not be written.
    pub(super) fn take_back(&self) -> Result<()> {
        if self.place.read()? == self.before {
            return Ok(());
        }
        self.place.write(self.before.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_meanwhile_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("unit");
        let change = Change {
            place: Place::File(path.clone()),
            before: None,
            after: Some(b"ours".to_vec()),
        };
        fs::write(&path, "theirs").unwrap();
        let said = change.make().unwrap_err().to_string();
        assert!(said.contains("changed meanwhile"), "{said}");
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
        fs::remove_file(&path).unwrap();
        change.make().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"ours");
        change.take_back().unwrap();
        assert!(!path.exists());
    }
}
