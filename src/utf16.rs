//! UTF-16, which PowerShell's `>>` appends to a buffer, and may pipe into `record`. Such lines stand between lines in
//! UTF-8, and only the first in a file begins with a byte order mark: the others show by the zero byte in each
//! character of ASCII.

/// Which byte of a unit comes first. Without a mark it is the low one, as on Windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The low byte.
    Little,
    /// The high byte.
    Big,
}

impl Order {
    fn unit(self, [first, second]: [u8; 2]) -> u16 {
        match self {
            Order::Little => u16::from_le_bytes([first, second]),
            Order::Big => u16::from_be_bytes([first, second]),
        }
    }
}

/// Byte order marks.
const MARKS: [([u8; 2], Order); 2] = [([0xFF, 0xFE], Order::Little), ([0xFE, 0xFF], Order::Big)];

/// Whether these bytes begin with UTF-16: with a mark and a character of ASCII, or with two characters of ASCII.
/// A hole that a power cut left has more than one zero in a row.
pub fn begins(bytes: &[u8]) -> Option<Order> {
    for (mark, order) in MARKS {
        if let Some([first, second, ..]) = bytes.strip_prefix(&mark) {
            return is_ascii(order.unit([*first, *second])).then_some(order);
        }
    }
    let [a, b, c, d, ..] = *bytes else {
        return None;
    };
    let units = [[a, b], [c, d]].map(|pair| Order::Little.unit(pair));
    units.into_iter().all(is_ascii).then_some(Order::Little)
}

/// Where in a line the UTF-16 begins whose first zero byte this is. In front of it may stand a fragment in UTF-8.
pub fn begins_before(line: &[u8], zero: usize) -> Option<(usize, Order)> {
    if let Some(order) = begins(line).filter(|_| zero <= 3) {
        return Some((0, order));
    }
    let begin = zero.checked_sub(1)?;
    begins(&line[begin..]).map(|order| (begin, order))
}

/// Bytes behind a zero byte that [`begins_before`] looks at.
pub const LOOKED_AT: usize = 3;

/// Where a line ends, and where the next begins.
pub type End = (usize, usize);

/// The end of the line in UTF-16 that `line` begins with, looked for from `from` on, an even number. An error says
/// from where on to look when more has been read. `is_all` says that there is nothing more.
///
/// The line ends with a newline in UTF-16, with a zero unit, which begins a hole, or with a newline in UTF-8, if an
/// object in UTF-8 begins behind it: the line in UTF-16 was torn, and another producer went on.
pub fn end(line: &[u8], from: usize, order: Order, is_all: bool) -> Result<End, usize> {
    let mut at = from;
    while let Some([first, second]) = line.get(at..at + 2) {
        let behind = &line[at + 1..];
        if behind.len() <= LOOKED_AT && !is_all {
            return Err(at);
        }
        match (order.unit([*first, *second]), first, second) {
            (0, ..) => return Ok((at, at)),
            (0x0A, ..) => return Ok((at, at + 2)),
            (_, b'\n', _) if begins_narrow_object(behind) => return Ok((at, at + 1)),
            (_, _, b'\n') if begins_narrow_object(&behind[1..]) => return Ok((at + 1, at + 2)),
            _ => at += 2,
        }
    }
    Err(at)
}

/// The text of a line in UTF-16. A line in UTF-8 that is glued to it stays what it is.
pub fn decode(line: &[u8], order: Order) -> String {
    let marked = MARKS.iter().any(|(mark, _)| line.starts_with(mark));
    let line = &line[if marked { 2 } else { 0 }..];
    let mut starts = line.windows(3).map(begins_narrow_object);
    let (wide, narrow) = line.split_at(starts.position(|begins| begins).unwrap_or(line.len()));
    // The zero of the last character may be missing.
    let pair = |pair: &[u8]| order.unit([pair[0], pair.get(1).copied().unwrap_or(0)]);
    let chars = char::decode_utf16(wide.chunks(2).map(pair));
    let text: String = chars
        .map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    text + &String::from_utf8_lossy(narrow)
}

fn is_ascii(unit: u16) -> bool {
    matches!(unit, 0x20..=0x7E | 0x09 | 0x0A | 0x0D)
}

/// In UTF-16 these bytes would be two rare characters.
fn begins_narrow_object(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [b'{', b'"', b' '..=b'~', ..] | [b'{', b' ', b'"', ..]
    )
}
