//! `telemetry-upload reset-id`: another anonymous id, before the month is over.

use crate::anonymous_id;
use crate::answer;
use crate::cli::Steered;
use crate::consent;
use crate::exit::Exit;
use crate::paths::Paths;
use crate::purge;
use crate::terminal::{self, Tone};
use crate::wording::counted;
use crate::world;
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Changes the id, if there is one.
///
/// # Errors
/// telemetry.json cannot be changed.
pub fn run(flags: &Steered, env: &BTreeMap<String, String>) -> Result<ExitCode> {
    let (app, again) = (flags.application.app(), flags.application.as_flags());
    let paths = Paths::find(app, flags.application.data_dir(), env)?;
    let file = consent::read(&paths.consent());
    match answer::fields(&file) {
        Err(err) => bail!(
            "cannot change {}: {err:#}; nothing was changed; mend the file and run this again",
            paths.consent().display()
        ),
        Ok(_) if anonymous_id::of(&file).is_none() => {
            terminal::print(&format!("{app} has no anonymous id: nothing to change"));
            return Ok(Exit::Done.into());
        }
        Ok(_) => {}
    }
    let now = world::now();
    answer::change(&paths, |fields| Some(anonymous_id::reset(fields?, now)))?;
    let words = "the anonymous id is another one from now on";
    terminal::print_toned(&[(Tone::Good, words)]);
    terminal::print("Events that were sent cannot be linked with those to come.");
    let events = purge::look(&paths)?.events;
    if events > 0 {
        let (verb, them) = if events == 1 {
            ("waits", "it")
        } else {
            ("wait", "them")
        };
        terminal::print(&format!(
            "{} {verb} here under the old one. To delete {them}: telemetry-upload purge{again}",
            counted(events, "event"),
        ));
    }
    Ok(Exit::Done.into())
}
