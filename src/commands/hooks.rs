//! `telemetry-upload hooks`: our hooks in the settings of a host.

use crate::cli::{HooksAction, HooksEdit, HooksPlace, HooksStatus};
use crate::host_settings::{self, HostFile, Plan, Standing};
use crate::hosts::Host;
use crate::hosts::place::{FOLDERS_SEARCHED, Scope, Whose};
use crate::{paths, terminal, world};
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

/// The hooks of one host in one scope.
struct Found {
    host: Host,
    scope: Scope,
    path: Option<PathBuf>,
    standing: Result<Standing>,
}

fn status(flags: &HooksStatus, env: &Env) {
    let app = flags.app.name();
    let mut all = Vec::new();
    for host in Host::ALL {
        for scope in Scope::ALL {
            if flags.host.is_none_or(|it| it == host) && flags.scope.is_none_or(|it| it == scope) {
                all.push(Found::look(host, scope, app, env));
            }
        }
    }
    if flags.json {
        let hooks: Vec<Value> = all.iter().map(Found::json).collect();
        let binary = binary(env).map(|path| path.display().to_string());
        terminal::print(&json!({"app": app, "hooks": hooks, "binary": binary}).to_string());
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

impl Found {
    fn look(host: Host, scope: Scope, app: &str, env: &Env) -> Found {
        let (path, file) = match host.place().path(scope, app, env) {
            Ok(path) => {
                let file = HostFile::read(&path, world::now());
                (Some(path), file)
            }
            Err(err) => (None, Err(err)),
        };
        Found {
            host,
            scope,
            path,
            standing: file.and_then(|file| host_settings::standing(host, app, &file)),
        }
    }

    fn word(&self) -> &'static str {
        match self.standing {
            Ok(Standing::Installed) => "installed",
            Ok(Standing::Partly(_)) => "partly",
            Ok(Standing::Other) => "other version",
            Ok(Standing::Absent) => "not installed",
            Err(_) => "cannot be read",
        }
    }

    fn path(&self) -> String {
        let path = self.path.as_ref();
        path.map_or_else(|| "-".to_owned(), |path| path.display().to_string())
    }

    fn line(&self) -> String {
        let (host, scope) = (self.host.name(), self.scope.name());
        let line = format!("{host:9} {scope:8} {:15} {}", self.word(), self.path());
        match &self.standing {
            Ok(Standing::Partly(missing)) => format!("{line} (missing: {})", missing.join(", ")),
            Ok(_) => line,
            Err(why) => format!("{line} ({why:#})"),
        }
    }

    fn json(&self) -> Value {
        let (missing, why) = match &self.standing {
            Ok(Standing::Partly(missing)) => (missing.as_slice(), None),
            Ok(_) => (&[][..], None),
            Err(why) => (&[][..], Some(format!("{why:#}"))),
        };
        json!({
            "host": self.host.name(),
            "scope": self.scope.name(),
            "status": self.word(),
            "missing": missing,
            "why": why,
            "path": self.path(),
        })
    }
}

/// Hooks that do not find the program do nothing, and nobody would see it.
fn complain_if_not_found(env: &Env) {
    if binary(env).is_none() {
        terminal::complain(&format!(
            "the hooks cannot find telemetry-upload: it is not on PATH, nor in {}; install it there, \
             for example with install.sh",
            FOLDERS_SEARCHED.join(", ")
        ));
    }
}

fn binary(env: &Env) -> Option<PathBuf> {
    let path = env.get("PATH").map(String::as_str).unwrap_or_default();
    let home = paths::home().ok();
    let fixed = FOLDERS_SEARCHED
        .iter()
        .filter_map(|folder| match folder.strip_prefix("~/") {
            Some(below) => Some(home.as_ref()?.join(below)),
            None => Some(PathBuf::from(folder)),
        });
    let name = format!("telemetry-upload{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .chain(fixed)
        .map(|folder| folder.join(&name))
        .find(|path| path.is_file())
}
