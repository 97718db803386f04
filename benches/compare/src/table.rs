//! Medians, ratios, and the tables that show them.

use crate::cases::{Case, Task};
use crate::run::{Entrant, Kind, Run};

/// What the tables show; where nothing was sent, as far as the memory.
const COLUMNS: [&str; 15] = [
    "program",
    "wall ms",
    "x",
    "CPU ms",
    "x",
    "memory MB",
    "x",
    "requests",
    "connections",
    "MB sent",
    "of plain",
    "delivered",
    "lost",
    "twice",
    "server CPU ms",
];

/// The runs of one program in one case, round by round.
pub struct Series {
    pub entrant: Entrant,
    pub runs: Vec<Run>,
}

impl Series {
    pub fn median(&self, of: impl Fn(&Run) -> f64) -> f64 {
        median(self.runs.iter().map(of).collect())
    }

    /// The median of the ratios within a round: what slows the machine down slows both.
    pub fn ratio(&self, to: &Series, of: impl Fn(&Run) -> f64) -> f64 {
        let rounds = self.runs.iter().zip(&to.runs);
        median(rounds.map(|(ours, other)| of(ours) / of(other)).collect())
    }

    /// The worst round.
    pub fn most(&self, of: impl Fn(&Run) -> f64) -> f64 {
        self.runs.iter().map(of).fold(0.0, f64::max)
    }
}

/// What came of one case: every program's runs, ours first.
pub struct Outcome {
    pub case: Case,
    pub all: Vec<Series>,
}

impl Outcome {
    /// The series of the rival that ours is held against, if it took part.
    pub fn rival(&self) -> Option<&Series> {
        self.all.iter().find(|one| one.entrant.kind != Kind::Ours)
    }

    /// One row for each program, with its ratios to the first.
    pub fn table(&self) -> String {
        let mut rows: Vec<Vec<String>> = self.all.iter().map(|one| self.row(one)).collect();
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let header = COLUMNS.into_iter().take(columns).map(str::to_owned);
        rows.insert(0, header.collect());
        format!("\n{}\n\n{}", self.case, layout(&rows))
    }

    fn row(&self, one: &Series) -> Vec<String> {
        let mut row = vec![one.entrant.name.clone()];
        let measures: [fn(&Run) -> f64; 3] =
            [|run| run.wall_ms, |run| run.cpu_ms, |run| run.memory_mb];
        for of in measures {
            row.push(figure(one.median(of)));
            row.push(figure(one.ratio(&self.all[0], of)));
        }
        if self.case.events == 0 || self.case.task != Task::Flush {
            return row;
        }
        let of_plain = |run: &Run| 100.0 * run.tally.bytes as f64 / run.tally.plain_bytes as f64;
        row.extend([
            whole(one.median(|run| run.tally.requests as f64)),
            whole(one.median(|run| run.tally.connections as f64)),
            figure(one.median(|run| run.tally.bytes as f64 / 1e6)),
            format!("{:.1} %", one.median(of_plain)),
            whole(one.median(|run| run.tally.delivered as f64)),
            whole(one.most(|run| run.tally.lost as f64)),
            whole(one.most(|run| (run.tally.twice + run.tally.strangers) as f64)),
            figure(one.median(|run| run.tally.server_cpu_ms)),
        ]);
        row
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// Three digits that say something.
pub fn figure(value: f64) -> String {
    match value {
        _ if value >= 100.0 => whole(value),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn whole(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A table in Markdown, its columns aligned.
pub fn layout(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
    let width = |column| {
        rows.iter()
            .map(|row| cell(row, column).chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (column, width) in widths.iter().enumerate() {
            let cell = cell(row, column);
            text += &match column {
                0 => format!("| {cell:<width$} |"),
                _ => format!(" {cell:>width$} |"),
            };
        }
        text.push('\n');
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                let (left, right) = if column == 0 { ("|", "") } else { ("", ":") };
                let dashes = "-".repeat(width + 2 - right.len());
                text += &format!("{left}{dashes}{right}|");
            }
            text.push('\n');
        }
    }
    text
}
