//! `telemetry-upload` without a subcommand: may we, with what, go; and then what to say about it.

use crate::cli::Upload;
use crate::consent::{self, Consent};
use crate::detach;
use crate::dry_run;
use crate::exit::Exit;
use crate::ledger;
use crate::outlook;
use crate::paths::Paths;
use crate::recorder::Recorder;
use crate::session;
use crate::settings::Settings;
use crate::summary::{Ending, Summary, Tense};
use crate::talk::Talk;
use crate::terminal::{self, Progress};
use crate::upload::{Mode, Pass};
use crate::watchdog::{self, Watchdog};
use crate::world::{self, RealWorld};
use anyhow::Result;
use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

/// Does one pass and prints its summary, if anyone asked to see it.
///
/// # Errors
/// Nothing can be said about any buffer: a bad application name, no home folder.
pub fn run(flags: &Upload, env: &BTreeMap<String, String>) -> Result<ExitCode> {
    let (app, data_dir) = (flags.application.app(), flags.application.data_dir());
    let paths = Paths::find(app, data_dir, env)?;
    let pass = |mode| {
        let may = || consent::ask(env, app, &paths.consent());
        let summary = match may() {
            Consent::Denied(rule) => Summary::ended(Ending::Off(rule.to_string())),
            Consent::Allowed => allowed(flags, app, &paths, env, mode, &may),
        };
        say(flags, &summary);
        ExitCode::from(summary.exit_code())
    };
    if flags.flush {
        return Ok(pass(Mode::Foreground));
    }
    if !flags.detaching.detached {
        return Ok(pass(Mode::Background));
    }
    let recorder = Recorder::within(app, data_dir, env.clone())?;
    let limits = Settings::resolve(flags, app, &paths, env).map(|settings| settings.limits);
    detach::run(limits.unwrap_or_default().gather, |mode| {
        if mode == Mode::Gathering {
            // Calls that cannot be cleared away must not stop the sending.
            let _ = session::end_the_silent(&recorder, world::now());
        }
        pass(mode)
    })
}

/// Starts such a pass detached, if there is anything for it to do. Whatever goes wrong, the host goes
/// on; the pass writes its own log.
pub fn detach(flags: &Upload, env: &BTreeMap<String, String>) -> ExitCode {
    let (app, data_dir) = (flags.application.app(), flags.application.data_dir());
    let started = || {
        let paths = Paths::find(app, data_dir, env)?;
        let arguments = std::env::args_os().skip(1);
        let mut command =
            detach::this_program_again(arguments, flags.connection_string.as_deref())?;
        detach::start(app, &paths, env, &mut command)
    };
    let words = started().map_or_else(|err| format!("{err:#}"), |started| started.to_string());
    if flags.telling.verbose {
        terminal::complain(&words);
    }
    ExitCode::SUCCESS
}

/// Telemetry is on. Whatever goes wrong from here on is an ending of the pass.
fn allowed(
    flags: &Upload,
    app: &str,
    paths: &Paths,
    env: &BTreeMap<String, String>,
    mode: Mode,
    may: &dyn Fn() -> Consent,
) -> Summary {
    let misconfigured = |err: anyhow::Error| {
        let ending = Ending::Misconfigured(format!("{err:#}"));
        failed(paths, flags, Summary::ended(ending))
    };
    let settings = match Settings::resolve(flags, app, paths, env) {
        Ok(settings) => settings,
        Err(err) => return misconfigured(err),
    };
    let is_heard = flags.flush && !flags.telling.quiet;
    if let (Some(warning), true) = (settings.connection.warning, is_heard) {
        terminal::complain(warning);
    }
    // By far the most common case needs no thread, no certificate and no connection.
    if outlook::waiting(paths).is_ok_and(|names| names.is_empty()) {
        return Summary::ended(Ending::Nothing);
    }
    let _watchdog = match watch(flags, paths, settings.limits.deadline) {
        Ok(watchdog) => watchdog,
        Err(err) => {
            let why = format!("cannot start the watchdog: {err}");
            return failed(paths, flags, Summary::ended(Ending::Later(why)));
        }
    };
    let world = match RealWorld::new(&settings.limits, settings.ca_file.as_deref(), env) {
        Ok(world) => world,
        Err(err) => return misconfigured(err),
    };
    let progress = match mode {
        Mode::Foreground if is_heard && !flags.telling.verbose => Progress::for_person(env),
        _ => Progress::Silent,
    };
    let pass = Pass {
        world: &world,
        settings: &settings,
        paths,
        mode,
        may,
        progress: &progress,
    };
    let done = match (flags.dry_run, flags.telling.verbose) {
        (true, _) => dry_run::run(&pass),
        (false, false) => pass.run(),
        (false, true) => pass.within(&Talk::about(&world)).run(),
    };
    progress.end();
    done.unwrap_or_else(|err| failed(paths, flags, Summary::failed(format!("{err:#}"))))
}

/// Ends the process should it still run after the deadline, and says so where it can be seen.
fn watch(flags: &Upload, paths: &Paths, deadline: Duration) -> io::Result<Watchdog> {
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
    })
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
        terminal::print_json(&summary.json(tense));
        return;
    }
    if !flags.flush && !flags.dry_run {
        return;
    }
    let line = summary.line(tense);
    let complaints: Vec<&str> = summary.complaints().collect();
    match line {
        Some(line) if !flags.telling.quiet => terminal::print(&line),
        // What went wrong stands in the line alone.
        Some(line) if complaints.is_empty() && is_error(summary.exit()) => {
            terminal::complain(&line);
        }
        _ => {}
    }
    for complaint in complaints {
        terminal::complain(complaint);
    }
}

/// Whether a person has to do something about it.
fn is_error(exit: Exit) -> bool {
    matches!(exit, Exit::Failed | Exit::Misconfigured)
}
