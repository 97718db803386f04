//! What `hooks/` holds, run as hosts run it: every shell that is here, and a binary that misbehaves.

use crate::tools::{Shell, feed, file, find, shells, silent};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// A folder where nothing of this machine is found: the wrapper's absolute folders lie in it, too.
struct Corner {
    root: tempfile::TempDir,
    env: BTreeMap<&'static str, PathBuf>,
}

impl Corner {
    fn new() -> Corner {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let env = BTreeMap::from([("HOME", at("my home")), ("PATH", at("some path"))]);
        Corner { root, env }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Puts the stand-in here, as a link: a file written by a test that starts processes in other
    /// threads may still be open for writing in one of them, and cannot be executed then.
    fn fake(&self, name: &str) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(file("tests/fake/telemetry-upload"), &path).unwrap();
        path
    }

    fn file(&self, name: &str, content: &[u8], mode: u32) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// A script of ours that looks into this corner for what it expects in absolute folders.
    fn script(&self, name: &str) -> PathBuf {
        let mut text = fs::read_to_string(file(name)).unwrap();
        for folder in ["/opt/homebrew/bin", "/usr/local/bin"] {
            assert_eq!(text.matches(folder).count(), 1, "{name} {folder}");
            let here = format!("{}{folder}", self.root.path().display());
            text = text.replace(folder, &here);
        }
        self.file(&format!("a plugin/{name}"), text.as_bytes(), 0o644)
    }

    fn run(&self, program: &Path, args: &[&Path], stdin: &[u8]) -> Output {
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(&self.env);
        feed(command.current_dir(self.root.path()), stdin)
    }

    fn hook(&self, shell: &Shell, host: &str, stdin: &[u8]) -> Output {
        let script = self.script("hooks/telemetry-hook.sh");
        let mut args: Vec<&Path> = shell[1..].iter().map(PathBuf::as_path).collect();
        args.push(&script);
        args.push(Path::new(host));
        self.run(&shell[0], &args, stdin)
    }
}

/// What the stand-in at this place was given, run by run.
fn given(fake: &Path) -> Vec<Vec<u8>> {
    let Ok(runs) = fs::read_dir(format!("{}.ran", fake.display())) else {
        return Vec::new();
    };
    runs.map(|run| run.unwrap().path())
        .filter(|path| {
            !path
                .file_name()
                .unwrap()
                .as_encoded_bytes()
                .starts_with(b".")
        })
        .map(|path| fs::read(path).unwrap())
        .collect()
}

#[test]
fn the_wrapper_finds_the_binary_in_each_place_and_passes_every_byte() {
    // More than a pipe holds, and every byte there is.
    let payload: Vec<u8> = (0..=255).cycle().take(150_000).collect();
    for shell in shells() {
        for place in [
            "my own/build",
            "some path/telemetry-upload",
            "my home/.local/bin/telemetry-upload",
            "my home/.cargo/bin/telemetry-upload",
            "opt/homebrew/bin/telemetry-upload",
            "usr/local/bin/telemetry-upload",
        ] {
            let mut corner = Corner::new();
            let fake = corner.fake(place);
            if place == "my own/build" {
                corner.env.insert("TELEMETRY_UPLOAD_BIN", fake.clone());
                corner.fake("some path/telemetry-upload");
            }
            let output = corner.hook(&shell, "copilot", &payload);
            silent(&output, &format!("{shell:?} {place}"));
            let expected = [b"hook --host copilot\n", &payload[..]].concat();
            assert!(given(&fake) == [expected], "{shell:?} {place}");
        }
    }
}

#[test]
fn the_wrapper_asks_for_the_host_to_be_found_out_unless_it_is_named() {
    let corner = Corner::new();
    let fake = corner.fake("some path/telemetry-upload");
    let script = corner.script("hooks/telemetry-hook.sh");
    silent(&corner.run(Path::new("/bin/sh"), &[&script], b"{}"), "");
    assert_eq!(given(&fake), [b"hook --host auto\n{}"]);
}

#[test]
fn without_a_working_binary_the_wrapper_is_silent_and_succeeds() {
    type Break = fn(&mut Corner);
    let cases: [(&str, Break); 8] = [
        ("nothing there", |_| {}),
        ("no HOME", |corner| {
            corner.env.remove("HOME");
        }),
        ("no PATH", |corner| {
            corner.env.insert("PATH", PathBuf::new());
        }),
        ("a variable that names nothing", |corner| {
            corner.env.insert("TELEMETRY_UPLOAD_BIN", "/no/such".into());
        }),
        ("not executable", |corner| {
            corner.file("some path/telemetry-upload", b"#!/bin/sh\necho x", 0o644);
        }),
        ("a folder of that name", |corner| {
            fs::create_dir_all(corner.at("some path/telemetry-upload")).unwrap();
        }),
        ("an interpreter that is not there", |corner| {
            corner.file("some path/telemetry-upload", b"#!/no/such\n", 0o755);
        }),
        ("not a program of this machine", |corner| {
            corner.file(
                "some path/telemetry-upload",
                b"\x7fELF\x02\x01\xff\0",
                0o755,
            );
        }),
    ];
    for shell in shells() {
        for (story, case) in cases {
            let mut corner = Corner::new();
            case(&mut corner);
            let output = corner.hook(&shell, "auto", b"{}");
            silent(&output, &format!("{shell:?}: {story}"));
        }
    }
}

#[test]
fn what_cannot_be_executed_does_not_hide_what_can() {
    for shell in shells() {
        let mut corner = Corner::new();
        corner.file("some path/telemetry-upload", b"", 0o644);
        corner
            .env
            .insert("TELEMETRY_UPLOAD_BIN", corner.at("some path"));
        let fake = corner.fake("my home/.cargo/bin/telemetry-upload");
        silent(&corner.hook(&shell, "auto", b"{}"), &format!("{shell:?}"));
        assert_eq!(given(&fake), [b"hook --host auto\n{}"], "{shell:?}");
    }
}

#[test]
fn the_plugin_s_commands_work_in_a_folder_with_a_space_and_in_none() {
    let hooks: Value =
        serde_json::from_slice(&fs::read(file("hooks/hooks.json")).unwrap()).unwrap();
    let events = hooks["hooks"].as_object().unwrap();
    let names: Vec<_> = events.keys().collect();
    assert_eq!(
        names,
        [
            "SessionStart",
            "UserPromptExpansion",
            "UserPromptSubmit",
            "SessionEnd"
        ]
    );
    for (event, groups) in events {
        let hook = &groups[0]["hooks"][0];
        assert_eq!(
            (hook["type"].as_str(), hook["timeout"].as_i64()),
            (Some("command"), Some(5))
        );
        let command = Path::new(hook["command"].as_str().unwrap());
        let run =
            |corner: &Corner| corner.run(Path::new("/bin/sh"), &[Path::new("-c"), command], b"{}");
        let mut corner = Corner::new();
        corner.env.insert("PATH", "/usr/bin:/bin".into());
        let fake = corner.fake("my own/build");
        corner.env.insert("TELEMETRY_UPLOAD_BIN", fake.clone());
        // The plugin was removed while its host is running.
        corner
            .env
            .insert("CLAUDE_PLUGIN_ROOT", corner.at("a plugin"));
        silent(&run(&corner), event);
        corner.script("hooks/telemetry-hook.sh");
        silent(&run(&corner), event);
        assert_eq!(given(&fake), [b"hook --host auto\n{}"], "{event}");
    }
}

#[test]
fn the_plugin_has_this_version_and_is_in_its_own_marketplace() {
    let read = |name| serde_json::from_slice::<Value>(&fs::read(file(name)).unwrap()).unwrap();
    let plugin = read(".claude-plugin/plugin.json");
    assert_eq!(plugin["version"], env!("CARGO_PKG_VERSION"));
    let market = read(".claude-plugin/marketplace.json");
    assert_eq!(market["plugins"][0]["name"], plugin["name"]);
    assert_eq!(market["plugins"][0]["source"], "./");
}

#[test]
fn a_commit_is_recorded_and_neither_delayed_nor_failed() {
    let Some(git) = find("git") else { return };
    let mut corner = Corner::new();
    corner.env.insert("PATH", "/usr/bin:/bin".into());
    let fake = corner.fake("my home/.local/bin/telemetry-upload");
    let hook = corner.script("hooks/git/post-commit");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let run = |args: &[&str]| {
        let args: Vec<_> = args.iter().map(Path::new).collect();
        silent(&corner.run(&git, &args, b""), &format!("{args:?}"));
    };
    run(&["init", "--quiet", "."]);
    let identity = ["-c", "user.name=a", "-c", "user.email=a@b"];
    let hooks = format!("core.hooksPath={}", hook.parent().unwrap().display());
    let commit = [
        "-c",
        &hooks,
        "commit",
        "--quiet",
        "--allow-empty",
        "-m",
        "x",
    ];
    run(&[&identity[..], &commit[..]].concat());
    let expected = b"record git_commit --prop source=git_hook --spawn\n";
    assert_eq!(given(&fake), [expected]);
}

/// Two copies of the plugin, given what OpenCode gives them: each its own copy of an event.
const OPENCODE: &str = r#"
const copies = []
for (const file of process.argv.slice(2)) copies.push(await (await import(file)).TelemetryUpload({}))
const created = (info) => ({ event: { type: "session.created", properties: { info } } })
for (const hooks of copies) {
  await hooks.event(created({ id: "ses_1" }))
  await hooks.event(created({ id: "ses_2", parentID: "ses_1" }))
  await hooks.event({ event: { type: "session.idle", properties: { sessionID: "ses_1" } } })
  await hooks.event({})
  await hooks["command.execute.before"]({ command: "commit", sessionID: "ses_1", arguments: "SECRET" }, {})
  await hooks["command.execute.before"](undefined, {})
}
for (const hooks of copies) await hooks.dispose()
// With nothing under way there is nothing to wait for.
const begun = Date.now()
await copies[0].dispose()
process.exit(Date.now() - begun < 400 ? 0 : 1)
"#;

/// The plugin as something that runs, twice, and the command to run it with.
fn opencode_plugin(corner: &Corner) -> Option<(Vec<PathBuf>, Vec<PathBuf>)> {
    let source = file("hooks/opencode/telemetry-upload.ts");
    let copies = |ending: &str, text: &[u8]| {
        let copy =
            |folder| corner.file(&format!("{folder}/telemetry-upload.{ending}"), text, 0o600);
        vec![copy("global"), copy("project")]
    };
    let text = fs::read(&source).unwrap();
    let node = find("node")?;
    let flag = "--experimental-strip-types"; // From Node 22.6 on.
    let knows = Command::new(&node)
        .args([flag, "-e", "0"])
        .output()
        .unwrap();
    if knows.status.success() {
        let quiet = "--disable-warning=ExperimentalWarning".into();
        return Some((vec![node, flag.into(), quiet], copies("ts", &text)));
    }
    let strip = Command::new(find("esbuild")?)
        .arg(&source)
        .output()
        .unwrap();
    assert!(strip.status.success(), "{strip:?}");
    Some((vec![node], copies("mjs", &strip.stdout)))
}

fn run_opencode(corner: &Corner) -> bool {
    let Some((runtime, copies)) = opencode_plugin(corner) else {
        return false;
    };
    let harness = corner.file("harness.mjs", OPENCODE.as_bytes(), 0o600);
    let args: Vec<&Path> = runtime[1..]
        .iter()
        .chain([&harness])
        .chain(&copies)
        .map(PathBuf::as_path)
        .collect();
    silent(&corner.run(&runtime[0], &args, b""), "the plugin");
    true
}

#[test]
fn the_opencode_plugin_counts_once_what_two_copies_of_it_see() {
    let corner = Corner::new();
    let fake = corner.fake("my home/.local/bin/telemetry-upload");
    fs::create_dir_all(corner.at("my home")).unwrap();
    if !run_opencode(&corner) {
        return;
    }
    // The host has left already; what it handed over is still being read.
    let begun = Instant::now();
    while given(&fake).len() < 3 && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut seen: Vec<Value> = Vec::new();
    for given in given(&fake) {
        let text = String::from_utf8(given).unwrap();
        let (args, payload) = text.split_once('\n').unwrap();
        assert_eq!(args, "hook --host opencode");
        let mut payload: Value = serde_json::from_str(payload).unwrap();
        if let Some(turn) = payload.as_object_mut().unwrap().remove("turn_id") {
            assert_eq!(turn.as_str().unwrap().len(), 36);
        }
        seen.push(payload);
    }
    seen.sort_by_key(ToString::to_string);
    assert_eq!(
        seen,
        [
            json!({"hook_event_name": "command.execute.before", "session_id": "ses_1", "command_name": "commit"}),
            json!({"hook_event_name": "dispose", "session_id": "ses_1"}),
            json!({"hook_event_name": "session.created", "session_id": "ses_1"}),
        ]
    );
}

#[test]
fn without_a_working_binary_the_opencode_plugin_is_silent() {
    let mut corner = Corner::new();
    fs::create_dir_all(corner.at("my home")).unwrap();
    run_opencode(&corner);
    // This one passes for executable and cannot be executed: the runtime tells by an event.
    let broken = corner.file("broken", b"#!/no/such\n", 0o755);
    corner.env.insert("TELEMETRY_UPLOAD_BIN", broken);
    run_opencode(&corner);
}
