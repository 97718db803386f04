//! How far one gets on the way to a host, step by step, for a person who asks why nothing arrives.

use super::NoReply;
use crate::watchdog;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;
use ureq::Timeout;

/// Looks a host up, waiting at most so long.
///
/// # Errors
/// Why there is no address.
pub fn lookup(host: &str, port: u16, wait_max: Duration) -> Result<Vec<SocketAddr>, NoReply> {
    let place = (host.trim_matches(['[', ']']).to_owned(), port);
    let look = move || place.to_socket_addrs().map(Iterator::collect);
    let found: Vec<SocketAddr> = match watchdog::within(wait_max, look) {
        Ok(Some(found)) => found.map_err(|_| NoReply::HostNotFound)?,
        Ok(None) => return Err(NoReply::TimedOut(Timeout::Resolve)),
        Err(err) => return Err(NoReply::of_io(&err)),
    };
    if found.is_empty() {
        return Err(NoReply::HostNotFound);
    }
    Ok(found)
}

/// Connects to the first of these addresses that answers, waiting at most so long for each, and closes
/// the connection.
///
/// # Errors
/// Why the last of them does not answer.
pub fn connect(addresses: &[SocketAddr], wait_max: Duration) -> Result<(), NoReply> {
    /// Names with more addresses exist; more attempts would only take longer.
    const ATTEMPTS_MAX: usize = 4;
    let mut why = NoReply::HostNotFound;
    for address in addresses.iter().take(ATTEMPTS_MAX) {
        match TcpStream::connect_timeout(address, wait_max) {
            Ok(_) => return Ok(()),
            Err(err) => why = NoReply::of_io(&err),
        }
    }
    Err(why)
}
