//! `telemetry-upload completions` and `man`: to standard output, to be put where a shell or `man` looks.

use crate::cli::{self, Completions};
use crate::exit::Exit;
use crate::terminal;
use anyhow::Result;
use std::process::ExitCode;

/// Prints what completes commands in a shell.
pub fn run(completions: Completions) -> ExitCode {
    terminal::print(completions.text().trim_end());
    Exit::Done.into()
}

/// Prints the manual page.
///
/// # Errors
/// It could not be made.
pub fn man() -> Result<ExitCode> {
    terminal::print(cli::man()?.trim_end());
    Ok(Exit::Done.into())
}
