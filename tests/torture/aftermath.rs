//! What must be so after a run in which something went wrong below the program.

use crate::errnos;
use crate::kit::{BUFFER, Sandbox, Server, event_id};
use crate::oracle::no_stray_file;
use crate::reckoning::Reckoning;
use crate::scenarios::{BATCH, Kind, MARK, Prepared, Scenario, event};
use crate::strace::{Fault, Injection, Traced};
use serde_json::Value;
use std::os::unix::process::ExitStatusExt;

/// How a run ended that had to be looked at twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As the program says that it may, or killed by us.
    AsDocumented,
    /// Without memory neither libc nor Rust's runtime goes on: as good as a kill.
    OutOfMemory,
    /// Rust's runtime panics if a folder cannot be closed, which no local file system says.
    FolderClose,
}

/// What is expected of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Exactly what an undisturbed one does.
    AsUndisturbed,
    /// Any ending that is documented.
    AnyEnding,
}

/// How a run ended, and how many events it cost twice; panics if a promise was broken.
pub fn check(
    scenario: &Scenario,
    prepared: Prepared,
    traced: &Traced,
    (expected, injection): (Expected, Option<&Injection>),
) -> (How, usize) {
    let Prepared {
        mut sandbox,
        mut reckoning,
        before,
    } = prepared;
    sandbox.wait_for_quiet();
    let how = ended(scenario, traced, injection);
    let is_hook = scenario.args[0] == "hook";
    let undisturbed = expected == Expected::AsUndisturbed;
    if undisturbed {
        assert_eq!(traced.output.status.code(), Some(scenario.code));
        if scenario.args[0] == "record" {
            reckoning.confirm(&format!("{MARK}-new"));
        }
    }
    silent(&sandbox, traced);
    let consent: Value = serde_json::from_str(&sandbox.read("telemetry.json")).unwrap();
    assert!(
        consent["enabled"] == true && consent["consentGiven"] == true,
        "the consent became {consent}"
    );
    if scenario.kind == Kind::Producer {
        appended(&sandbox, &before);
    }
    let mut accepted = sandbox.accepted();
    sandbox.server = Server::start("", Box::new(|_, _, _| {}));
    let place = sandbox.server.connection_string.clone();
    sandbox
        .env
        .insert("APPLICATIONINSIGHTS_CONNECTION_STRING".to_owned(), place);
    later(&sandbox, scenario, &mut reckoning);
    sandbox
        .run(&["--flush", "--pause-ms", "1"])
        .left("")
        .outputs();
    accepted.extend(sandbox.accepted());
    if is_hook {
        let recorded = expect_of_hook(&mut reckoning, &accepted);
        assert!(recorded <= 1, "one hook recorded {recorded} events");
        assert!(recorded == 1 || !undisturbed, "the hook recorded nothing");
    } else {
        let stays = sandbox.path("telemetry.json.telemetry-upload.new");
        if injection.is_some_and(leaves_the_other) {
            let _ = std::fs::remove_file(stays);
        }
        no_stray_file(&sandbox);
    }
    let twice = reckoning.account(&accepted, &sandbox.read("upload/rejected.jsonl"));
    let bound = match scenario.kind {
        _ if undisturbed => 0,
        Kind::Pass => BATCH,
        Kind::Detached => 2 * BATCH,
        Kind::Producer | Kind::ProducerAndPass => 0,
    };
    assert!(twice <= bound, "{twice} twice, at most {bound} may be");
    (how, twice)
}

/// The exit code is one of those that are documented, and there was no panic.
fn ended(scenario: &Scenario, traced: &Traced, injection: Option<&Injection>) -> How {
    let output = &traced.output;
    let words = String::from_utf8_lossy(&output.stderr);
    let is_kill = injection.is_some_and(|injection| injection.fault == Fault::Kill);
    if is_kill && traced.log.contains("killed by SIGKILL") {
        return How::AsDocumented;
    }
    // A panic says no word of its own; for a host it says nothing at all.
    let is_defect = words.contains("defect");
    let broke = output.status.signal().is_some() || is_defect;
    if broke && injection.is_some_and(|injection| errnos::is_memory(&injection.call)) {
        return How::OutOfMemory;
    }
    if is_defect && words.contains("/std/src/sys/fs/") {
        return How::FolderClose;
    }
    let documented: &[i32] = match scenario.kind {
        Kind::Pass => &[0, 1, 75, 78],
        Kind::Detached | Kind::Producer | Kind::ProducerAndPass => &[0],
    };
    assert!(
        output
            .status
            .code()
            .is_some_and(|code| documented.contains(&code)),
        "it ended by {}: {words}",
        output.status
    );
    assert!(!is_defect, "{words}");
    if scenario.kind != Kind::Pass {
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        assert_eq!(String::from_utf8_lossy(&said), "", "said to a host");
    }
    How::AsDocumented
}

/// Between the exchange of two files and the removal of the other there is no one who knows of it but
/// the one who is killed there, or may not remove it. The next month's goes into its place.
fn leaves_the_other(injection: &Injection) -> bool {
    injection.fault == Fault::Kill || injection.call.starts_with("unlink")
}

/// Nothing of an event shows where people and programs look.
fn silent(sandbox: &Sandbox, traced: &Traced) {
    let places = [
        String::from_utf8_lossy(&traced.output.stdout).into_owned(),
        String::from_utf8_lossy(&traced.output.stderr).into_owned(),
        sandbox.read("upload/upload.log"),
        sandbox.read("upload/state.json"),
        sandbox.read("upload/uploader.lock"),
    ];
    for place in places {
        assert!(
            !place.contains(MARK),
            "something of an event shows: {place}"
        );
    }
}

/// What stood in the buffer is as it was, and behind it there is one whole line at most.
fn appended(sandbox: &Sandbox, before: &str) {
    let after = sandbox.read(BUFFER);
    let Some(new) = after.strip_prefix(before) else {
        panic!("{before:?} became {after:?}");
    };
    let new = new.strip_prefix('\n').unwrap_or(new);
    let events: Vec<&str> = new.lines().collect();
    let is_whole = |line: &&str| serde_json::from_str::<Value>(line).is_ok();
    assert!(
        events.len() <= 1 && events.iter().all(is_whole) && (new.is_empty() || new.ends_with('\n')),
        "appended: {new:?}"
    );
}

/// One more event, so that the next pass has something to do in any case. A producer still works.
fn later(sandbox: &Sandbox, scenario: &Scenario, reckoning: &mut Reckoning) {
    let id = format!("{MARK}-later");
    if scenario.kind == Kind::Pass {
        let line = event(&id);
        // The file may end in a line that was torn.
        sandbox.append(format!("\n{line}\n"));
        reckoning.certain(&id, &line);
    } else {
        let id_given = format!("eventId={id}");
        sandbox
            .run(&["record", "zebra_later", "--prop", &id_given])
            .code(0);
        reckoning.perhaps(&id, None);
        reckoning.confirm(&id);
    }
}

/// A hook's event has an id of the program's own making; how many there are.
fn expect_of_hook(reckoning: &mut Reckoning, accepted: &[Value]) -> usize {
    let of_hook = |envelope: &&Value| {
        let name = envelope["data"]["baseData"]["name"].as_str();
        name.is_some_and(|name| name.starts_with("agent_"))
    };
    let ids: Vec<String> = accepted.iter().filter(of_hook).map(event_id).collect();
    for id in &ids {
        reckoning.perhaps(id, None);
    }
    ids.len()
}
