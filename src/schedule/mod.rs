//! A pass every so often, by the scheduler that is there: a systemd user timer, a launchd agent, or an
//! entry in the crontab.
//!
//! A scheduled run starts with a bare environment. So `job` settles once what it must know: the program
//! by its full path, the application, the data folder, and those variables of now that stop telemetry or
//! lead to the network. `systemd`, `launchd` and `cron` put a job into words of their scheduler, by the
//! rules of `quote`, and read it back; nothing in them touches the machine. `plan` says which texts would
//! change, `place` reads and writes those: files of our own, or the crontab. `orders` tells the scheduler,
//! through `tool`, which waits for nobody for long. `change` does all of it, and takes back what does not
//! work. `survey` says what is there.

mod change;
mod choose;
mod cron;
mod every;
mod job;
mod launchd;
mod orders;
mod place;
mod plan;
mod quote;
mod survey;
mod systemd;
mod tool;

pub use change::{install, remove};
pub use choose::{choose, choose_for_elsewhere};
pub use every::Every;
pub use job::Job;
pub use orders::{by_hand, to_undo_by_hand};
pub use place::Change;
pub use plan::{Unasked, to_install, to_remove};
pub use survey::{Found, found, json, look, words};

use std::collections::BTreeMap;

type Env = BTreeMap<String, String>;

/// What starts a pass every so often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduler {
    /// A timer of the person's own systemd.
    Systemd,
    /// A launch agent of macOS.
    Launchd,
    /// A line in the person's crontab.
    Cron,
}

impl Scheduler {
    /// All of them.
    pub const ALL: [Scheduler; 3] = [Scheduler::Systemd, Scheduler::Launchd, Scheduler::Cron];

    /// Its name in flags and messages.
    pub fn name(self) -> &'static str {
        match self {
            Scheduler::Systemd => "systemd",
            Scheduler::Launchd => "launchd",
            Scheduler::Cron => "cron",
        }
    }
}
