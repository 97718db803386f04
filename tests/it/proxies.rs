//! Proxies: a real SOCKS listener and real CONNECT proxies, what is said when they refuse, and that a proxy which
//! was named and cannot be used never means a direct connection.

use crate::kit::{BINARY, BUFFER, Sandbox, closed_port, event};
use crate::network::{Handshakes, Tls, over_tls, proxy, serve, tunnel};
use crate::tools;
use serde_json::{Value, json};
use snapbox::str;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A name that no resolver knows: only a proxy can lead there.
const HOST: &str = "ingestion.invalid";

/// This machine by an address that is not one of loopback, and so would be reached through a proxy.
const ANY: &str = "0.0.0.0";

/// What a proxy was asked for, in order.
pub type Asked = Arc<Mutex<Vec<String>>>;

/// A SOCKS proxy, version 4, 4a or 5, that leads everything to one port of this machine. With credentials it lets
/// only those in, as `USER:PASSWORD`.
fn socks(lead_to: u16, credentials: Option<&'static str>) -> (u16, Asked) {
    let asked: Asked = Arc::default();
    let seen = asked.clone();
    let port = serve(move |mut client| {
        let asked_for = match bytes::<1>(&mut client) {
            Some([4]) => socks4(&mut client),
            Some([5]) => socks5(&mut client, credentials),
            _ => None,
        };
        let Some(asked_for) = asked_for else { return };
        seen.lock().unwrap().push(asked_for);
        tunnel(client, lead_to);
    });
    (port, asked)
}

/// The next bytes; `None` at the end of the connection.
fn bytes<const N: usize>(client: &mut TcpStream) -> Option<[u8; N]> {
    let mut read = [0; N];
    client.read_exact(&mut read).ok()?;
    Some(read)
}

/// A text behind its length.
fn text(client: &mut TcpStream) -> Option<String> {
    let [len] = bytes(client)?;
    let mut text = vec![0; len.into()];
    client.read_exact(&mut text).ok()?;
    String::from_utf8(text).ok()
}

/// A text that ends with a zero.
fn text_to_zero(client: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    loop {
        match bytes(client)? {
            [0] => return String::from_utf8(text).ok(),
            [byte] => text.push(byte),
        }
    }
}

fn socks4(client: &mut TcpStream) -> Option<String> {
    let [1, high, low, a, b, c, d] = bytes(client)? else {
        return None;
    };
    text_to_zero(client)?;
    let host = match [a, b, c, d] {
        [0, 0, 0, 1] => text_to_zero(client)?,
        ip => Ipv4Addr::from(ip).to_string(),
    };
    client.write_all(&[0, 90, 0, 0, 0, 0, 0, 0]).ok()?;
    Some(format!("{host}:{}", u16::from_be_bytes([high, low])))
}

fn socks5(client: &mut TcpStream, credentials: Option<&str>) -> Option<String> {
    let [methods] = bytes(client)?;
    let mut offered = vec![0; methods.into()];
    client.read_exact(&mut offered).ok()?;
    let method = if credentials.is_some() { 2 } else { 0 };
    if !offered.contains(&method) {
        client.write_all(&[5, 0xff]).ok()?;
        return None;
    }
    client.write_all(&[5, method]).ok()?;
    if let Some(credentials) = credentials {
        let [1] = bytes(client)? else { return None };
        let given = format!("{}:{}", text(client)?, text(client)?);
        client
            .write_all(&[1, u8::from(given != credentials)])
            .ok()?;
        if given != credentials {
            return None;
        }
    }
    let [5, 1, 0, kind] = bytes(client)? else {
        return None;
    };
    let host = match kind {
        1 => Ipv4Addr::from(bytes::<4>(client)?).to_string(),
        3 => text(client)?,
        4 => Ipv6Addr::from(bytes::<16>(client)?).to_string(),
        _ => return None,
    };
    let port = u16::from_be_bytes(bytes(client)?);
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
    Some(format!("{host}:{port}"))
}

/// A proxy that answers each request with this and closes, and the heads of the requests.
pub fn answering(answer: &'static [u8]) -> (u16, Asked) {
    let asked: Asked = Arc::default();
    let seen = asked.clone();
    let port = serve(move |client| {
        let lines = BufReader::new(&client).lines().map_while(Result::ok);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        seen.lock().unwrap().push(head.join("\n"));
        let _ = (&client).write_all(answer);
    });
    (port, asked)
}

/// A server behind TLS for this host, and one event for it.
fn behind_tls(host: &str, port: Option<u16>) -> (Sandbox, Tls) {
    let sandbox = Sandbox::new();
    let tls = Tls::in_front_of(sandbox.server.port, host);
    let port = port.unwrap_or(tls.port);
    (over_tls(sandbox, host, port), tls)
}

/// The exit code and the words of one attempt with this variable; the event stays.
#[track_caller]
fn refused(variable: &str, value: &str) -> (i32, String) {
    let sandbox = over_tls(Sandbox::new(), HOST, 443).env(variable, value);
    let before = sandbox.read(BUFFER);
    let args = ["--flush", "--attempts", "1", "--connect-timeout-ms", "2000"];
    let (code, stdout, stderr) = sandbox.run(&args).left(&before).outputs();
    assert_eq!(stderr, "");
    let words = stdout.strip_prefix("sent 0 events, kept 1 for the next pass: ");
    (code, words.unwrap_or(&stdout).trim_end().to_owned())
}

#[test]
fn socks5h_and_socks4a_pass_the_host_name_to_the_proxy() {
    for scheme in ["socks5h", "socks4a"] {
        let (sandbox, tls) = behind_tls(HOST, Some(443));
        let (port, asked) = socks(tls.port, None);
        let ca_file = tls.ca_file.display().to_string();
        sandbox
            .env("ALL_PROXY", &format!("{scheme}://127.0.0.1:{port}"))
            .run(&["--flush", "--ca-file", &ca_file])
            .stdout("sent 1 event")
            .left("")
            .code(0);
        assert_eq!(*asked.lock().unwrap(), [format!("{HOST}:443")], "{scheme}");
    }
}

#[test]
fn socks5_and_socks4_pass_an_address_to_the_proxy() {
    for scheme in ["socks5", "socks4"] {
        let (sandbox, tls) = behind_tls(ANY, Some(443));
        let (port, asked) = socks(tls.port, None);
        let ca_file = tls.ca_file.display().to_string();
        sandbox
            .env("https_proxy", &format!("{scheme}://127.0.0.1:{port}"))
            .run(&["--flush", "--ca-file", &ca_file])
            .stdout("sent 1 event")
            .left("")
            .code(0);
        assert_eq!(*asked.lock().unwrap(), [format!("{ANY}:443")], "{scheme}");
    }
}

/// Whether the name of the server was looked up on this machine; `None` without strace.
fn looks_up(scheme: &str) -> Option<bool> {
    let strace = tools::find("strace")?;
    let (sandbox, tls) = behind_tls(HOST, Some(443));
    let (port, _) = socks(tls.port, None);
    let sandbox = sandbox.env("ALL_PROXY", &format!("{scheme}://127.0.0.1:{port}"));
    let log = sandbox.path("calls");
    let output = Command::new(strace)
        .args(["-f", "-qq", "-o"])
        .arg(&log)
        .args([BINARY, "--flush", "--attempts", "1", "--ca-file"])
        .arg(&tls.ca_file)
        .env_clear()
        .envs(&sandbox.env)
        .stdin(Stdio::null())
        .output();
    output.unwrap();
    let calls = std::fs::read_to_string(log).unwrap();
    assert!(calls.contains("connect("), "{calls}");
    Some(calls.contains("/etc/hosts") || calls.contains("/etc/resolv.conf"))
}

#[test]
fn socks5h_asks_no_resolver_of_this_machine() {
    assert_ne!(looks_up("socks5"), Some(false), "strace sees a lookup");
    assert_ne!(looks_up("socks5h"), Some(true));
    assert_ne!(looks_up("socks4a"), Some(true));
}

#[test]
fn a_name_that_socks5_cannot_resolve_here_is_said_so() {
    let (port, asked) = socks(9, None);
    let url = format!("socks5://127.0.0.1:{port}");
    let words = format!(
        "no reply from the server: through {url} (ALL_PROXY): the host name could not be resolved on this machine; socks5h:// leaves that to the proxy"
    );
    assert_eq!(refused("ALL_PROXY", &url), (75, words));
    assert_eq!(*asked.lock().unwrap(), [] as [&str; 0]);
}

#[test]
fn a_socks_proxy_gets_the_credentials() {
    let (sandbox, tls) = behind_tls(HOST, Some(443));
    let (port, asked) = socks(tls.port, Some("anna:se@cret"));
    let ca_file = tls.ca_file.display().to_string();
    sandbox
        .env(
            "all_proxy",
            &format!("socks5h://anna:se%40cret@127.0.0.1:{port}"),
        )
        .run(&["--flush", "--ca-file", &ca_file])
        .stdout("sent 1 event")
        .left("")
        .code(0);
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn a_socks_proxy_that_wants_credentials_is_a_matter_of_configuration() {
    let (port, asked) = socks(9, Some("anna:secret"));
    let place = format!("127.0.0.1:{port}");
    let how = format!("write ALL_PROXY as socks5h://USER:PASSWORD@{place}");
    for (credentials, does) in [
        ("", "wants credentials"),
        ("anna:wrong@", "refuses the credentials"),
    ] {
        let value = format!("socks5h://{credentials}{place}");
        let words = format!(
            "no reply from the server: the proxy socks5h://{place} (ALL_PROXY) {does}; {how}"
        );
        assert_eq!(refused("ALL_PROXY", &value), (78, words));
    }
    assert_eq!(*asked.lock().unwrap(), [] as [&str; 0]);
}

#[test]
fn what_a_socks_proxy_refuses_is_said() {
    let port = serve(|mut client| {
        let _ = bytes::<3>(&mut client);
        let _ = client.write_all(&[5, 0]);
        let _ = bytes::<7>(&mut client);
        let _ = client.write_all(&[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]);
    });
    let url = format!("socks5h://127.0.0.1:{port}");
    let words = format!(
        "no reply from the server: the proxy {url} (ALL_PROXY) did not connect to the server: host unreachable"
    );
    assert_eq!(refused("ALL_PROXY", &url), (75, words));
}

#[test]
fn a_proxy_that_accepts_and_says_nothing_is_left_in_time() {
    for scheme in ["socks5h", "socks4a", "http"] {
        let held: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let port = serve(move |client| held.lock().unwrap().push(client));
        let url = format!("{scheme}://127.0.0.1:{port}");
        let words = format!(
            "no reply from the server: the proxy {url} (ALL_PROXY) does not answer: timed out (connect)"
        );
        assert_eq!(refused("ALL_PROXY", &url), (75, words));
    }
}

#[test]
fn a_proxy_that_answers_byte_by_byte_is_left_in_time() {
    let port = serve(|mut client| {
        let answer = b"HTTP/1.1 200 OK\r\nX: ".iter().chain(b"y".iter().cycle());
        for byte in answer {
            std::thread::sleep(Duration::from_millis(100));
            if client.write_all(&[*byte]).is_err() {
                return;
            }
        }
    });
    let url = format!("http://127.0.0.1:{port}");
    let words = format!(
        "no reply from the server: the proxy {url} (https_proxy) does not answer: timed out (connect)"
    );
    assert_eq!(refused("https_proxy", &url), (75, words));
}

#[test]
fn a_proxy_that_cannot_be_reached_is_said_so() {
    let port = closed_port();
    for scheme in ["socks5h", "http"] {
        let url = format!("{scheme}://127.0.0.1:{port}");
        let words = format!(
            "no reply from the server: the proxy {url} (HTTPS_PROXY) cannot be reached: connection refused"
        );
        assert_eq!(refused("HTTPS_PROXY", &url), (75, words));
    }
    let url = "http://proxy.invalid:3128";
    let words = format!(
        "no reply from the server: the proxy {url} (HTTPS_PROXY) cannot be reached: the host name could not be resolved"
    );
    assert_eq!(refused("HTTPS_PROXY", url), (75, words));
}

#[test]
fn an_http_proxy_that_refuses_connect_is_quoted() {
    for (answer, does) in [
        (
            &b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"[..],
            "answered 403 and did not connect to the server",
        ),
        (
            b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
            "answered 502 and did not connect to the server",
        ),
        (b"", "closed the connection without an answer"),
    ] {
        let (port, asked) = answering(answer);
        let url = format!("http://127.0.0.1:{port}");
        let words = format!("no reply from the server: the proxy {url} (https_proxy) {does}");
        assert_eq!(refused("https_proxy", &url), (75, words));
        assert!(asked.lock().unwrap()[0].starts_with("CONNECT ingestion.invalid:443 "));
    }
}

#[test]
fn an_http_proxy_that_wants_credentials_is_asked_once_and_left_alone() {
    const REQUIRED: &[u8] =
        b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n";
    for (credentials, does) in [
        ("", "wants credentials"),
        ("anna:hunter2@", "refuses the credentials"),
    ] {
        let (port, asked) = answering(REQUIRED);
        let value = format!("http://{credentials}127.0.0.1:{port}");
        let sandbox = over_tls(Sandbox::new(), HOST, 443).env("HTTPS_PROXY", &value);
        let before = sandbox.read(BUFFER);
        let words = format!(
            "no reply from the server: the proxy http://127.0.0.1:{port} (HTTPS_PROXY) {does} (407); write HTTPS_PROXY as http://USER:PASSWORD@127.0.0.1:{port}"
        );
        sandbox
            .run(&["--flush"])
            .stdout(&format!("sent 0 events, kept 1 for the next pass: {words}"))
            .left(&before)
            .code(78);
        // Its attempts are not used up, and uploads in the background pause for an hour.
        sandbox.run(&[]).left(&before).code(75);
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 1, "{asked:?}");
        // anna:hunter2
        let given = asked[0].contains("Proxy-Authorization: Basic YW5uYTpodW50ZXIy");
        assert_eq!(given, !credentials.is_empty(), "{asked:?}");
        for (name, (_, content)) in sandbox.files() {
            let shown = String::from_utf8_lossy(&content).contains("hunter2");
            assert!(!shown, "{name}");
        }
    }
}

#[test]
fn a_407_without_a_named_proxy_comes_from_a_proxy_of_the_network() {
    let sandbox = Sandbox::scripted("{\"status\": 407}\n").line(&event("a"));
    let before = sandbox.read(BUFFER);
    sandbox
        .flush()
        .stdout("sent 0 events, kept 1 for the next pass: no reply from the server: a proxy of the network wants credentials (407); name it with its credentials in HTTPS_PROXY")
        .posts(1)
        .left(&before)
        .code(78);
}

#[test]
fn what_fails_behind_a_proxy_names_the_proxy() {
    let (port, _) = proxy(serve(drop));
    let (code, words) = refused("HTTPS_PROXY", &format!("http://127.0.0.1:{port}"));
    let beginning =
        format!("no reply from the server: through http://127.0.0.1:{port} (HTTPS_PROXY): ");
    assert_eq!(code, 75, "{words}");
    assert!(words.starts_with(&beginning), "{words}");
}

#[test]
fn a_proxy_that_cannot_be_used_never_means_a_direct_connection() {
    let args = |tls: &Tls| {
        let ca_file = tls.ca_file.display().to_string();
        ["--flush".to_owned(), "--ca-file".to_owned(), ca_file]
    };
    // Without the variable this way is open.
    let (sandbox, tls) = behind_tls(ANY, None);
    let flags = args(&tls);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    sandbox.run(&flags).stdout("sent 1 event").left("").code(0);
    assert!(tls.handshakes().begun > 0);

    let (sandbox, tls) = behind_tls(ANY, None);
    let sandbox = sandbox.hasty();
    let before = sandbox.read(BUFFER);
    let flags = args(&tls);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    for variable in ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        for (value, why) in [
            (&b"socks://127.0.0.1:9050"[..], "has none of the schemes"),
            (b"quic://127.0.0.1:9050", "has none of the schemes"),
            (b"http://", "has no valid host"),
            (b"http://127.0.0.1:99999", "has no valid port"),
            (b"not a proxy", "holds a character"),
            (b"http://anna:hunter2\xff@127.0.0.1:9", "holds a character"),
        ] {
            let output = sandbox
                .command(&flags)
                .env(variable, OsStr::from_bytes(value))
                .output()
                .unwrap();
            let (code, stdout, stderr) = sandbox.ran(output).left(&before).outputs();
            let beginning = format!("sent 0 events, kept 1 for the next pass: {variable} {why}");
            let end = format!(
                "; write {variable} as http://HOST:PORT or socks5h://HOST:PORT, or unset it\n"
            );
            assert_eq!((code, stderr.as_str()), (78, ""), "{stdout}");
            assert!(
                stdout.starts_with(&beginning) && stdout.ends_with(&end),
                "{stdout}"
            );
            assert!(!stdout.contains("hunter2"), "{stdout}");
        }
    }
    assert_eq!(tls.handshakes(), Handshakes::default());
    // Nothing is to be waited for once the variable is mended.
    sandbox.run(&flags[1..]).left("").code(0);
}

#[test]
fn a_redirect_is_decided_anew_for_where_it_leads() {
    let step = json!({"status": 307, "headers": {"Location": format!("https://{ANY}/v2.1/track")}});
    let sandbox = Sandbox::scripted(&format!("{step}\n"));
    let tls = Tls::in_front_of(sandbox.server.port, ANY);
    let (port, asked) = proxy(tls.port);
    let ca_file = tls.ca_file.display().to_string();
    let sandbox = over_tls(sandbox, ANY, tls.port)
        .env("HTTPS_PROXY", &format!("http://127.0.0.1:{port}"))
        .env("NO_PROXY", &format!("{ANY}:{}", tls.port));
    sandbox
        .run(&["--flush", "--ca-file", &ca_file])
        .stdout("sent 1 event in 2 requests")
        .posts(2)
        .left("")
        .code(0);
    assert_eq!(
        *asked.lock().unwrap(),
        [format!("CONNECT {ANY}:443 HTTP/1.1")]
    );
}

/// What `status --json` says of the proxy.
fn shown_to_programs(sandbox: &Sandbox) -> Value {
    let (_, stdout, _) = sandbox.run(&["status", "--json"]).outputs();
    let status: Value = serde_json::from_str(&stdout).unwrap();
    status["proxy"].clone()
}

#[test]
fn status_shows_how_the_endpoint_is_reached() {
    let sandbox = over_tls(Sandbox::new(), HOST, 443).hasty();
    let goes_to = |sandbox: &Sandbox| {
        let (code, stdout, _) = sandbox.run(&["status"]).outputs();
        let line = stdout.lines().find(|line| line.starts_with("Goes to "));
        (code, line.unwrap().to_owned())
    };
    let direct = "Goes to      ingestion.invalid";
    assert_eq!(goes_to(&sandbox), (0, direct.to_owned()));
    assert_eq!(shown_to_programs(&sandbox)["way"], "direct");

    let sandbox = sandbox.env("https_proxy", "http://anna:hunter2@proxy:3128");
    let through = format!("{direct} through http://proxy:3128 (https_proxy)");
    assert_eq!(goes_to(&sandbox), (0, through));
    assert_eq!(
        shown_to_programs(&sandbox),
        json!({"way": "through", "url": "http://proxy:3128", "variable": "https_proxy"})
    );

    let sandbox = sandbox.env("NO_PROXY", ".invalid");
    let excepted = format!("{direct} directly: NO_PROXY names this host");
    assert_eq!(goes_to(&sandbox), (0, excepted));

    let sandbox = sandbox
        .without_env("NO_PROXY")
        .env("https_proxy", "http://");
    sandbox.run(&["status"]).begins(str![[r#"
Nothing can be sent: https_proxy has no valid host.
Next: write https_proxy as http://HOST:PORT or socks5h://HOST:PORT, or unset it, then run: telemetry-upload --flush; what is recorded waits meanwhile
--- exit 78

"#]]);
    assert_eq!(
        shown_to_programs(&sandbox),
        json!({"way": "unusable", "variable": "https_proxy", "why": "has no valid host"})
    );
}
