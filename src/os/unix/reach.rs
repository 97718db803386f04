//! How far this process could go: what it may write, what the limits on it leave room for, where it talks
//! to.

use rustix::process::{Resource, getrlimit};
use std::fs::Metadata;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Descriptors that are left for files, and for whatever a host has open.
const OTHER_FILES: u64 = 16;

/// Threads reserve far more of the address space than they use: where that is limited there is one.
pub(in crate::os) fn connections_max() -> usize {
    if getrlimit(Resource::As).current.is_some() {
        return 1;
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let left = files.saturating_sub(OTHER_FILES).max(1);
    usize::try_from(left).unwrap_or(usize::MAX)
}

pub(in crate::os) fn may_write(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(path, rustix::fs::Access::WRITE_OK)?)
}

pub(in crate::os) fn free_bytes(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

pub(in crate::os) fn mode(metadata: &Metadata) -> u32 {
    metadata.mode() & 0o7777
}

#[cfg(target_os = "linux")]
pub(in crate::os) fn network_file_system(path: &Path) -> Option<&'static str> {
    /// The numbers of `linux/magic.h`, and of its file systems' own sources.
    const KNOWN: [(u32, &str); 6] = [
        (0x6969, "NFS"),
        (0xFF53_4D42, "CIFS"),
        (0xFE53_4D42, "SMB"),
        (0x517B, "SMB"),
        (0x5346_414F, "AFS"),
        (0x0102_1997, "9P"),
    ];
    let found = rustix::fs::statfs(path).ok()?;
    let known = KNOWN
        .iter()
        .find(|(number, _)| u64::try_from(found.f_type).ok() == Some(u64::from(*number)));
    known.map(|(_, name)| *name)
}

#[cfg(not(target_os = "linux"))]
pub(in crate::os) fn network_file_system(_path: &Path) -> Option<&'static str> {
    None
}

pub(in crate::os) fn columns_of_stdout() -> Option<usize> {
    columns_of(rustix::stdio::stdout())
}

pub(in crate::os) fn columns_of_stderr() -> Option<usize> {
    columns_of(rustix::stdio::stderr())
}

fn columns_of(terminal: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    // A terminal that was never told its size says 0.
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}
