//! Closed descriptors and tiny limits: a host never fails, a person gets a documented exit code, no file of
//! ours takes the place of a closed descriptor, and nothing is lost.

use super::{after, start_of_session, text};
use crate::kit::{BINARY, BUFFER, Sandbox, event};
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

#[test]
fn with_standard_descriptors_closed_nothing_is_printed_into_a_file_of_ours() {
    for closed in 1..8_u8 {
        let sandbox = Sandbox::new().hasty().dated();
        let lines: Vec<&str> = [(1, "exec <&-"), (2, "exec >&-"), (4, "exec 2>&-")]
            .into_iter()
            .filter_map(|(bit, line)| (closed & bit != 0).then_some(line))
            .collect();
        let lines = lines.join("; ");
        let run = |args: &[&str]| {
            let output = after(&sandbox, &lines, args);
            assert_eq!(
                output.status.code(),
                Some(0),
                "{lines}: {args:?} {output:?}"
            );
        };
        run(&["record", "a", "--verbose"]);
        run(&["record", "b", "--spawn", "--verbose"]);
        run(&["hook", "--host", "claude", "--verbose"]);
        sandbox.wait_for_delivered(2);
        sandbox.wait_for_quiet();
        run(&["record", "c"]);
        run(&["record", "--verbose"]);
        assert_eq!(sandbox.recorded().len(), 1, "{lines}");
        run(&["--flush", "--json"]);
        run(&["--flush"]);
        assert_eq!(sandbox.read(BUFFER), "", "{lines}");
        run(&["record", "d"]);
        run(&["--detach", "--verbose"]);
        sandbox.wait_for_delivered(4);
        sandbox.wait_for_quiet();
        check_every_file_holds_its_own(&sandbox, &lines);
    }
}

fn check_every_file_holds_its_own(sandbox: &Sandbox, story: &str) {
    let json = |name: &str| serde_json::from_str::<Value>(&sandbox.read(name));
    assert!(json("telemetry.json").unwrap().is_object(), "{story}");
    assert!(json("upload/state.json").unwrap().is_object(), "{story}");
    assert_eq!(
        sandbox.read("upload/telemetry-events.jsonl.cursor").len(),
        1024,
        "{story}"
    );
    for lock in ["uploader.lock", "detached.lock"] {
        let owner = sandbox.read(&format!("upload/{lock}"));
        assert!(
            owner.starts_with("pid ") && owner.lines().count() == 1,
            "{story}: {owner}"
        );
    }
    for line in sandbox.read("upload/sent.jsonl").lines() {
        assert!(
            serde_json::from_str::<Value>(line).is_ok(),
            "{story}: {line}"
        );
    }
    for line in sandbox.read("upload/upload.log").lines() {
        assert!(
            line.starts_with("20") && line.contains("Z exit 0 "),
            "{story}: {line}"
        );
    }
    for name in ["rejected.jsonl", "rejected.jsonl.1"] {
        assert!(!sandbox.path("upload").join(name).exists(), "{story}");
    }
}

fn hook(sandbox: &Sandbox, lines: &str) -> Output {
    let script = format!("{lines}; \"$0\" hook --host claude <<<\"$1\"");
    Command::new("bash")
        .args(["-c", &script, BINARY, &start_of_session()])
        .env_clear()
        .envs(&sandbox.env)
        .output()
        .unwrap()
}

fn check_silent(output: &Output, story: &str) {
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(
        (output.status.code(), said.as_str()),
        (Some(0), ""),
        "{story}"
    );
}

/// Everything that was recorded arrives once the limit is gone.
fn check_nothing_is_lost(sandbox: &Sandbox, story: &str) {
    let mut expected: BTreeSet<String> = sandbox
        .recorded()
        .iter()
        .map(|event| event["eventId"].as_str().unwrap().to_owned())
        .collect();
    expected.insert("a".to_owned());
    let (code, stdout, stderr) = sandbox.flush().left("").outputs();
    assert_eq!(code, 0, "{story}: {stdout} {stderr}");
    let delivered: BTreeSet<String> = sandbox.delivered().into_iter().collect();
    assert!(
        expected.is_subset(&delivered),
        "{story}: {expected:?} {delivered:?}"
    );
}

#[test]
fn with_few_descriptors_a_host_goes_on_and_nothing_is_lost() {
    for limit in 4..=20 {
        let sandbox = Sandbox::new().hasty().dated().line(&event("a"));
        let lines = format!("ulimit -n {limit}");
        check_silent(&after(&sandbox, &lines, &["record", "x"]), &lines);
        check_silent(&after(&sandbox, &lines, &["--detach"]), &lines);
        sandbox.wait_for_quiet();
        let output = after(&sandbox, &lines, &["--flush"]);
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 1 | 75 | 78)), "{lines}: {output:?}");
        assert!(
            !text(&output.stderr).contains("defect"),
            "{lines}: {output:?}"
        );
        check_nothing_is_lost(&sandbox, &lines);
    }
}

#[test]
fn with_few_descriptors_a_hook_fails_no_agent() {
    // The shell that feeds the hook needs one itself.
    for limit in 5..=20 {
        let sandbox = Sandbox::new().without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
        let lines = format!("ulimit -n {limit}");
        check_silent(&hook(&sandbox, &lines), &lines);
    }
}

#[test]
fn with_a_limit_on_the_size_of_files_a_host_goes_on_and_nothing_is_lost() {
    for kilobytes in [0, 1, 2] {
        let sandbox = Sandbox::new().dated().line(&event("a"));
        let lines = format!("ulimit -f {kilobytes}");
        for _ in 0..10 {
            check_silent(&after(&sandbox, &lines, &["record", "x"]), &lines);
        }
        let output = after(&sandbox, &lines, &["--flush"]);
        assert!(
            matches!(output.status.code(), Some(0 | 1)),
            "{lines}: {output:?}"
        );
        // What a limit cut off was taken back, or ended by the next event: every line is one.
        for line in sandbox.read(BUFFER).lines().filter(|line| !line.is_empty()) {
            assert!(
                serde_json::from_str::<Value>(line).is_ok(),
                "{lines}: {line}"
            );
        }
        check_nothing_is_lost(&sandbox, &lines);
    }
    let sandbox = Sandbox::new().dated().line(&event("a"));
    let before = sandbox.read(BUFFER);
    check_silent(
        &hook(&sandbox, "exec 9<<<x; ulimit -f 0; printf '' "),
        "hook",
    );
    let output = after(&sandbox, "ulimit -f 0", &["--flush"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!((sandbox.read(BUFFER), sandbox.posts()), (before, 0));
}

#[test]
fn with_little_memory_nothing_panics_and_nothing_is_lost() {
    // How little is too little depends on the build; below it a process ends before it has begun, or is
    // ended where the memory was missing.
    const ENDED_BY_THE_SYSTEM: [i32; 2] = [6, 11];
    for (limit, sizes) in [
        (
            "v",
            [6_000, 8_000, 10_000, 12_000, 14_000, 16_000, 20_000, 40_000],
        ),
        ("d", [200, 500, 1_000, 2_000, 4_000, 6_000, 10_000, 20_000]),
        ("s", [64, 96, 128, 256, 512, 1_024, 2_048, 8_192]),
    ] {
        let mut well = 0;
        for size in sizes {
            let sandbox = Sandbox::new().dated().line(&event("a"));
            let lines = format!("ulimit -{limit} {size}; export RUST_BACKTRACE=1");
            for args in [&["record", "x"][..], &["--flush", "--pause-ms", "0"]] {
                let output = after(&sandbox, &lines, args);
                let stderr = text(&output.stderr);
                // zlib-rs has no other way to say that it got no memory.
                let is_defect = stderr.contains("defect") && !stderr.contains("/zlib-rs-");
                assert!(
                    !stderr.contains("panicked") && !is_defect,
                    "{lines}: {stderr}"
                );
                match output.status.signal() {
                    Some(signal) => {
                        assert!(ENDED_BY_THE_SYSTEM.contains(&signal), "{lines}: {output:?}");
                    }
                    None => assert!(
                        matches!(output.status.code(), Some(0 | 1 | 75 | 127)),
                        "{lines}: {output:?}"
                    ),
                }
                well += usize::from(output.status.success());
            }
            check_nothing_is_lost(&sandbox, &lines);
        }
        assert!(well >= 6, "ulimit -{limit}: {well} runs went well");
    }
}

/// Not a test by itself: the process that the test below looks at.
#[test]
fn a_process_with_a_defect() {
    use telemetry_upload::startup::{self, Watched};
    let watched = match std::env::var("TELEMETRY_UPLOAD_TEST_DEFECT").as_deref() {
        Ok("host") => Watched::ByHost,
        Ok("person") => Watched::ByPerson,
        _ => return,
    };
    startup::prepare(watched);
    panic!("canarytext of an event");
}

#[test]
fn a_defect_of_ours_says_where_it_is_and_nothing_of_an_event() {
    let run = |watched: &str| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "security::limits::a_process_with_a_defect",
                "--nocapture",
            ])
            .env("TELEMETRY_UPLOAD_TEST_DEFECT", watched)
            .env("RUST_BACKTRACE", "1")
            .output()
            .unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let (code, said) = run("person");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.starts_with(
            "telemetry-upload: ended by a defect of its own at tests/it/security/limits.rs:"
        ),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(!said.contains("canarytext"), "{said}");
    assert_eq!(run("host"), (Some(0), String::new()));
}
