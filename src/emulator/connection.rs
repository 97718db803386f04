//! One connection: its requests are read, judged, stored and answered in turn, as the script wants it.

use super::answer::{self, Answer};
use super::client::Client;
use super::fault::Fault;
use super::reply::Reply;
use super::script::{Close, Step};
use super::wire::{BODY_BYTES_MAX, Connection, Head, Incoming, Stop};
use super::{Exchange, Moment, Shared};
use crate::gzip;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

/// What the client is told to send the body after, if it asks first.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Serves a connection to its end, whatever the client does.
pub(super) fn serve(stream: TcpStream, shared: &Shared) {
    let client = match Client::greet(stream, shared.tls.as_ref()) {
        Ok(client) => client,
        Err(Stop::Refused(fault)) => return report(&fault, shared),
        Err(Stop::Gone) => return,
    };
    let mut incoming = Incoming::new(&client);
    loop {
        match incoming.head() {
            Ok(Some(head)) => match serve_request(&client, &mut incoming, &head, shared) {
                Connection::KeepAlive => {}
                Connection::Close => return,
            },
            Ok(None) | Err(Stop::Gone) => return,
            Err(Stop::Refused(fault)) => {
                report(&fault, shared);
                let bytes = bare(&fault).encode((shared.now)(), Connection::Close);
                if send(&client, &bytes, &Step::default()).is_ok() {
                    drain(&client);
                }
                return;
            }
        }
    }
}

/// Tells the observer of something that is no request.
fn report(fault: &Fault, shared: &Shared) {
    let exchange = Exchange {
        status: fault.status(),
        fault: Some(fault.to_string()),
        ..Exchange::default()
    };
    (shared.observer)(Moment::Replied, &exchange);
}

/// The reply to what could not be read.
fn bare(fault: &Fault) -> Reply {
    Reply {
        status: fault.status(),
        ..Reply::default()
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

fn serve_request(
    client: &Client,
    incoming: &mut Incoming<&Client>,
    head: &Head,
    shared: &Shared,
) -> Connection {
    let step = shared.script.next();
    let mut exchange = begin(head);
    (shared.observer)(Moment::Receiving, &exchange);
    if step.close == Some(Close::OnAccept) {
        client.close();
        (shared.observer)(Moment::Replied, &exchange);
        return Connection::Close;
    }
    let (reply, connection) = match receive(client, incoming, head) {
        Ok(body) => (
            judge(head, &body, &step, shared, &mut exchange),
            head.connection(),
        ),
        Err(Stop::Refused(fault)) => {
            exchange.fault = Some(fault.to_string());
            (bare(&fault), Connection::Close)
        }
        Err(Stop::Gone) => return Connection::Close,
    };
    exchange.status = reply.status;
    (shared.observer)(Moment::Judged, &exchange);
    pause(Duration::from_millis(step.delay_ms));
    let sent = send(client, &reply.encode((shared.now)(), connection), &step);
    (shared.observer)(Moment::Replied, &exchange);
    if sent.is_err() || step.cut_after_bytes.is_some() {
        return Connection::Close;
    }
    if connection == Connection::Close {
        drain(client);
    }
    connection
}

fn begin(head: &Head) -> Exchange {
    Exchange {
        method: head.method.clone(),
        path: head.path.clone(),
        headers: head.headers.clone(),
        ..Exchange::default()
    }
}

fn receive(
    mut client: &Client,
    incoming: &mut Incoming<&Client>,
    head: &Head,
) -> Result<Vec<u8>, Stop> {
    let framing = head.framing()?;
    if head.lists("expect", "100-continue") {
        client.write_all(CONTINUE)?;
    }
    incoming.body(framing)
}

/// Judges a body, stores what is accepted, and notes both in the exchange.
fn judge(head: &Head, body: &[u8], step: &Step, shared: &Shared, exchange: &mut Exchange) -> Reply {
    exchange.body_bytes_on_wire = body.len();
    let decoded = decode(head, body);
    let readable = decoded.as_deref().map_err(Clone::clone);
    let mut answer = answer::answer(&head.method, &head.path, readable, step, (shared.now)());
    if let Err(err) = store(shared, &answer) {
        answer = answer::not_stored(answer, &err);
    }
    if head.method == "HEAD" {
        // Its reply ends with the head; a body would be taken for the next reply.
        answer.reply.body.clear();
    }
    exchange.body = decoded.unwrap_or_default();
    exchange.verdicts = answer.verdicts;
    exchange.fault = answer.fault.map(|fault| fault.to_string());
    answer.reply
}

fn decode(head: &Head, body: &[u8]) -> Result<Vec<u8>, Fault> {
    if !head.lists("content-encoding", "gzip") {
        return Ok(body.to_vec());
    }
    gzip::decode(body, BODY_BYTES_MAX).map_err(|err| match err.kind() {
        ErrorKind::FileTooLarge => Fault::UnpackedTooLarge,
        _ => Fault::NotGzip,
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
fn send(mut client: &Client, reply: &[u8], step: &Step) -> io::Result<()> {
    let cut = step.cut_after_bytes.unwrap_or(reply.len()).min(reply.len());
    let sent = match step.drip_ms {
        0 => client.write_all(&reply[..cut]),
        drip_ms => reply[..cut].iter().try_for_each(|byte| {
            pause(Duration::from_millis(drip_ms));
            client.write_all(&[*byte])
        }),
    };
    if step.cut_after_bytes.is_some() {
        client.close();
    }
    sent
}

/// Lets the client read our last reply: a socket closed while data is still arriving is reset, and the
/// reply may be lost with it.
fn drain(client: &Client) {
    if client.end().is_ok() {
        // However it ends, the connection is closed next.
        let _drained = io::copy(
            &mut Read::take(client, BODY_BYTES_MAX as u64),
            &mut io::sink(),
        );
    }
}
