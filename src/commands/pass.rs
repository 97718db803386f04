//! `telemetry-upload` without a subcommand: may we, with what, go; and then what to say about it.

use crate::cli::Upload;
use crate::consent::{self, Consent};
use crate::detach;
use crate::dry_run;
use crate::entry::Entry;
use crate::exit::Exit;
use crate::ledger;
use crate::os;
use crate::outlook;
use crate::paths::Paths;
use crate::recorder::Recorder;
use crate::session;
use crate::settings::{Limits, Settings};
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
            Consent::Allowed => {
                let asked = Asked {
                    flags,
                    app,
                    paths: &paths,
                    env,
                    mode,
                    may: &may,
                };
                let done = if flags.dry_run {
                    asked.rehearse()
                } else {
                    asked.go()
                };
                done.unwrap_or_else(|summary| failed(&paths, flags, *summary))
            }
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
    let limits = Limits::resolve(&flags.limits, &paths).unwrap_or_default();
    detach::run(limits.gather, |mode| {
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

/// A pass that was asked for.
struct Asked<'a> {
    flags: &'a Upload,
    app: &'a str,
    paths: &'a Paths,
    env: &'a BTreeMap<String, String>,
    mode: Mode,
    may: &'a dyn Fn() -> Consent,
}

impl Asked<'_> {
    /// Does it, telemetry being on. What decides most passes is looked at first: whether anything waits, the
    /// pause, the lock. Only then there is a thread, and whatever a connection needs. But a person hears of
    /// a bad setting even if nothing waits.
    ///
    /// # Errors
    /// The account of a pass that could not begin.
    fn go(&self) -> Result<Summary, Box<Summary>> {
        let failed = |err| Box::new(Summary::failed(format!("{err:#}")));
        let for_person = match self.mode {
            Mode::Foreground => Some(self.settings()?),
            Mode::Background | Mode::Gathering => None,
        };
        let entry = match Entry::find(self.paths, self.mode, world::now()).map_err(failed)? {
            Ok(entry) => entry,
            Err(ending) => return Ok(Summary::ended(ending)),
        };
        // There a lock may hang even if it is not waited for.
        let is_far = os::network_file_system(self.paths.data()).is_some();
        let limits = || Limits::resolve(&self.flags.limits, self.paths).unwrap_or_default();
        let watching_lock = is_far.then(|| self.watch(limits().deadline));
        let watching_lock = watching_lock.transpose()?;
        let Some(held) = entry.take().map_err(failed)? else {
            return Ok(Summary::ended(Ending::Busy));
        };
        drop(watching_lock);
        let settings = for_person.map_or_else(|| self.settings(), Ok)?;
        let _watchdog = self.watch(settings.limits.deadline)?;
        let world = self.world(&settings)?;
        let progress = match self.mode {
            Mode::Foreground if self.is_heard() && !self.flags.telling.verbose => {
                Progress::for_person(self.env)
            }
            _ => Progress::Silent,
        };
        let pass = self.pass(&settings, &world, &progress);
        let summary = if self.flags.telling.verbose {
            pass.within(&Talk::about(&world)).run_within(&entry, held)
        } else {
            pass.run_within(&entry, held)
        };
        progress.end();
        Ok(summary)
    }

    /// Says what it would do.
    ///
    /// # Errors
    /// As those of [`Asked::go`].
    fn rehearse(&self) -> Result<Summary, Box<Summary>> {
        let settings = self.settings()?;
        if outlook::is_anything_waiting(self.paths).is_ok_and(|waits| !waits) {
            return Ok(Summary::ended(Ending::Nothing));
        }
        let _watchdog = self.watch(settings.limits.deadline)?;
        let world = self.world(&settings)?;
        dry_run::run(&self.pass(&settings, &world, &Progress::Silent))
            .map_err(|err| Box::new(Summary::failed(format!("{err:#}"))))
    }

    fn settings(&self) -> Result<Settings, Box<Summary>> {
        let settings = Settings::resolve(self.flags, self.app, self.paths, self.env)
            .map_err(|err| misconfigured(&err))?;
        if let (Some(warning), true) = (settings.connection.warning, self.is_heard()) {
            terminal::complain(warning);
        }
        Ok(settings)
    }

    /// Whether somebody wants to hear more than what went wrong.
    fn is_heard(&self) -> bool {
        self.flags.flush && !self.flags.telling.quiet
    }

    fn pass<'b>(
        &'b self,
        settings: &'b Settings,
        world: &'b RealWorld,
        progress: &'b Progress,
    ) -> Pass<'b, RealWorld> {
        Pass {
            world,
            settings,
            paths: self.paths,
            mode: self.mode,
            may: self.may,
            progress,
        }
    }

    fn world(&self, settings: &Settings) -> Result<RealWorld, Box<Summary>> {
        RealWorld::new(&settings.limits, settings.ca_file.as_deref(), self.env)
            .map_err(|err| misconfigured(&err))
    }

    fn watch(&self, deadline: Duration) -> Result<Watchdog, Box<Summary>> {
        watch(self.flags, self.paths, deadline).map_err(|err| {
            let why = format!("cannot start the watchdog: {err}");
            Box::new(Summary::ended(Ending::Later(why)))
        })
    }
}

fn misconfigured(err: &anyhow::Error) -> Box<Summary> {
    Box::new(Summary::ended(Ending::Misconfigured(format!("{err:#}"))))
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

/// A pass that could not begin. The log hears of it, and in the background the scheduler's journal, if
/// it is news.
fn failed(paths: &Paths, flags: &Upload, mut summary: Summary) -> Summary {
    let now = world::now();
    if !flags.dry_run {
        let line = format!("exit {} {}", summary.exit_code(), summary.text());
        ledger::log(paths, now, &line);
    }
    if is_scheduled(flags) {
        summary.is_news = ledger::is_new_failure(paths, now, &summary);
    }
    summary
}

/// Whether a scheduler started this pass, or a host that waits for its end.
fn is_scheduled(flags: &Upload) -> bool {
    !flags.flush && !flags.dry_run && !flags.detaching.detached
}

/// Says what became of a pass. In the background that is only what the user has to mend, once: a scheduler's
/// journal shows it. The host of a detached pass sees nothing.
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
        let is_error = matches!(summary.exit(), Exit::Failed | Exit::Misconfigured);
        if is_error && summary.is_news && is_scheduled(flags) {
            terminal::complain(&summary.text().replace('\n', "; "));
        }
        return;
    }
    let line = summary.line(tense);
    let complaints: Vec<&str> = summary.complaints().collect();
    match line {
        Some(line) if !flags.telling.quiet => terminal::print(&line),
        // What went wrong stands in the line alone.
        Some(line) if complaints.is_empty() && summary.exit() != Exit::Done => {
            terminal::complain(&line);
        }
        _ => {}
    }
    for complaint in complaints {
        terminal::complain(complaint);
    }
}
