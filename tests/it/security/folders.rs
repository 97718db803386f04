//! Something else where a folder of ours belongs.

use super::obstacles::{ALL, Obstacle, PRECIOUS};
use super::{is_root, skipped_without_root, start_of_session};
use crate::kit::{Sandbox, event};
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

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
        if !obstacle.is_possible() || matches!(obstacle, Obstacle::Folder | Obstacle::HardLink) {
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
    if skipped_without_root() {
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
