//! A network between the real binary and the emulator, for as long as it is bad.

use super::wire::{End, read_all_but_one, read_head, stop};
use crate::chance::Chance;
use crate::kit::{Client, Server};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// An endless reply ends here, should nobody stop reading it.
const ENDLESS_BYTES: u64 = 10 << 30;

/// Shorter than a request may take.
const SLOW: Duration = Duration::from_millis(300);

/// What happens to a request and to its reply.
#[derive(Clone, Debug)]
pub enum Weather {
    /// Nothing.
    Fair,
    /// The client's bytes from here on do not arrive.
    RequestUpTo(usize, End),
    /// The server's bytes from here on do not arrive.
    ReplyUpTo(usize, End),
    /// The server never sees the request: this is the reply.
    Instead(Vec<u8>),
    /// The same; the second part comes over and over.
    Endless(Vec<u8>, Vec<u8>),
    /// The server's reply, told otherwise.
    Reworded(Reword),
    /// Each byte travels alone, in both directions.
    ByteByByte,
    /// Nothing happens for a while first.
    Slow,
    /// The reply comes twice, and nothing of the connection arrives any more.
    Twice,
    /// Any of the above, for each request anew.
    Changing,
}

/// Tells a reply otherwise.
pub type Reword = fn(&[u8]) -> Vec<u8>;

/// What was seen of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Requests that the server judged, and whose reply the client may not have got.
    pub lost_replies: usize,
    /// Bytes of one reply that the client took, at most.
    pub reply_bytes_max: u64,
    /// Peak of the client's memory.
    pub memory_peak_kb: u64,
    /// The first request that got through, and its reply.
    pub request: Message,
    pub reply: Message,
}

/// The bytes of a message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Message {
    pub head: usize,
    pub whole: usize,
}

/// The network, and the port where it begins.
pub struct Network {
    pub port: u16,
    path: Path,
}

/// What each of its connections shares.
#[derive(Clone)]
struct Path {
    server: u16,
    client: Client,
    state: Arc<Mutex<State>>,
}

struct State {
    weather: Weather,
    /// Requests that go through before it begins.
    fair_first: usize,
    chance: Chance,
    seen: Seen,
}

impl Network {
    /// Listens in front of this server.
    pub fn before(server: &Server, weather: Weather, fair_first: usize, seed: u64) -> Network {
        let state = State {
            weather,
            fair_first,
            chance: Chance::new(seed),
            seen: Seen::default(),
        };
        let path = Path {
            server: server.port,
            client: server.client.clone(),
            state: Arc::new(Mutex::new(state)),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = path.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let path = shared.clone();
                // An error is the client's or the server's end of the connection.
                std::thread::spawn(move || path.carry(&client));
            }
        });
        Network { port, path }
    }

    /// From now on everything arrives.
    pub fn heal(&self) {
        self.turn(Weather::Fair);
    }

    pub fn turn(&self, weather: Weather) {
        self.path.state.lock().unwrap().weather = weather;
    }

    pub fn seen(&self) -> Seen {
        self.path.state.lock().unwrap().seen
    }
}

impl Path {
    fn carry(&self, mut client: &TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let mut server = TcpStream::connect(("127.0.0.1", self.server))?;
        server.set_nodelay(true)?;
        // Idle between two requests, perhaps for ever.
        while client.peek(&mut [0])? > 0 {
            match self.weather() {
                Weather::RequestUpTo(count, end) => {
                    let mut begin = vec![0; count];
                    client.read_exact(&mut begin)?;
                    server.write_all(&begin)?;
                    return stop(client, end);
                }
                Weather::Instead(reply) => {
                    read_all_but_one(client)?;
                    self.reply(client, &reply)?;
                    return stop(client, End::Close);
                }
                Weather::Endless(head, again) => {
                    read_all_but_one(client)?;
                    return self.reply_for_ever(client, &head, &again);
                }
                weather => {
                    let reply = self.exchange(client, &mut server, &weather)?;
                    let (reply, end) = self.changed(&weather, &reply);
                    self.reply(client, &reply)?;
                    if let Some(end) = end {
                        return stop(client, end);
                    }
                    client.read_exact(&mut [0])?;
                }
            }
        }
        Ok(())
    }

    /// The weather for the next request.
    fn weather(&self) -> Weather {
        let mut state = self.state.lock().unwrap();
        if state.fair_first > 0 {
            state.fair_first -= 1;
            return Weather::Fair;
        }
        if !matches!(state.weather, Weather::Changing) {
            return state.weather.clone();
        }
        let end = [End::Reset, End::Close][state.chance.below(2)];
        match state.chance.below(12) {
            0 | 1 => Weather::RequestUpTo(state.chance.below(250), end),
            2 | 3 => Weather::ReplyUpTo(state.chance.below(250), end),
            4 => Weather::Twice,
            5 => Weather::Instead(b"HTTP/1.1 200 OK\r\n\r\n<html>Welcome</html>".to_vec()),
            _ => Weather::Fair,
        }
    }

    /// Brings a request to the server and its reply back.
    fn exchange(
        &self,
        client: &TcpStream,
        server: &mut TcpStream,
        weather: &Weather,
    ) -> io::Result<Vec<u8>> {
        if matches!(weather, Weather::Slow) {
            std::thread::sleep(SLOW);
        }
        let (request, request_body) = read_all_but_one(client)?;
        let single = matches!(weather, Weather::ByteByByte);
        for part in request.chunks(if single { 1 } else { request.len() }) {
            server.write_all(part)?;
        }
        let (mut reply, reply_body) = read_head(&mut *server)?;
        let head = reply.len();
        reply.resize(head + reply_body, 0);
        server.read_exact(&mut reply[head..])?;
        let seen = &mut self.state.lock().unwrap().seen;
        if seen.request.whole == 0 {
            let message = |whole: usize, body: usize| Message {
                head: whole - body,
                whole,
            };
            seen.request = message(request.len(), request_body);
            seen.reply = message(reply.len(), reply_body);
        }
        Ok(reply)
    }

    /// What of the server's reply arrives, and how the connection ends if it does.
    fn changed(&self, weather: &Weather, reply: &[u8]) -> (Vec<u8>, Option<End>) {
        let (reply, end) = match weather {
            Weather::ReplyUpTo(count, end) => (reply[..reply.len().min(*count)].to_vec(), *end),
            Weather::Reworded(reword) => (reword(reply), End::Close),
            Weather::Twice => return (reply.repeat(2), Some(End::Stall)),
            _ => return (reply.to_vec(), None),
        };
        self.state.lock().unwrap().seen.lost_replies += 1;
        (reply, Some(end))
    }

    fn reply(&self, mut client: &TcpStream, reply: &[u8]) -> io::Result<()> {
        let single = matches!(self.state.lock().unwrap().weather, Weather::ByteByByte);
        let size = if single { 1 } else { reply.len().max(1) };
        // A client that has read enough goes.
        let sent = reply
            .chunks(size)
            .try_for_each(|part| client.write_all(part));
        self.measure(reply.len() as u64);
        sent
    }

    fn reply_for_ever(&self, mut client: &TcpStream, head: &[u8], again: &[u8]) -> io::Result<()> {
        let block = again.repeat(65_536 / again.len());
        let mut written = head.len() as u64;
        let mut sent = client.write_all(head);
        while sent.is_ok() && written < ENDLESS_BYTES {
            sent = client.write_all(&block);
            written += block.len() as u64;
            self.measure(written);
        }
        sent
    }

    fn measure(&self, reply_bytes: u64) {
        // Gone when the client has ended.
        let status = fs::read_to_string(format!("/proc/{}/status", self.client.pid()));
        let peak = status.unwrap_or_default();
        let peak = peak.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.split_whitespace().next()?.parse().ok());
        let seen = &mut self.state.lock().unwrap().seen;
        seen.memory_peak_kb = seen.memory_peak_kb.max(peak.unwrap_or_default());
        seen.reply_bytes_max = seen.reply_bytes_max.max(reply_bytes);
    }
}
