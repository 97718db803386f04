//! The flags of the commands that show what is going on.

use super::Application;
use clap::Args;

/// How things stand.
#[derive(Args, Debug)]
pub struct Status {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Whose events.
    #[command(flatten)]
    pub application: Application,
}

/// What there is to see.
#[derive(Args, Debug)]
pub struct Inspect {
    /// Which data
    #[command(flatten)]
    pub view: View,
    /// How many at most: the first that wait, the last that were sent or rejected
    #[arg(short, value_name = "COUNT", default_value_t = 10)]
    pub n: usize,
    /// Print one JSON object a line
    #[arg(long, conflicts_with = "payload")]
    pub json: bool,
    /// Whose events.
    #[command(flatten)]
    pub application: Application,
}

/// Which of the data there are.
#[derive(Args, Clone, Copy, Debug)]
#[group(multiple = false)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "flags, of which only one can be given"
)]
pub struct View {
    /// The events that wait [default]
    #[arg(long)]
    pub pending: bool,
    /// The requests that would be sent now, byte for byte, before compression; one a line
    #[arg(long)]
    pub payload: bool,
    /// What was sent, as it was sent
    #[arg(long)]
    pub sent: bool,
    /// What was rejected, and why
    #[arg(long)]
    pub rejected: bool,
}
