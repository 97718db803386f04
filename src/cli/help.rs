//! What `--help` shows beside the flags: examples first, the commands in groups, the exit codes last.

use crate::exit::Exit;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};
use std::ffi::OsString;
use std::fmt::Write;

const EXAMPLES: &str = "\
Examples:
  telemetry-upload demo               see it work, without Azure and without touching your files
  telemetry-upload consent            see what would be sent, and say yes or no
  telemetry-upload record cli_command --prop command=init --spawn
                                      append an event, and have it sent in the background
  telemetry-upload --flush            send what is waiting now, and say what became of it
  telemetry-upload --flush --dry-run  say what would be sent, and send nothing
";

/// Which commands are for what; one that is named nowhere here stands in the last group.
const GROUPS: [(&str, &[&str]); 4] = [
    ("See", &["status", "inspect", "report", "doctor", "demo"]),
    (
        "Steer",
        &["consent", "enable", "disable", "reset-id", "purge"],
    ),
    ("Feed", &["record", "hook"]),
    ("Set up", &["hooks", "schedule"]),
];

/// An example of each command, with which its help begins.
const EXAMPLE_OF: [(&str, &str); 17] = [
    ("status", "telemetry-upload status"),
    ("inspect", "telemetry-upload inspect --payload -n 1"),
    ("report", "telemetry-upload report --since 7d --by command"),
    ("doctor", "telemetry-upload doctor --online"),
    ("demo", "telemetry-upload demo"),
    ("consent", "telemetry-upload consent"),
    ("enable", "telemetry-upload enable --app mytool"),
    ("disable", "telemetry-upload disable"),
    ("reset-id", "telemetry-upload reset-id"),
    ("purge", "telemetry-upload purge --yes"),
    (
        "record",
        "telemetry-upload record cli_command --prop command=init --prop success=true --spawn",
    ),
    (
        "hook",
        "echo '{\"hook_event_name\": \"SessionStart\", \"session_id\": \"1\"}' | telemetry-upload hook --verbose",
    ),
    ("hooks", "telemetry-upload hooks install --host claude"),
    ("schedule", "telemetry-upload schedule install --every 1h"),
    (
        "emulator",
        "telemetry-upload emulator --store arrived.jsonl",
    ),
    (
        "completions",
        "telemetry-upload completions bash > ~/.local/share/bash-completion/completions/telemetry-upload",
    ),
    ("man", "telemetry-upload man | man -l -"),
];

const TEMPLATE_OF_COMMAND: &str =
    "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

/// The two forms of the command line.
pub(super) const USAGE: &str =
    "telemetry-upload [OPTIONS]          a pass\n       telemetry-upload COMMAND [OPTIONS]";

/// The command with its help: `--help` shows everything, `-h` leaves out the limits and the exit codes.
pub(super) fn dressed(command: Command, arguments: &[OsString]) -> Command {
    let template = format!(
        "{{about-with-newline}}\n{EXAMPLES}\nUsage: {{usage}}\n\n{}{{all-args}}{{after-help}}",
        groups(&command)
    );
    let command = command
        .help_template(template)
        // The groups show them already.
        .mut_subcommands(|sub| with_example(sub).hide(true));
    if arguments.iter().any(|argument| argument == "--help") {
        return command
            .mut_args(|arg| arg.hide_short_help(false))
            .after_help(format!("Exit codes:{}", exit_codes()));
    }
    command.after_help("--help shows the limits and the exit codes, too.")
}

/// Says what was meant, where that is likely.
pub(super) fn add_tip(err: &mut Error) {
    let Some(ContextValue::String(name)) = err.get(ContextKind::InvalidSubcommand) else {
        return;
    };
    let tip = match (err.kind(), &name[..]) {
        (ErrorKind::ArgumentConflict, name) => {
            format!("flags stand behind the command: telemetry-upload {name} ...")
        }
        (ErrorKind::InvalidSubcommand, "flush" | "dry-run" | "detach") => {
            format!("that is a flag: telemetry-upload --{name}")
        }
        _ => return,
    };
    let tips = ContextValue::StyledStrs(vec![tip.into()]);
    err.insert(ContextKind::Suggested, tips);
}

/// Whether somebody wants to read it.
pub(super) fn is_asked_for(arguments: &[OsString]) -> bool {
    arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
}

/// `help COMMAND` asks for `COMMAND --help`; clap's own command would show another form of it.
pub(super) fn asked_by_a_flag(arguments: &[OsString]) -> Vec<OsString> {
    match arguments {
        [program, help, command @ ..] if help == "help" => {
            let mut asked = vec![program.clone()];
            asked.extend_from_slice(command);
            asked.push("--help".into());
            asked
        }
        other => other.to_vec(),
    }
}

fn with_example(command: Command) -> Command {
    let example = EXAMPLE_OF
        .iter()
        .find(|(name, _)| *name == command.get_name());
    let Some((_, example)) = example else {
        return command;
    };
    command
        .before_help(format!("Example:\n  {example}"))
        .help_template(TEMPLATE_OF_COMMAND)
}

/// The commands with what they are for.
fn groups(command: &Command) -> String {
    let shown = || command.get_subcommands().filter(|sub| !sub.is_hide_set());
    let line = |sub: &Command| {
        let about = sub.get_about().map_or(String::new(), ToString::to_string);
        format!("  {:<12} {about}\n", sub.get_name())
    };
    let mut text = String::new();
    for (heading, names) in GROUPS {
        let of_group = names
            .iter()
            .filter_map(|name| shown().find(|sub| sub.get_name() == *name));
        let lines: String = of_group.map(line).collect();
        let _ = writeln!(text, "{heading}:\n{lines}");
    }
    let is_named = |sub: &&Command| {
        let mut names = GROUPS.iter().flat_map(|(_, names)| *names);
        names.any(|name| *name == sub.get_name())
    };
    let others: String = shown().filter(|sub| !is_named(sub)).map(line).collect();
    // The last group goes on with them.
    text.truncate(text.trim_end().len());
    format!("{text}\n{others}\n")
}

fn exit_codes() -> String {
    let line = |exit: &Exit| format!("\n  {:2}  {}", exit.code(), exit.words());
    Exit::ALL.iter().map(line).collect()
}

/// What the manual page has beside what the flags say of themselves.
pub(super) fn man_sections() -> String {
    let mut text = ".SH EXAMPLES\n".to_owned();
    for (_, example) in EXAMPLE_OF {
        let escaped = example.replace('\\', "\\e").replace('-', "\\-");
        let _ = writeln!(text, ".PP\n.EX\n{escaped}\n.EE");
    }
    text += ".SH \"EXIT STATUS\"\n";
    for exit in Exit::ALL {
        let _ = writeln!(text, ".TP\n{}\n{}", exit.code(), exit.words());
    }
    text
}
