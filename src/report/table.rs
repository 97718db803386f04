//! Rows, as a table for a person, for a spreadsheet, or for a page of Markdown. The names in it are
//! other people's, and are given no way to be more than names.

use super::tally::{By, Row};
use crate::terminal;
use crate::wording::grouped;

/// Characters of the longest bar: more says nothing more.
const BAR_CHARS_MAX: usize = 30;
/// Characters below which a bar says too little.
const BAR_CHARS_MIN: usize = 8;
/// Characters of a name that are shown however narrow the terminal is.
const NAME_CHARS_MIN: usize = 8;
/// Between two columns.
const GAP: usize = 2;

/// A heading, and rows of as many cells. The first cell of each is a name, the others are numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The heading.
    pub head: Vec<&'static str>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
    /// What the bar beside each row stands for.
    pub weights: Vec<u64>,
}

impl Table {
    /// The numbers by one thing, as people read them.
    pub fn for_people(by: By, rows: &[Row]) -> Table {
        let cells = |row: &Row| {
            vec![
                row.name.clone(),
                grouped(row.events),
                grouped(row.people),
                grouped(row.sessions),
                percent(row),
            ]
        };
        Table {
            head: vec![by.name(), "events", "people", "sessions", "success"],
            rows: rows.iter().map(cells).collect(),
            weights: rows.iter().map(|row| row.events).collect(),
        }
    }

    /// The numbers by one thing, as programs read them, a line each.
    pub fn csv(by: By, rows: &[Row]) -> Vec<String> {
        let head = format!(
            "{},events,people,sessions,succeeded,failed,success_percent",
            by.name()
        );
        let line = |row: &Row| {
            let percent = row.success_percent();
            format!(
                "{},{},{},{},{},{},{}",
                quoted(&row.name),
                row.events,
                row.people,
                row.sessions,
                row.succeeded,
                row.failed,
                percent.map_or_else(String::new, |percent| percent.to_string())
            )
        };
        std::iter::once(head).chain(rows.iter().map(line)).collect()
    }

    /// In Markdown, a line each.
    pub fn markdown(&self) -> Vec<String> {
        let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
        let mut rule = vec!["---".to_owned()];
        rule.resize(self.head.len(), "---:".to_owned());
        let head = self.head.iter().map(|&name| name.to_owned()).collect();
        let rows = self
            .rows
            .iter()
            .map(|row| row.iter().map(|cell| literal(cell)).collect());
        [head, rule].into_iter().chain(rows).map(line).collect()
    }

    /// In columns, the heading first. On a terminal that has room for it there is a bar beside each
    /// row; on a narrow one long names are cut.
    pub fn lines(&self, columns: Option<usize>) -> Vec<String> {
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(|cell| shown(cell)).collect())
            .collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| length(&row[column]));
            cells.chain([length(self.head[column])]).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let numbers: usize = widths[1..].iter().map(|width| width + GAP).sum();
        if let Some(columns) = columns {
            let room = columns.saturating_sub(numbers).max(NAME_CHARS_MIN);
            widths[0] = widths[0].min(room);
        }
        let free = columns.map_or(0, |columns| {
            columns.saturating_sub(widths[0] + numbers + GAP)
        });
        let bar_max = if free < BAR_CHARS_MIN {
            0
        } else {
            free.min(BAR_CHARS_MAX)
        };
        let heaviest = self.weights.iter().copied().max().unwrap_or(0);
        let bars = self
            .weights
            .iter()
            .map(|weight| bar(*weight, heaviest, bar_max));
        let head: Vec<String> = self.head.iter().map(|&name| name.to_owned()).collect();
        let head = aligned(&head, &widths, "");
        let rows = rows.into_iter().zip(bars);
        std::iter::once(head)
            .chain(rows.map(|(row, bar)| aligned(&row, &widths, &bar)))
            .collect()
    }
}

/// How many of a hundred succeeded, for people.
pub(super) fn percent(row: &Row) -> String {
    row.success_percent()
        .map_or_else(|| "-".to_owned(), |percent| format!("{percent} %"))
}

fn aligned(cells: &[String], widths: &[usize], bar: &str) -> String {
    let padded = cells.iter().zip(widths).enumerate();
    let padded = padded.map(|(column, (cell, width))| {
        let cell = cut(cell, *width);
        let space = " ".repeat(width - length(&cell));
        if column == 0 {
            cell + &space
        } else {
            space + &cell
        }
    });
    let cells: Vec<String> = padded.chain([bar.to_owned()]).collect();
    cells.join(&" ".repeat(GAP)).trim_end().to_owned()
}

/// As long as its share of the heaviest; what is there at all has one.
fn bar(weight: u64, heaviest: u64, chars_max: usize) -> String {
    let share = (u128::from(weight) * chars_max as u128).div_ceil(u128::from(heaviest.max(1)));
    "█".repeat(usize::try_from(share).unwrap_or(chars_max))
}

fn length(text: &str) -> usize {
    text.chars().count()
}

fn cut(text: &str, chars_max: usize) -> String {
    if length(text) <= chars_max {
        return text.to_owned();
    }
    let kept = text.chars().take(chars_max.saturating_sub(1));
    kept.chain(['…']).collect()
}

/// A name on one line: a line break in it would begin a row of its own.
fn shown(name: &str) -> String {
    let escaped = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    let name: String = name.chars().map(escaped).collect();
    // What is escaped when it is printed, too: a cell has to be as long as it will look.
    terminal::plain(&name).into_owned()
}

/// A cell of RFC 4180. One that a spreadsheet would take for a formula gets an apostrophe, by which it is
/// a text.
fn quoted(name: &str) -> String {
    let is_formula = name.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let name = if is_formula {
        format!("'{name}")
    } else {
        name.to_owned()
    };
    if name.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", name.replace('"', "\"\""));
    }
    name
}

/// A cell in which nothing means anything to Markdown.
fn literal(name: &str) -> String {
    let mut cell = String::new();
    for c in shown(name).chars() {
        if matches!(
            c,
            '\\' | '|' | '`' | '*' | '_' | '<' | '[' | ']' | '~' | '&'
        ) {
            cell.push('\\');
        }
        cell.push(c);
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, events: u64) -> Row {
        Row {
            name: name.to_owned(),
            events,
            people: 2,
            sessions: 1,
            succeeded: events,
            failed: 0,
        }
    }

    fn table(rows: &[Row]) -> Table {
        Table::for_people(By::Command, rows)
    }

    #[test]
    fn numbers_stand_below_each_other() {
        assert_eq!(
            table(&[row("/commit", 1_234), row("ü", 5)]).lines(None),
            [
                "command  events  people  sessions  success",
                "/commit   1,234       2         1    100 %",
                "ü             5       2         1    100 %",
            ]
        );
    }

    #[test]
    fn a_terminal_with_room_shows_bars_and_a_narrow_one_cuts_names() {
        let table = table(&[row("/create-gh-pr", 4), row("b", 1)]);
        assert_eq!(
            table.lines(Some(60)),
            [
                "command        events  people  sessions  success",
                "/create-gh-pr       4       2         1    100 %  ██████████",
                "b                   1       2         1    100 %  ███",
            ]
        );
        assert_eq!(
            table.lines(Some(20))[1],
            "/create…       4       2         1    100 %"
        );
    }

    #[test]
    fn a_bar_has_its_share_and_none_is_lost() {
        for (weight, heaviest, expected) in [
            (0, 0, 0),
            (0, 9, 0),
            (1, 1000, 1),
            (500, 1000, 5),
            (1000, 1000, 10),
        ] {
            assert_eq!(
                length(&bar(weight, heaviest, 10)),
                expected,
                "{weight} of {heaviest}"
            );
        }
    }

    #[test]
    fn a_name_cannot_begin_a_row() {
        let lines = table(&[row("a\nb\t\u{1b}[31m", 1)]).lines(None);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].starts_with("a\\nb\\t\\u{1b}[31m "), "{}", lines[1]);
    }

    fn check_csv(name: &str, expected: &str) {
        let lines = Table::csv(By::Command, &[row(name, 3)]);
        assert_eq!(lines[1], format!("{expected},3,2,1,3,0,100"));
    }

    #[test]
    fn a_name_is_one_cell_of_a_spreadsheet_and_no_formula() {
        check_csv("init", "init");
        check_csv("a,b", "\"a,b\"");
        check_csv("say \"hi\"", "\"say \"\"hi\"\"\"");
        check_csv("a\nb", "\"a\nb\"");
        check_csv("=1+1", "'=1+1");
        check_csv("+1", "'+1");
        check_csv("-1", "'-1");
        check_csv("@x", "'@x");
        check_csv("=cmd|'/c calc'!A1,x", "\"'=cmd|'/c calc'!A1,x\"");
    }

    #[test]
    fn nothing_in_a_name_means_anything_to_markdown() {
        assert_eq!(
            table(&[row("a|b\\`c`_d_<b>&amp;", 1)]).markdown()[2],
            "| a\\|b\\\\\\`c\\`\\_d\\_\\<b>\\&amp; | 1 | 2 | 1 | 100 % |"
        );
        assert_eq!(
            table(&[]).markdown()[1],
            "| --- | ---: | ---: | ---: | ---: |"
        );
    }
}
