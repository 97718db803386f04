//! A settings file that is not ours: read with care, replaced in one step, and kept beside itself as
//! it was. What the system keeps outside of mode and group (access lists, attributes) does not
//! survive the replacement.

use crate::os::{self, Open};
use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Settings are kilobytes. What is larger is something else, and measuring it would take memory many
/// times its size.
pub const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Does not end in `.json` or `.ts`, so that no host reads a backup.
const BACKUP_END: &str = ".telemetry-upload.bak";

/// The file as it was when we looked.
#[derive(Debug)]
pub struct HostFile {
    /// Where it really is: behind the link, if its name is one.
    target: PathBuf,
    is_link: bool,
    content: Option<Content>,
    /// When we looked.
    now: DateTime<Utc>,
}

#[derive(Debug)]
struct Content {
    bytes: Vec<u8>,
    metadata: Metadata,
}

/// What stays of the old content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// A copy beside the file, with the time in its name.
    Backup,
    /// Nothing: it can be made again, or is kept already.
    Nothing,
}

/// What a file was before one of our changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    path: PathBuf,
    pub(crate) text: String,
}

impl HostFile {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// Why it must not be touched: it is not a plain file of this user's own that may be written, or
    /// is too large.
    pub fn read(path: &Path, now: DateTime<Utc>) -> Result<HostFile> {
        let mut file = HostFile {
            target: path.to_owned(),
            is_link: false,
            content: None,
            now,
        };
        match fs::symlink_metadata(path) {
            Ok(found) => file.is_link = found.is_symlink(),
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(file),
            Err(err) => return Err(err.into()),
        }
        if file.is_link {
            file.target =
                fs::canonicalize(path).context("it is a symbolic link that cannot be followed")?;
        }
        file.content = Some(read(&file.target)?);
        Ok(file)
    }

    /// The text, if there is a file.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub(crate) fn text(&self) -> Result<Option<&str>> {
        let Some(content) = &self.content else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&content.bytes).context("it is not UTF-8")?;
        Ok(Some(text))
    }

    /// Whether its name is a symbolic link.
    pub(super) fn is_link(&self) -> bool {
        self.is_link
    }

    /// Replaces the content, or makes the file and its folder, in one step: a crash leaves the old or
    /// the new, and a link stays a link. Says where the backup is, if one was asked for.
    ///
    /// # Errors
    /// What could not be written; the file is as it was.
    pub(super) fn replace(&self, text: &str, keep: Keep) -> Result<Option<PathBuf>> {
        let folder = self.folder();
        if self.content.is_none() {
            os::check_root_is_at_home(folder)
                .with_context(|| format!("cannot use the folder {}", folder.display()))?;
            os::create_shared_dir(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        let new = self.beside(&format!(".{}.telemetry-upload.new", std::process::id()));
        self.write(&new, text.as_bytes())?;
        let done = self.change(keep, || fs::rename(&new, &self.target));
        if done.is_err() {
            let _ = fs::remove_file(&new);
        }
        done
    }

    /// Puts back what a backup has kept, which is then not needed any more.
    pub(super) fn restore(&self, backup: &Backup) -> Result<Option<PathBuf>> {
        self.replace(&backup.text, Keep::Nothing)?;
        fs::remove_file(&backup.path)
            .with_context(|| format!("cannot remove the backup {}", backup.path.display()))?;
        Ok(None)
    }

    /// Removes the file.
    ///
    /// # Errors
    /// It could not be removed, or has changed.
    pub(super) fn remove(&self, keep: Keep) -> Result<Option<PathBuf>> {
        self.change(keep, || fs::remove_file(&self.target))
    }

    /// The backups of this file that can be read, the newest first.
    pub(super) fn backups(&self) -> impl Iterator<Item = Backup> {
        let start = file_name(&self.beside("."));
        let found = fs::read_dir(self.folder()).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = found
            .map(|found| found.path())
            .filter(|path| {
                let name = file_name(path);
                name.starts_with(&start) && name.ends_with(BACKUP_END)
            })
            .collect();
        // Their names differ in the time alone, which sorts as text.
        paths.sort();
        paths.into_iter().rev().filter_map(|path| {
            let text = String::from_utf8(read(&path).ok()?.bytes).ok()?;
            Some(Backup { path, text })
        })
    }

    /// Writes a new file beside this one, private until it has this one's mode. What is half written
    /// does not stay.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let open = || match &self.content {
            Some(_) => os::open(path, Open::New),
            // Holds nothing private, and others may have to read a project's settings.
            None => os::create_shared(path),
        };
        let write = |mut file: File| -> io::Result<()> {
            if let Some(content) = &self.content {
                os::copy_access(&file, &content.metadata)?;
            }
            file.write_all(bytes)?;
            file.sync_all()
        };
        let cannot = || format!("cannot write {}", path.display());
        let file = open().with_context(cannot)?;
        write(file).with_context(cannot).inspect_err(|_| {
            let _ = fs::remove_file(path);
        })
    }

    /// Keeps the old content, then changes the file.
    fn change(
        &self,
        keep: Keep,
        change: impl FnOnce() -> io::Result<()>,
    ) -> Result<Option<PathBuf>> {
        let backup = self.keep(keep)?;
        let done = self.check_unchanged().and_then(|()| Ok(change()?));
        if let Err(err) = done {
            // A copy of what is still there is of no use.
            if let Some(backup) = backup {
                let _ = fs::remove_file(backup);
            }
            return Err(err);
        }
        // The change is made; that a power cut may undo it is no reason to say it was not.
        let _ = os::sync_dir(self.folder());
        Ok(backup)
    }

    fn keep(&self, keep: Keep) -> Result<Option<PathBuf>> {
        let (Keep::Backup, Some(content)) = (keep, &self.content) else {
            return Ok(None);
        };
        let stamp = self.now.format("%Y%m%dT%H%M%S%3fZ");
        let backup = self.beside(&format!(".{stamp}{BACKUP_END}"));
        self.write(&backup, &content.bytes)
            .context("cannot keep a backup")?;
        Ok(Some(backup))
    }

    /// A host that writes its settings at the same moment must not lose what it wrote.
    fn check_unchanged(&self) -> Result<()> {
        let same = match &self.content {
            None => fs::symlink_metadata(&self.target).is_err(),
            Some(content) => read(&self.target).is_ok_and(|now| now.bytes == content.bytes),
        };
        if !same {
            bail!("it was changed meanwhile by another program");
        }
        Ok(())
    }

    fn folder(&self) -> &Path {
        self.target.parent().unwrap_or(Path::new("/"))
    }

    fn beside(&self, end: &str) -> PathBuf {
        let mut path = self.target.clone().into_os_string();
        path.push(end);
        path.into()
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn read(path: &Path) -> Result<Content> {
    let file = os::open(path, Open::Read)?;
    let metadata = file.metadata()?;
    if !os::owner_may_write(&metadata) {
        bail!("it is read-only");
    }
    match os::read_up_to(&file, BYTES_MAX) {
        Err(err) if err.kind() == io::ErrorKind::FileTooLarge => {
            bail!("it is larger than {} MB", BYTES_MAX / (1024 * 1024))
        }
        read => Ok(Content {
            bytes: read?,
            metadata,
        }),
    }
}
