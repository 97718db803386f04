//! Faults in system calls: strace numbers the calls of a program, and kills it at one of them or has
//! it fail.

use crate::kit::{BINARY, Sandbox};
use crate::tools;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// No faulty run may take as long: its passes have a deadline of three seconds.
const HANG: Duration = Duration::from_secs(90);

/// The last preparation of Rust's runtime before `main`.
const LAST_BEFORE_MAIN: &str = "rt_sigaction(SIGBUS, {sa_handler=0x";

/// Who is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// The process and its threads, and every process that it starts.
    Everyone,
    /// The process alone.
    TheFirst,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Kill,
    Error(&'static str),
}

/// At which calls of one name it goes wrong: they are counted in each thread by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Nth(usize),
    FromNthOn(usize),
}

/// One thing that goes wrong.
#[derive(Clone, Debug)]
pub struct Injection {
    pub call: String,
    pub when: When,
    pub fault: Fault,
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match self.fault {
            Fault::Kill => "signal=KILL".to_owned(),
            Fault::Error(errno) => format!("error={errno}"),
        };
        match self.when {
            When::Nth(n) => write!(f, "{}:{fault}:when={n}", self.call),
            When::FromNthOn(n) => write!(f, "{}:{fault}:when={n}+", self.call),
        }
    }
}

/// Where the program may be hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Before `main`, in the loader or the runtime.
    pub before_main: bool,
    /// In the program itself.
    pub own: bool,
}

/// The calls of a run: by name, what the first, the second, … of each thread are.
pub type Calls = BTreeMap<String, Vec<Hits>>;

/// A run that was traced.
pub struct Traced {
    pub output: Output,
    pub log: String,
}

/// strace, if it is here and may trace.
pub fn find() -> Result<PathBuf, String> {
    let strace = tools::find("strace").ok_or("there is no strace here")?;
    let tried = Command::new(&strace)
        .args(["-o", "/dev/null", "true"])
        .output()
        .map_err(|err| err.to_string())?;
    if tried.status.success() {
        return Ok(strace);
    }
    let why = String::from_utf8_lossy(&tried.stderr);
    Err(format!("strace may not trace here: {}", why.trim()))
}

/// Runs the program with these arguments under strace, with one thing that goes wrong or none.
pub fn run(
    sandbox: &Sandbox,
    follow: Follow,
    injection: Option<&Injection>,
    args: &[&str],
    stdin: &str,
) -> Traced {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = Command::new(find().unwrap());
    command.arg("-o").arg(&log);
    if follow == Follow::Everyone {
        command.arg("-f");
    }
    if let Some(injection) = injection {
        command.args(["-e", &format!("trace={}", injection.call)]);
        command.args(["-e", &format!("inject={injection}")]);
    }
    command
        .arg(BINARY)
        .args(args)
        .env_clear()
        .envs(&sandbox.env)
        .current_dir(sandbox.home.path());
    let output = to_the_end(&mut command, stdin);
    Traced {
        output,
        log: std::fs::read_to_string(log).unwrap_or_default(),
    }
}

/// Runs a command that must not hang; if it does, everything it started is killed.
fn to_the_end(command: &mut Command, stdin: &str) -> Output {
    let mut child = command
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who does not want it all closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let group = rustix::process::Pid::from_child(&child);
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || ended.send(child.wait_with_output().unwrap()));
    end.recv_timeout(HANG).unwrap_or_else(|_| {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        panic!("it hung, and was killed");
    })
}

/// Reads the log of a whole run.
pub fn calls(log: &str) -> Calls {
    let mut threads: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in log.lines() {
        let (thread, call) = match line.split_once(' ') {
            Some((thread, call)) if thread.bytes().all(|byte| byte.is_ascii_digit()) => {
                (thread, call.trim_start())
            }
            _ => ("", line),
        };
        // Signals, ends, and the second halves of calls that were already counted.
        if call.starts_with(|first: char| first.is_ascii_lowercase()) {
            threads.entry(thread).or_default().push(call);
        }
    }
    let mut calls = Calls::new();
    for thread in threads.values() {
        let begins = |line: &&str, with: &str| line.starts_with(with);
        let prepared = thread
            .iter()
            .rposition(|line| begins(line, LAST_BEFORE_MAIN));
        let loaded = thread.iter().rposition(|line| begins(line, "execve("));
        let before_main = match (loaded, prepared) {
            (Some(from), Some(to)) => from..to + 1,
            // A thread of ours, or a process that never came to its `main`.
            (from, _) => from.map_or(0..0, |from| from..thread.len()),
        };
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, line) in thread.iter().enumerate() {
            let name = line.split('(').next().unwrap();
            let count = counts.entry(name).or_default();
            let hits = calls.entry(name.to_owned()).or_default();
            if hits.len() == *count {
                hits.push(Hits::default());
            }
            if index == 0 && name == "execve" {
                // strace's own, by which the program begins: nothing is injected into it.
            } else if before_main.contains(&index) {
                hits[*count].before_main = true;
            } else {
                hits[*count].own = true;
            }
            *count += 1;
        }
    }
    calls
}
