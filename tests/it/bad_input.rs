//! What is wrong with the files or the settings: a clear error, and nothing lost.

use crate::kit::{BUFFER, Sandbox, event};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

fn one() -> Sandbox {
    Sandbox::new().line(&event("a"))
}

#[test]
fn a_missing_connection_string_says_where_to_set_it() {
    let sandbox = one().without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    let line = sandbox.read(BUFFER);
    let expected = "no connection string: set APPLICATIONINSIGHTS_CONNECTION_STRING, or \"connectionString\" in {data}/config.json, to the one that Azure's portal shows for the Application Insights resource";
    sandbox
        .run(&["--flush"])
        .stderr(expected)
        .left(&line)
        .code(78);
    // In the background the log says so, and once the scheduler's journal.
    sandbox.run(&[]).stderr(expected).left(&line).code(78);
    sandbox.run(&[]).left(&line).code(78);
    let log = sandbox.read("upload/upload.log");
    assert_eq!(
        log.matches("exit 78 no connection string").count(),
        3,
        "{log}"
    );
}

#[test]
fn a_bad_connection_string_is_explained_and_a_right_one_shown() {
    for (text, what) in [
        ("nonsense", "bad connection string: "),
        ("IngestionEndpoint=https://x.example/", "InstrumentationKey"),
        (
            "InstrumentationKey=k;IngestionEndpoint=http://example.com/",
            "IngestionEndpoint",
        ),
        ("InstrumentationKey=k;Authorization=aad", "Authorization"),
    ] {
        let sandbox = one().env("APPLICATIONINSIGHTS_CONNECTION_STRING", text);
        let line = sandbox.read(BUFFER);
        let (code, stdout, stderr) = sandbox.run(&["--flush"]).left(&line).outputs();
        assert_eq!((code, stdout.as_str()), (78, ""));
        assert!(stderr.contains(what), "{stderr}");
        assert!(stderr.contains("InstrumentationKey=<"), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn the_connection_string_may_stand_in_the_config_file() {
    let sandbox = one();
    let config = serde_json::json!({"connectionString": sandbox.server.connection_string});
    sandbox.write("config.json", config.to_string());
    let sandbox = sandbox.without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    sandbox.flush().stdout("sent 1 event").left("").code(0);
    // An empty variable is an unset one.
    let sandbox = sandbox
        .line(&event("b"))
        .env("APPLICATIONINSIGHTS_CONNECTION_STRING", "");
    sandbox.flush().stdout("sent 1 event").left("").code(0);
}

#[test]
fn a_bad_config_file_sends_nothing() {
    for (content, what) in [
        ("{", "EOF while parsing"),
        ("[]", "it is not a JSON object"),
        (r#"{"allow": null}"#, "invalid type: null"),
        (
            r#"{"allow": ["command"], "allow": []}"#,
            "duplicate field `allow`",
        ),
        (r#"{"alow": ["command"]}"#, "unknown field `alow`"),
        (r#"{"limits": {"attempts": "three"}}"#, "invalid type"),
        (
            r#"{"limits": {"requestEvents": 0}}"#,
            "the limit request-events must be between 1 and 64000, not 0",
        ),
    ] {
        let sandbox = one();
        let line = sandbox.read(BUFFER);
        sandbox.write("config.json", content);
        let (code, stdout, stderr) = sandbox.run(&["--flush"]).posts(0).left(&line).outputs();
        assert_eq!((code, stdout.as_str()), (78, ""), "{content}");
        assert!(stderr.contains(what), "{stderr}");
    }
}

#[test]
fn the_current_directory_configures_nothing() {
    let sandbox = one().without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    let config = serde_json::json!({"connectionString": sandbox.server.connection_string});
    fs::write(sandbox.home.path().join("config.json"), config.to_string()).unwrap();
    assert_eq!(sandbox.run(&["--flush"]).posts(0).outputs().0, 78);
}

fn check_refused(sandbox: &Sandbox, stderr: &str) {
    sandbox.run(&["--flush"]).stderr(stderr).posts(0).code(1);
    sandbox.run(&[]).posts(0).code(1);
}

#[test]
fn a_buffer_that_is_a_folder_is_refused() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path(BUFFER)).unwrap();
    check_refused(
        &sandbox,
        "cannot open {data}/telemetry-events.jsonl: Is a directory (os error 21)",
    );
}

#[test]
fn a_buffer_that_is_a_fifo_is_refused_and_does_not_hang() {
    let sandbox = Sandbox::new();
    sandbox.fifo(BUFFER);
    check_refused(
        &sandbox,
        "cannot open {data}/telemetry-events.jsonl: it is not a regular file",
    );
}

#[test]
fn a_buffer_that_is_a_link_is_refused() {
    let sandbox = Sandbox::new();
    let elsewhere = sandbox.path("elsewhere");
    fs::write(&elsewhere, event("a") + "\n").unwrap();
    symlink(&elsewhere, sandbox.path(BUFFER)).unwrap();
    check_refused(
        &sandbox,
        "cannot open {data}/telemetry-events.jsonl: it is a symbolic link, which is not followed here",
    );
    fs::remove_file(sandbox.path(BUFFER)).unwrap();
    fs::hard_link(&elsewhere, sandbox.path(BUFFER)).unwrap();
    check_refused(
        &sandbox,
        "cannot open {data}/telemetry-events.jsonl: it has more than one hard link",
    );
    assert_eq!(fs::read_to_string(&elsewhere).unwrap().lines().count(), 1);
}

#[test]
fn a_file_of_ours_that_is_a_link_is_not_followed() {
    let linked = one();
    let elsewhere = linked.home.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, linked.path("upload")).unwrap();
    let (code, _, stderr) = linked.flush().posts(0).outputs();
    assert_eq!(code, 1);
    assert!(stderr.contains("upload: it is a symbolic link"), "{stderr}");
    for name in [
        "uploader.lock",
        "telemetry-events.jsonl.cursor",
        "rejected.jsonl",
    ] {
        let sandbox = one().line("not json");
        let victim = sandbox.home.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        fs::create_dir(sandbox.path("upload")).unwrap();
        symlink(&victim, sandbox.path(&format!("upload/{name}"))).unwrap();
        let before = sandbox.read(BUFFER);
        let (code, _, stderr) = sandbox.flush().left(&before).outputs();
        assert_eq!(code, 1, "{name}");
        assert!(
            stderr.contains(&format!("{name}: it is a symbolic link")),
            "{stderr}"
        );
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }
}

/// Runs as a user without root's powers, if the tests run as root.
fn as_nobody(sandbox: &Sandbox, args: &[&str]) -> (i32, String) {
    let (code, _, stderr) = outputs_as_nobody(sandbox, args);
    (code, stderr)
}

pub fn outputs_as_nobody(sandbox: &Sandbox, args: &[&str]) -> (i32, String, String) {
    fn own(path: &std::path::Path) {
        std::os::unix::fs::chown(path, Some(65_534), Some(65_534)).unwrap();
        if path.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                own(&entry.unwrap().path());
            }
        }
    }
    let mut command = sandbox.command(args);
    if rustix::process::geteuid().is_root() {
        // The binary may lie where only root can look.
        let binary = sandbox.home.path().join("binary");
        fs::copy(crate::kit::BINARY, &binary).unwrap();
        own(sandbox.home.path());
        command = Command::new(binary);
        std::os::unix::process::CommandExt::uid(&mut command, 65_534);
        command
            .args(args)
            .env_clear()
            .envs(&sandbox.env)
            .current_dir("/");
    }
    // A process that another test has just begun to start may still hold the copy open for writing.
    let output = loop {
        match command.output() {
            Err(err) if err.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                std::thread::yield_now();
            }
            output => break output.unwrap(),
        }
    };
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn an_unreadable_buffer_is_named() {
    let sandbox = one();
    fs::set_permissions(sandbox.path(BUFFER), fs::Permissions::from_mode(0o000)).unwrap();
    let (code, stderr) = as_nobody(&sandbox, &["--flush"]);
    assert_eq!(code, 1);
    assert!(
        stderr.contains("cannot open") && stderr.contains("Permission denied"),
        "{stderr}"
    );
    assert_eq!(sandbox.posts(), 0);
}

#[test]
fn a_read_only_folder_is_named_and_nothing_is_sent() {
    let sandbox = one();
    let before = sandbox.read(BUFFER);
    fs::set_permissions(sandbox.data(), fs::Permissions::from_mode(0o500)).unwrap();
    let (code, stderr) = as_nobody(&sandbox, &["--flush"]);
    assert_eq!(code, 1);
    assert!(
        stderr.contains("cannot make") && stderr.contains("Permission denied"),
        "{stderr}"
    );
    assert_eq!((sandbox.posts(), sandbox.read(BUFFER)), (0, before));
}

#[test]
fn files_of_another_user_are_refused() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root can give a file away; the rule itself needs no root.
    }
    let sandbox = one();
    std::os::unix::fs::chown(sandbox.path(BUFFER), Some(12_345), None).unwrap();
    check_refused(
        &sandbox,
        "cannot open {data}/telemetry-events.jsonl: it belongs to another user (uid 12345; this is uid 0); run this as that user",
    );
}

#[test]
fn a_disk_too_full_for_the_cursor_sends_nothing() {
    let sandbox = one();
    let before = sandbox.read(BUFFER);
    let output = sandbox.flush_with_files_up_to(0);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("cannot write") && stderr.contains("File too large"),
        "{stderr}"
    );
    assert_eq!((sandbox.posts(), sandbox.read(BUFFER)), (0, before));
    sandbox.flush().stdout("sent 1 event").left("").code(0);
}

#[test]
fn a_disk_too_full_to_keep_what_must_be_kept_repeats_and_never_loses() {
    // A cursor of two slots exists already; the buffer may not grow by a single byte.
    let kept = r#"{"items": [{"index": 0, "statusCode": 402, "message": "x"}]}"#;
    let sandbox = Sandbox::scripted(&format!("{{\"status\": 429}}\n{kept}"));
    let sandbox = sandbox.line(&event("a")).line(&event("b"));
    sandbox.run(&["--attempts", "1"]).code(75);
    let filler = "\n".repeat(1024 * 1024 - sandbox.read(BUFFER).len());
    sandbox.append(filler);
    let before = sandbox.read(BUFFER);
    let output = sandbox.flush_with_files_up_to(1024);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("cannot append the lines to be kept"),
        "{stderr}"
    );
    assert_eq!(sandbox.read(BUFFER), before);
    assert!(sandbox.state("notBefore")["until"].is_string());
    let (code, stdout, _) = sandbox.flush().left("").outputs();
    assert!(
        stdout.starts_with("sent 2 events; did not wait until 20"),
        "{stdout}"
    );
    assert_eq!(code, 0);
}

#[test]
fn wrong_usage_is_claps_own_exit_code() {
    let sandbox = one();
    let line = sandbox.read(BUFFER);
    for args in [
        &["--no-such-flag"][..],
        &["nonsense"],
        &["--attempts", "many"],
    ] {
        let (code, stdout, stderr) = sandbox.run(args).left(&line).outputs();
        assert_eq!((code, stdout.as_str()), (2, ""));
        assert!(!stderr.is_empty());
    }
    let (code, _, stderr) = sandbox.run(&["--app", "../../etc"]).outputs();
    assert_eq!(code, 2);
    assert!(stderr.contains("the name of an application is"), "{stderr}");
}
