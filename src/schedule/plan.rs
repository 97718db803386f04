//! Which texts would change, and how.

use super::place::{Change, Place};
use super::{Env, Job, Scheduler, cron, launchd, systemd};
use crate::os;
use crate::paths;
use crate::programs;
use anyhow::{Context, Result, bail};
use std::fmt;
use std::path::{Path, PathBuf};

/// A scheduler that does not say what it has; whether anything of ours is there, nobody knows.
#[derive(Clone, Copy, Debug)]
pub struct Unasked;

impl fmt::Display for Unasked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it does not say what it has")
    }
}

/// What `install` would change.
///
/// # Errors
/// What stands where ours belongs is not ours, or the scheduler cannot do it.
pub fn to_install(scheduler: Scheduler, job: &Job, env: &Env) -> Result<Vec<Change>> {
    if scheduler == Scheduler::Cron {
        let place = crontab(env).context("there is no crontab program on the PATH")?;
        let before = place.read()?;
        let after = cron::with(
            before.as_deref().unwrap_or_default(),
            &job.app,
            &cron::block(job)?,
        )?;
        return Ok(vec![Change {
            place,
            before,
            after: Some(after),
        }]);
    }
    let texts = texts(scheduler, job)?;
    let changes = files(scheduler, &job.app, env)?
        .into_iter()
        .zip(texts)
        .map(|(path, text)| {
            let before = our_file(scheduler, &path, &job.app)?;
            Ok(Change {
                place: Place::File(path),
                before,
                after: Some(text.into_bytes()),
            })
        });
    changes.collect()
}

/// What `remove` would change; nothing where nothing of ours is.
///
/// # Errors
/// What stands where ours belongs cannot be read; as [`Unasked`] where the scheduler does not say what is there.
pub fn to_remove(scheduler: Scheduler, app: &str, env: &Env) -> Result<Vec<Change>> {
    if scheduler == Scheduler::Cron {
        let Some(place) = crontab(env) else {
            return Ok(Vec::new());
        };
        let Some(before) = place.read().context(Unasked)? else {
            return Ok(Vec::new());
        };
        let after = cron::without(&before, app)?;
        let change = after.map(|after| Change {
            place,
            before: Some(before),
            after: Some(after),
        });
        return Ok(change.into_iter().collect());
    }
    let mut changes = Vec::new();
    for path in files(scheduler, app, env)? {
        let before = our_file(scheduler, &path, app)?;
        if before.is_some() {
            changes.push(Change {
                place: Place::File(path),
                before,
                after: None,
            });
        }
    }
    Ok(changes)
}

/// The texts of a job's files, in the order of [`files`].
///
/// # Errors
/// The scheduler cannot do it.
pub(super) fn texts(scheduler: Scheduler, job: &Job) -> Result<Vec<String>> {
    Ok(match scheduler {
        Scheduler::Systemd => vec![systemd::service(job)?, systemd::timer(job)],
        Scheduler::Launchd => vec![launchd::agent(job)],
        Scheduler::Cron => Vec::new(),
    })
}

/// The files that are ours alone: for systemd the service, then the timer.
///
/// # Errors
/// No home folder.
pub(super) fn files(scheduler: Scheduler, app: &str, env: &Env) -> Result<Vec<PathBuf>> {
    Ok(match scheduler {
        Scheduler::Systemd => {
            let folder = systemd_folder(env)?;
            let name = systemd::name(app);
            ["service", "timer"]
                .map(|end| folder.join(format!("{name}.{end}")))
                .into()
        }
        Scheduler::Launchd => {
            let name = format!("{}.plist", launchd::label(app));
            vec![paths::home()?.join("Library/LaunchAgents").join(name)]
        }
        Scheduler::Cron => Vec::new(),
    })
}

/// The crontab, if there is a program for it.
pub(super) fn crontab(env: &Env) -> Option<Place> {
    programs::find("crontab", env, []).map(Place::Crontab)
}

/// The folder of the person's own units.
pub(super) fn systemd_folder(env: &Env) -> Result<PathBuf> {
    let named = os::variable(env, "XDG_CONFIG_HOME").map(PathBuf::from);
    // A relative one is none, by its specification.
    let config = match named.filter(|folder| folder.is_absolute()) {
        Some(folder) => folder,
        None => paths::home()?.join(".config"),
    };
    Ok(config.join("systemd/user"))
}

/// What a file of ours holds, if it is there.
///
/// # Errors
/// It is not ours.
pub(super) fn our_file(scheduler: Scheduler, path: &Path, app: &str) -> Result<Option<Vec<u8>>> {
    let Some(bytes) = Place::File(path.to_owned()).read()? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes);
    let is_ours = match scheduler {
        Scheduler::Launchd => launchd::is_ours(&text, app),
        _ => systemd::is_ours(&text, app),
    };
    if !is_ours {
        bail!(
            "{} is there, and was not made by schedule install; it is left as it is",
            path.display()
        );
    }
    Ok(Some(bytes))
}
