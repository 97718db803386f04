//! Something else where a file of ours belongs: nothing is written through it, nothing waits for it, no
//! host fails over it, and once it is gone everything is delivered.

use super::{after, is_root, start_of_session, text};
use crate::kit::{BUFFER, CONSENT, Sandbox, event};
use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

/// What stands there instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
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

pub(super) const ALL: [Obstacle; 9] = [
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

pub(super) const PRECIOUS: &str = "{\"precious\":true}\n";

impl Obstacle {
    /// Puts it there; what it leads to is `victim`.
    pub(super) fn put(self, path: &Path, victim: &Path) {
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

    pub(super) fn is_possible(self) -> bool {
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
        "telemetry.json.telemetry-upload.new",
        "upload/consent.lock",
        "upload/detached.lock",
        "upload/rejected.jsonl",
        "upload/rejected.jsonl.1",
        "upload/sent.jsonl",
        &calls,
        "upload/state.json",
        "upload/state.json.telemetry-upload.new",
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

#[test]
fn what_a_person_names_is_opened_without_waiting_for_ever() {
    let sandbox = Sandbox::new().line(&event("a"));
    // Without an end, and larger than any list of certificates.
    let endless = ["--flush", "--ca-file", "/dev/zero"];
    let output = after(&sandbox, "ulimit -v 500000", &endless);
    let stderr = text(&output.stderr);
    assert_eq!((output.status.code(), sandbox.posts()), (Some(78), 0));
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
