//! Packs and unpacks gzip: request bodies on their way out, and the ones the emulator receives.

use flate2::read::MultiGzDecoder;
use flate2::{Compress, Compression, FlushCompress, Status};
use std::io::{self, Read};

/// Level 1 of zlib-rs leaves 17.6 % of events all whose ids are random, 9.0 % of those of one machine, and
/// takes a fifth of what an event costs in all. Level 2 leaves 12.2 and 6.8 % for nearly twice the
/// instructions, level 3 hardly less for three times as many.
const LEVEL: u32 = 1;

/// 32 KB, the most that gzip knows.
const WINDOW_BITS: u8 = 15;

/// Packs one body after the other. What it works in, 300 KB, is made for the first of them only: to make it
/// anew for each would cost as much as the packing.
#[derive(Debug, Default)]
pub struct Packer {
    state: Option<Compress>,
}

impl Packer {
    /// Packs `bytes`.
    pub fn pack(&mut self, bytes: &[u8]) -> Vec<u8> {
        let new = || Compress::new_gzip(Compression::new(LEVEL), WINDOW_BITS);
        let state = self.state.get_or_insert_with(new);
        state.reset();
        let mut packed = Vec::new();
        loop {
            packed.reserve(ROOM_BYTES + bytes.len() / 4);
            let read = usize::try_from(state.total_in()).unwrap_or(bytes.len());
            match state.compress_vec(&bytes[read..], &mut packed, FlushCompress::Finish) {
                Ok(Status::StreamEnd) => return packed,
                Ok(_) => {}
                // It cannot fail with room to write into.
                Err(_) => return Vec::new(),
            }
        }
    }
}

/// Room for the head and the end, and for what hardly shrinks.
const ROOM_BYTES: usize = 256;

/// Packs `bytes`, once.
pub fn encode(bytes: &[u8]) -> Vec<u8> {
    Packer::default().pack(bytes)
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
