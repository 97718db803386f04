//! Bad networks: whatever becomes of requests and replies on their way, each pass ends as it should,
//! nothing is lost, the memory stays bounded, and once the network is well the next pass delivers all.
//! An event arrives twice only if a reply was lost.

mod cases;
mod proxy;
pub mod redirects;
mod wire;

use crate::kit::{BUFFER, Sandbox, event};
use crate::oracle::{self, Allowed, Appended};
use crate::{Ended, Given, Size};
use proxy::{Message, Network, Seen, Weather};
use wire::End;

/// Events of a case, in two requests.
const EVENTS: usize = 6;

const REQUEST_EVENTS: usize = 3;

/// What an endless reply may cost: what is read of it, and what waits in the buffers of the system.
const REPLY_BYTES_MAX: u64 = 32 << 20;

/// What a reply may cost beyond the memory of a pass over an honest network.
const MEMORY_MORE_KB: u64 = 8 << 10;

/// Two requests with the same number of events differ by fewer bytes.
const LENGTHS_DIFFER: usize = 10;

/// A pass that waits for a slow machine.
const PATIENT: [&str; 7] = [
    "--flush",
    "--attempts",
    "2",
    "--pause-ms",
    "1",
    "--request-timeout-ms",
    "60000",
];

/// A bad network, and how the pass over it ends.
struct Case {
    name: String,
    weather: Weather,
    /// Requests that go through first.
    fair_first: usize,
    /// The exit code of the pass.
    code: i32,
    /// Bytes of a reply that the client may take.
    reply_bytes_max: u64,
}

impl Case {
    fn kept(name: impl Into<String>, weather: Weather) -> Case {
        Case {
            name: name.into(),
            weather,
            fair_first: 0,
            code: 75,
            reply_bytes_max: REPLY_BYTES_MAX,
        }
    }

    fn sent(name: impl Into<String>, weather: Weather) -> Case {
        Case {
            code: 0,
            ..Case::kept(name, weather)
        }
    }
}

/// A cut, a stall or a wrong word at every place of the exchange.
pub fn networks(given: Given) -> Ended {
    let fair = run(&Case::sent("fair", Weather::Fair), given, 0);
    let memory_max = fair.memory_peak_kb + MEMORY_MORE_KB;
    let mut cases = cuts(&fair, given.size);
    cases.extend(cases::answers());
    cases.extend(cases::rewordings());
    cases.extend(cases::endless());
    tls_to_a_plain_port();
    let (mut memory, mut reply, mut lost) = (0, 0, 0);
    for case in &cases {
        let seen = run(case, given, memory_max);
        memory = memory.max(seen.memory_peak_kb);
        if case.reply_bytes_max == REPLY_BYTES_MAX {
            reply = reply.max(seen.reply_bytes_max);
        }
        lost += seen.lost_replies;
    }
    Ended::Held(format!(
        "{} networks, {lost} replies lost, at most {} KB of a reply taken, peak memory {memory} KB (over a fair one {})",
        cases.len(),
        reply / 1024,
        fair.memory_peak_kb
    ))
}

/// One pass over the bad network, and one over the same when it is well again.
fn run(case: &Case, given: Given, memory_max: u64) -> Seen {
    let sandbox = Sandbox::new();
    let network = Network::before(
        &sandbox.server,
        case.weather.clone(),
        case.fair_first,
        given.seed,
    );
    let sandbox = through(sandbox, &network);
    let appended = append(&sandbox, 0..EVENTS);
    // Where nothing comes any more, the pass has to end by itself; elsewhere the machine may be slow.
    let waits = matches!(
        case.weather,
        Weather::RequestUpTo(_, End::Stall)
            | Weather::ReplyUpTo(_, End::Stall)
            | Weather::Endless(..)
    );
    let mut flags = PATIENT.to_vec();
    if waits {
        flags = vec!["--flush", "--attempts", "1", "--request-timeout-ms", "150"];
    }
    let events = REQUEST_EVENTS.to_string();
    flags.extend(["--request-events", &events]);
    let (code, stdout, stderr) = sandbox.run(&flags).outputs();
    let name = &case.name;
    assert_eq!((code, stderr.as_str()), (case.code, ""), "{name}: {stdout}");
    assert_eq!(
        sandbox.read(BUFFER).is_empty(),
        code == 0,
        "{name}: {stdout}"
    );
    let seen = network.seen();
    assert!(
        seen.reply_bytes_max <= case.reply_bytes_max,
        "{name}: {seen:?}"
    );
    assert!(
        memory_max == 0 || seen.memory_peak_kb <= memory_max,
        "{name}: {seen:?}"
    );

    network.heal();
    let (code, stdout, stderr) = sandbox.run(&PATIENT).outputs();
    assert_eq!((code, stderr.as_str()), (0, ""), "{name}, healed: {stdout}");
    let lost = match case.code {
        0 => 0,
        // A slow machine may miss what was in time.
        _ if waits => seen.lost_replies + case.fair_first,
        _ => seen.lost_replies,
    };
    let allowed = Allowed {
        twice: lost * REQUEST_EVENTS,
        ..Allowed::default()
    };
    oracle::account(&sandbox, &appended, allowed);
    seen
}

/// A server that speaks no TLS is not talked to without it.
fn tls_to_a_plain_port() {
    let sandbox = Sandbox::new();
    let plain = sandbox.server.connection_string.clone();
    let variable = "APPLICATIONINSIGHTS_CONNECTION_STRING";
    let sandbox = sandbox.env(variable, &plain.replace("http://", "https://"));
    let appended = append(&sandbox, 0..1);
    let (code, stdout, _) = sandbox.flush().outputs();
    assert_eq!((code, sandbox.posts()), (75, 0), "{stdout}");
    let sandbox = sandbox.env(variable, &plain);
    assert_eq!(sandbox.run(&PATIENT).outputs().0, 0);
    oracle::account(&sandbox, &appended, Allowed::default());
}

/// The same home, whose endpoint is the network's.
fn through(sandbox: Sandbox, network: &Network) -> Sandbox {
    let string = format!(
        "InstrumentationKey=00000000-0000-4000-8000-000000000000;IngestionEndpoint=http://127.0.0.1:{}/",
        network.port
    );
    sandbox.env("APPLICATIONINSIGHTS_CONNECTION_STRING", &string)
}

fn append(sandbox: &Sandbox, numbers: std::ops::Range<usize>) -> Appended {
    let appended = Appended::default();
    for number in numbers {
        let id = format!("id-{number}");
        let line = event(&id);
        appended.intend(&id, &line);
        sandbox.append(line + "\n");
        appended.done(&id);
    }
    appended
}

/// The connection ends, or falls silent, behind each place that differs from the one before: in the
/// head, at each boundary and in the body, of the first exchange and of the second.
fn cuts(fair: &Seen, size: Size) -> Vec<Case> {
    let places = |message: Message, last: usize| {
        let head = message.head;
        let all = (0..=last).collect();
        size.pick(vec![0, 1, head / 2, head - 1, head, head + 1, last], all)
    };
    // The clock alone makes requests a little shorter or longer.
    let requests = places(fair.request, fair.request.whole - LENGTHS_DIFFER);
    let replies = places(fair.reply, fair.reply.whole - 1);
    let mut cases = Vec::new();
    for end in [End::Reset, End::Close, End::Stall] {
        for fair_first in [0, 1] {
            // Each silence is waited out.
            if size == Size::Quick && end == End::Stall && fair_first == 0 {
                continue;
            }
            let case = |weather: Weather| Case {
                fair_first,
                ..Case::kept(format!("{weather:?} after {fair_first}"), weather)
            };
            cases.extend(
                requests
                    .iter()
                    .map(|at| case(Weather::RequestUpTo(*at, end))),
            );
            cases.extend(replies.iter().map(|at| case(Weather::ReplyUpTo(*at, end))));
        }
    }
    // Whoever has the whole reply needs no more.
    let weather = Weather::ReplyUpTo(usize::MAX, End::Close);
    cases.push(Case::sent(format!("{weather:?}"), weather));
    cases
}

/// Many passes over a network that changes with every request, while events go on being appended.
pub fn weather(given: Given) -> Ended {
    let (rounds, events) = given.size.pick((12, 20), (500, 40));
    let sandbox = Sandbox::new();
    let network = Network::before(&sandbox.server, Weather::Changing, 0, given.seed);
    let sandbox = through(sandbox, &network);
    let appended = Appended::default();
    let mut bad = 0;
    for round in 0..rounds {
        for number in 0..events {
            let id = format!("id-{round}-{number}");
            let line = event(&id);
            appended.intend(&id, &line);
            sandbox.append(line + "\n");
            appended.done(&id);
        }
        let flags = [&PATIENT[..], &["--request-events", "5"]].concat();
        let (code, stdout, stderr) = sandbox.run(&flags).outputs();
        assert!(
            [0, 75].contains(&code) && stderr.is_empty(),
            "{code} {stdout} {stderr}"
        );
        bad += usize::from(code == 75);
    }
    assert!(bad > 0, "the network was never bad");
    let lost = network.seen().lost_replies;
    network.heal();
    let (code, stdout, _) = sandbox.run(&PATIENT).outputs();
    assert_eq!(code, 0, "{stdout}");
    let allowed = Allowed {
        twice: lost * 5,
        ..Allowed::default()
    };
    let account = oracle::account(&sandbox, &appended, allowed);
    assert_eq!(account.delivered, appended.count());
    Ended::Held(format!(
        "{account}; {rounds} passes, {bad} of them cut short, {lost} replies lost"
    ))
}
