//! Something else where a file of ours belongs: nothing is written through it, nothing waits for it, no
//! host fails over it, and once it is gone everything is delivered.

use super::{is_root, start_of_session};
use crate::kit::{BUFFER, CONSENT, Sandbox, event};
use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What stands there instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    Link,
    LinkToNowhere,
    LinkToDevice,
    HardLink,
    Fifo,
    Folder,
    Socket,
    Device,
    Foreign,
}

use Obstacle::{
    Device, Fifo, Folder, Foreign, HardLink, Link, LinkToDevice, LinkToNowhere, Socket,
};

const ALL: [Obstacle; 9] = [
    Link,
    LinkToNowhere,
    LinkToDevice,
    HardLink,
    Fifo,
    Folder,
    Socket,
    Device,
    Foreign,
];

const PRECIOUS: &str = "{\"precious\":true}\n";

impl Obstacle {
    /// Puts it there; what it leads to is `victim`.
    fn put(self, path: &Path, victim: &Path) {
        let _ = fs::remove_file(path);
        match self {
            Link => symlink(victim, path).unwrap(),
            LinkToNowhere => symlink(path.with_file_name("nowhere"), path).unwrap(),
            LinkToDevice => symlink("/dev/null", path).unwrap(),
            HardLink => fs::hard_link(victim, path).unwrap(),
            Fifo => {
                let mode = rustix::fs::Mode::from_raw_mode(0o600);
                let kind = rustix::fs::FileType::Fifo;
                rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
            }
            Folder => fs::create_dir(path).unwrap(),
            Socket => drop(UnixListener::bind(path).unwrap()),
            Device => {
                let mode = rustix::fs::Mode::from_raw_mode(0o600);
                let kind = rustix::fs::FileType::CharacterDevice;
                let null = rustix::fs::makedev(1, 3);
                rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, null).unwrap();
            }
            Foreign => {
                fs::write(path, PRECIOUS).unwrap();
                chown(path, Some(12_345), None).unwrap();
            }
        }
    }

    fn is_possible(self) -> bool {
        is_root() || !matches!(self, Device | Foreign)
    }

    fn check_nothing_went_through(path: &Path, victim: &Path, story: &str) {
        assert_eq!(fs::read_to_string(victim).unwrap(), PRECIOUS, "{story}");
        assert_eq!(
            fs::metadata(victim).unwrap().mode() & 0o7777,
            0o640,
            "{story}"
        );
        assert!(!path.with_file_name("nowhere").exists(), "{story}");
    }

    /// It is what it was.
    fn check_untouched(self, path: &Path, story: &str) {
        match self {
            Folder => assert_eq!(fs::read_dir(path).unwrap().count(), 0, "{story}"),
            Foreign => {
                assert_eq!(fs::read_to_string(path).unwrap(), PRECIOUS, "{story}");
                assert_eq!(fs::metadata(path).unwrap().uid(), 12_345, "{story}");
            }
            _ => {}
        }
    }

    fn remove(self, path: &Path) {
        match self {
            Folder => fs::remove_dir(path).unwrap(),
            // A rename may have put a file of ours in its place, which is as good.
            _ => fs::remove_file(path).unwrap(),
        }
    }
}

/// The name of the file that a session's calls stand in.
fn calls() -> String {
    let sandbox = Sandbox::new().without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    sandbox
        .feed(&["hook", "--host", "claude"], start_of_session())
        .code(0);
    let mut names = fs::read_dir(sandbox.path("upload/sessions")).unwrap();
    let name = names.next().unwrap().unwrap().file_name();
    format!("upload/sessions/{}", name.to_str().unwrap())
}

fn check(name: &str, obstacle: Obstacle) {
    let story = format!("{obstacle:?} instead of {name}");
    let sandbox = Sandbox::new();
    sandbox.write("config.json", r#"{"limits":{"gatherS":0}}"#);
    fs::create_dir_all(sandbox.path("upload/sessions")).unwrap();
    if name == "upload/rejected.jsonl.1" {
        // So full that the next line begins a new generation.
        sandbox.write("upload/rejected.jsonl", " ".repeat(512 * 1024 - 10));
    }
    if name != BUFFER {
        sandbox.append(event("a") + "\nnot json\n");
    }
    let victim = sandbox.home.path().join("victim");
    fs::write(&victim, PRECIOUS).unwrap();
    fs::set_permissions(&victim, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let path = sandbox.path(name);
    obstacle.put(&path, &victim);

    sandbox.run(&["record", "x"]).code(0);
    sandbox
        .feed(&["hook", "--host", "claude"], start_of_session())
        .code(0);
    sandbox.run(&["--detach"]).code(0);
    for args in [
        &["--flush", "--pause-ms", "0"][..],
        &["--flush", "--dry-run"],
        &[],
    ] {
        let (code, stdout, stderr) = sandbox.run(args).outputs();
        assert!(
            [0, 1, 75, 78].contains(&code),
            "{story}: {args:?} {code} {stdout} {stderr}"
        );
        assert!(!stderr.contains("defect"), "{story}: {stderr}");
    }
    if name != "config.json" {
        // With a config.json that cannot be read it would stay for the usual while.
        sandbox.wait_for_quiet();
    }
    Obstacle::check_nothing_went_through(&path, &victim, &story);
    // What is put in place by a rename takes the place of anything but a folder.
    if !["upload/state.json", "upload/rejected.jsonl.1"].contains(&name) {
        obstacle.check_untouched(&path, &story);
    }

    obstacle.remove(&path);
    sandbox.write("telemetry.json", CONSENT);
    sandbox.write("config.json", "{}");
    let (code, stdout, stderr) = sandbox.flush().outputs();
    assert_eq!((code, stderr.as_str()), (0, ""), "{story}: {stdout}");
    assert_eq!(sandbox.read(BUFFER), "", "{story}");
    let delivered = sandbox.delivered();
    assert!(
        name == BUFFER || delivered.contains(&"a".to_owned()),
        "{story}: {delivered:?}"
    );
}

#[test]
fn nothing_is_written_through_what_stands_in_the_place_of_a_file_of_ours() {
    let calls = calls();
    for name in [
        BUFFER,
        "config.json",
        "telemetry.json",
        "telemetry.json.new",
        "upload/consent.lock",
        "upload/detached.lock",
        "upload/rejected.jsonl",
        "upload/rejected.jsonl.1",
        "upload/sent.jsonl",
        &calls,
        "upload/state.json",
        "upload/state.json.new",
        "upload/telemetry-events.jsonl.cursor",
        "upload/upload.log",
        "upload/uploader.lock",
    ] {
        for obstacle in ALL {
            if obstacle.is_possible() {
                check(name, obstacle);
            }
        }
    }
}

/// Every run must end, in peace for a host and with a documented code for a person.
fn check_folder(sandbox: &Sandbox, expected: i32) {
    sandbox.run(&["record", "x"]).code(0);
    sandbox
        .feed(&["hook", "--host", "claude"], start_of_session())
        .code(0);
    sandbox.run(&["--detach"]).code(0);
    let (code, stdout, stderr) = sandbox.run(&["--flush"]).posts(0).outputs();
    assert_eq!(code, expected, "{stdout} {stderr}");
}

#[test]
fn what_stands_in_the_place_of_our_folder_is_refused() {
    for obstacle in ALL {
        if !obstacle.is_possible() || matches!(obstacle, Folder | HardLink) {
            continue;
        }
        let sandbox = Sandbox::new().line(&event("a"));
        let victim = sandbox.home.path().join("victim");
        fs::write(&victim, PRECIOUS).unwrap();
        obstacle.put(&sandbox.path("upload"), &victim);
        check_folder(&sandbox, 1);
        assert_eq!(fs::read_to_string(&victim).unwrap(), PRECIOUS);
        fs::remove_file(sandbox.path("upload")).unwrap();
        let (code, ..) = sandbox.flush().left("").outputs();
        assert_eq!(code, 0, "{obstacle:?}");
    }
}

#[test]
fn our_folder_is_refused_if_it_is_somebody_else_s() {
    if super::skipped_without_root() {
        return;
    }
    let sandbox = Sandbox::new().line(&event("a"));
    let folder = sandbox.path("upload");
    fs::create_dir(&folder).unwrap();
    chown(&folder, Some(12_345), None).unwrap();
    check_folder(&sandbox, 1);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn a_data_folder_may_be_a_link_to_another_folder_of_ones_own_but_to_nobody_else_s() {
    let sandbox = Sandbox::new().line(&event("a"));
    let elsewhere = sandbox.home.path().join("elsewhere");
    fs::rename(sandbox.data(), &elsewhere).unwrap();
    symlink(&elsewhere, sandbox.data()).unwrap();
    sandbox.flush().stdout("sent 1 event").left("").code(0);
    if is_root() {
        let sandbox = sandbox.line(&event("b"));
        chown(&elsewhere, Some(12_345), None).unwrap();
        let (code, stdout, _) = sandbox.run(&["--flush"]).posts(1).outputs();
        assert_eq!(code, 0);
        assert!(stdout.contains("telemetry is off: "), "{stdout}");
    }
}

/// A file of the person's that is a week old.
fn old_file(folder: &Path) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let path = folder.join("letter.jsonl");
    fs::write(&path, "Dear Anna\n").unwrap();
    let week = Duration::from_secs(7 * 24 * 3600);
    let file = fs::File::options().append(true).open(&path).unwrap();
    file.set_modified(SystemTime::now() - week).unwrap();
    path
}

#[test]
fn a_detached_pass_clears_nothing_away_behind_a_link() {
    for name in ["upload/sessions", "upload"] {
        let sandbox = Sandbox::new().hasty();
        let elsewhere = sandbox.home.path().join("letters");
        let letter = old_file(&if name == "upload" {
            elsewhere.join("sessions")
        } else {
            elsewhere.clone()
        });
        fs::create_dir_all(sandbox.path(name).parent().unwrap()).unwrap();
        symlink(&elsewhere, sandbox.path(name)).unwrap();
        // As a host that is not careful might start it, lock and all.
        let lock = fs::File::create(sandbox.path("lock")).unwrap();
        let ran = sandbox
            .command(&["--detached"])
            .stdin(lock)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{ran:?}");
        assert!(letter.exists(), "{name}");
    }
    // What it does clear away, by the same means.
    let sandbox = Sandbox::new().hasty();
    let calls = old_file(&sandbox.path("upload/sessions"));
    let lock = fs::File::create(sandbox.path("lock")).unwrap();
    assert!(
        sandbox
            .command(&["--detached"])
            .stdin(lock)
            .status()
            .unwrap()
            .success()
    );
    assert!(!calls.exists());
}

#[test]
fn what_a_person_names_is_opened_without_waiting_for_ever() {
    let sandbox = Sandbox::new().line(&event("a"));
    // Without an end, and larger than any list of certificates.
    let (code, _, stderr) = sandbox
        .run(&["--flush", "--ca-file", "/dev/zero"])
        .posts(0)
        .outputs();
    assert_eq!(code, 78);
    assert!(
        stderr.contains("cannot read the CA file /dev/zero: file too large"),
        "{stderr}"
    );
    let (code, _, stderr) = sandbox
        .run(&["--flush", "--ca-file", "/"])
        .posts(0)
        .outputs();
    assert_eq!(code, 78);
    assert!(
        stderr.contains("cannot read the CA file /: Is a directory"),
        "{stderr}"
    );
    for store in ["/", "/dev/none/store"] {
        let (code, stdout, stderr) = sandbox
            .run(&["emulator", "--port", "0", "--store", store])
            .outputs();
        assert_eq!((code, stdout.as_str()), (1, ""), "{store}");
        assert!(
            stderr.contains(&format!("cannot open {store}: ")),
            "{stderr}"
        );
    }
}
