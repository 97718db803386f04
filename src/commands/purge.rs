//! `telemetry-upload purge`: what waits, and every copy of an event that is kept here, deleted.

use crate::cli::Purging;
use crate::consent::{self, Consent};
use crate::exit::Exit;
use crate::paths::Paths;
use crate::purge::{self, Contents};
use crate::terminal::{self, Tone};
use anyhow::Result;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Shows what there is, asks, and deletes it.
///
/// # Errors
/// The data folder or the uploader's lock cannot be used; nothing is deleted.
pub fn run(flags: &Purging, env: &BTreeMap<String, String>) -> Result<ExitCode> {
    let (app, again) = (flags.application.app(), flags.application.as_flags());
    let paths = Paths::find(app, flags.application.data_dir(), env)?;
    let found = purge::look(&paths)?;
    if found.phrases().is_empty() && found.problems.is_empty() {
        terminal::print(&format!("There is nothing of {app} to delete."));
        return Ok(Exit::Done.into());
    }
    if !flags.yes {
        show(&found, &paths);
        if !terminal::is_person_there() {
            terminal::complain(&format!(
                "nothing was deleted: nobody is here to be asked; run telemetry-upload purge --yes{again}"
            ));
            return Ok(Exit::Usage.into());
        }
        let answer = terminal::ask("Delete it? [y/N]");
        if !matches!(answer.as_deref(), Some("y" | "yes")) {
            terminal::print("Nothing was deleted.");
            return Ok(Exit::Done.into());
        }
    }
    let Some(deleted) = purge::delete(&paths)? else {
        terminal::complain(&format!(
            "nothing was deleted: a pass is at work; run this again in a moment, or first \
             telemetry-upload disable{again}, which stops it"
        ));
        return Ok(Exit::Later.into());
    };
    let phrases = deleted.phrases().join(", ");
    if !phrases.is_empty() {
        terminal::print_toned(&[
            (Tone::Good, "Deleted: "),
            (Tone::Plain, &format!("{phrases}.")),
        ]);
    }
    for problem in &deleted.problems {
        terminal::complain(problem);
    }
    if consent::ask(env, app, &paths.consent()) == Consent::Allowed {
        terminal::print(&format!(
            "The telemetry of {app} is on and goes on; to turn it off: telemetry-upload disable{again}"
        ));
    }
    let exit = if deleted.problems.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    };
    Ok(exit.into())
}

fn show(found: &Contents, paths: &Paths) {
    let heading = format!("To be deleted in {}:", paths.data().display());
    terminal::print_toned(&[(Tone::Heading, &heading)]);
    for phrase in found.phrases() {
        terminal::print(&format!("  {phrase}"));
    }
    for problem in &found.problems {
        terminal::print_toned(&[(Tone::Problem, &format!("  {problem}"))]);
    }
    let kept = "Kept: telemetry.json, config.json, and the state and the log, which hold counts.";
    terminal::print_toned(&[(Tone::Aside, kept)]);
}
