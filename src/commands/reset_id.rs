//! `telemetry-upload reset-id`: another anonymous id, before the month is over.

use crate::anonymous_id;
use crate::answer;
use crate::cli::Steered;
use crate::consent;
use crate::exit::Exit;
use crate::paths::Paths;
use crate::terminal::{self, Tone};
use crate::waiting;
use crate::wording::events_wait;
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
    if let Err(err) = answer::fields(&file) {
        bail!(
            "cannot change {}: {err:#}; nothing was changed; mend the file and run this again",
            paths.consent().display()
        );
    }
    let before = anonymous_id::of(&file);
    if before.is_none() {
        terminal::print(&format!(
            "There is no anonymous id of {app}: nothing was changed."
        ));
        return Ok(Exit::Done.into());
    }
    let now = world::now();
    answer::change(&paths, |fields| Some(anonymous_id::reset(fields?, now)))?;
    if anonymous_id::of(&consent::read(&paths.consent())) == before {
        bail!(
            "cannot change {}: another program is at it; run this again",
            paths.consent().display()
        );
    }
    let words = "The anonymous id is another one from now on.";
    terminal::print_toned(&[(Tone::Good, words)]);
    terminal::print(
        "What was sent cannot be linked with what is to come, but for an agent's session that goes on: it keeps its own id.",
    );
    let events = waiting::events(&paths);
    if events > 0 {
        let (wait, them) = (events_wait(events), if events == 1 { "it" } else { "them" });
        terminal::print(&format!(
            "{wait} here under the old one. To delete {them}: telemetry-upload purge{again}"
        ));
    }
    Ok(Exit::Done.into())
}
