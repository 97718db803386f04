//! What other users of the machine, a project's folder, a strange environment and a hostile event cannot do.
//!
//! Not tested here: a folder component that is exchanged between two calls, which only who may write in
//! the data folder can do; and a user who reads the memory of our processes.

mod access;
mod endpoint;
mod folders;
mod limits;
mod obstacles;
mod secrets;
mod sudo;

use crate::kit::{BINARY, Sandbox};
use serde_json::json;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

/// Runs a shell's lines first, which may set limits, close descriptors and the like, and then this program.
fn after(sandbox: &Sandbox, lines: &str, args: &[&str]) -> Output {
    let mut shell = sandbox.command(&[]);
    shell = replaced(&shell, "bash");
    shell
        .args(["-c", &format!("{lines}\nexec \"$0\" \"$@\""), BINARY])
        .args(args);
    shell.output().unwrap()
}

/// The same environment and folder, another program.
fn replaced(command: &Command, program: impl AsRef<Path>) -> Command {
    let mut other = Command::new(program.as_ref());
    other.env_clear();
    other.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    other.current_dir(command.get_current_dir().unwrap());
    other.stdin(std::process::Stdio::null());
    other
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Only root can give a file away; the rules themselves need no root.
fn skipped_without_root() -> bool {
    if !is_root() {
        // Not `eprintln!`: the harness would keep it to itself, since what skips succeeds.
        let mut stderr = std::io::stderr();
        writeln!(stderr, "skipped: only root can give files away").unwrap();
    }
    !is_root()
}

/// What Claude says when a session starts.
fn start_of_session() -> String {
    json!({"hook_event_name": "SessionStart", "session_id": "s", "source": "startup"}).to_string()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
