//! What one more event costs, in what can be counted: instructions, requests, connections and bytes.

use crate::kit::{BINARY, Sandbox};
use crate::tools;
use chrono::SecondsFormat;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const FEW: usize = 100;
const MANY: usize = 1_100;

/// Instructions for one event from the buffer to the reply, as the tests are built. A quarter above 67,550: reason
/// enough to look.
const INSTRUCTIONS_MAX: usize = 85_000;

/// Bytes on the wire for a hundred before gzip, where all ids differ. It is 17.6 of them.
const PACKED_PERCENT_MAX: usize = 18;

/// Bytes of an envelope before gzip. It is 923.
const PLAIN_BYTES_MAX: usize = 1_000;

/// Events as Atomic's hooks write them, with ids that no two of them share.
fn events(count: usize) -> String {
    let mut state: u64 = 1;
    let mut random = move || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let mut id = || {
        let (high, low) = (random(), random());
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 48 & 0xfff,
            low & 0xffff_ffff_ffff
        )
    };
    let now = telemetry_upload::world::now().to_rfc3339_opts(SecondsFormat::Millis, true);
    let mut lines = String::new();
    for number in 0..count {
        let (user, event, session) = (id(), id(), id());
        let agent = ["claude", "opencode", "copilot"][number % 3];
        writeln!(
            lines,
            r#"{{"anonymousId":"{user}","eventId":"{event}","sessionId":"{session}","eventType":"agent_session","timestamp":"{now}","agentType":"{agent}","commands":["/commit","/research-codebase"],"commandCount":2,"platform":"linux","atomicVersion":"0.4.12","source":"session_hook"}}"#
        )
        .unwrap();
    }
    lines
}

fn with_events(count: usize) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.append(events(count));
    sandbox
}

/// A flush with one request after the other, under the eyes of another program.
fn watched(sandbox: &Sandbox, watcher: &Path, args: &[&str]) -> Output {
    let output = Command::new(watcher)
        .args(args)
        .args([BINARY, "--flush", "--lanes", "1"])
        .env_clear()
        .envs(&sandbox.env)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

fn instructions(valgrind: &Path, count: usize) -> usize {
    let args = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
    let output = watched(&with_events(count), valgrind, &args);
    let said = String::from_utf8(output.stderr).unwrap();
    let refs = said.split("refs:").nth(1).unwrap().lines().next().unwrap();
    refs.trim().replace(',', "").parse().unwrap()
}

#[test]
fn one_more_event_takes_no_more_instructions_than_it_did() {
    if std::env::var_os("CARGO_PROFILE_DEV_OPT_LEVEL").is_some() {
        tools::missed("build as Cargo.toml has it");
        return;
    }
    let Some(valgrind) = tools::find("valgrind") else {
        return;
    };
    let more = instructions(&valgrind, MANY) - instructions(&valgrind, FEW);
    let each = more / (MANY - FEW);
    assert!(each <= INSTRUCTIONS_MAX, "{each} instructions an event");
    // Else it is not the events that were counted.
    assert!(each >= INSTRUCTIONS_MAX / 4, "{each} instructions an event");
}

#[test]
fn eleven_hundred_events_take_eleven_requests_and_less_than_a_fifth_of_their_bytes() {
    let sandbox = with_events(MANY);
    sandbox
        .run(&["--flush"])
        .stdout("sent 1,100 events in 11 requests")
        .code(0);
    let exchanges = sandbox.server.exchanges.lock().unwrap();
    assert_eq!(exchanges.len(), 11);
    let plain: usize = exchanges.iter().map(|exchange| exchange.body.len()).sum();
    let packed: usize = exchanges
        .iter()
        .map(|exchange| exchange.body_bytes_on_wire)
        .sum();
    assert!(plain / MANY <= PLAIN_BYTES_MAX, "{} bytes", plain / MANY);
    let permille = packed * 1_000 / plain;
    assert!(permille <= PACKED_PERCENT_MAX * 10, "{permille} ‰");
}

#[test]
fn a_thousand_events_in_one_lane_take_one_connection() {
    let Some(strace) = tools::find("strace") else {
        return;
    };
    let args = ["-f", "-qq", "-e", "trace=connect"];
    let output = watched(&with_events(MANY), &strace, &args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches("AF_INET").count(), 1, "{said}");
}
