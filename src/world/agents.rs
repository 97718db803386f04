//! ureq's agents: whose certificates they trust, how much memory a connection takes, and how long a request
//! may. They go through the proxy they are told to; ureq never reads the environment for one.

use super::no_reply::{AtProxy, is_distrust};
use super::proxies::Proxies;
use super::proxy::Proxy;
use super::{Patience, roots};
use crate::connection::Endpoint;
use crate::settings::Limits;
use crate::watchdog;
use anyhow::Result;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use ureq::config::IpFamily;
use ureq::http::{Response, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, RustlsConnector,
    SocksConnector, TcpConnector, Transport,
};
use ureq::{Agent, Body, Error, Timeout};

/// Breeze writes the User-Agent into `client_Browser` of every event, so it says nothing else.
const USER_AGENT: &str = "telemetry-upload";

/// The slowest uplink a body is given time for: 200 kbit/s, an EDGE phone.
const UPLINK_BYTES_PER_S: u64 = 25_000;

/// With these a person has said whom to trust.
const TRUST_VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Whether the platform verifies by itself, and knows of certificates that were revoked. Elsewhere its
/// verifier is a file of roots, which takes 3 to 6 ms to read: as long as all else of a small pass.
const HAS_A_VERIFIER: bool = cfg!(any(target_os = "macos", windows));

/// What is read of a connection at once, and the longest head of a reply; Breeze's have less than 1 KB.
/// With ureq's own 128 KB for each buffer, of which TLS takes four, a connection had 420 KB more memory
/// and a request over TLS no system call less.
const INPUT_BYTES: usize = 16 * 1024;

/// What is written at once. TLS sends records of 16 KB and some bytes of its own: one must fit, or it
/// takes two writes.
const OUTPUT_BYTES: usize = 32 * 1024;

/// All agents of a process; several threads may post at the same time.
#[derive(Debug)]
pub(super) struct Agents {
    /// What decides the proxy of each request.
    pub(super) proxies: Proxies,
    limits: Limits,
    first: Trusting,
    /// There once a certificate did not verify with the bundled roots, and used from then on.
    platform: OnceLock<Trusting>,
}

impl Agents {
    /// # Errors
    /// A CA file that cannot be read or holds no certificate.
    pub(super) fn new(
        limits: &Limits,
        ca_file: Option<&Path>,
        env: &BTreeMap<String, String>,
    ) -> Result<Agents> {
        let is_set = |name: &&str| env.get(*name).is_some_and(|value| !value.is_empty());
        let is_told = TRUST_VARIABLES.iter().any(is_set);
        let roots = match ca_file {
            Some(path) => roots::from_file(path)?,
            None if HAS_A_VERIFIER || is_told => RootCerts::PlatformVerifier,
            None => RootCerts::WebPki,
        };
        Ok(Agents {
            proxies: Proxies::read(env),
            limits: limits.clone(),
            first: Trusting::in_roots(roots),
            platform: OnceLock::new(),
        })
    }

    /// Posts a request body, gzipped. Where the bundled roots do not vouch for the server, the platform's
    /// verifier is asked: it knows the root of a company whose proxy inspects TLS. A certificate is verified
    /// before a byte of a request leaves, so to post again repeats none.
    ///
    /// # Errors
    /// No reply came.
    pub(super) fn post(
        &self,
        endpoint: &Endpoint,
        proxy: Option<&Proxy>,
        packed: &[u8],
    ) -> Result<Response<Body>, Error> {
        let post_by = |trusting: &Trusting| {
            self.post_by(&trusting.agent(proxy, &self.limits), endpoint, packed)
        };
        if let Some(platform) = self.platform.get() {
            return post_by(platform);
        }
        match post_by(&self.first) {
            Err(err) if self.first.is_bundled() && is_distrust(&err) => {
                let in_platform = || Trusting::in_roots(RootCerts::PlatformVerifier);
                post_by(self.platform.get_or_init(in_platform))
            }
            posted => posted,
        }
    }

    fn post_by(
        &self,
        agent: &Agent,
        endpoint: &Endpoint,
        packed: &[u8],
    ) -> Result<Response<Body>, Error> {
        let mut request = agent
            .post(endpoint.to_string())
            .header("Content-Type", "application/json")
            .header("Content-Encoding", "gzip")
            .header("Accept", "application/json");
        let share = Duration::from_secs(packed.len() as u64 / UPLINK_BYTES_PER_S);
        // A request that is configured by itself reads the roots for itself, unless another of this agent has.
        if !share.is_zero() {
            let time_max = self.limits.request_timeout + share;
            request = request.config().timeout_global(Some(time_max)).build();
        }
        request.send(packed)
    }
}

/// The agents that trust the same roots.
#[derive(Debug)]
struct Trusting {
    roots: RootCerts,
    /// One for each proxy, and one for none, each made when it is first needed.
    agents: Mutex<Vec<(Option<Proxy>, Agent)>>,
}

impl Trusting {
    fn in_roots(roots: RootCerts) -> Trusting {
        Trusting {
            roots,
            agents: Mutex::default(),
        }
    }

    fn is_bundled(&self) -> bool {
        matches!(self.roots, RootCerts::WebPki)
    }

    fn agent(&self, proxy: Option<&Proxy>, limits: &Limits) -> Agent {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let made = agents.iter().find(|(by, _)| by.as_ref() == proxy);
        if let Some((_, agent)) = made {
            return agent.clone();
        }
        let agent = make(limits, self.roots.clone(), proxy);
        agents.push((proxy.cloned(), agent.clone()));
        agent
    }
}

fn make(limits: &Limits, roots: RootCerts, proxy: Option<&Proxy>) -> Agent {
    let tls = TlsConfig::builder().root_certs(roots).build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .proxy(proxy.map(|proxy| proxy.address.clone()))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_connections(limits.lanes_max)
        .max_idle_connections_per_host(limits.lanes_max)
        .user_agent(USER_AGENT)
        .accept_encoding("identity")
        .input_buffer_size(INPUT_BYTES)
        .output_buffer_size(OUTPUT_BYTES)
        .timeout_resolve(Some(limits.connect_timeout))
        .timeout_connect(Some(limits.connect_timeout))
        .timeout_global(Some(limits.request_timeout));
    let config = match proxy {
        // It knows no other addresses.
        Some(proxy) if proxy.name.scheme == "socks4" => config.ip_family(IpFamily::Ipv4Only),
        _ => config,
    };
    let connector =
        ().chain(ToProxy(SocksConnector::default()))
            .chain(ToProxy(ConnectProxyConnector::default()))
            .chain(TcpConnector::default())
            .chain(InTime)
            .chain(RustlsConnector::default());
    Agent::with_parts(config.build(), connector, OneLookup::default())
}

/// A connector to a proxy, which marks its errors: what fails behind the proxy is not the proxy's fault.
#[derive(Debug)]
struct ToProxy<C>(C);

impl<In: Transport, C: Connector<In>> Connector<In> for ToProxy<C> {
    type Out = C::Out;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<C::Out>, Error> {
        let connected = self.0.connect(details, chained);
        connected.map_err(|err| Error::Other(Box::new(AtProxy(err))))
    }
}

/// A connector that holds the limit of connecting. ureq gives each read of an answer to CONNECT all of it, so
/// that a proxy which answers byte by byte would hold a request until the deadline.
#[derive(Debug)]
struct InTime;

impl<In: Transport> Connector<In> for InTime {
    type Out = Limited<In>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Limited<In>>, Error> {
        let patience = Patience::of(*details.timeout.after);
        let limited = |transport| Limited {
            transport,
            patience,
        };
        Ok(chained.map(limited))
    }
}

#[derive(Debug)]
struct Limited<T> {
    transport: T,
    patience: Patience,
}

impl<T: Transport> Transport for Limited<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.transport.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.transport.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, mut timeout: NextTimeout) -> Result<bool, Error> {
        if timeout.reason == Timeout::Connect {
            timeout.after = timeout.after.min(self.patience.left().into());
        }
        self.transport.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.transport.is_open()
    }
}

/// ureq asks its resolver for every request, pooled connection or not; a pass posts to one or two
/// hosts, so each is looked up once. Else a large pass takes three times as long.
#[derive(Debug, Default)]
struct OneLookup {
    found: Mutex<Vec<(String, ResolvedSocketAddrs)>>,
}

impl Resolver for OneLookup {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let place = format!("{:?} {:?}", uri.scheme_str(), uri.authority());
        let Ok(mut found) = self.found.lock() else {
            return Err(Error::HostNotFound);
        };
        if let Some((_, addresses)) = found.iter().find(|(known, _)| *known == place) {
            return Ok(addresses.clone());
        }
        // Told of a time limit, ureq starts a thread by itself, and panics if the system gives none.
        let (uri, config, unlimited) = (uri.clone(), config.clone(), NextTimeout::default());
        let look = move || DefaultResolver::default().resolve(&uri, &config, unlimited);
        let addresses = watchdog::within(*timeout.after, look)?
            .unwrap_or(Err(Error::Timeout(timeout.reason)))?;
        found.push((place, addresses.clone()));
        Ok(addresses)
    }
}
