//! The little that differs between systems: opening files safely, positioned reads and writes, the
//! one append, and how long the machine has been up. Everything else is portable.
//!
//! Only Linux has been run.

#[cfg(unix)]
#[path = "os/unix.rs"]
mod system;
#[cfg(windows)]
#[path = "os/windows.rs"]
mod system;

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

/// What a file of ours is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// To read what is there.
    Read,
    /// To read and write in place; the file must be there.
    Update,
    /// To read and write in place; made (0600) if missing.
    Create,
    /// To append; made (0600) if missing.
    Append,
}

/// Opens a file in the data folder without following a symbolic link, and refuses what is not a
/// plain file of this user's own with a single name. The open itself never hangs, not even on a FIFO.
///
/// # Errors
/// Whatever the system says, or `InvalidInput` with the reason for a refusal in words.
pub fn open(path: &Path, open: Open) -> io::Result<File> {
    let mut options = OpenOptions::new();
    match open {
        Open::Read => options.read(true),
        Open::Update => options.read(true).write(true),
        Open::Create => options.read(true).write(true).create(true).truncate(false),
        Open::Append => options.append(true).create(true),
    };
    let file = system::open_nofollow(&mut options, path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(refused("it is not a regular file"));
    }
    system::check_ownership(&metadata)?;
    Ok(file)
}

/// Reads a whole file that is known to be small.
///
/// # Errors
/// `FileTooLarge` beyond `bytes_max`: it is not what its name says, and is not read into memory.
pub fn read_small(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file of exactly the limit from a longer one.
    let read = open(path, Open::Read)?
        .take(bytes_max + 1)
        .read_to_end(&mut bytes)?;
    if read as u64 > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Makes a folder that only this user may enter (0700), with its parents, and refuses a link and a
/// folder of someone else's. An existing folder keeps its mode: it may be shared with the host's.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => {
            return Err(refused("it is a symbolic link, which is not followed here"));
        }
        Ok(_) => {}
        Err(_) => {
            system::create_dir(path)?;
            if let Some(parent) = path.parent() {
                sync_dir(parent)?;
            }
        }
    }
    check_dir(path)
}

/// Refuses a folder that is not one, or that belongs to another user.
pub fn check_dir(path: &Path) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        return Err(refused("it is not a folder"));
    }
    system::check_owner(&metadata)
}

/// Makes the names in a folder durable, so that a file just made in it survives a power cut.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    system::sync_dir(path)
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
        match system::write_once_at(file, &bytes[written..], offset + written as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(bytes) => written += bytes,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(())
}

/// Appends `bytes` with one write and returns the offset behind them.
///
/// # Errors
/// A short write is an error (`WriteZero`): the rest is not sent after it, because another producer's
/// line may already stand there.
pub fn append(file: &File, path: &Path, bytes: &[u8]) -> io::Result<u64> {
    let mut file = system::AppendMode::on(file, path)?;
    loop {
        match file.writer().write(bytes) {
            Ok(written) if written == bytes.len() => return file.position(),
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

/// What tells two files of the same name apart.
pub fn inode(metadata: &Metadata) -> u64 {
    system::inode(metadata)
}

/// Seconds since this machine started, sleep included, and which start that was; `None` where the
/// system does not say. With it a clock that was stepped can be told from time that passed.
pub fn boot() -> Option<(String, i64)> {
    system::boot()
}

fn refused(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why.into())
}
