//! Folders and files that others must, or must not, get at.

use super::{refused, sync_dir, system};
use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;

/// Makes a folder that only this user may enter (0700), with its parents, and refuses a link and a
/// folder of someone else's. An existing folder keeps its mode: it may be shared with the host's.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    if let Ok(found) = fs::symlink_metadata(path) {
        return check_private(&found);
    }
    system::create_dir(path, 0o700)?;
    if let Some(parent) = path.parent() {
        sync_dir(parent)?;
    }
    check_private_dir(path)
}

/// Refuses a link and a folder of someone else's.
pub fn check_private_dir(path: &Path) -> io::Result<()> {
    check_private(&fs::symlink_metadata(path)?)
}

fn check_private(found: &Metadata) -> io::Result<()> {
    if found.is_symlink() {
        return Err(refused("it is a symbolic link, which is not followed here"));
    }
    check_folder(found)
}

/// Refuses to let root make something in a folder of somebody else's, where its owner could neither
/// change nor remove it. The folder itself may still be missing.
pub fn check_root_is_at_home(folder: &Path) -> io::Result<()> {
    let existing = folder
        .ancestors()
        .find_map(|folder| fs::metadata(folder).ok());
    existing.map_or(Ok(()), |found| system::check_root_is_at_home(&found))
}

/// Refuses a folder that is not one, or that belongs to another user.
pub fn check_dir(path: &Path) -> io::Result<()> {
    check_folder(&fs::metadata(path)?)
}

fn check_folder(found: &Metadata) -> io::Result<()> {
    if !found.is_dir() {
        return Err(refused("it is not a folder"));
    }
    system::check_owner(found)
}

/// Makes a new file that others may read as far as the umask lets them, and only its owner may write,
/// whatever the umask says: agents run the commands in it.
pub fn create_shared(path: &Path) -> io::Result<File> {
    system::create_new(path, 0o644)
}

/// Makes a folder, and its parents, for such files.
pub fn create_shared_dir(path: &Path) -> io::Result<()> {
    system::create_dir(path, 0o755)
}
