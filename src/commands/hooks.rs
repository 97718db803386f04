//! `telemetry-upload hooks`: our hooks in the settings of a host.

use crate::cli::{HooksAction, HooksEdit, HooksPlace, HooksStatus};
use crate::host_settings::diff;
use crate::host_settings::file::{HostFile, Keep};
use crate::host_settings::plan::{Plan, Planting, Standing};
use crate::hosts::Host;
use crate::hosts::place::{FOLDERS_SEARCHED, Scope, Whose};
use crate::{paths, terminal, world};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

type Env = BTreeMap<String, String>;

/// Does what the flags say.
///
/// # Errors
/// No home folder, or a variable of the host that does not say where.
pub fn run(action: &HooksAction, env: &Env) -> Result<ExitCode> {
    match action {
        HooksAction::Install(flags) => install(flags, env),
        HooksAction::Uninstall(flags) => uninstall(flags, env),
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

fn install(flags: &HooksEdit, env: &Env) -> Result<ExitCode> {
    let (place, path) = (&flags.place, path(&flags.place, env)?);
    let planting = Planting::new(place.host, place.app.name());
    let done = HostFile::read(&path).and_then(|file| {
        let plan = planting.install(&file)?;
        if flags.dry_run {
            return show_plan(&file, &path, plan);
        }
        match plan {
            Plan::Nothing => terminal::print(&format!("already there: {}", path.display())),
            plan => {
                let backup = carry_out(&file, plan)?;
                terminal::print(&format!("put the hooks into {}", path.display()));
                show_backup(backup.as_deref());
                if let Some(afterwards) = place.host.place().afterwards {
                    terminal::print(afterwards);
                }
            }
        }
        Ok(())
    });
    if let Err(err) = done {
        terminal::complain(&format!(
            "cannot put the hooks into {}: {err:#}; it is as it was; set it right and run this again, \
             or do by hand what is printed",
            path.display()
        ));
        show_snippet(place, &path);
        return Ok(ExitCode::FAILURE);
    }
    complain_if_not_found(env);
    Ok(ExitCode::SUCCESS)
}

fn uninstall(flags: &HooksEdit, env: &Env) -> Result<ExitCode> {
    let (place, path) = (&flags.place, path(&flags.place, env)?);
    let planting = Planting::new(place.host, place.app.name());
    let done = HostFile::read(&path).and_then(|file| {
        let plan = planting.uninstall(&file)?;
        if flags.dry_run {
            return show_plan(&file, &path, plan);
        }
        let said = match &plan {
            Plan::Nothing => "nothing to take out of",
            Plan::Remove | Plan::RemoveOther => "removed",
            Plan::Restore { .. } => "put back as it was before:",
            Plan::Make(_) | Plan::Change(_) => "took the hooks out of",
        };
        let backup = carry_out(&file, plan)?;
        terminal::print(&format!("{said} {}", path.display()));
        show_backup(backup.as_deref());
        Ok(())
    });
    if let Err(err) = done {
        terminal::complain(&format!(
            "cannot take the hooks out of {}: {err:#}; it is as it was",
            path.display()
        ));
        if let Some(command) = planting.command() {
            terminal::print("Ours are the entries with this command; take them out by hand:");
            terminal::print(&command);
        }
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Says where the backup is, if there is one.
fn carry_out(file: &HostFile, plan: Plan) -> Result<Option<PathBuf>> {
    let now = world::now();
    match plan {
        Plan::Nothing => Ok(None),
        Plan::Make(text) => file.replace(&text, Keep::Nothing),
        Plan::Change(text) => file.replace(&text, Keep::Backup(now)),
        Plan::Restore { text, backup } => {
            file.replace(&text, Keep::Nothing)?;
            fs::remove_file(&backup)
                .with_context(|| format!("cannot remove the backup {}", backup.display()))?;
            Ok(None)
        }
        Plan::Remove => file.remove(Keep::Nothing),
        Plan::RemoveOther => file.remove(Keep::Backup(now)),
    }
}

fn show_plan(file: &HostFile, path: &Path, plan: Plan) -> Result<()> {
    let (would, after) = match plan {
        Plan::Nothing => {
            terminal::print(&format!("would change nothing in {}", path.display()));
            return Ok(());
        }
        Plan::Make(text) => ("would make", text),
        Plan::Change(text) => ("would change", text),
        Plan::Restore { text, .. } => ("would put back as it was before", text),
        Plan::Remove | Plan::RemoveOther => ("would remove", String::new()),
    };
    terminal::print(&format!("{would} {}:", path.display()));
    for line in diff::show(file.text()?.unwrap_or_default(), &after) {
        terminal::print(&line);
    }
    Ok(())
}

fn show_backup(backup: Option<&Path>) {
    if let Some(backup) = backup {
        terminal::print(&format!("as it was before: {}", backup.display()));
    }
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
    standing: Standing,
}

fn status(flags: &HooksStatus, env: &Env) {
    let app = flags.app.name();
    let mut all = Vec::new();
    for host in Host::ALL {
        for scope in Scope::ALL {
            if flags.host.is_none_or(|it| it == host) && flags.scope.is_none_or(|it| it == scope) {
                all.push(look(host, scope, app, env));
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
    if all.iter().any(|found| found.standing != Standing::Absent) {
        complain_if_not_found(env);
    }
}

fn look(host: Host, scope: Scope, app: &str, env: &Env) -> Found {
    let path = host.place().path(scope, app, env);
    let standing = match &path {
        Err(err) => Standing::Unreadable(format!("{err:#}")),
        Ok(path) => match HostFile::read(path) {
            Ok(file) => Planting::new(host, app).standing(&file),
            Err(err) => Standing::Unreadable(format!("{err:#}")),
        },
    };
    Found {
        host,
        scope,
        path: path.ok(),
        standing,
    }
}

impl Found {
    fn word(&self) -> &'static str {
        match self.standing {
            Standing::Installed => "installed",
            Standing::Partly(_) => "partly",
            Standing::Other => "other version",
            Standing::Absent => "not installed",
            Standing::Unreadable(_) => "cannot be read",
        }
    }

    fn path(&self) -> String {
        let path = self.path.as_ref();
        path.map_or_else(|| "-".to_owned(), |path| path.display().to_string())
    }

    fn line(&self) -> String {
        let line = format!(
            "{:9} {:8} {:15} {}",
            self.host.name(),
            self.scope.name(),
            self.word(),
            self.path()
        );
        match &self.standing {
            Standing::Partly(events) => format!("{line} (missing: {})", events.join(", ")),
            Standing::Unreadable(why) => format!("{line} ({why})"),
            Standing::Installed | Standing::Other | Standing::Absent => line,
        }
    }

    fn json(&self) -> Value {
        let (missing, why) = match &self.standing {
            Standing::Partly(events) => (json!(events), Value::Null),
            Standing::Unreadable(why) => (json!([]), json!(why)),
            Standing::Installed | Standing::Other | Standing::Absent => (json!([]), Value::Null),
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
