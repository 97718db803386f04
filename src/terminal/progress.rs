//! One line on a terminal that says how far a pass has come.

use crate::os;
use crate::wording::grouped;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};

/// Columns of a terminal that does not say how many it has.
const COLUMNS_DEFAULT: usize = 80;

/// Where a person sees it move; nothing anywhere else.
#[derive(Debug)]
pub enum Progress {
    /// Nobody watches.
    Silent,
    /// A person at a terminal of so many columns.
    Shown(usize),
}

impl Progress {
    /// Shown if standard error is a terminal on which a line can be written over.
    #[allow(
        clippy::disallowed_methods,
        reason = "it writes on standard error, over and over"
    )]
    pub fn for_person(env: &BTreeMap<String, String>) -> Progress {
        let terminal = env.get("TERM").map_or("", String::as_str);
        if ["", "dumb"].contains(&terminal) || !io::stderr().is_terminal() {
            return Progress::Silent;
        }
        Progress::Shown(os::columns_of_stderr().unwrap_or(COLUMNS_DEFAULT))
    }

    /// Says how many of the bytes that waited are done, and how many events the server has accepted.
    pub fn show(&self, done: u64, total: u64, accepted: u64) {
        if let Progress::Shown(columns) = self {
            write(&line(*columns, done, total, accepted));
        }
    }

    /// Clears the line.
    pub fn end(&self) {
        if let Progress::Shown(_) = self {
            write("");
        }
    }
}

/// The cursor goes back to the front at once: whatever ends the process, what comes next is written over
/// the line and not behind it.
#[allow(
    clippy::disallowed_methods,
    reason = "it writes on standard error, over and over"
)]
fn write(line: &str) {
    let _ = write!(io::stderr(), "\r\x1b[K{line}\r");
}

/// The last column stays free, or some terminals would begin another line.
fn line(columns: usize, done: u64, total: u64, accepted: u64) -> String {
    let percent = (done * 100).checked_div(total).unwrap_or(100);
    let text = format!("{percent} % done, {} accepted", grouped(accepted));
    text.chars().take(columns.saturating_sub(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_cut_to_the_terminal() {
        for (columns, numbers, expected) in [
            (80, [0, 9, 0], "0 % done, 0 accepted"),
            (80, [1, 3, 1_200], "33 % done, 1,200 accepted"),
            (20, [1, 3, 1_200], "33 % done, 1,200 ac"),
            (5, [9, 9, 1], "100 "),
            (1, [0, 0, 0], ""),
            (0, [0, 0, 0], ""),
        ] {
            let [done, total, accepted] = numbers;
            assert_eq!(line(columns, done, total, accepted), expected);
        }
    }
}
