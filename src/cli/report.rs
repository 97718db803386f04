//! The flags of `report`.

use super::Application;
use crate::report::{By, Since};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::path::PathBuf;

/// A look at the events on this machine.
#[derive(Args, Debug)]
pub struct Report {
    /// From when on: so many minutes, hours, days or weeks ago (30m, 24h, 7d, 4w), or a day (2026-11-01, which begins at midnight UTC)
    #[arg(long, value_name = "WHEN", default_value = "7d", value_parser = Since::parse)]
    pub since: Since,
    /// One table by this instead of the overview: day (in UTC), command, version, agent or host (the application)
    #[arg(long, value_name = "WHAT", value_parser = by(), hide_possible_values = true)]
    pub by: Option<By>,
    /// Read this file of the emulator's instead of the application's own files; may be given several times
    #[arg(long, value_name = "FILE")]
    pub store: Vec<PathBuf>,
    /// How to print it.
    #[command(flatten)]
    pub form: Form,
    /// Whose events.
    #[command(flatten)]
    pub application: Application,
}

/// What a report is printed for; without one of them, for a person.
#[derive(Args, Clone, Copy, Debug)]
#[group(multiple = false)]
pub struct Form {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Print one table, by day unless `--by` says otherwise, as CSV for a spreadsheet
    #[arg(long)]
    pub csv: bool,
    /// Print one table, by day unless `--by` says otherwise, in Markdown
    #[arg(long)]
    pub markdown: bool,
}

fn by() -> impl TypedValueParser<Value = By> {
    PossibleValuesParser::new(By::ALL.map(By::name)).try_map(|name| By::from_name(&name))
}
