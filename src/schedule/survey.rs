//! What is scheduled.

use super::place::Place;
use super::{Env, Every, Scheduler, cron, launchd, plan, systemd};
use crate::wording::shell;
use anyhow::Result;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A schedule of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// By whom.
    pub scheduler: Scheduler,
    /// How often, if that can be read.
    pub every: Option<Every>,
    /// The file that says so, or `the crontab`.
    pub place: String,
    /// The program that it starts, if that can be read.
    pub program: Option<PathBuf>,
    /// Whether that program is there.
    pub program_is_there: bool,
    app: String,
    data_dir: Option<String>,
}

/// Every schedule of this application, or why it is unclear whether there is one. Nothing is asked but, if
/// there is one, the crontab, for three seconds at most.
pub fn found(app: &str, env: &Env) -> Vec<(Scheduler, Result<Found>)> {
    let look = |scheduler| {
        let found = look(scheduler, app, env).transpose()?;
        Some((scheduler, found))
    };
    Scheduler::ALL.into_iter().filter_map(look).collect()
}

/// What was found, or why that is unclear, for people.
pub fn words(found: &Result<Found>) -> String {
    match found {
        Ok(found) => found.words(),
        Err(why) => format!("unclear: {why:#}"),
    }
}

/// The same for programs.
pub fn json(scheduler: Scheduler, found: Option<&Result<Found>>) -> Value {
    let name = scheduler.name();
    match found {
        Some(Ok(found)) => found.json(),
        Some(Err(why)) => {
            json!({"scheduler": name, "status": "unclear", "why": format!("{why:#}")})
        }
        None => json!({"scheduler": name, "status": "not installed"}),
    }
}

/// The schedule of this application by this scheduler.
///
/// # Errors
/// What stands where ours belongs is not ours, or cannot be read.
pub fn look(scheduler: Scheduler, app: &str, env: &Env) -> Result<Option<Found>> {
    if scheduler == Scheduler::Cron {
        let Some(place) = plan::crontab(env) else {
            return Ok(None);
        };
        let crontab = place.read()?.unwrap_or_default();
        let of_line = |line: String| {
            let (every, command) = (cron::every(&line), cron::command(&line));
            Found::of(scheduler, app, every, place.to_string(), &command)
        };
        return Ok(cron::line(&crontab, app)?.map(of_line));
    }
    let mut texts = Vec::new();
    for path in plan::files(scheduler, app, env)? {
        let bytes = plan::our_file(scheduler, &path, app)?;
        texts.extend(bytes.map(|bytes| (path, String::from_utf8_lossy(&bytes).into_owned())));
    }
    // The last of them says when, the first what.
    let (Some((_, what)), Some((path, when))) = (texts.first(), texts.last()) else {
        return Ok(None);
    };
    let (every, command) = match scheduler {
        Scheduler::Launchd => (launchd::every(when), launchd::command(what)),
        _ => (systemd::every(when), systemd::command(what)),
    };
    let place = Place::File(path.clone()).to_string();
    Ok(Some(Found::of(scheduler, app, every, place, &command)))
}

impl Found {
    fn of(
        scheduler: Scheduler,
        app: &str,
        every: Option<Every>,
        place: String,
        command: &[String],
    ) -> Found {
        let program = command.first().map(PathBuf::from);
        let mut arguments = command.iter().skip_while(|word| *word != "--data-dir");
        Found {
            app: app.to_owned(),
            data_dir: arguments.nth(1).cloned(),
            scheduler,
            every,
            place,
            program_is_there: program.as_deref().is_some_and(Path::is_file),
            program,
        }
    }

    /// What makes it anew, to be copied: by the same scheduler, as often, over the same folder.
    pub fn again(&self) -> String {
        let name = self.scheduler.name();
        // One that a person has changed may be none that we take.
        let every = self.every.map(|every| every.to_string());
        let every = every.filter(|every| Every::parse(every).is_ok());
        let every = every.map_or_else(String::new, |every| format!(" --every {every}"));
        let folder = self.data_dir.as_ref();
        let folder = folder.map_or_else(String::new, |folder| {
            format!(" --data-dir {}", shell(folder))
        });
        format!(
            "telemetry-upload schedule install --scheduler {name}{every} --app {}{folder}",
            self.app
        )
    }

    fn words(&self) -> String {
        let every = self
            .every
            .map_or_else(|| "unclear".to_owned(), |every| format!("every {every}"));
        match &self.program {
            Some(_) if self.program_is_there => every,
            Some(program) => format!("{every}, but {} is not there", program.display()),
            None => format!("{every}, but it names no program"),
        }
    }

    fn json(&self) -> Value {
        json!({
            "status": "installed",
            "scheduler": self.scheduler.name(),
            "every": self.every.map(|every| every.to_string()),
            "everySeconds": self.every.map(Every::seconds),
            "path": self.place,
            "program": self.program,
            "programIsThere": self.program_is_there,
        })
    }
}
