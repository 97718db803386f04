//! What the state of things means: one sentence, the next step, and an exit code. The first rule that
//! fits decides; what stops everything comes before what only delays it.

use super::Health;
use crate::consent::{Consent, Rule};
use crate::event::DropReason;
use crate::exit::Exit;
use crate::holder::words_of_detached;
use crate::schedule;
use crate::state::Last;
use crate::wording::{counted, events_wait, grouped, lag, minute, span, words};
use crate::world::Way;
use chrono::TimeDelta;

/// Nobody sends, if events wait for longer than this and no pass came.
const UNATTENDED: TimeDelta = TimeDelta::hours(24);

/// What it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// How things stand, in a sentence.
    pub words: String,
    /// What to do about it; nothing if all is well.
    pub next: Option<String>,
    /// The exit code of `status`.
    pub exit: Exit,
}

impl Diagnosis {
    fn new(exit: Exit, words: String, next: impl Into<Option<String>>) -> Diagnosis {
        let next = next.into();
        Diagnosis { words, next, exit }
    }
}

/// Judges what was seen.
pub fn judge(health: &Health) -> Diagnosis {
    anothers(health)
        .or_else(|| off(health))
        .or_else(|| obstacle(health))
        .or_else(|| misconfigured(health))
        .or_else(|| at_work(health))
        .or_else(|| trouble(health))
        .or_else(|| clock(health))
        .or_else(|| unattended(health))
        .or_else(|| hooks(health))
        .or_else(|| schedule(health))
        .or_else(|| detached(health))
        .or_else(|| renamed(health))
        .or_else(|| rejected(health))
        .unwrap_or_else(|| well(health))
}

fn anothers(health: &Health) -> Option<Diagnosis> {
    let words = "This is another user's telemetry; nothing of it can be told here.".to_owned();
    let next = "run this as that user".to_owned();
    (health.is_anothers).then(|| Diagnosis::new(Exit::Failed, words, next))
}

fn off(health: &Health) -> Option<Diagnosis> {
    let Consent::Denied(rule) = &health.consent else {
        return None;
    };
    let flags = &health.flags;
    let next = match rule {
        Rule::Ci(_) => "if this is not a CI system, set CI=false".to_owned(),
        Rule::AppVariable(name) | Rule::UnknownWord(name, _) => {
            format!("to turn it on, unset {name}")
        }
        Rule::DoNotTrack => "to turn it on, unset DO_NOT_TRACK".to_owned(),
        Rule::NoConsentFile | Rule::NotGiven => {
            format!("to be asked, run: telemetry-upload consent{flags}")
        }
        Rule::NotEnabled => format!("to turn it on, run: telemetry-upload enable{flags}"),
        Rule::ConsentUnreadable(_) | Rule::ConsentRefused(_) => {
            format!("mend or delete the file, then run: telemetry-upload consent{flags}")
        }
    };
    let words = format!("Telemetry is off: {rule}. Nothing is recorded or sent.");
    Some(Diagnosis::new(Exit::Done, words, next))
}

fn obstacle(health: &Health) -> Option<Diagnosis> {
    let first = health.obstacles.first()?;
    let next = format!(
        "mend it; telemetry-upload doctor{} looks closer",
        health.flags
    );
    let words = format!("Something is in the way: {first}.");
    Some(Diagnosis::new(Exit::Failed, words, next))
}

fn misconfigured(health: &Health) -> Option<Diagnosis> {
    let (why, advice) = match (&health.endpoint, &health.way) {
        (Err(err), _) => (format!("{err:#}"), "set that right".to_owned()),
        (_, Some(Way::Unusable(proxy))) => (proxy.to_string(), proxy.advice()),
        _ => return None,
    };
    let words = format!("Nothing can be sent: {why}.");
    let flags = &health.flags;
    let next = format!(
        "{advice}, then run: telemetry-upload --flush{flags}; what is recorded waits meanwhile"
    );
    Some(Diagnosis::new(Exit::Misconfigured, words, next))
}

fn at_work(health: &Health) -> Option<Diagnosis> {
    let holder = health.holder.as_ref()?;
    let pid = holder.pid.map(|pid| pid.to_string());
    let process = pid
        .as_ref()
        .map_or_else(String::new, |pid| format!(": process {pid}"));
    let since = holder.since;
    let since = since.map_or_else(String::new, |since| format!(" since {}", minute(&since)));
    if holder.is_hung(health.limits.deadline, health.now) {
        let words =
            format!("An uploader hangs{process}, at work{since}, longer than a pass may take.");
        let pid = pid.unwrap_or_else(|| "its process number".to_owned());
        let next = format!("end it: kill -9 {pid}; nothing is lost, the next pass goes on");
        return Some(Diagnosis::new(Exit::Failed, words, next));
    }
    let left = holder.left(health.limits.deadline, health.now);
    let left = left.map_or_else(String::new, |left| format!(", at most {} left", span(left)));
    let words = format!("An uploader is at work{process}{since}{left}.");
    Some(Diagnosis::new(Exit::Done, words, None))
}

/// The last pass left events behind.
fn trouble(health: &Health) -> Option<Diagnosis> {
    let state = &health.state;
    let Last { at, exit, .. } = state.last.as_ref().filter(|last| last.exit != 0)?;
    let waiting = health.waiting().events;
    let pause = state.pause_in_force(health.now);
    if waiting == 0 && pause.is_none() {
        return None;
    }
    let why = state
        .last_trouble
        .as_ref()
        .filter(|trouble| trouble.at == *at)
        .map_or("the server took some and not all", |trouble| {
            trouble.words.as_str()
        });
    let exit = Exit::ALL
        .into_iter()
        .find(|known| known.code() == *exit)
        .unwrap_or(Exit::Failed);
    let remain = if waiting == 0 {
        String::new()
    } else {
        format!(" {}; nothing is lost.", events_wait(waiting))
    };
    let words = format!("The last pass ({}) failed: {why}.{remain}", minute(at));
    let flags = &health.flags;
    let now = format!("to try at once, run: telemetry-upload --flush{flags}");
    let next = match (exit, pause) {
        (Exit::Misconfigured, _) => {
            format!("set that right, then run: telemetry-upload --flush{flags}")
        }
        (_, Some(pause)) => format!("the next pass tries after {}; {now}", minute(&pause.until)),
        (_, None) => {
            format!("to look for the cause, run: telemetry-upload doctor --online{flags}; {now}")
        }
    };
    Some(Diagnosis::new(exit, words, next))
}

fn unattended(health: &Health) -> Option<Diagnosis> {
    let waiting = health.waiting();
    let is_old = waiting
        .oldest
        .is_some_and(|oldest| health.now - oldest > UNATTENDED);
    let last = health.state.last.as_ref().map(|last| last.at);
    if !is_old || last.is_some_and(|at| health.now - at <= UNATTENDED) {
        return None;
    }
    let since = last.map_or_else(
        || "no pass ever came".to_owned(),
        |at| format!("no pass came since {}", minute(&at)),
    );
    let words = format!(
        "Nobody sends: {}, and {since}.",
        events_wait(waiting.events)
    );
    let flags = &health.flags;
    let next = format!(
        "to send them now, run: telemetry-upload --flush{flags}; regularly: telemetry-upload schedule install{flags}"
    );
    Some(Diagnosis::new(Exit::Later, words, next))
}

fn clock(health: &Health) -> Option<Diagnosis> {
    let next = "set the clock right; until then no event is dropped for its age".to_owned();
    let ahead = health.state.server_ahead_s.map(TimeDelta::seconds);
    if let Some(ahead) = ahead {
        let words = format!("This machine's clock is {} the server's.", lag(ahead));
        return Some(Diagnosis::new(Exit::Done, words, next));
    }
    if health.clock_is_credible {
        return None;
    }
    let words = format!(
        "This machine's clock says {}, which cannot be right, or was moved since the last pass.",
        minute(&health.now)
    );
    Some(Diagnosis::new(Exit::Done, words, next))
}

fn hooks(health: &Health) -> Option<Diagnosis> {
    if health.hooks.is_empty() || health.is_found_by_hooks {
        return None;
    }
    let words = "The hooks cannot find telemetry-upload, so they do nothing.".to_owned();
    let next = "put it on the PATH or into ~/.local/bin, for example with install.sh".to_owned();
    Some(Diagnosis::new(Exit::Failed, words, next))
}

fn schedule(health: &Health) -> Option<Diagnosis> {
    let mut all = health.schedules.iter();
    let (dead, words) = all.find_map(|(scheduler, schedule)| {
        let found = schedule
            .as_ref()
            .ok()
            .filter(|found| !found.program_is_there)?;
        let (name, words) = (scheduler.name(), schedule::words(schedule));
        Some((
            found,
            format!("The schedule ({name}) does nothing: {words}."),
        ))
    })?;
    let next = format!("make it anew: {}", dead.again());
    Some(Diagnosis::new(Exit::Failed, words, next))
}

/// Between its uploads.
fn detached(health: &Health) -> Option<Diagnosis> {
    let holder = health.detached.as_ref()?;
    let words = words_of_detached(holder, health.limits.gather, health.now);
    Some(Diagnosis::new(Exit::Done, format!("A {words}."), None))
}

/// No upload reads it, and no event is lost: what becomes of it is the user's to say.
fn renamed(health: &Health) -> Option<Diagnosis> {
    let first = health.renamed.first()?;
    let more = match health.renamed.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let words = format!(
        "A buffer was renamed, and no upload reads it: {}{more}.",
        first.name
    );
    Some(Diagnosis::new(Exit::Done, words, first.advice.clone()))
}

/// The way is free, but what some producer writes does not arrive.
fn rejected(health: &Health) -> Option<Diagnosis> {
    let mut lately = health.state.lately(health.now).dropped;
    let reasons = DropReason::ALL;
    lately.retain(|key, _| {
        reasons
            .iter()
            .any(|one| one.key() == key && one.is_written_down())
    });
    let sum: u64 = lately.values().sum();
    let (lines, was) = (counted(sum, "line"), if sum == 1 { "was" } else { "were" });
    let named = lately
        .iter()
        .map(|(key, count)| format!("{} {}", grouped(*count), words(key)));
    let named = named.collect::<Vec<_>>().join(", ");
    let words = format!("{lines} {was} rejected in the last 7 days: {named}.");
    let flags = &health.flags;
    let next = format!("to see what and why, run: telemetry-upload inspect --rejected{flags}");
    (sum > 0).then(|| Diagnosis::new(Exit::Done, words, next))
}

fn well(health: &Health) -> Diagnosis {
    let (state, flags) = (&health.state, &health.flags);
    let waiting = health.waiting().events;
    if waiting == 0 && state.last.is_none() {
        let words = "Nothing has been recorded yet.".to_owned();
        let next = if health.hooks.is_empty() {
            format!(
                "to record an event, run: telemetry-upload record hello{flags}; to hear of an agent: telemetry-upload hooks install --host claude{}",
                health.flag
            )
        } else {
            format!(
                "the hooks are in place; to record an event by hand, run: telemetry-upload record hello{flags}"
            )
        };
        return Diagnosis::new(Exit::Done, words, next);
    }
    if waiting == 0 {
        return Diagnosis::new(Exit::Done, "All is well; nothing waits.".to_owned(), None);
    }
    let words = format!("All is well; {} for the next pass.", events_wait(waiting));
    let next = format!("to send now, run: telemetry-upload --flush{flags}");
    Diagnosis::new(Exit::Done, words, next)
}
