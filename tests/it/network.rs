//! Both ends of TLS, certificates from a file and from the platform, and proxies from the
//! environment.

use crate::kit::{Sandbox, event};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A certificate authority of our own, in a file, and a TLS server in front of a plain one.
pub struct Tls {
    _folder: tempfile::TempDir,
    pub ca_file: PathBuf,
    pub port: u16,
    handshakes: Arc<Mutex<Handshakes>>,
}

/// How often somebody connected, and how often they trusted the certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handshakes {
    pub begun: usize,
    pub completed: usize,
}

impl Tls {
    /// A server with a certificate for `host` that passes everything on to `behind`.
    pub fn in_front_of(behind: u16, host: &str) -> Tls {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(ca, ca_key);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![host.to_owned()])
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();

        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, ca_certificate.pem()).unwrap();

        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let handshakes: Arc<Mutex<Handshakes>> = Arc::default();
        let seen = handshakes.clone();
        let port = serve(move |mut client| {
            seen.lock().unwrap().begun += 1;
            let mut session = ServerConnection::new(config.clone()).unwrap();
            if session.complete_io(&mut client).is_err() {
                return;
            }
            seen.lock().unwrap().completed += 1;
            let _ = terminate(StreamOwned::new(session, client), behind);
        });
        Tls {
            _folder: folder,
            ca_file,
            port,
            handshakes,
        }
    }

    pub fn handshakes(&self) -> Handshakes {
        *self.handshakes.lock().unwrap()
    }
}

/// Accepts for ever, one thread a connection.
pub fn serve(handle: impl Fn(TcpStream) + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let handle = handle.clone();
            std::thread::spawn(move || handle(client));
        }
    });
    port
}

/// One request at a time is enough: read it whole, pass it on, pass the reply back.
fn terminate(mut client: StreamOwned<ServerConnection, TcpStream>, behind: u16) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", behind))?;
    loop {
        let request = read_message(&mut client)?;
        server.write_all(&request)?;
        let reply = read_message(&mut server)?;
        client.write_all(&reply)?;
        client.flush()?;
    }
}

/// A head and as many bytes of body as it announces.
fn read_message(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    let mut byte = [0];
    while !message.ends_with(b"\r\n\r\n") {
        from.read_exact(&mut byte)?;
        message.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&message).to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |n| n.trim().parse().unwrap());
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    message.extend(body);
    Ok(message)
}

pub fn over_tls(sandbox: Sandbox, host: &str, port: u16) -> Sandbox {
    let text = format!(
        "InstrumentationKey=00000000-0000-4000-8000-000000000000;IngestionEndpoint=https://{host}:{port}/"
    );
    sandbox
        .env("APPLICATIONINSIGHTS_CONNECTION_STRING", &text)
        .line(&event("a"))
}

fn check_refused(sandbox: &Sandbox, args: &[&str]) {
    let before = sandbox.read("telemetry-events.jsonl");
    let (code, stdout, _) = sandbox
        .run(&[&["--flush", "--attempts", "1"], args].concat())
        .left(&before)
        .outputs();
    assert_eq!(code, 75);
    assert!(
        stdout.contains("no reply from the server: ") && stdout.contains("certificate"),
        "{stdout}"
    );
    assert!(stdout.contains("--ca-file or SSL_CERT_FILE"), "{stdout}");
    assert_eq!(*sandbox.server.connections.lock().unwrap(), 0);
}

#[test]
fn a_certificate_of_an_unknown_authority_is_refused_and_the_events_are_kept() {
    let sandbox = Sandbox::new();
    let tls = Tls::in_front_of(sandbox.server.port, "localhost");
    check_refused(&over_tls(sandbox, "localhost", tls.port), &[]);
}

#[test]
fn a_certificate_for_another_host_is_refused() {
    let sandbox = Sandbox::new();
    let tls = Tls::in_front_of(sandbox.server.port, "elsewhere.example");
    let ca_file = tls.ca_file.display().to_string();
    check_refused(
        &over_tls(sandbox, "localhost", tls.port),
        &["--ca-file", &ca_file],
    );
}

#[test]
fn the_ca_file_flag_makes_it_trusted() {
    let sandbox = Sandbox::new();
    let tls = Tls::in_front_of(sandbox.server.port, "localhost");
    let ca_file = tls.ca_file.display().to_string();
    let sandbox = over_tls(sandbox, "localhost", tls.port);
    sandbox
        .run(&["--flush", "--ca-file", &ca_file])
        .stdout("sent 1 event")
        .left("")
        .code(0);
    assert_eq!(sandbox.delivered(), ["a"]);
}

#[test]
fn ssl_cert_file_makes_it_trusted() {
    let sandbox = Sandbox::new();
    let tls = Tls::in_front_of(sandbox.server.port, "localhost");
    let ca_file = tls.ca_file.display().to_string();
    let sandbox = over_tls(sandbox, "localhost", tls.port).env("SSL_CERT_FILE", &ca_file);
    sandbox.flush().stdout("sent 1 event").left("").code(0);
}

#[test]
fn a_ca_file_that_is_none_is_a_matter_of_configuration() {
    let sandbox = Sandbox::new().line(&event("a"));
    let before = sandbox.read("telemetry-events.jsonl");
    sandbox
        .run(&["--flush", "--ca-file", "/nonexistent.pem"])
        .stderr("cannot read the CA file /nonexistent.pem: No such file or directory (os error 2)")
        .left(&before)
        .code(78);
    let empty = sandbox.path("empty.pem");
    std::fs::write(&empty, "").unwrap();
    sandbox
        .run(&["--flush", "--ca-file", empty.to_str().unwrap()])
        .stderr("cannot use the CA file {data}/empty.pem: it holds no PEM certificate")
        .left(&before)
        .code(78);
}

/// A proxy that knows CONNECT only, and where each tunnel was asked to lead.
pub fn proxy(lead_to: u16) -> (u16, Arc<Mutex<Vec<String>>>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = asked.clone();
    let port = serve(move |client| {
        let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
        let head: Vec<String> = lines
            .by_ref()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .collect();
        // Whoever only looks whether there is somebody asks for nothing.
        let Some(asked) = head.first() else { return };
        seen.lock().unwrap().push(asked.clone());
        let answer = b"HTTP/1.1 200 Connection established\r\n\r\n";
        (&client).write_all(answer).unwrap();
        tunnel(client, lead_to);
    });
    (port, asked)
}

/// Passes on what comes from either side, until the client has ended.
pub fn tunnel(client: TcpStream, lead_to: u16) {
    let server = TcpStream::connect(("127.0.0.1", lead_to)).unwrap();
    let mut to_client = client.try_clone().unwrap();
    let (mut from_client, mut to_server, mut from_server) =
        (client, server.try_clone().unwrap(), server);
    std::thread::spawn(move || {
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let _ = io::copy(&mut from_client, &mut to_server);
}

#[test]
fn a_proxy_from_the_environment_is_used() {
    // A name that no resolver knows: only the proxy can lead there.
    let host = "ingestion.invalid";
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let sandbox = Sandbox::new();
        let tls = Tls::in_front_of(sandbox.server.port, host);
        let (port, asked) = proxy(tls.port);
        let ca_file = tls.ca_file.display().to_string();
        let sandbox =
            over_tls(sandbox, host, 443).env(variable, &format!("http://127.0.0.1:{port}"));
        sandbox
            .run(&["--flush", "--ca-file", &ca_file])
            .stdout("sent 1 event")
            .left("")
            .code(0);
        assert_eq!(
            *asked.lock().unwrap(),
            [format!("CONNECT {host}:443 HTTP/1.1")]
        );
    }
}

#[test]
fn what_no_proxy_names_goes_through_no_proxy() {
    for named in ["ingestion.invalid", ".invalid", "*"] {
        let (port, asked) = proxy(9);
        let sandbox = over_tls(Sandbox::new(), "ingestion.invalid", 443)
            .env("HTTPS_PROXY", &format!("http://127.0.0.1:{port}"))
            .env("NO_PROXY", named);
        let (code, ..) = sandbox.run(&["--flush", "--attempts", "1"]).outputs();
        assert_eq!(code, 75, "no resolver knows that name");
        assert!(asked.lock().unwrap().is_empty(), "NO_PROXY={named}");
    }
}

#[test]
fn loopback_never_goes_through_a_proxy() {
    let sandbox = Sandbox::new().line(&event("a"));
    let (port, asked) = proxy(9);
    let sandbox = sandbox
        .env("HTTP_PROXY", &format!("http://127.0.0.1:{port}"))
        .env("ALL_PROXY", &format!("http://127.0.0.1:{port}"));
    sandbox.flush().stdout("sent 1 event").left("").code(0);
    assert!(asked.lock().unwrap().is_empty());
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_left_in_time() {
    // A TLS handshake that never answers.
    let port = serve(|client| {
        std::thread::sleep(Duration::from_secs(30));
        drop(client);
    });
    let sandbox = over_tls(Sandbox::new(), "localhost", port);
    let (code, stdout, _) = sandbox
        .run(&[
            "--flush",
            "--attempts",
            "1",
            "--request-timeout-ms",
            "500",
            "--connect-timeout-ms",
            "300",
        ])
        .outputs();
    assert_eq!(code, 75);
    assert!(stdout.contains("timed out"), "{stdout}");
}

#[test]
fn a_host_that_does_not_exist_is_said_so() {
    let sandbox = over_tls(Sandbox::new(), "ingestion.invalid", 443);
    let (code, stdout, _) = sandbox.run(&["--flush", "--attempts", "1"]).outputs();
    assert_eq!(code, 75);
    assert!(
        stdout.starts_with("sent 0 events, kept 1 for the next pass: no reply from the server: "),
        "{stdout}"
    );
}

/// How many connections a backlog of ten batches takes.
fn connections_for_ten_batches(args: &[&str]) -> usize {
    let sandbox = Sandbox::new();
    let accepted = Arc::new(Mutex::new(0));
    let count = accepted.clone();
    let behind = sandbox.server.port;
    let port = serve(move |client| {
        *count.lock().unwrap() += 1;
        let server = TcpStream::connect(("127.0.0.1", behind)).unwrap();
        let (mut from_client, mut to_client) = (client.try_clone().unwrap(), client);
        let (mut from_server, mut to_server) = (server.try_clone().unwrap(), server);
        std::thread::spawn(move || io::copy(&mut from_server, &mut to_client));
        let _ = io::copy(&mut from_client, &mut to_server);
    });
    let text = format!(
        "InstrumentationKey=00000000-0000-4000-8000-000000000000;IngestionEndpoint=http://localhost:{port}/"
    );
    let sandbox = sandbox.env("APPLICATIONINSIGHTS_CONNECTION_STRING", &text);
    sandbox.append(
        (0..1000)
            .map(|n| event(&n.to_string()) + "\n")
            .collect::<String>(),
    );
    sandbox
        .run(&[&["--flush"], args].concat())
        .stdout("sent 1,000 events in 10 requests")
        .left("")
        .code(0);
    let count = accepted.lock().unwrap();
    *count
}

#[test]
fn in_one_lane_the_whole_backlog_travels_on_one_connection() {
    assert_eq!(connections_for_ten_batches(&["--lanes", "1"]), 1);
}

#[test]
fn ten_batches_deserve_three_connections_at_most() {
    let connections = connections_for_ten_batches(&[]);
    assert!((1..=3).contains(&connections), "{connections}");
}
