//! Why the emulator refuses a connection or a whole request.

use super::wire::BODY_BYTES_MAX;
use std::fmt;

/// Never names what a client sent, only where it is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A TLS client hello on a plain port.
    Tls,
    /// An HTTP request on a TLS port.
    Plain,
    /// What TLS says about it.
    Handshake(String),
    NotHttp,
    HeadTooLarge,
    /// Contradicting lengths, a length that is no number, another transfer coding, or a broken chunk.
    LengthUnclear,
    BodyTooLarge,
    NoSuchPath,
    NotPost,
    NotGzip,
    UnpackedTooLarge,
    Empty,
    /// The first byte of a body is number 1.
    NotJson {
        byte: usize,
    },
    CutOff {
        byte: usize,
    },
    NotItems,
    /// The error of the system.
    NotStored(String),
}

impl Fault {
    /// The status of the reply.
    pub(super) fn status(&self) -> u16 {
        match self {
            Fault::Tls
            | Fault::Plain
            | Fault::Handshake(_)
            | Fault::NotHttp
            | Fault::LengthUnclear
            | Fault::NotGzip
            | Fault::Empty
            | Fault::NotJson { .. }
            | Fault::CutOff { .. }
            | Fault::NotItems => 400,
            Fault::NoSuchPath => 404,
            Fault::NotPost => 405,
            Fault::BodyTooLarge | Fault::UnpackedTooLarge => 413,
            Fault::HeadTooLarge => 431,
            Fault::NotStored(_) => 500,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb_max = BODY_BYTES_MAX / 1024 / 1024;
        match self {
            Fault::Tls => {
                f.write_str("a client speaks TLS to this plain port; start with --cert and --key")
            }
            Fault::Plain => f.write_str(
                "a client speaks plain http to this TLS port; send to https, or start without --cert and --key",
            ),
            Fault::Handshake(err) => write!(
                f,
                "the TLS handshake failed: {err}; the client must trust the certificate of --cert"
            ),
            Fault::NotHttp => f.write_str("not HTTP/1"),
            Fault::HeadTooLarge => f.write_str("the head of the request is too large"),
            Fault::LengthUnclear => f.write_str("the length of the body is unclear"),
            Fault::BodyTooLarge => write!(f, "the body has more than {mb_max} MB"),
            Fault::NoSuchPath => f.write_str("no such path; post to /v2.1/track"),
            Fault::NotPost => f.write_str("only POST is understood here"),
            Fault::NotGzip => f.write_str("not gzip, or cut off"),
            Fault::UnpackedTooLarge => write!(f, "the unpacked body has more than {mb_max} MB"),
            Fault::Empty => f.write_str("the body is empty"),
            Fault::NotJson { byte } => write!(f, "not JSON at byte {byte}"),
            Fault::CutOff { byte } => write!(f, "the JSON is cut off at byte {byte}"),
            Fault::NotItems => f.write_str("the JSON is neither an object nor an array"),
            Fault::NotStored(err) => write!(f, "cannot write the store: {err}"),
        }
    }
}
