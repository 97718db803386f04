//! What recording costs, in what can be counted: system calls, beside those of the smallest program
//! that opens a file, locks it, writes a line and closes it.

use crate::kit::{BINARY, BUFFER, Sandbox, append, event};
use crate::tools;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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

/// The system calls of a run, one a line.
fn calls(sandbox: &Sandbox, strace: &Path, program: &Path, args: &[&str]) -> Vec<String> {
    let log = sandbox.path("calls");
    let status = Command::new(strace)
        .args(["-f", "-qq", "-o"])
        .arg(&log)
        .arg(program)
        .args(args)
        .env_clear()
        .envs(&sandbox.env)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let text = fs::read_to_string(&log).unwrap();
    fs::remove_file(log).unwrap();
    text.lines()
        .filter(|line| line.contains('(') && !line.contains("+++") && !line.contains("---"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn recording_takes_at_most_twice_the_calls_of_the_smallest_program_and_no_network() {
    let Some(strace) = tools::find("strace") else {
        return;
    };
    let sandbox = Sandbox::new().dated();
    let (source, smallest) = (sandbox.path("smallest.rs"), sandbox.path("smallest"));
    fs::write(&source, SMALLEST).unwrap();
    let built = Command::new("rustc")
        .args(["--edition", "2024", "-O", "-o"])
        .args([&smallest, &source])
        .status()
        .unwrap();
    assert!(built.success());

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
