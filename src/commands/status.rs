//! `telemetry-upload status`: one screen about how things stand, and the next step.

use crate::cli;
use crate::consent::Consent;
use crate::exit::Exit;
use crate::health::Health;
use crate::health::diagnosis::{self, Diagnosis};
use crate::holder::Holder;
use crate::host_settings;
use crate::paths::Paths;
use crate::schedule;
use crate::state::Totals;
use crate::terminal::{self, Tone};
use crate::wording::{counted, grouped, minute, span, words};
use crate::world::{self, Directly, Way};
use anyhow::Result;
use chrono::TimeDelta;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Looks, and says.
///
/// # Errors
/// A bad application name, or no home folder.
pub fn run(flags: &cli::Status, env: &BTreeMap<String, String>) -> Result<ExitCode> {
    let application = &flags.application;
    let paths = Paths::find(application.app(), application.data_dir(), env)?;
    let health = Health::look(application, &paths, env, world::now());
    let diagnosis = diagnosis::judge(&health);
    if flags.json {
        terminal::print_json(&json(application.app(), &health, &diagnosis));
    } else {
        show(application.app(), &health, &diagnosis);
    }
    Ok(diagnosis.exit.into())
}

fn show(app: &str, health: &Health, diagnosis: &Diagnosis) {
    let tone = match (diagnosis.exit, &health.consent) {
        (Exit::Done, Consent::Allowed) => Tone::Good,
        (Exit::Done | Exit::Later, _) => Tone::Warning,
        _ => Tone::Problem,
    };
    terminal::print_toned(&[(tone, &diagnosis.words)]);
    if let Some(next) = &diagnosis.next {
        terminal::print_toned(&[(Tone::Heading, "Next: "), (Tone::Plain, next)]);
    }
    if health.is_anothers {
        return;
    }
    terminal::print("");
    let on = match health.consent {
        Consent::Allowed => "on",
        Consent::Denied(_) => "off",
    };
    line("Telemetry", &format!("{on}, for {app}"));
    line("Goes to", &endpoint(health));
    show_waiting(health);
    show_totals(health);
    show_passes(health);
    show_sources(health);
}

fn line(heading: &str, text: &str) {
    terminal::print_toned(&[
        (Tone::Heading, &format!("{heading:<13}")),
        (Tone::Plain, text),
    ]);
}

fn endpoint(health: &Health) -> String {
    let place = health.endpoint.as_ref();
    let place = place.map_or("nowhere yet", String::as_str);
    let place = match health.connection_warning {
        None => place.to_owned(),
        Some(warning) => format!("{place} ({warning})"),
    };
    match &health.way {
        None | Some(Way::Direct(Directly::NoneNamed)) => place,
        Some(Way::Direct(why)) => format!("{place} directly: {why}"),
        Some(Way::Through(proxy)) => format!("{place} through {}", proxy.name),
        Some(Way::Unusable(proxy)) => format!("{place}, but not yet: {proxy}"),
    }
}

fn show_waiting(health: &Health) {
    let all = health.waiting();
    if all.events == 0 {
        line("Waiting", "nothing");
        return;
    }
    let age = all.oldest.map_or_else(String::new, |oldest| {
        format!(", the oldest {} old", span(health.now - oldest))
    });
    let events = counted(all.events, "event");
    line(
        "Waiting",
        &format!("{events}, {} KB{age}", kilobytes(all.bytes)),
    );
    let days_max = health.limits.age_days_max;
    let is_too_old = |oldest| health.now - oldest > TimeDelta::days(days_max.into());
    if all.oldest.is_some_and(is_too_old) {
        line(
            "",
            &format!("what is over {days_max} days old is dropped by the next pass"),
        );
    }
    if health.buffers.iter().any(|one| one.is_over_cap) {
        let cap = kilobytes(health.limits.buffer_bytes_max);
        line(
            "",
            &format!("a buffer is over {cap} KB: the next pass drops its oldest events"),
        );
    }
    if health.buffers.len() > 1 {
        for one in &health.buffers {
            let events = counted(one.events, "event");
            line(
                "",
                &format!("{events}, {} KB in {}", kilobytes(one.bytes), one.name),
            );
        }
    }
}

/// Kilobytes of a thousand bytes, rounded up.
fn kilobytes(bytes: u64) -> String {
    grouped(bytes.div_ceil(1000))
}

fn show_totals(health: &Health) {
    let (all, lately) = (&health.state.totals, health.state.lately(health.now));
    let since = health.state.since.map_or_else(String::new, |since| {
        format!(" since {}", since.format("%Y-%m-%d"))
    });
    line(
        "Delivered",
        &format!(
            "{}{since}, {} in the last 7 days",
            counted(all.delivered, "event"),
            grouped(lately.delivered)
        ),
    );
    let of_lately = if all.dropped.is_empty() {
        String::new()
    } else if lately.dropped == all.dropped {
        ", all in the last 7 days".to_owned()
    } else {
        format!("; in the last 7 days {}", dropped(&lately))
    };
    line("Dropped", &format!("{}{of_lately}", dropped(all)));
}

fn dropped(totals: &Totals) -> String {
    let reasons = totals.dropped.iter();
    let reasons: Vec<String> = reasons
        .map(|(key, count)| format!("{} {}", grouped(*count), words(key)))
        .collect();
    if reasons.is_empty() {
        "none".to_owned()
    } else {
        reasons.join(", ")
    }
}

/// What went wrong is told once: above, if it is how things stand.
fn show_passes(health: &Health) {
    let state = &health.state;
    let Some(last) = &state.last else {
        line("Last pass", "none yet");
        return;
    };
    let summary = last.counts.as_ref().unwrap_or(&last.summary);
    line("Last pass", &format!("{}: {summary}", minute(&last.at)));
    let trouble = state.last_trouble.as_ref();
    if let Some(trouble) = trouble.filter(|trouble| trouble.at != last.at) {
        let at = minute(&trouble.at);
        line("Last trouble", &format!("{at}: {}", trouble.words));
    }
    if let Some(pause) = state.pause_in_force(health.now) {
        line("Not before", &minute(&pause.until).to_string());
    }
}

/// Where events come from, and what sends them.
fn show_sources(health: &Health) {
    let hooks = health.hooks.iter().map(|found| {
        let (host, scope) = (found.host.name(), found.scope.name());
        format!("{host} ({scope}): {}", found.word())
    });
    line("Hooks", &listed(hooks));
    let schedules = health.schedules.iter();
    let schedules = schedules
        .map(|(scheduler, found)| format!("{}: {}", scheduler.name(), schedule::words(found)));
    line("Schedule", &listed(schedules));
}

fn listed(found: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = found.collect();
    if all.is_empty() {
        "none installed".to_owned()
    } else {
        all.join(", ")
    }
}

fn json(app: &str, health: &Health, diagnosis: &Diagnosis) -> Value {
    let rule = match &health.consent {
        Consent::Allowed => None,
        Consent::Denied(rule) => Some(rule.to_string()),
    };
    let buffers: Vec<Value> = health
        .buffers
        .iter()
        .map(|one| json!({"name": one.name, "events": one.events, "bytes": one.bytes, "oldest": one.oldest}))
        .collect();
    let schedules = health.schedules.iter();
    let schedules: Vec<Value> = schedules
        .map(|(scheduler, found)| schedule::json(*scheduler, Some(found)))
        .collect();
    let holder = |one: &Holder| json!({"pid": one.pid, "since": one.since, "until": one.until});
    let state = &health.state;
    json!({
        "app": app,
        "version": env!("CARGO_PKG_VERSION"),
        "on": rule.is_none(),
        "rule": rule,
        "endpoint": health.endpoint.as_ref().ok(),
        "proxy": health.way.as_ref().map(Way::json),
        "buffers": buffers,
        "obstacles": health.obstacles,
        "renamed": health.renamed.iter().map(|one| &one.name).collect::<Vec<_>>(),
        "since": state.since,
        "totals": state.totals,
        "last7Days": state.lately(health.now),
        "lastPass": state.last,
        "lastDelivered": state.last_delivered,
        "lastTrouble": state.last_trouble,
        "failuresInARow": state.failures_in_a_row,
        "notBefore": state.pause_in_force(health.now),
        "serverAheadSeconds": state.server_ahead_s,
        "uploader": health.holder.as_ref().map(holder),
        "detached": health.detached.as_ref().map(holder),
        "hooks": health.hooks.iter().map(host_settings::Found::json).collect::<Vec<_>>(),
        "schedules": schedules,
        "diagnosis": {"words": diagnosis.words, "next": diagnosis.next},
        "exit": diagnosis.exit.code(),
    })
}
