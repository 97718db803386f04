//! A server that looks at the ids of a request before it answers, and a home whose events go to it.

use crate::kit::{BUFFER, Sandbox, event_id, events};
use crate::network::serve;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use telemetry_upload::gzip;

/// What the server answers. A 200 of no body accepts everything.
#[derive(Clone, Default)]
pub struct Told {
    pub status: u16,
    pub headers: &'static str,
    pub body: Option<Vec<u8>>,
}

impl From<u16> for Told {
    fn from(status: u16) -> Told {
        Told {
            status,
            ..Told::default()
        }
    }
}

/// The answer to a request, by its number from 1 and its ids.
type Judge = dyn Fn(usize, &[String]) -> Told + Send + Sync;

/// The ids of each request, and the status it got.
type Seen = Arc<Mutex<Vec<(Vec<String>, u16)>>>;

/// A home with so many events for a server that judges requests as a whole.
pub struct Picky {
    pub sandbox: Sandbox,
    pub seen: Seen,
}

impl Picky {
    pub fn new<T: Into<Told>>(
        count: usize,
        config: &str,
        judge: impl Fn(usize, &[String]) -> T + Send + Sync + 'static,
    ) -> Picky {
        let seen = Seen::default();
        let noted = seen.clone();
        let judge: Arc<Judge> =
            Arc::new(move |number: usize, ids: &[String]| judge(number, ids).into());
        let port = serve(move |connection| {
            let _ = answer(&connection, &noted, &*judge);
        });
        let place = format!(
            "InstrumentationKey=00000000-0000-4000-8000-000000000000;IngestionEndpoint=http://127.0.0.1:{port}/"
        );
        let sandbox = Sandbox::new().env("APPLICATIONINSIGHTS_CONNECTION_STRING", &place);
        sandbox.write("config.json", config);
        sandbox.append(events(0..count).concat());
        Picky { sandbox, seen }
    }

    /// One flush: its exit code and its line.
    pub fn flush(&self) -> (i32, String) {
        let (code, stdout, stderr) = self.sandbox.run(&["--flush"]).outputs();
        assert_eq!(stderr, "");
        (code, stdout.trim_end().to_owned())
    }

    pub fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Each event was accepted once, but for these.
    pub fn accepted_all_but(&self, count: usize, ids: &[&str]) {
        let seen = self.seen.lock().unwrap();
        let accepted = seen.iter().filter(|(_, status)| *status == 200);
        let accepted: Vec<&String> = accepted.flat_map(|(ids, _)| ids).collect();
        let different: BTreeSet<&String> = accepted.iter().copied().collect();
        assert_eq!(accepted.len(), different.len(), "some were accepted twice");
        assert_eq!(different.len(), count - ids.len());
        for id in ids {
            assert!(!different.contains(&(*id).to_owned()), "{id}");
            let text = format!("\"eventId\":\"{id}\"");
            assert!(self.sandbox.read(BUFFER).contains(&text), "{id} is lost");
        }
    }
}

/// Answers the requests of one connection.
fn answer(connection: &TcpStream, seen: &Seen, judge: &Judge) -> Option<()> {
    let mut reader = BufReader::new(connection);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body = gzip::decode(&body, 10_000_000).ok()?;
        let envelopes: Vec<Value> = serde_json::from_slice(&body).ok()?;
        let ids: Vec<String> = envelopes.iter().map(event_id).collect();
        let Told {
            status,
            headers,
            body,
        } = {
            let mut seen = seen.lock().unwrap();
            let told = judge(seen.len() + 1, &ids);
            seen.push((ids.clone(), told.status));
            told
        };
        let taken = json!({"itemsReceived": ids.len(), "itemsAccepted": ids.len(), "errors": []});
        let body = body.unwrap_or_else(|| match status {
            200 => taken.to_string().into_bytes(),
            _ => Vec::new(),
        });
        let length = body.len();
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{headers}\r\n");
        let reply = [head.into_bytes(), body].concat();
        (&mut &*connection).write_all(&reply).ok()?;
    }
}
