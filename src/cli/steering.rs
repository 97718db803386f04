//! The flags of the commands by which a person steers telemetry.

use super::Application;
use clap::Args;

/// Whose telemetry.
#[derive(Args, Debug)]
pub struct Steered {
    /// Whose.
    #[command(flatten)]
    pub application: Application,
}

/// The answer, if it is given already.
#[derive(Args, Debug)]
pub struct Consenting {
    /// Agree, without being asked
    #[arg(long)]
    pub yes: bool,
    /// Refuse, without being asked
    #[arg(long, conflicts_with = "yes")]
    pub no: bool,
    /// Whose.
    #[command(flatten)]
    pub application: Application,
}

/// What is to be deleted.
#[derive(Args, Debug)]
pub struct Purging {
    /// Delete without being asked
    #[arg(long)]
    pub yes: bool,
    /// Whose.
    #[command(flatten)]
    pub application: Application,
}
