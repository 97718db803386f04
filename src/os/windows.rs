//! Windows: written with care, never run.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::windows::fs::FileExt;
use std::os::windows::io::AsHandle;
use std::os::windows::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

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

pub(super) fn check_root_is_at_home(_metadata: &Metadata) -> io::Result<()> {
    Ok(())
}

pub(super) fn check_not_open_to_all(_metadata: &Metadata) -> io::Result<()> {
    Ok(())
}

pub(super) fn owner_may_write(metadata: &Metadata) -> bool {
    !metadata.permissions().readonly()
}

// A new file inherits the access list of its folder, as the old one did.
pub(super) fn copy_group(_to: &File, _from: &Metadata) -> io::Result<()> {
    Ok(())
}

// There is no umask here.
pub(super) fn keep_what_the_umask_takes_from_the_owner() {}

// What a file system without locks says here is not known.
pub(super) fn has_no_locks(_err: &io::Error) -> bool {
    false
}

pub(super) fn create_dir(path: &Path, _mode: u32) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

pub(super) fn create_new(path: &Path, _mode: u32) -> io::Result<File> {
    File::options().write(true).create_new(true).open(path)
}

// A folder cannot be opened for syncing; NTFS journals its names.
pub(super) fn sync_dir(_path: &Path) -> io::Result<()> {
    Ok(())
}

pub(super) fn exchange(_one: &Path, _other: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn rename_to_new(_from: &Path, _to: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
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

    pub(super) fn file(&self) -> &File {
        &self.0
    }

    pub(super) fn position(&self) -> io::Result<u64> {
        (&self.0).stream_position()
    }

    pub(super) fn off(self) -> io::Result<()> {
        Ok(())
    }
}

// Waits as long as it takes: a pipe cannot be polled here without more than std offers.
pub(super) fn read_stdin(into: &mut [u8], _wait_max: Duration) -> io::Result<Option<usize>> {
    io::stdin().lock().read(into).map(Some)
}

pub(super) fn stdin_file() -> io::Result<File> {
    Ok(io::stdin().as_handle().try_clone_to_owned()?.into())
}

/// No console, and no Ctrl-C from the host's; the numbers are those of `processthreadsapi.h`.
const DETACHED_PROCESS: u32 = 0x0000_0008;
const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;

// std lets a child inherit every inheritable handle, the host's pipes too (rust-lang/rust#54760), so
// a host that waits for their end may wait for the pass.
pub(super) fn start_detached(command: &mut Command, _wait_max: Duration) -> io::Result<()> {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP)
        .spawn()?;
    Ok(())
}

// It was born without a session to leave.
pub(super) fn leave_session() -> io::Result<()> {
    Ok(())
}

pub(super) fn boot() -> Option<(String, i64)> {
    None
}

pub(super) fn may_write(path: &Path) -> io::Result<()> {
    let found = std::fs::metadata(path)?;
    if found.is_file() && found.permissions().readonly() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}

pub(super) fn connections_max() -> usize {
    usize::MAX
}

pub(super) fn free_bytes(_path: &Path) -> Option<u64> {
    None
}

pub(super) fn columns_of_stdout() -> Option<usize> {
    None
}

pub(super) fn mode(_metadata: &Metadata) -> u32 {
    0
}

pub(super) fn network_file_system(_path: &Path) -> Option<&'static str> {
    None
}

pub(super) fn columns_of_stderr() -> Option<usize> {
    None
}
