//! Every command where things are not as they should be: nobody reads, the terminal is narrow, colours
//! are not wanted, the home cannot be written, the input is wrong. None panics, and each ends with a code
//! that README knows.

use crate::kit::{BINARY, Sandbox, event};
use crate::person::END;
use crate::tools;
use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};
use telemetry_upload::exit::Exit;

/// Everything that ends by itself, but for `emulator`, which runs until it is stopped.
const COMMANDS: &[&str] = &[
    "",
    "--flush",
    "--flush --dry-run",
    "--flush --json",
    "--detach --verbose",
    "--help",
    "--version",
    "help status",
    "completions bash",
    "consent",
    "consent --yes",
    "consent --no",
    "demo",
    "disable",
    "doctor",
    "doctor --json",
    "doctor --online",
    "emulator --script missing.jsonl",
    "enable",
    "hook --verbose",
    "hooks install --host claude",
    "hooks print --host copilot",
    "hooks status",
    "hooks status --json",
    "hooks uninstall --host claude",
    "inspect",
    "inspect --json",
    "inspect --payload",
    "inspect --rejected",
    "inspect --sent",
    "man",
    "purge",
    "purge --yes",
    "record hello --verbose",
    "report",
    "report --by command --csv",
    "report --json",
    "report --markdown",
    "reset-id",
    "schedule install --scheduler systemd --dry-run",
    "schedule install --scheduler launchd --every 2h",
    "schedule print --scheduler cron",
    "schedule remove",
    "schedule status",
    "schedule status --json",
    "status",
    "status --json",
];

fn arguments(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Something waits, something was sent, something was rejected.
fn lived_in() -> Sandbox {
    let sandbox = Sandbox::new().line(&event("a")).line("not an event");
    let _ = sandbox.flush().outputs();
    sandbox.line(&event("b")).with_stand_ins()
}

/// No panic, no signal, a code of the table.
fn check(line: &str, circumstance: &str, output: &Output) {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said);
    let story = format!("{line:?} {circumstance}: {:?}\n{said}", output.status);
    assert!(
        !said.contains("panicked") && !said.contains("defect"),
        "{story}"
    );
    assert!(!said.contains("stack backtrace"), "{story}");
    let code = output.status.code().unwrap_or_else(|| panic!("{story}"));
    assert!(
        Exit::ALL.iter().any(|exit| i32::from(exit.code()) == code),
        "{story}"
    );
}

#[test]
fn every_command_is_looked_at_here() {
    let looked_at: BTreeSet<&str> = COMMANDS
        .iter()
        .filter_map(|line| line.split(' ').next())
        .collect();
    for name in Sandbox::new().commands() {
        assert!(looked_at.contains(&name[..]), "{name}");
    }
}

#[test]
fn nobody_reads_what_is_printed() {
    let sandbox = lived_in();
    for line in COMMANDS {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let errors = writer.try_clone().unwrap();
        let mut command = sandbox.command(&arguments(line));
        let child = command.stdout(writer).stderr(errors).spawn().unwrap();
        check(line, "into a closed pipe", &sandbox.wait(child));
    }
}

#[test]
fn a_result_that_cannot_be_written_is_no_success() {
    let sandbox = lived_in();
    for line in [
        "status",
        "status --json",
        "inspect",
        "report --csv",
        "doctor --json",
        "--flush --json",
    ] {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let mut command = sandbox.command(&arguments(line));
        let child = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let output = sandbox.wait(child);
        check(line, "onto a full disk", &output);
        assert_eq!(output.status.code(), Some(1), "{line}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let words = "telemetry-upload: cannot write the result: No space left on device";
        assert!(said.starts_with(words), "{line}: {said}");
    }
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = sandbox.command(&["record", "hello", "--verbose"]);
    let output = sandbox.wait(command.stdout(full).spawn().unwrap());
    assert_eq!(output.status.code(), Some(0), "a host never fails");
}

#[test]
fn no_file_is_open_at_all() {
    let sandbox = lived_in();
    for line in COMMANDS {
        let script = format!("exec \"$0\" {line} <&- >&- 2>&-");
        let output = Command::new("sh")
            .args(["-c", &script, BINARY])
            .env_clear()
            .envs(&sandbox.env)
            .current_dir(sandbox.home.path())
            .output()
            .unwrap();
        check(line, "with everything closed", &output);
    }
}

#[test]
fn the_input_is_wrong() {
    let sandbox = lived_in();
    for line in COMMANDS {
        for more in [
            "--nonsense",
            "--app=../x",
            "--data-dir=telemetry.json",
            "one two three",
        ] {
            let line = format!("{line} {more}");
            let output = sandbox.wait(sandbox.spawn(&arguments(&line)));
            check(&line, "", &output);
        }
    }
}

#[test]
fn the_home_is_not_an_absolute_path() {
    let sandbox = lived_in().env("HOME", "relative");
    for line in COMMANDS {
        let output = sandbox.wait(sandbox.spawn(&arguments(line)));
        check(line, "with a home that is none", &output);
    }
}

#[test]
fn the_home_cannot_be_written() {
    let Some(unshare) = tools::unshare() else {
        return;
    };
    let sandbox = lived_in();
    for line in COMMANDS {
        let script = format!(
            "mount --bind \"$HOME\" \"$HOME\" && mount -o remount,bind,ro \"$HOME\" && cd \"$HOME\" && exec \"$0\" {line}"
        );
        let output = Command::new(&unshare)
            .args(["--mount", "sh", "-c", &script, BINARY])
            .env_clear()
            .envs(&sandbox.env)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        check(line, "in a read-only home", &output);
    }
}

#[test]
fn the_terminal_has_twenty_columns() {
    let sandbox = lived_in().env("TERM", "xterm");
    for line in COMMANDS {
        // Whoever is asked something says nothing.
        let ran = sandbox.at_terminal(&arguments(line), 20, &END.repeat(3));
        check(line, "in 20 columns", &ran.output());
    }
}

#[test]
fn colours_are_shown_on_a_terminal_and_not_where_they_are_not_wanted() {
    let coloured = |name: &str, value: &str| {
        let sandbox = lived_in().env("TERM", "xterm").env(name, value);
        let (_, shown, _) = sandbox.at_terminal(&["status"], 80, "").outputs();
        shown.contains("\x1b[")
    };
    assert!(coloured("LANG", "C"));
    assert!(!coloured("NO_COLOR", "1"));
    assert!(!coloured("TERM", "dumb"));
    assert!(coloured("NO_COLOR", ""));
    let sandbox = lived_in().env("CLICOLOR_FORCE", "1");
    let (_, forced, _) = sandbox.run(&["status"]).outputs();
    assert!(forced.contains("\x1b["), "{forced}");
    let (_, piped, _) = lived_in().run(&["status"]).outputs();
    assert!(!piped.contains('\x1b'), "{piped}");
}
