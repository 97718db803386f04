//! Putting a schedule in place, and taking it away.

use super::orders::Orders;
use super::place::Change;
use super::{Env, Scheduler, choose, plan, systemd, to_undo_by_hand};
use anyhow::{Context, Error, Result, bail};
use std::fs;

/// Carries out what [`super::to_install`] said, and has it started.
///
/// # Errors
/// What did not work; then it is as it was, or it is said what is left and what to run.
pub fn install(scheduler: Scheduler, app: &str, changes: &[Change], env: &Env) -> Result<()> {
    let orders = Orders::of(scheduler, app, env)?;
    let done = changes
        .iter()
        .filter(|change| !change.is_nothing())
        .try_for_each(Change::make)
        .and_then(|()| orders.start());
    match done {
        Ok(()) => Ok(()),
        Err(why) => Err(take_back(scheduler, app, changes, &orders, env, why)),
    }
}

fn take_back(
    scheduler: Scheduler,
    app: &str,
    changes: &[Change],
    orders: &Orders,
    env: &Env,
    why: Error,
) -> Error {
    let was_there = changes.iter().all(|change| change.before.is_some());
    if !was_there {
        // Whether anything was started is not known; if not, this complains, and nobody needs to hear it.
        let _ = orders.stop();
    }
    let back = changes.iter().rev().try_for_each(Change::take_back);
    let told = if was_there {
        orders.start()
    } else {
        orders.forget()
    };
    match (back, told) {
        (Ok(()), Ok(())) => why.context("it is as it was"),
        (Ok(()), Err(_)) => why.context(format!(
            "the files are as they were, but {} could not be told so",
            scheduler.name()
        )),
        (Err(err), _) => {
            let undo = to_undo_by_hand(scheduler, app, env)
                .unwrap_or_default()
                .join("; ");
            why.context(format!(
                "it could not be taken back ({err:#}); to do so: {undo}"
            ))
        }
    }
}

/// Carries out what [`super::to_remove`] said, and has it stopped before.
///
/// # Errors
/// What did not work, and what is left.
pub fn remove(scheduler: Scheduler, app: &str, changes: &[Change], env: &Env) -> Result<()> {
    // Where no systemd answers, none runs it either: then only the files are to go.
    let orders = match scheduler {
        Scheduler::Systemd if !choose::systemd_answers(env) => Orders::None,
        _ => Orders::of(scheduler, app, env).unwrap_or(Orders::None),
    };
    // Where its making was cut off between the two files, there is no timer that could be stopped.
    let timer = format!("{}.timer", systemd::name(app));
    let is_timer = |change: &Change| change.place().ends_with(&timer);
    if scheduler != Scheduler::Systemd || changes.iter().any(is_timer) {
        orders.stop().context("it is still there")?;
    }
    if scheduler == Scheduler::Systemd {
        remove_wish(app, env)?;
    }
    changes.iter().try_for_each(Change::make)?;
    if let Err(err) = orders.forget() {
        bail!(
            "its files are gone, but {} could not be told so: {err:#}",
            scheduler.name()
        );
    }
    Ok(())
}

/// The link by which systemd knows that the timer is to run; systemctl has removed it, if there was one.
fn remove_wish(app: &str, env: &Env) -> Result<()> {
    let wants = plan::systemd_folder(env)?.join("timers.target.wants");
    let link = wants.join(format!("{}.timer", systemd::name(app)));
    if fs::symlink_metadata(&link).is_ok_and(|found| found.is_symlink()) {
        fs::remove_file(&link).with_context(|| format!("cannot remove {}", link.display()))?;
    }
    Ok(())
}
