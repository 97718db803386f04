//! A data folder on a file system without locks, as some network and FUSE file systems are: events are
//! recorded, nothing is sent, and everyone is told why.

use crate::kit::{BINARY, BUFFER, CONSENT, Ran, Sandbox};
use crate::tools;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a lock is answered there, and the words for it.
const ERRORS: [(&str, &str); 3] = [
    ("ENOLCK", "No locks available (os error 37)"),
    ("ENOSYS", "Function not implemented (os error 38)"),
    ("EOPNOTSUPP", "Operation not supported (os error 95)"),
];

/// Runs the program where every lock is answered with an error.
fn without_locks<'a>(sandbox: &'a Sandbox, strace: &Path, error: &str, args: &[&str]) -> Ran<'a> {
    let mut command = Command::new(strace);
    command
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=flock", "-e"])
        .arg(format!("inject=flock:error={error}"))
        .arg(BINARY)
        .args(args)
        .env_clear()
        .envs(&sandbox.env)
        .current_dir(sandbox.home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let payload = br#"{"hook_event_name":"SessionStart","session_id":"s","source":"startup"}"#;
    let stdin: &[u8] = if args.first() == Some(&"hook") {
        payload
    } else {
        b""
    };
    sandbox.ran(tools::feed(&mut command, stdin))
}

fn words(why: &str) -> String {
    format!("its file system has no locks ({why}); move the data folder to a local file system")
}

#[test]
fn events_are_recorded_and_kept_where_there_are_no_locks() {
    let Some(strace) = tools::strace() else {
        return;
    };
    for (error, why) in ERRORS {
        let sandbox = Sandbox::new().dated();
        let run = |args: &[&str]| without_locks(&sandbox, &strace, error, args);
        run(&["record", "first", "--prop", "n=1"]).code(0);
        run(&["record", "second", "--spawn"]).code(0);
        run(&["hook", "--host", "claude"]).code(0);
        let left = sandbox.read(BUFFER);
        let lines: Vec<&str> = left.split('\n').collect();
        let names: Vec<String> = lines
            .iter()
            .map(|line| match serde_json::from_str::<Value>(line) {
                Ok(event) => event["eventType"].as_str().unwrap().to_owned(),
                Err(_) => (*line).to_owned(),
            })
            .collect();
        // The newline before each keeps it apart from a line that another process may be writing.
        let expected = ["", "first", "", "second", "", "agent_session_start", ""];
        assert_eq!(names, expected, "{error}");

        let words = words(why);
        run(&["--flush"])
            .stderr(&format!(
                "cannot lock {{data}}/upload/uploader.lock: {words}"
            ))
            .posts(0)
            .left(&left)
            .code(1);
        run(&[])
            .stderr(&format!(
                "cannot lock {{data}}/upload/uploader.lock: {words}"
            ))
            .posts(0)
            .left(&left)
            .code(1);
        assert!(
            sandbox.read("upload/upload.log").contains(&words),
            "{error}"
        );
        run(&["--detach"]).code(0);
        run(&["--detach", "--verbose"])
            .stderr(&format!("cannot lock upload/detached.lock: {words}"))
            .code(0);
        assert!(sandbox.detached().is_empty());

        let (code, status, _) = run(&["status"]).outputs();
        let data = sandbox.data().display().to_string();
        let obstacle =
            format!("Something is in the way: nothing can be sent from {data}: {words}.");
        assert!(code == 1 && status.contains(&obstacle), "{status}");
        let (code, doctor, _) = run(&["doctor"]).outputs();
        let check = format!("lock: nothing can be sent from ~/.local/share/atomic: {words}");
        assert!(code == 1 && doctor.contains(&check), "{doctor}");
        assert!(doctor.contains("uploader: no pass is at work"), "{doctor}");
        assert_eq!(sandbox.read(BUFFER), left, "{error}");

        sandbox.flush().stdout("sent 3 events").left("").code(0);
    }
}

#[test]
fn a_no_works_where_there_are_no_locks_and_a_yes_says_why_it_does_not() {
    let Some(strace) = tools::strace() else {
        return;
    };
    for (error, why) in ERRORS {
        for args in [&["disable"][..], &["consent", "--no"]] {
            for before in [CONSENT, "{"] {
                let sandbox = Sandbox::new();
                sandbox.write("telemetry.json", before);
                let (code, _, stderr) = without_locks(&sandbox, &strace, error, args).outputs();
                assert_eq!((code, stderr.as_str()), (0, ""), "{args:?} {error}");
                let said: Value = serde_json::from_str(&sandbox.read("telemetry.json")).unwrap();
                assert_eq!(said["enabled"], false, "{args:?} {error}");
            }
        }
        let sandbox = Sandbox::new();
        fs::remove_file(sandbox.path("telemetry.json")).unwrap();
        let yes = without_locks(&sandbox, &strace, error, &["consent", "--yes"]);
        let (code, stdout, stderr) = yes.outputs();
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        assert!(stderr.contains(&words(why)), "{stderr}");
        assert!(!sandbox.path("telemetry.json").exists());
    }
}
