//! Who may read and write what we make: whatever the umask, and whoever runs us.

use super::{after, is_root, replaced, skipped_without_root, start_of_session, text};
use crate::kit::{BINARY, BUFFER, Sandbox, event};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The mode of everything below a folder.
pub(super) fn modes(folder: &Path) -> BTreeMap<String, (bool, u32)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mode = metadata.permissions().mode() & 0o7777;
        found.insert(path.display().to_string(), (metadata.is_dir(), mode));
        if metadata.is_dir() {
            found.extend(modes(&path));
        }
    }
    found
}

#[test]
fn whatever_the_umask_our_files_are_for_their_owner_alone() {
    for umask in ["000", "002", "022", "077", "0777"] {
        let sandbox = Sandbox::new().hasty();
        let lines = format!("umask {umask}");
        let run = |args: &[&str]| {
            let output = after(&sandbox, &lines, args);
            assert!(output.status.success(), "{umask} {args:?} {output:?}");
        };
        run(&["record", "x"]);
        let hook = format!(
            "{lines}\nprintf '%s' '{}' | \"$0\" hook --host claude",
            start_of_session()
        );
        run_shell(&sandbox, &hook);
        sandbox.wait_for_delivered(2);
        sandbox.wait_for_quiet();
        // Enough of what is rejected for a second generation.
        sandbox.append(("\u{1}".repeat(4000) + "\n").repeat(60));
        run(&["--flush"]);
        run(&["record", "x", "--spawn"]);
        sandbox.wait_for_delivered(3);
        run(&["record", "x"]);
        run(&["--detach"]);
        sandbox.wait_for_delivered(4);
        sandbox.wait_for_quiet();

        let mut found = modes(&sandbox.data());
        // The test's own.
        found.remove(&sandbox.path("config.json").display().to_string());
        for name in [
            BUFFER,
            "telemetry.json",
            "upload/consent.lock",
            "upload/detached.lock",
            "upload/rejected.jsonl",
            "upload/rejected.jsonl.1",
            "upload/sent.jsonl",
            "upload/sessions",
            "upload/state.json",
            "upload/telemetry-events.jsonl.cursor",
            "upload/upload.log",
            "upload/uploader.lock",
        ] {
            let path = sandbox.path(name).display().to_string();
            assert!(found.contains_key(&path), "{umask}: no {name} was made");
        }
        for (path, (is_folder, mode)) in found {
            let expected = if is_folder { 0o700 } else { 0o600 };
            assert_eq!(mode, expected, "umask {umask}: {path} is {mode:o}");
        }
    }
}

fn run_shell(sandbox: &Sandbox, script: &str) {
    let output = replaced(&sandbox.command(&[]), "bash")
        .args(["-c", script, BINARY])
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
}

/// A copy of this program for a user without root's powers, who owns the home.
fn for_nobody(sandbox: &Sandbox) -> Command {
    const NOBODY: u32 = 65_534;
    let binary = sandbox.home.path().join("binary");
    fs::copy(BINARY, &binary).unwrap();
    let given = Command::new("chown")
        .args(["-R", &NOBODY.to_string()])
        .arg(sandbox.home.path())
        .status();
    assert!(given.unwrap().success());
    let mut command = replaced(&sandbox.command(&[]), "bash");
    command.env("BINARY", binary).uid(NOBODY);
    command
}

#[test]
fn under_any_umask_a_user_can_use_what_was_made_before() {
    if skipped_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    let script = r#"umask 0777; "$BINARY" record a; "$BINARY" record b; "$BINARY" --flush"#;
    let output = for_nobody(&sandbox).args(["-c", script]).output().unwrap();
    assert_eq!(text(&output.stdout), "sent 2 events\n", "{output:?}");
    assert_eq!(sandbox.delivered().len(), 2);
}

#[test]
fn a_no_takes_the_place_of_a_file_that_may_not_be_written() {
    if skipped_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    let path = sandbox.path("telemetry.json");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    let script = r#""$BINARY" enable; "$BINARY" disable"#;
    let output = for_nobody(&sandbox).args(["-c", script]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert_eq!(said["enabled"], false);
}

#[test]
fn where_no_thread_can_be_started_events_are_recorded_and_sent_later() {
    if skipped_without_root() {
        return; // No limit on processes holds for root, and any other user has more of them already.
    }
    let sandbox = Sandbox::new();
    let script = r#"ulimit -u 0; exec "$BINARY" "$@""#;
    let run = |args: &[&str]| {
        let mut shell = for_nobody(&sandbox);
        let output = shell.args(["-c", script, "-"]).args(args).output().unwrap();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    assert_eq!(
        run(&["record", "a"]),
        (Some(0), String::new(), String::new())
    );
    assert_eq!(
        run(&["record", "b", "--spawn"]),
        (Some(0), String::new(), String::new())
    );
    assert_eq!(run(&["--detach"]), (Some(0), String::new(), String::new()));
    let (code, stdout, stderr) = run(&["--flush"]);
    assert_eq!((code, stderr.as_str()), (Some(75), ""));
    assert!(
        stdout.starts_with("sent 0 events: cannot start the watchdog: "),
        "{stdout}"
    );
    let script = "exec \"$BINARY\" --flush";
    let output = for_nobody(&sandbox).args(["-c", script]).output().unwrap();
    assert_eq!(text(&output.stdout), "sent 2 events\n", "{output:?}");
    assert_eq!(sandbox.delivered().len(), 2);
}

#[test]
fn new_settings_of_an_agent_can_be_read_as_the_umask_says_and_written_by_their_owner_alone() {
    for (umask, file, folder) in [
        ("000", 0o644, 0o755),
        ("002", 0o644, 0o755),
        ("022", 0o644, 0o755),
        ("027", 0o640, 0o750),
        ("077", 0o600, 0o700),
        ("0777", 0o600, 0o700),
    ] {
        let sandbox = Sandbox::new();
        let lines = format!("umask {umask}");
        for args in [
            "--host claude",
            "--host opencode",
            "--host claude --scope project",
        ] {
            let args: Vec<&str> = ["hooks", "install"]
                .into_iter()
                .chain(args.split(' '))
                .collect();
            fs::create_dir_all(sandbox.home.path().join("project")).unwrap();
            let lines = if args.contains(&"project") {
                format!("{lines}; cd project")
            } else {
                lines.clone()
            };
            assert!(after(&sandbox, &lines, &args).status.success(), "{args:?}");
        }
        for name in [".claude", ".config/opencode", "project/.claude"] {
            let path = sandbox.home.path().join(name);
            let found = fs::metadata(&path).unwrap().mode() & 0o777;
            assert_eq!(found, folder, "umask {umask}: {name}");
            for (path, (is_folder, mode)) in modes(&path) {
                let expected = if is_folder { folder } else { file };
                assert_eq!(mode, expected, "umask {umask}: {path} is {mode:o}");
            }
        }
    }
}

#[test]
fn settings_and_their_backup_keep_the_mode_of_the_settings() {
    for mode in [0o600, 0o640, 0o644] {
        let sandbox = Sandbox::new();
        let folder = sandbox.home.path().join(".claude");
        let settings = folder.join("settings.json");
        fs::create_dir(&folder).unwrap();
        fs::write(&settings, "{}").unwrap();
        fs::set_permissions(&settings, PermissionsExt::from_mode(mode)).unwrap();
        let install = ["hooks", "install", "--host", "claude"];
        assert!(after(&sandbox, "umask 000", &install).status.success());
        let found = modes(&folder);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found.values().all(|found| *found == (false, mode)),
            "{found:?}"
        );
    }
}

#[test]
fn what_the_emulator_keeps_is_for_its_owner_alone() {
    let sandbox = Sandbox::new();
    let store = sandbox.home.path().join("store.jsonl");
    let script = "umask 000; exec \"$0\" emulator --port 0 --store \"$1\"";
    let mut emulator = replaced(&sandbox.command(&[]), "bash")
        .args(["-c", script, BINARY])
        .arg(&store)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(emulator.stdout.take().unwrap()),
        &mut line,
    )
    .unwrap();
    assert!(line.starts_with("listening on http://127.0.0.1:"), "{line}");
    assert_eq!(fs::metadata(&store).unwrap().mode() & 0o777, 0o600);
    emulator.kill().unwrap();
    emulator.wait().unwrap();
}

#[test]
fn the_demo_works_in_a_folder_that_only_its_owner_may_enter() {
    let sandbox = Sandbox::new();
    let temporary = sandbox.home.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    let sandbox = sandbox.env("TMPDIR", &temporary.display().to_string());
    // A pipe that is full stops the demo at its first word, when its folder is there.
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
    let mut filled = 0;
    while let Ok(written) = std::io::Write::write(&mut writer, b"x") {
        filled += written;
    }
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::empty()).unwrap();
    let mut demo = replaced(&sandbox.command(&[]), "bash")
        .args(["-c", "umask 000; exec \"$0\" demo", BINARY])
        .stdout(writer)
        .spawn()
        .unwrap();
    while modes(&temporary).is_empty() {
        assert!(demo.try_wait().unwrap().is_none(), "the demo ended");
        std::thread::yield_now();
    }
    for (path, (is_folder, mode)) in modes(&temporary) {
        let expected = if is_folder { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{path} is {mode:o}");
    }
    let mut said = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut said).unwrap();
    assert!(said.len() > filled);
    assert!(demo.wait().unwrap().success());
    assert!(modes(&temporary).is_empty());
}

#[test]
fn files_by_which_a_person_decides_are_not_believed_if_everybody_may_write_them() {
    let sandbox = Sandbox::new().line(&event("a"));
    sandbox.write("config.json", "{}");
    let open = |name: &str, mode| {
        fs::set_permissions(sandbox.path(name), PermissionsExt::from_mode(mode)).unwrap();
    };
    let before = sandbox.read(BUFFER);
    let words = "everybody may write it; take that away with chmod o-w";
    open("config.json", 0o666);
    sandbox
        .run(&["--flush"])
        .stderr(&format!("cannot read {{data}}/config.json: {words}"))
        .left(&before)
        .posts(0)
        .code(78);
    open("config.json", 0o664);
    open("telemetry.json", 0o646);
    sandbox
        .run(&["--flush"])
        .stdout(&format!("telemetry is off: telemetry.json cannot be read, which means off: {words}; nothing was sent"))
        .left(&before)
        .posts(0)
        .code(0);
    open("telemetry.json", 0o664);
    sandbox.flush().stdout("sent 1 event").left("").code(0);
    if is_root() {
        chown(sandbox.path("config.json"), Some(12_345), None).unwrap();
        let words = "it belongs to another user (uid 12345; this is uid 0); run this as that user";
        sandbox
            .run(&["--flush"])
            .stderr(&format!("cannot read {{data}}/config.json: {words}"))
            .code(78);
    }
}
