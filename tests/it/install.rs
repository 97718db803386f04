//! `install.sh`, in every shell that is here: what it installs, that it repairs what was cut off, and that
//! uninstalling leaves the home as it was.

use crate::kit::{BINARY, CONSENT};
use crate::tools::{Shell, file, find, shells};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A home with an agent's settings and an application's data in it, and a copy of the script, all in folders
/// with odd names.
struct Home {
    root: tempfile::TempDir,
    name: &'static str,
    env: BTreeMap<String, String>,
    shell: Shell,
}

const MANIFEST: &str = ".local/share/telemetry-upload/install-manifest";

impl Home {
    fn new(shell: &Shell) -> Home {
        Home::called("a home; $more & 100%", shell)
    }

    fn called(name: &'static str, shell: &Shell) -> Home {
        let root = tempfile::tempdir().unwrap();
        let home = Home {
            env: BTreeMap::new(),
            shell: shell.clone(),
            name,
            root,
        };
        for folder in ["tools", "copy"] {
            fs::create_dir_all(home.root.path().join(folder)).unwrap();
        }
        fs::copy(file("install.sh"), home.root.path().join("copy/install.sh")).unwrap();
        home.write(".claude/settings.json", "{\n  \"model\": \"x\"\n}\n");
        home.write(".local/share/atomic/telemetry.json", CONSENT);
        // Nobody's own schedules are this test's business.
        home.stand_in("scheduler", "systemctl");
        home.stand_in("crontab", "crontab");
        let path = format!("{}:/usr/bin:/bin", home.root.path().join("tools").display());
        let home_dir = home.at("").display().to_string();
        home.env("HOME", home_dir.trim_end_matches('/'))
            .env("PATH", &path)
    }

    fn env(mut self, name: &str, value: &str) -> Home {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    fn stand_in(&self, fake: &str, name: &str) {
        let link = self.root.path().join("tools").join(name);
        symlink(file("tests/fake").join(fake), link).unwrap();
    }

    /// On a machine that has these programs only, and no scheduler.
    fn bare(self) -> Home {
        let folder = self.root.path().join("bare");
        fs::create_dir(&folder).unwrap();
        for name in ["dirname", "sed", "grep", "cat", "cmp", "rm"] {
            symlink(find(name).unwrap(), folder.join(name)).unwrap();
        }
        self.env("PATH", folder.to_str().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(self.name).join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        fs::write(self.at(name), content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap_or_default()
    }

    /// Runs the script with these words, from a folder that is not its own.
    fn run(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let output = self.run_raw(words);
        let text =
            |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&self.env["HOME"], "[HOME]");
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    }

    fn run_raw(&self, words: &[&str]) -> Output {
        Command::new(&self.shell[0])
            .args(&self.shell[1..])
            .arg("../copy/install.sh")
            .args(words)
            .env_clear()
            .envs(&self.env)
            .current_dir(self.root.path().join("tools"))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn succeed(&self, words: &[&str]) -> String {
        let (code, stdout, stderr) = self.run(words);
        assert_eq!(
            (code, stderr.as_str()),
            (Some(0), ""),
            "{:?} {words:?}\n{stdout}",
            self.shell
        );
        stdout
    }

    /// Every file, link and folder below the home with its mode and content.
    fn tree(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let mut tree = BTreeMap::new();
        collect(&self.at(""), &mut tree);
        tree
    }

    /// The same without folders, and without what the stand-ins have written down.
    fn files(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let mut tree = self.tree();
        tree.retain(|path, _| !path.is_dir());
        tree
    }
}

fn collect(folder: &Path, tree: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mode = fs::symlink_metadata(&path).unwrap().permissions().mode();
        if path.is_dir() {
            collect(&path, tree);
        }
        let content = fs::read(&path).unwrap_or_default();
        tree.insert(path, (mode, content));
    }
}

fn every_shell() -> Vec<Shell> {
    let mut shells = shells();
    shells.extend(find("zsh").map(|zsh| vec![zsh, "--emulate".into(), "sh".into()]));
    shells
}

const ALL: [&str; 5] = ["--binary", BINARY, "--hooks", "claude", "--schedule=6h"];

#[test]
fn what_was_installed_is_taken_away_and_nothing_else_in_every_shell() {
    for shell in every_shell() {
        let home = Home::new(&shell);
        let before = home.tree();
        let dry = home.succeed(&[&ALL[..], &["--dry-run"]].concat());
        let expected = "would install [HOME]/.local/bin/telemetry-upload\n\
                        would run: telemetry-upload hooks install --host claude --app=atomic\n\
                        would run: telemetry-upload schedule install --every 6h --app=atomic\n";
        assert_eq!(dry, expected, "{shell:?}");
        assert_eq!(home.tree(), before, "{shell:?}");
        let (code, stdout, _) = home.run(&ALL);
        assert_eq!(code, Some(0), "{shell:?} {stdout}");
        assert!(
            stdout.starts_with(
                "installed [HOME]/.local/bin/telemetry-upload\n\
                 running: telemetry-upload hooks install --host claude --app=atomic\n"
            ),
            "{stdout}"
        );
        assert!(
            stdout.contains("next: [HOME]/.local/bin/telemetry-upload demo\n"),
            "{stdout}"
        );
        let installed = fs::metadata(home.at(".local/bin/telemetry-upload")).unwrap();
        assert_eq!(installed.permissions().mode() & 0o777, 0o755);
        assert!(
            home.read(".claude/settings.json")
                .contains("telemetry-upload")
        );
        assert!(
            home.at(".config/systemd/user/telemetry-upload-atomic.timer")
                .exists()
        );
        let once = home.files();
        home.run(&ALL);
        assert_eq!(home.files(), once, "{shell:?}");
        let would = home.succeed(&["--uninstall", "--dry-run"]);
        assert!(
            would.contains("would remove [HOME]/.local/bin/telemetry-upload\n"),
            "{would}"
        );
        assert_eq!(home.files(), once, "{shell:?}");
        let said = home.succeed(&["--uninstall"]);
        assert!(
            said.ends_with(
                "kept: [HOME]/.local/share/atomic, the settings and the data of atomic; to delete them, with \
                 all else that atomic has there: rm -r '[HOME]/.local/share/atomic'\n"
            ),
            "{said}"
        );
        let mut after = home.tree();
        // Whose these folders are, is not ours to say.
        after.retain(|path, _| !(path.starts_with(home.at(".config")) && path.is_dir()));
        assert_eq!(after, before, "{shell:?}");
        let said = home.succeed(&["--uninstall", "--purge"]);
        let (nothing, kept) = said.split_once('\n').unwrap();
        assert_eq!(
            nothing,
            format!("nothing to uninstall: there is no [HOME]/{MANIFEST}")
        );
        assert!(
            kept.contains("the settings and the data of atomic; to delete them"),
            "{kept}"
        );
    }
}

#[test]
fn the_program_is_built_where_cargo_is_told_to() {
    for shell in every_shell() {
        let home = Home::new(&shell);
        home.stand_in("cargo", "cargo");
        fs::write(home.root.path().join("copy/Cargo.toml"), "").unwrap();
        let target = home.at("a target").display().to_string();
        let fake = file("tests/fake/installed").display().to_string();
        let home = home
            .env("CARGO_TARGET_DIR", &target)
            .env("CARGO_BUILD_TARGET", "another-machine")
            .env("FAKE", &fake);
        assert!(
            home.succeed(&["--dry-run"])
                .starts_with("would build [HOME]/a target/release/telemetry-upload\n")
        );
        assert!(!home.at("cargo").exists());
        home.succeed(&[]);
        let manifest = home.root.path().join("copy/Cargo.toml");
        let manifest = fs::canonicalize(manifest).unwrap();
        let expected = format!(
            "build\n--release\n--locked\n--manifest-path\n{}\n--target-dir\n{target}\n",
            manifest.display()
        );
        assert_eq!(home.read("cargo"), expected, "{shell:?}");
        assert_eq!(
            home.read(".local/bin/telemetry-upload"),
            fs::read_to_string(fake).unwrap()
        );
    }
}

#[test]
fn completions_and_the_manual_go_where_shells_look_for_them() {
    for shell in every_shell() {
        let home = Home::called("a \"home\" & 'more' \\n", &shell);
        let before = home.tree();
        let fake = file("tests/fake/installed").display().to_string();
        home.succeed(&["--completions", "--quiet", "--binary", &fake]);
        for (name, content) in [
            (
                "bash-completion/completions/telemetry-upload",
                "completions bash\n",
            ),
            ("zsh/site-functions/_telemetry-upload", "completions zsh\n"),
            (
                "fish/vendor_completions.d/telemetry-upload.fish",
                "completions fish\n",
            ),
            ("man/man1/telemetry-upload.1", "man\n"),
        ] {
            assert_eq!(
                home.read(&format!(".local/share/{name}")),
                content,
                "{shell:?}"
            );
        }
        home.succeed(&["--uninstall", "--quiet"]);
        assert_eq!(home.tree(), before, "{shell:?}");
    }
}

#[test]
fn what_was_cut_off_anywhere_is_repaired_or_taken_away() {
    let shell = &shells()[0];
    let whole = Home::new(shell);
    whole.run(&ALL);
    let whole = whole.files().len();
    let (mut last, mut is_cut_off) = (2, true);
    while is_cut_off {
        for then in ["repaired", "taken away", "cut off again"] {
            let home = Home::new(shell);
            let before = home.files();
            let cut_off_at = |last: i32, words: &[&str]| {
                let count = home.root.path().join("count");
                fs::write(&count, "0").unwrap();
                let mut cut_off = Home::new(shell);
                for name in ["mv", "cp", "mkdir", "chmod", "rm", "rmdir"] {
                    cut_off.stand_in("deadly", name);
                }
                let path = format!(
                    "{}:{}",
                    cut_off.root.path().join("tools").display(),
                    home.env["PATH"]
                );
                cut_off.env.clone_from(&home.env);
                let cut_off = cut_off
                    .env("PATH", &path)
                    .env("COUNT", count.to_str().unwrap())
                    .env("LAST", &last.to_string());
                cut_off.run(words).0.is_none()
            };
            is_cut_off = cut_off_at(last, &ALL);
            if then == "cut off again" {
                home.run(&ALL);
                cut_off_at(last, &["--uninstall"]);
            }
            if then == "repaired" {
                assert_eq!(home.run(&ALL).0, Some(0), "{last}");
                assert_eq!(
                    home.files().len(),
                    whole,
                    "{last}: {:?}",
                    home.files().keys()
                );
            }
            home.succeed(&["--uninstall"]);
            assert_eq!(home.files(), before, "{last} {then}");
            assert!(!home.at(".local/bin").exists(), "{last} {then}");
        }
        last += 1;
    }
    assert!(last > 20, "{last} places only");
}

#[test]
fn a_program_that_is_at_work_is_replaced_and_goes_on() {
    let home = Home::new(&shells()[0]);
    home.succeed(&["--binary", BINARY]);
    let mut running = Command::new(home.at(".local/bin/telemetry-upload"))
        .args(["emulator", "--port", "0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It has begun when it has said something.
    let mut line = String::new();
    BufReader::new(running.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let fake = file("tests/fake/installed");
    let (code, _, stderr) = home.run(&["--binary", fake.to_str().unwrap()]);
    let is_running = running.try_wait().unwrap().is_none();
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(is_running && !line.is_empty());
    assert_eq!(
        home.read(".local/bin/telemetry-upload"),
        fs::read_to_string(fake).unwrap()
    );
}

#[test]
fn wrong_words_change_nothing_and_are_explained() {
    for shell in every_shell() {
        let home = Home::new(&shell);
        let before = home.tree();
        for (words, expected) in [
            (&["--bindir", "x"][..], "there is no flag --bindir"),
            (&["x"], "there is no flag x"),
            (&["--bin-dir"], "the flag --bin-dir needs a value"),
            (&["--bin-dir="], "the flag --bin-dir needs a value"),
            (
                &["--bin-dir", "a\nb"],
                "the value of --bin-dir has a line end in it",
            ),
            (
                &["--bin-dir", "/a/../b"],
                "name the folder without '..': /a/../b",
            ),
            (&["--hooks", "claude,emacs"], "no agent emacs is known"),
            (
                &["--hooks", ","],
                "--hooks takes the names of agents, with a comma between them",
            ),
            (&["--bin-dir", "//"], "name a folder below /"),
            (
                &["--schedule", "25h"],
                "--schedule takes a time from 15m to 24h",
            ),
            (
                &["--schedule=14m"],
                "--schedule takes a time from 15m to 24h",
            ),
            (
                &["--schedule", "1d"],
                "--schedule takes a time from 15m to 24h",
            ),
            (
                &["--schedule=soon"],
                "--schedule takes a time from 15m to 24h",
            ),
            (
                &["--app", "../x"],
                "the name of an application has letters, digits, '.', '_' and '-' only",
            ),
            (&["--purge"], "--purge goes with --uninstall"),
        ] {
            let (code, stdout, stderr) = home.run(words);
            let expected = format!("install.sh: {expected}; sh install.sh --help shows how\n");
            assert_eq!(
                (code, stdout.as_str(), stderr),
                (Some(2), "", expected),
                "{shell:?} {words:?}"
            );
        }
        assert_eq!(home.tree(), before);
        let help = home.succeed(&["--help"]);
        let script = fs::read_to_string(file("install.sh")).unwrap();
        let flags = script
            .split("read_flags() {")
            .nth(1)
            .unwrap()
            .split("\n}\n")
            .next()
            .unwrap();
        let is_end = |c: char| !c.is_ascii_lowercase() && c != '-';
        let flags: Vec<&str> = flags
            .split(is_end)
            .filter(|word| word.starts_with("--"))
            .collect();
        assert!(flags.len() > 10, "{flags:?}");
        for flag in flags {
            assert!(help.contains(flag), "{flag}");
        }
    }
}

#[test]
fn what_is_in_the_way_is_named() {
    for shell in every_shell() {
        let home = Home::new(&shell);
        home.write("a file", "");
        home.write("not it", "#!/bin/sh\necho something else\n");
        fs::set_permissions(home.at("not it"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(home.at("bin/telemetry-upload")).unwrap();
        let at = |name: &str| home.at(name).display().to_string();
        for (bin, binary, expected) in [
            (
                at("a file"),
                BINARY.to_owned(),
                "cannot install below [HOME]/a file: it is not a folder",
            ),
            (
                at("a file/bin"),
                BINARY.to_owned(),
                "cannot install below [HOME]/a file: it is not a folder",
            ),
            (
                at("bin"),
                BINARY.to_owned(),
                "cannot install [HOME]/bin/telemetry-upload: it is a folder",
            ),
            (
                "/proc/x".to_owned(),
                BINARY.to_owned(),
                "cannot make the folder /proc/x",
            ),
            (at("b"), at("nothing"), "there is no program [HOME]/nothing"),
            (
                at("b"),
                at("not it"),
                "[HOME]/not it is not telemetry-upload, or does not run here; nothing was replaced",
            ),
            (
                at("b"),
                at("a file"),
                "[HOME]/a file is not telemetry-upload, or does not run here; nothing was replaced",
            ),
        ] {
            let (code, stdout, stderr) = home.run(&["--bin-dir", &bin, "--binary", &binary]);
            assert_eq!(
                (code, stdout.as_str()),
                (Some(1), ""),
                "{shell:?} {expected}"
            );
            assert!(
                stderr.contains(&format!("install.sh: {expected}\n")),
                "{shell:?} {stderr}"
            );
            home.succeed(&["--uninstall"]);
        }
    }
}

#[test]
fn without_cargo_or_a_home_it_says_what_is_missing() {
    let home = Home::new(&shells()[0]).bare();
    let (code, _, stderr) = home.run(&[]);
    let cargo = "install.sh: cargo is not on the PATH; get a Rust toolchain from https://rustup.rs, or name a \
                 program that is built with --binary\n";
    assert_eq!((code, stderr.as_str()), (Some(1), cargo));
    let mut homeless = Home::new(&shells()[0]);
    homeless.env.insert("HOME".to_owned(), String::new());
    let output = Command::new("/bin/sh")
        .arg(file("install.sh"))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "install.sh: there is no HOME to install into\n"
    );
}

#[test]
fn a_manifest_that_somebody_wrote_into_removes_nothing() {
    for shell in every_shell() {
        let home = Home::new(&shell);
        home.succeed(&["--binary", BINARY]);
        home.write("precious", "x");
        let manifest = home.read(MANIFEST);
        let installed = home.files();
        for line in [
            format!("file {}", home.at("precious").display()),
            format!("file {}", home.at("x/../telemetry-upload").display()),
            "file telemetry-upload".to_owned(),
            format!("folder {}", home.at("other").display()),
            "hooks emacs atomic".to_owned(),
            "hooks claude a b".to_owned(),
            "schedule ../x".to_owned(),
            "rm -rf".to_owned(),
        ] {
            home.write(MANIFEST, &format!("{manifest}{line}\n"));
            let (code, stdout, stderr) = home.run(&["--uninstall"]);
            assert_eq!((code, stdout.as_str()), (Some(1), ""), "{shell:?} {line}");
            assert!(
                stderr.contains("holds a line that this script does not write"),
                "{stderr}"
            );
            home.write(MANIFEST, &manifest);
            assert_eq!(home.files(), installed, "{shell:?} {line}");
        }
    }
}

#[test]
fn what_cannot_be_undone_keeps_the_program_for_another_try() {
    let home = Home::new(&shells()[0]);
    let fake = file("tests/fake/installed").display().to_string();
    home.succeed(&[
        "--binary",
        &fake,
        "--hooks=claude,codex",
        "--schedule",
        "--app",
        "my-tool",
    ]);
    let said = "hooks install --host claude --app=my-tool\nhooks install --host codex --app=my-tool\n\
                schedule install --every 1h --app=my-tool\n";
    assert_eq!(home.read("said"), said);
    home.write("fails", "hooks uninstall --host codex --app=my-tool\n");
    let (code, _, stderr) = home.run(&["--uninstall"]);
    let expected = "install.sh: this failed: telemetry-upload hooks uninstall --host codex --app=my-tool\n\
                    install.sh: the program stays, for what could not be taken away; run this again\n";
    assert_eq!((code, stderr.as_str()), (Some(1), expected));
    fs::remove_file(home.at("fails")).unwrap();
    fs::remove_file(home.at("said")).unwrap();
    let said = home.succeed(&["--uninstall", "--purge", "--app=my-tool"]);
    assert!(!said.contains("kept"), "{said}");
    let said = "hooks uninstall --host codex --app=my-tool\npurge --yes --app=my-tool\n";
    assert_eq!(home.read("said"), said);
    assert!(!home.at(".local/bin").exists());
}

#[test]
fn a_build_that_went_elsewhere_is_explained() {
    let home = Home::new(&shells()[0]);
    home.stand_in("cargo", "cargo");
    fs::write(home.root.path().join("copy/Cargo.toml"), "").unwrap();
    let fake = file("tests/fake/installed").display().to_string();
    let target = home.at("target").display().to_string();
    let home = home
        .env("CARGO_TARGET_DIR", &target)
        .env("ELSEWHERE", "another-machine")
        .env("FAKE", &fake);
    let (code, _, stderr) = home.run(&[]);
    let expected = "install.sh: cargo has built no [HOME]/target/release/telemetry-upload; where build.target in \
                    its configuration is the reason, name the program with --binary\n";
    assert_eq!((code, stderr.as_str()), (Some(1), expected));
}

#[test]
fn a_home_that_is_no_place_is_refused_at_once() {
    for shell in every_shell() {
        for (name, value, expected) in [
            (
                "HOME",
                "relative",
                "HOME has to be an absolute path, and is relative",
            ),
            (
                "HOME",
                "/a\nb",
                "a HOME or XDG_DATA_HOME with a line end in it cannot be installed into",
            ),
            (
                "XDG_DATA_HOME",
                "/a/../b",
                "set HOME and XDG_DATA_HOME without '..': /a/../b",
            ),
        ] {
            let home = Home::new(&shell).env(name, value);
            for words in [&["--binary", BINARY][..], &["--uninstall"]] {
                let output = home.run_raw(words);
                let stderr = String::from_utf8_lossy(&output.stderr);
                assert_eq!(stderr, format!("install.sh: {expected}\n"), "{shell:?}");
                assert_eq!(output.status.code(), Some(1));
            }
        }
    }
}

#[test]
fn files_that_it_did_not_put_there_are_neither_replaced_nor_removed() {
    for shell in every_shell() {
        let home = Home::new(&shell);
        home.write(".local/bin/telemetry-upload", "mine\n");
        home.write(
            "dev/telemetry-upload",
            "#!/bin/sh\necho telemetry-upload 0.0.0\n",
        );
        let refused = "install.sh: [HOME]/.local/bin/telemetry-upload is there, and install.sh did not put it \
                       there; remove it, or name another folder with --bin-dir\n";
        let mine = home.files();
        let (code, _, stderr) = home.run(&["--binary", BINARY]);
        assert_eq!((code, stderr.as_str()), (Some(1), refused), "{shell:?}");
        home.succeed(&["--uninstall"]);
        assert_eq!(home.files(), mine);
        let program = home.at(".local/bin/telemetry-upload");
        fs::remove_file(&program).unwrap();
        symlink("../../dev/telemetry-upload", &program).unwrap();
        assert_eq!(home.run(&["--binary", BINARY]).2, refused, "{shell:?}");
        fs::remove_file(&program).unwrap();
        // What people make by hand, as the help of `man` says.
        let page = ".local/share/man/man1/telemetry-upload.1";
        home.write(page, "mine\n");
        let (code, _, stderr) = home.run(&["--binary", BINARY, "--completions"]);
        let expected = format!(
            "install.sh: [HOME]/{page} is there, and install.sh did not put it there; it is left as it is\n"
        );
        assert_eq!((code, stderr), (Some(1), expected), "{shell:?}");
        home.succeed(&["--uninstall"]);
        assert_eq!(home.read(page), "mine\n");
    }
}

#[test]
fn a_manifest_that_was_cut_off_removes_nothing() {
    for shell in every_shell() {
        let home = Home::new(&shell);
        home.succeed(&["--binary", BINARY, "--hooks", "claude", "--hooks", "codex"]);
        let manifest = home.read(MANIFEST);
        assert!(
            manifest.ends_with("hooks claude atomic\nhooks codex atomic\n"),
            "{manifest}"
        );
        for cut in [manifest.trim_end_matches("c\n"), ""] {
            home.write(MANIFEST, cut);
            let before = home.files();
            let (code, _, stderr) = home.run(&["--uninstall"]);
            assert_eq!(code, Some(1), "{shell:?}");
            assert!(stderr.contains("; nothing was removed; "), "{stderr}");
            assert_eq!(home.files(), before, "{shell:?}");
        }
    }
}

#[test]
fn a_file_that_was_there_before_a_failed_installation_stays() {
    for shell in every_shell() {
        let home = Home::new(&shell);
        home.write("not it", "#!/bin/sh\necho something else\n");
        let installed = home.at(".local/bin/telemetry-upload");
        fs::create_dir_all(installed.parent().unwrap()).unwrap();
        fs::copy(file("tests/fake/installed"), installed).unwrap();
        let before = home.tree();
        let not_it = home.at("not it").display().to_string();
        assert_eq!(home.run(&["--binary", &not_it]).0, Some(1), "{shell:?}");
        home.succeed(&["--uninstall", "--dry-run"]);
        home.succeed(&["--uninstall"]);
        assert_eq!(home.tree(), before, "{shell:?}");
    }
}

#[test]
fn what_was_installed_by_hand_is_not_left_without_its_program() {
    for shell in every_shell() {
        let home = Home::new(&shell);
        home.succeed(&["--binary", BINARY]);
        let before = home.files();
        for words in [
            &["hooks", "install", "--host", "claude"][..],
            &["hooks", "install", "--host", "codex"],
            &["schedule", "install"],
        ] {
            let output = Command::new(home.at(".local/bin/telemetry-upload"))
                .args(words)
                .env_clear()
                .envs(&home.env)
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
        }
        assert_ne!(home.files(), before);
        let would = home.succeed(&["--uninstall", "--dry-run"]);
        let expected = "would take out the hooks of claude for atomic\n\
                        would take out the hooks of codex for atomic\n\
                        would remove the schedule of atomic\n\
                        would remove [HOME]/.local/bin/telemetry-upload\n";
        assert!(would.starts_with(expected), "{shell:?} {would}");
        home.succeed(&["--uninstall"]);
        let mut expected = before;
        expected.retain(|path, _| {
            *path != home.at(MANIFEST) && *path != home.at(".local/bin/telemetry-upload")
        });
        assert_eq!(home.files(), expected, "{shell:?}");
    }
}

#[test]
fn purging_says_what_it_deleted_what_stays_and_how_that_goes() {
    let home = Home::called("it's a home", &shells()[0]);
    home.write(".local/share/atomic/telemetry-events.jsonl", "a line\n");
    home.succeed(&["--binary", BINARY]);
    let stays = ", the settings and the consent of atomic; to delete them, with all else that atomic has there: \
                 rm -r ";
    let would = home.succeed(&["--uninstall", "--purge", "--dry-run"]);
    assert!(would.contains(stays), "{would}");
    let said = home.succeed(&["--uninstall", "--purge"]);
    let root = home.env["HOME"].replace('\'', "'\\''");
    let expected = format!(
        "Deleted: 1 waiting event (buffers of 7 bytes).\nremoved [HOME]/.local/bin/telemetry-upload\n\
         kept: [HOME]/.local/share/atomic{stays}'{root}/.local/share/atomic'\n"
    );
    assert_eq!(said, expected);
    assert_eq!(home.read(".local/share/atomic/telemetry-events.jsonl"), "");
    assert!(home.at(".local/share/atomic/telemetry.json").exists());
}

#[test]
fn a_dry_run_says_what_would_fail() {
    let home = Home::new(&shells()[0]).bare();
    let (code, stdout, stderr) = home.run(&["--binary", BINARY, "--schedule", "--dry-run"]);
    assert!(
        stdout.ends_with("would run: telemetry-upload schedule install --every 1h --app=atomic\n"),
        "{stdout}"
    );
    let expected = "install.sh: this would fail: telemetry-upload: there is no scheduler here";
    assert!(stderr.starts_with(expected), "{stderr}");
    assert_eq!(code, Some(1));
}

#[test]
fn hooks_of_a_program_that_is_gone_are_undone_by_one_that_is_named() {
    let home = Home::new(&shells()[0]);
    home.run(&["--binary", BINARY, "--hooks", "claude"]);
    fs::remove_file(home.at(".local/bin/telemetry-upload")).unwrap();
    let (code, _, stderr) = home.run(&["--uninstall"]);
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("install it again, or name one with --binary"),
        "{stderr}"
    );
    home.succeed(&["--uninstall", "--binary", BINARY]);
    assert!(
        !home
            .read(".claude/settings.json")
            .contains("telemetry-upload")
    );
    assert!(!home.at(MANIFEST).exists());
}

#[test]
fn the_next_steps_of_a_ci_job_find_the_program() {
    let home = Home::new(&shells()[0]);
    let list = home.at("path").display().to_string();
    let home = home.env("GITHUB_PATH", &list);
    for _ in 0..2 {
        home.succeed(&["--binary", BINARY, "--quiet"]);
        assert_eq!(
            home.read("path"),
            format!("{}\n", home.at(".local/bin").display())
        );
    }
}

#[test]
fn folders_may_be_named_in_many_ways() {
    for (name, expected) in [("bin", "bin"), ("./b//in/", "b/in"), ("b/././.", "b")] {
        let home = Home::new(&shells()[0]);
        let before = home.tree();
        home.succeed(&["--binary", BINARY, "--bin-dir", name]);
        let folder = home.root.path().join("tools").join(expected);
        assert!(folder.join("telemetry-upload").exists(), "{name}");
        home.succeed(&["--uninstall"]);
        assert!(!folder.exists(), "{name}");
        assert_eq!(home.tree(), before);
    }
}

#[test]
fn a_reader_that_goes_away_does_not_stop_it() {
    let home = Home::new(&shells()[0]);
    let script = format!("/bin/sh ../copy/install.sh --binary {BINARY} --hooks claude | true");
    let status = Command::new("/bin/sh")
        .args(["-c", &script])
        .env_clear()
        .envs(&home.env)
        .current_dir(home.root.path().join("tools"))
        .status()
        .unwrap();
    assert!(status.success());
    // What stands behind a pipe may still be at work when its last part has ended.
    let done = (0..2000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        home.read(".claude/settings.json")
            .contains("telemetry-upload")
    });
    assert!(done);
}
