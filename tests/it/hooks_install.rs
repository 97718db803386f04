//! `telemetry-upload hooks`: what it adds, what it leaves alone, and that it can be undone.
//!
//! `tests/settings` holds settings of Claude Code before and after, byte for byte; `hooks_anywhere.rs` does
//! the same with any settings.

use crate::kit::BINARY;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use telemetry_upload::host_settings::{self, BYTES_MAX, HostFile, Keep, Plan};
use telemetry_upload::hosts::Host;

/// A home folder with a project in it, and nothing else.
pub struct Home {
    folder: tempfile::TempDir,
    env: BTreeMap<String, String>,
}

impl Home {
    pub fn new() -> Home {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("project")).unwrap();
        let home = folder.path().display().to_string();
        let binaries = Path::new(BINARY).parent().unwrap().display().to_string();
        let env = [("HOME", home), ("PATH", binaries)];
        Home {
            folder,
            env: env.map(|(name, value)| (name.to_owned(), value)).into(),
        }
    }

    fn env(mut self, name: &str, value: &str) -> Home {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Claude's settings with this content.
    pub fn settings(&self, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(".claude/settings.json");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn command(&self, args: &str) -> Command {
        let mut command = Command::new(BINARY);
        command
            .arg("hooks")
            .args(args.split(' '))
            .env_clear()
            .envs(&self.env)
            .current_dir(self.path("project"))
            .stdin(Stdio::null());
        command
    }

    /// Runs `telemetry-upload hooks` with these words.
    pub fn run(&self, args: &str) -> Ran {
        Ran::of(&self.command(args).output().unwrap(), args)
    }

    /// Every file and link below the home with its mode and content, but for the backups.
    pub fn files(&self) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut files = BTreeMap::new();
        collect(self.folder.path(), self.folder.path(), &mut files);
        files
    }
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, (u32, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        if metadata.is_dir() {
            collect(root, &path, files);
        } else if metadata.is_symlink() {
            let target = fs::read_link(&path).unwrap().display().to_string();
            files.insert(name, (0, target.into_bytes()));
        } else {
            let content = if metadata.is_file() {
                fs::read(&path).unwrap()
            } else {
                b"special".to_vec()
            };
            files.insert(name, (metadata.permissions().mode() & 0o7777, content));
        }
    }
}

/// A run that has ended.
pub struct Ran {
    args: String,
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn of(output: &Output, args: &str) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran {
            args: args.to_owned(),
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// It went well, and said this and nothing on standard error.
    #[track_caller]
    pub fn said(self, words: &str) -> String {
        let (code, stdout, stderr) = (self.code, self.stdout, self.stderr);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{}", self.args);
        assert!(stdout.contains(words), "{}: {words}\n{stdout}", self.args);
        stdout
    }

    /// It went well, and said exactly this.
    #[track_caller]
    fn said_only(self, words: &str) {
        assert_eq!(self.said(""), format!("{words}\n"));
    }

    /// It could not, for this reason, and printed what to do by hand.
    #[track_caller]
    fn refused(self, why: &str) -> String {
        assert_eq!(self.code, Some(1), "{}\n{}", self.stdout, self.stderr);
        assert!(
            self.stderr.starts_with("telemetry-upload: cannot ") && self.stderr.contains(why),
            "{why}\n{}",
            self.stderr
        );
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        self.stdout
    }
}

pub const CLAUDE: &str = "install --host claude";

fn golden() -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/settings");
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "before"))
        .map(|before| {
            let name = before.file_stem().unwrap().to_string_lossy().into_owned();
            let after = fs::read(before.with_extension("after")).unwrap();
            (name, fs::read(&before).unwrap(), after)
        })
        .collect();
    found.sort();
    assert!(found.len() >= 24, "the files are there");
    found
}

#[test]
fn hooks_are_added_as_the_file_is_written_and_the_file_comes_back_to_the_byte() {
    for (name, before, after) in golden() {
        let home = Home::new();
        let path = home.settings(&before);
        fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let files = home.files();
        let said = home.run(CLAUDE).said("put the hooks into ");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(text(&fs::read(&path).unwrap()), text(&after), "{name}");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&path), 0o640, "{name}");
        let backup = PathBuf::from(said.rsplit_once(": ").unwrap().1.trim_end());
        assert_eq!(fs::read(&backup).unwrap(), before, "{name}");
        assert_eq!(mode(&backup), 0o640, "{name}");
        assert!(backup.extension().is_some_and(|end| end == "bak"), "{name}");

        let installed = home.files();
        home.run(CLAUDE).said("already there: ");
        assert_eq!(home.files(), installed, "{name}: twice is once");

        // Our own entries from before do not come back.
        if name != "partly" {
            home.run("uninstall --host claude")
                .said("put back as it was before: ");
            assert_eq!(home.files(), files, "{name}");
        }
    }
}

#[test]
fn without_the_backup_exactly_our_entries_go() {
    // Where a list or an object was empty before, it is gone: nobody knows any more that it was there.
    let differs = ["comma-first", "hooks-empty", "odd-blanks", "partly"];
    let alone: Value = serde_json::from_str(&Host::Claude.snippet("atomic")).unwrap();
    for (name, before, after) in golden() {
        let home = Home::new();
        let path = home.settings(&after);
        home.run("uninstall --host claude")
            .said(&path.display().to_string());
        let after: Option<Value> = serde_json::from_slice(&after).ok();
        if after.is_some_and(|after| after == alone) {
            assert!(!path.exists(), "{name}: it held nothing else");
        } else {
            let left = fs::read(&path).unwrap();
            assert_eq!(left == before, !differs.contains(&name.as_str()), "{name}");
            let text = String::from_utf8(left).unwrap();
            assert!(!text.contains("--host claude >/dev/null"), "{name}");
            home.run("uninstall --host claude")
                .said("nothing to take out of ");
        }
    }
}

#[test]
fn what_is_not_understood_is_not_touched() {
    let deep = "[".repeat(200) + &"]".repeat(200);
    let large = format!(
        "{{\"a\": \"{}\"}}",
        "x".repeat(usize::try_from(BYTES_MAX).unwrap())
    );
    let cases: &[(&[u8], &str)] = &[
        (b"", "not strict JSON"),
        (b" \n", "not strict JSON"),
        (b"{\n  // mine\n  \"a\": 1\n}\n", "not strict JSON"),
        (b"{/**/}", "not strict JSON"),
        (b"{\"a\": 1,}\n", "trailing comma at line 1 column 9"),
        (b"{'a': 1}", "not strict JSON"),
        (b"{\"a\": 1", "not strict JSON"),
        (b"{\"a\": 1} {}", "not strict JSON"),
        (b"{\"a\": NaN}", "not strict JSON"),
        (b"{\"a\": 1e999}", "not strict JSON"),
        (b"{\"a\": \"\\ud800\"}", "not strict JSON"),
        (b"{\"a\": \"\x01\"}", "not strict JSON"),
        (b"[]\n", "it is not a JSON object"),
        (b"null", "it is not a JSON object"),
        (b"{\"hooks\": null}", "\"hooks\" is not an object"),
        (b"{\"hooks\": [{}]}", "\"hooks\" is not an object"),
        (
            b"{\"hooks\": {\"SessionEnd\": {}}}",
            "hooks for SessionEnd are not a list",
        ),
        (
            b"{\"hooks\": {\"SessionStart\": \"x\"}}",
            "hooks for SessionStart",
        ),
        (
            b"{\"hooks\": {\"SessionStart\": [\"x\"]}}",
            "hooks for SessionStart",
        ),
        (
            b"{\"hooks\": {\"SessionStart\": [{\"hooks\": {}}]}}",
            "hooks for SessionStart",
        ),
        (
            b"{\"hooks\": {}, \"\\u0068ooks\": {}}",
            "two members of the name \"hooks\"",
        ),
        (
            b"{\"a\": [{\"b\": 1, \"b\": 1}]}",
            "two members of the name \"b\"",
        ),
        (b"{\"a\": \"\xff\"}", "it is not UTF-8"),
        (b"\xff\xfe{\0}\0", "it is not UTF-8"),
        (deep.as_bytes(), "recursion limit"),
        (large.as_bytes(), "larger than 4 MB"),
    ];
    for (content, why) in cases {
        let home = Home::new();
        let path = home.settings(content);
        let files = home.files();
        for args in [CLAUDE, "install --host claude --dry-run"] {
            let printed = home.run(args).refused(why);
            let (head, snippet) = printed.split_once('\n').unwrap();
            assert_eq!(head, format!("Add this to {}:", path.display()));
            assert_eq!(snippet, Host::Claude.snippet("atomic"));
        }
        let status = home
            .run("status --host claude --scope user")
            .said("cannot be read");
        assert!(status.contains(why), "{why}\n{status}");
        let uninstalled = home.run("uninstall --host claude");
        assert!(uninstalled.code == Some(1) || uninstalled.stdout.starts_with("nothing"));
        assert_eq!(home.files(), files, "{why}");
    }
}

#[test]
fn a_file_that_is_not_the_persons_own_to_write_is_not_touched() {
    type Make = fn(&Path);
    let make: [(&str, Make); 6] = [
        ("it is read-only", |path| {
            fs::write(path, "{}").unwrap();
            fs::set_permissions(path, PermissionsExt::from_mode(0o464)).unwrap();
        }),
        ("it has more than one hard link", |path| {
            fs::write(path, "{}").unwrap();
            fs::hard_link(path, path.with_extension("other")).unwrap();
        }),
        ("it is a symbolic link that cannot be followed", |path| {
            symlink("nowhere", path).unwrap();
        }),
        ("it is a symbolic link that cannot be followed", |path| {
            symlink("settings.json", path).unwrap();
        }),
        ("it is not a regular file", |path| {
            fs::create_dir(path).unwrap();
        }),
        ("it is not a regular file", |path| {
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        }),
    ];
    for (why, make) in make {
        let home = Home::new();
        let path = home.path(".claude/settings.json");
        fs::create_dir(path.parent().unwrap()).unwrap();
        make(&path);
        let files = home.files();
        home.run(CLAUDE).refused(why);
        home.run("uninstall --host claude").refused(why);
        assert_eq!(home.files(), files, "{why}");
    }
}

#[test]
fn a_file_of_someone_else_is_not_touched() {
    let home = Home::new();
    let path = home.settings("{}");
    // Only root can make such a file; elsewhere there is nothing to test.
    if std::os::unix::fs::chown(&path, Some(1234), None).is_ok() {
        home.run(CLAUDE)
            .refused("it belongs to another user (uid 1234");
        assert_eq!(fs::read(&path).unwrap(), b"{}");
    }
}

#[test]
fn a_link_stays_a_link_and_the_file_behind_it_is_changed_and_restored() {
    let home = Home::new();
    fs::create_dir_all(home.path("dotfiles")).unwrap();
    fs::create_dir_all(home.path(".claude")).unwrap();
    fs::write(home.path("dotfiles/claude.json"), "{}\n").unwrap();
    symlink(
        "../dotfiles/claude.json",
        home.path(".claude/settings.json"),
    )
    .unwrap();
    let files = home.files();
    let said = home.run(CLAUDE).said("put the hooks into ");
    assert!(said.contains("/dotfiles/claude.json."), "{said}");
    assert!(
        fs::symlink_metadata(home.path(".claude/settings.json"))
            .unwrap()
            .is_symlink()
    );
    let text = fs::read_to_string(home.path("dotfiles/claude.json")).unwrap();
    assert!(text.contains("UserPromptExpansion"));
    home.run("uninstall --host claude")
        .said("put back as it was before");
    assert_eq!(home.files(), files);
}

#[test]
fn every_host_and_scope_is_installed_found_and_removed_again() {
    let places = [
        (
            "claude",
            ".claude/settings.json",
            "project/.claude/settings.json",
        ),
        (
            "copilot",
            ".copilot/hooks/telemetry-upload.json",
            "project/.github/hooks/telemetry-upload.json",
        ),
        ("codex", ".codex/hooks.json", "project/.codex/hooks.json"),
        (
            "opencode",
            ".config/opencode/plugins/telemetry-upload.ts",
            "project/.opencode/plugins/telemetry-upload.ts",
        ),
        (
            "gemini",
            ".gemini/settings.json",
            "project/.gemini/settings.json",
        ),
        ("cursor", ".cursor/hooks.json", "project/.cursor/hooks.json"),
    ];
    assert_eq!(places.map(|place| place.0), Host::ALL.map(Host::name));
    for (host, user, project) in places {
        for (scope, file) in [("user", user), ("project", project)] {
            let home = Home::new();
            let path = home.path(file);
            let place = format!("--host {host} --scope {scope}");
            let snippet = Host::from_name(host).unwrap().snippet("atomic");
            home.run(&format!("status {place}")).said(" not installed ");
            let printed = home
                .run(&format!("print {place}"))
                .said(&path.display().to_string());
            assert!(printed.ends_with(&snippet), "{printed}");
            let shown = home
                .run(&format!("install {place} --dry-run"))
                .said("would make ");
            assert_eq!(
                shown.lines().count(),
                snippet.lines().count() + 1,
                "{shown}"
            );
            assert!(home.files().is_empty(), "{place}");
            home.run(&format!("install {place}"))
                .said("put the hooks into ");
            assert_eq!(fs::read_to_string(&path).unwrap(), snippet, "{place}");
            assert_eq!(home.files().len(), 1, "{place}");
            home.run(&format!("install {place}"))
                .said_only(&format!("already there: {}", path.display()));
            home.run(&format!("status {place}")).said(" installed ");
            home.run(&format!("uninstall {place} --dry-run"))
                .said("would remove ");
            assert_eq!(home.files().len(), 1, "{place}");
            home.run(&format!("uninstall {place}"))
                .said_only(&format!("removed {}", path.display()));
            assert!(home.files().is_empty(), "{place}");
            home.run(&format!("uninstall {place}"))
                .said("nothing to take out of ");
        }
    }
}

#[test]
fn a_host_whose_folder_was_moved_is_found_there() {
    for (host, variable, file) in [
        ("claude", "CLAUDE_CONFIG_DIR", "settings.json"),
        ("copilot", "COPILOT_HOME", "hooks/telemetry-upload.json"),
        ("codex", "CODEX_HOME", "hooks.json"),
        (
            "opencode",
            "XDG_CONFIG_HOME",
            "opencode/plugins/telemetry-upload.ts",
        ),
        ("gemini", "GEMINI_CLI_HOME", ".gemini/settings.json"),
    ] {
        let home = Home::new();
        let moved = home.path("moved");
        let home = home.env(variable, &moved.display().to_string());
        home.run(&format!("install --host {host}"))
            .said(&moved.display().to_string());
        assert!(moved.join(file).is_file(), "{host}");
        let home = home.env(variable, "");
        home.run(&format!("status --host {host} --scope user"))
            .said(" not installed ");
        let home = home.env(variable, "relative");
        let ran = home.run(&format!("install --host {host}"));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
        assert!(ran.stderr.contains(variable) && ran.stderr.contains("not an absolute path"));
    }
}

#[test]
fn codex_asks_for_trust_and_that_is_said() {
    Home::new()
        .run("install --host codex")
        .said("once you have trusted them");
}

#[test]
fn two_applications_live_beside_each_other() {
    for host in Host::ALL.map(Host::name) {
        let home = Home::new();
        let of = |verb: &str, app: &str| home.run(&format!("{verb} --host {host} --app {app}"));
        of("install", "atomic").said("put the hooks into ");
        let alone = home.files();
        of("status", "mytool").said(" not installed ");
        of("uninstall", "mytool").said("nothing to take out of ");
        of("install", "mytool").said("put the hooks into ");
        for app in ["atomic", "mytool"] {
            of("status", app).said(" installed ");
            of("install", app).said("already there: ");
        }
        // In this order no backup is the file without the first application.
        of("uninstall", "atomic").said("");
        of("status", "atomic").said(" not installed ");
        of("status", "mytool").said(" installed ");
        of("install", "atomic").said("put the hooks into ");
        of("uninstall", "mytool").said("");
        for (name, file) in alone {
            let now = fs::read(home.path(&name)).unwrap();
            assert_eq!(String::from_utf8(now), String::from_utf8(file.1), "{host}");
        }
        of("uninstall", "atomic").said("removed ");
    }
}

#[test]
fn the_application_may_come_from_the_environment() {
    let home = Home::new().env("TELEMETRY_UPLOAD_APP", "mytool");
    home.run("install --host copilot")
        .said("telemetry-upload-mytool.json");
    let text =
        fs::read_to_string(home.path(".copilot/hooks/telemetry-upload-mytool.json")).unwrap();
    assert_eq!(text.matches("--host copilot --app mytool").count(), 6);
}

#[test]
fn ours_twice_is_there_and_goes_whole() {
    let home = Home::new();
    let mut twice: Value = serde_json::from_str(&Host::Claude.snippet("atomic")).unwrap();
    let entry = twice["hooks"]["SessionEnd"][0].clone();
    twice["hooks"]["SessionEnd"]
        .as_array_mut()
        .unwrap()
        .extend([json!({"hooks": []}), entry]);
    let path = home.settings(twice.to_string());
    home.run(CLAUDE).said("already there: ");
    home.run("uninstall --host claude")
        .said("took the hooks out of ");
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        r#"{"hooks":{"SessionEnd":[{"hooks":[]}]}}"#
    );
}

#[test]
fn a_missing_event_is_named_and_added_alone() {
    let home = Home::new();
    home.run(CLAUDE).said("");
    let path = home.path(".claude/settings.json");
    let mut settings: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let removed = settings["hooks"]
        .as_object_mut()
        .unwrap()
        .shift_remove("SessionStart");
    fs::write(&path, serde_json::to_string_pretty(&settings).unwrap()).unwrap();
    home.run("status --host claude")
        .said("(missing: SessionStart)");
    home.run(CLAUDE).said("put the hooks into ");
    settings["hooks"]["SessionStart"] = removed.unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        serde_json::to_string_pretty(&settings).unwrap()
    );
}

#[test]
fn what_was_changed_after_the_installation_stays() {
    let home = Home::new();
    let path = home.settings("{\n  \"model\": \"opus\"\n}\n");
    home.run(CLAUDE).said("");
    let changed = fs::read_to_string(&path).unwrap().replace("opus", "sonnet");
    fs::write(&path, changed).unwrap();
    home.run("uninstall --host claude")
        .said("took the hooks out of ");
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "{\n  \"model\": \"sonnet\"\n}\n"
    );
}

#[test]
fn a_dry_run_shows_the_lines_and_changes_nothing() {
    let home = Home::new();
    home.settings("{\n  \"a\": 1,\n  \"b\": 2,\n  \"hooks\": {\n    \"Stop\": []\n  }\n}\n");
    let files = home.files();
    let shown = home
        .run("install --host claude --dry-run")
        .said("would change ");
    let lines: Vec<&str> = shown.lines().skip(1).collect();
    assert_eq!(
        lines[..5],
        [
            "    \"b\": 2,",
            "    \"hooks\": {",
            "-     \"Stop\": []",
            "+     \"Stop\": [],",
            "+     \"SessionStart\": ["
        ]
    );
    assert_eq!(lines[lines.len() - 2..], ["    }", "  }"]);
    assert_eq!(home.files(), files);
    home.run(CLAUDE).said("");
    let files = home.files();
    home.run("uninstall --host claude --dry-run")
        .said("would put back as it was before ");
    home.run("install --host claude --dry-run")
        .said("would change nothing in ");
    assert_eq!(home.files(), files);
}

#[test]
fn the_status_of_everything_is_one_table_or_one_object() {
    let home = Home::new();
    home.run(CLAUDE).said("");
    home.run("install --host opencode --scope project").said("");
    home.settings("{,}");
    let table = home
        .run("status")
        .said("claude    user     cannot be read  ");
    assert_eq!(table.lines().count(), 12, "{table}");
    assert!(
        table.contains("opencode  project  installed       "),
        "{table}"
    );
    let object: Value = serde_json::from_str(&home.run("status --json").said("")).unwrap();
    let of = |host: &str, scope: &str| {
        let hooks = object["hooks"].as_array().unwrap().iter();
        let mut found = hooks.filter(|it| it["host"] == host && it["scope"] == scope);
        found.next().unwrap().clone()
    };
    assert_eq!(of("opencode", "project")["status"], "installed");
    assert_eq!(of("cursor", "user")["status"], "not installed");
    assert!(
        of("claude", "user")["why"]
            .as_str()
            .unwrap()
            .contains("not strict JSON")
    );
    assert_eq!(
        (object["app"].as_str(), object["binary"].as_str()),
        (Some("atomic"), Some(BINARY))
    );
}

#[test]
fn a_program_that_the_hooks_would_not_find_is_said() {
    let home = Home::new().env("PATH", "relative::/nowhere");
    let common = ["/usr/local/bin", "/opt/homebrew/bin"];
    if common
        .iter()
        .any(|folder| Path::new(folder).join("telemetry-upload").exists())
    {
        return;
    }
    let ran = home.run(CLAUDE);
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.stderr
            .contains("the hooks cannot find telemetry-upload"),
        "{}",
        ran.stderr
    );
    fs::create_dir_all(home.path(".local/bin")).unwrap();
    fs::copy(BINARY, home.path(".local/bin/telemetry-upload")).unwrap();
    home.run(CLAUDE).said("already there: ");
}

#[test]
fn the_command_is_silent_and_well_with_and_without_the_program() {
    for host in Host::ALL {
        let Some(hook) = host_settings::command(host, "mytool") else {
            continue;
        };
        let home = Home::new();
        let run = || {
            let output = Command::new("/bin/sh")
                .args(["-c", &hook])
                .env_clear()
                .env("HOME", home.folder.path())
                .env("PATH", "/usr/bin:/bin")
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let ran = Ran::of(&output, &hook);
            assert_eq!(
                (ran.code, ran.stdout + &ran.stderr),
                (Some(0), String::new())
            );
        };
        run();
        // A program of that name that says how it was called, and fails.
        let stub = home.path(".cargo/bin/telemetry-upload");
        fs::create_dir_all(stub.parent().unwrap()).unwrap();
        let script = "#!/bin/sh\necho \"$*\" >\"$HOME/called\"\necho out\necho err >&2\nexit 2\n";
        fs::write(&stub, script).unwrap();
        fs::set_permissions(&stub, PermissionsExt::from_mode(0o755)).unwrap();
        run();
        let called = fs::read_to_string(home.path("called")).unwrap();
        assert_eq!(
            called,
            format!("hook --host {} --app mytool\n", host.name())
        );
    }
}

#[test]
fn a_file_of_our_own_that_someone_else_wrote_is_left_alone() {
    for (host, file, foreign) in [
        (
            "copilot",
            ".copilot/hooks/telemetry-upload.json",
            "{\"version\":1,\"hooks\":{}}",
        ),
        (
            "copilot",
            ".copilot/hooks/telemetry-upload.json",
            "{\"hooks\":{\"SessionStart\":[{\"command\":\"x\"}]}}",
        ),
        ("copilot", ".copilot/hooks/telemetry-upload.json", ""),
        (
            "opencode",
            ".config/opencode/plugins/telemetry-upload.ts",
            "export const mine = 1\n",
        ),
    ] {
        let home = Home::new();
        let path = home.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, foreign).unwrap();
        let files = home.files();
        let why = "it holds something that this program did not write";
        let printed = home.run(&format!("install --host {host}")).refused(why);
        assert!(printed.starts_with("Write this to "), "{printed}");
        home.run(&format!("uninstall --host {host}")).refused(why);
        home.run(&format!("status --host {host}")).said(why);
        assert_eq!(home.files(), files);
    }
}

#[test]
fn a_file_of_ours_from_another_version_is_renewed_and_removed_with_a_copy_kept() {
    let copilot = Host::Copilot
        .snippet("atomic")
        .replace("\"timeoutSec\": 5", "\"timeoutSec\": 9");
    let script = Host::OpenCode.snippet("atomic");
    let script = script.lines().next().unwrap().to_owned() + "\nexport const other = 1\n";
    for (host, file, other) in [
        ("copilot", ".copilot/hooks/telemetry-upload.json", copilot),
        (
            "opencode",
            ".config/opencode/plugins/telemetry-upload.ts",
            script,
        ),
    ] {
        for (verb, said) in [
            ("install", "put the hooks into "),
            ("uninstall", "removed "),
        ] {
            let home = Home::new();
            let path = home.path(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &other).unwrap();
            home.run(&format!("status --host {host}"))
                .said(" other version ");
            let said = home.run(&format!("{verb} --host {host}")).said(said);
            let backup = said.trim_end().rsplit_once(": ").unwrap().1;
            assert_eq!(fs::read_to_string(backup).unwrap(), other);
            assert_eq!(path.exists(), verb == "install");
        }
    }
}

#[test]
fn cursors_version_is_added_where_it_is_missing_and_obeyed_where_it_is_another() {
    let home = Home::new();
    let path = home.path(".cursor/hooks.json");
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(&path, "{\"hooks\": {\"stop\": [{\"command\": \"a\"}]}}").unwrap();
    home.run("install --host cursor")
        .said("put the hooks into ");
    let settings: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(settings["version"], 1);
    assert_eq!(settings["hooks"]["stop"], json!([{"command": "a"}]));
    assert_eq!(settings["hooks"].as_object().unwrap().len(), 4);
    fs::write(&path, "{\"version\": 2, \"hooks\": {}}").unwrap();
    home.run("install --host cursor")
        .refused("its \"version\" is not 1");
}

#[test]
fn wrong_usage_names_what_there_is() {
    let home = Home::new();
    for (args, expected) in [
        (
            "install --host emacs",
            "claude, copilot, codex, opencode, gemini, cursor",
        ),
        ("install --host claude --scope system", "user, project"),
        ("install", "--host"),
        ("install --host claude --app a/b", "letters, digits"),
    ] {
        let ran = home.run(args);
        assert_eq!(ran.code, Some(2), "{args}");
        assert!(ran.stderr.contains(expected), "{args}\n{}", ran.stderr);
    }
    assert!(home.files().is_empty());
}

#[test]
fn a_full_disk_leaves_the_file_as_it_was_and_nothing_beside_it() {
    let home = Home::new();
    home.settings("{}\n");
    let files = home.files();
    let script = format!("trap '' XFSZ; ulimit -f 0; exec \"$0\" hooks {CLAUDE}");
    let output = Command::new("/bin/sh")
        .args(["-c", &script, BINARY])
        .env_clear()
        .envs(&home.env)
        .current_dir(home.path("project"))
        .output()
        .unwrap();
    let printed = Ran::of(&output, "on a full disk").refused("cannot write ");
    assert!(printed.contains("UserPromptExpansion"), "{printed}");
    assert_eq!(home.files(), files);
}

#[test]
fn a_file_that_another_program_changes_meanwhile_keeps_that_change() {
    let home = Home::new();
    let changed = |path: &Path, plan: Plan| {
        let file = HostFile::read(path, telemetry_upload::world::now()).unwrap();
        fs::write(path, "{\"theirs\": 1}").unwrap();
        let files = home.files();
        assert!(host_settings::carry_out(&plan, &file).is_err());
        assert_eq!(home.files(), files);
        fs::remove_file(path).unwrap();
    };
    changed(&home.path("absent.json"), Plan::Write("{}".to_owned()));
    changed(&home.settings("{}"), Plan::Write("{}".to_owned()));
    changed(&home.settings("{}"), Plan::Remove(Keep::Nothing));
    changed(&home.settings("{}"), Plan::Remove(Keep::Backup));
}
