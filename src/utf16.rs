//! UTF-16, which PowerShell's `>>` appends to a buffer, and may pipe into `record`. Such lines stand between lines in
//! UTF-8, and only the first in a file begins with a byte order mark: the others show by the zero byte in each
//! character of ASCII. Without a mark the low byte is taken to be the first one: a line with the high byte first and no
//! mark is read as well, but its characters beyond ASCII are garbled.

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
        if behind.len() <= KEY_BYTES_MAX && !is_all {
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
    let (_, wide, narrow) = parts(line);
    // The zero of the last character may be missing.
    let pair = |pair: &[u8]| order.unit([pair[0], pair.get(1).copied().unwrap_or(0)]);
    let chars = char::decode_utf16(wide.chunks(2).map(pair));
    let text: String = chars
        .map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    text + &String::from_utf8_lossy(narrow)
}

/// How many bytes of a line in UTF-16 a beginning of its text takes. Of a text that ends in the glued line in UTF-8
/// only the bytes in front of that line are counted.
pub fn bytes_of(line: &[u8], text: &str) -> usize {
    let (mark, wide, _) = parts(line);
    mark + wide.len().min(2 * text.encode_utf16().count())
}

/// The bytes of the mark, what is in UTF-16, and the line in UTF-8 that is glued to it.
fn parts(line: &[u8]) -> (usize, &[u8], &[u8]) {
    let is_marked = MARKS.iter().any(|(mark, _)| line.starts_with(mark));
    let mark = if is_marked { 2 } else { 0 };
    let line = &line[mark..];
    // A line in UTF-8 has no zero byte, and an object in UTF-16 ends with one.
    let from = line
        .iter()
        .rposition(|byte| *byte == 0)
        .map_or(0, |zero| zero + 1);
    let mut begins = (from..line.len()).filter(|begin| begins_narrow_object(&line[*begin..]));
    let (wide, narrow) = line.split_at(begins.next().unwrap_or(line.len()));
    (mark, wide, narrow)
}

fn is_ascii(unit: u16) -> bool {
    matches!(unit, 0x20..=0x7E | 0x09 | 0x0A | 0x0D)
}

/// Bytes of the first key of an object in UTF-8, with what is around it.
const KEY_BYTES_MAX: usize = 200;

/// Whether an object in UTF-8 begins here, up to the colon behind its first key. The beginning `{"o` alone may be the
/// halves of Chinese or Japanese characters.
fn begins_narrow_object(bytes: &[u8]) -> bool {
    let bytes = &bytes[..bytes.len().min(KEY_BYTES_MAX)];
    let key = bytes.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    let key = key.and_then(|key| key.strip_prefix(b"\""));
    let end = key.and_then(|key| key.iter().position(|byte| matches!(byte, b'"' | b'\n' | 0)));
    let behind = key
        .zip(end)
        .and_then(|(key, end)| key[end..].strip_prefix(b"\""));
    behind.is_some_and(|behind| behind.trim_ascii_start().starts_with(b":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn chinese_and_japanese_are_no_line_in_utf_8() {
        for text in [
            "第漢",
            "等索",
            "管產",
            "笊漢",
            "笊漢索",
            "x笊漢",
            "笊索\u{a0a}",
        ] {
            let line = format!("{{\"a\":\"{text}\"}}");
            let bytes = wide(&line);
            assert_eq!(decode(&bytes, Order::Little), line);
            assert_eq!(
                end(&bytes, 0, Order::Little, true),
                Err(bytes.len()),
                "{text}"
            );
        }
    }

    #[test]
    fn the_bytes_of_a_beginning_are_those_in_the_file() {
        let text = "{\"a\":\"é漢😀\"}{\"b\":1}";
        let glued = [&b"\xFF\xFE"[..], &wide(text), b"{\"c\":2}"].concat();
        let whole = decode(&glued, Order::Little);
        for (begin, _) in text.char_indices() {
            let before = &whole[..begin];
            assert_eq!(bytes_of(&glued, before), 2 + wide(before).len());
        }
        assert_eq!(bytes_of(&glued, text), 2 + wide(text).len());
        assert_eq!(bytes_of(&glued, &whole), 2 + wide(text).len());
    }
}
