//! Which scheduler: the one that answers.

use super::tool::{self, QUESTION_MAX};
use super::{Env, Scheduler};
use crate::programs;
use anyhow::{Result, bail};

/// The scheduler that was asked for, or the one of this machine: launchd, or systemd if the person's own
/// answers, or cron.
///
/// # Errors
/// There is none.
pub fn choose(asked_for: Option<Scheduler>, env: &Env) -> Result<Scheduler> {
    let is_there = |name| programs::find(name, env, []).is_some();
    match asked_for {
        // Files for a systemd that is not there would look like a schedule.
        Some(Scheduler::Systemd) if !systemd_answers(env) => bail!(
            "no systemd answers this user here: systemctl --user show-environment fails; \
             telemetry-upload schedule print shows what to set up elsewhere"
        ),
        Some(scheduler) => Ok(scheduler),
        None if is_there("launchctl") => Ok(Scheduler::Launchd),
        None if systemd_answers(env) => Ok(Scheduler::Systemd),
        None if is_there("crontab") => Ok(Scheduler::Cron),
        None => bail!(
            "there is no scheduler here: no launchctl, no systemd that answers this user, no crontab; \
             telemetry-upload schedule print shows what to set up by hand"
        ),
    }
}

/// Where [`choose`] finds none, the one that a person may set up by hand, at another time or elsewhere.
pub fn choose_for_elsewhere(env: &Env) -> Scheduler {
    if programs::find("systemctl", env, []).is_some() {
        Scheduler::Systemd
    } else {
        Scheduler::Cron
    }
}

/// systemctl is in many containers, and of people logged in by `su` no systemd of their own runs.
pub(super) fn systemd_answers(env: &Env) -> bool {
    programs::find("systemctl", env, []).is_some_and(|systemctl| {
        tool::run(
            &systemctl,
            &["--user", "show-environment"],
            b"",
            QUESTION_MAX,
        )
        .is_ok_and(|said| said.is_success)
    })
}
