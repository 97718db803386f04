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

/// A place in a buffer, and the bytes that vouch for it, **as they were read**, never re-read: if the file
/// holds others now, the person changed it, and the person wins.
///
/// They are the trail, which is the last [`TRAIL_BYTES`], and the last line, whole, with the blanks behind
/// it. The trail alone would not do after a truncation whose commit was lost: of two lines of one producer
/// the last 256 bytes may be the same, and then the next line to be appended would be taken for the one
/// that was delivered.
///
/// Every line has its mark, but nearly none is ever committed: so it holds the bytes, and what they sum up
/// to is reckoned when somebody asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Bytes from the start of the file.
    pub offset: u64,
    /// Bytes of the last line, and of the blanks behind it.
    pub line: u64,
    /// The trail or the last line, whichever is longer.
    vouching: Vec<u8>,
}

impl Mark {
    /// The place behind `before`, of which the last `line` bytes are the last line.
    pub fn of(offset: u64, line: u64, before: &[u8]) -> Mark {
        let reach = before.len().min(reach(line));
        Mark {
            offset,
            line,
            vouching: before[before.len() - reach..].to_vec(),
        }
    }

    /// A place that nothing vouches for.
    pub fn at(offset: u64) -> Mark {
        Mark::of(offset, 0, &[])
    }

    /// Where the file is when `bytes` have followed this mark.
    #[must_use]
    pub fn after(&self, bytes: &[u8]) -> Mark {
        let length = bytes.len() as u64;
        let line = last_line(bytes).map_or(self.line + length, |line| line.len() as u64);
        let before = [&self.vouching, bytes].concat();
        Mark::of(self.offset + length, line, &before)
    }

    /// The same place, with only this many bytes of the last line to vouch for it.
    #[must_use]
    pub fn vouched_for_by(&self, line: u64) -> Mark {
        Mark::of(self.offset, line, &self.vouching)
    }

    /// How many bytes before it vouch for it, and must stay as they are.
    pub fn reach(&self) -> u64 {
        self.vouching.len() as u64
    }

    /// The bytes themselves.
    pub fn vouching(&self) -> &[u8] {
        &self.vouching
    }

    /// The last bytes before it, at most [`TRAIL_BYTES`].
    pub fn trail(&self) -> &[u8] {
        &self.vouching[self.vouching.len().saturating_sub(TRAIL_BYTES)..]
    }

    /// The last line before it, unless that is too long to vouch for anything.
    pub(super) fn vouching_line(&self) -> &[u8] {
        &self.vouching[self.vouching.len().saturating_sub(vouching(self.line))..]
    }

    /// What a slot says of these bytes: over the trail and the last line.
    pub fn check(&self) -> u64 {
        let line = fnv1a(self.vouching_line());
        fnv1a_from(fnv1a(self.trail()), &line.to_le_bytes())
    }

    /// Whether the file still holds the bytes that vouch for this mark.
    pub fn holds(&self, file: &File) -> io::Result<bool> {
        let expected = self.trail();
        let mut found = [0; TRAIL_BYTES];
        let found = &mut found[..expected.len()];
        let read = os::read_at(file, found, self.offset - expected.len() as u64)?;
        Ok(read == expected.len() && found == expected)
    }
}

/// How many bytes vouch for a place behind a last line of this many.
pub(crate) fn reach(line: u64) -> usize {
    vouching(line).max(TRAIL_BYTES)
}

/// How many bytes of a last line of this many vouch.
fn vouching(line: u64) -> usize {
    let vouches = |line: &usize| *line as u64 <= LAST_LINE_BYTES_MAX;
    usize::try_from(line).ok().filter(vouches).unwrap_or(0)
}

/// FNV-1a, 64 bit: <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>. It guards against
/// accidents, not against a forger, who could edit the buffer itself.
pub fn fnv1a(bytes: &[u8]) -> u64 {
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
