//! The only place that prints. A reader that went away (`| head`) is no error of ours.

use std::io::{self, IsTerminal, Write};

/// Writes a line of results to standard output.
#[allow(clippy::disallowed_methods, reason = "the one place that prints")]
pub fn print(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Writes a line about what went wrong to standard error.
#[allow(clippy::disallowed_methods, reason = "the one place that prints")]
pub fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "telemetry-upload: {line}");
}

/// A line on a terminal that counts along; nothing anywhere else.
#[derive(Debug)]
pub enum Progress {
    /// Nobody watches.
    Silent,
    /// A person at a terminal.
    Shown,
}

impl Progress {
    /// Shown if standard error is a terminal.
    #[allow(clippy::disallowed_methods, reason = "the one place that prints")]
    pub fn for_person() -> Progress {
        if io::stderr().is_terminal() {
            Progress::Shown
        } else {
            Progress::Silent
        }
    }

    /// Says how many events the server has accepted so far.
    #[allow(clippy::disallowed_methods, reason = "the one place that prints")]
    pub fn show(&self, delivered: u64) {
        if let Progress::Shown = self {
            let _ = write!(io::stderr(), "\rsending: {delivered} accepted");
        }
    }

    /// Clears the line.
    #[allow(clippy::disallowed_methods, reason = "the one place that prints")]
    pub fn end(&self) {
        if let Progress::Shown = self {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
