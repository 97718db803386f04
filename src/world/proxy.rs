//! One proxy, as the value of a variable names it.

use super::no_proxy::split_port;
use crate::connection::TEXT_BYTES_MAX;
use std::fmt;
use std::net::Ipv6Addr;

/// The schemes of proxies, with the port where none is given: curl takes 1080 for http, too, all others 80.
const SCHEMES: [(&str, u16); 6] = [
    ("http", 80),
    ("https", 443),
    ("socks4", 1080),
    ("socks4a", 1080),
    ("socks5", 1080),
    ("socks5h", 1080),
];

/// A proxy that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// The same as the user may be told of it.
    pub name: ProxyName,
    /// The same with credentials, which its `Debug` does not show.
    pub(super) address: ureq::Proxy,
}

/// A proxy as the user may be told of it: without credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyName {
    /// The variable that names it.
    pub variable: &'static str,
    /// Its scheme.
    pub scheme: &'static str,
    /// Its host, an IPv6 address in brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether there are credentials for it.
    pub has_credentials: bool,
}

impl Proxy {
    /// Reads `[SCHEME://][USER[:PASSWORD]@]HOST[:PORT]`; a path behind it counts for nothing, as in curl.
    ///
    /// # Errors
    /// A predicate that does not repeat the value.
    pub(super) fn parse(variable: &'static str, value: &str) -> Result<Proxy, &'static str> {
        if value.len() > TEXT_BYTES_MAX {
            return Err("is longer than 4096 bytes");
        }
        if !value.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
            return Err(
                "holds a character that an address may not hold (in a password, write it as %XX)",
            );
        }
        let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
        let (scheme, default_port) = *SCHEMES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(scheme))
            .ok_or("has none of the schemes http, https, socks4, socks4a, socks5 and socks5h")?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (credentials, place) = match authority.rsplit_once('@') {
            Some((credentials, place)) => (format!("{credentials}@"), place),
            None => (String::new(), authority),
        };
        let has_credentials = !credentials.is_empty();
        if has_credentials && scheme.starts_with("socks4") {
            return Err("has a user name, which is not sent to a SOCKS4 proxy; take socks5h");
        }
        let (host, port) = split_port(place);
        let port = match port {
            None => default_port,
            Some(port) => {
                let port = port.parse().ok().filter(|port| *port > 0);
                port.ok_or("has no valid port")?
            }
        };
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let host = match host.parse::<Ipv6Addr>() {
            Ok(ip) if place.starts_with('[') => format!("[{ip}]"),
            Ok(_) => return Err("has an IPv6 address without brackets"),
            Err(_) if host.bytes().all(is_name) && !host.trim_matches('.').is_empty() => {
                host.to_ascii_lowercase()
            }
            Err(_) => return Err("has no valid host"),
        };
        let address = ureq::Proxy::new(&format!("{scheme}://{credentials}{host}:{port}"))
            .map_err(|_| "has a user name or password with a character to be written as %XX")?;
        let fits = |text: Option<&str>| text.is_some_and(|text| (1..=255).contains(&text.len()));
        let is_whole = fits(address.username()) && fits(address.password());
        if has_credentials && scheme.starts_with("socks5") && !is_whole {
            return Err(
                "has no user name or no password, of 255 bytes at most, and SOCKS5 takes both",
            );
        }
        Ok(Proxy {
            name: ProxyName {
                variable,
                scheme,
                host,
                port,
                has_credentials,
            },
            address,
        })
    }
}

impl ProxyName {
    /// Whether host names are looked up on this machine before the proxy is asked.
    pub fn resolves_here(&self) -> bool {
        matches!(self.scheme, "socks4" | "socks5")
    }

    /// Scheme, host and port.
    pub fn url(&self) -> String {
        format!("{}://{}:{}", self.scheme, self.host, self.port)
    }
}

impl fmt::Display for ProxyName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} ({})", self.url(), self.variable)
    }
}
