//! A client's connection, plain or TLS: what reads and writes sees no difference.

use super::fault::Fault;
use super::wire::Stop;
use crate::tls::{Identity, Session};
use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// How long a client may be silent, or not take what we send.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long a refused client may be silent before its connection is closed all the same.
const DRAIN_SILENCE_MAX: Duration = Duration::from_secs(1);

pub(super) struct Client {
    stream: TcpStream,
    session: Option<RefCell<Session>>,
}

impl Client {
    /// Prepares a connection and, with an identity, shakes hands on it.
    pub(super) fn greet(stream: TcpStream, identity: Option<&Identity>) -> Result<Client, Stop> {
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(SILENCE_MAX))?;
        // A dripping server is only one if each byte leaves alone.
        stream.set_nodelay(true)?;
        let session = match identity {
            None => None,
            Some(identity) => Some(RefCell::new(shake_hands(&stream, identity.session()?)?)),
        };
        Ok(Client { stream, session })
    }

    /// Closes the connection at once, in the middle of whatever is under way.
    pub(super) fn close(&self) {
        // It fails if the client was first, which is just as well.
        let _closed = self.stream.shutdown(Shutdown::Both);
    }

    /// Ends what is sent; from now on the client may be silent for a moment only.
    pub(super) fn end(&self) -> io::Result<()> {
        if let Some(session) = &self.session {
            session.borrow_mut().end(&self.stream)?;
        }
        self.stream.shutdown(Shutdown::Write)?;
        self.stream.set_read_timeout(Some(DRAIN_SILENCE_MAX))
    }
}

fn shake_hands(stream: &TcpStream, mut session: Session) -> Result<Session, Stop> {
    let mut first = [0];
    if stream.peek(&mut first)? == 0 {
        return Err(Stop::Gone);
    }
    if first[0].is_ascii_uppercase() {
        return Err(Stop::Refused(Fault::Plain));
    }
    let refused = |words| Err(Stop::Refused(Fault::Handshake(words)));
    match session.shake_hands(stream) {
        Ok(()) => Ok(session),
        Err(err) if err.kind() == ErrorKind::InvalidData => refused(err.to_string()),
        // Some clients do not say that they distrust the certificate.
        Err(_) => refused("the client left".to_owned()),
    }
}

impl Read for &Client {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &self.session {
            None => (&self.stream).read(into),
            Some(session) => session.borrow_mut().read(&self.stream, into),
        }
    }
}

impl Write for &Client {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.session {
            None => (&self.stream).write(bytes),
            Some(session) => session.borrow_mut().write(&self.stream, bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &self.session {
            None => (&self.stream).flush(),
            Some(session) => session.borrow_mut().flush(&self.stream),
        }
    }
}
