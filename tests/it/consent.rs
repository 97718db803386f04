//! Every opt-out, alone and combined: no connection, no file touched, and the rule is named.

use crate::kit::{CONSENT, Sandbox, event};
use telemetry_upload::emulator::Moment;

/// Off: nothing on the wire, nothing on the disk, exit 0, and the reason if anyone asks.
fn check_off(sandbox: &Sandbox, rule: &str) {
    let before = sandbox.files();
    sandbox
        .run(&["--flush"])
        .stdout(&format!("telemetry is off: {rule}; nothing was sent"))
        .code(0);
    sandbox.run(&[]).code(0);
    sandbox
        .run(&["--flush", "--dry-run"])
        .stdout(&format!("telemetry is off: {rule}; nothing was sent"))
        .code(0);
    assert_eq!(sandbox.files(), before);
    assert_eq!(*sandbox.server.connections.lock().unwrap(), 0);
}

fn check_on(sandbox: &Sandbox) {
    sandbox
        .flush()
        .stdout("sent 1 event")
        .posts(1)
        .left("")
        .code(0);
}

fn with(name: &str, value: &str) -> Sandbox {
    Sandbox::new().line(&event("a")).env(name, value)
}

#[test]
fn do_not_track_turns_it_off() {
    for value in ["1", "true", "yes", "'y'", " 1 "] {
        check_off(&with("DO_NOT_TRACK", value), "DO_NOT_TRACK is set");
    }
    for value in ["", "0", "false", "no", "OFF", "n", "\"0\""] {
        check_on(&with("DO_NOT_TRACK", value));
    }
}

#[test]
fn the_applications_own_variable_turns_it_off() {
    for value in ["0", "false", "off", "no", "False"] {
        check_off(
            &with("ATOMIC_TELEMETRY", value),
            "ATOMIC_TELEMETRY says off",
        );
    }
    for value in ["1", "true", "", "Enabled", "'yes'"] {
        check_on(&with("ATOMIC_TELEMETRY", value));
    }
}

#[test]
fn an_unknown_word_turns_it_off_and_is_quoted() {
    for name in ["ATOMIC_TELEMETRY", "DO_NOT_TRACK"] {
        for value in ["disabled", "nope", "2", "a\u{1b}b"] {
            let sandbox = with(name, value);
            let quoted = value.replace('\u{1b}', "\\u{1b}");
            let rule = format!("{name}=\"{quoted}\" is an unknown word, which means off");
            check_off(&sandbox, &rule);
            let (code, status, _) = sandbox.run(&["status"]).outputs();
            assert_eq!(code, 0, "{status}");
            assert!(status.contains(&rule), "{status}");
            let unset = format!("to turn it on, unset {name}");
            assert!(status.contains(&unset), "{status}");
            let (_, doctor, _) = sandbox.run(&["doctor"]).outputs();
            assert!(doctor.contains(&rule), "{doctor}");
            let before = sandbox.files();
            sandbox
                .run(&["record", "hello", "--verbose"])
                .stderr(&format!("nothing is recorded, telemetry is off: {rule}"))
                .code(0);
            assert_eq!(sandbox.files(), before);
        }
    }
}

#[test]
fn a_byte_order_mark_in_telemetry_json_and_config_json_is_skipped() {
    let sandbox = Sandbox::new().line(&event("a"));
    sandbox.write("telemetry.json", format!("\u{feff}{CONSENT}"));
    let config = serde_json::json!({"connectionString": sandbox.server.connection_string});
    sandbox.write("config.json", format!("\u{feff}{config}"));
    check_on(&sandbox.without_env("APPLICATIONINSIGHTS_CONNECTION_STRING"));
    let sandbox = Sandbox::new();
    sandbox.write("telemetry.json", format!("\u{feff}{CONSENT}"));
    let _ = sandbox.run(&["disable"]).outputs();
    let expected = CONSENT.replace("\"enabled\":true", "\"enabled\":false");
    let said: serde_json::Value = serde_json::from_str(&sandbox.read("telemetry.json")).unwrap();
    assert_eq!(said.to_string(), expected);
    assert!(!sandbox.path("telemetry.json.damaged-1").exists());
}

#[test]
fn ci_turns_it_off_and_ci_false_passes() {
    for (name, value) in [
        ("GITHUB_ACTIONS", "true"),
        ("CI", "1"),
        ("CI", "true"),
        ("TF_BUILD", "True"),
        ("BUILDKITE", "x"),
    ] {
        check_off(
            &with(name, value),
            &format!("this is a CI system, the variable {name} says"),
        );
    }
    check_on(&with("CI", "false"));
    check_on(&with("CI", "false").env("GITHUB_ACTIONS", "true"));
}

#[test]
fn without_consent_it_is_off() {
    let consent = |content: &str| {
        let sandbox = Sandbox::new().line(&event("a"));
        sandbox.write("telemetry.json", content);
        sandbox
    };
    let enabled = "it was turned off (\"enabled\" in telemetry.json is not true)";
    let given = "nobody has agreed (\"consentGiven\" in telemetry.json is not true)";
    let unreadable = "telemetry.json cannot be read, which means off: it is not one JSON object";
    check_off(
        &consent(r#"{"enabled":false,"consentGiven":true}"#),
        enabled,
    );
    check_off(&consent(r#"{"consentGiven":true}"#), enabled);
    check_off(
        &consent(r#"{"enabled":"true","consentGiven":true}"#),
        enabled,
    );
    check_off(&consent(r#"{"enabled":true}"#), given);
    check_off(&consent(r#"{"enabled":true,"consentGiven":false}"#), given);
    check_off(&consent(""), unreadable);
    check_off(&consent("{"), unreadable);
    let missing = Sandbox::new().line(&event("a"));
    std::fs::remove_file(missing.path("telemetry.json")).unwrap();
    check_off(
        &missing,
        "nobody has agreed yet (there is no telemetry.json)",
    );
    let linked = Sandbox::new().line(&event("a"));
    std::fs::rename(linked.path("telemetry.json"), linked.path("elsewhere.json")).unwrap();
    std::os::unix::fs::symlink(linked.path("elsewhere.json"), linked.path("telemetry.json"))
        .unwrap();
    check_off(
        &linked,
        "telemetry.json cannot be read, which means off: it is a symbolic link, which is not followed here",
    );
}

#[test]
fn of_several_rules_the_first_is_named() {
    let all = with("DO_NOT_TRACK", "1")
        .env("ATOMIC_TELEMETRY", "0")
        .env("CI", "true");
    check_off(&all, "this is a CI system, the variable CI says");
    let two = with("DO_NOT_TRACK", "1").env("ATOMIC_TELEMETRY", "0");
    check_off(&two, "ATOMIC_TELEMETRY says off");
}

#[test]
fn off_is_decided_before_a_bad_configuration_is_even_read() {
    let sandbox =
        with("DO_NOT_TRACK", "1").env("APPLICATIONINSIGHTS_CONNECTION_STRING", "nonsense");
    sandbox.write("config.json", "{ nonsense");
    check_off(&sandbox, "DO_NOT_TRACK is set");
}

#[test]
fn another_application_has_its_own_variable_and_folder() {
    let sandbox = Sandbox::new().env("MY_TOOL_TELEMETRY", "0");
    sandbox
        .run(&["--flush", "--app", "my-tool"])
        .stdout("telemetry is off: MY_TOOL_TELEMETRY says off; nothing was sent")
        .code(0);
    sandbox
        .run(&["--flush", "--app", "other"])
        .stdout(
            "telemetry is off: nobody has agreed yet (there is no telemetry.json); nothing was sent",
        )
        .code(0);
}

#[test]
fn switching_it_off_during_a_pass_stops_before_the_next_request() {
    let shared: std::sync::Arc<std::sync::Mutex<Option<std::path::PathBuf>>> =
        std::sync::Arc::default();
    let consent = shared.clone();
    let sandbox = Sandbox::acting("", move |moment, _, _| {
        if moment == Moment::Judged
            && let Some(path) = consent.lock().unwrap().as_ref()
        {
            std::fs::write(
                path,
                CONSENT.replace("\"enabled\":true", "\"enabled\":false"),
            )
            .unwrap();
        }
    });
    *shared.lock().unwrap() = Some(sandbox.path("telemetry.json"));
    let lines: Vec<String> = (0..8).map(|n| event(&n.to_string()) + "\n").collect();
    sandbox.append(lines.concat());
    sandbox
        .run(&["--flush", "--request-events", "6"])
        .stdout(
            "sent 6 events, kept 2 for the next pass: it was turned off (\"enabled\" in telemetry.json is not true)",
        )
        .posts(1)
        .left(&lines[6..].concat())
        .code(0);
}
