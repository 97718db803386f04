//! What hooks and schedules call, again and again: read without the other commands, because making all of
//! them takes longer than what these do.

use super::{Cli, Command, Hook, Record, Upload};
use clap::{Parser, Subcommand};
use std::ffi::OsString;

/// A part of [`Cli`], flag by flag, without its help: what this can read, that reads alike.
#[derive(Parser)]
#[command(
    args_conflicts_with_subcommands = true,
    disable_help_flag = true,
    disable_help_subcommand = true
)]
struct Frequent {
    #[command(subcommand)]
    command: Option<Called>,
    #[command(flatten)]
    upload: Upload,
}

#[derive(Subcommand)]
#[command(defer = true, disable_help_flag = true)]
enum Called {
    Record(Record),
    Hook(Hook),
}

/// Reads the arguments, if they are for one of these, and right; the whole reads all others, and says what
/// is wrong with them.
pub(super) fn read(arguments: &[OsString]) -> Option<Cli> {
    let read = Frequent::try_parse_from(arguments).ok()?;
    Some(Cli {
        command: read.command.map(|called| match called {
            Called::Record(record) => Command::Record(record),
            Called::Hook(hook) => Command::Hook(hook),
        }),
        help: None,
        upload: read.upload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn check(text: &str, is_frequent: bool) {
        let arguments: Vec<OsString> = text.split(' ').map(OsString::from).collect();
        let quickly = read(&arguments).map(|read| format!("{read:?}"));
        assert_eq!(quickly.is_some(), is_frequent, "{text}");
        if let Some(quickly) = quickly {
            let whole = Cli::try_parse_from(&arguments).unwrap();
            assert_eq!(quickly, format!("{whole:?}"), "{text}");
        }
    }

    #[test]
    fn what_is_read_here_the_whole_reads_alike() {
        for text in [
            "me",
            "me --flush --quiet",
            "me --app x --data-dir /y --age-days 3 --detached",
            "me record",
            "me record help -p a=b --prop=c=d --spawn --app x",
            "me record -- --help",
            "me hook --host claude --late",
        ] {
            check(text, true);
        }
    }

    #[test]
    fn what_is_wrong_or_another_command_is_left_to_the_whole() {
        for text in [
            "me statu",
            "me status",
            "me help",
            "me --help",
            "me -h",
            "me --version",
            "me -V",
            "me --age-days x",
            "me --quiet",
            "me --flush record",
            "me --connection-string --flush",
            "me --flush --detach",
            "me record --help",
            "me record -h",
            "me record x y",
            "me record --bogus",
            "me hook --host nobody",
        ] {
            check(text, false);
        }
    }
}
