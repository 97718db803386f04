//! `status` names the true reason. Each test is a situation, and what comes of it: of most only the reason
//! and the next step, of some the whole screen.

use crate::kit::{
    BINARY, BUFFER, CONSENT, Sandbox, append, closed_port, event, event_aged, events,
};
use crate::network::{Tls, over_tls};
use crate::tools;
use chrono::TimeDelta;
use serde_json::Value;
use snapbox::str;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

/// A pass by hand, whatever comes of it, and then a look.
fn after_a_pass(sandbox: &Sandbox) -> crate::kit::Ran<'_> {
    let _ = sandbox
        .run(&["--flush", "--pause-ms", "1", "--attempts", "1"])
        .outputs();
    sandbox.run(&["status"])
}

/// A server that answers so for ever, and one event.
fn answering(reply: &str) -> Sandbox {
    let step = format!("{{{reply}, \"times\": \"forever\"}}\n");
    Sandbox::scripted(&step).line(&event("a"))
}

#[test]
fn telemetry_is_off_by_a_variable() {
    let ci = Sandbox::new().env("GITHUB_ACTIONS", "true");
    ci.run(&["status"]).begins(str![[r#"
Telemetry is off: this is a CI system, the variable GITHUB_ACTIONS says. Nothing is recorded or sent.
Next: if this is not a CI system, set CI=false
--- exit 0

"#]]);
    let own = Sandbox::new().env("ATOMIC_TELEMETRY", "0");
    own.run(&["status"]).begins(str![[r#"
Telemetry is off: ATOMIC_TELEMETRY says off. Nothing is recorded or sent.
Next: to turn it on, unset ATOMIC_TELEMETRY
--- exit 0

"#]]);
    let dnt = Sandbox::new().env("DO_NOT_TRACK", "1");
    dnt.run(&["status"]).begins(str![[r#"
Telemetry is off: DO_NOT_TRACK is set. Nothing is recorded or sent.
Next: to turn it on, unset DO_NOT_TRACK
--- exit 0

"#]]);
}

#[test]
fn telemetry_is_off_because_nobody_has_agreed_yet() {
    let sandbox = Sandbox::new();
    fs::remove_file(sandbox.path("telemetry.json")).unwrap();
    sandbox.run(&["status"]).begins(str![[r#"
Telemetry is off: nobody has agreed yet (there is no telemetry.json). Nothing is recorded or sent.
Next: to be asked, run: telemetry-upload consent
--- exit 0

"#]]);
}

#[test]
fn telemetry_is_off_by_the_persons_own_answer() {
    let sandbox = Sandbox::new().line(&event("a"));
    sandbox.write("telemetry.json", r#"{"enabled":false,"consentGiven":true}"#);
    sandbox.run(&["status"]).begins(str![[r#"
Telemetry is off: it was turned off ("enabled" in telemetry.json is not true). Nothing is recorded or sent.
Next: to turn it on, run: telemetry-upload enable
--- exit 0

"#]]);
    sandbox.write("telemetry.json", r#"{"enabled":true}"#);
    sandbox.run(&["status"]).begins(str![[r#"
Telemetry is off: nobody has agreed ("consentGiven" in telemetry.json is not true). Nothing is recorded or sent.
Next: to be asked, run: telemetry-upload consent
--- exit 0

"#]]);
}

#[test]
fn telemetry_is_off_because_the_answer_cannot_be_read() {
    let sandbox = Sandbox::new();
    sandbox.write("telemetry.json", "enabled: true");
    sandbox.run(&["status"]).begins(str![[r#"
Telemetry is off: telemetry.json cannot be read, which means off: it is not one JSON object. Nothing is recorded or sent.
Next: mend or delete the file, then run: telemetry-upload consent
--- exit 0

"#]]);
    sandbox.write("telemetry.json", CONSENT);
    let everybody = fs::Permissions::from_mode(0o666);
    fs::set_permissions(sandbox.path("telemetry.json"), everybody).unwrap();
    sandbox.run(&["status"]).begins(str![[r#"
Telemetry is off: telemetry.json cannot be read, which means off: everybody may write it; take that away with chmod o-w. Nothing is recorded or sent.
Next: mend or delete the file, then run: telemetry-upload consent
--- exit 0

"#]]);
}

#[test]
fn nothing_has_been_recorded_yet() {
    Sandbox::new().run(&["status"]).says(str![[r#"
Nothing has been recorded yet.
Next: to record an event, run: telemetry-upload record hello; to hear of an agent: telemetry-upload hooks install --host claude

Telemetry    on, for atomic
Goes to      [SERVER]
Waiting      nothing
Delivered    0 events, 0 in the last 7 days
Dropped      none
Last pass    none yet
Hooks        none installed
Schedule     none installed
--- exit 0

"#]]);
}

#[test]
fn events_wait_for_the_next_pass() {
    let sandbox = Sandbox::new().line(&event("a"));
    sandbox.run(&["status"]).begins(str![[r#"
All is well; 1 event waits for the next pass.
Next: to send now, run: telemetry-upload --flush
--- exit 0

"#]]);
}

#[test]
fn each_buffer_is_counted() {
    let sandbox = Sandbox::new().line(&event("a"));
    let other = sandbox.path("telemetry-events-other.jsonl");
    append(&other, [event("b"), event("c"), String::new()].join("\n"));
    sandbox.run(&["status"]).says(str![[r#"
All is well; 3 events wait for the next pass.
Next: to send now, run: telemetry-upload --flush

Telemetry    on, for atomic
Goes to      [SERVER]
Waiting      3 events, 1 KB, the oldest [AGE] old
             2 events, 1 KB in telemetry-events-other.jsonl
             1 event, 1 KB in telemetry-events.jsonl
Delivered    0 events, 0 in the last 7 days
Dropped      none
Last pass    none yet
Hooks        none installed
Schedule     none installed
--- exit 0

"#]]);
}

#[test]
fn all_is_well_after_a_pass() {
    let old = event_aged("old", TimeDelta::days(31));
    let sandbox = Sandbox::new().line(&event("a")).line(&old);
    after_a_pass(&sandbox).says(str![[r#"
All is well; nothing waits.

Telemetry    on, for atomic
Goes to      [SERVER]
Waiting      nothing
Delivered    1 event since [DAY], 1 in the last 7 days
Dropped      1 too old, all in the last 7 days
Last pass    [TIME]: sent 1 event, dropped 1 too old
Hooks        none installed
Schedule     none installed
--- exit 0

"#]]);
}

#[test]
fn there_is_no_connection_string() {
    let sandbox = Sandbox::new().without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    sandbox.run(&["status"]).begins(str![[r#"
Nothing can be sent: no connection string: set APPLICATIONINSIGHTS_CONNECTION_STRING, or "connectionString" in [HOME]/.local/share/atomic/config.json, to the one that Azure's portal shows for the Application Insights resource.
Next: set that right, then run: telemetry-upload --flush; what is recorded waits meanwhile
--- exit 78

"#]]);
}

#[test]
fn the_connection_string_is_bad() {
    let sandbox = Sandbox::new().env("APPLICATIONINSIGHTS_CONNECTION_STRING", "hello");
    sandbox.run(&["status"]).begins(str![[r#"
Nothing can be sent: bad connection string: the connection string has a part without `=`; a right one: InstrumentationKey=<guid>;IngestionEndpoint=https://<region>.in.applicationinsights.azure.com/.
Next: set that right, then run: telemetry-upload --flush; what is recorded waits meanwhile
--- exit 78

"#]]);
}

#[test]
fn the_configuration_cannot_be_understood() {
    let sandbox = Sandbox::new();
    sandbox.write("config.json", r#"{"alow": ["command"]}"#);
    sandbox.run(&["status"]).begins(str![[r#"
Nothing can be sent: cannot understand [HOME]/.local/share/atomic/config.json: unknown field `alow`, expected one of `connectionString`, `allow`, `sentLog`, `caFile`, `limits` at line 1 column 7.
Next: set that right, then run: telemetry-upload --flush; what is recorded waits meanwhile
--- exit 78

"#]]);
}

#[test]
fn the_machine_is_offline() {
    let sandbox = Sandbox::new().line(&event("a"));
    let text = format!(
        "InstrumentationKey=0a1b2c3d-0000-4000-8000-00000000cafe;IngestionEndpoint=http://127.0.0.1:{}/",
        closed_port()
    );
    let sandbox = sandbox.env("APPLICATIONINSIGHTS_CONNECTION_STRING", &text);
    after_a_pass(&sandbox).begins(str![[r#"
The last pass ([TIME]) failed: no reply from the server: connection refused. 1 event waits; nothing is lost.
Next: to look for the cause, run: telemetry-upload doctor --online; to try at once, run: telemetry-upload --flush
--- exit 75

"#]]);
}

#[test]
fn the_host_name_cannot_be_resolved() {
    let sandbox = over_tls(Sandbox::new(), "ingestion.invalid", 443);
    after_a_pass(&sandbox).begins(str![[r#"
The last pass ([TIME]) failed: no reply from the server: the host name could not be resolved. 1 event waits; nothing is lost.
Next: to look for the cause, run: telemetry-upload doctor --online; to try at once, run: telemetry-upload --flush
--- exit 75

"#]]);
}

#[test]
fn a_proxy_inspects_tls() {
    let sandbox = Sandbox::new();
    let tls = Tls::in_front_of(sandbox.server.port, "localhost");
    let sandbox = over_tls(sandbox, "localhost", tls.port);
    after_a_pass(&sandbox).begins(str![[r#"
The last pass ([TIME]) failed: no reply from the server: invalid peer certificate: UnknownIssuer; if a proxy inspects TLS here, name its root with --ca-file or SSL_CERT_FILE. 1 event waits; nothing is lost.
Next: to look for the cause, run: telemetry-upload doctor --online; to try at once, run: telemetry-upload --flush
--- exit 75

"#]]);
}

#[test]
fn the_instrumentation_key_is_wrong() {
    let sandbox = answering(
        r#""items": [{"index": 0, "statusCode": 400, "message": "Invalid instrumentation key"}]"#,
    );
    after_a_pass(&sandbox).begins(str![[r#"
The last pass ([TIME]) failed: every event was refused alike: Invalid instrumentation key; check the connection string. 1 event waits; nothing is lost.
Next: set that right, then run: telemetry-upload --flush
--- exit 78

"#]]);
}

#[test]
fn the_endpoint_refuses_us() {
    after_a_pass(&answering(r#""status": 403"#)).begins(str![[r#"
The last pass ([TIME]) failed: the endpoint refuses us (403); check the resource's access, private link and local authentication settings. 1 event waits; nothing is lost.
Next: set that right, then run: telemetry-upload --flush
--- exit 78

"#]]);
}

#[test]
fn the_daily_quota_is_used_up() {
    after_a_pass(&answering(r#""status": 439"#)).begins(str![[r#"
The last pass ([TIME]) failed: the daily quota of the resource is used up (439). 1 event waits; nothing is lost.
Next: the next pass tries after [TIME]; to try at once, run: telemetry-upload --flush
--- exit 75

"#]]);
}

#[test]
fn the_server_asks_for_a_pause() {
    let sandbox = answering(r#""status": 429, "headers": {"Retry-After": "3600"}"#);
    after_a_pass(&sandbox).says(str![[r#"
The last pass ([TIME]) failed: the server asks for a pause (429). 1 event waits; nothing is lost.
Next: the next pass tries after [TIME]; to try at once, run: telemetry-upload --flush

Telemetry    on, for atomic
Goes to      [SERVER]
Waiting      1 event, 1 KB, the oldest [AGE] old
Delivered    0 events since [DAY], 0 in the last 7 days
Dropped      none
Last pass    [TIME]: sent 0 events, kept 1 for the next pass
Not before   [TIME]
Hooks        none installed
Schedule     none installed
--- exit 75

"#]]);
}

#[test]
fn the_server_is_in_trouble() {
    after_a_pass(&answering(r#""status": 503"#)).begins(str![[r#"
The last pass ([TIME]) failed: the server answered 503. 1 event waits; nothing is lost.
Next: to look for the cause, run: telemetry-upload doctor --online; to try at once, run: telemetry-upload --flush
--- exit 75

"#]]);
}

#[test]
fn the_network_wants_a_login_first() {
    let sandbox = answering(r#""status": 200, "content_type": "text/html", "body": "<html>""#);
    after_a_pass(&sandbox).begins(str![[r#"
The last pass ([TIME]) failed: something answered 200, but not as Application Insights does; a login page of the network, perhaps. 1 event waits; nothing is lost.
Next: to look for the cause, run: telemetry-upload doctor --online; to try at once, run: telemetry-upload --flush
--- exit 75

"#]]);
}

#[test]
fn a_redirect_leads_to_a_foreign_host() {
    let sandbox =
        answering(r#""status": 307, "headers": {"Location": "https://evil.example/v2.1/track"}"#);
    after_a_pass(&sandbox).begins(str![[r#"
The last pass ([TIME]) failed: a redirect was not followed: it leads to a foreign host, evil.example. 1 event waits; nothing is lost.
Next: to look for the cause, run: telemetry-upload doctor --online; to try at once, run: telemetry-upload --flush
--- exit 75

"#]]);
}

#[test]
fn a_trouble_that_is_over_is_still_told() {
    let sandbox = Sandbox::scripted("{\"status\": 503}\n").line(&event("a"));
    let _ = after_a_pass(&sandbox).outputs();
    after_a_pass(&sandbox).says(str![[r#"
All is well; nothing waits.

Telemetry    on, for atomic
Goes to      [SERVER]
Waiting      nothing
Delivered    1 event since [DAY], 1 in the last 7 days
Dropped      none
Last pass    [TIME]: sent 1 event
Last trouble [TIME]: the server answered 503
Hooks        none installed
Schedule     none installed
--- exit 0

"#]]);
}

#[test]
fn an_uploader_is_at_work() {
    let (sandbox, gate) = Sandbox::gated();
    let sandbox = sandbox.line(&event("a"));
    let child = sandbox.spawn(&["--flush"]);
    sandbox.wait_for_post();
    let pid = child.id().to_string();
    let (code, stdout, stderr) = sandbox.run(&["status"]).outputs();
    assert_eq!((code, stderr.as_str()), (0, ""));
    let first = stdout.lines().next().unwrap();
    let expected = format!("An uploader is at work: process {pid} since ");
    assert!(first.starts_with(&expected), "{first}");
    gate.open();
    sandbox.wait(child);
}

#[test]
fn an_uploader_hangs() {
    let sandbox = Sandbox::new().line(&event("a"));
    fs::create_dir(sandbox.path("upload")).unwrap();
    sandbox.write(
        "upload/uploader.lock",
        "pid 4711 since 2026-11-21T09:30:00Z\n",
    );
    let file = fs::File::open(sandbox.path("upload/uploader.lock")).unwrap();
    file.lock().unwrap();
    sandbox.run(&["status"]).begins(str![[r#"
An uploader hangs: process 4711, at work since [TIME], longer than a pass may take.
Next: end it: kill -9 4711; nothing is lost, the next pass goes on
--- exit 1

"#]]);
    drop(file);
}

#[test]
fn it_is_another_users() {
    let sandbox = Sandbox::new().line(&event("a"));
    if std::os::unix::fs::chown(sandbox.data(), Some(65_534), None).is_err() {
        tools::missed("root");
        return;
    }
    sandbox.run(&["status"]).says(str![[r#"
This is another user's telemetry; nothing of it can be told here.
Next: run this as that user
--- exit 1

"#]]);
}

#[test]
fn the_uploaders_folder_is_a_link() {
    let sandbox = Sandbox::new().line(&event("a"));
    std::os::unix::fs::symlink("/tmp", sandbox.path("upload")).unwrap();
    sandbox.run(&["status"]).begins(str![[r#"
Something is in the way: cannot write into [HOME]/.local/share/atomic/upload: it is a symbolic link, which is not followed here.
Next: mend it; telemetry-upload doctor looks closer
--- exit 1

"#]]);
}

#[test]
fn what_the_next_pass_will_drop_is_said() {
    let sandbox = Sandbox::new().line(&event_aged("a", TimeDelta::days(81)));
    sandbox.run(&["status"]).says(str![[r#"
Nobody sends: 1 event waits, and no pass ever came.
Next: to send them now, run: telemetry-upload --flush; regularly: telemetry-upload schedule install

Telemetry    on, for atomic
Goes to      [SERVER]
Waiting      1 event, 1 KB, the oldest 81 days old
             what is over 30 days old is dropped by the next pass
Delivered    0 events, 0 in the last 7 days
Dropped      none
Last pass    none yet
Hooks        none installed
Schedule     none installed
--- exit 75

"#]]);
    let sandbox = Sandbox::new();
    sandbox.write("config.json", r#"{"limits":{"bufferBytes":100000}}"#);
    sandbox.append(events(0..500).concat());
    let (_, stdout, _) = sandbox.run(&["status"]).outputs();
    let words = "a buffer is over 100 KB: the next pass drops its oldest events";
    assert!(stdout.contains(words), "{stdout}");
}

#[test]
fn a_key_that_is_likely_to_be_a_mistake_is_shown() {
    let text = "InstrumentationKey=zz;IngestionEndpoint=http://127.0.0.1:9/";
    let sandbox = Sandbox::new().env("APPLICATIONINSIGHTS_CONNECTION_STRING", text);
    let (_, stdout, _) = sandbox.run(&["status"]).outputs();
    let words = "127.0.0.1:9 (the InstrumentationKey is not a GUID, which is likely a mistake)";
    assert!(stdout.contains(words), "{stdout}");
}

#[test]
fn nobody_sends() {
    let sandbox = Sandbox::new().line(&event_aged("a", TimeDelta::hours(73)));
    sandbox.run(&["status"]).begins(str![[r#"
Nobody sends: 1 event waits, and no pass ever came.
Next: to send them now, run: telemetry-upload --flush; regularly: telemetry-upload schedule install
--- exit 75

"#]]);
}

#[test]
fn the_clock_is_a_month_behind_the_servers() {
    let ahead = telemetry_upload::world::now() + TimeDelta::hours(24 * 30 + 1);
    let date = ahead.format("%a, %d %b %Y %H:%M:%S GMT");
    let sandbox = answering(&format!(r#""headers": {{"Date": "{date}"}}"#));
    after_a_pass(&sandbox).begins(str![[r#"
This machine's clock is 30 days behind the server's.
Next: set the clock right; until then no event is dropped for its age
--- exit 0

"#]]);
}

#[test]
fn the_hooks_do_not_find_the_program() {
    if !tools::is_not_installed() {
        return;
    }
    let sandbox = Sandbox::new().env("PATH", "/nowhere");
    let _ = sandbox
        .run(&["hooks", "install", "--host", "claude"])
        .outputs();
    sandbox.run(&["status"]).says(str![[r#"
The hooks cannot find telemetry-upload, so they do nothing.
Next: put it on the PATH or into ~/.local/bin, for example with install.sh

Telemetry    on, for atomic
Goes to      [SERVER]
Waiting      nothing
Delivered    0 events, 0 in the last 7 days
Dropped      none
Last pass    none yet
Hooks        claude (user): installed
Schedule     none installed
--- exit 1

"#]]);
}

#[test]
fn the_schedule_starts_a_program_that_is_gone() {
    let sandbox = Sandbox::new();
    let folder = sandbox.home.path().join(".config/systemd/user");
    fs::create_dir_all(&folder).unwrap();
    let (_, printed, _) = sandbox
        .run(&["schedule", "print", "--scheduler", "systemd"])
        .outputs();
    // The files as they are printed, each behind its name.
    for part in printed.split("Write this to ").skip(1) {
        let (path, text) = part.split_once(":\n").unwrap();
        let text = text.split("\n\nThen run:").next().unwrap();
        fs::write(path, text.replace(BINARY, "/nowhere/telemetry-upload")).unwrap();
    }
    sandbox.run(&["status"]).says(str![[r#"
The schedule (systemd) does nothing: every 1h, but /nowhere/telemetry-upload is not there.
Next: make it anew: telemetry-upload schedule install --scheduler systemd --every 1h --app atomic --data-dir [HOME]/.local/share/atomic

Telemetry    on, for atomic
Goes to      [SERVER]
Waiting      nothing
Delivered    0 events, 0 in the last 7 days
Dropped      none
Last pass    none yet
Hooks        none installed
Schedule     systemd: every 1h, but /nowhere/telemetry-upload is not there
--- exit 1

"#]]);
}

#[test]
fn a_buffer_is_not_a_plain_file() {
    let sandbox = Sandbox::new().line(&event("a"));
    std::os::unix::fs::symlink("/etc/passwd", sandbox.path("telemetry-events-evil.jsonl")).unwrap();
    sandbox.run(&["status"]).begins(str![[r#"
Something is in the way: cannot open [HOME]/.local/share/atomic/telemetry-events-evil.jsonl: it is a symbolic link, which is not followed here.
Next: mend it; telemetry-upload doctor looks closer
--- exit 1

"#]]);
}

/// Looks from within a mount namespace that this has set up; none where that cannot be done.
fn within(sandbox: &Sandbox, setup: &str) -> Option<Output> {
    let unshare = tools::unshare()?;
    let script = format!("set -e; cd \"$DATA\"; {setup}; exec \"$BINARY\" status");
    let output = Command::new(unshare)
        .args(["--mount", "sh", "-c", &script])
        .env_clear()
        .envs(&sandbox.env)
        .env("DATA", sandbox.data())
        .env("BINARY", BINARY)
        .output()
        .unwrap();
    Some(output)
}

fn first_line(output: &Output) -> String {
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn the_disk_is_full() {
    let sandbox = Sandbox::new().with_stand_ins();
    let setup = "cp telemetry.json /dev/shm/consent.$$; mount -t tmpfs -o size=64k tmpfs \"$DATA\"; \
                 cd \"$DATA\"; mv /dev/shm/consent.$$ telemetry.json; chmod 700 .";
    let Some(output) = within(&sandbox, setup) else {
        return;
    };
    let expected = format!(
        "Something is in the way: the disk of {} is full.",
        sandbox.data().display()
    );
    assert_eq!(first_line(&output), expected);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_folder_is_read_only() {
    let sandbox = Sandbox::new().line(&event("a")).with_stand_ins();
    let setup =
        "mount --bind \"$DATA\" \"$DATA\"; mount -o remount,bind,ro \"$DATA\"; cd \"$DATA\"";
    let Some(output) = within(&sandbox, setup) else {
        return;
    };
    let expected = format!(
        "Something is in the way: cannot write into {}: Read-only file system (os error 30).",
        sandbox.data().display()
    );
    assert_eq!(first_line(&output), expected);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn looking_changes_and_makes_nothing() {
    let sandbox = Sandbox::new().line(&event("a"));
    let before = sandbox.files();
    let _ = sandbox.run(&["status"]).posts(0).outputs();
    let _ = sandbox.run(&["status", "--json"]).posts(0).outputs();
    assert_eq!(sandbox.files(), before);
    assert_eq!(sandbox.read(BUFFER).lines().count(), 1);
}

#[test]
fn programs_read_the_same() {
    let sandbox = Sandbox::new().line(&event("a")).line("not an event");
    let _ = after_a_pass(&sandbox).outputs();
    let sandbox = sandbox.line(&event("b"));
    let (code, stdout, stderr) = sandbox.run(&["status", "--json"]).outputs();
    assert_eq!((code, stderr.as_str()), (0, ""));
    let status: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(status["on"], true);
    assert_eq!(
        status["endpoint"],
        format!("127.0.0.1:{}", sandbox.server.port)
    );
    assert_eq!(status["totals"]["delivered"], 1);
    assert_eq!(status["totals"]["dropped"]["malformed"], 1);
    assert_eq!(status["last7Days"], status["totals"]);
    assert_eq!(status["buffers"][0]["name"], BUFFER);
    assert_eq!(status["buffers"][0]["events"], 1);
    assert_eq!(status["exit"], 0);
}

#[test]
fn the_next_step_names_the_application() {
    let sandbox = Sandbox::new();
    let (code, stdout, _) = sandbox
        .run(&["status", "--app", "my-tool", "--data-dir", "it's here"])
        .outputs();
    assert_eq!(code, 0);
    let home = sandbox.home.path().display();
    let expected = format!(
        "Next: to be asked, run: telemetry-upload consent --app my-tool --data-dir '{home}/it'\\''s here'\n"
    );
    assert!(stdout.contains(&expected), "{stdout}");
}
