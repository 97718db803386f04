//! Help, completions and the manual page; and what a flush says while it is at work.

use crate::kit::{BINARY, Sandbox, event, events};
use crate::person::read_to_end;
use crate::tools::{feed, find};
use snapbox::str;
use std::process::Command;

#[test]
fn the_short_help_leaves_out_limits_and_exit_codes() {
    let sandbox = Sandbox::new();
    sandbox.run(&["-h"]).says(str![[r#"
Upload usage telemetry from a local JSONL buffer to Azure Application Insights

Examples:
  telemetry-upload demo               see it work, without Azure and without touching your files
  telemetry-upload consent            see what would be sent, and say yes or no
  telemetry-upload record cli_command --prop command=init --spawn
                                      append an event, and have it sent in the background
  telemetry-upload --flush            send what is waiting now, and say what became of it
  telemetry-upload --flush --dry-run  say what would be sent, and send nothing

Usage: telemetry-upload [OPTIONS]          a pass
       telemetry-upload COMMAND [OPTIONS]

See:
  status       Say how things stand: on or off, what waits, what is wrong
  inspect      Show the events that wait, were sent or were rejected, byte for byte
  report       Say what was used, how often and how well
  doctor       Check everything between an event and Azure, and say what to do
  demo         Show the whole way of sample events; touches nothing of yours

Steer:
  consent      Be asked whether telemetry may be sent, or answer
  enable       Turn telemetry on again, if you have agreed
  disable      Turn telemetry off: nothing is sent from then on
  reset-id     Change the anonymous id now
  purge        Delete what waits, and the copies of what was sent

Feed:
  record       Append one event, from arguments or standard input; always exit 0
  hook         Record what an agent tells its hooks; always exit 0

Set up:
  hooks        Put the hooks that report usage into a host's settings
  schedule     Have a pass run every so often, by systemd, launchd or cron
  emulator     Run a local endpoint that answers like Application Insights'
  completions  Print what completes commands in a shell
  man          Print the manual page

Options:
      --flush                       Send now, in the foreground, even before the end of a pause the
                                    server asked for
      --dry-run                     Do everything but the sending, and change nothing
      --json                        Print the summary as one JSON object
      --quiet                       With --flush: no progress and no summary, only what went wrong
      --verbose                     With --flush: a line for each request; with --detach: whether a
                                    pass was started, or why not
      --detach                      Start a pass that outlives whoever asks, if there is anything to
                                    do; always exit 0
      --app <NAME>                  The application whose events these are [default: atomic] [env:
                                    TELEMETRY_UPLOAD_APP=]
      --data-dir <DIR>              The folder of the buffers [default: TELEMETRY_UPLOAD_DATA_DIR,
                                    or the application's own]
      --connection-string <STRING>  Where to send; better set in config.json, since others can see
                                    arguments
      --ca-file <FILE>              Trust only the certificates in this PEM file
  -V, --version                     Print version
  -h, --help                        Print help

--help shows the limits and the exit codes, too.
--- exit 0

"#]]);
}

#[test]
fn the_help_of_every_command_begins_with_an_example() {
    let sandbox = Sandbox::new();
    for name in sandbox.commands() {
        let (code, help, _) = sandbox.run(&[&name, "--help"]).outputs();
        let example = help.lines().nth(3).unwrap();
        assert_eq!((code, help.lines().nth(2)), (0, Some("Example:")), "{help}");
        assert!(
            example.contains(&format!("telemetry-upload {name}")),
            "{help}"
        );
        assert!(!help.contains("Limits:"), "{help}");
    }
}

#[test]
fn what_was_meant_is_said() {
    let sandbox = Sandbox::new();
    sandbox.run(&["--app", "mytool", "status"]).says(str![[r#"
--- stderr
error: the subcommand 'status' cannot be used with '--app <NAME>'

  tip: flags stand behind the command: telemetry-upload status ...

Usage: telemetry-upload [OPTIONS]          a pass
       telemetry-upload COMMAND [OPTIONS]

For more information, try '--help'.
--- exit 2

"#]]);
    sandbox.run(&["flush"]).says(str![[r#"
--- stderr
error: unrecognized subcommand 'flush'

  tip: that is a flag: telemetry-upload --flush

Usage: telemetry-upload [OPTIONS]          a pass
       telemetry-upload COMMAND [OPTIONS]

For more information, try '--help'.
--- exit 2

"#]]);
    sandbox.run(&["--verbose"]).says(str![[r#"
--- stderr
error: the following required arguments were not provided:
  <--flush|--dry-run|--detach>

Usage: telemetry-upload [OPTIONS]          a pass
       telemetry-upload COMMAND [OPTIONS]

For more information, try '--help'.
--- exit 2

"#]]);
}

#[test]
fn help_can_be_asked_for_in_words() {
    let sandbox = Sandbox::new();
    for (words, flag) in [
        (&["help"][..], &["--help"][..]),
        (&["help", "purge"], &["purge", "--help"]),
        (
            &["help", "hooks", "install"],
            &["hooks", "install", "--help"],
        ),
    ] {
        let asked = sandbox.run(words).outputs();
        assert_eq!(asked, sandbox.run(flag).outputs());
        assert!(asked.0 == 0 && asked.1.contains("Options:"), "{asked:?}");
    }
}

#[test]
fn help_fits_the_terminal() {
    let sandbox = Sandbox::new();
    let (_, help, _) = sandbox.at_terminal(&["consent", "-h"], 60, "").outputs();
    assert!(
        help.lines().all(|line| line.chars().count() <= 60),
        "{help}"
    );
    let (code, help, _) = sandbox.at_terminal(&["--help"], 20, "").outputs();
    assert!(code == 0 && help.contains("--request-timeout-ms"), "{help}");
}

#[test]
fn bash_completes_commands_and_flags() {
    let Some(bash) = find("bash") else { return };
    let sandbox = Sandbox::new();
    let (code, script, _) = sandbox.run(&["completions", "bash"]).outputs();
    assert_eq!(code, 0);
    let complete = |words: &str, last: usize| {
        let asking = format!(
            "{script}\nCOMP_WORDS=({words})\nCOMP_CWORD={last}\n_telemetry__upload telemetry-upload \"${{COMP_WORDS[{last}]}}\" \"${{COMP_WORDS[{}]}}\"\necho \"${{COMPREPLY[@]}}\"",
            last - 1
        );
        let output = feed(
            Command::new(&bash).args(["--norc", "-s"]),
            asking.as_bytes(),
        );
        assert!(
            output.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete("telemetry-upload pur", 1), "purge");
    assert_eq!(complete("telemetry-upload consent --y", 2), "--yes");
    assert_eq!(
        complete("telemetry-upload --request-ev", 1),
        "--request-events"
    );
    assert_eq!(complete("telemetry-upload reset-id --a", 2), "--app");
    assert_eq!(complete("telemetry-upload hooks inst", 2), "install");
    assert_eq!(
        complete("telemetry-upload hooks install --host op", 4),
        "opencode"
    );
    let all = complete("telemetry-upload ''", 1);
    for name in sandbox.commands() {
        assert!(all.split(' ').any(|word| word == name), "{name}: {all}");
    }
}

#[test]
fn other_shells_can_read_their_completions() {
    let sandbox = Sandbox::new();
    for (shell, flags) in [("zsh", "-fn"), ("fish", "-n")] {
        let (code, script, _) = sandbox.run(&["completions", shell]).outputs();
        assert!(code == 0 && script.contains("reset-id"), "{script}");
        let Some(program) = find(shell) else { continue };
        let file = sandbox.home.path().join(shell);
        std::fs::write(&file, script).unwrap();
        let output = Command::new(program)
            .arg(flags)
            .arg(&file)
            .output()
            .unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
    }
    if let Some(fish) = find("fish") {
        let asking = "source ~/fish; complete -C 'telemetry-upload pur'; complete -C 'telemetry-upload consent --y'";
        let mut command = Command::new(fish);
        command
            .args(["--no-config", "-c", asking])
            .env("HOME", sandbox.home.path());
        let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let words: Vec<&str> = said.split_whitespace().collect();
        assert!(
            words.contains(&"purge") && words.contains(&"--yes"),
            "{said}"
        );
    }
    let (code, script, _) = sandbox.run(&["completions", "powershell"]).outputs();
    assert!(code == 0 && script.contains("Register-ArgumentCompleter"));
    sandbox.run(&["completions", "tcsh"]).says(str![[r#"
--- stderr
error: invalid value 'tcsh' for '<SHELL>'
  [possible values: bash, elvish, fish, powershell, zsh]

  tip: a similar value exists: 'zsh'

For more information, try '--help'.
--- exit 2

"#]]);
}

#[test]
fn a_reader_of_completions_that_goes_away_is_no_error() {
    let script = format!("{BINARY} completions zsh | head -1");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "#compdef telemetry-upload\n"
    );
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn the_manual_page_has_every_command() {
    let sandbox = Sandbox::new();
    let (code, page, _) = sandbox.run(&["man"]).outputs();
    assert_eq!(code, 0);
    for name in sandbox.commands() {
        assert!(
            page.contains(&format!(".SH {}\n", name.to_uppercase())),
            "{name}"
        );
    }
    assert!(page.contains(".SH HOOKS INSTALL\n"), "{page}");
    // There are no other pages.
    assert_eq!(page.matches("(1)").count(), 0, "{page}");
    let Some(groff) = find("groff") else { return };
    let output = feed(
        Command::new(groff).args(["-man", "-Tutf8", "-ww", "-P-cbou"]),
        page.as_bytes(),
    );
    let (text, complaints) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success() && complaints.is_empty(),
        "{complaints}"
    );
    for words in [
        "telemetry-upload",
        "EXIT STATUS",
        "PURGE",
        "--request-events",
    ] {
        assert!(
            text.replace(['\u{2010}', '−'], "-").contains(words),
            "{words}\n{text}"
        );
    }
}

#[test]
fn verbose_tells_of_each_request_and_why_it_waits() {
    let sandbox = Sandbox::scripted("{\"status\": 503, \"times\": 2}\n{\"items\": [{\"index\": 0, \"statusCode\": 402, \"message\": \"no\"}]}\n")
        .line(&event("secret-canary"))
        .line(&event("b"));
    let (code, stdout, stderr) = sandbox
        .run(&["--flush", "--verbose", "--pause-ms", "1"])
        .outputs();
    assert_eq!(
        (code, stdout.as_str()),
        (75, "sent 1 event in 3 requests, kept 1 for the next pass\n"),
        "{stderr}"
    );
    let lines: Vec<&str> = stderr
        .lines()
        .map(|line| line.strip_prefix("telemetry-upload: ").unwrap())
        .collect();
    assert_eq!(
        lines,
        [
            "127.0.0.1: 503, accepted 0 of 2, attempt 1",
            "waits 0.0 s before it tries again",
            "127.0.0.1: 503, accepted 0 of 2, attempt 2",
            "waits 0.0 s before it tries again",
            "127.0.0.1: 206, accepted 1 of 2, attempt 3",
        ]
    );
}

#[test]
fn verbose_tells_of_no_reply_too() {
    let sandbox =
        Sandbox::scripted("{\"status\": 429, \"headers\": {\"Retry-After\": \"3600\"}}\n")
            .line(&event("a"));
    sandbox.run(&["--flush", "--verbose"]).says(str![[r#"
sent 0 events, kept 1 for the next pass: the server asks for a pause (429)
--- stderr
telemetry-upload: 127.0.0.1: 429, accepted 0 of 1, Retry-After 3600, attempt 1
--- exit 75

"#]]);
    let nobody = Sandbox::new()
        .line(&event("a"))
        .env("APPLICATIONINSIGHTS_CONNECTION_STRING", "InstrumentationKey=00000000-0000-4000-8000-000000000000;IngestionEndpoint=http://127.0.0.1:9/");
    nobody
        .run(&["--flush", "--verbose", "--attempts", "1"])
        .says(str![[r#"
sent 0 events, kept 1 for the next pass: no reply from the server: connection refused
--- stderr
telemetry-upload: 127.0.0.1: no reply (connection refused), attempt 1
--- exit 75

"#]]);
}

#[test]
fn quiet_says_only_what_went_wrong() {
    let sandbox = Sandbox::new().line(&event("a"));
    sandbox.run(&["--flush", "--quiet"]).left("").code(0);
    sandbox.run(&["--flush", "--quiet"]).code(0);
    sandbox.run(&["--dry-run", "--quiet"]).code(0);
    let later = Sandbox::scripted("{\"status\": 503, \"times\": \"forever\"}\n").line(&event("a"));
    later
        .run(&["--flush", "--quiet", "--attempts", "1"])
        .says(str![[r#"
--- stderr
telemetry-upload: sent 0 events, kept 1 for the next pass: the server answered 503
--- exit 75

"#]]);
    let refused =
        Sandbox::scripted("{\"status\": 403, \"times\": \"forever\"}\n").line(&event("a"));
    refused.run(&["--flush", "--quiet"]).says(str![[r#"
--- stderr
telemetry-upload: sent 0 events, kept 1 for the next pass: the endpoint refuses us (403); check the resource's access, private link and local authentication settings
--- exit 78

"#]]);
    let wrong = Sandbox::new()
        .line(&event("a"))
        .env("APPLICATIONINSIGHTS_CONNECTION_STRING", "nonsense");
    wrong.run(&["--flush", "--quiet"]).says(str![[r#"
--- stderr
telemetry-upload: bad connection string: the connection string has a part without `=`; a right one: InstrumentationKey=<guid>;IngestionEndpoint=https://<region>.in.applicationinsights.azure.com/
--- exit 78

"#]]);
    sandbox.run(&["--quiet"]).says(str![[r#"
--- stderr
error: the following required arguments were not provided:
  <--flush|--dry-run>

Usage: telemetry-upload [OPTIONS]          a pass
       telemetry-upload COMMAND [OPTIONS]

For more information, try '--help'.
--- exit 2

"#]]);
    sandbox
        .run(&["--flush", "--quiet", "--verbose"])
        .says(str![[r#"
--- stderr
error: the argument '--quiet' cannot be used with '--verbose'

Usage: telemetry-upload [OPTIONS]          a pass
       telemetry-upload COMMAND [OPTIONS]

For more information, try '--help'.
--- exit 2

"#]]);
}

/// What is on the terminal while the last request is answered, and all that was written.
fn watched(columns: u16, terminal: &str, more: &str) -> String {
    let sandbox = Sandbox::new().env("TERM", terminal);
    sandbox.append(events(0..40).concat());
    let mut args = vec!["--flush", "--request-events", "10"];
    args.extend(Some(more).filter(|more| !more.is_empty()));
    let (side, mut child) = sandbox.start_at_terminal(&args, columns);
    let text = read_to_end(side);
    assert!(child.wait().unwrap().success(), "{text}");
    assert_eq!(sandbox.delivered().len(), 40);
    text
}

#[test]
fn progress_is_one_line_that_fits_and_is_gone_at_the_end() {
    let text = watched(80, "xterm", "");
    for shown in [
        "\r\u{1b}[K0 % done, 0 accepted\r",
        "\r\u{1b}[K25 % done, 10 accepted\r",
        "\r\u{1b}[K100 % done, 40 accepted\r",
    ] {
        assert!(text.contains(shown), "{shown:?} in {text:?}");
    }
    assert!(
        text.ends_with("\r\u{1b}[K\rsent 40 events in 4 requests\r\n"),
        "{text:?}"
    );
    let narrow = watched(20, "xterm", "");
    let pieces = narrow
        .split(['\r', '\n'])
        .filter(|piece| piece.contains('%'));
    assert!(pieces.clone().count() >= 4, "{narrow:?}");
    for piece in pieces {
        assert!(
            piece.trim_start_matches("\u{1b}[K").chars().count() < 20,
            "{piece:?}"
        );
    }
}

#[test]
fn there_is_no_progress_where_it_would_disturb() {
    for (terminal, more) in [
        ("dumb", ""),
        ("", ""),
        ("xterm", "--quiet"),
        ("xterm", "--verbose"),
    ] {
        let text = watched(80, terminal, more);
        assert!(!text.contains('%') && !text.contains('\u{1b}'), "{text:?}");
    }
}
