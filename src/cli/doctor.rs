//! The flags of `doctor`.

use super::{Application, absolute};
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use std::path::PathBuf;

/// Checks of everything between an event and Azure.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Connect to the endpoint, too; sends no event
    #[arg(long)]
    pub online: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Whose events, and where.
    #[command(flatten)]
    pub application: Application,
    /// Where to send, as for a pass
    #[arg(long, value_name = "STRING")]
    pub connection_string: Option<String>,
    /// Trust only the certificates in this PEM file
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(absolute))]
    pub ca_file: Option<PathBuf>,
}
