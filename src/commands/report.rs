//! `telemetry-upload report`: what the events on this machine say.

use crate::cli::Report;
use crate::exit::Exit;
use crate::paths::Paths;
use crate::report::{self, By, Reckoning, Table};
use crate::wording::{counted, minute, shell};
use crate::{terminal, world};
use anyhow::Result;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Reads and prints.
///
/// # Errors
/// A file that cannot be read.
pub fn run(flags: &Report, env: &BTreeMap<String, String>) -> Result<ExitCode> {
    let now = world::now();
    if flags.since.moment(now) > now {
        terminal::complain("there are no events yet of a time that is to come; see --since");
        return Ok(Exit::Usage.into());
    }
    let by = match flags.by {
        Some(by) => vec![by],
        None => By::ALL.to_vec(),
    };
    let mut reckoning = Reckoning::new(flags.since.moment(now), &by);
    let looked_in = read(&mut reckoning, flags, env, now)?;
    reckoning.close();
    complain(&reckoning);
    if flags.form.json {
        terminal::print_json(&report::json(&reckoning, &by, now));
    } else if flags.form.csv {
        let by = flags.by.unwrap_or(By::Day);
        print(&Table::csv(by, &reckoning.rows(by)));
    } else if flags.form.markdown {
        let by = flags.by.unwrap_or(By::Day);
        print(&Table::for_people(by, &reckoning.rows(by)).markdown());
    } else if reckoning.total().events == 0 {
        print(&nothing_there(flags, &looked_in, &reckoning));
    } else {
        let columns = terminal::columns();
        let lines = match flags.by {
            Some(by) => report::single(&reckoning, by, columns),
            None => report::overview(&reckoning, columns),
        };
        for (tone, line) in &lines {
            terminal::print_toned(&[(*tone, line)]);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Counts what the flags name, and says where that is.
fn read(
    reckoning: &mut Reckoning,
    flags: &Report,
    env: &BTreeMap<String, String>,
    now: DateTime<Utc>,
) -> Result<Vec<String>> {
    if flags.store.is_empty() {
        let (app, data_dir) = (flags.application.app(), flags.application.data_dir());
        let paths = Paths::find(app, data_dir, env)?;
        report::read_application(reckoning, app, &paths, now)?;
        let data = paths.data().display();
        return Ok(vec![format!(
            "{data} (telemetry-events*.jsonl, upload/sent.jsonl)"
        )]);
    }
    for store in &flags.store {
        report::read_store(reckoning, store)?;
    }
    let stores = flags.store.iter().map(|store| store.display().to_string());
    Ok(stores.collect())
}

fn print(lines: &[String]) {
    for line in lines {
        terminal::print(line);
    }
}

/// Says what could not be counted.
fn complain(reckoning: &Reckoning) {
    if reckoning.damaged > 0 {
        let lines = counted(reckoning.damaged, "damaged line");
        terminal::complain(&format!("skipped {lines}"));
    }
    for path in &reckoning.changed {
        terminal::complain(&format!(
            "{} changed while it was read, so that not all of it is counted; run this again",
            path.display()
        ));
    }
    if reckoning.beyond > 0 {
        let lines = counted(reckoning.beyond, "line");
        terminal::complain(&format!(
            "too many events to tell them apart: {lines} not counted; ask for less with --since, or a database with the queries of this project"
        ));
    }
}

/// Where it was looked, and what the person can do next.
fn nothing_there(flags: &Report, looked_in: &[String], reckoning: &Reckoning) -> Vec<String> {
    let mut lines = vec![format!("No events since {} in", minute(&reckoning.since))];
    lines.extend(looked_in.iter().map(|place| format!("  {place}")));
    lines.push(if let Some(oldest) = &reckoning.oldest {
        let older = counted(reckoning.older, "older event");
        let day = oldest.date_naive();
        let there = if reckoning.older == 1 { "is" } else { "are" };
        let again = again(flags);
        format!("{older} {there} there. To see that: telemetry-upload report --since {day}{again}")
    } else if flags.store.is_empty() {
        let again = again(flags);
        format!("A tool records them, or you: telemetry-upload record hello --verbose{again}")
    } else {
        "The local endpoint writes them: telemetry-upload emulator --store FILE".to_owned()
    });
    lines
}

/// The flags that say where the same events are.
fn again(flags: &Report) -> String {
    if flags.store.is_empty() {
        return flags.application.as_flags();
    }
    flags.store.iter().fold(String::new(), |again, store| {
        again + " --store " + &shell(&store.display().to_string())
    })
}
