//! Root in the home of another user, as `sudo` makes it: nothing is made there, nothing changed, nothing sent.

use super::access::modes;
use super::{skipped_without_root, start_of_session};
use crate::kit::{Sandbox, event};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

/// Everything below a folder, with its owner.
fn owners(folder: &Path) -> BTreeMap<String, u32> {
    let owner = |path: &String| fs::symlink_metadata(path).unwrap().uid();
    let paths = modes(folder).into_keys();
    paths
        .map(|path| {
            let owner = owner(&path);
            (path, owner)
        })
        .collect()
}

fn check_leaves_no_trace(sandbox: &Sandbox, said: &str) {
    let (files, before) = (sandbox.files(), owners(sandbox.home.path()));
    let off = format!("telemetry is off: {said}");
    sandbox
        .run(&["--flush"])
        .stdout(&format!("{off}; nothing was sent"))
        .posts(0)
        .code(0);
    sandbox.run(&[]).posts(0).code(0);
    sandbox.run(&["record", "x"]).code(0);
    let refused = format!("nothing is recorded, {off}");
    sandbox
        .run(&["record", "x", "--spawn", "--verbose"])
        .stderr(&refused)
        .code(0);
    sandbox
        .feed(
            &["hook", "--host", "claude", "--verbose"],
            start_of_session(),
        )
        .stderr(&refused)
        .code(0);
    sandbox
        .run(&["--detach", "--verbose"])
        .stderr(&format!("no pass was started: {off}"))
        .code(0);
    assert_eq!(sandbox.files(), files);
    assert_eq!(owners(sandbox.home.path()), before);
}

#[test]
fn under_sudo_nothing_is_done_in_the_folder_of_another_user() {
    if skipped_without_root() {
        return;
    }
    // sudo that keeps HOME: everything is the other user's, even the folder alone, or the file alone.
    let mine = "which means off: its folder: it belongs to another user (uid 1000; this is uid 0); run this as that user";
    let whole = Sandbox::new().line(&event("a"));
    for path in modes(whole.home.path()).into_keys() {
        chown(path, Some(1000), Some(1000)).unwrap();
    }
    check_leaves_no_trace(&whole, &format!("telemetry.json cannot be read, {mine}"));
    let folder = Sandbox::new().line(&event("a"));
    chown(folder.data(), Some(1000), None).unwrap();
    check_leaves_no_trace(&folder, &format!("telemetry.json cannot be read, {mine}"));
    let file = Sandbox::new().line(&event("a"));
    chown(file.path("telemetry.json"), Some(1000), None).unwrap();
    check_leaves_no_trace(
        &file,
        "telemetry.json cannot be read, which means off: it belongs to another user (uid 1000; this is uid 0); run this as that user",
    );
}

#[test]
fn under_sudo_no_settings_are_made_for_another_user() {
    if skipped_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    chown(sandbox.home.path(), Some(1000), None).unwrap();
    let before = owners(sandbox.home.path());
    for scope in ["user", "project"] {
        let (code, stdout, stderr) = sandbox
            .run(&["hooks", "install", "--host", "claude", "--scope", scope])
            .outputs();
        let why = "it belongs to another user (uid 1000; this is uid 0); run this as that user; it is as it was";
        assert!(stderr.contains(why), "{stderr}");
        assert!(
            stdout.contains("\"SessionStart\""),
            "what to add by hand: {stdout}"
        );
        assert_eq!(code, 1);
    }
    assert_eq!(owners(sandbox.home.path()), before);
}

#[test]
fn under_sudo_no_answer_is_given_for_another_user() {
    if skipped_without_root() {
        return;
    }
    let whole = Sandbox::new().line(&event("a"));
    for path in modes(whole.home.path()).into_keys() {
        chown(path, Some(1000), Some(1000)).unwrap();
    }
    let folder = Sandbox::new().line(&event("a"));
    chown(folder.data(), Some(1000), None).unwrap();
    let nothing_yet = Sandbox::new();
    fs::remove_dir_all(nothing_yet.data()).unwrap();
    chown(nothing_yet.data().parent().unwrap(), Some(1000), None).unwrap();
    for sandbox in [whole, folder, nothing_yet] {
        let (files, before) = (sandbox.files(), owners(sandbox.home.path()));
        for args in [
            &["consent", "--yes"][..],
            &["consent", "--no"],
            &["disable"],
            &["enable"],
            &["reset-id"],
            &["purge", "--yes"],
        ] {
            let (code, stdout, stderr) = sandbox.run(args).outputs();
            let is_refused = code == 1 && stderr.contains("it belongs to another user (uid 1000");
            let is_idle = !sandbox.data().exists() && (code == 2 || stdout.contains("nothing"));
            assert!(is_refused || is_idle, "{args:?} {stdout} {stderr}");
            // For its owner it may well be on.
            assert!(!stderr.contains("off because of that"), "{args:?} {stderr}");
        }
        assert_eq!(sandbox.files(), files);
        assert_eq!(owners(sandbox.home.path()), before);
    }
}
