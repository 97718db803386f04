//! Reading files that are known to be small, whole and with few calls: some of them are read by every
//! process that a hook starts.

use super::{Open, check_file, open_unchecked, system};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads a whole file that is known to be small.
///
/// # Errors
/// `FileTooLarge` beyond `bytes_max`: it is not what its name says, and is not read into memory.
pub fn read_small(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = open_unchecked(path, Open::Read)?;
    let length = check_file(&file)?.len();
    read(&file, length, bytes_max)
}

/// Reads a small file by which a person decides whether and where events go. One that anybody on this
/// machine may write speaks for nobody. A group may: with the usual umask of some systems it is the
/// person's own.
///
/// # Errors
/// As [`read_small`].
pub fn read_decision(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = open_unchecked(path, Open::Read)?;
    let metadata = check_file(&file)?;
    system::check_not_open_to_all(&metadata)?;
    read(&file, metadata.len(), bytes_max)
}

/// Without the byte order mark that some editors put before a text.
pub fn without_byte_order_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Reads the rest of a file that is known to be small.
///
/// # Errors
/// `FileTooLarge` beyond `bytes_max`.
pub fn read_up_to(file: &File, bytes_max: u64) -> io::Result<Vec<u8>> {
    read(file, file.metadata()?.len(), bytes_max)
}

/// Reads what is expected to be `length` bytes.
fn read(mut file: &File, length: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
    // One byte more than expected: where none comes, the file ends there, and need not be asked again.
    let room = usize::try_from(length.min(bytes_max) + 1).map_err(io::Error::other)?;
    let mut bytes = vec![0; room];
    let (read, is_over) = match file.read(&mut bytes) {
        Err(err) if err.kind() == io::ErrorKind::Interrupted => (0, false),
        read => read.map(|read| (read, read as u64 == length))?,
    };
    bytes.truncate(read);
    if !is_over {
        // One byte more than allowed tells a file of exactly the limit from a longer one.
        let rest_max = (bytes_max + 1).saturating_sub(read as u64);
        file.take(rest_max).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    fn check(content: &[u8], expected_length: u64, bytes_max: u64, expected: Option<&[u8]>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file.rewind().unwrap();
        let found = read(&file, expected_length, bytes_max);
        assert_eq!(
            found.ok().as_deref(),
            expected,
            "{expected_length} {bytes_max}"
        );
    }

    #[test]
    fn a_file_is_read_whole_whatever_its_length_was_said_to_be() {
        for length in 0..=9 {
            check(b"content", length, 7, Some(b"content"));
            check(b"content", length, 100, Some(b"content"));
            check(b"", length, 7, Some(b""));
        }
    }

    #[test]
    fn a_file_over_the_limit_is_refused_whatever_its_length_was_said_to_be() {
        for length in 0..=9 {
            check(b"content", length, 6, None);
            check(b"content", length, 0, None);
        }
    }
}
