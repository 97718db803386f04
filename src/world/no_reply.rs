//! Why no reply came, as facts. Nothing reads the words of `Display` back.

use super::proxies::UnusableProxy;
use super::proxy::ProxyName;
use crate::tls;
use std::fmt;
use std::io::{self, ErrorKind};
use ureq::{Error, Timeout};

/// Nothing came back. The batch may have arrived all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoReply {
    /// No network, no name server, or no such host: the system does not tell them apart.
    HostNotFound,
    /// There was no answer in time, in this phase of the request.
    TimedOut(Timeout),
    /// The server's certificate is not trusted, for this reason in rustls's words.
    Untrusted(String),
    /// The connection failed, in the system's words: refused, reset by peer, broken pipe.
    Failed(String),
    /// The proxy did not connect to the server.
    AtProxy(ProxyName, ProxyFailure),
    /// The proxy connected to the server, and what followed failed.
    BehindProxy(ProxyName, Box<NoReply>),
    /// A proxy wants credentials, or others than it got: the named one, or else one that the network put there.
    CredentialsWanted(Option<ProxyName>),
    /// The environment names a proxy that cannot be used, so nothing was connected to.
    ProxyUnusable(UnusableProxy),
}

/// Why a proxy did not connect to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyFailure {
    /// There is no connection to the proxy itself.
    Unreachable(Box<NoReply>),
    /// It closed the connection without an answer.
    HungUp,
    /// It answered CONNECT with this status.
    Refused(u16),
    /// It refused in the words of SOCKS, or answered in a form that it does not know.
    Said(String),
}

impl NoReply {
    /// Whether it stays like this until the user changes the configuration.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            NoReply::CredentialsWanted(_) | NoReply::ProxyUnusable(_)
        )
    }

    /// `Display` with its subject, for messages that stand alone.
    pub fn sentence(&self) -> String {
        match self {
            // The server was not asked.
            NoReply::ProxyUnusable(_) => self.to_string(),
            _ => format!("no reply from the server: {self}"),
        }
    }

    /// Why the server's certificate is not trusted, if that is what is wrong.
    pub fn distrust(&self) -> Option<&str> {
        match self {
            NoReply::Untrusted(why) => Some(why),
            NoReply::BehindProxy(_, why) => why.distrust(),
            _ => None,
        }
    }

    /// What ureq's error says of a request that went through this proxy.
    pub(super) fn of(err: &Error, proxy: Option<&ProxyName>) -> NoReply {
        let Some(name) = proxy else {
            return NoReply::of_server(err);
        };
        match at_proxy(err) {
            None => NoReply::BehindProxy(name.clone(), Box::new(NoReply::of_server(err))),
            Some(Refusal::Credentials) => NoReply::CredentialsWanted(Some(name.clone())),
            Some(Refusal::Other(failure)) => NoReply::AtProxy(name.clone(), failure),
        }
    }

    fn of_server(err: &Error) -> NoReply {
        match err {
            Error::HostNotFound => NoReply::HostNotFound,
            Error::Timeout(phase) => NoReply::TimedOut(*phase),
            Error::Io(err) => NoReply::of_io(err),
            other => NoReply::Failed(other.to_string()),
        }
    }

    /// What an error of the system says.
    pub(super) fn of_io(err: &io::Error) -> NoReply {
        let text = err.to_string();
        if tls::is_untrusted(err) {
            return NoReply::Untrusted(text);
        }
        // std's own words for every failure of the resolver, with the C library's behind them.
        if text.starts_with("failed to lookup address information") {
            return NoReply::HostNotFound;
        }
        // The system's words without the number behind them.
        match text.split_once(" (os error") {
            Some((words, _)) => NoReply::Failed(words.to_lowercase()),
            None => NoReply::Failed(text),
        }
    }
}

/// An error on the way to the proxy, or of the proxy, before it had connected to the server.
#[derive(Debug)]
pub(super) struct AtProxy(pub(super) Error);

impl fmt::Display for AtProxy {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for AtProxy {}

enum Refusal {
    Credentials,
    Other(ProxyFailure),
}

/// What the proxy did, if the error is about that.
fn at_proxy(err: &Error) -> Option<Refusal> {
    let Error::Other(other) = err else {
        return None;
    };
    let AtProxy(err) = other.downcast_ref()?;
    let failure = match err {
        Error::ConnectProxyFailed(words) => match status_of(words) {
            Some(407) => return Some(Refusal::Credentials),
            Some(status) => ProxyFailure::Refused(status),
            None => ProxyFailure::HungUp,
        },
        Error::Io(err) if wants_credentials(err) => return Some(Refusal::Credentials),
        Error::Io(err) => match err.kind() {
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe => ProxyFailure::HungUp,
            _ => match NoReply::of_io(err) {
                // ureq's words for the answer of a SOCKS proxy.
                NoReply::Failed(words) if err.raw_os_error().is_none() => ProxyFailure::Said(words),
                why => ProxyFailure::Unreachable(Box::new(why)),
            },
        },
        Error::HostNotFound | Error::Timeout(_) => {
            ProxyFailure::Unreachable(Box::new(NoReply::of_server(err)))
        }
        other => ProxyFailure::Said(other.to_string()),
    };
    Some(Refusal::Other(failure))
}

/// The status that a proxy answered CONNECT with; ureq has it in its words alone: `… responded 403/403`.
fn status_of(words: &str) -> Option<u16> {
    words.rsplit('/').next()?.parse().ok()
}

/// Whether a SOCKS proxy refused for the credentials or for want of them. ureq tells the one by its kind, the
/// other in its words alone.
fn wants_credentials(err: &io::Error) -> bool {
    let of_ureq = err.get_ref().map(ToString::to_string);
    of_ureq.is_some_and(|words| {
        err.kind() == ErrorKind::PermissionDenied || words == "no acceptable auth methods"
    })
}

/// Whether the certificate of the server, or of the proxy, is what is wrong.
pub(super) fn is_distrust(err: &Error) -> bool {
    match err {
        Error::Io(err) => tls::is_untrusted(err),
        Error::Other(other) => {
            let at_proxy = other.downcast_ref::<AtProxy>();
            at_proxy.is_some_and(|AtProxy(err)| is_distrust(err))
        }
        _ => false,
    }
}

impl fmt::Display for NoReply {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            NoReply::HostNotFound => f.write_str("the host name could not be resolved"),
            NoReply::TimedOut(phase) => write!(f, "timed out ({phase})"),
            NoReply::Untrusted(why) => write!(
                f,
                "{why}; if a proxy inspects TLS here, name its root with --ca-file or SSL_CERT_FILE"
            ),
            NoReply::Failed(why) => f.write_str(why),
            NoReply::AtProxy(name, failure) => write!(f, "the proxy {name} {failure}"),
            // A name is looked up behind a proxy only where the proxy does not do it.
            NoReply::BehindProxy(name, why) if **why == NoReply::HostNotFound => write!(
                f,
                "through {name}: {why} on this machine; socks5h:// leaves that to the proxy"
            ),
            NoReply::BehindProxy(name, why) => write!(f, "through {name}: {why}"),
            NoReply::CredentialsWanted(Some(name)) => {
                let does = if name.has_credentials {
                    "refuses the credentials"
                } else {
                    "wants credentials"
                };
                let status = if name.scheme.starts_with("http") {
                    " (407)"
                } else {
                    ""
                };
                let ProxyName {
                    variable,
                    scheme,
                    host,
                    port,
                    ..
                } = name;
                // Without a password SOCKS4 has no credentials that could be given.
                let scheme = if scheme.starts_with("socks4") {
                    "socks5h"
                } else {
                    scheme
                };
                write!(
                    f,
                    "the proxy {name} {does}{status}; write {variable} as {scheme}://USER:PASSWORD@{host}:{port}"
                )
            }
            NoReply::CredentialsWanted(None) => f.write_str(
                "a proxy of the network wants credentials (407); name it with its credentials in HTTPS_PROXY",
            ),
            NoReply::ProxyUnusable(proxy) => write!(f, "{proxy}; {}", proxy.advice()),
        }
    }
}

impl fmt::Display for ProxyFailure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            ProxyFailure::Unreachable(why) => match **why {
                NoReply::TimedOut(_) => write!(f, "does not answer: {why}"),
                _ => write!(f, "cannot be reached: {why}"),
            },
            ProxyFailure::HungUp => f.write_str("closed the connection without an answer"),
            ProxyFailure::Refused(status) => {
                write!(f, "answered {status} and did not connect to the server")
            }
            ProxyFailure::Said(words) => write!(f, "did not connect to the server: {words}"),
        }
    }
}
