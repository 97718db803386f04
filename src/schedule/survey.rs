//! What is scheduled.

use super::place::Place;
use super::{Env, Every, Scheduler, cron, launchd, plan, systemd};
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
}

/// Every schedule of this application that can be read. Nothing is asked but, if there is one, the
/// crontab, for three seconds at most.
pub fn found(app: &str, env: &Env) -> Vec<Found> {
    let look = |scheduler| look(scheduler, app, env).ok().flatten();
    Scheduler::ALL.into_iter().filter_map(look).collect()
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
            Found::of(
                scheduler,
                cron::every(&line),
                place.to_string(),
                cron::program(&line),
            )
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
    let (every, program) = match scheduler {
        Scheduler::Launchd => (launchd::every(when), launchd::program(what)),
        _ => (systemd::every(when), systemd::program(what)),
    };
    Ok(Some(Found::of(
        scheduler,
        every,
        Place::File(path.clone()).to_string(),
        program,
    )))
}

impl Found {
    fn of(
        scheduler: Scheduler,
        every: Option<Every>,
        place: String,
        program: Option<String>,
    ) -> Found {
        let program = program.map(PathBuf::from);
        Found {
            scheduler,
            every,
            place,
            program_is_there: program.as_deref().is_some_and(Path::is_file),
            program,
        }
    }

    /// The same for people, in a few words.
    pub fn words(&self) -> String {
        let every = self
            .every
            .map_or_else(|| "unclear".to_owned(), |every| format!("every {every}"));
        match &self.program {
            Some(_) if self.program_is_there => every,
            Some(program) => format!("{every}, but {} is not there", program.display()),
            None => format!("{every}, but it names no program"),
        }
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        json!({
            "scheduler": self.scheduler.name(),
            "every": self.every.map(|every| every.to_string()),
            "everySeconds": self.every.map(Every::seconds),
            "path": self.place,
            "program": self.program,
            "programIsThere": self.program_is_there,
        })
    }
}
