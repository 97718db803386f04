//! A local Breeze, the ingestion endpoint of Application Insights: it validates as the real one does,
//! keeps what it accepts in a file, and on demand misbehaves as [`script`] tells it.
//!
//! It listens on 127.0.0.1 only. One thread serves one connection, because a scripted hang must not
//! stop the other clients; whatever goes wrong on a connection ends that connection and nothing else.

mod answer;
mod breeze;
mod client;
mod connection;
mod fault;
mod reply;
mod schema;
pub mod script;
mod store;
mod wire;

pub use breeze::ItemError;
pub use script::Script;

use crate::tls::Identity;
use anyhow::Context;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use store::Store;

/// Connections served at once; one more is closed at once. A local server needs a handful, and each
/// may hold a body of 64 MB.
pub const CONNECTIONS_MAX: usize = 128;

/// Rest after a failed accept, so that running out of descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The key in our connection string. Every well-formed key is accepted.
const INSTRUMENTATION_KEY: &str = "00000000-0000-4000-8000-000000000000";

/// Sees every request, at each [`Moment`]; the connection waits until it returns.
pub type Observer = Arc<dyn Fn(Moment, &Exchange) + Send + Sync>;

/// What an emulator needs.
pub struct Options {
    /// The port to listen on; 0 means any free one.
    pub port: u16,
    /// Where accepted envelopes are appended, one a line; `None` forgets them.
    pub store: Option<PathBuf>,
    /// Serve https with this; `None` serves plain http.
    pub tls: Option<Identity>,
    /// How to misbehave.
    pub script: Script,
    /// The time, for the 48-hour window and the `Date` header.
    pub now: fn() -> DateTime<Utc>,
    /// Who watches.
    pub observer: Observer,
}

/// How far an exchange has come. A client that leaves before its body is complete gets no further
/// than the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The head has been read, the body has not.
    Receiving,
    /// Judged and stored; the first byte of the reply, and a scripted delay, are yet to come.
    Judged,
    /// The reply was written, or was cut, or the connection was closed instead of one.
    Replied,
}

/// A request and what became of it, as far as it has come.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// The method, as sent; empty if what arrived is no request, which is seen at [`Moment::Replied`] alone.
    pub method: String,
    /// The path with its query, as sent.
    pub path: String,
    /// The headers, as sent and in their order.
    pub headers: Vec<(String, String)>,
    /// The body without its encoding; empty at [`Moment::Receiving`].
    pub body: Vec<u8>,
    /// The length of the body as sent: packed, but without the framing of chunks.
    pub body_bytes_on_wire: usize,
    /// Each envelope, and why it was not accepted. `None` means accepted, and stored.
    pub verdicts: Vec<(Value, Option<ItemError>)>,
    /// The status of the reply; 0 as long as there is none.
    pub status: u16,
    /// Why it was refused as a whole, without any of its content.
    pub fault: Option<String>,
}

/// A running emulator. Dropping it does not stop it: it runs as long as the process, unless it is
/// stopped.
pub struct Emulator {
    address: SocketAddr,
    is_tls: bool,
    accepting: JoinHandle<()>,
    stopping: Arc<AtomicBool>,
}

/// What all connections share.
struct Shared {
    store: Option<Store>,
    tls: Option<Identity>,
    script: Script,
    now: fn() -> DateTime<Utc>,
    observer: Observer,
}

impl Emulator {
    /// Starts to listen, and returns once clients can connect.
    ///
    /// # Errors
    /// If the port is taken, or the store cannot be written.
    pub fn start(options: Options) -> anyhow::Result<Emulator> {
        let store = options.store.map(Store::open).transpose()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))
            .with_context(|| format!("cannot listen on port {} of 127.0.0.1", options.port))?;
        let address = listener.local_addr().context("cannot tell the port")?;
        let is_tls = options.tls.is_some();
        let shared = Arc::new(Shared {
            store,
            tls: options.tls,
            script: options.script,
            now: options.now,
            observer: options.observer,
        });
        let stopping = Arc::new(AtomicBool::new(false));
        let is_stopping = Arc::clone(&stopping);
        let accepting = thread::Builder::new()
            .name("emulator".to_owned())
            .spawn(move || accept(&listener, &shared, &is_stopping))
            .context("cannot start a thread")?;
        Ok(Emulator {
            address,
            is_tls,
            accepting,
            stopping,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as clients write it. Certificates name `localhost` more often than an address.
    pub fn endpoint(&self) -> String {
        let port = self.address.port();
        if self.is_tls {
            format!("https://localhost:{port}/")
        } else {
            format!("http://127.0.0.1:{port}/")
        }
    }

    /// What to hand to an SDK, or to `telemetry-upload`, to send here.
    pub fn connection_string(&self) -> String {
        let endpoint = self.endpoint();
        format!("InstrumentationKey={INSTRUMENTATION_KEY};IngestionEndpoint={endpoint}")
    }

    /// Waits for its end.
    pub fn wait(self) {
        // The thread has no result; should it have panicked, it has ended too.
        let _ended = self.accepting.join();
    }

    /// Lets its port go and takes no further client. Those that are there are served to their end.
    #[allow(clippy::disallowed_methods, reason = "it connects to itself")]
    pub fn stop(self) {
        self.stopping.store(true, Ordering::SeqCst);
        // It looks when a client comes.
        if TcpStream::connect(self.address).is_ok() {
            self.wait();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, stopping: &AtomicBool) {
    // Each serving thread holds a clone, so the count of clones is the count of connections.
    let places = Arc::new(());
    for stream in listener.incoming() {
        if stopping.load(Ordering::SeqCst) {
            return;
        }
        match stream {
            Ok(stream) if Arc::strong_count(&places) <= CONNECTIONS_MAX => {
                serve(stream, Arc::clone(shared), Arc::clone(&places));
            }
            Ok(_) => {}
            Err(_) => connection::pause(ACCEPT_PAUSE),
        }
    }
}

fn serve(stream: TcpStream, shared: Arc<Shared>, place: Arc<()>) {
    let spawned = thread::Builder::new()
        .name("emulator-client".to_owned())
        .spawn(move || {
            connection::serve(stream, &shared);
            drop(place);
        });
    // Without a thread the stream is dropped with its closure, which closes the connection: the
    // client sees a server that is too busy, and may come again.
    drop(spawned);
}
