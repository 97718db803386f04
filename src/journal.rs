//! Bounded local records: what was rejected, what was sent, and the log. A full file becomes the one
//! old generation beside it (`.1`), so each takes at most twice its size.

use crate::os::{self, Open};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

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

/// The one old generation beside a file.
pub fn older(path: &Path) -> PathBuf {
    let mut older = OsString::from(path);
    older.push(".1");
    PathBuf::from(older)
}

/// Appends lines, each without its newline, and starts a new generation whenever one more would make
/// the file too large.
///
/// # Errors
/// The file, and why it could not be written.
pub fn append(
    path: &Path,
    file_bytes_max: u64,
    lines: &[impl AsRef<[u8]>],
    durable: Durable,
) -> Result<()> {
    let mut rest = lines;
    while !rest.is_empty() {
        let written = append_some(path, file_bytes_max, rest, durable)
            .with_context(|| format!("cannot write {}", path.display()))?;
        rest = &rest[written..];
    }
    Ok(())
}

/// Appends as many lines as the file takes, at least one, and returns how many.
fn append_some(
    path: &Path,
    file_bytes_max: u64,
    lines: &[impl AsRef<[u8]>],
    durable: Durable,
) -> io::Result<usize> {
    let mut file = os::open(path, Open::Append)?;
    let mut length = file.metadata()?.len();
    // With its newline.
    let fits = |length: u64, line: &[u8]| length + (line.len() as u64) < file_bytes_max;
    if length > 0 && !fits(length, lines[0].as_ref()) {
        begin_generation(path)?;
        file = os::open(path, Open::Append)?;
        length = 0;
    }
    let bytes: usize = lines.iter().map(|line| line.as_ref().len() + 1).sum();
    let mut block = Vec::with_capacity(bytes + 1);
    // The process may have ended in the middle of the last line.
    if os::ends_torn(&file, length)? {
        block.push(b'\n');
    }
    let mut count = 0;
    for line in lines.iter().map(AsRef::as_ref) {
        if count > 0 && !fits(length + block.len() as u64, line) {
            break;
        }
        block.extend_from_slice(line);
        block.push(b'\n');
        count += 1;
    }
    os::write_once(&file, &block)?;
    if durable == Durable::Now {
        os::sync(&file)?;
        // Its name, too, whoever made it: a process that ended before it came to this, perhaps.
        if let Some(folder) = path.parent() {
            os::sync_dir(folder)?;
        }
    }
    Ok(count)
}

/// Makes what there is the old generation.
///
/// # Errors
/// There is nothing, or it cannot be renamed.
pub fn begin_generation(path: &Path) -> io::Result<()> {
    os::rename(path, &older(path))
}

/// Both generations, the older first.
pub fn generations(path: &Path) -> [PathBuf; 2] {
    [older(path), path.to_owned()]
}

/// The lines of both generations, the oldest first. A missing file has none.
///
/// # Errors
/// The file, and why it could not be read: it is far longer than [`append`] would make it, perhaps.
pub fn read(path: &Path, file_bytes_max: u64) -> Result<Vec<Vec<u8>>> {
    let mut lines = Vec::new();
    for path in generations(path) {
        lines.extend(read_one(&path, file_bytes_max)?);
    }
    Ok(lines)
}

/// The lines of one generation. A missing file has none.
///
/// # Errors
/// As those of [`read`].
pub fn read_one(path: &Path, file_bytes_max: u64) -> Result<Vec<Vec<u8>>> {
    // A line longer than the file stands alone in it.
    let bytes = match os::read_small(path, 2 * file_bytes_max) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let whole = bytes.split(|byte| *byte == b'\n');
    let lines = whole.filter(|line| !line.is_empty());
    Ok(lines.map(<[u8]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    fn check(appends: &[&[&str]], expected: [&str; 2]) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        for texts in appends {
            append(&path, 10, &lines(texts), Durable::Eventually).unwrap();
        }
        let old = std::fs::read_to_string(dir.path().join("log.1")).unwrap_or_default();
        assert_eq!([old, std::fs::read_to_string(&path).unwrap()], expected);
    }

    #[test]
    fn a_full_file_becomes_the_old_generation_and_the_oldest_goes() {
        check(&[&["one"], &["two"]], ["", "one\ntwo\n"]);
        check(
            &[&["one"], &["two"], &["three"], &["four"], &["five"]],
            ["three\n", "four\nfive\n"],
        );
    }

    #[test]
    fn a_line_cut_short_by_a_crash_does_not_take_the_next_one_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "tor").unwrap();
        append(&path, 20, &lines(&["one"]), Durable::Eventually).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "tor\none\n");
    }

    #[test]
    fn one_append_of_many_lines_is_bounded_too() {
        check(
            &[&["one", "two", "three", "four", "five"]],
            ["three\n", "four\nfive\n"],
        );
    }

    #[test]
    fn a_line_longer_than_the_file_stands_alone() {
        check(
            &[&["one", "far too long for it", "two"]],
            ["far too long for it\n", "two\n"],
        );
    }
}
