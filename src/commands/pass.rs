//! `telemetry-upload` without a subcommand: may we, with what, go; and then what to say about it.

use crate::cli::Upload;
use crate::consent::{self, Consent};
use crate::dry_run;
use crate::ledger;
use crate::paths::Paths;
use crate::settings::Settings;
use crate::summary::{Ending, Summary, Tense};
use crate::terminal::{self, Progress};
use crate::upload::{Mode, Pass};
use crate::watchdog;
use crate::world::{self, RealWorld};
use anyhow::Result;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

/// Does one pass and prints its summary, if anyone asked to see it.
///
/// # Errors
/// Nothing can be said about any buffer: a bad application name, no home folder.
pub fn run(flags: &Upload, env: &BTreeMap<String, String>) -> Result<ExitCode> {
    let paths = Paths::find(flags.app(), flags.data_dir(), env)?;
    let may = || consent::ask(env, flags.app(), &paths.consent());
    let summary = match may() {
        Consent::Denied(rule) => Summary::ended(Ending::Off(rule.to_string())),
        Consent::Allowed => allowed(flags, &paths, &may),
    };
    say(flags, &summary);
    Ok(ExitCode::from(summary.exit_code()))
}

/// Telemetry is on. Whatever goes wrong from here on is an ending of the pass.
fn allowed(flags: &Upload, paths: &Paths, may: &dyn Fn() -> Consent) -> Summary {
    let misconfigured = |err: anyhow::Error| {
        let ending = Ending::Misconfigured(format!("{err:#}"));
        failed(paths, flags, Summary::ended(ending))
    };
    let settings = match Settings::resolve(flags, flags.app(), paths) {
        Ok(settings) => settings,
        Err(err) => return misconfigured(err),
    };
    if let (Some(warning), true) = (settings.connection.warning, flags.flush) {
        terminal::complain(warning);
    }
    watch(flags, paths, settings.limits.deadline);
    let world = match RealWorld::new(&settings.limits, settings.ca_file.as_deref()) {
        Ok(world) => world,
        Err(err) => return misconfigured(err),
    };
    let (mode, progress) = if flags.flush {
        (Mode::Foreground, Progress::for_person())
    } else {
        (Mode::Background, Progress::Silent)
    };
    let pass = Pass {
        world: &world,
        settings: &settings,
        paths,
        mode,
        may,
        progress: &progress,
    };
    let done = if flags.dry_run {
        dry_run::run(&pass)
    } else {
        pass.run()
    };
    progress.end();
    done.unwrap_or_else(|err| failed(paths, flags, Summary::failed(format!("{err:#}"))))
}

/// Ends the process should it still run after the deadline, and says so where it can be seen.
fn watch(flags: &Upload, paths: &Paths, deadline: Duration) {
    const WORDS: &str =
        "the pass hung and was ended at its deadline; nothing is lost, the next pass goes on";
    let exit_code = Summary::ended(Ending::Later(String::new())).exit_code();
    let (paths, foreground, dry_run) = (paths.clone(), flags.flush, flags.dry_run);
    watchdog::start(deadline, exit_code, move || {
        if foreground {
            terminal::complain(WORDS);
        }
        if !dry_run {
            ledger::log(&paths, world::now(), &format!("exit {exit_code} {WORDS}"));
        }
    });
}

/// A pass that could not begin. The log is the only one who hears of it in the background.
fn failed(paths: &Paths, flags: &Upload, summary: Summary) -> Summary {
    if !flags.dry_run {
        ledger::log(
            paths,
            world::now(),
            &format!("exit {} {}", summary.exit_code(), summary.text()),
        );
    }
    summary
}

/// In the background nobody reads what is printed, and a host may show it to the wrong person.
fn say(flags: &Upload, summary: &Summary) {
    let tense = if flags.dry_run {
        Tense::DryRun
    } else {
        Tense::Done
    };
    if flags.json {
        terminal::print(&summary.json(tense).to_string());
        return;
    }
    if !flags.flush && !flags.dry_run {
        return;
    }
    if let Some(line) = summary.line(tense) {
        terminal::print(&line);
    }
    for complaint in summary.complaints() {
        terminal::complain(complaint);
    }
}
