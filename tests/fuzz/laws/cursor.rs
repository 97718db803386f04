use super::Draw;
use std::fs;
use telemetry_upload::cursor::{Cursor, Mark, SLOT_BYTES, TRAIL_BYTES, fnv1a, peek};
use telemetry_upload::os::{self, Open};

/// Bytes that the sum of a slot is over end here.
const SUM: &str = " sum=";

/// Whatever the cursor file and the buffer hold, reading starts at the buffer's beginning, or at an
/// offset within it that a slot names, whose sum is right, and before which stand just the bytes that
/// the slot's check is of. A commit, whatever was there before, is what the next pass finds. That
/// nobody forges a slot is taken for granted: whoever can write it can write the buffer, too.
pub fn hold(data: &[u8]) {
    let mut draw = Draw(data);
    let folder = super::folder();
    let (path, buffer_path) = (folder.path().join("c"), folder.path().join("b"));
    let (kind, inode) = (draw.byte(), 7);
    let slots = [(); 2].map(|()| (draw.byte(), draw.number() >> 8));
    let damage = [draw.number(), draw.number()];
    let length = draw.byte();
    let raw = draw.take(usize::from(length) * 5);
    let content = draw.rest();
    fs::write(&buffer_path, content).unwrap();
    let mut bytes = raw.to_vec();
    if kind & 1 == 1 {
        // The second may be of another buffer.
        let inodes = [inode, inode + u64::from(kind >> 7)];
        let written = slots.iter().zip(inodes).map(|((place, sequence), inode)| {
            let offset = usize::from(*place).min(content.len());
            // The person may have changed what stands before it.
            // As long as the last line may be, or longer.
            let line = usize::from(length).min(offset);
            let check = vouching(content, offset, line).check() ^ u64::from(kind & 4);
            slot(*sequence, inode, offset, line, check)
        });
        bytes = written.collect::<Vec<_>>().concat();
    }
    for place in damage.iter().filter(|_| kind & 2 == 2) {
        let at = usize::try_from(place >> 8).unwrap() % bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= place.to_be_bytes()[7];
        }
    }
    fs::write(&path, &bytes).unwrap();

    let buffer = os::open(&buffer_path, Open::Read).unwrap();
    let size = content.len() as u64;
    let mark = peek(&path).unwrap().mark(&buffer, inode, size).unwrap();
    check(&mark, inode, content, &bytes);
    assert!(mark.holds(&buffer).unwrap());

    let next = Mark::default().after(&content[..content.len() / 2]);
    Cursor::open(&path).unwrap().commit(inode, &next).unwrap();
    let slot = peek(&path).unwrap();
    assert_eq!(slot.mark(&buffer, inode, size).unwrap(), next);
    assert_eq!(
        slot.mark(&buffer, inode + 1, size).unwrap(),
        Mark::default()
    );
}

/// A place, of which so many bytes vouch as its last line.
fn vouching(content: &[u8], offset: usize, line: usize) -> Mark {
    Mark::of(offset as u64, line as u64, &content[..offset])
}

/// A slot whose sum is right.
fn slot(sequence: u64, inode: u64, offset: usize, line: usize, check: u64) -> Vec<u8> {
    let fields = format!(
        "cursor1 seq={sequence} inode={inode} offset={offset} line={line} check={check:016x}"
    );
    let sum = fnv1a(fields.as_bytes());
    let mut slot = format!("{fields}{SUM}{sum:016x}").into_bytes();
    slot.resize(SLOT_BYTES - 1, b' ');
    slot.push(b'\n');
    slot
}

fn check(mark: &Mark, inode: u64, content: &[u8], bytes: &[u8]) {
    let offset = usize::try_from(mark.offset).unwrap();
    assert!(offset <= content.len());
    assert_eq!(
        mark.trail(),
        &content[offset.saturating_sub(TRAIL_BYTES)..offset]
    );
    let says_so = |slot: &[u8]| {
        let line = String::from_utf8_lossy(slot);
        let (fields, sum) = line.split_once(SUM).unwrap_or_default();
        let words: Vec<&str> = fields.split(' ').collect();
        let number = |word: usize, key: &str| {
            let value = words.get(word)?.strip_prefix(key)?;
            value.parse::<u64>().ok()
        };
        u64::from_str_radix(sum.trim_end(), 16) == Ok(fnv1a(fields.as_bytes()))
            && number(2, "inode=") == Some(inode)
            && number(3, "offset=") == Some(mark.offset)
            && number(4, "line=").is_some_and(|line| line <= mark.offset)
            && words.get(5) == Some(&format!("check={:016x}", mark.check()).as_str())
    };
    assert!(offset == 0 || bytes.chunks(SLOT_BYTES).take(2).any(says_so));
}
