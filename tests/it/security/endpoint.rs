//! Where events go is the person's word: no folder that this program happens to run in can change it.

use super::{replaced, start_of_session};
use crate::kit::{BINARY, BUFFER, CONSENT, Sandbox, Server, event};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A server that nobody should talk to.
fn foreign() -> Server {
    Server::start("", Box::new(|_, _, _| {}))
}

/// A project that would like to have everybody's events.
fn hostile_project(sandbox: &Sandbox, connection_string: &str) -> PathBuf {
    let project = sandbox.home.path().join("project");
    let variables = format!(
        "APPLICATIONINSIGHTS_CONNECTION_STRING='{connection_string}'\nTELEMETRY_UPLOAD_DATA_DIR=.\nTELEMETRY_UPLOAD_APP=evil\nATOMIC_TELEMETRY=1\n"
    );
    let config = json!({"connectionString": connection_string, "caFile": "evil.pem"}).to_string();
    let env =
        json!({"env": {"APPLICATIONINSIGHTS_CONNECTION_STRING": connection_string}}).to_string();
    for (name, content) in [
        (".env", variables.as_str()),
        (".env.local", &variables),
        (".envrc", &variables),
        ("config.json", &config),
        ("telemetry.json", CONSENT),
        ("telemetry-upload.json", &config),
        ("applicationinsights.json", &config),
        ("ApplicationInsights.config", &config),
        (".config/telemetry-upload/config.json", &config),
        (".local/share/atomic/config.json", &config),
        (".local/share/atomic/telemetry.json", CONSENT),
        (
            ".local/share/atomic/telemetry-events.jsonl",
            "{\"name\":\"planted\"}\n",
        ),
        ("upload/state.json", &config),
        (".claude/settings.json", &env),
        (".claude/settings.local.json", &env),
        (".gemini/.env", &variables),
        (".vscode/settings.json", &env),
        (
            ".git/config",
            &format!("[http]\n\tproxy = {connection_string}\n"),
        ),
        (
            ".cargo/config.toml",
            &format!("[env]\nAPPLICATIONINSIGHTS_CONNECTION_STRING = \"{connection_string}\"\n"),
        ),
        (".npmrc", "https-proxy=http://127.0.0.1:1\n"),
        ("evil.pem", "not a certificate"),
    ] {
        let path = project.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    project
}

fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn the_folder_that_it_runs_in_changes_nothing() {
    for given in ["environment", "config.json"] {
        let foreign = foreign();
        let mut sandbox = Sandbox::new().line(&event("a")).hasty();
        if given == "config.json" {
            let text = sandbox
                .env
                .remove("APPLICATIONINSIGHTS_CONNECTION_STRING")
                .unwrap();
            let config = json!({"connectionString": text, "limits": {"gatherS": 1}});
            sandbox.write("config.json", config.to_string());
        }
        let project = hostile_project(&sandbox, &foreign.connection_string);
        let before = files_below(&project);
        let run = |args: &[&str]| {
            let mut command = sandbox.command(args);
            let output = command.current_dir(&project).output().unwrap();
            assert!(output.status.success(), "{given}: {args:?} {output:?}");
        };
        run(&["--flush"]);
        run(&["record", "b"]);
        run(&[]);
        run(&["record", "c", "--spawn"]);
        sandbox.wait_for_delivered(3);
        sandbox.wait_for_quiet();
        let mut shell = replaced(&sandbox.command(&[]), "bash");
        let script = "printf '%s' \"$1\" | \"$0\" hook --host claude";
        shell.args(["-c", script, BINARY, &start_of_session()]);
        assert!(shell.current_dir(&project).status().unwrap().success());
        sandbox.wait_for_delivered(4);
        sandbox.wait_for_quiet();
        assert_eq!(*foreign.connections.lock().unwrap(), 0, "{given}");
        assert_eq!(files_below(&project), before, "{given}");
    }
}

#[test]
fn a_project_whose_folder_looks_like_a_data_folder_is_not_one() {
    let foreign = foreign();
    let mut sandbox = Sandbox::new();
    fs::remove_file(sandbox.path("telemetry.json")).unwrap();
    sandbox.env.remove("APPLICATIONINSIGHTS_CONNECTION_STRING");
    let project = hostile_project(&sandbox, &foreign.connection_string);
    let before = files_below(&project);
    for args in [
        &["--flush"][..],
        &[],
        &["record", "x", "--spawn"],
        &["--detach"],
    ] {
        let output = sandbox
            .command(args)
            .current_dir(&project)
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?} {output:?}");
    }
    // Nor does a relative folder in a variable of the desktop's mean one below it.
    let mut command = sandbox.command(&["--flush"]);
    let output = command
        .env("XDG_DATA_HOME", ".local/share")
        .current_dir(&project)
        .output()
        .unwrap();
    assert!(output.status.success());
    // A relative folder in these is refused, in a hook without a word.
    for variable in ["TELEMETRY_UPLOAD_DATA_DIR", "HOME"] {
        let run = |args: &[&str]| {
            let mut command = sandbox.command(args);
            command.env(variable, ".").current_dir(&project);
            command.output().unwrap()
        };
        let flush = run(&["--flush"]);
        let said = String::from_utf8_lossy(&flush.stderr);
        let expected = format!("telemetry-upload: {variable} has to be an absolute path, not .\n");
        assert_eq!((flush.status.code(), &*said), (Some(1), &*expected));
        let record = run(&["record", "x", "--spawn"]);
        assert!(record.status.success() && record.stderr.is_empty());
    }
    assert_eq!(*foreign.connections.lock().unwrap(), 0);
    assert_eq!(files_below(&project), before);
}

#[test]
fn a_connection_string_that_the_person_wrote_down_beats_one_from_the_environment() {
    // Bun and others load a project's `.env` into the environment of what they start.
    let foreign = foreign();
    let mut sandbox = Sandbox::new().line(&event("a"));
    let theirs = foreign.connection_string.clone();
    let own = sandbox.env.insert(
        "APPLICATIONINSIGHTS_CONNECTION_STRING".to_owned(),
        theirs.clone(),
    );
    let config = json!({"connectionString": own.unwrap(), "limits": {"gatherS": 1}});
    sandbox.write("config.json", config.to_string());
    // Nor does the variable help in which we hand a flag over.
    let sandbox = sandbox.env("TELEMETRY_UPLOAD_CONNECTION_STRING", &theirs);
    sandbox.flush().stdout("sent 1 event").left("").code(0);
    sandbox.run(&["record", "b", "--spawn"]).code(0);
    sandbox.wait_for_delivered(2);
    sandbox.wait_for_quiet();
    sandbox
        .feed(&["hook", "--host", "claude"], start_of_session())
        .code(0);
    sandbox.wait_for_delivered(3);
    sandbox.wait_for_quiet();
    let sandbox = sandbox.line(&event("d"));
    sandbox.run(&["--detach"]).code(0);
    sandbox.wait_for_delivered(4);
    sandbox.wait_for_quiet();
    assert_eq!(*foreign.connections.lock().unwrap(), 0);
}

#[test]
fn a_flag_beats_what_is_written_down_in_a_detached_pass_too() {
    let nowhere = foreign();
    let sandbox = Sandbox::new().line(&event("a"));
    let config = json!({"connectionString": nowhere.connection_string, "limits": {"gatherS": 1}});
    sandbox.write("config.json", config.to_string());
    let own = sandbox.server.connection_string.clone();
    sandbox
        .run(&["--flush", "--connection-string", &own])
        .stdout("sent 1 event")
        .left("")
        .code(0);
    let sandbox = sandbox.line(&event("b"));
    sandbox
        .run(&["--detach", "--connection-string", &own])
        .code(0);
    sandbox.wait_for_delivered(2);
    sandbox.wait_for_quiet();
    assert_eq!(*nowhere.connections.lock().unwrap(), 0);
}

#[test]
fn a_relative_ca_file_is_meant_beside_the_config_file() {
    let sandbox = Sandbox::new().line(&event("a"));
    sandbox.write("config.json", r#"{"caFile": "corporate.pem"}"#);
    let before = sandbox.read(BUFFER);
    // What stands in the current folder is not looked at.
    fs::write(sandbox.home.path().join("corporate.pem"), "no certificate").unwrap();
    let missing =
        "cannot read the CA file {data}/corporate.pem: No such file or directory (os error 2)";
    sandbox
        .run(&["--flush"])
        .stderr(missing)
        .left(&before)
        .posts(0)
        .code(78);
    sandbox.write("corporate.pem", "no certificate either");
    let none = "cannot use the CA file {data}/corporate.pem: it holds no PEM certificate";
    sandbox
        .run(&["--flush"])
        .stderr(none)
        .left(&before)
        .posts(0)
        .code(78);
}

#[test]
fn only_this_machine_may_be_sent_to_without_tls() {
    for url in [
        "http://10.0.0.1/",
        "http://example.com/",
        "http://127.0.0.1.example.com/",
        "http://localhost.example.com/",
        "ftp://127.0.0.1/",
    ] {
        let text = format!(
            "InstrumentationKey=00000000-0000-4000-8000-000000000000;IngestionEndpoint={url}"
        );
        let by_file = Sandbox::new()
            .line(&event("a"))
            .without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
        by_file.write("config.json", json!({"connectionString": text}).to_string());
        let by_variable = Sandbox::new()
            .line(&event("a"))
            .env("APPLICATIONINSIGHTS_CONNECTION_STRING", &text);
        let by_flag = Sandbox::new().line(&event("a"));
        for (sandbox, args) in [
            (by_file, vec!["--flush"]),
            (by_variable, vec!["--flush"]),
            (by_flag, vec!["--flush", "--connection-string", &text]),
        ] {
            let before = sandbox.read(BUFFER);
            let output = sandbox
                .command(&args)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(78), "{url}");
            assert_eq!(sandbox.read(BUFFER), before);
        }
    }
}
