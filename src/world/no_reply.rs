//! Why no reply came, as facts. Nothing reads the words of `Display` back.

use super::proxies::{ProxyName, UnusableProxy};
use crate::tls;
use std::fmt;
use std::io;
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
        let why = match err {
            Error::HostNotFound => NoReply::HostNotFound,
            Error::Timeout(phase) => NoReply::TimedOut(*phase),
            Error::Io(err) => NoReply::of_io(err),
            other => NoReply::Failed(other.to_string()),
        };
        match proxy {
            Some(name) => NoReply::BehindProxy(name.clone(), Box::new(why)),
            None => why,
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
            NoReply::BehindProxy(name, why) => write!(f, "through {name}: {why}"),
            NoReply::CredentialsWanted(Some(name)) => write!(
                f,
                "the proxy {name} wants credentials (407); write {} as {}",
                name.variable,
                name.with_credentials()
            ),
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
            ProxyFailure::Unreachable(why) => write!(f, "cannot be reached: {why}"),
            ProxyFailure::HungUp => f.write_str("closed the connection without an answer"),
            ProxyFailure::Refused(status) => {
                write!(f, "answered {status} and did not connect to the server")
            }
            ProxyFailure::Said(words) => write!(f, "did not connect to the server: {words}"),
        }
    }
}
