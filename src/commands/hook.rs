//! `telemetry-upload hook`: what an agent tells its hooks becomes events. Never a word, never a
//! failure, a few milliseconds, and a fifth of a second where no payload comes.

use crate::cli::Hook;
use crate::detach;
use crate::event;
use crate::hosts::{self, Payload, What};
use crate::os;
use crate::recorder::{Recorded, Recorder};
use crate::session::{self, Noted};
use crate::stdin::{self, Heard};
use crate::terminal;
use crate::world;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

/// A hook's payload holds the prompt, and a prompt may hold a file; a longer one is no slash command.
const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// How long the host is kept waiting for its own payload. Hosts write it as soon as the hook runs.
const WAIT_MAX: Duration = Duration::from_millis(200);

/// How long a process of our own waits where the host does not: on a machine with more to do than it
/// can, even a payload that is on its way may take a second. A host that leaks the other end of the
/// pipe has one such process a hook for so long.
const LATE_WAIT_MAX: Duration = Duration::from_secs(2);

/// Records what the payload on standard input says.
pub fn run(flags: &Hook, env: &BTreeMap<String, String>) -> ExitCode {
    match hear(flags, env) {
        // Standard output would be read by the agent, or by its model.
        Ok(words) if flags.verbose => terminal::complain(&words),
        Err(err) if flags.verbose => terminal::complain(&format!("{err:#}")),
        Ok(_) | Err(_) => {}
    }
    ExitCode::SUCCESS
}

fn hear(flags: &Hook, env: &BTreeMap<String, String>) -> Result<String> {
    let application = &flags.application;
    let recorder = Recorder::within(application.app(), application.data_dir(), env.clone())?;
    if let Some(rule) = recorder.denied() {
        bail!(Recorded::Off(rule));
    }
    let wait_max = if flags.late {
        os::leave_session().context("cannot leave the session")?;
        LATE_WAIT_MAX
    } else {
        WAIT_MAX
    };
    match stdin::read_object(PAYLOAD_BYTES_MAX, wait_max).context("cannot read the payload")? {
        Heard::All(text) => record(flags, env, &recorder, &text),
        Heard::Nothing if !flags.late => {
            wait_elsewhere()?;
            Ok("no payload yet; another process waits for it".to_owned())
        }
        Heard::Nothing | Heard::Part => bail!("no payload came in time"),
        Heard::Terminal => bail!("no payload: standard input is a terminal"),
        Heard::TooMuch => bail!("a payload of over {PAYLOAD_BYTES_MAX} bytes is not read"),
    }
}

/// The host must not wait for its own payload.
fn wait_elsewhere() -> Result<()> {
    let mut command = detach::myself()?;
    command
        .args(std::env::args_os().skip(1))
        .arg("--late")
        .stdin(Stdio::inherit());
    os::start_detached(&mut command, detach::LEAVING_MAX)
        .context("cannot wait for the payload elsewhere")
}

fn record(
    flags: &Hook,
    env: &BTreeMap<String, String>,
    recorder: &Recorder,
    text: &[u8],
) -> Result<String> {
    let Ok(fields) = event::object(text) else {
        bail!("the payload is no JSON object");
    };
    let payload = Payload(fields);
    let Some(host) = hosts::recognise(&payload, env, flags.host.0) else {
        bail!("nothing shows which agent this is; name it with --host");
    };
    let Some(notice) = hosts::read(host, &payload, env) else {
        return Ok(format!("nothing of this is recorded for {}", host.name()));
    };
    let words = match session::note(recorder, &notice, world::now())? {
        Noted::Known => format!("another hook of {} has recorded this", host.name()),
        Noted::New(off @ Recorded::Off(_)) => bail!(off),
        Noted::New(written) => format!("{written} of {}", host.name()),
    };
    // What others left behind goes at a start; at an end, what this session leaves.
    if !matches!(notice.what, What::Command(_)) {
        recorder.detach()?;
    }
    Ok(words)
}
