//! What the older commands say, word for word: a change of words is a decision. The others' words are
//! held beside their own tests.

use crate::kit::{Sandbox, event, event_aged};
use crate::tools;
use chrono::TimeDelta;
use snapbox::str;

/// Something for every line of the summary.
fn mixed() -> Sandbox {
    Sandbox::new()
        .line(&event("a"))
        .line("not an event")
        .line(&event_aged("b", TimeDelta::days(40)))
        .line(r#"{"name":"hello","eventId":"c","prompt":"secret"}"#)
}

#[test]
fn flush_says_what_became_of_each_event() {
    mixed().run(&["--flush"]).says(str![[r#"
sent 2 events, dropped 1 malformed and 1 too old; left out: prompt (1)
--- exit 0

"#]]);
    mixed().run(&["--flush", "--json"]).says(str![[r#"
{"dryRun":false,"seen":4,"delivered":2,"dropped":{"malformed":1,"too_old":1},"kept":0,"requests":1,"fieldsRefused":{"prompt":1},"pauseOverridden":null,"truncatedWithoutLease":0,"ending":"done","reason":null,"problems":[],"exit":0}
--- exit 0

"#]]);
    mixed().run(&["--flush", "--dry-run"]).says(str![[r#"
would send 2 events, dropped 1 malformed and 1 too old; left out: prompt (1)
--- exit 0

"#]]);
    Sandbox::new().run(&["--flush"]).says(str![[r#"
nothing to send
--- exit 0

"#]]);
    let off = mixed().env("DO_NOT_TRACK", "1");
    off.run(&["--flush"]).says(str![[r#"
telemetry is off: DO_NOT_TRACK is set; nothing was sent
--- exit 0

"#]]);
    let busy = Sandbox::scripted("{\"status\": 503, \"times\": \"forever\"}").line(&event("a"));
    busy.flush().says(str![[r#"
sent 0 events in 3 requests, kept 1 for the next pass: the server answered 503
--- exit 75

"#]]);
    let nowhere = mixed().without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    nowhere.run(&["--flush"]).says(str![[r#"
--- stderr
telemetry-upload: no connection string: set APPLICATIONINSIGHTS_CONNECTION_STRING, or "connectionString" in [HOME]/.local/share/atomic/config.json, to the one that Azure's portal shows for the Application Insights resource
--- exit 78

"#]]);
}

#[test]
fn a_background_pass_says_nothing() {
    mixed().run(&[]).says(str![[r#"
--- exit 0

"#]]);
}

#[test]
fn detach_says_why_nothing_was_started() {
    Sandbox::new()
        .run(&["--detach", "--verbose"])
        .says(str![[r#"
--- stderr
telemetry-upload: no pass was started: nothing is waiting
--- exit 0

"#]]);
    let off = mixed().env("DO_NOT_TRACK", "1");
    off.run(&["--detach", "--verbose"]).says(str![[r#"
--- stderr
telemetry-upload: no pass was started: telemetry is off: DO_NOT_TRACK is set
--- exit 0

"#]]);
}

#[test]
fn the_demo_shows_the_whole_way() {
    Sandbox::new().run(&["demo"]).says(str![[r#"
A local endpoint listens on [SERVER]. Nothing leaves this machine, nothing of yours is touched.

A program appended 5 lines to telemetry-events.jsonl:
  {"anonymousId":"[ID]","eventId":"[ID]","eventType":"atomic_command","timestamp":"[TIME]","platform":"linux","atomicVersion":"0.9.1","command":"init","agentType":"claude","success":true}
  {"anonymousId":"[ID]","eventId":"[ID]","eventType":"cli_command","timestamp":"[TIME]","platform":"linux","atomicVersion":"0.9.1","commands":["/commit","/research-codebase"],"commandCount":2}
  {"anonymousId":"[ID]","eventId":"[ID]","eventType":"agent_session","timestamp":"[TIME]","platform":"linux","atomicVersion":"0.9.1","sessionId":"[ID]","agentType":"opencode","commands":["/implement-feature"],"commandCount":1,"durationMs":48250,"prompt":"please fix the login of alice@example.com"}
  {"anonymousId":"[ID]","event
  {"anonymousId":"[ID]","eventId":"[ID]","eventType":"atomic_command","timestamp":"[TIME]","platform":"linux","atomicVersion":"0.9.1","command":"update","success":false}

$ telemetry-upload --flush
sent 4 events, dropped 1 malformed; left out: prompt (1)

Arrived, as Application Insights would store it:
  [TIME] atomic_command: accepted
    customDimensions: timestamp=[TIME]  event_id=[ID]  anonymous_id=[ID]  version=0.9.1  agent_type=claude  command=init  platform=linux  success=true
  [TIME] cli_command: accepted
    customDimensions: timestamp=[TIME]  time_adjusted=late  event_id=[ID]  anonymous_id=[ID]  version=0.9.1  commands=/commit,/research-codebase  platform=linux
    customMeasurements: command_count=2
  [TIME] agent_session: accepted
    customDimensions: timestamp=[TIME]  event_id=[ID]  anonymous_id=[ID]  session_id=[ID]  version=0.9.1  agent_type=opencode  commands=/implement-feature  platform=linux
    customMeasurements: command_count=1  duration_ms=48250
  [TIME] atomic_command: accepted
    customDimensions: timestamp=[TIME]  event_id=[ID]  anonymous_id=[ID]  version=0.9.1  command=update  platform=linux  success=false

Rejected, kept in upload/rejected.jsonl:
  [TIME] telemetry-events.jsonl: malformed (not JSON)
    {"anonymousId":"[ID]","event

Left in the buffer: 0 bytes.
--- exit 0

"#]]);
}

#[test]
fn record_and_hook_are_silent_unless_asked() {
    let sandbox = Sandbox::new().dated();
    sandbox.run(&["record", "hello"]).says(str![[r#"
--- exit 0

"#]]);
    sandbox
        .run(&["record", "hello", "--verbose"])
        .says(str![[r#"
recorded event [ID]
--- exit 0

"#]]);
    sandbox
        .run(&["record", "--prop", "x", "--verbose"])
        .says(str![[r#"
--- stderr
error: invalid value 'x' for '--prop <NAME=VALUE>': a property is NAME=VALUE

For more information, try '--help'.
--- exit 0

"#]]);
    let payload = r#"{"hook_event_name":"SessionStart","session_id":"s","source":"startup"}"#;
    sandbox
        .feed(&["hook", "--host", "claude"], payload)
        .says(str![[r#"
--- exit 0

"#]]);
    sandbox
        .feed(&["hook", "--host", "claude", "--verbose"], payload)
        .says(str![[r#"
--- stderr
telemetry-upload: another hook of claude has recorded this
--- exit 0

"#]]);
    sandbox
        .feed(&["hook", "--verbose"], "not JSON")
        .says(str![[r#"
--- stderr
telemetry-upload: the payload is no JSON object
--- exit 0

"#]]);
    let off = Sandbox::new().env("DO_NOT_TRACK", "1");
    off.run(&["record", "hello", "--verbose"]).says(str![[r#"
--- stderr
telemetry-upload: nothing is recorded, telemetry is off: DO_NOT_TRACK is set
--- exit 0

"#]]);
}

#[test]
fn hooks_say_what_they_changed() {
    if !tools::is_not_installed() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.run(&["hooks", "status"]).says(str![[r#"
claude    user     not installed   [HOME]/.claude/settings.json
claude    project  not installed   [HOME]/.claude/settings.json
copilot   user     not installed   [HOME]/.copilot/hooks/telemetry-upload.json
copilot   project  not installed   [HOME]/.github/hooks/telemetry-upload.json
codex     user     not installed   [HOME]/.codex/hooks.json
codex     project  not installed   [HOME]/.codex/hooks.json
opencode  user     not installed   [HOME]/.config/opencode/plugins/telemetry-upload.ts
opencode  project  not installed   [HOME]/.opencode/plugins/telemetry-upload.ts
gemini    user     not installed   [HOME]/.gemini/settings.json
gemini    project  not installed   [HOME]/.gemini/settings.json
cursor    user     not installed   [HOME]/.cursor/hooks.json
cursor    project  not installed   [HOME]/.cursor/hooks.json
--- exit 0

"#]]);
    sandbox
        .run(&["hooks", "install", "--host", "claude", "--dry-run"])
        .says(str![[r#"
would make [HOME]/.claude/settings.json:
+ {
+   "hooks": {
+     "SessionStart": [
+       {
+         "hooks": [
+           {
+             "type": "command",
+             "command": "PATH=\"$PATH:$HOME/.local/bin:$HOME/.cargo/bin:/opt/homebrew/bin:/usr/local/bin\"; telemetry-upload hook --host claude >/dev/null 2>&1 || :",
+             "timeout": 5
+           }
+         ]
+       }
+     ],
+     "UserPromptExpansion": [
+       {
+         "hooks": [
+           {
+             "type": "command",
+             "command": "PATH=\"$PATH:$HOME/.local/bin:$HOME/.cargo/bin:/opt/homebrew/bin:/usr/local/bin\"; telemetry-upload hook --host claude >/dev/null 2>&1 || :",
+             "timeout": 5
+           }
+         ]
+       }
+     ],
+     "SessionEnd": [
+       {
+         "hooks": [
+           {
+             "type": "command",
+             "command": "PATH=\"$PATH:$HOME/.local/bin:$HOME/.cargo/bin:/opt/homebrew/bin:/usr/local/bin\"; telemetry-upload hook --host claude >/dev/null 2>&1 || :",
+             "timeout": 5
+           }
+         ]
+       }
+     ]
+   }
+ }
--- stderr
telemetry-upload: the hooks cannot find telemetry-upload: it is not on PATH, nor in ~/.local/bin, ~/.cargo/bin, /opt/homebrew/bin, /usr/local/bin; install it there, for example with install.sh
--- exit 0

"#]]);
    sandbox
        .run(&["hooks", "install", "--host", "claude"])
        .says(str![[r#"
put the hooks into [HOME]/.claude/settings.json
--- stderr
telemetry-upload: the hooks cannot find telemetry-upload: it is not on PATH, nor in ~/.local/bin, ~/.cargo/bin, /opt/homebrew/bin, /usr/local/bin; install it there, for example with install.sh
--- exit 0

"#]]);
    sandbox
        .run(&["hooks", "install", "--host", "claude"])
        .says(str![[r#"
already there: [HOME]/.claude/settings.json
--- stderr
telemetry-upload: the hooks cannot find telemetry-upload: it is not on PATH, nor in ~/.local/bin, ~/.cargo/bin, /opt/homebrew/bin, /usr/local/bin; install it there, for example with install.sh
--- exit 0

"#]]);
    sandbox
        .run(&["hooks", "status", "--host", "claude", "--scope", "user"])
        .says(str![[r#"
claude    user     installed       [HOME]/.claude/settings.json
--- stderr
telemetry-upload: the hooks cannot find telemetry-upload: it is not on PATH, nor in ~/.local/bin, ~/.cargo/bin, /opt/homebrew/bin, /usr/local/bin; install it there, for example with install.sh
--- exit 0

"#]]);
    sandbox
        .run(&[
            "hooks", "status", "--host", "claude", "--scope", "user", "--json",
        ])
        .says(str![[r#"
{"app":"atomic","hooks":[{"host":"claude","scope":"user","status":"installed","missing":[],"why":null,"path":"[HOME]/.claude/settings.json"}],"binary":null}
--- exit 0

"#]]);
    sandbox
        .run(&["hooks", "uninstall", "--host", "claude"])
        .says(str![[r#"
removed [HOME]/.claude/settings.json
--- exit 0

"#]]);
    sandbox
        .run(&["hooks", "print", "--host", "copilot"])
        .says(str![[r#"
Write this to [HOME]/.copilot/hooks/telemetry-upload.json:
{
  "version": 1,
  "hooks": {
    "SessionStart": [
      {
        "type": "command",
        "command": "PATH=\"$PATH:$HOME/.local/bin:$HOME/.cargo/bin:/opt/homebrew/bin:/usr/local/bin\"; telemetry-upload hook --host copilot >/dev/null 2>&1 || :",
        "powershell": "if (Get-Command telemetry-upload -ErrorAction SilentlyContinue) { telemetry-upload hook --host copilot *> $null }; exit 0",
        "timeoutSec": 5
      }
    ],
    "UserPromptSubmit": [
      {
        "type": "command",
        "command": "PATH=\"$PATH:$HOME/.local/bin:$HOME/.cargo/bin:/opt/homebrew/bin:/usr/local/bin\"; telemetry-upload hook --host copilot >/dev/null 2>&1 || :",
        "powershell": "if (Get-Command telemetry-upload -ErrorAction SilentlyContinue) { telemetry-upload hook --host copilot *> $null }; exit 0",
        "timeoutSec": 5
      }
    ],
    "SessionEnd": [
      {
        "type": "command",
        "command": "PATH=\"$PATH:$HOME/.local/bin:$HOME/.cargo/bin:/opt/homebrew/bin:/usr/local/bin\"; telemetry-upload hook --host copilot >/dev/null 2>&1 || :",
        "powershell": "if (Get-Command telemetry-upload -ErrorAction SilentlyContinue) { telemetry-upload hook --host copilot *> $null }; exit 0",
        "timeoutSec": 5
      }
    ]
  }
}
--- exit 0

"#]]);
    sandbox
        .run(&["hooks", "install", "--host", "emacs"])
        .says(str![[r#"
--- stderr
error: invalid value 'emacs' for '--host <NAME>'
  [possible values: claude, copilot, codex, opencode, gemini, cursor]

For more information, try '--help'.
--- exit 2

"#]]);
    sandbox.run(&["hooks", "install"]).says(str![[r#"
--- stderr
error: the following required arguments were not provided:
  --host <NAME>

Usage: telemetry-upload hooks install --host <NAME>

For more information, try '--help'.
--- exit 2

"#]]);
}

#[test]
fn the_emulator_says_what_is_wrong_with_its_script() {
    let sandbox = Sandbox::new();
    sandbox
        .run(&["emulator", "--script", "missing.jsonl"])
        .says(str![[r#"
--- stderr
telemetry-upload: cannot read missing.jsonl: No such file or directory (os error 2)
--- exit 1

"#]]);
    sandbox.run(&["emulator", "--port", "many"]).says(str![[r#"
--- stderr
error: invalid value 'many' for '--port <PORT>': invalid digit found in string

For more information, try '--help'.
--- exit 2

"#]]);
}
