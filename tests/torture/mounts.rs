//! File systems of a trial's own. The trial is run again by a process in a mount namespace of its own,
//! where nobody else sees them and where they end with it, however it ends: their images lie on a
//! tmpfs of that namespace, too.

use crate::{Ended, Given, Size};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Set for the process in the namespace: the folder where everything is mounted.
const INSIDE: &str = "TELEMETRY_UPLOAD_TORTURE_MOUNTS";

/// Runs this trial, which goes by `name`, where it may mount.
pub fn alone(name: &str, given: Given, trial: fn(Given, &Path) -> Ended) -> Ended {
    if let Some(place) = std::env::var_os(INSIDE) {
        let place = PathBuf::from(place);
        let _everything = mount(&["-t", "tmpfs", "torture"], &place).unwrap();
        return trial(given, &place);
    }
    // A person who is not root may mount a tmpfs at least, in a user namespace.
    let with_user: &[&str] = if rustix::process::geteuid().is_root() {
        &[]
    } else {
        &["--user", "--map-root-user"]
    };
    let unshare = || {
        let mut command = Command::new("unshare");
        command
            .args(with_user)
            .args(["--mount", "--propagation", "private"]);
        command
    };
    match unshare().arg("true").output() {
        Err(err) => return Ended::Skipped(format!("there is no unshare here: {err}")),
        Ok(tried) if !tried.status.success() => {
            let why = String::from_utf8_lossy(&tried.stderr);
            return Ended::Skipped(format!("no mounting here: {}", why.trim()));
        }
        Ok(_) => {}
    }
    let place = tempfile::tempdir().unwrap();
    let mut command = unshare();
    command
        .arg(std::env::current_exe().unwrap())
        .args([name, "--seed", &given.seed.to_string()])
        .arg(match given.size {
            Size::Quick => "--quick",
            Size::Full => "--full",
        })
        .env(INSIDE, place.path())
        .env("TMPDIR", place.path())
        .stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let story = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{story}");
    let (_, ending) = said.split_once(" ... ").unwrap();
    match ending.trim().split_once(": ") {
        Some(("held", figures)) => {
            let (figures, _seconds) = figures.rsplit_once(" (").unwrap();
            Ended::Held(figures.to_owned())
        }
        Some(("skipped", why)) => Ended::Skipped(why.to_owned()),
        _ => panic!("{said}\n{story}"),
    }
}

/// Says where the trial is; it shows only if it fails.
pub fn note(words: &str) {
    let mut stderr = std::io::stderr();
    writeln!(stderr, "{words}").unwrap();
}

/// A file system, mounted until this value ends.
#[derive(Debug)]
pub struct Mounted {
    pub at: PathBuf,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        unmount(&self.at);
    }
}

/// Mounts with these arguments of mount(8), at a folder that is made.
pub fn mount(args: &[&str], at: &Path) -> Result<Mounted, String> {
    std::fs::create_dir_all(at).unwrap();
    run(Command::new("mount").args(args).arg(at))?;
    Ok(Mounted { at: at.to_owned() })
}

fn unmount(at: &Path) {
    // A process that was killed a moment ago may have the file system open still.
    for _ in 0..1000 {
        if run(Command::new("umount").arg(at)).is_ok() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// An image of this size with a file system in it.
pub fn image(path: &Path, megabytes: u64, mkfs: &[&str]) -> Result<(), String> {
    let file = std::fs::File::create(path).unwrap();
    file.set_len(megabytes * 1024 * 1024).unwrap();
    run(Command::new(mkfs[0]).args(&mkfs[1..]).arg(path))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|err| format!("{}: {err}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "{}: {}",
        command.get_program().display(),
        words.trim()
    ))
}
