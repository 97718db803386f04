//! The emulator over real sockets, with a client that knows no more than `TcpStream`.
//!
//! Not tested, for the time they take: the 60 s after which a silent client is given up, and a packed
//! body that unpacks to more than 64 MB (`gzip` tests its limit on a small one).

use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use telemetry_upload::emulator::{CONNECTIONS_MAX, Emulator, Exchange, Moment, Options, Script};
use telemetry_upload::gzip;

const NOW: &str = "2026-11-20T12:00:00Z";

struct Server {
    emulator: Emulator,
    folder: tempfile::TempDir,
    seen: Arc<Mutex<Vec<(Moment, Exchange)>>>,
}

impl Server {
    fn start(script: &str) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let options = Options {
            port: 0,
            store: Some(folder.path().join("store.jsonl")),
            tls: None,
            script: Script::parse(script).unwrap(),
            now: || NOW.parse().unwrap(),
            observer: Arc::new(move |moment, exchange: &Exchange| {
                noted.lock().unwrap().push((moment, exchange.clone()));
            }),
        };
        Server {
            emulator: Emulator::start(options).unwrap(),
            folder,
            seen,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.emulator.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream
    }

    /// Sends these bytes on a connection of their own, and reads until the server closes it.
    fn send(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        // The server may close it before all of it was written.
        let _written = stream.write_all(request);
        read_all(&mut stream)
    }

    /// Posts and returns the status and the rest of the reply.
    fn post(&self, headers: &str, body: &[u8]) -> (u16, String) {
        let reply = self.send(&request(&format!("Connection: close\r\n{headers}"), body));
        (status(&reply), reply)
    }

    /// The names of the stored events.
    fn stored(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("store.jsonl")).unwrap();
        let name = |line: &str| -> String {
            let envelope: Value = serde_json::from_str(line).unwrap();
            envelope["data"]["baseData"]["name"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        text.lines().map(name).collect()
    }

    /// Why the last request was refused as a whole, once it is answered.
    fn fault(&self) -> String {
        self.moments();
        let seen = self.seen.lock().unwrap();
        seen.last().unwrap().1.fault.clone().unwrap_or_default()
    }

    /// The moments of the requests so far. The last one comes after the client has its reply, so it
    /// may have to be waited for.
    fn moments(&self) -> Vec<(Moment, u16)> {
        loop {
            let seen = self.seen.lock().unwrap();
            if matches!(seen.last(), Some((Moment::Replied, _))) {
                let pair = |(moment, exchange): &(Moment, Exchange)| (*moment, exchange.status);
                return seen.iter().map(pair).collect();
            }
            drop(seen);
            std::thread::yield_now();
        }
    }
}

fn envelope(name: &str) -> String {
    format!(
        r#"{{"name":"n","time":"{NOW}","iKey":"00000000-0000-4000-8000-000000000000","data":{{"baseType":"EventData","baseData":{{"name":"{name}"}}}}}}"#
    )
}

fn request(headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST /v2.1/track HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// A connection that was reset has ended too.
fn read_all(stream: &mut TcpStream) -> String {
    let mut reply = Vec::new();
    let _ended = stream.read_to_end(&mut reply);
    String::from_utf8(reply).unwrap()
}

fn status(reply: &str) -> u16 {
    reply
        .get(9..12)
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

/// Posts to an honest server and compares the status and the names of what was stored.
#[track_caller]
fn check(headers: &str, body: &[u8], expected: u16, stored: &[&str]) {
    let server = Server::start("");
    assert_eq!(server.post(headers, body).0, expected);
    assert_eq!(server.stored(), stored);
}

#[test]
fn an_array_is_accepted_and_stored() {
    check(
        "",
        format!("[{},{}]", envelope("a"), envelope("b")).as_bytes(),
        200,
        &["a", "b"],
    );
}

#[test]
fn lines_are_accepted_and_stored() {
    check(
        "",
        format!("{}\r\n{}\r\n", envelope("a"), envelope("b")).as_bytes(),
        200,
        &["a", "b"],
    );
}

#[test]
fn a_packed_body_is_accepted_and_stored() {
    check(
        "Content-Encoding: gzip\r\n",
        &gzip::encode(envelope("a").as_bytes()),
        200,
        &["a"],
    );
}

#[test]
fn a_body_that_is_not_what_it_says_is_refused() {
    check(
        "Content-Encoding: gzip\r\n",
        envelope("a").as_bytes(),
        400,
        &[],
    );
    check("", &gzip::encode(envelope("a").as_bytes()), 400, &[]);
}

#[test]
fn the_good_part_of_a_body_is_stored() {
    check(
        "",
        format!("[{{}},{}]", envelope("b")).as_bytes(),
        206,
        &["b"],
    );
    check("", b"[{},{}]", 400, &[]);
}

#[test]
fn a_body_in_chunks_is_accepted_after_a_go_ahead() {
    let server = Server::start("");
    let mut stream = server.connect();
    let head = "POST /v2/track HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut go_ahead = [0; 25];
    stream.read_exact(&mut go_ahead).unwrap();
    assert_eq!(&go_ahead, b"HTTP/1.1 100 Continue\r\n\r\n");
    let body = envelope("a");
    let (first, second) = body.split_at(10);
    write!(
        stream,
        "a\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
        second.len()
    )
    .unwrap();
    assert_eq!(status(&read_all(&mut stream)), 200);
    assert_eq!(server.stored(), ["a"]);
}

#[test]
fn a_connection_is_kept_until_the_client_closes_it() {
    let server = Server::start("");
    let (first, last) = (envelope("a"), envelope("b"));
    let mut requests = request("", first.as_bytes());
    requests.extend(request("Connection: close\r\n", last.as_bytes()));
    let replies = server.send(&requests);
    assert_eq!(
        replies
            .matches("HTTP/1.1 200 OK\r\nDate: Fri, 20 Nov 2026 12:00:00 GMT\r\n")
            .count(),
        2
    );
    assert_eq!(server.stored(), ["a", "b"]);
}

#[test]
fn the_observer_sees_each_moment_of_a_request() {
    let server = Server::start("");
    let body = gzip::encode(envelope("a").as_bytes());
    server.post("Content-Encoding: gzip\r\nX-Mine: 1\r\n", &body);
    assert_eq!(
        server.moments(),
        [
            (Moment::Receiving, 0),
            (Moment::Judged, 200),
            (Moment::Replied, 200)
        ]
    );
    let seen = server.seen.lock().unwrap();
    assert!(seen[0].1.body.is_empty() && seen[0].1.verdicts.is_empty());
    let exchange = &seen[1].1;
    assert_eq!(
        (exchange.method.as_str(), exchange.path.as_str()),
        ("POST", "/v2.1/track")
    );
    assert!(
        exchange
            .headers
            .contains(&("X-Mine".to_owned(), "1".to_owned()))
    );
    assert_eq!(
        (exchange.body.as_slice(), exchange.body_bytes_on_wire),
        (envelope("a").as_bytes(), body.len())
    );
    assert_eq!(
        exchange.verdicts,
        [(serde_json::from_str(&envelope("a")).unwrap(), None)]
    );
}

#[test]
fn a_cut_reply_comes_after_the_event_was_stored() {
    let server = Server::start("{\"cut_after_bytes\":12}\n{\"cut_after_bytes\":0}");
    assert_eq!(server.post("", envelope("a").as_bytes()).1, "HTTP/1.1 200");
    assert_eq!(server.post("", envelope("b").as_bytes()).1, "");
    assert_eq!(server.post("", envelope("c").as_bytes()).0, 200);
    assert_eq!(server.stored(), ["a", "b", "c"]);
}

#[test]
fn a_connection_closed_on_accept_stores_nothing() {
    let server = Server::start("{\"close\":\"on_accept\"}");
    assert_eq!(server.post("", envelope("a").as_bytes()).1, "");
    assert_eq!(server.stored(), [""; 0]);
    assert_eq!(
        server.moments(),
        [(Moment::Receiving, 0), (Moment::Replied, 0)]
    );
}

#[test]
fn a_scripted_status_stores_nothing_and_sends_its_headers() {
    let server = Server::start("{\"status\":429,\"headers\":{\"Retry-After\":\"3\"}}");
    let (status, reply) = server.post("", envelope("a").as_bytes());
    assert!(
        status == 429 && reply.contains("\r\nRetry-After: 3\r\n"),
        "{reply}"
    );
    assert!(
        reply.ends_with(
            r#"{"itemsReceived":1,"itemsAccepted":0,"appId":null,"errors":[{"index":0,"statusCode":429,"message":"Too Many Requests"}]}"#
        ),
        "{reply}"
    );
    assert_eq!(server.stored(), [""; 0]);
}

#[test]
fn a_reply_can_be_late_and_slow() {
    let server = Server::start("{\"delay_ms\":100,\"drip_ms\":1,\"cut_after_bytes\":100}");
    let started = std::time::Instant::now();
    assert_eq!(server.post("", envelope("a").as_bytes()).1.len(), 100);
    assert!(started.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_hang_on_one_connection_does_not_stop_another() {
    let server = Server::start("{\"delay_ms\":600000}");
    let mut hanging = server.connect();
    hanging
        .write_all(&request("", envelope("a").as_bytes()))
        .unwrap();
    // Stored by then.
    while server.seen.lock().unwrap().len() < 2 {
        std::thread::yield_now();
    }
    assert_eq!(server.post("", envelope("b").as_bytes()).0, 200);
    assert_eq!(server.stored().last().map(String::as_str), Some("b"));
}

#[test]
fn what_is_no_request_is_named() {
    let check = |bytes: &[u8], fault: &str| {
        let server = Server::start("");
        server.send(bytes);
        assert_eq!(server.fault(), fault);
        assert_eq!(server.seen.lock().unwrap()[0].1.method, "");
    };
    check(
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        "a client speaks TLS to this plain port; start with --cert and --key",
    );
    check(b"garbage\r\n\r\n", "not HTTP/1");
    check(&vec![b'x'; 200_000], "the head of the request is too large");
}

#[test]
fn a_refused_body_is_explained_without_its_content() {
    let check = |headers: &str, body: &[u8], fault: &str| {
        let server = Server::start("");
        server.post(headers, body);
        assert_eq!(server.fault(), fault);
    };
    let packed = gzip::encode(b"[]");
    check("", b"[{\"secret\":1},x]", "not JSON at byte 15");
    check("", b"[{\"secret\":1}", "the JSON is cut off at byte 13");
    check("", b"5", "the JSON is neither an object nor an array");
    check("", b"", "the body is empty");
    check("", &packed, "not JSON at byte 1");
    let gzip = "Content-Encoding: gzip\r\n";
    check(gzip, b"[]", "not gzip, or cut off");
    check(gzip, &packed[..packed.len() - 1], "not gzip, or cut off");
    check(gzip, &packed, "");
    check(
        "Content-Length: 3\r\n",
        b"[]",
        "the length of the body is unclear",
    );
}

/// Clients post at the same time, each on a connection of its own, while another program reads.
#[test]
fn lines_of_the_store_are_never_torn_or_blank() {
    const CLIENTS: usize = 16;
    const REQUESTS: usize = 20;
    const ITEMS: usize = 30;
    let server = Server::start("");
    let store = server.folder.path().join("store.jsonl");
    // More than a page, so that one write is several steps of the file system.
    let item = envelope(&"x".repeat(500));
    let body = format!("[{}]", vec![item.as_str(); ITEMS].join(","));
    let whole = |bytes: &[u8]| {
        let end = bytes.iter().rposition(|&byte| byte == b'\n');
        let text = std::str::from_utf8(&bytes[..end.map_or(0, |at| at + 1)]).unwrap();
        let torn = text.lines().find(|line| **line != item);
        assert_eq!(torn, None);
        text.lines().count()
    };
    std::thread::scope(|scope| {
        let client = || {
            scope.spawn(|| {
                let mut stream = server.connect();
                for _ in 0..REQUESTS {
                    stream.write_all(&request("", body.as_bytes())).unwrap();
                    let mut start = [0; 12];
                    stream.read_exact(&mut start).unwrap();
                    assert_eq!(&start, b"HTTP/1.1 200");
                    let mut rest = Vec::new();
                    while !rest.ends_with(b"\"errors\":[]}") {
                        let mut byte = [0];
                        stream.read_exact(&mut byte).unwrap();
                        rest.push(byte[0]);
                    }
                }
            })
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| client()).collect();
        while clients.iter().any(|client| !client.is_finished()) {
            whole(&std::fs::read(&store).unwrap());
        }
    });
    let stored = whole(&std::fs::read(&store).unwrap());
    assert_eq!(stored, CLIENTS * REQUESTS * ITEMS);
}

#[test]
fn garbage_is_answered_400_and_the_server_lives_on() {
    let server = Server::start("");
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01"[..],
        b"garbage\r\n\r\n",
        &vec![0; 200_000],
        &vec![b'x'; 200_000],
    ] {
        let reply = server.send(garbage);
        assert!(matches!(status(&reply), 400 | 431), "{reply:?}");
    }
    assert_eq!(server.post("", envelope("a").as_bytes()).0, 200);
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_sent() {
    let server = Server::start("");
    let reply = server.send(
        b"POST /v2/track HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 67108865\r\n\r\n",
    );
    assert_eq!(status(&reply), 413);
    assert_eq!(server.moments().last(), Some(&(Moment::Replied, 413)));
}

#[test]
fn a_reply_to_head_has_no_body() {
    let reply = Server::start("").send(b"HEAD /v2/track HTTP/1.0\r\n\r\n");
    assert!(
        reply.starts_with("HTTP/1.1 405 ") && reply.ends_with("\r\n\r\n"),
        "{reply}"
    );
}

#[test]
fn clients_beyond_the_limit_are_turned_away_until_one_leaves() {
    let server = Server::start("");
    let mut clients: Vec<TcpStream> = (0..CONNECTIONS_MAX).map(|_| server.connect()).collect();
    assert_eq!(server.send(b""), "");
    clients.pop();
    while server.post("", envelope("a").as_bytes()).0 == 0 {}
    assert_eq!(server.stored(), ["a"]);
}

#[test]
fn a_taken_port_is_an_error_that_names_it() {
    let server = Server::start("");
    let port = server.emulator.address().port();
    assert!(
        server
            .emulator
            .connection_string()
            .ends_with(&format!(";IngestionEndpoint=http://127.0.0.1:{port}/"))
    );
    let options = Options {
        port,
        store: None,
        tls: None,
        script: Script::none(),
        now: || NOW.parse().unwrap(),
        observer: Arc::new(|_, _| {}),
    };
    let err = Emulator::start(options).err().unwrap();
    assert!(
        format!("{err:#}").starts_with(&format!("cannot listen on port {port} of 127.0.0.1: "))
    );
}

#[test]
fn a_stopped_one_lets_its_port_go() {
    let server = Server::start("");
    let address = server.emulator.address();
    server.emulator.stop();
    assert!(TcpStream::connect(address).is_err());
}
