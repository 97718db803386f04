//! HTTP/1.1 as a server reads it: heads, and bodies with a length or in chunks.
//!
//! Nothing here trusts what arrives: every read has a limit, and whatever is not HTTP is refused.

use super::fault::Fault;
use httparse::Status;
use std::io::{self, Read};

/// Bytes of a request line with its headers; the lines around chunks count alike.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Headers of one request; official SDKs send about ten.
const HEADERS_MAX: usize = 128;
/// Bytes of a body, as it is sent and again as it is unpacked.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The first byte of a TLS client hello.
const TLS_HANDSHAKE: u8 = 0x16;
/// Bytes asked of the system at once.
const READ_BYTES: usize = 16 * 1024;

/// Why a request was not read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The client is gone, or has been silent for too long.
    Gone,
    /// The request is answered with the fault's status; where the next one begins is unknown.
    Refused(Fault),
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Stop {
        Stop::Gone
    }
}

/// A request without its body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    version_minor: u8,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
}

/// Whether more requests may follow on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    KeepAlive,
    Close,
}

impl Head {
    /// The values of a header.
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = move |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .filter(named)
            .map(|(_, value)| value.trim())
    }

    /// Whether a header has this word in its list.
    pub(super) fn lists(&self, name: &str, word: &str) -> bool {
        self.values(name)
            .flat_map(|value| value.split(','))
            .any(|part| part.trim().eq_ignore_ascii_case(word))
    }

    /// What the client wants to happen after the reply.
    pub(super) fn connection(&self) -> Connection {
        let kept_by_default = self.version_minor >= 1;
        let stays = if kept_by_default {
            !self.lists("connection", "close")
        } else {
            self.lists("connection", "keep-alive")
        };
        if stays {
            Connection::KeepAlive
        } else {
            Connection::Close
        }
    }

    /// How the body ends.
    pub(super) fn framing(&self) -> Result<Framing, Stop> {
        let mut lengths = self.values("content-length");
        let length = lengths.next();
        if self.values("transfer-encoding").next().is_some() {
            let is_chunked = self.lists("transfer-encoding", "chunked");
            // Both, or another coding: two readers could disagree about where the next request begins.
            return if is_chunked && length.is_none() {
                Ok(Framing::Chunked)
            } else {
                Err(Stop::Refused(Fault::LengthUnclear))
            };
        }
        if lengths.any(|other| Some(other) != length) {
            return Err(Stop::Refused(Fault::LengthUnclear));
        }
        match length.unwrap_or("0") {
            digits if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Err(Stop::Refused(Fault::LengthUnclear))
            }
            // A number too large for the machine is too large for us.
            digits => match digits.parse() {
                Ok(length) if length <= BODY_BYTES_MAX => Ok(Framing::Length(length)),
                _ => Err(Stop::Refused(Fault::BodyTooLarge)),
            },
        }
    }
}

/// What arrives on a connection.
pub(super) struct Incoming<R> {
    source: R,
    /// Read from the source, and not yet used.
    unused: Vec<u8>,
}

impl<R: Read> Incoming<R> {
    pub(super) fn new(source: R) -> Incoming<R> {
        Incoming {
            source,
            unused: Vec::new(),
        }
    }

    /// The next request, or `None` if the client has no more.
    pub(super) fn head(&mut self) -> Result<Option<Head>, Stop> {
        loop {
            if let Some((head, bytes)) = parse_head(&self.unused)? {
                self.unused.drain(..bytes);
                return Ok(Some(head));
            }
            if self.unused.len() >= HEAD_BYTES_MAX {
                return Err(Stop::Refused(Fault::HeadTooLarge));
            }
            if self.fill()? == 0 {
                return if self.unused.is_empty() {
                    Ok(None)
                } else {
                    Err(Stop::Gone)
                };
            }
        }
    }

    /// The body that follows the head.
    pub(super) fn body(&mut self, framing: Framing) -> Result<Vec<u8>, Stop> {
        let mut body = Vec::new();
        match framing {
            Framing::Length(length) => self.take(length, &mut body)?,
            Framing::Chunked => self.take_chunks(&mut body)?,
        }
        Ok(body)
    }

    fn take_chunks(&mut self, body: &mut Vec<u8>) -> Result<(), Stop> {
        loop {
            match self.chunk_length()? {
                0 => return self.skip_trailers(),
                length if length > (BODY_BYTES_MAX - body.len()) as u64 => {
                    return Err(Stop::Refused(Fault::BodyTooLarge));
                }
                length => self.take(
                    usize::try_from(length).map_err(|_| Stop::Refused(Fault::BodyTooLarge))?,
                    body,
                )?,
            }
            if !self.line()?.is_empty() {
                return Err(Stop::Refused(Fault::LengthUnclear));
            }
        }
    }

    fn chunk_length(&mut self) -> Result<u64, Stop> {
        loop {
            match httparse::parse_chunk_size(&self.unused) {
                Ok(Status::Complete((bytes, length))) => {
                    self.unused.drain(..bytes);
                    return Ok(length);
                }
                Ok(Status::Partial) => self.fill_line()?,
                Err(_) => return Err(Stop::Refused(Fault::LengthUnclear)),
            }
        }
    }

    fn skip_trailers(&mut self) -> Result<(), Stop> {
        for _ in 0..HEADERS_MAX {
            if self.line()?.is_empty() {
                return Ok(());
            }
        }
        Err(Stop::Refused(Fault::HeadTooLarge))
    }

    /// The bytes before the next line break.
    fn line(&mut self) -> Result<Vec<u8>, Stop> {
        loop {
            if let Some(at) = self.unused.iter().position(|&byte| byte == b'\n') {
                let mut line: Vec<u8> = self.unused.drain(..=at).collect();
                line.truncate(line.trim_ascii_end().len());
                return Ok(line);
            }
            self.fill_line()?;
        }
    }

    fn fill_line(&mut self) -> Result<(), Stop> {
        if self.unused.len() >= HEAD_BYTES_MAX {
            return Err(Stop::Refused(Fault::HeadTooLarge));
        }
        if self.fill()? == 0 {
            Err(Stop::Gone)
        } else {
            Ok(())
        }
    }

    fn take(&mut self, bytes: usize, into: &mut Vec<u8>) -> Result<(), Stop> {
        let at_hand = bytes.min(self.unused.len());
        into.extend(self.unused.drain(..at_hand));
        // Not reserved beforehand: a client may announce 64 MB and never send them.
        let missing = (bytes - at_hand) as u64;
        let read = self.source.by_ref().take(missing).read_to_end(into)?;
        if (read as u64) < missing {
            Err(Stop::Gone)
        } else {
            Ok(())
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; READ_BYTES];
        loop {
            match self.source.read(&mut chunk) {
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                read => {
                    let bytes = read?;
                    self.unused.extend_from_slice(&chunk[..bytes]);
                    return Ok(bytes);
                }
            }
        }
    }
}

fn parse_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Stop> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(Status::Partial) => Ok(None),
        Ok(Status::Complete(length)) if length <= HEAD_BYTES_MAX => {
            let header = |header: &httparse::Header| {
                (
                    header.name.to_owned(),
                    String::from_utf8_lossy(header.value).into_owned(),
                )
            };
            let head = Head {
                method: request.method.unwrap_or_default().to_owned(),
                path: request.path.unwrap_or_default().to_owned(),
                headers: request.headers.iter().map(header).collect(),
                version_minor: request.version.unwrap_or_default(),
            };
            Ok(Some((head, length)))
        }
        Ok(Status::Complete(_)) | Err(httparse::Error::TooManyHeaders) => {
            Err(Stop::Refused(Fault::HeadTooLarge))
        }
        // No method begins with this byte; every client hello does.
        Err(_) if bytes.first() == Some(&TLS_HANDSHAKE) => Err(Stop::Refused(Fault::Tls)),
        Err(_) => Err(Stop::Refused(Fault::NotHttp)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out one byte a read, so that everything is found in the middle of its bytes.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let bytes = self.0.len().min(into.len()).min(1);
            into[..bytes].copy_from_slice(&self.0[..bytes]);
            self.0 = &self.0[bytes..];
            Ok(bytes)
        }
    }

    fn read<R: Read>(source: R) -> Result<(Head, Vec<u8>), Stop> {
        let mut incoming = Incoming::new(source);
        let head = incoming.head()?.ok_or(Stop::Gone)?;
        let body = incoming.body(head.framing()?)?;
        Ok((head, body))
    }

    /// What is read of a request to `/` with these headers and this rest.
    #[track_caller]
    fn check(headers: &str, rest: &str, body: Result<&str, Stop>) {
        let request = format!("POST / HTTP/1.1\r\n{headers}\r\n{rest}");
        let expected = body.map(|body| body.as_bytes().to_vec());
        assert_eq!(
            read(request.as_bytes()).map(|(_, body)| body),
            expected,
            "at once: {request:?}"
        );
        assert_eq!(
            read(Slow(request.as_bytes())).map(|(_, body)| body),
            expected,
            "slowly: {request:?}"
        );
    }

    #[track_caller]
    fn check_head(bytes: &[u8], expected: Stop) {
        assert_eq!(read(bytes).map(|_| ()), Err(expected));
    }

    #[test]
    fn a_body_may_have_a_length() {
        check("", "", Ok(""));
        check("Content-Length: 0\r\n", "", Ok(""));
        check("content-length: 3\r\n", "abcd", Ok("abc"));
        check(
            "Content-Length: 3\r\nContent-Length: 3\r\n",
            "abc",
            Ok("abc"),
        );
    }

    #[test]
    fn a_body_may_come_in_chunks() {
        let chunked = "Transfer-Encoding: chunked\r\n";
        check(chunked, "0\r\n\r\n", Ok(""));
        check(
            chunked,
            "3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nTrailer: x\r\n\r\nnext",
            Ok("abcde"),
        );
        check(chunked, "A\r\n0123456789\r\n0\r\n\r\n", Ok("0123456789"));
        check(chunked, "x\r\n", Err(Stop::Refused(Fault::LengthUnclear)));
        check(
            chunked,
            "1\r\nab\r\n0\r\n\r\n",
            Err(Stop::Refused(Fault::LengthUnclear)),
        );
        check(
            chunked,
            "FFFFFFFFFFFFFFFF\r\n",
            Err(Stop::Refused(Fault::BodyTooLarge)),
        );
        check(
            chunked,
            &format!("0\r\n{}", "T: x\r\n".repeat(200)),
            Err(Stop::Refused(Fault::HeadTooLarge)),
        );
    }

    #[test]
    fn a_body_that_stops_early_has_no_reply() {
        check("Content-Length: 3\r\n", "ab", Err(Stop::Gone));
        check("Transfer-Encoding: chunked\r\n", "3\r\nab", Err(Stop::Gone));
        check("Transfer-Encoding: chunked\r\n", "3", Err(Stop::Gone));
        check(
            "Transfer-Encoding: chunked\r\n",
            "3\r\nabc\r\n0\r\n",
            Err(Stop::Gone),
        );
    }

    #[test]
    fn a_body_whose_end_is_in_doubt_is_refused() {
        for headers in [
            "Content-Length: x\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: +1\r\n",
            "Content-Length:\r\n",
            "Content-Length: 3\r\nContent-Length: 4\r\n",
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip\r\n",
        ] {
            check(headers, "abc", Err(Stop::Refused(Fault::LengthUnclear)));
        }
    }

    #[test]
    fn a_body_of_64_mb_is_taken_and_one_byte_more_is_not() {
        let headers = |length| format!("Content-Length: {length}\r\n");
        check(&headers(BODY_BYTES_MAX), "", Err(Stop::Gone));
        check(
            &headers(BODY_BYTES_MAX + 1),
            "",
            Err(Stop::Refused(Fault::BodyTooLarge)),
        );
        check(
            "Content-Length: 99999999999999999999999\r\n",
            "",
            Err(Stop::Refused(Fault::BodyTooLarge)),
        );
    }

    #[test]
    fn a_head_of_64_kb_is_taken_and_one_byte_more_is_not() {
        let (start, end) = ("GET / HTTP/1.1\r\nA: ", "\r\n\r\n");
        let fill = HEAD_BYTES_MAX - start.len() - end.len();
        let request = |bytes| format!("{start}{}{end}", "x".repeat(bytes));
        assert!(read(request(fill).as_bytes()).is_ok());
        check_head(
            request(fill + 1).as_bytes(),
            Stop::Refused(Fault::HeadTooLarge),
        );
        check_head(b"GET / HTTP/1.1\r\n", Stop::Gone);
        check_head(
            format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(129)).as_bytes(),
            Stop::Refused(Fault::HeadTooLarge),
        );
    }

    #[test]
    fn what_is_not_http_is_refused() {
        check_head(b"\x16\x03\x01\x02\x00\x01\x00", Stop::Refused(Fault::Tls));
        for bytes in [
            &b"hello\r\n\r\n"[..],
            b"GET / HTTP/9.9\r\n\r\n",
            b"\0\0\0\0",
        ] {
            check_head(bytes, Stop::Refused(Fault::NotHttp));
        }
    }

    #[test]
    fn requests_follow_each_other() {
        let both = b"POST /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nxGET /b HTTP/1.0\r\nC: d\r\n\r\n";
        let mut incoming = Incoming::new(&both[..]);
        let first = incoming.head().unwrap().unwrap();
        assert_eq!(incoming.body(first.framing().unwrap()).unwrap(), b"x");
        let second = incoming.head().unwrap().unwrap();
        assert_eq!((first.path.as_str(), second.path.as_str()), ("/a", "/b"));
        assert_eq!(second.headers, [("C".to_owned(), "d".to_owned())]);
        assert_eq!(
            (first.connection(), second.connection()),
            (Connection::KeepAlive, Connection::Close)
        );
        assert_eq!(incoming.head(), Ok(None));
    }

    #[test]
    fn the_client_says_whether_it_comes_again() {
        for (version, header, expected) in [
            ("1.1", "", Connection::KeepAlive),
            ("1.1", "Connection: upgrade, Close\r\n", Connection::Close),
            ("1.0", "", Connection::Close),
            ("1.0", "connection: Keep-Alive\r\n", Connection::KeepAlive),
        ] {
            let request = format!("GET / HTTP/{version}\r\n{header}\r\n");
            assert_eq!(
                read(request.as_bytes()).unwrap().0.connection(),
                expected,
                "{request:?}"
            );
        }
    }
}
