//! Those who append: threads that open, write and close for each line, and the programs that hooks are
//! written in. Half of them take the lock, half know of none.

use crate::chance::Chance;
use crate::kit::{BUFFER, Sandbox};
use crate::oracle::Appended;
use crate::tools;
use chrono::SecondsFormat;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};
use telemetry_upload::Recorder;

/// How a line gets into the buffer.
pub enum Recipe {
    /// Opened for append, locked, written, closed.
    Locked(PathBuf),
    /// The same without a lock.
    Lockless(PathBuf),
    /// By this crate.
    Library(Recorder),
    /// By a program that appends each line it is given.
    Program(Mutex<Child>),
}

/// When a writer writes, and for how long.
#[derive(Clone, Copy)]
pub enum Pace<'a> {
    /// One line for each grant, up to this much later, until there will be no more.
    Granted(&'a Grants, Duration),
    /// So many lines as fast as it can.
    Lines(usize),
}

/// What holds the writers back so that the passes can keep up with them, on a machine of any speed.
pub struct Grants {
    /// Lines that may still be written; `None` once no more will be granted.
    left: Mutex<Option<u64>>,
    changed: Condvar,
}

impl Grants {
    pub fn none_yet() -> Grants {
        Grants {
            left: Mutex::new(Some(0)),
            changed: Condvar::new(),
        }
    }

    pub fn more(&self, lines: u64) {
        let mut left = self.left.lock().unwrap();
        *left = left.map(|left| left + lines);
        self.changed.notify_all();
    }

    pub fn no_more(&self) {
        *self.left.lock().unwrap() = None;
        self.changed.notify_all();
    }

    /// Waits for leave to write a line.
    fn take(&self) -> bool {
        let left = self.left.lock().unwrap();
        let mut left = self
            .changed
            .wait_while(left, |left| *left == Some(0))
            .unwrap();
        *left = left.map(|left| left - 1);
        left.is_some()
    }
}

const LOCKED_SHELL: &str = r#"
while IFS= read -r line; do
    { flock 9; printf '%s\n' "$line" >&9; } 9>>"$BUFFER"
done
"#;

const LOCKLESS_SHELL: &str = r#"
while IFS= read -r line; do printf '%s\n' "$line" >>"$BUFFER"; done
"#;

const LOCKED_PYTHON: &str = r#"
import fcntl, os, sys
for line in sys.stdin.buffer:
    with open(os.environ["BUFFER"], "ab", 0) as buffer:
        fcntl.flock(buffer, fcntl.LOCK_EX)
        buffer.write(line)
"#;

const LOCKLESS_NODE: &str = r#"
const fs = require("fs")
require("readline").createInterface({input: process.stdin})
    .on("line", line => fs.appendFileSync(process.env.BUFFER, line + "\n"))
"#;

impl Recipe {
    /// The recorder of a sandbox.
    pub fn library(sandbox: &Sandbox) -> Recipe {
        let (data, env) = (sandbox.data(), sandbox.env.clone());
        Recipe::Library(Recorder::within("atomic", Some(&data), env).unwrap())
    }

    /// So many writers for a sandbox, every second one without a lock, a few of them programs if this
    /// machine has those.
    pub fn mixed(sandbox: &Sandbox, count: usize) -> Vec<Recipe> {
        let bash = || tools::find("bash");
        let locked_bash = || tools::find("flock").and_then(|_| bash());
        let programs = [
            (locked_bash(), "-c", LOCKED_SHELL),
            (bash(), "-c", LOCKLESS_SHELL),
            (tools::python(), "-c", LOCKED_PYTHON),
            (tools::find("node"), "-e", LOCKLESS_NODE),
        ];
        let path = sandbox.path(BUFFER);
        let mut recipes: Vec<Recipe> = programs
            .into_iter()
            .filter_map(|(program, flag, script)| {
                Some(Recipe::program(&program?, flag, script, &path))
            })
            .collect();
        while recipes.len() < count {
            recipes.push(match recipes.len() % 4 {
                0 => Recipe::library(sandbox),
                2 => Recipe::Locked(path.clone()),
                _ => Recipe::Lockless(path.clone()),
            });
        }
        recipes
    }

    fn program(program: &Path, flag: &str, script: &str, buffer: &Path) -> Recipe {
        let child = Command::new(program)
            .args([flag, script])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("BUFFER", buffer)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        Recipe::Program(Mutex::new(child))
    }

    /// Appends a line, given without its newline.
    pub fn append(&self, line: &str) {
        let write = |file: &mut File| {
            let bytes = format!("{line}\n");
            assert_eq!(file.write(bytes.as_bytes()).unwrap(), bytes.len());
        };
        match self {
            Recipe::Locked(path) => {
                let mut file = open(path);
                file.lock().unwrap();
                write(&mut file);
            }
            Recipe::Lockless(path) => write(&mut open(path)),
            Recipe::Library(recorder) => {
                let event: Value = serde_json::from_str(line).unwrap();
                let event = event.as_object().unwrap().clone();
                recorder.append(event).unwrap();
            }
            Recipe::Program(child) => {
                let mut child = child.lock().unwrap();
                writeln!(child.stdin.as_mut().unwrap(), "{line}").unwrap();
            }
        }
    }

    /// When this returns, what was given to it stands in the buffer.
    fn finish(&self) {
        if let Recipe::Program(child) = self {
            let mut child = child.lock().unwrap();
            drop(child.stdin.take());
            assert!(child.wait().unwrap().success());
        }
    }
}

/// Appends by a recipe, each line noted before and after, and returns how long the slowest took.
pub fn write(
    recipe: &Recipe,
    name: usize,
    pace: Pace,
    mut chance: Chance,
    appended: &Appended,
) -> Duration {
    let mut given = Vec::new();
    let mut slowest = Duration::ZERO;
    for number in 0.. {
        match pace {
            Pace::Lines(count) if number == count => break,
            Pace::Lines(_) => {}
            Pace::Granted(grants, _) if !grants.take() => break,
            Pace::Granted(_, later) => std::thread::sleep(chance.up_to(later)),
        }
        let id = format!("w{name}-{number}");
        // Shells write longer lines in pieces.
        let is_long = !matches!(recipe, Recipe::Program(_)) && chance.percent(2);
        let line = line(&id, if is_long { 30 } else { chance.within(0..3) });
        appended.intend(&id, &line);
        let begun = Instant::now();
        recipe.append(&line);
        if matches!(recipe, Recipe::Program(_)) {
            given.push(id);
        } else {
            slowest = slowest.max(begun.elapsed());
            appended.done(&id);
        }
    }
    recipe.finish();
    for id in &given {
        appended.done(id);
    }
    slowest
}

/// An event with so many fields of 150 bytes beside the usual ones.
pub fn line(id: &str, fields: u64) -> String {
    let now = telemetry_upload::world::now();
    let mut event = json!({
        "eventType": "cli_command",
        "eventId": id,
        "timestamp": now.to_rfc3339_opts(SecondsFormat::Millis, true),
        "anonymousId": "anna",
        "platform": "linux",
        "command": "init",
        "success": true,
        "count": fields,
    });
    for field in 0..fields {
        event[format!("detail{field}")] = "x".repeat(150).into();
    }
    event.to_string()
}

fn open(path: &Path) -> File {
    File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .unwrap()
}
