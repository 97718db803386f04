//! One connection: its requests are read, judged, stored and answered in turn, as the script wants it.

use super::answer::{self, Answer};
use super::reply::Reply;
use super::script::{Close, Step};
use super::wire::{BODY_BYTES_MAX, Connection, Head, Incoming, Stop};
use super::{Exchange, Moment, Shared};
use crate::gzip;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

/// How long a client may be silent, or not take what we send.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long a refused client may be silent before its connection is closed all the same.
const DRAIN_SILENCE_MAX: Duration = Duration::from_secs(1);

/// What the client is told to send the body after, if it asks first.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Serves a connection to its end, whatever the client does.
pub(super) fn serve(stream: &TcpStream, shared: &Shared) {
    if prepare(stream).is_err() {
        return;
    }
    let mut incoming = Incoming::new(stream);
    loop {
        match incoming.head() {
            Ok(Some(head)) => match serve_request(stream, &mut incoming, &head, shared) {
                Connection::KeepAlive => {}
                Connection::Close => return,
            },
            Ok(None) | Err(Stop::Gone) => return,
            Err(Stop::Refused(status)) => {
                let reply = Reply {
                    status,
                    ..Reply::default()
                };
                let bytes = reply.encode((shared.now)(), Connection::Close);
                if send(stream, &bytes, &Step::default()).is_ok() {
                    drain(stream);
                }
                return;
            }
        }
    }
}

/// The one place where the emulator sleeps.
#[allow(
    clippy::disallowed_methods,
    reason = "a scripted hang has to be a real one"
)]
pub(super) fn pause(duration: Duration) {
    thread::sleep(duration);
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    // A dripping server is only one if each byte leaves alone.
    stream.set_nodelay(true)
}

fn serve_request(
    stream: &TcpStream,
    incoming: &mut Incoming<&TcpStream>,
    head: &Head,
    shared: &Shared,
) -> Connection {
    let step = shared.script.next();
    let mut exchange = begin(head);
    (shared.observer)(Moment::Receiving, &exchange);
    if step.close == Some(Close::OnAccept) {
        close(stream);
        (shared.observer)(Moment::Replied, &exchange);
        return Connection::Close;
    }
    let (reply, connection) = match receive(stream, incoming, head) {
        Ok(body) => (
            judge(head, &body, &step, shared, &mut exchange),
            head.connection(),
        ),
        Err(Stop::Refused(status)) => (
            Reply {
                status,
                ..Reply::default()
            },
            Connection::Close,
        ),
        Err(Stop::Gone) => return Connection::Close,
    };
    exchange.status = reply.status;
    (shared.observer)(Moment::Judged, &exchange);
    pause(Duration::from_millis(step.delay_ms));
    let sent = send(stream, &reply.encode((shared.now)(), connection), &step);
    (shared.observer)(Moment::Replied, &exchange);
    if sent.is_err() || step.cut_after_bytes.is_some() {
        return Connection::Close;
    }
    if connection == Connection::Close {
        drain(stream);
    }
    connection
}

fn begin(head: &Head) -> Exchange {
    Exchange {
        method: head.method.clone(),
        path: head.path.clone(),
        headers: head.headers.clone(),
        body: Vec::new(),
        body_bytes_on_wire: 0,
        verdicts: Vec::new(),
        status: 0,
    }
}

fn receive(
    mut stream: &TcpStream,
    incoming: &mut Incoming<&TcpStream>,
    head: &Head,
) -> Result<Vec<u8>, Stop> {
    let framing = head.framing()?;
    if head.lists("expect", "100-continue") {
        stream.write_all(CONTINUE)?;
    }
    incoming.body(framing)
}

/// Judges a body, stores what is accepted, and notes both in the exchange.
fn judge(head: &Head, body: &[u8], step: &Step, shared: &Shared, exchange: &mut Exchange) -> Reply {
    exchange.body_bytes_on_wire = body.len();
    let decoded = decode(head, body);
    let readable = decoded.as_deref().map_err(|status| *status);
    let mut answer = answer::answer(&head.method, &head.path, readable, step, (shared.now)());
    if store(shared, &answer).is_err() {
        answer = answer::not_stored(answer);
    }
    if head.method == "HEAD" {
        // Its reply ends with the head; a body would be taken for the next reply.
        answer.reply.body.clear();
    }
    exchange.body = decoded.unwrap_or_default();
    exchange.verdicts = answer.verdicts;
    answer.reply
}

fn decode(head: &Head, body: &[u8]) -> Result<Vec<u8>, u16> {
    if !head.lists("content-encoding", "gzip") {
        return Ok(body.to_vec());
    }
    gzip::decode(body, BODY_BYTES_MAX).map_err(|err| match err.kind() {
        ErrorKind::FileTooLarge => 413,
        _ => 400,
    })
}

fn store(shared: &Shared, answer: &Answer) -> io::Result<()> {
    let accepted = answer
        .verdicts
        .iter()
        .filter(|(_, refused)| refused.is_none());
    match &shared.store {
        Some(store) => store.append(accepted.map(|(envelope, _)| envelope)),
        None => Ok(()),
    }
}

/// Sends a reply the way the step wants it; a cut one ends the connection.
fn send(mut stream: &TcpStream, reply: &[u8], step: &Step) -> io::Result<()> {
    let cut = step.cut_after_bytes.unwrap_or(reply.len()).min(reply.len());
    let sent = match step.drip_ms {
        0 => stream.write_all(&reply[..cut]),
        drip_ms => reply[..cut].iter().try_for_each(|byte| {
            pause(Duration::from_millis(drip_ms));
            stream.write_all(&[*byte])
        }),
    };
    if step.cut_after_bytes.is_some() {
        close(stream);
    }
    sent
}

fn close(stream: &TcpStream) {
    // It fails if the client was first, which is just as well.
    let _closed = stream.shutdown(Shutdown::Both);
}

/// Lets the client read our last reply: a socket closed while data is still arriving is reset, and the
/// reply may be lost with it.
fn drain(stream: &TcpStream) {
    let quiet = stream
        .shutdown(Shutdown::Write)
        .and_then(|()| stream.set_read_timeout(Some(DRAIN_SILENCE_MAX)));
    if quiet.is_ok() {
        // However it ends, the connection is closed next.
        let _drained = io::copy(
            &mut Read::take(stream, BODY_BYTES_MAX as u64),
            &mut io::sink(),
        );
    }
}
