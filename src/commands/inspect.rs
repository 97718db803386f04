//! `telemetry-upload inspect`: the data themselves. It changes nothing, sends nothing, and shows what is
//! there whether telemetry is on or off.

use crate::buffer::Buffer;
use crate::cli::{self, Upload};
use crate::clock::Clock;
use crate::exhibit;
use crate::exit::Exit;
use crate::intake::{Intake, More, Taken};
use crate::journal::{self, REJECTED_BYTES_MAX, SENT_BYTES_MAX};
use crate::lines::Next;
use crate::os::Open;
use crate::outlook;
use crate::paths::Paths;
use crate::rules::{Rules, Tail};
use crate::settings::{Limits, Settings};
use crate::state::State;
use crate::terminal::{self, Tone};
use crate::wording::grouped;
use crate::world;
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Shows what was asked for.
///
/// # Errors
/// A file cannot be read.
pub fn run(flags: &cli::Inspect, env: &BTreeMap<String, String>) -> Result<ExitCode> {
    let application = &flags.application;
    let paths = Paths::find(application.app(), application.data_dir(), env)?;
    if flags.view.payload {
        return payload(flags, &paths, env);
    }
    if flags.view.sent {
        sent(flags, &paths)?;
    } else if flags.view.rejected {
        rejected(flags, &paths)?;
    } else {
        pending(flags, &paths)?;
    }
    Ok(Exit::Done.into())
}

/// The lines that wait, as their producers wrote them.
fn pending(flags: &cli::Inspect, paths: &Paths) -> Result<()> {
    let limits = Limits::configured(paths);
    let (mut shown, mut left_out) = (0, 0);
    for name in outlook::waiting(paths)? {
        let buffer = Buffer::look(paths, &name, Open::Read)?;
        let mut lines = buffer.lines(limits.line_bytes_max);
        let mut is_named = flags.json;
        loop {
            let line = match buffer.next(&mut lines)? {
                Next::Line(line) => line,
                Next::End => break,
                Next::Changed => {
                    say_changed(paths, &name);
                    break;
                }
            };
            if shown == flags.n {
                left_out += 1;
                continue;
            }
            shown += 1;
            if !is_named {
                is_named = true;
                terminal::print_toned(&[(Tone::Heading, &name)]);
            }
            let text = String::from_utf8_lossy(&line.bytes);
            if flags.json {
                terminal::print_json(&json!({"buffer": name, "line": text}));
            } else {
                terminal::print(&text);
            }
        }
    }
    say_what_is_missing(flags, shown, left_out, "nothing waits");
    Ok(())
}

/// The bodies of the requests that a flush would send now.
fn payload(
    flags: &cli::Inspect,
    paths: &Paths,
    env: &BTreeMap<String, String>,
) -> Result<ExitCode> {
    let app = flags.application.app();
    let settings = match Settings::resolve(&Upload::default(), app, paths, env) {
        Ok(settings) => settings,
        Err(err) => {
            terminal::complain(&format!("cannot build what would be sent: {err:#}"));
            return Ok(Exit::Misconfigured.into());
        }
    };
    let now = world::now();
    let clock = Clock::read(now, State::load(paths).clock.as_ref());
    let rules = Rules::new(&settings, &clock, now, None, Tail::Taken);
    let (mut shown, mut left_out) = (0, 0);
    for name in outlook::waiting(paths)? {
        let buffer = Buffer::look(paths, &name, Open::Read)?;
        let mut intake = Intake::new(buffer, &settings.limits)?;
        loop {
            let (batch, more) = match intake.take_batch(&rules)? {
                Taken::Batch(batch, more) => (batch, more),
                Taken::End => break,
                Taken::Changed => {
                    say_changed(paths, &name);
                    break;
                }
            };
            let events = batch.events();
            if shown == flags.n {
                left_out += usize::from(!events.is_empty());
            } else if !events.is_empty() {
                shown += 1;
                terminal::print_bytes(&batch.body(&events));
            }
            if more == More::No {
                break;
            }
        }
    }
    say_what_is_missing(flags, shown, left_out, "nothing would be sent");
    Ok(Exit::Done.into())
}

/// The copies of what was sent, the last of them.
fn sent(flags: &cli::Inspect, paths: &Paths) -> Result<()> {
    let lines = journal::read(&paths.sent(), SENT_BYTES_MAX)?;
    show_last(flags, &lines, "there is no copy of anything sent", |line| {
        exhibit::envelope(line, "")
    });
    Ok(())
}

/// What was refused for good, the last of it.
fn rejected(flags: &cli::Inspect, paths: &Paths) -> Result<()> {
    let lines = journal::read(&paths.rejected(), REJECTED_BYTES_MAX)?;
    show_last(flags, &lines, "nothing was rejected", exhibit::rejection);
    Ok(())
}

/// Shows the last lines of a journal; one that a crash has torn is shown as it is.
fn show_last(
    flags: &cli::Inspect,
    lines: &[Vec<u8>],
    nothing: &str,
    exhibit: impl Fn(&Value) -> Vec<String>,
) {
    let left_out = lines.len().saturating_sub(flags.n);
    for line in &lines[left_out..] {
        match serde_json::from_slice::<Value>(line) {
            Ok(_) if flags.json => terminal::print_bytes(line),
            Ok(value) => exhibit(&value)
                .iter()
                .for_each(|line| terminal::print(line)),
            Err(_) if flags.json => {}
            Err(_) => terminal::print(&format!("(torn) {}", String::from_utf8_lossy(line))),
        }
    }
    say_what_is_missing(flags, lines.len() - left_out, left_out, nothing);
}

fn say_changed(paths: &Paths, name: &str) {
    terminal::complain(&format!(
        "{} changed while it was read, so that not all of it is shown; run this again",
        paths.buffer(name).display()
    ));
}

/// On standard error, so that what is read by a program is the data alone.
fn say_what_is_missing(flags: &cli::Inspect, shown: usize, left_out: usize, nothing: &str) {
    if shown == 0 && left_out == 0 {
        terminal::complain(nothing);
    } else if left_out > 0 {
        terminal::complain(&format!(
            "{} more; to see all: -n {}",
            grouped(left_out as u64),
            flags.n + left_out
        ));
    }
}
