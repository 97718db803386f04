//! What is run while a system call of it goes wrong.

use crate::kit::{self, BUFFER, Sandbox};
use crate::reckoning::Reckoning;
use crate::strace::Follow;

/// In every event, and in nothing else: where it shows, something of an event shows.
pub const MARK: &str = "zebra";

/// Events in one request. There is one request at a time: with several the same call would not be the same
/// step in each run.
pub const BATCH: usize = 3;

/// What the program is meant to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One pass.
    Pass,
    /// A pass that another process starts and does not wait for, and its last look.
    Detached,
    /// One event into the buffer.
    Producer,
    /// The same, and a detached pass, which nothing happens to.
    ProducerAndPass,
}

/// One run of the program.
pub struct Scenario {
    pub name: &'static str,
    pub kind: Kind,
    pub follow: Follow,
    pub args: &'static [&'static str],
    pub stdin: &'static str,
    /// The exit code if nothing goes wrong.
    pub code: i32,
    pub prepare: fn() -> Prepared,
}

/// What the run finds.
pub struct Prepared {
    pub sandbox: Sandbox,
    pub reckoning: Reckoning,
    /// The buffer's content.
    pub before: String,
}

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a pass that appends again, rejects, settles and keeps",
        kind: Kind::Pass,
        follow: Follow::Everyone,
        args: &[
            "--flush",
            "--lanes",
            "1",
            "--request-events",
            "3",
            "--attempts",
            "1",
            "--deadline-s",
            "3",
            "--request-timeout-ms",
            "1500",
            "--connect-timeout-ms",
            "1000",
        ],
        stdin: "",
        code: 75,
        prepare: || prepared(Sandbox::scripted(KEPT), 12),
    },
    Scenario {
        name: "a background pass that delivers everything",
        kind: Kind::Pass,
        follow: Follow::Everyone,
        args: &[
            "--lanes",
            "1",
            "--request-events",
            "3",
            "--attempts",
            "1",
            "--deadline-s",
            "3",
            "--request-timeout-ms",
            "1500",
            "--connect-timeout-ms",
            "1000",
        ],
        stdin: "",
        code: 0,
        prepare: || prepared(Sandbox::new(), 6),
    },
    Scenario {
        name: "a detached pass",
        kind: Kind::Detached,
        follow: Follow::Everyone,
        args: &[
            "--detach",
            "--lanes",
            "1",
            "--request-events",
            "3",
            "--attempts",
            "1",
            "--deadline-s",
            "3",
            "--gather-s",
            "0",
            "--request-timeout-ms",
            "1500",
            "--connect-timeout-ms",
            "1000",
        ],
        stdin: "",
        code: 0,
        prepare: || prepared(Sandbox::new(), 3),
    },
    Scenario {
        name: "record, where the anonymous id is due",
        kind: Kind::Producer,
        follow: Follow::Everyone,
        args: &[
            "record",
            "zebra_ran",
            "--prop",
            "eventId=zebra-new",
            "--prop",
            "n=1",
        ],
        stdin: "",
        code: 0,
        prepare: || prepared(Sandbox::new(), 2),
    },
    Scenario {
        name: "record from standard input, behind a torn line",
        kind: Kind::Producer,
        follow: Follow::Everyone,
        args: &["record"],
        stdin: r#"{"eventType":"zebra_ran","eventId":"zebra-new"}"#,
        code: 0,
        prepare: || {
            let mut prepared = prepared(Sandbox::new().dated(), 2);
            prepared.sandbox.append(r#"{"eventType":"torn"#);
            prepared.before = prepared.sandbox.read(BUFFER);
            prepared
        },
    },
    Scenario {
        name: "record --spawn",
        kind: Kind::ProducerAndPass,
        follow: Follow::TheFirst,
        args: &[
            "record",
            "zebra_ran",
            "--prop",
            "eventId=zebra-new",
            "--spawn",
        ],
        stdin: "",
        code: 0,
        prepare: || prepared(at_once(), 2),
    },
    Scenario {
        name: "hook, at a command",
        kind: Kind::Producer,
        follow: Follow::Everyone,
        args: &["hook"],
        stdin: r#"{"session_id":"s","hook_event_name":"UserPromptExpansion","expansion_type":"slash_command","command_name":"commit","command_args":"zebra","prompt":"/commit zebra","prompt_id":"p"}"#,
        code: 0,
        prepare: || prepared(claude(), 2),
    },
    Scenario {
        name: "hook, at the end of a session",
        kind: Kind::ProducerAndPass,
        follow: Follow::TheFirst,
        args: &["hook"],
        stdin: r#"{"session_id":"s","hook_event_name":"SessionEnd","reason":"prompt_input_exit"}"#,
        code: 0,
        prepare: || prepared(claude(), 2),
    },
];

/// A pass with something of everything: a line to be kept and appended again, one to be rejected, one
/// request without trouble, and then no more.
const KEPT: &str = r#"{"items": [{"index": 0, "statusCode": 500, "message": "x"}]}
{"items": [{"index": 1, "statusCode": 400, "message": "109: Field 'name' on type 'EventData' is of no use"}]}
{}
{"status": 503, "times": "forever"}"#;

fn claude() -> Sandbox {
    at_once()
        .env("CLAUDECODE", "1")
        .env("CLAUDE_CODE_SESSION_ID", "s")
        .env("AI_AGENT", "claude-code_2-1-329_agent")
}

/// Detached passes that do not stay.
fn at_once() -> Sandbox {
    let sandbox = Sandbox::new().dated();
    sandbox.write("config.json", r#"{"limits":{"gatherS":0}}"#);
    sandbox
}

/// So many events wait.
fn prepared(sandbox: Sandbox, events: usize) -> Prepared {
    let mut reckoning = Reckoning::default();
    for n in 0..events {
        let id = format!("{MARK}-{n:02}");
        let line = event(&id);
        reckoning.certain(&id, &line);
        sandbox.append(format!("{line}\n"));
    }
    reckoning.perhaps(&format!("{MARK}-new"), None);
    let before = sandbox.read(BUFFER);
    Prepared {
        sandbox,
        reckoning,
        before,
    }
}

/// An event with the mark in it.
pub fn event(id: &str) -> String {
    kit::event(id).replace("\"init\"", &format!("\"{MARK}\""))
}
