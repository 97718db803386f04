//! Whose certificates are trusted: the bundled roots first, then the system's, and nobody's else once a
//! person has said whose.

use crate::kit::{BINARY, Sandbox, event};
use crate::network::{Handshakes, Tls, over_tls};
use crate::tools;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Where Debian and its kin have the system's certificates, and what is looked at first there.
const STORE: &str = "/etc/ssl/certs";

fn handshakes(begun: usize, completed: usize) -> Handshakes {
    Handshakes { begun, completed }
}

/// A server whose certificate no bundled root vouches for, and an event for it.
fn unknown_server() -> (Sandbox, Tls) {
    let sandbox = Sandbox::new();
    let tls = Tls::in_front_of(sandbox.server.port, "localhost");
    (over_tls(sandbox, "localhost", tls.port), tls)
}

/// Flushes where the system's store holds the certificates in this file and no others; `None` where such
/// a place cannot be had.
fn flush_where_trusted(sandbox: &Sandbox, ca_file: &Path, args: &[&str]) -> Option<Output> {
    let unshare = tools::unshare()?;
    if !Path::new(STORE).is_dir() {
        tools::missed(STORE);
        return None;
    }
    let script = format!(
        "cp \"$0\" \"$HOME/ca.pem\" && mount -t tmpfs none {STORE} && cp \"$HOME/ca.pem\" {STORE}/ca-certificates.crt && exec \"$@\""
    );
    let output = Command::new(unshare)
        .args(["--mount", "sh", "-c", &script])
        .arg(ca_file)
        .args([BINARY, "--flush", "--attempts", "1"])
        .args(args)
        .env_clear()
        .envs(&sandbox.env)
        .stdin(Stdio::null())
        .output();
    Some(output.unwrap())
}

/// What strace saw, in order.
fn calls(sandbox: &Sandbox, args: &[&str]) -> Option<Vec<String>> {
    let strace = tools::find("strace")?;
    let log = sandbox.path("calls");
    Command::new(strace)
        .args(["-f", "-qq", "-o"])
        .arg(&log)
        .arg(BINARY)
        .args(args)
        .env_clear()
        .envs(&sandbox.env)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = fs::read_to_string(log).unwrap();
    Some(text.lines().map(str::to_owned).collect())
}

/// Where in these calls something of the system's certificates is asked for.
fn touching_the_store(calls: &[String]) -> impl Iterator<Item = usize> {
    let is_of_it = |call: &str| {
        ["/ssl", "/pki/", "/ca-cert"]
            .iter()
            .any(|part| call.contains(part))
    };
    (0..calls.len()).filter(move |number| is_of_it(&calls[*number]))
}

#[test]
fn a_root_of_the_system_that_is_not_bundled_is_trusted_and_found_out_once() {
    let (sandbox, tls) = unknown_server();
    let lines = (1..300).map(|n| event(&n.to_string()) + "\n");
    sandbox.append(lines.collect::<String>());
    let Some(output) = flush_where_trusted(&sandbox, &tls.ca_file, &[]) else {
        return;
    };
    sandbox
        .ran(output)
        .stdout("sent 300 events in 3 requests")
        .left("")
        .code(0);
    assert_eq!(tls.handshakes(), handshakes(2, 1));
}

#[test]
fn the_roots_that_a_person_names_are_the_only_ones() {
    let (_, other) = unknown_server();
    let other = other.ca_file.display().to_string();
    for (name, args) in [
        ("SSL_CERT_FILE", &[] as &[&str]),
        ("_", &["--ca-file", &other]),
    ] {
        let (sandbox, tls) = unknown_server();
        let sandbox = sandbox.env(name, &other);
        let Some(output) = flush_where_trusted(&sandbox, &tls.ca_file, args) else {
            return;
        };
        assert_eq!(output.status.code(), Some(75), "{name} {args:?}");
        assert_eq!(tls.handshakes(), handshakes(1, 0), "{name} {args:?}");
    }
}

#[test]
fn the_roots_that_a_person_names_are_asked_at_once() {
    for by_variable in [true, false] {
        let (sandbox, tls) = unknown_server();
        let ca_file = tls.ca_file.display().to_string();
        let (sandbox, args) = if by_variable {
            (sandbox.env("SSL_CERT_FILE", &ca_file), vec!["--flush"])
        } else {
            (sandbox, vec!["--flush", "--ca-file", &ca_file])
        };
        sandbox.run(&args).stdout("sent 1 event").left("").code(0);
        assert_eq!(tls.handshakes(), handshakes(1, 1));
    }
}

#[test]
fn an_empty_variable_names_no_roots() {
    let (sandbox, tls) = unknown_server();
    let sandbox = sandbox.env("SSL_CERT_FILE", "");
    let (code, ..) = sandbox.run(&["--flush", "--attempts", "1"]).outputs();
    assert_eq!((code, tls.handshakes()), (75, handshakes(2, 0)));
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_shown_to_each_set_of_roots_and_sent_nothing() {
    let (sandbox, tls) = unknown_server();
    let before = sandbox.read("telemetry-events.jsonl");
    let args = ["--flush", "--attempts", "3", "--pause-ms", "0"];
    let (code, stdout, _) = sandbox.run(&args).left(&before).outputs();
    assert_eq!(code, 75);
    assert!(stdout.contains("certificate"), "{stdout}");
    assert!(stdout.contains("--ca-file or SSL_CERT_FILE"), "{stdout}");
    // The bundled roots are asked by the first attempt alone.
    assert_eq!(tls.handshakes(), handshakes(4, 0));
}

#[test]
fn the_store_of_the_system_is_opened_once_and_only_after_the_bundled_roots_said_no() {
    let (sandbox, tls) = unknown_server();
    let args = ["--flush", "--attempts", "3", "--pause-ms", "0"];
    let Some(calls) = calls(&sandbox, &args) else {
        return;
    };
    let port = format!("htons({})", tls.port);
    let connected: Vec<usize> = (0..calls.len())
        .filter(|number| calls[*number].contains("connect(") && calls[*number].contains(&port))
        .collect();
    let [first, _, third, ..] = connected[..] else {
        panic!("{connected:?}");
    };
    let touched: Vec<usize> = touching_the_store(&calls).collect();
    assert!(!touched.is_empty());
    // What the server says of itself comes in a TLS record that begins so.
    let said = |call: &String| call.contains("recvfrom") && call.contains("\"\\26\\3\\3");
    let came = (first..third).find(|number| said(&calls[*number]));
    let came = came.unwrap_or_else(|| panic!("{:#?}", &calls[first..third]));
    assert!(
        touched.iter().all(|touch| (came..third).contains(touch)),
        "{came} {connected:?} {touched:?}"
    );
}

#[test]
fn without_tls_no_certificate_is_looked_for() {
    let sandbox = Sandbox::new().line(&event("a"));
    let Some(calls) = calls(&sandbox, &["--flush"]) else {
        return;
    };
    assert_eq!(sandbox.delivered(), ["a"]);
    assert_eq!(touching_the_store(&calls).count(), 0);
}
