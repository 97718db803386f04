//! The little that differs between systems: opening files safely, positioned reads and writes, the
//! one append, reading what may never come, leaving a session, and how long the machine has been up.
//! Everything else is portable. Every step that changes what is on the disk is taken here, so that tests
//! can end the process at each of them, fail it, or do something in between.
//!
//! Only Linux has been run.

mod environment;
#[cfg(test)]
pub(crate) mod faults;
mod folders;
mod reach;
mod replacement;
mod small;

#[cfg(unix)]
#[path = "os/unix.rs"]
mod system;
#[cfg(windows)]
#[path = "os/windows.rs"]
mod system;

pub use environment::{environment, hand_on, variable};
pub use folders::{
    check_dir, check_private_dir, check_root_is_at_home, create_private_dir, create_shared,
    create_shared_dir,
};
pub use reach::{
    columns_of_stderr, columns_of_stdout, connections_max, free_bytes, is_anothers, may_write,
    mode, network_file_system,
};
pub use replacement::{Replacement, rename_if_absent};
pub use small::{read_decision, read_small, read_up_to, without_byte_order_mark};

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What a file of ours is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// To read what is there.
    Read,
    /// To read and write in place; the file must be there.
    Update,
    /// To read and write in place; made (0600) if missing.
    Create,
    /// To append, and to read what is there; made (0600) if missing.
    Append,
    /// To write; made (0600), and an error if it is there.
    New,
}

/// A step that changes what is on the disk: outside of tests, nothing.
macro_rules! step {
    ($step:expr) => {
        #[cfg(test)]
        faults::take(&$step)?;
    };
}

/// Opens a file in the data folder without following a symbolic link, and refuses what is not a
/// plain file of this user's own with a single name. The open itself never hangs, not even on a FIFO.
///
/// # Errors
/// Whatever the system says, or `InvalidInput` with the reason for a refusal in words.
pub fn open(path: &Path, open: Open) -> io::Result<File> {
    let file = open_unchecked(path, open)?;
    check_file(&file)?;
    Ok(file)
}

/// The first half of [`open`], for those who want something in between, or what [`check_file`] finds.
///
/// # Errors
/// Whatever the system says, a symbolic link among it.
pub fn open_unchecked(path: &Path, open: Open) -> io::Result<File> {
    let mut options = OpenOptions::new();
    match open {
        Open::Read => options.read(true),
        Open::Update => options.read(true).write(true),
        Open::Create => options.read(true).write(true).create(true).truncate(false),
        Open::Append => options.read(true).append(true).create(true),
        Open::New => options.write(true).create_new(true),
    };
    #[cfg(test)]
    faults::opening(path, open)?;
    system::open_nofollow(&mut options, path)
}

/// The second half of [`open`]: what the file is, if it is one to be used here.
///
/// # Errors
/// `InvalidInput` with the reason for a refusal in words.
pub fn check_file(file: &File) -> io::Result<Metadata> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(refused("it is not a regular file"));
    }
    system::check_ownership(&metadata)?;
    Ok(metadata)
}

/// Whether the owner meant the file to be changed. Asking the system instead would let root write
/// what its owner locked.
pub fn owner_may_write(metadata: &Metadata) -> bool {
    system::owner_may_write(metadata)
}

/// Gives a new file the group and the mode of the one it stands for.
pub fn copy_access(to: &File, from: &Metadata) -> io::Result<()> {
    system::copy_group(to, from)?;
    to.set_permissions(from.permissions())
}

/// Whether a file could not be locked because its file system has no locks.
pub fn has_no_locks(err: &io::Error) -> bool {
    system::has_no_locks(err)
}

/// Makes the content of a file durable.
pub fn sync(file: &File) -> io::Result<()> {
    step!(faults::Step::Sync(file));
    file.sync_data()
}

/// Makes the names in a folder durable, so that a file just made in it survives a power cut.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    step!(faults::Step::SyncDir(path));
    system::sync_dir(path)
}

/// Cuts a file down to `length` bytes.
pub fn truncate(file: &File, length: u64) -> io::Result<()> {
    step!(faults::Step::Truncate(file, length));
    file.set_len(length)
}

/// Gives a file another name, in one step; whatever had that name is gone.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    step!(faults::Step::Rename(from, to));
    fs::rename(from, to)
}

/// Fills as much of `into` as the file holds from `offset` on; short only at the end of the file.
pub fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match system::read_once_at(file, &mut into[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(filled)
}

/// Writes all of `bytes` at `offset`, in place.
pub fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        let (rest, at) = (&bytes[written..], offset + written as u64);
        #[cfg(test)]
        let rest = match faults::write(file, rest, at) {
            Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
            rest => rest?,
        };
        match system::write_once_at(file, rest, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(bytes) => written += bytes,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(())
}

/// Appends `bytes` with one write to a file that is not open for appending, and returns the offset
/// behind them.
///
/// # Errors
/// As [`write_once`]. And a file that stays in append mode, where nothing can be written in place any
/// more: it must be opened anew.
pub fn append(file: &File, path: &Path, bytes: &[u8]) -> io::Result<u64> {
    let mode = system::AppendMode::on(file, path)?;
    let written = write_once(mode.file(), bytes).and_then(|()| mode.position());
    mode.off()?;
    written
}

/// Writes all of `bytes` with one write to a file that is open for appending.
///
/// # Errors
/// A short write is an error (`WriteZero`): the rest is not sent after it, because another producer's
/// line may already stand there.
pub fn write_once(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    loop {
        #[cfg(test)]
        let written = faults::append(file, bytes).and_then(|piece| file.write(piece));
        #[cfg(not(test))]
        let written = file.write(bytes);
        match written {
            Ok(written) if written == bytes.len() => return Ok(()),
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::WriteZero,
                    "only a part could be written",
                ));
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
}

/// Whether the last line of a file of this length has no newline: what is appended next would be glued
/// to it.
pub fn ends_torn(file: &File, length: u64) -> io::Result<bool> {
    let mut last = [b'\n'];
    if length > 0 {
        read_at(file, &mut last, length - 1)?;
    }
    Ok(last != *b"\n")
}

/// What tells two files of the same name apart.
pub fn inode(metadata: &Metadata) -> u64 {
    system::inode(metadata)
}

/// A write that a limit forbids fails from now on, where it would have ended the process.
pub fn errors_instead_of_signals() {
    #[cfg(unix)]
    crate::raw::ignore_sigxfsz();
}

/// Takes out of the umask what it would take from the owner: nobody could open such a file again.
pub fn keep_what_the_umask_takes_from_the_owner() {
    system::keep_what_the_umask_takes_from_the_owner();
}

/// Reads what standard input holds by now, waiting at most so long for the first of it; `None` if
/// nothing came. No bytes mean its end.
pub fn read_stdin(into: &mut [u8], wait_max: Duration) -> io::Result<Option<usize>> {
    system::read_stdin(into, wait_max)
}

/// Standard input as a file, for a process that was given one.
pub fn stdin_file() -> io::Result<File> {
    system::stdin_file()
}

/// Starts a command that shares nothing with us: it gets no descriptor but the standard ones, and
/// this returns once it has called [`leave_session`], or ended, or `wait_max`
/// has passed. Until then a signal meant for our group, or our terminal's end, would still hit it.
pub fn start_detached(command: &mut Command, wait_max: Duration) -> io::Result<()> {
    system::start_detached(command, wait_max)
}

/// What a process that was started so does first: it leaves the session of its host, and with it the
/// terminal and the process group, lets the folder go, and tells the one who started it.
pub fn leave_session() -> io::Result<()> {
    system::leave_session()
}

/// Seconds since this machine started, sleep included, and which start that was; `None` where the
/// system does not say. With it a clock that was stepped can be told from time that passed.
pub fn boot() -> Option<(String, i64)> {
    #[cfg(test)]
    if let Some(boot) = faults::boot() {
        return Some(boot);
    }
    system::boot()
}

fn refused(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why.into())
}
