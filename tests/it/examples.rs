//! The producer examples of `hooks/append`: each appends, from its own language, a line that arrives.

use crate::kit::{BUFFER, CONSENT, Sandbox};
use crate::tools::{feed, file, find, python, shells, silent};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

/// The command lines that run the examples, but for their arguments.
static EXAMPLES: LazyLock<Vec<Vec<PathBuf>>> = LazyLock::new(|| examples("atomic"));

/// The examples as the tool of this name would have them: with one word changed.
fn examples(app: &str) -> Vec<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(app);
    fs::create_dir_all(&folder).unwrap();
    let at = |name: &str| {
        let text = fs::read_to_string(file(&format!("hooks/append/{name}"))).unwrap();
        assert_eq!(text.matches("atomic").count(), 1, "{name}");
        let copy = folder.join(name);
        fs::write(&copy, text.replace("atomic", app)).unwrap();
        copy
    };
    let mut examples: Vec<Vec<PathBuf>> = Vec::new();
    for mut shell in shells() {
        shell.push(at("append.sh"));
        examples.push(shell);
    }
    examples.extend(python().map(|python| vec![python, at("append.py")]));
    examples.extend(find("node").map(|node| vec![node, at("append.mjs")]));
    examples.extend(
        find("rustc").map(|rustc| build(&rustc, &["--edition=2024", "-o"], &at("append.rs"))),
    );
    examples.extend(find("go").map(|go| build(&go, &["build", "-o"], &at("append.go"))));
    examples
}

fn build(compiler: &Path, flags: &[&str], source: &Path) -> Vec<PathBuf> {
    let name = source.file_name().unwrap().to_string_lossy();
    let binary = source.with_file_name(name.replace('.', "-"));
    let output = Command::new(compiler)
        .args(flags)
        .arg(&binary)
        .arg(source)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    vec![binary]
}

/// Runs an example in the sandbox, which it must leave silently.
fn append(example: &[PathBuf], sandbox: &Sandbox, args: &[&str]) {
    let mut command = Command::new(&example[0]);
    command
        .args(&example[1..])
        .args(args)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(&sandbox.env);
    silent(&feed(&mut command, b""), &format!("{example:?}"));
}

#[test]
fn every_example_appends_a_line_that_arrives() {
    for example in EXAMPLES.iter() {
        let sandbox = Sandbox::new();
        let spicy = "say \"ü\" \\ now";
        append(
            example,
            &sandbox,
            &[
                "example_event",
                &format!("command={spicy}"),
                "odd=a=b",
                "none",
            ],
        );
        append(example, &sandbox, &["second_event"]);
        append(example, &sandbox, &[]);
        let (mode, content) = &sandbox.files()[".local/share/atomic/telemetry-events.jsonl"];
        assert_eq!(*mode, 0o600, "{example:?}");
        let text = String::from_utf8(content.clone()).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2, "{example:?}: {text}");
        let (first, second) = (&lines[0], &lines[1]);
        assert_eq!(first["eventType"], "example_event", "{example:?}");
        assert_eq!(first["command"], spicy, "{example:?}");
        assert_eq!(first["odd"], "a=b", "{example:?}");
        assert_eq!(first["platform"], "linux", "{example:?}");
        assert_eq!(
            first["anonymousId"], "11111111-1111-4111-8111-111111111111",
            "{example:?}"
        );
        for line in [first, second] {
            let id = uuid::Uuid::parse_str(line["eventId"].as_str().unwrap()).unwrap();
            assert_eq!(id.get_version_num(), 4, "{example:?}");
            let time = if let Some(text) = line["timestamp"].as_str() {
                let is_whole = text.len() == 24 && text.ends_with('Z');
                assert!(is_whole, "{example:?}: {text}");
                text.parse().unwrap()
            } else {
                let millis = line["timestamp"].as_i64().unwrap();
                chrono::DateTime::from_timestamp_millis(millis).unwrap()
            };
            let age = (telemetry_upload::world::now() - time).num_seconds();
            assert!((0..60).contains(&age), "{example:?}: {age} s old");
        }
        assert_ne!(first["eventId"], second["eventId"], "{example:?}");
        sandbox.flush().stdout("sent 2 events").left("").code(0);
        assert_eq!(
            sandbox.delivered(),
            [&first["eventId"], &second["eventId"]].map(|id| id.as_str().unwrap())
        );
    }
}

/// A text that every language has to escape.
const SPICY: &str = "say \"é😀\" \\n,\nthen\t\u{1b}[1m\r";

/// The only line of the buffer, without what differs from call to call.
fn only_line(sandbox: &Sandbox) -> Value {
    let text = sandbox.read(BUFFER);
    assert_eq!(text.lines().count(), 1, "{text}");
    let mut line: Value = serde_json::from_str(&text).unwrap();
    let fields = line.as_object_mut().unwrap();
    assert!(fields.remove("eventId").is_some() && fields.remove("timestamp").is_some());
    line
}

#[test]
fn all_examples_write_the_same_json() {
    let typed = [
        ("success", "true", json!(true)),
        ("valid", "false", json!(false)),
        ("commandCount", "2", json!(2)),
        ("below", "-7", json!(-7)),
        ("share", "-0.25", json!(-0.25)),
        ("none", "0", json!(0)),
        ("round", "1000", json!(1000)),
        ("large", "123456789012345", json!(123_456_789_012_345_i64)),
    ];
    // What would lose a digit or a sign, what is no number in JSON, and what is a text whatever it looks like.
    let texts = [
        ("spicy", SPICY),
        ("empty", ""),
        ("zeros", "0012"),
        ("price", "1.10"),
        ("one", "1.0"),
        ("minus", "-0"),
        ("hash", "1e5"),
        ("longer", "1234567890123456"),
        ("plus", "+1"),
        ("dot", "5."),
        ("point", ".5"),
        ("dash", "-"),
        ("dashes", "--5"),
        ("date", "2026-11"),
        ("address", "1.2.3"),
        ("lines", "5\n6"),
        ("missing", "NaN"),
        ("endless", "Infinity"),
        ("capital", "True"),
        ("null", "null"),
        ("list", "[1]"),
        ("version", "2"),
        ("atomicVersion", "1.5"),
        ("sessionId", "5"),
        ("agent_type", "7"),
        ("command", "true"),
        ("source", "3"),
    ];
    let texts = texts.map(|(key, text)| (key, text, json!(text)));
    let cases: Vec<_> = typed.into_iter().chain(texts).collect();
    let pairs: Vec<String> = cases
        .iter()
        .map(|(key, text, _)| format!("{key}={text}"))
        .collect();
    let mut args = vec!["example_event"];
    args.extend(pairs.iter().map(String::as_str));
    for example in EXAMPLES.iter() {
        let sandbox = Sandbox::new();
        append(example, &sandbox, &args);
        let line = only_line(&sandbox);
        for (key, _, value) in &cases {
            assert_eq!(line[*key], *value, "{example:?} {key}");
        }
        // And the four that each adds.
        assert_eq!(line.as_object().unwrap().len(), cases.len() + 3, "{line}");
    }
}

/// Each language's example, pasted above a call with values of its own types.
fn typed_examples() -> Vec<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("typed");
    fs::create_dir_all(&folder).unwrap();
    let pasted = |name: &str, end: &str, call: &str| {
        let text = fs::read_to_string(file(&format!("hooks/append/{name}"))).unwrap();
        let (above, _) = text.split_once(end).unwrap();
        let copy = folder.join(name);
        fs::write(&copy, format!("{above}\n{call}\n")).unwrap();
        copy
    };
    let text = json!(SPICY).to_string();
    let mut examples: Vec<Vec<PathBuf>> = Vec::new();
    if let Some(python) = python() {
        let call = format!(
            "record('typed', text={text}, yes=True, count=-3, share=0.5, nan=float('nan'), inf=-float('inf'), deep=[float('nan')], odd={{1, 2}})"
        );
        examples.push(vec![python, pasted("append.py", "def value(", &call)]);
    }
    if let Some(node) = find("node") {
        let call = format!(
            "record('typed', {{ text: {text}, yes: true, count: -3, share: 0.5, nan: NaN, inf: -Infinity, deep: [NaN], odd: 1n }})"
        );
        examples.push(vec![node, pasted("append.mjs", "// This by itself", &call)]);
    }
    if let Some(rustc) = find("rustc") {
        let call = format!(
            "fn main() {{ record(\"typed\", &[(\"text\", Text({SPICY:?})), (\"yes\", Flag(true)), (\"count\", Whole(-3)), (\"share\", Number(0.5)), (\"nan\", Number(f64::NAN)), (\"inf\", Number(-f64::INFINITY))]) }}"
        );
        let source = pasted("append.rs", "fn value<", &call);
        examples.push(build(&rustc, &["--edition=2024", "-o"], &source));
    }
    if let Some(go) = find("go") {
        let call = format!(
            "func main() {{ zero := 0.0; record(\"typed\", map[string]any{{\"text\": {text}, \"yes\": true, \"count\": -3, \"share\": 0.5, \"nan\": zero / zero, \"inf\": -1 / zero, \"deep\": []any{{zero / zero}}, \"odd\": func() {{}}}}) }}"
        );
        let source = pasted("append.go", "var isText", &call);
        examples.push(build(&go, &["build", "-o"], &source));
    }
    examples
}

#[test]
fn values_keep_their_types_and_nan_costs_its_field_alone() {
    for example in typed_examples() {
        let sandbox = Sandbox::new();
        append(&example, &sandbox, &[]);
        let expected = json!({
            "eventType": "typed", "anonymousId": "11111111-1111-4111-8111-111111111111", "platform": "linux",
            "text": SPICY, "yes": true, "count": -3, "share": 0.5,
        });
        assert_eq!(only_line(&sandbox), expected, "{example:?}");
    }
}

#[test]
fn every_example_appends_without_the_lock_where_there_are_no_locks() {
    let Some(strace) = find("strace") else { return };
    for error in ["ENOSYS", "EOPNOTSUPP", "ENOLCK"] {
        for example in EXAMPLES.iter() {
            let sandbox = Sandbox::new();
            sandbox.append("{\"eventType\":\"torn");
            let traced = sandbox.path("trace");
            let flags = ["-f", "-qq", "-e", "trace=flock", "-e"].map(PathBuf::from);
            let mut command = vec![strace.clone()];
            command.extend(flags);
            command.push(format!("inject=flock:error={error}").into());
            command.extend(["-o".into(), traced.clone()]);
            command.extend(example.iter().cloned());
            append(&command, &sandbox, &["example_event"]);
            let text = sandbox.read(BUFFER);
            assert!(
                text.starts_with("{\"eventType\":\"torn\n{") && text.ends_with("}\n"),
                "{example:?} {error}: {text}"
            );
            // Asked once, and not again for half a second. Node and busybox ask nothing.
            let asked = fs::read_to_string(traced).unwrap();
            assert!(asked.matches("flock(").count() <= 1, "{example:?}: {asked}");
        }
    }
}

#[test]
fn no_example_appends_where_telemetry_is_off() {
    let check = |consent: Option<&str>, variable: Option<(&str, &str)>, lines: usize| {
        for example in EXAMPLES.iter() {
            let mut sandbox = Sandbox::new();
            sandbox
                .env
                .extend(variable.map(|(name, value)| (name.to_owned(), value.to_owned())));
            match consent {
                Some(text) => sandbox.write("telemetry.json", text),
                None => fs::remove_file(sandbox.path("telemetry.json")).unwrap(),
            }
            append(example, &sandbox, &["example_event"]);
            let story = format!("{example:?} {consent:?} {variable:?}");
            assert_eq!(sandbox.read(BUFFER).lines().count(), lines, "{story}");
            assert_eq!(sandbox.path(BUFFER).exists(), lines > 0, "{story}");
        }
    };
    check(
        Some("{\n  \"enabled\": true,\n  \"consentGiven\": true\n}\n"),
        None,
        1,
    );
    check(Some(CONSENT), Some(("CI", "false")), 1);
    check(Some(CONSENT), Some(("DO_NOT_TRACK", "0")), 1);
    check(Some(CONSENT), Some(("DO_NOT_TRACK", " N ")), 1);
    check(Some(CONSENT), Some(("ATOMIC_TELEMETRY", "Enabled")), 1);
    check(Some(&format!("\u{feff}{CONSENT}")), None, 1);
    check(Some(CONSENT), Some(("CI", "1")), 0);
    check(Some(CONSENT), Some(("TF_BUILD", "True")), 0);
    check(Some(CONSENT), Some(("DO_NOT_TRACK", "1")), 0);
    check(Some(CONSENT), Some(("DO_NOT_TRACK", "maybe")), 0);
    check(Some(CONSENT), Some(("ATOMIC_TELEMETRY", "Off")), 0);
    check(Some(CONSENT), Some(("ATOMIC_TELEMETRY", "disabled")), 0);
    check(Some(CONSENT), Some(("ATOMIC_TELEMETRY", " 0 ")), 0);
    check(Some(CONSENT), Some(("HOME", "/no/such")), 0);
    check(None, None, 0);
    check(Some("{"), None, 0);
    check(Some(r#"{"enabled":false,"consentGiven":true}"#), None, 0);
    check(Some(r#"{"enabled":true}"#), None, 0);
    check(Some(r#"{"enabled":"true","consentGiven":true}"#), None, 0);
}

#[test]
fn a_name_that_is_no_variable_has_its_own_opt_out_and_folder() {
    for example in examples("my-tool2") {
        let check = |variable: &str, lines: usize| {
            let sandbox = Sandbox::new().env(variable, "off");
            let folder = sandbox.home.path().join(".local/share/my-tool2");
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("telemetry.json"), CONSENT).unwrap();
            append(&example, &sandbox, &["example_event"]);
            let text = fs::read_to_string(folder.join(BUFFER)).unwrap_or_default();
            assert_eq!(text.lines().count(), lines, "{example:?} {variable}");
        };
        check("MY_TOOL2_TELEMETRY", 0);
        check("ATOMIC_TELEMETRY", 1);
    }
}

#[test]
fn every_example_finds_the_folder_it_is_told() {
    for example in EXAMPLES.iter() {
        let sandbox = Sandbox::new();
        let data = sandbox.data().display().to_string();
        let share = sandbox
            .home
            .path()
            .join(".local/share")
            .display()
            .to_string();
        let told = sandbox
            .env("HOME", "/no/such")
            .env("TELEMETRY_UPLOAD_DATA_DIR", &data);
        append(example, &told, &["a"]);
        let homeless = told.without_env("HOME");
        append(example, &homeless, &["b"]);
        let xdg = homeless
            .without_env("TELEMETRY_UPLOAD_DATA_DIR")
            .env("XDG_DATA_HOME", &share);
        append(example, &xdg, &["c"]);
        assert_eq!(xdg.read(BUFFER).lines().count(), 3, "{example:?}");
    }
}

#[test]
fn every_example_mends_a_torn_tail() {
    for example in EXAMPLES.iter() {
        let sandbox = Sandbox::new();
        sandbox.append("{\"eventType\":\"torn");
        append(example, &sandbox, &["example_event"]);
        assert!(
            sandbox.read(BUFFER).starts_with("{\"eventType\":\"torn\n{"),
            "{example:?}"
        );
        sandbox.flush().outputs();
        assert_eq!(sandbox.delivered().len(), 1, "{example:?}");
    }
}

#[test]
fn no_example_waits_long_for_a_hung_hook() {
    let check = |example: &[PathBuf]| {
        let sandbox = Sandbox::new();
        sandbox.append("\n");
        let holder = fs::File::open(sandbox.path(BUFFER)).unwrap();
        holder.lock().unwrap();
        // An example that does wait is let go in the end, so that the test fails and does not hang.
        let (appended, ended) = std::sync::mpsc::channel();
        let hung = std::thread::spawn(move || {
            let in_time = ended.recv_timeout(Duration::from_secs(10)).is_ok();
            drop(holder);
            in_time
        });
        append(example, &sandbox, &["example_event"]);
        let _ = appended.send(());
        assert!(hung.join().unwrap(), "{example:?} waited");
        assert_eq!(sandbox.read(BUFFER).lines().count(), 2, "{example:?}");
    };
    // Each waits for about a second, so they do it together.
    std::thread::scope(|scope| {
        for example in EXAMPLES.iter() {
            scope.spawn(move || check(example));
        }
    });
}

#[test]
fn no_example_follows_a_link() {
    for example in EXAMPLES.iter() {
        let sandbox = Sandbox::new();
        sandbox.write("elsewhere", "");
        symlink(sandbox.path("elsewhere"), sandbox.path(BUFFER)).unwrap();
        append(example, &sandbox, &["example_event"]);
        assert_eq!(sandbox.read("elsewhere"), "", "{example:?}");
    }
}
