//! `telemetry-upload schedule`: a pass every so often.

use crate::cli::{ScheduleAction, ScheduleInstall, ScheduleRemove, ScheduleStatus, ScheduleTerms};
use crate::exit::Exit;
use crate::schedule::{self, Change, Found, Job, Scheduler};
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
        say_more(scheduler, &job, env);
    }
    complain(&job);
    Ok(())
}

/// What else is good to know about a schedule that was just made.
fn say_more(scheduler: Scheduler, job: &Job, env: &Env) {
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
    for other in schedule::found(&job.app, env) {
        if other.scheduler != scheduler {
            let name = other.scheduler.name();
            terminal::complain(&format!(
                "{name} runs it too; telemetry-upload schedule remove --scheduler {name}{} takes that out",
                flag(&job.app)
            ));
        }
    }
    terminal::print(&format!(
        "next: telemetry-upload schedule status{}",
        flag(&job.app)
    ));
}

fn flag(app: &str) -> String {
    if app == crate::paths::APP_DEFAULT {
        String::new()
    } else {
        format!(" --app {app}")
    }
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
    let (mut exit, mut count) = (Exit::Done, 0);
    for scheduler in Scheduler::ALL.into_iter().filter(asked_for) {
        match remove_from(scheduler, flags, env) {
            Ok(places) => count += places,
            Err(err) => {
                let name = scheduler.name();
                terminal::complain(&format!("cannot take the schedule out of {name}: {err:#}"));
                exit = Exit::Failed;
            }
        }
    }
    if count == 0 && exit == Exit::Done {
        terminal::print(&format!(
            "no pass of {app} is scheduled; nothing to take out"
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
    let all = Scheduler::ALL.map(|scheduler| (scheduler, schedule::look(scheduler, app, env)));
    if flags.json {
        let found: Vec<Value> = all
            .iter()
            .map(|(scheduler, found)| to_json(*scheduler, found))
            .collect();
        terminal::print(&json!({"app": app, "schedules": found}).to_string());
        return;
    }
    for (scheduler, found) in &all {
        let words = match found {
            Ok(Some(found)) => format!("{}: {}", found.words(), found.place),
            Ok(None) => "not installed".to_owned(),
            Err(why) => format!("unclear: {why:#}"),
        };
        terminal::print(&format!("{:8} {words}", scheduler.name()));
    }
    let is_broken = |found: &Found| !found.program_is_there;
    let again = flag(app);
    if all
        .iter()
        .any(|(_, found)| matches!(found, Ok(Some(found)) if is_broken(found)))
    {
        terminal::complain(&format!(
            "a schedule starts nothing: install the program again, then telemetry-upload schedule install{again}"
        ));
    } else if all.iter().all(|(_, found)| matches!(found, Ok(None))) {
        terminal::print(&format!("next: telemetry-upload schedule install{again}"));
    }
}

fn to_json(scheduler: Scheduler, found: &Result<Option<Found>>) -> Value {
    match found {
        Ok(Some(found)) => {
            let mut json = found.json();
            json["status"] = "installed".into();
            json
        }
        Ok(None) => json!({"scheduler": scheduler.name(), "status": "not installed"}),
        Err(why) => {
            json!({"scheduler": scheduler.name(), "status": "unclear", "why": format!("{why:#}")})
        }
    }
}

fn print(terms: &ScheduleTerms, env: &Env) -> Result<()> {
    let job = Job::of(&terms.application, terms.every, env)?;
    let scheduler = schedule::choose_to_print(terms.by.scheduler(), env);
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
