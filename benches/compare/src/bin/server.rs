//! The server that everyone sends to: TLS, a thread for each connection, and as little work for a request
//! as a right answer needs. It says its port, serves until its standard input ends, and then says what it
//! saw.

use anyhow::{Context, Result};
use compare::tally::Tally;
use flate2::bufread::GzDecoder;
use memchr::memmem;
use nix::sys::resource::{UsageWho, getrusage};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Stands once in every item, and in no value of the events.
const IN_EVERY_ITEM: &[u8] = br#""iKey":"#;

/// What came, as it came.
#[derive(Default)]
struct Seen {
    connections: u64,
    bytes: u64,
    bodies: Vec<Vec<u8>>,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [certificate, key, delay_ms, count] = &args[..] else {
        anyhow::bail!("a certificate, its key, a delay in milliseconds, and a count of events");
    };
    let delay = Duration::from_millis(delay_ms.parse()?);
    let config = config(certificate, key)?;
    let listener = TcpListener::bind("localhost:0")?;
    println!("{}", listener.local_addr()?.port());
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let seen_by_all = seen.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, seen) = (config.clone(), seen_by_all.clone());
            // A client that leaves in the middle of something is counted by what came before.
            thread::spawn(move || serve(stream, config, delay, &seen));
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink())?;
    let server_cpu_ms = cpu_ms()?;
    let seen = std::mem::take(&mut *lock(&seen));
    let mut tally = Tally {
        requests: seen.bodies.len() as u64,
        connections: seen.connections,
        bytes: seen.bytes,
        server_cpu_ms,
        ..Tally::default()
    };
    tally.count(seen.bodies.iter().map(|body| unpack(body)), count.parse()?)?;
    println!("{}", serde_json::to_string(&tally)?);
    Ok(())
}

fn config(certificate: &str, key: &str) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(certificate)?],
            PrivateKeyDer::from_pem_file(key)?,
        )?;
    Ok(Arc::new(config))
}

fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    delay: Duration,
    seen: &Mutex<Seen>,
) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = StreamOwned::new(ServerConnection::new(config)?, stream);
    let mut waiting = Vec::new();
    let mut is_counted = false;
    while let Some((head_bytes, bytes)) = receive(&mut stream, &mut waiting)? {
        let body = waiting[head_bytes..bytes].to_vec();
        waiting.drain(..bytes);
        let items = memmem::find_iter(&unpack(&body)?, IN_EVERY_ITEM).count();
        let mut all = lock(seen);
        all.connections += u64::from(!is_counted);
        all.bytes += bytes as u64;
        all.bodies.push(body);
        drop(all);
        is_counted = true;
        thread::sleep(delay);
        stream.write_all(reply(items).as_bytes())?;
    }
    Ok(())
}

/// Reads until a whole request waits, and says how long its head and all of it are; `None` if the client
/// has closed the connection.
fn receive(stream: &mut impl Read, waiting: &mut Vec<u8>) -> Result<Option<(usize, usize)>> {
    let mut chunk = [0; 16 * 1024];
    let mut whole = None;
    loop {
        if whole.is_none()
            && let Some(end) = memmem::find(waiting, b"\r\n\r\n")
        {
            whole = Some((end + 4, end + 4 + content_length(&waiting[..end])?));
        }
        if let Some((_, bytes)) = whole
            && waiting.len() >= bytes
        {
            return Ok(whole);
        }
        match stream.read(&mut chunk)? {
            0 => return Ok(None),
            read => waiting.extend_from_slice(&chunk[..read]),
        }
    }
}

fn content_length(head: &[u8]) -> Result<usize> {
    let head = std::str::from_utf8(head)?;
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, length) = length.context("a request without its length")?;
    Ok(length.trim().parse()?)
}

/// The body as it was before it was packed, if it was.
fn unpack(body: &[u8]) -> io::Result<Vec<u8>> {
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Ok(body.to_vec());
    }
    // What gzip makes of events is a sixth of them or less.
    let mut plain = Vec::with_capacity(body.len() * 12);
    GzDecoder::new(body).read_to_end(&mut plain)?;
    Ok(plain)
}

/// What the real service answers when it takes everything.
fn reply(items: usize) -> String {
    let body = format!(r#"{{"itemsReceived":{items},"itemsAccepted":{items},"errors":[]}}"#);
    let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nDate: {date}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn cpu_ms() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let cpu = usage.user_time() + usage.system_time();
    Ok(cpu.tv_sec() as f64 * 1e3 + cpu.tv_usec() as f64 / 1e3)
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
