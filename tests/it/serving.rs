//! The emulator as a process of its own: over https, and on a disk that is full.

use crate::kit::{BINARY, Sandbox, event};
use rcgen::{CertificateParams, KeyPair};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// A certificate for localhost that vouches for itself, and its key, as PEM files.
fn identity(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let at = |ending: &str| folder.join(format!("{name}-{ending}.pem"));
    std::fs::write(at("cert"), certificate.pem()).unwrap();
    std::fs::write(at("key"), key.serialize_pem()).unwrap();
    (at("cert"), at("key"))
}

struct Running {
    process: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(args: &[&str]) -> Running {
        Running::started_by(
            Command::new(BINARY)
                .args(["emulator", "--port", "0"])
                .args(args),
        )
    }

    fn started_by(command: &mut Command) -> Running {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let said = stdout.lines().map(Result::unwrap);
            said.take_while(|line| sender.send(line.clone()).is_ok())
                .count()
        });
        Running { process, lines }
    }

    fn line(&mut self) -> String {
        self.lines.recv_timeout(Duration::from_secs(60)).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn the_emulator_serves_https_and_names_clients_that_do_not_speak_it() {
    let sandbox = Sandbox::new().line(&event("a"));
    let (cert, key) = identity(sandbox.home.path(), "good");
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let store = sandbox.path("store.jsonl");
    let store_flags = ["--store", store.to_str().unwrap()];
    let mut emulator =
        Running::start(&[&store_flags[..], &["--cert", cert, "--key", key]].concat());
    let listening = emulator.line();
    let port = listening
        .strip_prefix("listening on https://localhost:")
        .and_then(|rest| rest.strip_suffix("/v2.1/track; to send here:"))
        .unwrap();
    let setting = emulator.line();
    let (name, value) = setting.split_once('=').unwrap();
    let value = value.trim_matches('\'');
    assert!(
        value.ends_with(&format!(";IngestionEndpoint=https://localhost:{port}/")),
        "{value}"
    );

    let sandbox = sandbox.env(name, value);
    let (code, stdout, _) = sandbox.flush().outputs();
    assert_eq!(code, 75, "{stdout}");
    let untrusting = "no request: the TLS handshake failed: the client left; the client must trust the certificate of --cert";
    assert_eq!(emulator.line(), untrusting);

    let mut plain = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // The untrusting one tried more than once.
    let mut rest = std::iter::repeat_with(|| emulator.line());
    assert_eq!(
        rest.find(|line| line != untrusting).unwrap(),
        "no request: a client speaks plain http to this TLS port; send to https, or start without --cert and --key"
    );

    sandbox
        .run(&["--flush", "--ca-file", cert])
        .stdout("sent 1 event")
        .left("")
        .code(0);
    assert_eq!(emulator.line(), "POST /v2.1/track 200: 1 of 1 accepted");
    assert_eq!(std::fs::read_to_string(store).unwrap().lines().count(), 1);
}

#[test]
fn a_full_disk_leaves_no_part_of_a_request_in_the_store() {
    let sandbox = Sandbox::new();
    let store = sandbox.path("store.jsonl");
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$0\" emulator --port 0 --store \"$1\"";
    let mut emulator = Running::started_by(
        Command::new("/bin/sh")
            .args(["-c", script, BINARY])
            .arg(&store),
    );
    emulator.line();
    let setting = emulator.line();
    let (name, value) = setting.split_once('=').unwrap();
    let sandbox = sandbox.env(name, value.trim_matches('\''));
    // More than the 8 or 16 KB that may be written; a request has 2 events.
    for n in 0..100 {
        sandbox.append(event(&n.to_string()) + "\n");
    }
    let flags = [
        "--flush",
        "--request-events",
        "2",
        "--lanes",
        "1",
        "--attempts",
        "1",
    ];
    let (code, stdout, _) = sandbox.run(&flags).outputs();
    assert_eq!(code, 75, "{stdout}");
    let refused = loop {
        let line = emulator.line();
        if !line.contains(" 200: 2 of 2 accepted") {
            break line;
        }
    };
    assert_eq!(
        refused,
        "POST /v2.1/track 500: cannot write the store: File too large (os error 27)"
    );
    let text = std::fs::read_to_string(store).unwrap();
    let stored = text.lines().count();
    assert!(stored >= 2 && stored.is_multiple_of(2), "{stored}");
    let is_whole = |line| serde_json::from_str::<serde_json::Value>(line).is_ok();
    assert!(text.ends_with('\n') && text.lines().all(is_whole));
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let sandbox = Sandbox::new();
    let folder = sandbox.home.path();
    let (cert, key) = identity(folder, "good");
    let (_, other_key) = identity(folder, "other");
    let check = |cert: &Path, key: &Path, expected: &str| {
        let flags = [
            "--cert",
            cert.to_str().unwrap(),
            "--key",
            key.to_str().unwrap(),
        ];
        let args = [&["emulator", "--port", "0"][..], &flags].concat();
        let (code, stdout, stderr) = sandbox.run(&args).outputs();
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        let at = folder.display().to_string();
        assert_eq!(
            stderr.replace(&at, ""),
            format!("telemetry-upload: {expected}\n")
        );
    };
    let missing = folder.join("missing.pem");
    check(
        &missing,
        &key,
        "cannot read /missing.pem: No such file or directory (os error 2)",
    );
    check(
        &key,
        &key,
        "cannot use the certificate /good-key.pem: it holds no PEM certificate",
    );
    check(
        &cert,
        &cert,
        "cannot use the key /good-cert.pem: it holds no PEM private key without a passphrase",
    );
    check(
        &cert,
        &other_key,
        "cannot use the certificate /good-cert.pem with the key /other-key.pem: the key belongs to another certificate",
    );
    let alone = ["emulator", "--port", "0", "--cert", "c.pem"];
    let (code, _, stderr) = sandbox.run(&alone).outputs();
    assert!(
        code == 2 && stderr.contains("--key <FILE>"),
        "{code} {stderr}"
    );
}
