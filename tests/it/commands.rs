//! The subcommands, as a new user meets them.

use crate::kit::{BINARY, Sandbox, event};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

#[test]
fn the_demo_shows_the_whole_way_and_touches_nothing() {
    let sandbox = Sandbox::new().line(&event("a"));
    let temp = tempfile::tempdir().unwrap();
    // Even where telemetry is off and a connection string is set: it sends samples to itself only.
    let sandbox = sandbox
        .env("DO_NOT_TRACK", "1")
        .env("TMPDIR", temp.path().to_str().unwrap());
    let before = sandbox.files();
    let (code, stdout, stderr) = sandbox.run(&["demo"]).posts(0).outputs();
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    for expected in [
        "A program appended 5 lines",
        "sent 4 events, dropped 1 malformed; left out: prompt (1)",
        " atomic_command: accepted",
        " cli_command: accepted",
        " agent_session: accepted",
        "time_adjusted=late",
        "malformed (not JSON)\n    {\"anonymousId\"",
        "Left in the buffer: 0 bytes.",
    ] {
        assert!(stdout.contains(expected), "{expected}\n{stdout}");
    }
    assert_eq!(stdout.matches(": accepted").count(), 4);
    assert_eq!(sandbox.files(), before);
    assert_eq!(
        std::fs::read_dir(temp.path()).unwrap().count(),
        0,
        "the demo's folder is gone"
    );
}

#[test]
fn the_emulator_says_how_to_send_to_it_and_keeps_what_it_accepts() {
    let sandbox = Sandbox::new().line(&event("a")).line(&event("b"));
    let (store, script) = (sandbox.path("store.jsonl"), sandbox.path("script.jsonl"));
    std::fs::write(&script, "# one busy moment\n{\"status\": 503}\n").unwrap();
    let mut emulator = Command::new(BINARY)
        .args([
            "emulator",
            "--port",
            "0",
            "--store",
            store.to_str().unwrap(),
            "--script",
            script.to_str().unwrap(),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(emulator.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("listening on http://127.0.0.1:")
    );
    let setting = lines.next().unwrap();
    let (name, value) = setting.split_once('=').unwrap();
    let sandbox = sandbox.env(name, value.trim_matches('\''));
    sandbox
        .flush()
        .stdout("sent 2 events in 2 requests")
        .left("")
        .code(0);
    assert_eq!(
        lines.next().unwrap(),
        "POST /v2.1/track 503: 0 of 2 accepted"
    );
    let rest: Vec<String> = lines
        .by_ref()
        .take_while(|line| !line.contains(" 200: "))
        .collect();
    assert!(
        rest.iter().all(|line| line.starts_with("  item ")),
        "{rest:?}"
    );
    emulator.kill().unwrap();
    emulator.wait().unwrap();
    let stored = std::fs::read_to_string(store).unwrap();
    assert_eq!(stored.lines().count(), 2);
    assert_eq!(stored, sandbox.read("upload/sent.jsonl"));
}

#[test]
fn a_bad_script_is_named_with_its_line() {
    let sandbox = Sandbox::new();
    let script = sandbox.path("script.jsonl");
    std::fs::write(&script, "{}\n{\"stattus\": 503}\n").unwrap();
    let (code, stdout, stderr) = sandbox
        .run(&["emulator", "--script", script.to_str().unwrap()])
        .outputs();
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(
        stderr.contains("line 2") && stderr.contains("stattus"),
        "{stderr}"
    );
}

#[test]
fn help_and_version_are_printed() {
    let sandbox = Sandbox::new();
    let (code, stdout, stderr) = sandbox.run(&["--help"]).outputs();
    assert_eq!((code, stderr.as_str()), (0, ""));
    for flag in [
        "--flush",
        "--dry-run",
        "--json",
        "--app",
        "--data-dir",
        "--connection-string",
        "demo",
        "emulator",
        "hooks",
    ] {
        assert!(stdout.contains(flag), "{flag}\n{stdout}");
    }
    assert!(
        !stdout.contains("InstrumentationKey"),
        "the variable's value is hidden\n{stdout}"
    );
    let (code, stdout, _) = sandbox.run(&["--version"]).outputs();
    assert_eq!(
        (code, stdout),
        (
            0,
            format!("telemetry-upload {}\n", env!("CARGO_PKG_VERSION"))
        )
    );
}
