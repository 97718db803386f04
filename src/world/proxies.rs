//! Which proxy requests go through, as ureq finds it in the environment; for a person who asks.

use crate::connection::Endpoint;
use std::collections::BTreeMap;
use std::fmt;
use ureq::http::Uri;
use ureq::{Proxy, ProxyProtocol};

/// Where ureq looks for a proxy, in its order, whatever the scheme of the address.
const VARIABLES: [&str; 6] = [
    "ALL_PROXY",
    "all_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
];

/// What the variables of proxies come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Variables whose value is no address of a proxy; ureq passes over them without a word.
    pub ignored: Vec<&'static str>,
    /// The first that is one.
    pub in_use: Option<ProxyInUse>,
}

/// A proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyInUse {
    /// Which variable names it.
    pub variable: &'static str,
    /// Scheme, host and port, without credentials.
    pub address: String,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it is of a kind that this program does not speak.
    pub is_socks: bool,
    /// Whether requests to the endpoint go past it: a host that `NO_PROXY` names.
    pub is_bypassed: bool,
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
}

impl ProxyName {
    /// How to write it with credentials.
    pub(super) fn with_credentials(&self) -> String {
        let ProxyName {
            scheme, host, port, ..
        } = self;
        format!("{scheme}://USER:PASSWORD@{host}:{port}")
    }
}

impl fmt::Display for ProxyName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let ProxyName {
            variable,
            scheme,
            host,
            port,
        } = self;
        write!(f, "{scheme}://{host}:{port} ({variable})")
    }
}

/// A variable whose value names a proxy that cannot be used. Nothing is connected to then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusableProxy {
    /// The variable.
    pub variable: &'static str,
    /// What is wrong with its value: a predicate, without the value, which may hold a password.
    pub why: &'static str,
}

impl UnusableProxy {
    /// What to do about it.
    pub fn advice(&self) -> String {
        let variable = self.variable;
        format!("write {variable} as http://HOST:PORT or socks5h://HOST:PORT, or unset it")
    }
}

impl fmt::Display for UnusableProxy {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}", self.variable, self.why)
    }
}

/// What the variables of proxies come to for this endpoint. `env` is the environment of this process,
/// which ureq reads by itself.
pub fn proxies(env: &BTreeMap<String, String>, endpoint: Option<&Endpoint>) -> Proxies {
    let mut found = Proxies::default();
    for variable in VARIABLES {
        let Some(value) = env.get(variable).filter(|value| !value.is_empty()) else {
            continue;
        };
        match Proxy::new(value) {
            Err(_) => found.ignored.push(variable),
            Ok(proxy) if found.in_use.is_none() => {
                found.in_use = Some(ProxyInUse::of(&proxy, variable, endpoint));
            }
            Ok(_) => {}
        }
    }
    found
}

impl ProxyInUse {
    fn of(proxy: &Proxy, variable: &'static str, endpoint: Option<&Endpoint>) -> ProxyInUse {
        let scheme = match proxy.protocol() {
            ProxyProtocol::Http => "http",
            ProxyProtocol::Https => "https",
            _ => "socks",
        };
        let (host, port) = (proxy.host().to_owned(), proxy.port());
        let url: Option<Uri> = endpoint.and_then(|endpoint| endpoint.to_string().parse().ok());
        // Only one that ureq reads itself knows what NO_PROXY says.
        let is_bypassed = url
            .is_some_and(|url| Proxy::try_from_env().is_some_and(|proxy| proxy.is_no_proxy(&url)));
        ProxyInUse {
            variable,
            address: format!("{scheme}://{host}:{port}"),
            is_socks: scheme == "socks",
            is_bypassed,
            host,
            port,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_can_be_understood_is_used_and_shown_without_credentials() {
        let check = |values: &[(&str, &str)], ignored: &[&str], address: Option<&str>| {
            let env = values
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            let found = proxies(&env, None);
            assert_eq!(found.ignored, ignored, "{values:?}");
            let in_use = found.in_use.map(|proxy| proxy.address);
            assert_eq!(in_use.as_deref(), address, "{values:?}");
        };
        check(&[], &[], None);
        check(&[("HTTPS_PROXY", "")], &[], None);
        check(
            &[("HTTPS_PROXY", "http://anna:secret@proxy.example:3128/")],
            &[],
            Some("http://proxy.example:3128"),
        );
        check(
            &[("http_proxy", "proxy"), ("ALL_PROXY", "not a proxy")],
            &["ALL_PROXY"],
            Some("http://proxy:80"),
        );
        check(
            &[("all_proxy", "socks5h://p"), ("https_proxy", "http://q")],
            &[],
            Some("socks://p:1080"),
        );
    }
}
