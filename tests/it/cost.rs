//! What a pass with nothing to do costs, and what recording does, in what can be counted: system calls and
//! instructions, beside those of an empty program, and of the smallest one that opens a file, locks it, writes
//! a line and closes it.

use crate::kit::{BINARY, BUFFER, Sandbox, append, event};
use crate::tools;
use chrono::TimeDelta;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use telemetry_upload::emulator::Moment;

const SMALLEST: &str = r#"
use std::io::Write;
fn main() {
    let path = std::env::args_os().nth(1).unwrap();
    let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
    file.lock().unwrap();
    file.write_all(b"{\"eventType\":\"cli_command\"}\n").unwrap();
}
"#;

/// The smallest program that there can be in Rust.
const EMPTY: &str = "fn main() {}";

/// A pass that has nothing to do: an empty program alone makes 63 with glibc 2.36.
const IDLE_CALLS_MAX: usize = 79;

/// Instructions of a pass that has nothing to do, of those of an empty program: 282 as the dev profile
/// compiles it, 190 as people get it, and a quarter more for other compilers and C libraries.
const IDLE_PERCENT_MAX: u64 = 350;

/// Those of recording an event, of those of a pass that has nothing to do: 118, or 117 as people get it.
const RECORD_PERCENT_MAX: u64 = 145;

/// The same of a hook, which reads its payload and what its session said before: 139, as people get it, too.
const HOOK_PERCENT_MAX: u64 = 170;

/// From opening the buffer to closing it.
const WRITE_CALLS_MAX: usize = 8;

/// What nobody should do who has nothing to send.
const OF_SENDING: [&str; 11] = [
    "socket(",
    "connect(",
    "clone(",
    "clone3(",
    "fork(",
    "resolv.conf",
    "nsswitch",
    "/hosts\"",
    "/ssl",
    "/pki",
    "ca-cert",
];

/// What a sandbox is asked to do, with a file as standard input, by way of another program.
fn by_way_of(
    sandbox: &Sandbox,
    other: &Path,
    with: &[&str],
    program: &Path,
    args: &[&str],
    stdin: Stdio,
) -> Output {
    Command::new(other)
        .args(with)
        .arg(program)
        .args(args)
        .env_clear()
        .envs(&sandbox.env)
        .current_dir(sandbox.home.path())
        .stdin(stdin)
        .output()
        .unwrap()
}

/// The system calls of a run, one a line, and its exit code.
fn traced(
    sandbox: &Sandbox,
    strace: &Path,
    program: &Path,
    args: &[&str],
    stdin: Stdio,
) -> (Vec<String>, Option<i32>) {
    let log = sandbox.home.path().join("calls");
    let with = ["-f", "-qq", "-o", log.to_str().unwrap()];
    let output = by_way_of(sandbox, strace, &with, program, args, stdin);
    let text = fs::read_to_string(&log).unwrap();
    fs::remove_file(log).unwrap();
    let calls = text
        .lines()
        .filter(|line| line.contains('(') && !line.contains("+++") && !line.contains("---"))
        // Before each close std makes sure that it is right to, where there are debug assertions.
        .filter(|line| !line.contains("F_GETFD"));
    (calls.map(str::to_owned).collect(), output.status.code())
}

/// The system calls of a run that succeeds, one a line.
fn calls(sandbox: &Sandbox, strace: &Path, program: &Path, args: &[&str]) -> Vec<String> {
    let (calls, code) = traced(sandbox, strace, program, args, Stdio::null());
    assert_eq!(code, Some(0));
    calls
}

/// The instructions of a run, the dynamic linker's included and the kernel's not.
fn instructions(
    sandbox: &Sandbox,
    valgrind: &Path,
    program: &Path,
    args: &[&str],
    stdin: Stdio,
) -> u64 {
    let profile = sandbox.home.path().join("profile");
    let out = format!("--callgrind-out-file={}", profile.display());
    let with = ["--tool=callgrind", &out];
    let output = by_way_of(sandbox, valgrind, &with, program, args, stdin);
    assert_eq!(output.status.code(), Some(0));
    let text = fs::read_to_string(profile).unwrap();
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total.unwrap().trim().parse().unwrap()
}

/// A program of these words, optimised.
fn built(sandbox: &Sandbox, name: &str, text: &str) -> PathBuf {
    let (source, program) = (
        sandbox.home.path().join(format!("{name}.rs")),
        sandbox.home.path().join(name),
    );
    fs::write(&source, text).unwrap();
    let built = Command::new("rustc")
        .args(["--edition", "2024", "-O", "-o"])
        .args([&program, &source])
        .status()
        .unwrap();
    assert!(built.success());
    program
}

/// A hook of Claude Code that says that a command was given: its arguments, and its standard input.
fn said_by_a_hook(sandbox: &Sandbox) -> (Vec<&'static str>, Stdio) {
    let payload = sandbox.home.path().join("payload");
    let said = json!({"session_id": "s", "hook_event_name": "UserPromptExpansion", "command_name": "commit", "prompt_id": "p"});
    fs::write(&payload, said.to_string()).unwrap();
    let stdin = fs::File::open(payload).unwrap().into();
    (vec!["hook", "--host", "claude"], stdin)
}

/// A pause that the server asked for, as a pass that heard of it leaves it behind.
fn paused(sandbox: &Sandbox) {
    let until = telemetry_upload::world::now() + TimeDelta::hours(1);
    fs::create_dir(sandbox.path("upload")).unwrap();
    let state =
        json!({"notBefore": {"until": until.to_rfc3339(), "reason": "the server asked for it"}});
    sandbox.write("upload/state.json", state.to_string());
}

#[test]
fn a_pass_that_has_nothing_to_do_is_hardly_there() {
    let Some(strace) = tools::find("strace") else {
        return;
    };
    let waiting = || {
        let sandbox = Sandbox::new().dated().line(&event("a"));
        sandbox.write("config.json", r#"{"limits":{"attempts":2}}"#);
        sandbox
    };
    let check = |story: &str, sandbox: &Sandbox, expected: i32| {
        let (calls, code) = traced(sandbox, &strace, Path::new(BINARY), &[], Stdio::null());
        assert_eq!(code, Some(expected), "{story}");
        assert!(
            calls.len() <= IDLE_CALLS_MAX,
            "{story}: {} calls {calls:#?}",
            calls.len()
        );
        for sign in OF_SENDING {
            let found = calls.iter().find(|call| call.contains(sign));
            assert_eq!(found, None, "{story}");
        }
        assert_eq!(sandbox.posts(), 0, "{story}");
    };

    check("no buffer", &Sandbox::new().dated(), 0);
    let empty = waiting();
    empty.write(BUFFER, "");
    check("an empty buffer", &empty, 0);

    let off = waiting();
    off.write("telemetry.json", r#"{"enabled":false,"consentGiven":true}"#);
    check("turned off", &off, 0);
    check("a CI system", &waiting().env("CI", "true"), 0);
    check("not to be tracked", &waiting().env("DO_NOT_TRACK", "1"), 0);

    let pausing = waiting();
    paused(&pausing);
    check("a pause", &pausing, 75);

    let busy = waiting();
    fs::create_dir(busy.path("upload")).unwrap();
    busy.write("upload/state.json", r#"{"failuresInARow":1}"#);
    let lock = fs::File::create(busy.path("upload/uploader.lock")).unwrap();
    lock.lock().unwrap();
    check("another pass at work", &busy, 0);
}

#[test]
fn an_event_is_written_with_eight_calls() {
    let Some(strace) = tools::find("strace") else {
        return;
    };
    let check = |sandbox: &Sandbox, args: &[&str], stdin: Stdio| {
        let (calls, code) = traced(sandbox, &strace, Path::new(BINARY), args, stdin);
        assert_eq!(code, Some(0));
        let opened = calls
            .iter()
            .position(|call| call.contains("openat(") && call.contains(BUFFER))
            .unwrap();
        let fd = calls[opened].rsplit(' ').next().unwrap();
        let close = format!(" close({fd})");
        let write = &calls[opened..];
        let closed = write.iter().position(|call| call.contains(&close)).unwrap();
        let write = &write[..=closed];
        assert!(write.len() <= WRITE_CALLS_MAX, "{args:?} {write:#?}");
        let written = write.iter().filter(|call| call.contains(" write("));
        assert_eq!(written.count(), 1, "{write:#?}");
    };
    let sandbox = Sandbox::new().dated();
    // The first event finds no buffer, and the second one a last line to look at.
    for _ in 0..2 {
        let args = ["record", "cli_command", "--prop", "command=init"];
        check(&sandbox, &args, Stdio::null());
    }
    assert_eq!(sandbox.recorded().len(), 2);
    let (args, stdin) = said_by_a_hook(&sandbox);
    check(&sandbox, &args, stdin);
    assert_eq!(sandbox.recorded().len(), 3);
}

#[test]
fn the_start_and_the_recording_take_few_instructions() {
    let Some(valgrind) = tools::find("valgrind") else {
        return;
    };
    let sandbox = Sandbox::new().dated();
    let empty = built(&sandbox, "empty", EMPTY);
    let floor = instructions(&sandbox, &valgrind, &empty, &[], Stdio::null());
    let ours = |args: &[&str], stdin: Stdio| {
        instructions(&sandbox, &valgrind, Path::new(BINARY), args, stdin)
    };
    let idle = ours(&[], Stdio::null());
    let record = ours(
        &["record", "cli_command", "--prop", "command=init"],
        Stdio::null(),
    );
    let (args, stdin) = said_by_a_hook(&sandbox);
    let hook = ours(&args, stdin);
    assert_eq!(sandbox.recorded().len(), 2);
    let story = format!("empty {floor}, idle {idle}, record {record}, hook {hook}");
    let times = |of: u64, than: u64, percent_max: u64| {
        assert!(of * 100 <= than * percent_max, "{story}");
    };
    times(idle, floor, IDLE_PERCENT_MAX);
    times(record, idle, RECORD_PERCENT_MAX);
    times(hook, idle, HOOK_PERCENT_MAX);
}

#[test]
fn recording_takes_at_most_twice_the_calls_of_the_smallest_program_and_no_network() {
    let Some(strace) = tools::find("strace") else {
        return;
    };
    let sandbox = Sandbox::new().dated();
    let smallest = built(&sandbox, "smallest", SMALLEST);
    let least = calls(
        &sandbox,
        &strace,
        &smallest,
        &[sandbox.path("other").to_str().unwrap()],
    )
    .len();
    let recorded = calls(
        &sandbox,
        &strace,
        Path::new(BINARY),
        &["record", "cli_command", "--prop", "command=init"],
    );
    assert!(
        recorded.len() <= 2 * least,
        "{} calls, {least} at least",
        recorded.len()
    );
    for name in [
        "socket(",
        "connect(",
        "clone(",
        "clone3(",
        "fork(",
        "fsync(",
        "fdatasync(",
    ] {
        assert!(
            !recorded.iter().any(|call| call.contains(name)),
            "{name} in {recorded:#?}"
        );
    }
    let data = sandbox.data().display().to_string();
    let opened: Vec<&str> = recorded
        .iter()
        .filter(|call| call.contains("open") && call.contains(&data))
        .map(|call| call.split('"').nth(1).unwrap().rsplit('/').next().unwrap())
        .collect();
    assert_eq!(opened, ["telemetry.json", BUFFER]);
}

/// Else each round would take long enough for a further event, and the pass end by its deadline alone.
#[test]
fn a_producer_that_holds_the_buffer_open_and_goes_on_appending_is_waited_for_once() {
    let Some(strace) = tools::find("strace") else {
        return;
    };
    let path: Arc<Mutex<Option<PathBuf>>> = Arc::default();
    let buffer = path.clone();
    let sandbox = Sandbox::acting("", move |moment, count, _| {
        if moment == Moment::Judged && count <= 5 {
            let buffer = buffer.lock().unwrap().clone().unwrap();
            append(&buffer, event(&format!("later-{count}")) + "\n");
        }
    });
    *path.lock().unwrap() = Some(sandbox.path(BUFFER));
    let sandbox = sandbox.line(&event("first"));
    let held_open = fs::File::open(sandbox.path(BUFFER)).unwrap();
    let calls = calls(&sandbox, &strace, Path::new(BINARY), &["--flush"]);
    drop(held_open);
    assert_eq!(sandbox.posts(), 6);
    let leases = calls
        .iter()
        .filter(|call| call.contains("F_SETLEASE, F_WRLCK"));
    let leases = leases.count();
    assert!((1..100).contains(&leases), "{leases} tries");
}
