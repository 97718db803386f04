//! Who called the program: a host, which must never see it fail, or a person. It is decided by the command
//! alone, before anything is parsed, because a defect of the parser must not reach a host either.

use std::ffi::OsString;

/// Flags in front of a command that take the next word as their value.
const WITH_VALUE: [&str; 16] = [
    "--app",
    "--data-dir",
    "--connection-string",
    "--ca-file",
    "--request-events",
    "--request-bytes",
    "--line-bytes",
    "--age-days",
    "--buffer-bytes",
    "--attempts",
    "--pause-ms",
    "--deadline-s",
    "--gather-s",
    "--lanes",
    "--request-timeout-ms",
    "--connect-timeout-ms",
];

/// Flags in front of a command that stand alone.
const ALONE: [&str; 8] = [
    "--flush",
    "--dry-run",
    "--json",
    "--quiet",
    "--verbose",
    "--help",
    "-h",
    "--version",
];

/// Whether the command is one that must not fail its caller: `record`, `hook`, or `--detach`. The same words
/// as the value of a flag, or behind another command, decide nothing.
pub fn is_called_by_host(arguments: &[OsString]) -> bool {
    let mut words = arguments.iter().skip(1).map(|word| word.to_string_lossy());
    let mut may_be_value = false;
    while let Some(word) = words.next() {
        let word = &*word;
        match word {
            "hook" | "record" => return true,
            _ if word.starts_with("--detach") => return true,
            _ if WITH_VALUE.contains(&word) => drop(words.next()),
            _ if !word.starts_with('-') && !may_be_value => return false,
            _ => {}
        }
        // A flag that only a newer version knows may take a value.
        may_be_value = word.starts_with('-')
            && !word.contains('=')
            && !WITH_VALUE.contains(&word)
            && !ALONE.contains(&word);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    fn check(text: &str, expected: bool) {
        let arguments: Vec<OsString> = text.split(' ').map(OsString::from).collect();
        assert_eq!(is_called_by_host(&arguments), expected, "{text}");
    }

    #[test]
    fn the_command_decides_who_called() {
        for text in [
            "me hook",
            "me record x --bogus",
            "me record --prop a=b --bogus",
            "me --detach --bogus",
            "me --app x --detach --bogus",
            "me --detached",
            "me --detach=yes",
            "me --app x record y",
            "me --app=x record y",
            "me --app record record y",
            "me --data-dir hook --app x hook",
            "me --quiet record",
            "me --newer hook",
            "me --newer value hook",
            "me --newer=value hook",
        ] {
            check(text, true);
        }
    }

    #[test]
    fn other_command_lines_belong_to_a_person() {
        for text in [
            "me",
            "me --flush",
            "me purge --app hook --yess",
            "me --app record --bogus",
            "me --app=record --bogus",
            "me --data-dir hook --bogus",
            "me status --app hook --bogus",
            "me status --detach",
            "me inspect hook",
            "me hooks status --bogus",
            "me --json status hook",
            "me consent record",
            "me --app",
        ] {
            check(text, false);
        }
    }

    #[test]
    fn every_flag_in_front_of_a_command_is_known_here() {
        let mut command = Cli::command();
        command.build();
        let mut seen = 0;
        for flag in command.get_arguments().filter(|flag| !flag.is_positional()) {
            let name = format!("--{}", flag.get_long().unwrap());
            let takes_value = flag.get_num_args().unwrap().takes_values();
            let is_detached = ["--detach", "--detached"].contains(&&*name);
            assert_eq!(WITH_VALUE.contains(&&*name), takes_value, "{name}");
            assert_eq!(
                ALONE.contains(&&*name),
                !takes_value && !is_detached,
                "{name}"
            );
            seen += 1;
        }
        assert_eq!(seen, WITH_VALUE.len() + ALONE.len() - 1 + 2);
    }
}
