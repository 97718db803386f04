//! How this program ends: the one table of exit codes. `--help` prints it, and README's says the same.

use std::process::ExitCode;

/// How a run ended, for whoever started it. The numbers are those of `sysexits.h`, where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// What was to be done is done, or there is a good reason why nothing is.
    Done,
    /// It could not go on.
    Failed,
    /// The arguments are wrong.
    Usage,
    /// It will be done, later.
    Later,
    /// Only a change of configuration will help.
    Misconfigured,
}

impl Exit {
    /// All of them, by number.
    pub const ALL: [Exit; 5] = [
        Exit::Done,
        Exit::Failed,
        Exit::Usage,
        Exit::Later,
        Exit::Misconfigured,
    ];

    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Later => 75,
            Exit::Misconfigured => 78,
        }
    }

    /// What it means.
    pub fn words(self) -> &'static str {
        match self {
            Exit::Done => {
                "done: delivered, nothing to do, telemetry off, or another uploader is at work"
            }
            Exit::Failed => "a problem: something could not be read, written or started",
            Exit::Usage => "wrong usage",
            Exit::Later => "later: events remain, the next pass will try",
            Exit::Misconfigured => {
                "configuration: connection string, config.json, a limit, or the endpoint refuses us"
            }
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
