//! The flags of `schedule`.

use super::{App, Application};
use crate::schedule::{Every, Scheduler};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};

/// A pass every so often.
#[derive(Args, Debug)]
pub struct Schedule {
    /// What to do with it
    #[command(subcommand)]
    pub action: ScheduleAction,
}

/// What can be done with a schedule.
#[derive(Debug, Subcommand)]
pub enum ScheduleAction {
    /// Have a silent pass run every so often; run again, it replaces what it made
    Install(ScheduleInstall),
    /// Take out exactly what `install` made
    Remove(ScheduleRemove),
    /// Say by which scheduler it runs, how often, and whether the program is still there
    Status(ScheduleStatus),
    /// Print the files and the commands, to do it by hand
    Print(ScheduleTerms),
}

/// What is to run, and how often.
#[derive(Args, Debug)]
pub struct ScheduleTerms {
    /// How often: a number of minutes or hours from 15m to 24h
    #[arg(long, value_name = "TIME", value_parser = Every::parse, default_value = "1h")]
    pub every: Every,
    /// By whom
    #[command(flatten)]
    pub by: By,
    /// Whose events, and where
    #[command(flatten)]
    pub application: Application,
}

/// A new schedule.
#[derive(Args, Debug)]
pub struct ScheduleInstall {
    /// What and when
    #[command(flatten)]
    pub terms: ScheduleTerms,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// A schedule that is to go.
#[derive(Args, Debug)]
pub struct ScheduleRemove {
    /// By whom
    #[command(flatten)]
    pub by: By,
    /// For which application
    #[command(flatten)]
    pub app: App,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Which schedules to look for.
#[derive(Args, Debug)]
pub struct ScheduleStatus {
    /// For which application
    #[command(flatten)]
    pub app: App,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// A scheduler.
#[derive(Args, Debug)]
pub struct By {
    /// The scheduler: systemd, launchd or cron; auto takes the one that is here, or removes from all
    #[arg(long = "scheduler", value_name = "NAME", value_parser = asked_for(), hide_possible_values = true, default_value = "auto")]
    scheduler: Named,
}

impl By {
    /// The one that was named; `None` is for us to choose.
    pub fn scheduler(&self) -> Option<Scheduler> {
        self.scheduler.0
    }
}

#[derive(Clone, Copy, Debug)]
struct Named(Option<Scheduler>);

fn asked_for() -> impl TypedValueParser<Value = Named> {
    let names = ["auto"]
        .into_iter()
        .chain(Scheduler::ALL.map(Scheduler::name));
    // `auto` is none of them.
    let found = |name: String| Scheduler::ALL.into_iter().find(|one| one.name() == name);
    PossibleValuesParser::new(names).map(move |name| Named(found(name)))
}
