//! Windows: written with care, never run.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Seek};
use std::os::windows::fs::FileExt;
use std::path::Path;

pub(super) fn open_nofollow(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        return Err(super::refused(
            "it is a symbolic link, which is not followed here",
        ));
    }
    options.open(path)
}

// Files below a user's profile inherit its access list; std offers no owner to compare.
pub(super) fn check_ownership(_metadata: &Metadata) -> io::Result<()> {
    Ok(())
}

pub(super) fn check_owner(_metadata: &Metadata) -> io::Result<()> {
    Ok(())
}

pub(super) fn create_dir(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

// A folder cannot be opened for syncing; NTFS journals its names.
pub(super) fn sync_dir(_path: &Path) -> io::Result<()> {
    Ok(())
}

pub(super) fn read_once_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(into, offset)
}

pub(super) fn write_once_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    file.seek_write(bytes, offset)
}

// std does not give the file index; the check over the bytes before the offset stands alone.
pub(super) fn inode(_metadata: &Metadata) -> u64 {
    0
}

pub(super) struct AppendMode(File);

impl AppendMode {
    pub(super) fn on(_file: &File, path: &Path) -> io::Result<Self> {
        Ok(AppendMode(OpenOptions::new().append(true).open(path)?))
    }

    pub(super) fn writer(&mut self) -> &mut File {
        &mut self.0
    }

    pub(super) fn position(&mut self) -> io::Result<u64> {
        self.0.stream_position()
    }
}

pub(super) fn boot() -> Option<(String, i64)> {
    None
}
