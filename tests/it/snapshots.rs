//! What every command says, word for word: a change of words is a decision.

use crate::kit::{Sandbox, event};
use snapbox::str;

#[test]
fn flush_says_what_became_of_each_event() {
    let sandbox = Sandbox::new().line(&event("a"));
    sandbox.run(&["--flush"]).says(str![[r#"
sent 1 event
--- exit 0

"#]]);
}

#[test]
fn help_begins_with_what_it_is_for() {
    let sandbox = Sandbox::new();
    sandbox.run(&["--help"]).says(str![[r#"
Upload usage telemetry from a local JSONL buffer to Azure Application Insights

Without a command: one silent pass over the buffers of an application, meant to be spawned by hooks, by the application itself, by cron, launchd or systemd. Events leave the buffer only after the server accepted them.

Usage: telemetry-upload [OPTIONS]
       telemetry-upload <COMMAND>

Commands:
  status    Say whether telemetry is on, what waits, what was sent, and what is wrong, if anything is
  inspect   Show the events that wait, the bytes that would be sent, what was sent or what was rejected
  demo      Send sample events to a local endpoint and show what arrived; touches nothing of yours
  record    Append one event to the buffer, from arguments or from a JSON object on standard input; silent, always exit 0
  hook      Record what an agent tells its hooks on standard input; silent, always exit 0
  emulator  Run a local endpoint that validates like Application Insights' and can misbehave by script
  hooks     Put the hooks that report usage into a host's settings, or take them out again
  help      Print this message or the help of the given subcommand(s)

Options:
      --flush
          Run in the foreground: progress on a terminal, one summary line; ignores a pause the server asked for

      --dry-run
          Do everything but the sending, and change nothing

      --json
          Print the summary as one JSON object

      --detach
          Start a pass that outlives whoever asks for it, if there is anything to do, and return at once; silent, always exit 0

      --verbose
          With `--detach`: say whether a pass was started, or why not

      --app <NAME>
          The application whose events these are [default: atomic]
          
          [env: TELEMETRY_UPLOAD_APP=]

      --data-dir <DIR>
          The folder of the buffers [default: TELEMETRY_UPLOAD_DATA_DIR, or the application's own data folder]

      --connection-string <STRING>
          Where to send; better set in config.json, or in the environment as APPLICATIONINSIGHTS_CONNECTION_STRING, since others can see arguments

      --ca-file <FILE>
          Trust only the certificates in this PEM file

  -h, --help
          Print help (see a summary with '-h')

  -V, --version
          Print version

Limits:
      --request-events <COUNT>
          Events in one request [default: 100]

      --request-bytes <BYTES>
          Bytes of one request before compression [default: 500000]

      --line-bytes <BYTES>
          Bytes of one line; longer ones are rejected [default: 32768]

      --age-days <DAYS>
          Days after which an event is dropped [default: 30]

      --buffer-bytes <BYTES>
          Undelivered bytes of a buffer over which the oldest lines go [default: 50000000]

      --attempts <COUNT>
          Attempts for one request [default: 3]

      --pause-ms <MS>
          Pause after the first attempt, doubled after each further one [default: 1000]

      --deadline-s <SECONDS>
          Longest duration of a pass [default: 300]

      --gather-s <SECONDS>
          Seconds a detached pass stays for what comes next [default: 15]

      --request-timeout-ms <MS>
          Longest duration of a request [default: 5000]

      --connect-timeout-ms <MS>
          Longest time to find the host and connect [default: 3000]

Examples:
  telemetry-upload demo                 see it work, without Azure and without touching your files
  telemetry-upload --flush              send what is waiting now, and say what became of it
  telemetry-upload --flush --dry-run    say what would be sent, and send nothing
  telemetry-upload record cli_command --prop command=init --spawn
                                        append an event, and have it sent in the background
  telemetry-upload hooks status         say which hosts report to it

Exit codes:
   0  done: delivered, nothing to do, telemetry off, or another uploader is at work
   1  a problem: something could not be read, written or started; it is as it was
   2  wrong usage
  75  later: events remain, the next pass will try
  78  configuration: connection string, config.json, a limit, or the endpoint refuses us
--- exit 0

"#]]);
}
