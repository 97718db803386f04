//! What is at work: this program, the clock, hooks, schedules, and what the last passes left.

use super::{Check, Subject};
use crate::clock::{self, Clock};
use crate::exit::Exit;
use crate::holder;
use crate::host_settings::{self, Found, Standing};
use crate::hosts::place::FOLDERS_SEARCHED;
use crate::programs;
use crate::schedule;
use crate::state::State;
use crate::wording::{lag, minute, span};
use chrono::TimeDelta;
use std::fs;

pub(super) fn checks(subject: &Subject) -> Vec<Check> {
    let state = State::load(subject.paths);
    vec![
        clock(subject, &state),
        hooks(subject),
        schedules(subject),
        uploader(subject),
        pause(subject, &state),
        last_pass(subject, &state),
        rejected(subject),
    ]
}

pub(super) fn version() -> Check {
    let (system, processor) = (std::env::consts::OS, std::env::consts::ARCH);
    let version = env!("CARGO_PKG_VERSION");
    Check::ok(
        "version",
        format!("telemetry-upload {version}, {system} {processor}"),
    )
}

pub(super) fn program(subject: &Subject) -> Check {
    const NAME: &str = "program";
    let me = programs::myself().unwrap_or_default();
    match host_settings::binary(subject.env) {
        None => Check::warning(
            NAME,
            format!(
                "hooks cannot find telemetry-upload: it is not on PATH, nor in {}",
                FOLDERS_SEARCHED.join(", ")
            ),
            "install it there, for example with install.sh",
        ),
        Some(found) if programs::are_one(&found, &me) => {
            Check::ok(NAME, found.display().to_string())
        }
        Some(found) => Check::warning(
            NAME,
            format!(
                "hooks find {} first, and this is {}",
                found.display(),
                me.display()
            ),
            "remove one of the two, or put its folder first on PATH",
        ),
    }
}

fn clock(subject: &Subject, state: &State) -> Check {
    const NAME: &str = "clock";
    let advice = "set the clock; until then no event is dropped for its age";
    let shown = minute(&subject.now);
    if !clock::is_possible(subject.now) {
        return Check::problem(NAME, format!("says {shown}, which cannot be"), advice);
    }
    if !Clock::read(subject.now, state.clock.as_ref()).credible {
        let words = format!("was set by more than an hour since the last pass, and says {shown}");
        return Check::warning(NAME, words, advice);
    }
    if let Some(seconds) = state.server_ahead_s {
        let lag = lag(TimeDelta::seconds(seconds));
        let words = format!("says {shown}, {lag} the server's at the last pass");
        return Check::warning(NAME, words, advice);
    }
    Check::ok(NAME, "can be right; --online compares it with the server's")
}

fn hooks(subject: &Subject) -> Check {
    const NAME: &str = "hooks";
    let named = |found: &&Found| format!("{} ({})", found.host.name(), found.scope.name());
    let all = host_settings::survey_files(subject.app, subject.env);
    let is_well = |found: &&Found| matches!(found.standing, Ok(Standing::Installed));
    let is_absent = |found: &&Found| matches!(found.standing, Ok(Standing::Absent));
    let installed: Vec<String> = all
        .iter()
        .filter(is_well)
        .map(|found| named(&found))
        .collect();
    let odd = all
        .iter()
        .find(|found| !is_well(found) && !is_absent(found));
    if let Some(found) = odd {
        return Check::warning(
            NAME,
            format!("{}: {}", named(&found), found.word()),
            format!("{} says more", subject.command_of_app("hooks status")),
        );
    }
    if installed.is_empty() {
        return Check::ok(NAME, "none installed");
    }
    Check::ok(NAME, installed.join(", "))
}

/// None is fine where hooks or the host start the passes.
fn schedules(subject: &Subject) -> Check {
    const NAME: &str = "schedule";
    let found = schedule::found(subject.app, subject.env);
    let mut all = Vec::new();
    for (scheduler, found) in &found {
        let words = format!("{}: {}", scheduler.name(), schedule::words(found));
        match found {
            Ok(dead) if !dead.program_is_there => {
                let advice = format!("{} makes it anew", dead.again());
                return Check::problem(NAME, words, advice);
            }
            Ok(_) => all.push(words),
            Err(_) => {
                let advice = "set that right, or take it out by hand; until then nobody knows whether it runs";
                return Check::warning(NAME, words, advice);
            }
        }
    }
    if all.is_empty() {
        all.push("none".to_owned());
    }
    Check::ok(NAME, all.join(", "))
}

fn uploader(subject: &Subject) -> Check {
    const NAME: &str = "uploader";
    let Some(holder) = holder::find(subject.paths) else {
        return Check::ok(NAME, detached(subject));
    };
    let (Some(pid), Some(since)) = (holder.pid, holder.since) else {
        let path = subject.paths.uploader_lock();
        return Check::warning(
            NAME,
            "a pass is at work, and does not say since when",
            format!("if it stays, `fuser {}` names it", path.display()),
        );
    };
    let deadline = subject.limits().deadline;
    let words = format!("a pass (pid {pid}) is at work since {}", minute(&since));
    let left = holder.left(deadline, subject.now).unwrap_or_default();
    if holder.is_hung(deadline, subject.now) {
        let advice = format!("kill -9 {pid}; nothing is lost");
        let seconds = (subject.now + left - since).num_seconds();
        let words = format!("{words}, longer than the {seconds} seconds it may take");
        return Check::problem(NAME, words, advice);
    }
    Check::ok(NAME, format!("{words}, at most {} left", span(left)))
}

fn detached(subject: &Subject) -> String {
    let Some(holder) = holder::find_detached(subject.paths) else {
        return "no pass is at work".to_owned();
    };
    let words = holder::words_of_detached(&holder, subject.limits().gather, subject.now);
    format!("a {words}")
}

fn pause(subject: &Subject, state: &State) -> Check {
    const NAME: &str = "pause";
    match state.pause_in_force(subject.now) {
        None => Check::ok(NAME, "none"),
        Some(pause) => Check::warning(
            NAME,
            format!("until {}: {}", minute(&pause.until), pause.reason),
            format!("{} does not wait for it", subject.command("--flush")),
        ),
    }
}

fn last_pass(subject: &Subject, state: &State) -> Check {
    const NAME: &str = "last pass";
    match &state.last {
        None => Check::ok(NAME, "none that had something to do"),
        Some(last) => {
            let words = format!("{}: {}", minute(&last.at), last.summary);
            if last.exit == Exit::Done.code() {
                return Check::ok(NAME, words);
            }
            let flush = subject.command("--flush");
            if last.exit == Exit::Misconfigured.code() {
                let advice = format!("set that right; then {flush} tries again");
                return Check::misconfigured(NAME, words, advice);
            }
            Check::warning(NAME, words, format!("{flush} tries again now"))
        }
    }
}

fn rejected(subject: &Subject) -> Check {
    const NAME: &str = "rejected";
    let is_there =
        fs::symlink_metadata(subject.paths.rejected()).is_ok_and(|found| found.len() > 0);
    if !is_there {
        return Check::ok(NAME, "no line");
    }
    Check::warning(
        NAME,
        "lines were refused, and are kept in upload/rejected.jsonl",
        format!("{} says why", subject.command("inspect --rejected")),
    )
}
