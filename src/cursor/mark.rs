//! A place in a buffer, and the bytes before it that vouch for it.

use crate::event::is_blank;
use crate::os;
use std::fs::File;
use std::io;

/// Bytes before an offset that vouch for it.
pub const TRAIL_BYTES: usize = 256;

/// Bytes of a last line that vouch for an offset, at most: twice what a line may have by default. Of a
/// longer one the trail has to do.
pub(super) const LAST_LINE_BYTES_MAX: u64 = 64 * 1024;

/// The last bytes before an offset, at most [`TRAIL_BYTES`], **as they were read**, never re-read:
/// if the file holds others now, the person changed it, and the person wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trail {
    bytes: [u8; TRAIL_BYTES],
    length: usize,
}

impl Default for Trail {
    fn default() -> Self {
        Trail {
            bytes: [0; TRAIL_BYTES],
            length: 0,
        }
    }
}

impl Trail {
    /// The trail of everything up to the end of `bytes`.
    pub fn of(bytes: &[u8]) -> Trail {
        let kept = &bytes[bytes.len().saturating_sub(TRAIL_BYTES)..];
        let mut trail = Trail {
            length: kept.len(),
            ..Trail::default()
        };
        trail.bytes[..kept.len()].copy_from_slice(kept);
        trail
    }

    /// The trail after `more` has followed.
    #[must_use]
    pub fn then(&self, more: &[u8]) -> Trail {
        Trail::of(&[self.bytes(), more].concat())
    }

    /// The bytes themselves.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// 64-bit FNV-1a (Fowler, Noll, Vo) over the bytes.
    pub fn check(&self) -> u64 {
        fnv1a(self.bytes())
    }
}

/// The last line before an offset, whole, with the blanks behind it. The trail alone would not do after
/// a truncation whose commit was lost: of two lines of one producer the last 256 bytes may be the same,
/// and then the next line to be appended would be taken for the one that was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastLine {
    pub(super) bytes: u64,
    check: u64,
}

impl Default for LastLine {
    fn default() -> Self {
        LastLine {
            bytes: 0,
            check: fnv1a(&[]),
        }
    }
}

impl LastLine {
    /// The same line when `more` of it, or blanks, have followed.
    #[must_use]
    pub fn then(&self, more: &[u8]) -> LastLine {
        LastLine {
            bytes: self.bytes + more.len() as u64,
            check: fnv1a_from(self.check, more),
        }
    }
}

/// A place in a buffer, and the bytes that vouch for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Bytes from the start of the file.
    pub offset: u64,
    /// What stands right before it.
    pub trail: Trail,
    /// The line that ends there.
    pub last: LastLine,
}

impl Mark {
    /// Where the file is when `bytes` have followed this mark.
    #[must_use]
    pub fn after(&self, bytes: &[u8]) -> Mark {
        Mark {
            offset: self.offset + bytes.len() as u64,
            trail: self.trail.then(bytes),
            last: match last_line(bytes) {
                Some(line) => LastLine::default().then(line),
                None => self.last.then(bytes),
            },
        }
    }

    /// How many bytes before it vouch for it, and must stay as they are.
    pub fn reach(&self) -> u64 {
        self.vouching_line()
            .bytes
            .max(self.trail.bytes().len() as u64)
    }

    pub(super) fn vouching_line(&self) -> LastLine {
        if self.last.bytes > LAST_LINE_BYTES_MAX {
            LastLine::default()
        } else {
            self.last
        }
    }

    /// What a slot says of these bytes: over the trail and the last line.
    pub fn check(&self) -> u64 {
        let line = self.vouching_line().check;
        fnv1a_from(self.trail.check(), &line.to_le_bytes())
    }

    /// Whether the file still holds the bytes that vouch for this mark.
    pub fn holds(&self, file: &File) -> io::Result<bool> {
        let expected = self.trail.bytes();
        let mut found = [0; TRAIL_BYTES];
        let found = &mut found[..expected.len()];
        let read = os::read_at(file, found, self.offset - expected.len() as u64)?;
        Ok(read == expected.len() && found == expected)
    }
}

/// FNV-1a, 64 bit: <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>. It guards against
/// accidents, not against a forger, who could edit the buffer itself.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    fnv1a_from(0xcbf2_9ce4_8422_2325, bytes)
}

/// The same, gone on with.
fn fnv1a_from(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The last line that is not blank, and the blanks behind it; none if there are only blanks.
fn last_line(bytes: &[u8]) -> Option<&[u8]> {
    let ends = |byte: &u8| matches!(byte, b'\n' | 0);
    let mut end = bytes.len();
    while let Some(newline) = bytes[..end].iter().rposition(ends) {
        if !is_blank(&bytes[newline + 1..end]) {
            return Some(&bytes[newline + 1..]);
        }
        end = newline;
    }
    (!is_blank(&bytes[..end])).then_some(bytes)
}
