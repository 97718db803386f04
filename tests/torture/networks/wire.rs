//! The bytes of one exchange, and the ends of a connection.

use std::io::{self, Read};
use std::net::{Shutdown, TcpStream};

/// How a connection ends that was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Reset,
    Close,
    /// It does not end; nothing happens any more.
    Stall,
}

/// A whole request, and the length of its body. Its last byte stays unread, so that whoever lets go of
/// the connection now resets it.
pub fn read_all_but_one(mut client: &TcpStream) -> io::Result<(Vec<u8>, usize)> {
    let (mut request, length) = read_head(client)?;
    let begun = request.len();
    request.resize(begun + length, 0);
    let last = request.len() - 1;
    client.read_exact(&mut request[begun..last])?;
    client.peek(&mut request[last..])?;
    Ok((request, length))
}

/// A head, and the length of the body that it announces.
pub fn read_head(mut from: impl Read) -> io::Result<(Vec<u8>, usize)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        from.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).to_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    Ok((
        head,
        length.map_or(0, |length| length.trim().parse().unwrap()),
    ))
}

pub fn stop(mut client: &TcpStream, end: End) -> io::Result<()> {
    if end == End::Reset {
        // To let go of a connection with something unread in it resets it.
        client.peek(&mut [0])?;
        return Ok(());
    }
    if end == End::Close {
        client.shutdown(Shutdown::Write)?;
    }
    io::copy(&mut client, &mut io::sink()).map(drop)
}
