//! Starting a pass that outlives whoever asks for it, and that nobody waits for.
//!
//! A host kills the process group of a hook that takes too long, closes the terminal, waits for the
//! end of a pipe that a child inherited. So the pass gets a session of its own, no descriptor of the
//! host's, and `/` as its folder, and whoever started it returns only once all of that is so.
//!
//! A thousand events in a minute must not start a thousand passes, and the last of them must not be
//! left behind either. So a detached pass stays for a while after its work, holding `detached.lock`,
//! then lets the lock go and looks once more. Whoever appends an event and finds the lock taken may
//! leave: that last look is yet to come, or a pass is just being started. The lock is handed over:
//! whoever starts the pass takes it, and the pass is born with it as its standard input, so of many
//! who ask at once one starts one.

use crate::cli::Upload;
use crate::consent::{self, Consent};
use crate::holder;
use crate::ledger;
use crate::lock;
use crate::os::{self, Open};
use crate::outlook::{self, Outlook};
use crate::paths::Paths;
use crate::programs;
use crate::upload::Mode;
use crate::world;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// The longest wait for the child to leave our session. It takes a millisecond; more is a machine in
/// trouble, and then the host comes first.
pub const LEAVING_MAX: Duration = Duration::from_millis(300);

/// Set for a detached pass, so that nothing it might ever start could detach another.
const GUARD: &str = "TELEMETRY_UPLOAD_DETACHED";

/// Where a detached pass finds the connection string that `--detach` was given as a flag: others can see
/// the arguments of a process.
const GIVEN: &str = "TELEMETRY_UPLOAD_DETACHED_TO";

/// The connection string that was given as a flag. A pass that was not detached looks for none in the
/// environment, and whoever detaches one puts there what is meant, or nothing.
pub fn given_connection_string<'a>(
    flags: &'a Upload,
    env: &'a BTreeMap<String, String>,
) -> Option<&'a str> {
    let given = flags.connection_string.as_ref();
    let handed_over = || env.get(GIVEN).filter(|_| flags.detaching.detached);
    given.or_else(handed_over).map(String::as_str)
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// A pass is on its way.
    Yes,
    /// No process was started, for this reason.
    No(String),
}

impl Started {
    fn busy() -> Started {
        Started::No("another pass is at work".to_owned())
    }
}

impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Started::Yes => f.write_str("a pass is on its way"),
            Started::No(why) => write!(f, "no pass was started: {why}"),
        }
    }
}

/// Starts a detached pass with these arguments, if there is anything for it to do.
///
/// # Errors
/// The data folder cannot be looked at, or no process be started.
pub fn start(
    app: &str,
    paths: &Paths,
    env: &BTreeMap<String, String>,
    command: &mut Command,
) -> Result<Started> {
    if env.contains_key(GUARD) {
        return Ok(Started::No("this is a detached pass itself".to_owned()));
    }
    if let Some(why) = reason_to_stay(app, paths, env)? {
        return Ok(Started::No(why));
    }
    let lock_file = open_lock(paths)?;
    loop {
        let Some(held) =
            lock::take_past_looks(&lock_file).context("cannot lock upload/detached.lock")?
        else {
            return Ok(Started::busy());
        };
        if !is_uploader_busy(paths) {
            let lock_of_child = lock_file.try_clone().context("cannot start a pass")?;
            let command = command.env(GUARD, "1").arg("--detached");
            os::start_detached(command.stdin(lock_of_child), LEAVING_MAX)
                .context("cannot start a pass")?;
            held.leave();
            return Ok(Started::Yes);
        }
        // Others have left because they found this lock taken, and nobody comes for their events but
        // the pass at work. Only if it still is, once the lock is free, its last look is yet to come.
        drop(held);
        if is_uploader_busy(paths) {
            return Ok(Started::busy());
        }
    }
}

/// Why a pass would be of no use, as far as a look can tell.
fn reason_to_stay(
    app: &str,
    paths: &Paths,
    env: &BTreeMap<String, String>,
) -> Result<Option<String>> {
    if let Consent::Denied(rule) = consent::ask(env, app, &paths.consent()) {
        return Ok(Some(format!("telemetry is off: {rule}")));
    }
    Ok(match outlook::look(paths, world::now())? {
        Outlook::Waiting => None,
        Outlook::Nothing => Some("nothing is waiting".to_owned()),
        Outlook::Paused(pause) => Some(pause.reason),
    })
}

/// This program, for [`start`], to do a pass over these buffers.
///
/// # Errors
/// The system does not say where this program is.
pub fn this_program(app: &str, paths: &Paths) -> Result<Command> {
    let mut command = myself()?;
    command
        .args(["--app", app, "--data-dir"])
        .arg(paths.data())
        .env_remove(GIVEN);
    Ok(command)
}

/// This program, for [`start`], called as it was called itself. A connection string goes by the
/// environment, since others can see the arguments of a process.
///
/// # Errors
/// The system does not say where this program is.
pub fn this_program_again(
    arguments: impl IntoIterator<Item = OsString>,
    connection_string: Option<&str>,
) -> Result<Command> {
    let mut command = myself()?;
    command.args(without_our_own(arguments)).env_remove(GIVEN);
    if let Some(text) = connection_string {
        command.env(GIVEN, text);
    }
    Ok(command)
}

/// This program.
///
/// # Errors
/// The system does not say where it is.
pub fn myself() -> Result<Command> {
    Ok(Command::new(
        programs::myself().context("cannot find this program's own file")?,
    ))
}

fn without_our_own(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    const SECRET: &str = "--connection-string";
    let mut kept = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        if text == SECRET {
            arguments.next();
        } else if !["--detach", "--verbose"].contains(&&*text)
            && !text.starts_with(&format!("{SECRET}="))
        {
            kept.push(argument);
        }
    }
    kept
}

/// For hosts that use this crate as a library: lets the program `telemetry-upload` detach itself, if
/// there is anything for it to do.
///
/// # Errors
/// The program is neither beside this one nor on the `PATH`.
pub fn by_program(app: &str, paths: &Paths, env: &BTreeMap<String, String>) -> Result<()> {
    const NAME: &str = "telemetry-upload";
    if reason_to_stay(app, paths, env)?.is_some() {
        return Ok(());
    }
    let run = |program: OsString| {
        let mut command = Command::new(program);
        os::hand_on(&mut command, env);
        command
            .args(["--detach", "--app", app, "--data-dir"])
            .arg(paths.data())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
    };
    let beside = programs::myself().map(|me| me.with_file_name(NAME).into_os_string());
    let done = match beside.and_then(run) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => run(NAME.into()),
        done => done,
    };
    done.with_context(|| {
        format!("cannot start {NAME}; install it beside this program or on the PATH")
    })?;
    Ok(())
}

/// The detached process itself: on its own, one pass, a while of gathering, and the last look.
///
/// # Errors
/// The session cannot be left, or the lock not be used.
pub fn run(gather: Duration, pass: impl Fn(Mode) -> ExitCode) -> Result<ExitCode> {
    os::leave_session().context("cannot leave the session")?;
    let lock_file = os::stdin_file().context("cannot use the lock")?;
    // Ours already, but on Windows, where a lock is its process's: there the one who started us lets
    // it go in a moment.
    let held = lock::take(&lock_file, LEAVING_MAX).context("cannot lock upload/detached.lock")?;
    if held.is_none() {
        return Ok(ExitCode::SUCCESS);
    }
    let note_owner = || ledger::note_owner(&lock_file, world::now(), gather);
    note_owner();
    pass(Mode::Gathering);
    note_owner();
    world::sleep(gather);
    drop(held);
    Ok(pass(Mode::Background))
}

fn open_lock(paths: &Paths) -> Result<File> {
    let folder = paths.upload();
    os::create_private_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = paths.detached_lock();
    os::open(&path, Open::Create).with_context(|| format!("cannot open {}", path.display()))
}

/// Whether a pass is at work. It sees what is waiting before it ends: see [`crate::news`].
pub fn is_uploader_busy(paths: &Paths) -> bool {
    holder::find(paths).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str], expected: &[&str]) {
        let given = arguments.iter().map(OsString::from);
        assert_eq!(without_our_own(given), expected, "{arguments:?}");
    }

    #[test]
    fn a_child_gets_our_arguments_but_no_secret() {
        check(&["--detach"], &[]);
        check(
            &["--app", "x", "--detach", "--age-days", "3"],
            &["--app", "x", "--age-days", "3"],
        );
        check(&["--connection-string", "s", "--detach"], &[]);
        check(
            &["--connection-string=s", "--ca-file", "c"],
            &["--ca-file", "c"],
        );
        check(&["--connection-string"], &[]);
    }
}
