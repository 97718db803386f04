//! Reading a JSON object from standard input that somebody else writes, or does not: bounded in size
//! and in time, and done as soon as the object is whole, whether its writer closes the pipe or not.

use crate::event;
use crate::os;
use crate::world::Patience;
use std::io::{self, IsTerminal};
use std::time::Duration;

/// Once it has begun to come, the rest has this long at least.
const REST_WAIT: Duration = Duration::from_millis(300);

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Everything there was, up to the end or to the end of the object.
    All(Vec<u8>),
    /// Not a byte in all this time, and no end.
    Nothing,
    /// Nothing will, unless somebody types it: it is a terminal.
    Terminal,
    /// The time ran out in the middle.
    Part,
    /// More than is read here.
    TooMuch,
}

/// Reads until the end, the end of the object, or the limits; `wait_max` is for the first of it.
///
/// # Errors
/// Whatever the system says.
pub fn read_object(bytes_max: usize, wait_max: Duration) -> io::Result<Heard> {
    if io::stdin().is_terminal() {
        return Ok(Heard::Terminal);
    }
    let mut patience = Patience::of(wait_max);
    let mut text = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        let read = match os::read_stdin(&mut chunk, patience.left())? {
            Some(read) => read,
            None if text.is_empty() => return Ok(Heard::Nothing),
            None => return Ok(Heard::Part),
        };
        if text.is_empty() {
            patience = Patience::of(wait_max.max(REST_WAIT));
        }
        text.extend_from_slice(&chunk[..read]);
        if text.len() > bytes_max {
            return Ok(Heard::TooMuch);
        }
        if read == 0 || is_whole(&text) {
            return Ok(Heard::All(text));
        }
    }
}

fn is_whole(text: &[u8]) -> bool {
    // A look at the end spares most looks at the whole. In UTF-16 there are zeros around the bracket.
    let is_nothing = |byte: &&u8| **byte == 0 || byte.is_ascii_whitespace();
    let last = text.iter().rev().find(|byte| !is_nothing(byte));
    last == Some(&b'}') && event::object(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn an_object_is_whole_when_it_parses() {
        for whole in ["{}", "{\"a\":{\"b\":1}}\n", "\u{feff}{}\r\n"] {
            assert!(is_whole(whole.as_bytes()), "{whole}");
            assert!(is_whole(&utf16(whole)), "{whole}");
        }
        for part in ["", "{", "{\"a\":{\"b\":1}", "{\"a\":\"}", "[{}]"] {
            assert!(!is_whole(part.as_bytes()), "{part}");
            assert!(!is_whole(&utf16(part)), "{part}");
        }
    }
}
