//! What `NO_PROXY` names: hosts, domains, addresses and networks that are reached without a proxy.

use std::net::{IpAddr, Ipv6Addr};

/// What is to be reached.
pub(super) struct Target<'a> {
    pub(super) scheme: &'a str,
    /// In lower case, an IPv6 address in brackets.
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) is_loopback: bool,
}

impl Target<'_> {
    /// Whether an entry of `NO_PROXY` names it: `*`, a host or a domain with or without its leading dot, an IP
    /// address, each also with a port, or a network.
    pub(super) fn is_named_by(&self, entry: &str) -> bool {
        let ip: Option<IpAddr> = bare(self.host).parse().ok();
        if entry == "*" {
            return true;
        }
        if let Some((network, bits)) = entry.split_once('/') {
            return ip.is_some_and(|ip| is_in(ip, bare(network), bits));
        }
        let (host, port) = split_port(entry);
        if port.is_some_and(|port| port.parse() != Ok(self.port)) {
            return false;
        }
        if ip.is_some() {
            return host.parse().ok() == ip;
        }
        let domain = host.strip_prefix("*.").unwrap_or(host);
        let domain = domain.trim_matches('.').to_ascii_lowercase();
        let before = self.host.strip_suffix(&domain);
        !domain.is_empty() && before.is_some_and(|name| name.is_empty() || name.ends_with('.'))
    }
}

/// `host:port`, `[v6]:port`, or either without a port; the host comes without brackets.
pub(super) fn split_port(place: &str) -> (&str, Option<&str>) {
    if let Some((ip, rest)) = place.strip_prefix('[').and_then(|ip| ip.split_once(']')) {
        return match rest.strip_prefix(':') {
            Some(port) => (ip, Some(port)),
            None if rest.is_empty() => (ip, None),
            None => (place, None),
        };
    }
    match place.rsplit_once(':') {
        Some((host, port)) if place.parse::<Ipv6Addr>().is_err() => (host, Some(port)),
        _ => (place, None),
    }
}

/// An address without its brackets.
fn bare(ip: &str) -> &str {
    let inner = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
    inner.unwrap_or(ip)
}

fn is_in(ip: IpAddr, network: &str, bits: &str) -> bool {
    let Ok(bits) = bits.parse::<u32>() else {
        return false;
    };
    match (ip, network.parse()) {
        (IpAddr::V4(ip), Ok(IpAddr::V4(network))) if bits <= 32 => {
            let differ = ip.to_bits() ^ network.to_bits();
            differ.checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(ip), Ok(IpAddr::V6(network))) if bits <= 128 => {
            let differ = ip.to_bits() ^ network.to_bits();
            differ.checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}
