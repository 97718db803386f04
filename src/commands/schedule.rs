//! `telemetry-upload schedule`: a pass every so often.

use crate::cli::Application;
use crate::cli::{ScheduleAction, ScheduleInstall, ScheduleRemove, ScheduleStatus, ScheduleTerms};
use crate::exit::Exit;
use crate::schedule::{self, Change, Job, Scheduler, Unasked};
use crate::terminal;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;

type Env = BTreeMap<String, String>;

/// Does what the flags say.
///
/// # Errors
/// What could not be done, and how things stand then.
pub fn run(action: &ScheduleAction, env: &Env) -> Result<ExitCode> {
    match action {
        ScheduleAction::Install(flags) => install(flags, env).map(|()| Exit::Done.into()),
        ScheduleAction::Remove(flags) => Ok(remove(flags, env).into()),
        ScheduleAction::Status(flags) => {
            status(flags, env);
            Ok(Exit::Done.into())
        }
        ScheduleAction::Print(terms) => print(terms, env).map(|()| Exit::Done.into()),
    }
}

fn install(flags: &ScheduleInstall, env: &Env) -> Result<()> {
    let job = Job::of(&flags.terms.application, flags.terms.every, env)?;
    let scheduler = schedule::choose(flags.terms.by.scheduler(), env)?;
    let name = scheduler.name();
    let cannot = || format!("cannot schedule a pass by {name}");
    let changes = schedule::to_install(scheduler, &job, env).with_context(cannot)?;
    if flags.dry_run {
        show(&changes);
    } else {
        schedule::install(scheduler, &job.app, &changes, env).with_context(cannot)?;
        let done = if changes.iter().all(Change::is_nothing) {
            "already scheduled"
        } else {
            "scheduled"
        };
        terminal::print(&format!("{done} by {name}: a pass every {}", job.every));
        for change in &changes {
            terminal::print(&format!("  {}", change.place()));
        }
        say_more(scheduler, &job, &flags.terms.application, env);
    }
    complain(&job);
    Ok(())
}

/// What else is good to know about a schedule that was just made.
fn say_more(scheduler: Scheduler, job: &Job, application: &Application, env: &Env) {
    let flag = application.app.as_flag();
    let names = job.variable_names();
    if !names.is_empty() {
        terminal::print(&format!("with the variables of now: {}", names.join(", ")));
    }
    match scheduler {
        Scheduler::Systemd => terminal::print(
            "It runs while you are logged in; loginctl enable-linger lets it run without.",
        ),
        Scheduler::Launchd => terminal::print("It runs while you are logged in."),
        Scheduler::Cron => {}
    }
    for (other, found) in schedule::found(&job.app, env) {
        if other != scheduler && found.is_ok() {
            let name = other.name();
            terminal::complain(&format!(
                "{name} runs it too; telemetry-upload schedule remove --scheduler {name}{flag} takes that out"
            ));
        }
    }
    terminal::print(&format!("next: telemetry-upload schedule status{flag}"));
}

fn complain(job: &Job) {
    for note in job.notes() {
        terminal::complain(note);
    }
}

fn show(changes: &[Change]) {
    for change in changes {
        let would = match change {
            change if change.is_nothing() => "would change nothing in",
            change if change.is_new() => "would make",
            change if change.is_removal() => "would remove",
            _ => "would change",
        };
        let end = if change.is_nothing() { "" } else { ":" };
        terminal::print(&format!("{would} {}{end}", change.place()));
        for line in change.lines() {
            terminal::print(&line);
        }
    }
}

/// One scheduler that cannot be asked does not keep us from the others.
fn remove(flags: &ScheduleRemove, env: &Env) -> Exit {
    let app = flags.app.name();
    let asked_for = |scheduler: &Scheduler| {
        flags
            .by
            .scheduler()
            .is_none_or(|asked_for| asked_for == *scheduler)
    };
    let (mut exit, mut count, mut is_all) = (Exit::Done, 0, true);
    for scheduler in Scheduler::ALL.into_iter().filter(asked_for) {
        match remove_from(scheduler, flags, env) {
            Ok(places) => count += places,
            // Many people may not use cron, and never did.
            Err(err) if err.is::<Unasked>() && flags.by.scheduler().is_none() => {
                let name = scheduler.name();
                terminal::complain(&format!("nothing was taken out of {name}: {err:#}"));
                is_all = false;
            }
            Err(err) => {
                let name = scheduler.name();
                terminal::complain(&format!("cannot take the schedule out of {name}: {err:#}"));
                exit = Exit::Failed;
            }
        }
    }
    if count == 0 && exit == Exit::Done {
        let known = if is_all { "" } else { "known to be " };
        terminal::print(&format!(
            "no pass of {app} is {known}scheduled; nothing to take out"
        ));
    }
    exit
}

fn remove_from(scheduler: Scheduler, flags: &ScheduleRemove, env: &Env) -> Result<usize> {
    let app = flags.app.name();
    let changes = schedule::to_remove(scheduler, app, env)?;
    if flags.dry_run {
        show(&changes);
    } else if !changes.is_empty() {
        schedule::remove(scheduler, app, &changes, env)?;
        for change in &changes {
            let done = if change.is_removal() {
                "removed"
            } else {
                "took our lines out of"
            };
            terminal::print(&format!("{done} {}", change.place()));
        }
    }
    Ok(changes.len())
}

fn status(flags: &ScheduleStatus, env: &Env) {
    let app = flags.app.name();
    let all = Scheduler::ALL.map(|scheduler| {
        let found = schedule::look(scheduler, app, env).transpose();
        (scheduler, found)
    });
    if flags.json {
        let found: Vec<Value> = all
            .iter()
            .map(|(scheduler, found)| schedule::json(*scheduler, found.as_ref()))
            .collect();
        terminal::print_json(&json!({"app": app, "schedules": found}));
        return;
    }
    for (scheduler, found) in &all {
        let words = match found {
            Some(found) => {
                let place = found.as_ref().map(|found| format!(": {}", found.place));
                schedule::words(found) + &place.unwrap_or_default()
            }
            None => "not installed".to_owned(),
        };
        terminal::print(&format!("{:8} {words}", scheduler.name()));
    }
    let installed = all
        .iter()
        .filter_map(|(_, found)| found.as_ref()?.as_ref().ok());
    for dead in installed.filter(|found| !found.program_is_there) {
        terminal::complain(&format!(
            "a schedule starts nothing: install the program again, then {}",
            dead.again()
        ));
    }
    if all.iter().all(|(_, found)| found.is_none()) {
        let flag = flags.app.as_flag();
        terminal::print(&format!("next: telemetry-upload schedule install{flag}"));
    }
}

fn print(terms: &ScheduleTerms, env: &Env) -> Result<()> {
    let job = Job::of(&terms.application, terms.every, env)?;
    let scheduler = match terms.by.scheduler() {
        Some(asked_for) => asked_for,
        None => schedule::choose(None, env).unwrap_or_else(|_| {
            let elsewhere = schedule::choose_for_elsewhere(env);
            terminal::complain(&format!(
                "no scheduler answers here; this is for {} elsewhere",
                elsewhere.name()
            ));
            elsewhere
        }),
    };
    for line in schedule::by_hand(scheduler, &job, env)? {
        terminal::print(&line);
    }
    terminal::print("To be rid of it:");
    for line in schedule::to_undo_by_hand(scheduler, &job.app, env)? {
        terminal::print(&line);
    }
    complain(&job);
    Ok(())
}
