//! `telemetry-upload hooks`: our hooks in the settings of a host.

use crate::cli::{HooksAction, HooksEdit, HooksPlace, HooksStatus};
use crate::host_settings::{self, Found, HostFile, Plan, Standing};
use crate::hosts::place::{FOLDERS_SEARCHED, Whose};
use crate::{terminal, world};
use anyhow::{Error, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

type Env = BTreeMap<String, String>;

/// Does what the flags say.
///
/// # Errors
/// No home folder, or a variable of the host that does not say where.
pub fn run(action: &HooksAction, env: &Env) -> Result<ExitCode> {
    match action {
        HooksAction::Install(flags) => edit(Way::In, flags, env),
        HooksAction::Uninstall(flags) => edit(Way::Out, flags, env),
        HooksAction::Status(flags) => {
            status(flags, env);
            Ok(ExitCode::SUCCESS)
        }
        HooksAction::Print(place) => {
            let path = path(place, env)?;
            show_snippet(place, &path);
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Which way our hooks go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

fn edit(way: Way, flags: &HooksEdit, env: &Env) -> Result<ExitCode> {
    let path = path(&flags.place, env)?;
    if let Err(err) = decide_and_do(way, flags, &path) {
        give_up(way, &flags.place, &path, &err);
        return Ok(ExitCode::FAILURE);
    }
    if way == Way::In {
        complain_if_not_found(env);
    }
    Ok(ExitCode::SUCCESS)
}

fn decide_and_do(way: Way, flags: &HooksEdit, path: &Path) -> Result<()> {
    let (host, app) = (flags.place.host, flags.place.app.name());
    let file = HostFile::read(path, world::now())?;
    let plan = match way {
        Way::In => host_settings::install(host, app, &file)?,
        Way::Out => host_settings::uninstall(host, app, &file)?,
    };
    if flags.dry_run {
        return show_plan(&file, path, &plan);
    }
    let backup = host_settings::carry_out(&plan, &file)?;
    let done = match (way, &plan) {
        (Way::In, Plan::Nothing) => "already there:",
        (Way::In, _) => "put the hooks into",
        (Way::Out, Plan::Nothing) => "nothing to take out of",
        (Way::Out, Plan::Write(_)) => "took the hooks out of",
        (Way::Out, Plan::Restore(_)) => "put back as it was before:",
        (Way::Out, Plan::Remove(_)) => "removed",
    };
    terminal::print(&format!("{done} {}", path.display()));
    if let Some(backup) = backup {
        terminal::print(&format!("as it was before: {}", backup.display()));
    }
    if let (Way::In, Plan::Write(_), Some(words)) = (way, &plan, host.place().afterwards) {
        terminal::print(words);
    }
    Ok(())
}

/// Says why nothing was done, and what the person can do instead.
fn give_up(way: Way, place: &HooksPlace, path: &Path, why: &Error) {
    let path_shown = path.display();
    match way {
        Way::In => {
            terminal::complain(&format!(
                "cannot put the hooks into {path_shown}: {why:#}; it is as it was; set it right and run \
                 this again, or do by hand what is printed"
            ));
            show_snippet(place, path);
        }
        Way::Out => {
            terminal::complain(&format!(
                "cannot take the hooks out of {path_shown}: {why:#}; it is as it was"
            ));
            if let Some(command) = host_settings::command(place.host, place.app.name()) {
                terminal::print("Ours are the entries with this command; take them out by hand:");
                terminal::print(&command);
            }
        }
    }
}

fn show_plan(file: &HostFile, path: &Path, plan: &Plan) -> Result<()> {
    let before = file.text()?;
    let (would, after) = match plan {
        Plan::Nothing => {
            terminal::print(&format!("would change nothing in {}", path.display()));
            return Ok(());
        }
        Plan::Write(text) if before.is_none() => ("would make", text.as_str()),
        Plan::Write(text) => ("would change", text.as_str()),
        Plan::Restore(backup) => ("would put back as it was before", backup.text.as_str()),
        Plan::Remove(_) => ("would remove", ""),
    };
    terminal::print(&format!("{would} {}:", path.display()));
    for line in host_settings::diff(before.unwrap_or_default(), after) {
        terminal::print(&line);
    }
    Ok(())
}

fn show_snippet(place: &HooksPlace, path: &Path) {
    let verb = match place.host.place().whose {
        Whose::Shared => "Add this to",
        Whose::Ours => "Write this to",
    };
    terminal::print(&format!("{verb} {}:", path.display()));
    terminal::print(place.host.snippet(place.app.name()).trim_end());
}

fn path(place: &HooksPlace, env: &Env) -> Result<PathBuf> {
    let app = place.app.name();
    place.host.place().path(place.scope, app, env)
}

fn status(flags: &HooksStatus, env: &Env) {
    let app = flags.app.name();
    let is_asked_for = |found: &Found| {
        flags.host.is_none_or(|host| host == found.host)
            && flags.scope.is_none_or(|scope| scope == found.scope)
    };
    let mut all = host_settings::survey(app, env);
    all.retain(is_asked_for);
    if flags.json {
        let hooks: Vec<Value> = all.iter().map(Found::json).collect();
        let binary = host_settings::binary(env).map(|path| path.display().to_string());
        terminal::print_json(&json!({"app": app, "hooks": hooks, "binary": binary}));
        return;
    }
    for found in &all {
        terminal::print(&found.line());
    }
    let is_absent = |found: &Found| matches!(found.standing, Ok(Standing::Absent));
    if !all.iter().all(is_absent) {
        complain_if_not_found(env);
    }
}

/// Hooks that do not find the program do nothing, and nobody would see it.
fn complain_if_not_found(env: &Env) {
    if host_settings::binary(env).is_none() {
        terminal::complain(&format!(
            "the hooks cannot find telemetry-upload: it is not on PATH, nor in {}; install it there, \
             for example with install.sh",
            FOLDERS_SEARCHED.join(", ")
        ));
    }
}
