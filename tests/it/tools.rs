//! Programs of this machine that a test may use but does not insist on: where one is missing, what
//! needs it is skipped, and says so. `.ci/run` names those that must be there in `TELEMETRY_UPLOAD_TOOLS`.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, OnceLock};

/// What was missed so far: each is said once.
static MISSING: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// The program of this name, if it is on the PATH.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        missed(name);
    }
    found
}

/// The program that gives a command mounts of its own, where it is here and this user may mount.
pub fn unshare() -> Option<PathBuf> {
    static MAY_MOUNT: OnceLock<bool> = OnceLock::new();
    let unshare = find("unshare")?;
    let may_mount = MAY_MOUNT.get_or_init(|| {
        let mount = "mount -t tmpfs none /tmp && mount -o remount,bind,ro /tmp";
        let output = Command::new(&unshare)
            .args(["--mount", "sh", "-c", mount])
            .output()
            .unwrap();
        output.status.success()
    });
    if !may_mount {
        missed("leave to mount");
        return None;
    }
    Some(unshare)
}

/// The program that has system calls fail, where it is here and may trace.
pub fn strace() -> Option<PathBuf> {
    let strace = find("strace")?;
    let tried = Command::new(&strace)
        .args(["-o", "/dev/null", "true"])
        .output()
        .unwrap();
    if !tried.status.success() {
        missed("leave to trace");
        return None;
    }
    Some(strace)
}

/// Whether this machine has no telemetry-upload where hooks look for it whatever the home: with one there, nobody
/// can see what is said without.
pub fn is_not_installed() -> bool {
    let folders = ["/opt/homebrew/bin", "/usr/local/bin"];
    let is_there = |folder: &str| Path::new(folder).join("telemetry-upload").exists();
    let is_not_installed = !folders.into_iter().any(is_there);
    if !is_not_installed {
        missed("machine without telemetry-upload installed for everybody");
    }
    is_not_installed
}

/// Says once that this is not there. Whoever insists on it does not get past this.
pub fn missed(name: &str) {
    let insisted_on = std::env::var("TELEMETRY_UPLOAD_TOOLS").unwrap_or_default();
    assert!(
        !insisted_on.split_whitespace().any(|tool| tool == name),
        "there is no {name} here, and TELEMETRY_UPLOAD_TOOLS insists on it"
    );
    if MISSING.lock().unwrap().insert(name.to_owned()) {
        // Not `eprintln!`: the harness would keep it to itself, since what skips succeeds.
        let mut stderr = std::io::stderr();
        writeln!(stderr, "skipped: there is no {name} here").unwrap();
    }
}

/// A POSIX shell: the program, and what stands before the name of its script.
pub type Shell = Vec<PathBuf>;

/// Every shell that people's hooks are run by; the first is always there.
pub fn shells() -> Vec<Shell> {
    let mut shells: Vec<Shell> = vec![vec!["/bin/sh".into()]];
    shells.extend(
        ["dash", "bash", "zsh"]
            .into_iter()
            .filter_map(|name| Some(vec![find(name)?])),
    );
    shells.extend(find("busybox").map(|busybox| vec![busybox, "sh".into()]));
    shells
}

/// Python itself: what is on the PATH may be a launcher that needs the person's environment.
pub fn python() -> Option<PathBuf> {
    let output = Command::new(find("python3")?)
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .unwrap();
    Some(PathBuf::from(
        String::from_utf8(output.stdout).unwrap().trim(),
    ))
}

/// A file of this repository.
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Runs to the end with this on its standard input, which it need not read.
pub fn feed(command: &mut Command, stdin: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let bytes = stdin.to_vec();
    let writer = std::thread::spawn(move || pipe.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    // A hook may end before it has read everything.
    let _ = writer.join().unwrap();
    output
}

/// Nothing was said, and the exit code is 0.
pub fn silent(output: &Output, story: &str) {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    assert_eq!(String::from_utf8_lossy(&said), "", "{story}");
    assert_eq!(output.status.code(), Some(0), "{story}");
}
