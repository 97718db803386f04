//! How far this process could go, told without going there.

use super::system;
use std::fs::Metadata;
use std::io;
use std::path::Path;

/// Whether the system would let this process write here: it knows of modes, of file systems mounted
/// read-only, and of root.
///
/// # Errors
/// Why not.
pub fn may_write(path: &Path) -> io::Result<()> {
    system::may_write(path)
}

/// Whether something is there, and is another user's.
pub fn is_anothers(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| system::check_owner(&found).is_err())
}

/// Bytes that this user could still write on the file system of an existing path; none where the system
/// does not say.
pub fn free_bytes(path: &Path) -> Option<u64> {
    system::free_bytes(path)
}

/// Connections, each with a thread of its own, that the limits on this process leave room for; at least one.
pub fn connections_max() -> usize {
    system::connections_max()
}

/// The permission bits of a file or folder; none is set where the system has no such thing.
pub fn mode(metadata: &Metadata) -> u32 {
    system::mode(metadata)
}

/// The name of the network file system that a path is on; none for a local one, or where the system does
/// not say.
pub fn network_file_system(path: &Path) -> Option<&'static str> {
    system::network_file_system(path)
}

/// Columns of the terminal that standard output is; none if it is none.
pub fn columns_of_stdout() -> Option<usize> {
    system::columns_of_stdout()
}

/// The same of standard error.
pub fn columns_of_stderr() -> Option<usize> {
    system::columns_of_stderr()
}
