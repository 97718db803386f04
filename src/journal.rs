//! Bounded local records: what was rejected, what was sent, and the log. A full file becomes the one
//! old generation beside it (`.1`), so each takes at most twice its size.

use crate::os::{self, Open};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::Path;

/// rejected.jsonl: 1 MB in two generations.
pub const REJECTED_BYTES_MAX: u64 = 512 * 1024;

/// sent.jsonl: 1 MB, twice.
pub const SENT_BYTES_MAX: u64 = 1024 * 1024;

/// upload.log: 256 KB, twice.
pub const LOG_BYTES_MAX: u64 = 256 * 1024;

/// Whether a record must survive a power cut before anything else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durable {
    /// Synced before this returns.
    Now,
    /// Whenever the system gets to it.
    Eventually,
}

/// Appends whole lines, each ending in a newline.
///
/// # Errors
/// The file, and why it could not be written.
pub fn append(path: &Path, file_bytes_max: u64, lines: &[u8], durable: Durable) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let context = || format!("cannot write {}", path.display());
    let mut file = os::open(path, Open::Append).with_context(context)?;
    let length = file.metadata().with_context(context)?.len();
    if length > 0 && length + lines.len() as u64 > file_bytes_max {
        let mut old = OsString::from(path);
        old.push(".1");
        fs::rename(path, old).with_context(context)?;
        file = os::open(path, Open::Append).with_context(context)?;
    }
    file.write_all(lines).with_context(context)?;
    if durable == Durable::Now {
        file.sync_data().with_context(context)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_becomes_the_old_generation_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        for line in ["one\n", "two\n", "three\n", "four\n", "five\n"] {
            append(&path, 10, line.as_bytes(), Durable::Eventually).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "four\nfive\n");
        assert_eq!(
            fs::read_to_string(dir.path().join("log.1")).unwrap(),
            "three\n"
        );
    }
}
