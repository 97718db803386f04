//! Canaries: what must never leave, planted everywhere it could come from, and looked for everywhere
//! it could turn up.

use crate::kit::{Sandbox, event};
use serde_json::{Value, json};

const CANARIES: [&str; 8] = [
    "canaryuser",
    "canaryhost",
    "canarymail@example.com",
    "canaryprompt",
    "canarytoken",
    "canarypath",
    "canaryenv",
    "canaryquery",
];

fn planted() -> Sandbox {
    let with = |fields: Value| {
        let mut event: Value = serde_json::from_str(&event("a")).unwrap();
        event
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        event.to_string()
    };
    // Fields that are called what they are, and innocent names with personal values.
    let by_name = with(json!({
        "user": "canaryuser", "userName": "canaryuser", "host": "canaryhost", "host_name": "canaryhost",
        "email": "canarymail@example.com", "prompt": "canaryprompt", "message": "canaryprompt", "args": ["canarypath"],
        "cwd": "canarypath", "path": "canarypath", "token": "canarytoken", "password": "canarytoken",
        "apiKey": "canarytoken", "environment": {"X": "canaryenv"}, "toolInput": {"file": "canarypath"},
    }));
    let by_value = with(json!({
        "note1": "/home/canaryuser/project", "kind": "C:\\Users\\canaryuser", "label": "canarymail@example.com",
        "origin": "https://canaryuser:canarytoken@example.com/", "page": "https://example.com/?q=canaryquery",
        "detail": "ghp_canarytoken0123456789abcdefghijklmnop", "mode": "~/canarypath/file",
        "summary": "canaryprompt one two three four five six seven eight nine ten",
        "command": "/home/canaryuser/bin/x", "commands": ["/commit", "/home/canaryuser/x/y"],
        "sessionId": "canarymail@example.com", "nested": {"deep": "canaryprompt"},
    }));
    let poisoned = with(json!({"prompt": "canaryprompt", "kind": "refuse-me"}));
    let rejected = json!([{"index": 2, "statusCode": 400, "message": "100: Field 'kind' Actual: canaryprompt"}]);
    let sandbox = Sandbox::scripted(&json!({"items": rejected}).to_string());
    let home = sandbox.home.path().display().to_string();
    sandbox
        .line(&by_name)
        .line(&by_value)
        .line(&poisoned)
        .env("USER", "canaryuser")
        .env("LOGNAME", "canaryuser")
        .env("HOSTNAME", "canaryhost")
        .env("EMAIL", "canarymail@example.com")
        .env("PROMPT", "canaryprompt")
        .env("GITHUB_TOKEN", "canarytoken")
        .env("PWD", &format!("{home}/canarypath"))
}

#[test]
fn no_canary_leaves_and_none_is_found_in_log_state_or_copy() {
    let sandbox = planted();
    let (code, stdout, stderr) = sandbox.flush().posts(1).left("").outputs();
    assert_eq!((code, stderr.as_str()), (0, ""));
    let mut places: Vec<(String, String)> = vec![("stdout".into(), stdout)];
    for exchange in sandbox.server.exchanges.lock().unwrap().iter() {
        places.push((
            "request".into(),
            format!("{} {:?}", exchange.path, exchange.headers),
        ));
        places.push((
            "body".into(),
            String::from_utf8(exchange.body.clone()).unwrap(),
        ));
    }
    for (name, (_, content)) in sandbox.files() {
        // The rejected line is the producer's own, kept for its owner; it never leaves the machine.
        if name.contains("/upload/") && !name.ends_with("rejected.jsonl") {
            places.push((name, String::from_utf8_lossy(&content).into_owned()));
        }
    }
    assert!(places.len() >= 8, "{places:?}");
    let home = sandbox.home.path().display().to_string();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .unwrap()
        .trim()
        .to_owned();
    for (place, text) in &places {
        for canary in CANARIES.iter().copied().chain([home.as_str()]) {
            assert!(!text.contains(canary), "{canary} in {place}: {text}");
        }
    }
    for envelope in sandbox.envelopes() {
        assert_eq!(
            envelope["tags"]["ai.cloud.roleInstance"], "-",
            "the host is {host}"
        );
        assert_eq!(envelope["tags"]["ai.location.ip"], "0.0.0.0");
    }
}

#[test]
fn what_was_left_out_is_counted_by_name_and_shown() {
    let mut line: Value = serde_json::from_str(&event("a")).unwrap();
    line["prompt"] = json!("hello");
    line["cwd"] = json!("x");
    line["plugin"] = json!("fine");
    let sandbox = Sandbox::new()
        .line(&line.to_string())
        .line(&line.to_string());
    sandbox
        .flush()
        .stdout("sent 2 events; left out: cwd (2), prompt (2)")
        .left("")
        .code(0);
    let properties = &sandbox.envelopes()[0]["data"]["baseData"]["properties"];
    assert_eq!(properties["plugin"], "fine");
}

#[test]
fn strict_mode_sends_the_named_fields_only() {
    let mut line: Value = serde_json::from_str(&event("a")).unwrap();
    line["plugin"] = json!("fine");
    line["tags"] = json!(["x", "y"]);
    let sandbox = Sandbox::new().line(&line.to_string());
    sandbox.write("config.json", r#"{"allow": ["tags", "agentType"]}"#);
    let (code, stdout, _) = sandbox.flush().left("").outputs();
    assert_eq!(code, 0);
    assert!(stdout.contains("plugin (1)"), "{stdout}");
    let envelope = &sandbox.envelopes()[0];
    let names: Vec<&String> = envelope["data"]["baseData"]["properties"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(
        names
            .iter()
            .filter(|name| ["plugin", "command", "platform"].contains(&name.as_str()))
            .count(),
        0,
        "{names:?}"
    );
    assert_eq!(envelope["data"]["baseData"]["properties"]["tags"], "x,y");
    assert_eq!(
        envelope["data"]["baseData"]["properties"]["agent_type"],
        "claude"
    );
}

#[test]
fn an_event_whose_name_looks_personal_is_rejected() {
    let line = event("a").replace("atomic_command", "/home/canaryuser/run");
    let sandbox = Sandbox::new().line(&line);
    sandbox
        .flush()
        .stdout("sent 0 events, dropped 1 malformed")
        .posts(0)
        .left("")
        .code(0);
}

#[test]
fn the_request_says_nothing_about_the_machine() {
    let sandbox = Sandbox::new().line(&event("a"));
    sandbox.flush().stdout("sent 1 event").code(0);
    let exchanges = sandbox.server.exchanges.lock().unwrap();
    let mut headers: Vec<(String, String)> = exchanges[0]
        .headers
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.clone()))
        .collect();
    headers.retain(|(name, _)| !["host", "content-length"].contains(&name.as_str()));
    headers.sort();
    let expected = [
        ("accept", "application/json"),
        ("accept-encoding", "identity"),
        ("content-encoding", "gzip"),
        ("content-type", "application/json"),
        ("user-agent", "telemetry-upload"),
    ];
    assert_eq!(
        headers,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}
