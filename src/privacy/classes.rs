//! One look at each byte of a text, which finds out what patterns need not be looked for: nearly all texts
//! are short names and ids, and most patterns have a character that they cannot be without.

/// What kinds of characters there are in a text, a bit for each kind.
pub(super) type Classes = u16;
/// What parts words.
pub(super) const SPACE: Classes = 1;
/// Beyond ASCII.
pub(super) const FOREIGN: Classes = 1 << 1;
/// What each of the marks has.
pub(super) const MARK: Classes = 1 << 2;
/// What parts the names of a path.
pub(super) const SLASH: Classes = 1 << 3;
/// The one of Windows.
pub(super) const BACKSLASH: Classes = 1 << 4;
/// `@`, or what may stand for it in a URL.
pub(super) const AT: Classes = 1 << 5;
/// `:`.
pub(super) const COLON: Classes = 1 << 6;
/// `.`.
pub(super) const DOT: Classes = 1 << 7;
/// `-`.
pub(super) const DASH: Classes = 1 << 8;
/// `+`.
pub(super) const PLUS: Classes = 1 << 9;
/// What each beginning of a secret has.
pub(super) const SECRET: Classes = 1 << 10;
/// A capital letter of ASCII.
pub(super) const CAPITAL: Classes = 1 << 11;
/// No hexadecimal digit: UUIDs and hashes have none of these.
pub(super) const BEYOND_F: Classes = 1 << 12;

/// The classes of each byte.
const CLASSES: [Classes; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    loop {
        classes[byte as usize] = match byte {
            b'\t'..=b'\r' => SPACE,
            b' ' => SPACE | MARK,
            b'/' => MARK | SLASH,
            b'\\' => MARK | SLASH | BACKSLASH,
            b'%' => MARK | AT,
            b'@' => AT,
            b':' => MARK | COLON,
            b'=' | b'$' => MARK,
            b'.' => DOT | SECRET,
            b'-' => MARK | DASH | SECRET,
            b'_' => SECRET,
            b'+' => PLUS,
            b'A' => CAPITAL | SECRET,
            b'I' => CAPITAL | SECRET | BEYOND_F,
            b'B'..=b'F' => CAPITAL,
            b'G'..=b'Z' => CAPITAL | BEYOND_F,
            b'g'..=b'z' => BEYOND_F,
            // In lower case some of these are letters of ASCII.
            0x80.. => FOREIGN | BEYOND_F,
            _ => 0,
        };
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    classes
};

/// The kinds of characters in this text.
pub(super) fn classes(text: &str) -> Classes {
    text.bytes().fold(0, |all, byte| all | class(byte))
}

/// The kinds of characters that this byte is one of.
pub(super) fn class(byte: u8) -> Classes {
    CLASSES[usize::from(byte)]
}
