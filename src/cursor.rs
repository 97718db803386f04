//! How far a buffer is delivered: two 512-byte slots in `upload/<buffer>.cursor`, written in turn
//! and in place, so that a commit needs no new blocks on a full disk and a torn one leaves the other.
//!
//! Each slot is one readable line: `cursor1 seq=7 inode=42 offset=3480 line=210 check=<hex> sum=<hex>`.

mod mark;

pub(crate) use mark::reach;
pub use mark::{Mark, TRAIL_BYTES, fnv1a};

use crate::os::{self, Open};
use mark::LAST_LINE_BYTES_MAX;
use std::fs::File;
use std::io;
use std::path::Path;

/// Bytes of one slot: a sector, which disks write whole or not at all.
pub const SLOT_BYTES: usize = 512;

/// One commit, as it stands in a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    sequence: u64,
    inode: u64,
    offset: u64,
    line: u64,
    check: u64,
}

impl Slot {
    fn encode(&self) -> [u8; SLOT_BYTES] {
        let fields = format!(
            "cursor1 seq={} inode={} offset={} line={} check={:016x}",
            self.sequence, self.inode, self.offset, self.line, self.check
        );
        let line = format!("{fields} sum={:016x}", fnv1a(fields.as_bytes()));
        let mut slot = [b' '; SLOT_BYTES];
        slot[..line.len()].copy_from_slice(line.as_bytes());
        slot[SLOT_BYTES - 1] = b'\n';
        slot
    }

    fn decode(bytes: &[u8]) -> Option<Slot> {
        let line = std::str::from_utf8(bytes).ok()?.trim_end();
        let (fields, sum) = line.rsplit_once(" sum=")?;
        if u64::from_str_radix(sum, 16).ok()? != fnv1a(fields.as_bytes()) {
            return None;
        }
        let mut words = fields.split(' ');
        let mut value = |key: &str| words.next()?.strip_prefix(key);
        value("cursor1")?;
        Some(Slot {
            sequence: value("seq=")?.parse().ok()?,
            inode: value("inode=")?.parse().ok()?,
            offset: value("offset=")?.parse().ok()?,
            line: value("line=")?.parse().ok()?,
            check: u64::from_str_radix(value("check=")?, 16).ok()?,
        })
    }

    /// The valid slot with the highest sequence; none if both are damaged.
    fn highest(file: &[u8]) -> Option<Slot> {
        file.chunks(SLOT_BYTES)
            .take(2)
            .filter_map(Slot::decode)
            .max_by_key(|slot| slot.sequence)
    }

    /// How far the buffer was delivered when it was written.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The mark this slot stands for, if it is still true of the buffer; else the file's start.
    pub fn mark(&self, buffer: &File, inode: u64, size: u64) -> io::Result<Mark> {
        if self.inode != inode || self.offset > size {
            return Ok(Mark::default());
        }
        if self.line > self.offset.min(LAST_LINE_BYTES_MAX) {
            return Ok(Mark::default());
        }
        let reach = self.offset.min(TRAIL_BYTES as u64).max(self.line);
        let mut bytes = vec![0; usize::try_from(reach).map_err(io::Error::other)?];
        os::read_at(buffer, &mut bytes, self.offset - reach)?;
        let mark = Mark::of(self.offset, self.line, &bytes);
        if mark.check() == self.check {
            return Ok(mark);
        }
        Ok(Mark::default())
    }
}

/// What the cursor file says, without making one: a missing or damaged file says "from the start".
pub fn peek(path: &Path) -> io::Result<Slot> {
    match os::open(path, Open::Read) {
        Ok(file) => Ok(Slot::highest(&read_slots(&file)?).unwrap_or_default()),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(Slot::default()),
        Err(err) => Err(err),
    }
}

/// Whether there is a cursor file of which nothing can be understood.
pub fn is_damaged(path: &Path) -> io::Result<bool> {
    match os::open(path, Open::Read) {
        Ok(file) => Ok(Slot::highest(&read_slots(&file)?).is_none()),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(err) => Err(err),
    }
}

/// The open cursor file.
#[derive(Debug)]
pub struct Cursor {
    file: File,
    last: Slot,
}

impl Cursor {
    /// Opens the cursor file, making it, with real bytes, durably, if it is missing or short.
    ///
    /// # Errors
    /// Where it cannot be made (a full disk), nothing may be posted: every pass would repeat it.
    pub fn open(path: &Path) -> io::Result<Cursor> {
        let file = os::open(path, Open::Create)?;
        let bytes = read_slots(&file)?;
        let last = Slot::highest(&bytes).unwrap_or_default();
        if bytes.len() < 2 * SLOT_BYTES {
            os::write_at(&file, &[last.encode(), last.encode()].concat(), 0)?;
            os::sync(&file)?;
            if let Some(folder) = path.parent() {
                os::sync_dir(folder)?;
            }
        }
        Ok(Cursor { file, last })
    }

    /// Whether the last commit was at this offset.
    pub fn stands_at(&self, offset: u64) -> bool {
        self.last.offset == offset
    }

    /// Moves the cursor, durably, by overwriting the older slot.
    pub fn commit(&mut self, inode: u64, mark: &Mark) -> io::Result<()> {
        let next = Slot {
            sequence: self.last.sequence + 1,
            inode,
            offset: mark.offset,
            line: mark.vouching_line().len() as u64,
            check: mark.check(),
        };
        os::write_at(
            &self.file,
            &next.encode(),
            next.sequence % 2 * SLOT_BYTES as u64,
        )?;
        os::sync(&self.file)?;
        self.last = next;
        Ok(())
    }
}

fn read_slots(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 2 * SLOT_BYTES];
    let read = os::read_at(file, &mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slot(sequence: u64) -> Slot {
        Slot {
            sequence,
            inode: 42,
            offset: 3480,
            line: 210,
            check: 7,
        }
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_slot_is_one_readable_line_of_a_sector() {
        let bytes = slot(7).encode();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with(
            "cursor1 seq=7 inode=42 offset=3480 line=210 check=0000000000000007 sum="
        ));
        assert_eq!((bytes.len(), text.matches('\n').count()), (512, 1));
    }

    #[test]
    fn the_highest_valid_slot_wins() {
        let both = [slot(8).encode(), slot(7).encode()].concat();
        assert_eq!(Slot::highest(&both), Some(slot(8)));
        let mut torn = both.clone();
        torn[20] ^= 1;
        assert_eq!(Slot::highest(&torn), Some(slot(7)));
        torn[SLOT_BYTES + 20] ^= 1;
        assert_eq!(Slot::highest(&torn), None);
    }

    #[test]
    fn commits_alternate_between_the_slots_and_survive_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.cursor");
        let mut cursor = Cursor::open(&path).unwrap();
        let before = std::fs::read(&path).unwrap();
        cursor
            .commit(9, &Mark::default().after(b"hello\n"))
            .unwrap();
        let first = std::fs::read(&path).unwrap();
        assert_eq!(before[..512], first[..512]);
        cursor
            .commit(9, &Mark::default().after(b"hello\nworld\n"))
            .unwrap();
        let second = std::fs::read(&path).unwrap();
        assert_eq!(first[512..], second[512..]);
        assert_eq!(Cursor::open(&path).unwrap().last.offset, 12);
        assert_eq!(peek(&path).unwrap().offset, 12);
    }

    #[test]
    fn a_cursor_of_another_inode_a_longer_file_or_other_bytes_starts_at_0() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("buffer");
        let check = |content: &str, inode: u64, expected: u64| {
            std::fs::write(&path, content).unwrap();
            let file = os::open(&path, Open::Read).unwrap();
            let slot = Slot {
                sequence: 1,
                inode: 9,
                offset: 6,
                line: 6,
                check: Mark::default().after(b"hello\n").check(),
            };
            let mark = slot.mark(&file, inode, content.len() as u64).unwrap();
            assert_eq!(mark.offset, expected, "{content:?}");
        };
        check("hello\nworld\n", 9, 6);
        check("hello\n", 9, 6);
        check("hello\nworld\n", 8, 0);
        check("hell", 9, 0);
        check("jello\nworld\n", 9, 0);
    }

    #[test]
    fn a_mark_holds_as_long_as_the_bytes_before_it_are_what_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("buffer");
        let long = "0123456789".repeat(50);
        let check = |read: &str, content: &str, expected: bool| {
            std::fs::write(&path, content).unwrap();
            let file = os::open(&path, Open::Read).unwrap();
            let mark = Mark::default().after(read.as_bytes());
            assert_eq!(mark.holds(&file).unwrap(), expected, "{read} in {content}");
        };
        check("", "", true);
        check("hello\n", "hello\nworld\n", true);
        check("hello\n", "jello\nworld\n", false);
        check("hello\n", "hell", false);
        check(&long, &long, true);
        // Beyond the trail nothing is looked at.
        check(&long, &long.replacen('0', "x", 1), true);
        check(&long, &long[1..], false);
    }

    #[test]
    fn of_two_lines_that_end_alike_one_does_not_vouch_for_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("buffer");
        let line = |id: u8| format!("{{\"eventId\":\"{id}\",\"x\":\"{}\"}}\n", "x".repeat(300));
        let check = |delivered: &str, stands: &str, expected: usize| {
            let mark = Mark::default().after(delivered.as_bytes());
            let mut cursor = Cursor::open(&dir.path().join("b.cursor")).unwrap();
            cursor.commit(9, &mark).unwrap();
            std::fs::write(&path, stands).unwrap();
            let file = os::open(&path, Open::Read).unwrap();
            let found = cursor.last.mark(&file, 9, stands.len() as u64).unwrap();
            assert_eq!(found.offset, expected as u64);
        };
        check(&line(1), &line(1), line(1).len());
        check(&line(1), &(line(2) + &line(3)), 0);
        // Blanks behind the line are a part of what vouches; a line that is far too long is not.
        check(&(line(1) + "\n\n"), &(line(1) + "\n\n"), line(1).len() + 2);
        check(&(line(1) + "\n\n"), &(line(2) + "\n\n"), 0);
        let long = "x".repeat(70_000) + "\n";
        check(&long, &long, long.len());
    }

    #[test]
    fn a_short_cursor_file_is_made_whole_and_a_whole_one_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.cursor");
        for length in [0, 60, 512, 600, 1023] {
            let mut bytes = slot(7).encode().repeat(2);
            bytes.truncate(length);
            std::fs::write(&path, &bytes).unwrap();
            let cursor = Cursor::open(&path).unwrap();
            let expected = if length < SLOT_BYTES {
                Slot::default()
            } else {
                slot(7)
            };
            assert_eq!(cursor.last, expected, "{length}");
            assert_eq!(
                std::fs::read(&path).unwrap(),
                expected.encode().repeat(2),
                "{length}"
            );
        }
        let damaged = [slot(7).encode(), [0; SLOT_BYTES]].concat();
        std::fs::write(&path, &damaged).unwrap();
        let cursor = Cursor::open(&path).unwrap();
        assert!(cursor.stands_at(3480) && !cursor.stands_at(0));
        assert_eq!(std::fs::read(&path).unwrap(), damaged);
    }

    #[test]
    fn a_cursor_that_is_missing_says_from_the_start_and_one_that_cannot_be_read_says_so() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(peek(&dir.path().join("none")).unwrap(), Slot::default());
        assert!(peek(dir.path()).is_err());
    }

    proptest! {
        #[test]
        fn every_slot_survives_its_encoding(sequence: u64, inode: u64, offset: u64, line: u64, check: u64) {
            let slot = Slot { sequence, inode, offset, line, check };
            prop_assert_eq!(Slot::decode(&slot.encode()), Some(slot));
        }

        #[test]
        fn a_damaged_slot_is_never_taken_for_another(at in 0usize..90, bit in 0u8..8) {
            let mut bytes = slot(7).encode();
            bytes[at] ^= 1 << bit;
            let read = Slot::decode(&bytes);
            prop_assert!(read.is_none() || read == Some(slot(7)), "{:?}", read);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = Slot::highest(&bytes);
        }

        #[test]
        fn a_trail_is_the_last_256_bytes(first: Vec<u8>, more in prop::collection::vec(any::<u8>(), 0..600)) {
            let all = [first.clone(), more.clone()].concat();
            let expected = &all[all.len().saturating_sub(TRAIL_BYTES)..];
            let found = Mark::default().after(&first).after(&more);
            prop_assert_eq!(found.trail(), expected);
        }
    }
}
