//! What the scheduler itself is told, by its own program, once our files are there or gone.

use super::tool::{self, ORDER_MAX, QUESTION_MAX};
use super::{Env, Job, Scheduler, cron, launchd, plan, systemd};
use crate::programs;
use crate::wording;
use crate::world;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What launchd may need to let go of an agent.
const UNLOADING: Duration = Duration::from_secs(2);

/// The program that gives a scheduler its orders; cron looks by itself.
#[derive(Debug)]
pub(super) enum Orders {
    Systemd {
        systemctl: PathBuf,
        timer: String,
    },
    Launchd {
        launchctl: PathBuf,
        domain: String,
        label: String,
        agent: PathBuf,
    },
    None,
}

impl Orders {
    /// # Errors
    /// The scheduler's program is not here.
    pub(super) fn of(scheduler: Scheduler, app: &str, env: &Env) -> Result<Orders> {
        let need = |name: &str| {
            programs::find(name, env, []).with_context(|| format!("there is no {name} on the PATH"))
        };
        Ok(match scheduler {
            Scheduler::Systemd => Orders::Systemd {
                systemctl: need("systemctl")?,
                timer: format!("{}.timer", systemd::name(app)),
            },
            Scheduler::Launchd => Orders::Launchd {
                launchctl: need("launchctl")?,
                domain: format!("gui/{}", user_id(&need("id")?)?),
                label: launchd::label(app),
                agent: plan::files(scheduler, app, env)?.remove(0),
            },
            Scheduler::Cron => Orders::None,
        })
    }

    /// Takes what is there now for what is to run, whether or not an older one was running.
    ///
    /// # Errors
    /// What the scheduler complained of.
    pub(super) fn start(&self) -> Result<()> {
        match self {
            Orders::Systemd { systemctl, timer } => {
                order(systemctl, &["--user", "daemon-reload"])?;
                order(systemctl, &["--user", "enable", timer])?;
                order(systemctl, &["--user", "restart", timer])
            }
            Orders::Launchd {
                launchctl,
                domain,
                label,
                agent,
            } => {
                // One that is not loaded cannot be unloaded, which is no reason not to go on.
                let unloaded = order(launchctl, &["bootout", &format!("{domain}/{label}")]);
                let load = || order(launchctl, &["bootstrap", domain, &agent.to_string_lossy()]);
                load().or_else(|err| {
                    // launchd may still be busy with the one it has just let go.
                    unloaded.map_err(|_| err)?;
                    world::sleep(UNLOADING);
                    load()
                })
            }
            Orders::None => Ok(()),
        }
    }

    /// Stops what runs, while its files are still there.
    ///
    /// # Errors
    /// What the scheduler complained of.
    pub(super) fn stop(&self) -> Result<()> {
        match self {
            Orders::Systemd { systemctl, timer } => {
                order(systemctl, &["--user", "disable", "--now", timer])
            }
            Orders::Launchd {
                launchctl,
                domain,
                label,
                ..
            } => {
                let _ = order(launchctl, &["bootout", &format!("{domain}/{label}")]);
                Ok(())
            }
            Orders::None => Ok(()),
        }
    }

    /// Lets go of files that are gone.
    ///
    /// # Errors
    /// What the scheduler complained of.
    pub(super) fn forget(&self) -> Result<()> {
        match self {
            Orders::Systemd { systemctl, .. } => order(systemctl, &["--user", "daemon-reload"]),
            Orders::Launchd { .. } | Orders::None => Ok(()),
        }
    }
}

/// What a person writes and runs to have the same, in lines.
///
/// # Errors
/// The scheduler cannot do it.
pub fn by_hand(scheduler: Scheduler, job: &Job, env: &Env) -> Result<Vec<String>> {
    if scheduler == Scheduler::Cron {
        let block = cron::block(job)?;
        return Ok(vec![
            "Add this to your crontab, with crontab -e:".to_owned(),
            block.trim_end().to_owned(),
        ]);
    }
    let files = plan::files(scheduler, &job.app, env)?;
    let mut lines = Vec::new();
    for (file, text) in files.iter().zip(plan::texts(scheduler, job)?) {
        lines.push(format!("Write this to {}:", file.display()));
        lines.push(text);
    }
    lines.push("Then run:".to_owned());
    lines.extend(match scheduler {
        Scheduler::Systemd => vec![
            "systemctl --user daemon-reload".to_owned(),
            format!(
                "systemctl --user enable --now {}.timer",
                systemd::name(&job.app)
            ),
        ],
        _ => vec![format!(
            "launchctl bootstrap gui/$(id -u) {}",
            shell(&files[0])
        )],
    });
    Ok(lines)
}

/// What a person runs to be rid of it, in lines.
///
/// # Errors
/// No home folder.
pub fn to_undo_by_hand(scheduler: Scheduler, app: &str, env: &Env) -> Result<Vec<String>> {
    let files = plan::files(scheduler, app, env)?;
    let names: Vec<String> = files.iter().map(|file| shell(file)).collect();
    let stop = match scheduler {
        Scheduler::Systemd => format!(
            "systemctl --user disable --now {}.timer",
            systemd::name(app)
        ),
        Scheduler::Launchd => format!("launchctl bootout gui/$(id -u)/{}", launchd::label(app)),
        Scheduler::Cron => return Ok(vec!["crontab -e, and take these lines out".to_owned()]),
    };
    Ok(vec![stop, format!("rm {}", names.join(" "))])
}

fn shell(path: &Path) -> String {
    wording::shell(&path.to_string_lossy())
}

fn order(program: &Path, args: &[&str]) -> Result<()> {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    tool::run(program, args, b"", ORDER_MAX)?.check(&format!("{name} {}", args.join(" ")))?;
    Ok(())
}

/// launchd's name for the person's session has it.
fn user_id(id: &Path) -> Result<String> {
    let said = tool::run(id, &["-u"], b"", QUESTION_MAX)?.check("id -u")?;
    Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
}
