//! How far one gets on the way to a host, step by step, for a person who asks why nothing arrives.

use crate::watchdog;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Looks a host up, waiting at most so long.
///
/// # Errors
/// Why there is no address, in words.
pub fn lookup(host: &str, port: u16, wait_max: Duration) -> Result<Vec<SocketAddr>, String> {
    let place = (host.trim_matches(['[', ']']).to_owned(), port);
    let look = move || place.to_socket_addrs().map(Iterator::collect);
    let found: Vec<SocketAddr> = match watchdog::within(wait_max, look) {
        Ok(Some(found)) => found.map_err(|_| super::HOST_NOT_FOUND.to_owned())?,
        Ok(None) => return Err("the lookup timed out".to_owned()),
        Err(err) => return Err(super::io_reason(&err)),
    };
    if found.is_empty() {
        return Err("the host name has no address".to_owned());
    }
    Ok(found)
}

/// Connects to the first of these addresses that answers, waiting at most so long for each, and closes
/// the connection.
///
/// # Errors
/// Why the last of them does not answer, in words.
pub fn connect(addresses: &[SocketAddr], wait_max: Duration) -> Result<(), String> {
    /// Names with more addresses exist; more attempts would only take longer.
    const ATTEMPTS_MAX: usize = 4;
    let mut why = "there is no address".to_owned();
    for address in addresses.iter().take(ATTEMPTS_MAX) {
        match TcpStream::connect_timeout(address, wait_max) {
            Ok(_) => return Ok(()),
            Err(err) => why = super::io_reason(&err),
        }
    }
    Err(why)
}
