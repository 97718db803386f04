//! `doctor`: each check, well and not well, and what a report must not hold.

use crate::bad_input::outputs_as_nobody;
use crate::kit::{BINARY, BUFFER, Sandbox, closed_port, event};
use crate::network::{Handshakes, Tls, over_tls, proxy};
use crate::proxies::answering;
use crate::tools;
use chrono::TimeDelta;
use serde_json::{Value, json};
use snapbox::str;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Everything as it should be: installed, hooks in place, one event sent.
fn healthy() -> Sandbox {
    healthy_at(Sandbox::new())
}

fn healthy_at(sandbox: Sandbox) -> Sandbox {
    chmod(&sandbox.data(), 0o700);
    chmod(&sandbox.path("telemetry.json"), 0o600);
    let folder = sandbox.home.path().join(".local/bin");
    fs::create_dir_all(&folder).unwrap();
    symlink(BINARY, folder.join("telemetry-upload")).unwrap();
    sandbox
}

/// One that has sent an event.
fn at_work() -> Sandbox {
    let sandbox = healthy().line(&event("a"));
    sandbox.flush().stdout("sent 1 event").left("").code(0);
    sandbox
        .run(&["hooks", "install", "--host", "claude"])
        .outputs();
    sandbox
}

fn report(sandbox: &Sandbox, args: &[&str]) -> (i32, Value) {
    let args = [&["doctor", "--json"], args].concat();
    let (code, stdout, stderr) = sandbox.run(&args).outputs();
    assert_eq!(stderr, "");
    (code, serde_json::from_str(&stdout).unwrap())
}

/// The check of this name, or the first one that is not well.
fn find<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    let mut named = checks.iter().filter(|check| check["name"] == name);
    let not_ok = |check: &&&Value| check["result"] != "ok";
    let all: Vec<&Value> = named.by_ref().collect();
    let found = all.iter().find(not_ok).or(all.first());
    found.unwrap_or_else(|| panic!("no check {name} in {report:#}"))
}

/// This check alone is not well, and says this; the exit code is that of the whole.
#[track_caller]
fn only(sandbox: &Sandbox, args: &[&str], name: &str, result: &str, words: &str, exit: i32) {
    let (code, report) = report(sandbox, args);
    let found = find(&report, name);
    assert_eq!(found["result"], result, "{report:#}");
    let said = found["words"].as_str().unwrap();
    assert!(said.contains(words), "{said}");
    assert!(found["advice"].is_string(), "{found}");
    let counts = if result == "warning" { [0, 1] } else { [1, 0] };
    assert_eq!(
        [&report["problems"], &report["warnings"]],
        [&json!(counts[0]), &json!(counts[1])],
        "{report:#}"
    );
    assert_eq!((code, &report["exit"]), (exit, &json!(exit)), "{report:#}");
}

#[test]
fn a_healthy_machine_is_well() {
    let sandbox = at_work();
    sandbox.run(&["doctor"]).says(str![[r#"
ok       version: telemetry-upload 0.1.0, linux [ARCH]
ok       program: ~/.local/bin/telemetry-upload
ok       consent: telemetry is on
ok       config.json: there is none; the defaults hold
ok       connection string: events go to [SERVER]
ok       proxy: none
ok       certificates: those built in, and those that the system trusts
ok       data folder: ~/.local/share/atomic, yours alone
ok       upload folder: ~/.local/share/atomic/upload, yours alone
ok       files: all yours alone
ok       buffer: telemetry-events.jsonl: nothing waits
ok       lock: works
ok       lease: works
ok       disk: room enough; and no network's, as far as is known
ok       clock: can be right; --online compares it with the server's
ok       hooks: claude (user)
ok       schedule: none
ok       uploader: no pass is at work
ok       pause: none
ok       last pass: [TIME]: sent 1 event
ok       rejected: no line
all is well
--- exit 0

"#]]);
    sandbox.run(&["doctor", "--online"]).says(str![[r#"
ok       version: telemetry-upload 0.1.0, linux [ARCH]
ok       program: ~/.local/bin/telemetry-upload
ok       consent: telemetry is on
ok       config.json: there is none; the defaults hold
ok       connection string: events go to [SERVER]
ok       proxy: none
ok       certificates: those built in, and those that the system trusts
ok       data folder: ~/.local/share/atomic, yours alone
ok       upload folder: ~/.local/share/atomic/upload, yours alone
ok       files: all yours alone
ok       buffer: telemetry-events.jsonl: nothing waits
ok       lock: works
ok       lease: works
ok       disk: room enough; and no network's, as far as is known
ok       clock: can be right; --online compares it with the server's
ok       hooks: claude (user)
ok       schedule: none
ok       uploader: no pass is at work
ok       pause: none
ok       last pass: [TIME]: sent 1 event
ok       rejected: no line
ok       lookup: 127.0.0.1: 1 address, [DURATION]
ok       connect: [SERVER], [DURATION]
ok       answer: 200 in the words of Application Insights, [DURATION]
ok       server's clock: agrees with this machine's
all is well
--- exit 0

"#]]);
}

#[test]
fn a_sick_machine_hears_what_to_do() {
    if !tools::is_not_installed() {
        return;
    }
    let sandbox = Sandbox::new()
        .line(&event("a"))
        .env("HTTPS_PROXY", "not a proxy")
        .env("SSL_CERT_FILE", "certificates.pem")
        .env(
            "APPLICATIONINSIGHTS_CONNECTION_STRING",
            "IngestionEndpoint=x",
        );
    chmod(&sandbox.path(BUFFER), 0o644);
    chmod(&sandbox.data(), 0o755);
    let until = telemetry_upload::world::now() + TimeDelta::hours(1);
    fs::create_dir(sandbox.path("upload")).unwrap();
    chmod(&sandbox.path("upload"), 0o700);
    let state = json!({
        "notBefore": {"until": until, "reason": "the daily quota of the resource is used up (402)"},
        "last": {"at": until, "exit": 75, "summary": "sent 0 events, kept 1 for the next pass: no reply"},
    });
    sandbox.write("upload/state.json", state.to_string());
    sandbox.write("upload/rejected.jsonl", "{}\n");
    symlink(sandbox.path("nowhere"), sandbox.path("upload/sent.jsonl")).unwrap();
    sandbox.run(&["doctor", "--online"]).says(str![[r#"
ok       version: telemetry-upload 0.1.0, linux [ARCH]
warning  program: hooks cannot find telemetry-upload: it is not on PATH, nor in ~/.local/bin, ~/.cargo/bin, /opt/homebrew/bin, /usr/local/bin
         install it there, for example with install.sh
ok       consent: telemetry is on
ok       config.json: there is none; the defaults hold
problem  connection string: bad connection string: InstrumentationKey is missing; a right one: InstrumentationKey=<guid>;IngestionEndpoint=https://<region>.in.applicationinsights.azure.com/
         copy it from Azure's portal (the Application Insights resource, Overview, Connection String) into ~/.local/share/atomic/config.json as {"connectionString": "…"}
problem  proxy: HTTPS_PROXY holds a character that an address may not hold (in a password, write it as %XX), so nothing is sent
         write HTTPS_PROXY as http://HOST:PORT or socks5h://HOST:PORT, or unset it
problem  certificates: SSL_CERT_FILE names certificates.pem: it is relative, and a detached pass runs in another folder
         write the whole path of something readable into SSL_CERT_FILE, or unset it
warning  data folder: others may look into ~/.local/share/atomic (0755)
         chmod 700 ~/.local/share/atomic
ok       upload folder: ~/.local/share/atomic/upload, yours alone
problem  files: cannot be used: upload/sent.jsonl: it is a symbolic link, which is not followed here
         move them away; a pass makes them anew
ok       buffer: telemetry-events.jsonl: 233 bytes to send
ok       lock: works
ok       lease: works
ok       disk: room enough; and no network's, as far as is known
ok       clock: can be right; --online compares it with the server's
ok       hooks: none installed
ok       schedule: none
ok       uploader: no pass is at work
warning  pause: until [TIME]: the daily quota of the resource is used up (402)
         `telemetry-upload --flush` does not wait for it
warning  last pass: [TIME]: sent 0 events, kept 1 for the next pass: no reply
         `telemetry-upload --flush` tries again now
warning  rejected: lines were refused, and are kept in upload/rejected.jsonl
         `telemetry-upload inspect --rejected` says why
warning  online: not tried, for want of an endpoint
         see `connection string` above
4 problems, 6 warnings
--- exit 1

"#]]);
}

#[test]
fn somebody_who_has_just_begun_hears_the_next_step() {
    if !tools::is_not_installed() {
        return;
    }
    let sandbox = Sandbox::new().without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    fs::remove_dir_all(sandbox.data()).unwrap();
    sandbox.run(&["doctor", "--app", "mytool"]).says(str![[r#"
ok       version: telemetry-upload 0.1.0, linux [ARCH]
warning  program: hooks cannot find telemetry-upload: it is not on PATH, nor in ~/.local/bin, ~/.cargo/bin, /opt/homebrew/bin, /usr/local/bin
         install it there, for example with install.sh
warning  consent: telemetry is off: nobody has agreed yet (there is no telemetry.json)
         `telemetry-upload consent --app mytool` asks whoever it is about
ok       config.json: there is none; the defaults hold
problem  connection string: no connection string
         copy it from Azure's portal (the Application Insights resource, Overview, Connection String) into ~/.local/share/mytool/config.json as {"connectionString": "…"}
ok       proxy: none
ok       certificates: those built in, and those that the system trusts
warning  data folder: there is no ~/.local/share/mytool yet
         nothing was recorded so far, or it was recorded elsewhere (--app, --data-dir)
ok       clock: can be right; --online compares it with the server's
ok       hooks: none installed
ok       schedule: none
ok       uploader: no pass is at work
ok       pause: none
ok       last pass: none that had something to do
ok       rejected: no line
1 problem, 3 warnings
--- exit 78

"#]]);
    assert_eq!(sandbox.files().len(), 0);
}

#[test]
fn it_leaves_nothing_behind_and_connects_to_nothing() {
    let sandbox = at_work().line(&event("b"));
    let before = sandbox.files();
    let connected = *sandbox.server.connections.lock().unwrap();
    let (code, report) = report(&sandbox, &[]);
    assert_eq!((code, &report["warnings"]), (0, &json!(0)), "{report:#}");
    assert_eq!(find(&report, "lock")["words"], "works");
    assert_eq!(sandbox.files(), before);
    assert_eq!(*sandbox.server.connections.lock().unwrap(), connected);
}

#[test]
fn online_it_sends_no_event() {
    let sandbox = healthy().line(&event("a"));
    let before = sandbox.files();
    let (code, report) = report(&sandbox, &["--online"]);
    assert_eq!((code, &report["problems"]), (0, &json!(0)), "{report:#}");
    assert_eq!((sandbox.posts(), sandbox.envelopes().len()), (1, 0));
    assert_eq!(sandbox.files(), before);
}

#[test]
fn where_telemetry_is_off_it_neither_connects_nor_writes() {
    for (name, value) in [
        ("DO_NOT_TRACK", "1"),
        ("ATOMIC_TELEMETRY", "0"),
        ("CI", "true"),
    ] {
        let sandbox = at_work().env(name, value);
        let connected = *sandbox.server.connections.lock().unwrap();
        let (code, report) = report(&sandbox, &["--online"]);
        assert_eq!((code, &report["warnings"]), (0, &json!(2)), "{report:#}");
        for check in ["consent", "online"] {
            let words = find(&report, check)["words"].as_str().unwrap().to_owned();
            assert!(
                words.contains("telemetry is off") && words.contains(name),
                "{words}"
            );
        }
        assert_eq!(
            find(&report, "lock")["words"],
            "not tried, since telemetry is off"
        );
        assert_eq!(*sandbox.server.connections.lock().unwrap(), connected);
    }
}

#[test]
fn a_report_names_neither_the_person_nor_a_secret_nor_anything_of_an_event() {
    let sandbox = at_work()
        .line(&event("canary-event"))
        .env("USER", "canary-user")
        .env(
            "HTTPS_PROXY",
            "http://canary-name:canary-password@proxy.example:3128",
        );
    let elsewhere = sandbox.home.path().join("elsewhere/canary-user");
    fs::create_dir_all(&elsewhere).unwrap();
    sandbox.write("upload/rejected.jsonl", r#"{"line":"canary-line"}"#);
    let home = sandbox.home.path().display().to_string();
    let folder = sandbox
        .home
        .path()
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    let key = "00000000-0000-4000-8000-000000000000";
    let bad = "InstrumentationKey=canary key;IngestionEndpoint=http://canary.example/";
    let runs: [&[&str]; 5] = [
        &["--online"],
        &["--json"],
        &["--connection-string", bad],
        &["--data-dir", elsewhere.to_str().unwrap()],
        &["--ca-file", "canary-user/x.pem"],
    ];
    for config in [
        r#"{"sentLog": true}"#,
        r#"{"limits": "canary-limits"}"#,
        r#"{"connectionString": {"x": "canary-string"}}"#,
        r#"{"connectionString": "canary-whole"}"#,
        r#"{"sentLog": "canary-log"}"#,
        "canary-text",
    ] {
        sandbox.write("config.json", config);
        for args in runs {
            let (_, stdout, stderr) = sandbox.run(&[&["doctor"], args].concat()).outputs();
            for canary in [&home, &folder, key, "canary"] {
                let found = stdout.lines().find(|line| line.contains(canary));
                assert_eq!(found, None, "{canary} {config} {args:?}");
            }
            assert_eq!(stderr, "");
        }
    }
}

#[test]
fn programs_read_the_same_as_an_object() {
    let (code, report) = report(&at_work().env("DO_NOT_TRACK", "1"), &[]);
    let expected = json!({
        "name": "consent",
        "result": "warning",
        "words": "telemetry is off: DO_NOT_TRACK is set",
        "advice": "unset DO_NOT_TRACK to turn it on",
    });
    assert_eq!(find(&report, "consent"), &expected);
    let expected = json!({"name": "pause", "result": "ok", "words": "none", "advice": null});
    assert_eq!(find(&report, "pause"), &expected);
    let keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["checks", "problems", "warnings", "exit"]);
    assert_eq!((code, &report["exit"]), (0, &json!(0)));
}

#[test]
fn a_file_in_the_place_of_the_folder_is_one_problem() {
    let sandbox = at_work();
    let args = ["--data-dir", "file"];
    fs::write(sandbox.home.path().join("file"), "").unwrap();
    let (code, report) = report(&sandbox, &args);
    assert_eq!(
        find(&report, "data folder")["words"],
        "~/file: it is not a folder"
    );
    assert_eq!(code, 1, "{report:#}");
}

#[test]
fn files_and_folders_that_others_may_read_are_a_warning_and_write_a_problem() {
    let sandbox = at_work();
    chmod(&sandbox.path(BUFFER), 0o644);
    let words = "others may read telemetry-events.jsonl";
    only(&sandbox, &[], "files", "warning", words, 0);
    chmod(&sandbox.path(BUFFER), 0o600);
    fs::create_dir(sandbox.path("upload/sessions")).unwrap();
    for number in 0..7 {
        let path = sandbox.path(&format!("upload/sessions/{number}.jsonl"));
        fs::write(&path, "").unwrap();
        chmod(&path, 0o640);
    }
    let words = "upload/sessions/4.jsonl; and 2 more";
    only(&sandbox, &[], "files", "warning", words, 0);
    fs::remove_dir_all(sandbox.path("upload/sessions")).unwrap();
    chmod(&sandbox.path("upload"), 0o755);
    let words = "others may look into ~/.local/share/atomic/upload (0755)";
    only(&sandbox, &[], "upload folder", "warning", words, 0);
    chmod(&sandbox.path("upload"), 0o700);
    chmod(&sandbox.data(), 0o777);
    let words = "everybody may write in ~/.local/share/atomic";
    only(&sandbox, &[], "data folder", "problem", words, 1);
}

#[test]
fn what_is_no_plain_file_is_a_problem() {
    let sandbox = at_work();
    fs::remove_file(sandbox.path(BUFFER)).unwrap();
    symlink(sandbox.path("telemetry.json"), sandbox.path(BUFFER)).unwrap();
    let words = "cannot open ~/.local/share/atomic/telemetry-events.jsonl: it is a symbolic link";
    only(&sandbox, &[], "buffer", "problem", words, 1);
    fs::remove_file(sandbox.path(BUFFER)).unwrap();
    sandbox.fifo("upload/sent.jsonl.1");
    let words = "upload/sent.jsonl.1: it is not a regular file";
    only(&sandbox, &[], "files", "problem", words, 1);
    fs::remove_file(sandbox.path("upload/sent.jsonl.1")).unwrap();
    fs::remove_dir_all(sandbox.path("upload")).unwrap();
    symlink("/tmp", sandbox.path("upload")).unwrap();
    let (code, report) = report(&sandbox, &[]);
    let words = find(&report, "upload folder")["words"].to_string();
    assert!(words.contains("symbolic link"), "{words}");
    assert_eq!(code, 1);
}

#[test]
fn cursors_that_say_nothing_or_do_not_fit_are_warnings() {
    let cursor = format!("upload/{BUFFER}.cursor");
    let sandbox = at_work().line(&event("b"));
    sandbox.write(&cursor, "nonsense");
    chmod(&sandbox.path(&cursor), 0o600);
    let words = "its cursor cannot be understood";
    only(&sandbox, &[], "buffer", "warning", words, 0);

    let script = "{}\n{\"status\": 503, \"times\": \"forever\"}";
    let sandbox = healthy_at(Sandbox::scripted(script))
        .line(&event("a"))
        .line(&event("b"));
    let flush = ["--flush", "--request-events", "1", "--attempts", "1"];
    let (code, ..) = sandbox.run(&flush).outputs();
    assert_eq!(code, 75);
    fs::remove_file(sandbox.path("upload/state.json")).unwrap();
    let (_, before) = report(&sandbox, &[]);
    assert_eq!(find(&before, "buffer")["result"], "ok", "{before:#}");
    let text = sandbox.read(BUFFER);
    fs::write(sandbox.path(BUFFER), text.replace("init", "INIT")).unwrap();
    let words = "it was changed since its cursor was written";
    only(&sandbox, &[], "buffer", "warning", words, 0);
}

#[test]
fn a_config_that_cannot_be_used_is_a_matter_of_configuration() {
    for (config, words) in [
        (r#"{"alow": []}"#, "unknown field `alow`"),
        (
            "{",
            "cannot understand ~/.local/share/atomic/config.json: EOF",
        ),
        ("[]", "it is not a JSON object"),
        (
            r#"{"limits": {"attempts": 99}}"#,
            "the limit attempts must be between 1 and 20",
        ),
        (r#"{"allow": 3}"#, "a value of the wrong kind at line 1"),
    ] {
        let sandbox = at_work();
        sandbox.write("config.json", config);
        chmod(&sandbox.path("config.json"), 0o600);
        only(&sandbox, &[], "config.json", "problem", words, 78);
    }
    let sandbox = at_work();
    sandbox.write("config.json", "{}");
    chmod(&sandbox.path("config.json"), 0o666);
    let (code, report) = report(&sandbox, &[]);
    let words = find(&report, "config.json")["words"].to_string();
    assert!(words.contains("everybody may write it"), "{words}");
    assert_eq!(code, 78);
}

#[test]
fn a_connection_string_is_judged_without_being_shown() {
    let sandbox = at_work();
    for (text, result, words, exit) in [
        (
            "InstrumentationKey=abc-def",
            "warning",
            "events go to dc.services.visualstudio.com; the InstrumentationKey is not a GUID",
            0,
        ),
        (
            "IngestionEndpoint=https://x",
            "problem",
            "InstrumentationKey",
            78,
        ),
        (
            "InstrumentationKey=abc;IngestionEndpoint=http://x.example",
            "problem",
            "plain http",
            78,
        ),
    ] {
        only(
            &sandbox,
            &["--connection-string", text],
            "connection string",
            result,
            words,
            exit,
        );
    }
    let sandbox = sandbox.without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    let words = "no connection string";
    only(&sandbox, &[], "connection string", "problem", words, 78);
}

#[test]
fn consent_that_cannot_be_read_is_a_problem_and_none_a_warning() {
    let sandbox = at_work();
    for (content, result, words, exit) in [
        (
            r#"{"enabled": false, "consentGiven": true}"#,
            "warning",
            "it was turned off",
            0,
        ),
        (r#"{"enabled": true}"#, "warning", "nobody has agreed", 0),
        ("nonsense", "problem", "cannot be read", 1),
    ] {
        sandbox.write("telemetry.json", content);
        only(&sandbox, &[], "consent", result, words, exit);
    }
}

#[test]
fn the_way_to_the_endpoint_is_shown() {
    let say = |endpoint: &str, values: &[(&str, &str)]| {
        let text = format!(
            "InstrumentationKey=00000000-0000-4000-8000-000000000000;IngestionEndpoint={endpoint}"
        );
        let mut sandbox = at_work().env("APPLICATIONINSIGHTS_CONNECTION_STRING", &text);
        for (name, value) in values {
            sandbox = sandbox.env(name, value);
        }
        let (code, report) = report(&sandbox, &[]);
        let found = find(&report, "proxy");
        let words = found["words"].as_str().unwrap().to_owned();
        (code, found["result"].as_str().unwrap().to_owned(), words)
    };
    let via = "http://anna:secret@proxy.example:3128";
    let azure = "https://x.example/";
    for (endpoint, values, code, result, words) in [
        (
            azure,
            &[("https_proxy", via)][..],
            0,
            "ok",
            "http://proxy.example:3128 (https_proxy)",
        ),
        (
            azure,
            &[("HTTPS_PROXY", via), ("NO_PROXY", ".example")],
            0,
            "ok",
            "none: NO_PROXY names this host",
        ),
        (
            azure,
            &[("HTTP_PROXY", via)],
            0,
            "warning",
            "none: HTTP_PROXY is for plain http alone, as in curl",
        ),
        (
            "http://127.0.0.1:9/",
            &[("HTTP_PROXY", via)],
            0,
            "ok",
            "none: HTTP_PROXY does not count for this machine itself",
        ),
        (
            azure,
            &[("ALL_PROXY", "socks5h://p:1")],
            0,
            "ok",
            "socks5h://p:1 (ALL_PROXY)",
        ),
        (
            azure,
            &[("ALL_PROXY", "socks5://p:1")],
            0,
            "ok",
            "socks5://p:1 (ALL_PROXY); host names are looked up here, with socks5h:// there",
        ),
        (
            azure,
            &[("HTTPS_PROXY", "http://anna:secret@")],
            78,
            "problem",
            "HTTPS_PROXY has no valid host, so nothing is sent",
        ),
    ] {
        let expected = (code, result.to_owned(), words.to_owned());
        assert_eq!(say(endpoint, values), expected, "{values:?}");
    }
}

#[test]
fn online_connects_to_nothing_where_the_proxy_cannot_be_used() {
    let sandbox = healthy().env("ALL_PROXY", "socks://p");
    let tls = Tls::in_front_of(sandbox.server.port, "0.0.0.0");
    let sandbox = over_tls(sandbox, "0.0.0.0", tls.port);
    let (code, report) = report(&sandbox, &["--online"]);
    assert_eq!(code, 78, "{report:#}");
    let words = "not tried, for want of a usable proxy";
    assert_eq!(find(&report, "online")["words"], words);
    assert_eq!(tls.handshakes(), Handshakes::default());
}

#[test]
fn online_says_that_the_proxy_wants_credentials() {
    let required = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
    let (port, _) = answering(required);
    let url = format!("http://127.0.0.1:{port}");
    let sandbox = over_tls(healthy(), "ingestion.invalid", 443).env("HTTPS_PROXY", &url);
    let words = format!("no reply: the proxy {url} (HTTPS_PROXY) wants credentials (407)");
    only(&sandbox, &["--online"], "answer", "problem", &words, 78);
}

#[test]
fn certificates_that_are_named_have_to_be_there() {
    let sandbox = at_work();
    let none = sandbox.home.path().join("none").display().to_string();
    let there = sandbox.home.path().display().to_string();
    let sandbox = sandbox.env("SSL_CERT_FILE", &none);
    let words = "SSL_CERT_FILE names ~/none: No such file or directory";
    only(&sandbox, &[], "certificates", "problem", words, 78);
    let sandbox = sandbox.env("SSL_CERT_FILE", "some.pem");
    let words = "it is relative, and a detached pass runs in another folder";
    only(&sandbox, &[], "certificates", "problem", words, 78);
    let sandbox = sandbox
        .without_env("SSL_CERT_FILE")
        .env("SSL_CERT_DIR", &format!("{there}:{none}"));
    let words = "SSL_CERT_DIR names ~/none: No such file or directory";
    only(&sandbox, &[], "certificates", "problem", words, 78);
    let sandbox = sandbox.env("SSL_CERT_DIR", &there);
    let (code, well) = report(&sandbox, &[]);
    let words = &find(&well, "certificates")["words"];
    assert_eq!((code, words), (0, &json!("those of SSL_CERT_DIR")));
    let words = "cannot read the CA file ~/none";
    let args = ["--ca-file", &none];
    only(&sandbox, &args, "certificates", "problem", words, 78);
}

#[test]
fn a_program_that_hooks_do_not_find_is_a_warning() {
    if !tools::is_not_installed() {
        return;
    }
    let sandbox = at_work();
    let installed = sandbox.home.path().join(".local/bin/telemetry-upload");
    fs::remove_file(&installed).unwrap();
    // A shell passes over a file that nobody may run, and so do the hooks.
    fs::write(&installed, "#!/bin/sh\n").unwrap();
    let not_found = "hooks cannot find telemetry-upload";
    only(&sandbox, &[], "program", "warning", not_found, 0);
    fs::set_permissions(&installed, fs::Permissions::from_mode(0o700)).unwrap();
    let words = "hooks find ~/.local/bin/telemetry-upload first, and this is ";
    only(&sandbox, &[], "program", "warning", words, 0);
    fs::remove_file(&installed).unwrap();
    only(&sandbox, &[], "program", "warning", not_found, 0);
}

#[test]
fn hooks_that_are_there_in_part_are_a_warning() {
    let sandbox = at_work();
    let (_, well) = report(&sandbox, &[]);
    assert_eq!(find(&well, "hooks")["words"], "claude (user)");
    let path = sandbox.home.path().join(".claude/settings.json");
    let mut settings: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    settings["hooks"]
        .as_object_mut()
        .unwrap()
        .remove("SessionEnd");
    fs::write(&path, settings.to_string()).unwrap();
    only(
        &sandbox,
        &[],
        "hooks",
        "warning",
        "claude (user): partly",
        0,
    );
}

#[test]
fn a_pass_at_work_is_named_and_one_beyond_its_deadline_is_a_problem() {
    let sandbox = at_work();
    let path = sandbox.path("upload/uploader.lock");
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    file.lock().unwrap();
    let note = |age: TimeDelta| {
        let since = telemetry_upload::world::now() - age;
        fs::write(&path, format!("pid 4321 since {}\n", since.to_rfc3339())).unwrap();
    };
    note(TimeDelta::seconds(60));
    let (code, well) = report(&sandbox, &[]);
    let words = find(&well, "uploader")["words"].as_str().unwrap();
    assert!(
        words.starts_with("a pass (pid 4321) is at work since "),
        "{words}"
    );
    assert_eq!(code, 0);
    note(TimeDelta::seconds(311));
    let words = "longer than the 300 seconds it may take";
    only(&sandbox, &[], "uploader", "problem", words, 1);
    let (_, sick) = report(&sandbox, &[]);
    assert_eq!(
        find(&sick, "uploader")["advice"],
        "kill -9 4321; nothing is lost"
    );
    fs::write(&path, "").unwrap();
    only(
        &sandbox,
        &[],
        "uploader",
        "warning",
        "does not say since when",
        0,
    );
}

#[test]
fn a_clock_that_was_set_is_a_warning() {
    let sandbox = at_work();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let at = telemetry_upload::world::now() + TimeDelta::days(31);
    let state = json!({"clock": {"at": at, "bootId": boot.trim(), "uptimeS": 1}});
    sandbox.write("upload/state.json", state.to_string());
    let words = "was set by more than an hour since the last pass";
    only(&sandbox, &[], "clock", "warning", words, 0);
}

#[test]
fn a_clock_that_differed_from_the_servers_is_a_warning() {
    let sandbox = at_work();
    sandbox.write("upload/state.json", r#"{"serverAheadS": 7200}"#);
    let words = "2 hours behind the server's at the last pass";
    only(&sandbox, &[], "clock", "warning", words, 0);
}

#[test]
fn a_folder_that_cannot_be_written_is_a_problem() {
    let sandbox = at_work();
    chmod(&sandbox.data(), 0o500);
    let (code, stdout, stderr) = outputs_as_nobody(&sandbox, &["doctor"]);
    assert_eq!((code, stderr.as_str()), (1, ""));
    let words = "problem  data folder: cannot write in ~/.local/share/atomic: Permission denied";
    assert!(stdout.contains(words), "{stdout}");
    chmod(&sandbox.data(), 0o000);
    let (code, stdout, stderr) = outputs_as_nobody(&sandbox, &["doctor", "--online"]);
    assert_eq!((code, stderr.as_str()), (1, ""), "{stdout}");
}

#[test]
fn what_the_server_answers_is_said_in_words() {
    let cases = [
        (
            r#"{"status": 200, "content_type": "text/html", "body": "<html>Please log in"}"#,
            "problem",
            "a login page of the network",
            1,
        ),
        (
            r#"{"status": 503}"#,
            "problem",
            "the server answered 503",
            1,
        ),
        (r#"{"status": 429}"#, "warning", "asks for a pause", 0),
        (r#"{"status": 402}"#, "warning", "daily quota", 0),
        (r#"{"status": 403}"#, "problem", "refuses us (403)", 78),
        (
            r#"{"status": 404}"#,
            "problem",
            "not the ingestion endpoint",
            78,
        ),
        (
            r#"{"status": 400, "body": ""}"#,
            "warning",
            "400 to an empty list",
            0,
        ),
        (
            r#"{"status": 308, "headers": {"Location": "https://elsewhere.example/"}}"#,
            "problem",
            "it leads to a foreign host, elsewhere.example",
            1,
        ),
        (
            r#"{"status": 307, "headers": {"Location": "/v2.1/track"}, "times": "forever"}"#,
            "problem",
            "it leads in a circle",
            1,
        ),
        (r#"{"cut_after_bytes": 0}"#, "problem", "no reply", 1),
    ];
    for (script, result, words, exit) in cases {
        let sandbox = healthy_at(Sandbox::scripted(script));
        only(&sandbox, &["--online"], "answer", result, words, exit);
        assert_eq!(sandbox.envelopes().len(), 0);
    }
    let breeze =
        r#"{"status": 400, "body": "{\"itemsReceived\":0,\"itemsAccepted\":0,\"errors\":[]}"}"#;
    let (code, report) = report(&healthy_at(Sandbox::scripted(breeze)), &["--online"]);
    assert_eq!(
        (code, &find(&report, "answer")["result"]),
        (0, &json!("ok"))
    );
}

#[test]
fn a_redirect_on_the_same_host_is_followed() {
    for body in ["", r#"{"itemsReceived":0,"itemsAccepted":0,"errors":[]}"#] {
        let script = json!({"status": 308, "body": body, "headers": {"Location": "/v2/track"}});
        let sandbox = healthy_at(Sandbox::scripted(&script.to_string()));
        let (code, report) = report(&sandbox, &["--online"]);
        assert_eq!((code, sandbox.posts()), (0, 2), "{report:#}");
        assert_eq!(find(&report, "redirect")["words"], "followed to 127.0.0.1");
    }
}

#[test]
fn the_servers_clock_is_compared_with_ours() {
    let at = |ahead: TimeDelta| {
        let date = telemetry_upload::world::now() + ahead;
        let date = date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let script = json!({"status": 200, "headers": {"Date": date}}).to_string();
        healthy_at(Sandbox::scripted(&script))
    };
    let name = "server's clock";
    let words = "this machine's clock is 59 minutes behind it";
    only(
        &at(TimeDelta::minutes(60)),
        &["--online"],
        name,
        "warning",
        words,
        0,
    );
    let words = "this machine's clock is 3 hours ahead of it";
    only(
        &at(TimeDelta::minutes(-180)),
        &["--online"],
        name,
        "problem",
        words,
        1,
    );
    let (code, report) = report(&at(TimeDelta::minutes(-3)), &["--online"]);
    assert_eq!((code, &report["warnings"]), (0, &json!(0)), "{report:#}");
}

#[test]
fn a_way_that_ends_early_is_said_so() {
    let sandbox = healthy();
    let closed = closed_port();
    let text = format!(
        "InstrumentationKey=00000000-0000-4000-8000-000000000000;IngestionEndpoint=http://127.0.0.1:{closed}/"
    );
    let args = ["--online", "--connection-string", &text];
    only(
        &sandbox,
        &args,
        "connect",
        "problem",
        "connection refused",
        1,
    );
    let text = text.replace(
        &format!("http://127.0.0.1:{closed}"),
        "https://ingestion.invalid",
    );
    let args = ["--online", "--connection-string", &text];
    only(
        &sandbox,
        &args,
        "lookup",
        "problem",
        "ingestion.invalid: ",
        1,
    );
}

#[test]
fn a_certificate_of_an_unknown_authority_is_a_matter_of_configuration() {
    let sandbox = healthy();
    let tls = Tls::in_front_of(sandbox.server.port, "localhost");
    let ca_file = tls.ca_file.display().to_string();
    let sandbox = over_tls(sandbox, "localhost", tls.port);
    let words = "no trust in the server: ";
    only(&sandbox, &["--online"], "tls", "problem", words, 78);
    let (code, report) = report(&sandbox, &["--online", "--ca-file", &ca_file]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(find(&report, "tls")["words"], "the certificate is trusted");
    assert_eq!(find(&report, "answer")["result"], "ok");
}

#[test]
fn the_way_leads_through_the_proxy_where_there_is_one() {
    let host = "ingestion.invalid";
    let sandbox = healthy();
    let tls = Tls::in_front_of(sandbox.server.port, host);
    let (port, asked) = proxy(tls.port);
    let ca_file = tls.ca_file.display().to_string();
    let sandbox =
        over_tls(sandbox, host, 443).env("HTTPS_PROXY", &format!("http://127.0.0.1:{port}"));
    let (code, report) = report(&sandbox, &["--online", "--ca-file", &ca_file]);
    assert_eq!(code, 0, "{report:#}");
    let connect = find(&report, "connect")["words"].as_str().unwrap();
    assert!(
        connect.starts_with(&format!("the proxy 127.0.0.1:{port}, ")),
        "{connect}"
    );
    assert!(!asked.lock().unwrap().is_empty());
}
