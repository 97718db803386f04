//! JSON, written piece by piece.

use serde_json::{Number, Result};

/// An object with these pairs, of which `write` writes each value. The keys are our own or in `snake_case`,
/// where nothing needs to be escaped.
pub(super) fn write_object<'a, V>(
    json: &mut Vec<u8>,
    pairs: impl Iterator<Item = (&'a str, V)>,
    write: impl Fn(&mut Vec<u8>, V) -> Result<()>,
) -> Result<()> {
    json.push(b'{');
    for (index, (key, value)) in pairs.enumerate() {
        if index > 0 {
            json.push(b',');
        }
        json.push(b'"');
        json.extend_from_slice(key.as_bytes());
        json.extend_from_slice(b"\":");
        write(json, value)?;
    }
    json.push(b'}');
    Ok(())
}

/// A text in quotes. Nearly no text has anything that must be escaped, and to see that takes a tenth of escaping it.
pub(super) fn write_text(json: &mut Vec<u8>, text: &str) -> Result<()> {
    let is_plain = |byte: u8| !matches!(byte, 0..b' ' | b'"' | b'\\');
    if text.bytes().fold(true, |all, byte| all & is_plain(byte)) {
        json.push(b'"');
        json.extend_from_slice(text.as_bytes());
        json.push(b'"');
        return Ok(());
    }
    serde_json::to_writer(json, text)
}

/// A number as `serde_json` writes it.
pub(super) fn write_number(json: &mut Vec<u8>, number: &Number) -> Result<()> {
    serde_json::to_writer(json, number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_text_is_written_as_serde_json_writes_it(text in prop_oneof![any::<String>(), "[ -~]{0,40}", "[a\"\\\\\\x00-\\x20\x7f]{0,9}"]) {
            let mut json = Vec::new();
            write_text(&mut json, &text).unwrap();
            prop_assert_eq!(json, serde_json::to_vec(&text).unwrap());
        }
    }
}
