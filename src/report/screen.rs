//! A report on one screen.

use super::reckoning::Reckoning;
use super::table::{Table, percent};
use super::tally::{By, Row};
use crate::terminal::Tone;
use crate::wording::{counted, grouped, minute};

/// Commands shown.
const COMMANDS_MAX: usize = 10;
/// Agents shown, and versions.
const OTHERS_MAX: usize = 5;

/// Lines to be shown, each in its tone.
pub type Lines = Vec<(Tone, String)>;

/// The totals, the commands, the agents and the versions.
pub fn overview(reckoning: &Reckoning, columns: Option<usize>) -> Lines {
    let total = reckoning.total();
    let days = reckoning.rows(By::Day).len() as u64;
    let mut lines = vec![
        (
            Tone::Heading,
            format!(
                "{} since {}",
                counted(total.events, "event"),
                minute(&reckoning.since)
            ),
        ),
        (
            Tone::Plain,
            format!(
                "{}, {}, {} (in UTC)",
                counted(total.people, "anonymous id"),
                counted(total.sessions, "session"),
                counted(days, "active day")
            ),
        ),
    ];
    for (by, table) in [
        (By::Command, commands as fn(&[Row], &[Row]) -> Table),
        (By::Agent, agents),
        (By::Version, versions),
    ] {
        let rows = reckoning.rows(by);
        let rows_max = if by == By::Command {
            COMMANDS_MAX
        } else {
            OTHERS_MAX
        };
        let top = &rows[..rows.len().min(rows_max)];
        if !top.is_empty() {
            lines.push((Tone::Plain, String::new()));
            lines.extend(in_tones(&table(top, &rows), columns));
        }
        if rows.len() > top.len() {
            let more = (rows.len() - top.len()) as u64;
            lines.push((
                Tone::Aside,
                format!("and {} more: --by {}", grouped(more), by.name()),
            ));
        }
    }
    lines.extend(notes(reckoning));
    lines
}

/// One table, and what has to be known about it.
pub fn single(reckoning: &Reckoning, by: By, columns: Option<usize>) -> Lines {
    let rows = reckoning.rows(by);
    let mut lines = in_tones(&Table::for_people(by, &rows), columns);
    let silent = reckoning.silent(by);
    if silent > 0 {
        let silent = counted(silent, "event");
        lines.push((Tone::Aside, format!("no {}: {silent}", by.name())));
    }
    lines.extend(notes(reckoning));
    lines
}

fn in_tones(table: &Table, columns: Option<usize>) -> Lines {
    let mut lines = table.lines(columns).into_iter();
    let head = lines.next().map(|head| (Tone::Heading, head));
    let rows = lines.map(|row| (Tone::Plain, row));
    head.into_iter().chain(rows).collect()
}

fn commands(top: &[Row], all: &[Row]) -> Table {
    let events: u64 = all.iter().map(|row| row.events).sum();
    let cells = |row: &Row| {
        vec![
            row.name.clone(),
            grouped(row.events),
            format!("{} %", row.events * 100 / events),
            percent(row),
        ]
    };
    Table {
        head: vec!["command", "events", "share", "success"],
        rows: top.iter().map(cells).collect(),
        weights: top.iter().map(|row| row.events).collect(),
    }
}

fn agents(top: &[Row], _: &[Row]) -> Table {
    Table {
        head: vec!["agent", "sessions", "events"],
        rows: top
            .iter()
            .map(|row| vec![row.name.clone(), grouped(row.sessions), grouped(row.events)])
            .collect(),
        weights: top.iter().map(|row| row.sessions).collect(),
    }
}

fn versions(top: &[Row], _: &[Row]) -> Table {
    Table {
        head: vec!["version", "people", "events"],
        rows: top
            .iter()
            .map(|row| vec![row.name.clone(), grouped(row.people), grouped(row.events)])
            .collect(),
        weights: top.iter().map(|row| row.events).collect(),
    }
}

fn notes(reckoning: &Reckoning) -> Lines {
    let mut notes = Vec::new();
    if reckoning.copies > 0 {
        notes.push(format!(
            "copies of an event, not counted again: {}",
            grouped(reckoning.copies)
        ));
    }
    if reckoning.forgot {
        notes.push(
            "upload/sent.jsonl keeps the last 0.5 to 2 MB; a store of the emulator's keeps everything"
                .to_owned(),
        );
    }
    let blank = (!notes.is_empty()).then(|| (Tone::Plain, String::new()));
    let notes = notes.into_iter().map(|note| (Tone::Aside, note));
    blank.into_iter().chain(notes).collect()
}
