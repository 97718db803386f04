//! Our envelope beside those that official and well-known SDKs really sent (tests/golden): the same
//! where it should be, and every difference listed with its reason.

use crate::kit::Sandbox;
use chrono::SecondsFormat;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Where our envelope differs from theirs, and why. A path ending in `*` stands for all below it.
const DIFFERENCES: [(&str, &str); 27] = [
    (
        "ver",
        "the default, 1; the schema allows leaving it out, and four of the SDKs do",
    ),
    ("seq", "optional order, null in the one SDK that sends it"),
    ("flags", "optional, null in the one SDK that sends it"),
    ("sampleRate", "the default, 100; we never sample"),
    (
        "name",
        "NODE and WEB put the key into the name; the type is decided by baseType",
    ),
    (
        "time",
        "ours is the event's own, theirs the moment of recording",
    ),
    (
        "tags.ai.application.ver",
        "not every SDK was told a version",
    ),
    (
        "tags.ai.cloud.role",
        "the application's name; the recordings used another",
    ),
    (
        "tags.ai.cloud.roleInstance",
        "the host name in their case, the constant - in ours",
    ),
    (
        "tags.ai.device.*",
        "host name, locale, architecture, kernel: never ours; osVersion is the event's platform",
    ),
    ("tags.ai.internal.sdkVersion", "each says its own name"),
    ("tags.ai.internal.nodeName", "the host name"),
    (
        "tags.ai.location.ip",
        "0.0.0.0 keeps the service from geolocating the sender; one SDK sends it too",
    ),
    (
        "tags.ai.operation.id",
        "the event's id in ours, a trace in theirs",
    ),
    ("tags.ai.operation.parentId", "there are no spans here"),
    ("tags.ai.session.id", "not every SDK was told a session"),
    ("tags.ai.user.authUserId", "nobody signs in here"),
    ("tags.ai.user.id", "not every SDK was told a user"),
    (
        "properties.num",
        "numbers are measurements here, and so can be summed in a query",
    ),
    ("properties.float", "the same"),
    (
        "properties.bool",
        "true, not Python's True or a raw boolean",
    ),
    ("properties.arr", "an unknown array stays on the machine"),
    ("properties.obj", "an unknown object stays on the machine"),
    (
        "properties.*",
        "theirs: null, undefined and NaN as text, SDK fields; ours: ids, version, true time",
    ),
    ("measurements.num", "numbers are measurements here"),
    ("measurements.float", "the same"),
    (
        "measurements.*",
        "NaN as null and booleans as numbers are never sent here",
    ),
];

/// What must be the same in every one of them.
const SAME: [&str; 4] = [
    "iKey",
    "data.baseType",
    "data.baseData.ver",
    "data.baseData.name",
];

fn flatten(prefix: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    if let Value::Object(fields) = value {
        for (key, value) in fields {
            let path = if prefix.is_empty() {
                key.clone()
            } else {
                format!("{prefix}.{key}")
            };
            flatten(&path, value, into);
        }
        return;
    }
    let inner = prefix
        .strip_prefix("data.baseData.")
        .filter(|path| path.contains('.'));
    into.insert(inner.unwrap_or(prefix).to_owned(), value.clone());
}

fn flat(envelope: &Value) -> BTreeMap<String, Value> {
    let mut flat = BTreeMap::new();
    flatten("", envelope, &mut flat);
    flat
}

fn goldens() -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap())
        .collect()
}

/// The recordings' event, as a producer of ours would write it.
fn ours() -> (Value, BTreeMap<String, String>) {
    let key = "11111111-2222-4333-8444-555555555555";
    let line = json!({
        "eventType": "golden_event", "eventId": "e-1", "anonymousId": "u-123", "sessionId": "s-456",
        "timestamp": telemetry_upload::world::now().to_rfc3339_opts(SecondsFormat::Millis, true),
        "atomicVersion": "9.9.9", "platform": "linux",
        "str": "text \"q\" é", "num": 42, "float": 1.5, "bool": true, "nul": null, "arr": [1, "a"],
        "obj": {"k": {"n": 1}}, "dur": 12.5, "cnt": 3, "zero": 0,
    });
    let sandbox = Sandbox::new().line(&line.to_string());
    let text = format!(
        "InstrumentationKey={key};IngestionEndpoint=http://127.0.0.1:{}/",
        sandbox.server.port
    );
    let sandbox = sandbox.env("APPLICATIONINSIGHTS_CONNECTION_STRING", &text);
    assert_eq!(sandbox.flush().outputs().0, 0);
    let exchange = sandbox.server.exchanges.lock().unwrap()[0].clone();
    let mut headers: BTreeMap<String, String> = exchange
        .headers
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.clone()))
        .collect();
    headers.insert("path".to_owned(), exchange.path.clone());
    (exchange.verdicts[0].0.clone(), headers)
}

/// The entry of the list that covers a path; an exact one before one with a `*`.
fn difference(path: &str) -> Option<&'static str> {
    let covers = |pattern: &str| {
        pattern
            .strip_suffix('*')
            .is_some_and(|prefix| path.starts_with(prefix))
    };
    let exact = DIFFERENCES.iter().find(|(pattern, _)| *pattern == path);
    exact
        .or_else(|| DIFFERENCES.iter().find(|(pattern, _)| covers(pattern)))
        .map(|(pattern, _)| *pattern)
}

#[test]
fn every_difference_from_the_official_sdks_is_listed_and_every_listed_one_exists() {
    let (ours, _) = ours();
    let ours = flat(&ours);
    let mut found: BTreeSet<&str> = BTreeSet::new();
    for golden in goldens() {
        let theirs = flat(&golden["envelope"]);
        for path in SAME {
            assert_eq!(
                ours.get(path),
                theirs.get(path),
                "{path} of {}",
                golden["sdk"]
            );
        }
        for path in ours
            .keys()
            .chain(theirs.keys())
            .filter(|path| ours.get(*path) != theirs.get(*path))
        {
            let listed = difference(path);
            assert!(
                listed.is_some(),
                "{path} of {}: ours {:?}, theirs {:?}",
                golden["sdk"],
                ours.get(path),
                theirs.get(path)
            );
            found.extend(listed);
        }
    }
    let listed: BTreeSet<&str> = DIFFERENCES.iter().map(|(pattern, _)| *pattern).collect();
    assert_eq!(found, listed);
}

#[test]
fn the_emulator_accepts_what_every_official_sdk_sent() {
    let server = Sandbox::new();
    for golden in goldens() {
        let mut envelope = golden["envelope"].clone();
        // The recordings are older than 48 hours.
        envelope["time"] = json!(telemetry_upload::world::now().to_rfc3339());
        let reply = ureq::post(format!(
            "http://127.0.0.1:{}/v2.1/track",
            server.server.port
        ))
        .send(envelope.to_string())
        .unwrap();
        assert_eq!(reply.status(), 200, "{}", golden["sdk"]);
    }
}

#[test]
fn our_request_has_the_shape_of_the_official_exporters() {
    let (_, ours) = ours();
    let golden = goldens()
        .into_iter()
        .find(|golden| {
            golden["sdk"]
                .as_str()
                .unwrap()
                .starts_with("npm-azure-monitor")
        })
        .unwrap();
    assert_eq!(ours["path"], golden["path"].as_str().unwrap());
    for name in ["accept", "content-type"] {
        assert_eq!(
            ours[name],
            golden["headers"][name].as_str().unwrap(),
            "{name}"
        );
    }
    // Theirs goes unpacked and says what it was built with.
    assert_eq!(ours["content-encoding"], "gzip");
    assert_eq!(ours["user-agent"], "telemetry-upload");
}
