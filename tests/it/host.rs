//! A host written in Rust, which has this crate in its own process: its signals and its environment are its
//! own.

use crate::kit::CONSENT;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use telemetry_upload::lease::{self, Lease};
use telemetry_upload::os::{self, Open};
use telemetry_upload::{Recorded, Recorder};

/// Says to the process of a host that it is one.
const HOST: &str = "TELEMETRY_UPLOAD_TEST_HOST";

/// A home whose name is not UTF-8, with a stand-in for the program that writes down its environment.
struct Home {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Home {
    fn new() -> Home {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(OsStr::from_bytes(b"caf\xe9"));
        fs::create_dir_all(path.join("bin")).unwrap();
        fs::create_dir_all(path.join(".local/share/mytool")).unwrap();
        let program = path.join("bin/telemetry-upload");
        let script = "#!/bin/sh\nexec env -0 >\"${0%/bin/*}/environment\"\n";
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(path.join(".local/share/mytool/telemetry.json"), CONSENT).unwrap();
        Home {
            _folder: folder,
            path,
        }
    }

    /// The value of PATH with the stand-in.
    fn search_path(&self) -> OsString {
        let bin = self.path.join("bin");
        let mut path = bin.into_os_string().into_vec();
        path.extend(b":/usr/bin:/bin");
        OsString::from_vec(path)
    }

    /// Runs one of the processes below.
    fn run(&self, host: &str) {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("host::{host}"), "--nocapture"])
            .env_clear()
            .env(HOST, host)
            .env("HOME", &self.path)
            .env("PATH", self.search_path())
            .output()
            .unwrap();
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.success(), "{:?} {said}", output.status);
        assert!(self.path.join("done").exists(), "{said}");
    }

    /// The variables that the stand-in was started with.
    fn environment(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let bytes = fs::read(self.path.join("environment")).unwrap();
        let variables = bytes.split(|byte| *byte == 0);
        variables
            .filter_map(|variable| {
                let at = variable.iter().position(|byte| *byte == b'=')?;
                Some((variable[..at].to_vec(), variable[at + 1..].to_vec()))
            })
            .collect()
    }
}

/// The home of the host that this process is, if it is this one.
fn home_of(host: &str) -> Option<PathBuf> {
    let is_host = std::env::var_os(HOST).is_some_and(|name| name == host);
    is_host.then(|| std::env::var_os("HOME").unwrap().into())
}

/// Calls of the handlers below.
static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn handle(_signal: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

#[allow(unsafe_code)]
fn install_handlers() {
    for signal in [libc::SIGIO, libc::SIGXFSZ] {
        // SAFETY: the handler does nothing but to count.
        unsafe { libc::signal(signal, handle as *const () as libc::sighandler_t) };
    }
}

/// Which signals this process ignores, and which it handles.
fn dispositions() -> Vec<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let masks = status
        .lines()
        .filter(|line| line.starts_with("SigIgn:") || line.starts_with("SigCgt:"));
    masks.map(str::to_owned).collect()
}

/// Not a test by itself: the host of the test below.
#[test]
fn a_host_with_handlers() {
    let Some(home) = home_of("a_host_with_handlers") else {
        return;
    };
    install_handlers();
    let before = dispositions();
    assert_eq!(before.len(), 2);
    let recorder = Recorder::new("mytool").unwrap();
    assert_eq!(recorder.denied(), None);
    let path = home.join(".local/share/mytool/telemetry.json");
    let id = || {
        let file: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        file["anonymousId"].as_str().unwrap().to_owned()
    };
    let old = json!({
        "enabled": true, "consentGiven": true, "anonymousId": "old",
        "rotatedAt": "2026-01-01T00:00:00Z",
    })
    .to_string();
    let record = || {
        // As a host writes it.
        fs::write(path.with_extension("new"), &old).unwrap();
        fs::rename(path.with_extension("new"), &path).unwrap();
        let done = recorder.record("x", json!({"n": 1})).unwrap();
        assert!(matches!(done, Recorded::Written(_)), "{done}");
    };
    record();
    assert_ne!(id(), "old", "the month began");
    // Others open the file while its id is changed.
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                let _ = fs::read(&path);
            }
        });
        for _ in 0..100 {
            record();
        }
        is_over.store(true, Ordering::SeqCst);
    });
    recorder.start_pass().unwrap();
    // The same at the one moment that counts.
    let file = os::open(&path, Open::Update).unwrap();
    let Lease::Held(held) = lease::take(&file) else {
        panic!("this file system has no leases, or another process has the file open");
    };
    let opened = fs::File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&path);
    assert_eq!(opened.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert!(held.is_wanted());
    drop(held);
    assert_eq!(dispositions(), before);
    assert_eq!(HANDLED.load(Ordering::SeqCst), 0);
    fs::write(home.join("done"), "").unwrap();
}

#[test]
fn a_recorder_leaves_the_signals_of_its_host_alone() {
    Home::new().run("a_host_with_handlers");
}

/// Not a test by itself: the hosts of the tests below.
#[test]
fn a_host_in_an_odd_home() {
    let Some(home) = home_of("a_host_in_an_odd_home") else {
        return;
    };
    let recorder = Recorder::new("mytool").unwrap();
    assert_eq!(recorder.paths().data(), home.join(".local/share/mytool"));
    recorder.record("x", json!({})).unwrap();
    recorder.start_pass().unwrap();
    fs::write(home.join("done"), "").unwrap();
}

/// Not a test by itself.
#[test]
fn a_host_that_gives_an_environment() {
    let Some(home) = home_of("a_host_that_gives_an_environment") else {
        return;
    };
    let mut env = os::environment();
    env.insert("GIVEN".to_owned(), "é".to_owned());
    env.remove(HOST);
    let data = home.join(".local/share/mytool");
    let recorder = Recorder::within("mytool", Some(&data), env).unwrap();
    recorder.record("x", json!({})).unwrap();
    recorder.start_pass().unwrap();
    fs::write(home.join("done"), "").unwrap();
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

#[test]
fn a_pass_is_started_with_the_very_environment_of_its_host() {
    let home = Home::new();
    home.run("a_host_in_an_odd_home");
    let environment = home.environment();
    let value = |name: &str| environment.get(name.as_bytes()).map(Vec::as_slice);
    assert_eq!(value("HOME"), Some(bytes(&home.path)));
    assert_eq!(value("PATH"), Some(home.search_path().as_bytes()));
    assert_eq!(value(HOST), Some(&b"a_host_in_an_odd_home"[..]));
}

#[test]
fn an_environment_that_a_host_gives_is_handed_on_and_nothing_of_it_is_garbled() {
    let home = Home::new();
    home.run("a_host_that_gives_an_environment");
    let environment = home.environment();
    let value = |name: &str| environment.get(name.as_bytes()).map(Vec::as_slice);
    assert_eq!(value("HOME"), Some(bytes(&home.path)));
    assert_eq!(value("PATH"), Some(home.search_path().as_bytes()));
    assert_eq!(value("GIVEN"), Some("é".as_bytes()));
    assert_eq!(value(HOST), None);
}
