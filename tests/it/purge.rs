//! What `purge` deletes, what it leaves, and what happens meanwhile.

use crate::kit::{BUFFER, Sandbox, event};
use snapbox::str;
use std::fs;
use std::io::Write;

/// One event waits, one was sent, one was refused, one session is known.
fn lived_in() -> Sandbox {
    let sandbox = Sandbox::new().line(&event("sent")).line("not JSON");
    let _ = sandbox.flush().outputs();
    fs::create_dir_all(sandbox.path("upload/sessions")).unwrap();
    sandbox.write("upload/sessions/x.jsonl", "\n{}\n");
    sandbox.line(&event("waits"))
}

#[test]
fn purge_deletes_what_waits_and_every_copy() {
    let sandbox = lived_in();
    let inode = sandbox.inode();
    sandbox.run(&["purge"]).says(str![[r#"
To be deleted in [HOME]/.local/share/atomic:
  1 waiting event (buffers of 237 bytes)
  the copies of 1 refused event
  the copies of 1 sent event
  what is known of 1 agent session
Kept: telemetry.json, config.json, and the state and the log, which hold counts.
--- stderr
telemetry-upload: nothing was deleted: nobody is here to be asked; run telemetry-upload purge --yes
--- exit 2

"#]]);
    let before = sandbox.files();
    sandbox.run(&["purge", "--yes"]).says(str![[r#"
Deleted: 1 waiting event (buffers of 237 bytes), the copies of 1 refused event, the copies of 1 sent event, what is known of 1 agent session.
The telemetry of atomic is on and goes on; to turn it off: telemetry-upload disable
--- exit 0

"#]]);
    let after = sandbox.files();
    assert_eq!(
        (sandbox.read(BUFFER).as_str(), sandbox.inode()),
        ("", inode)
    );
    for (name, (_, content)) in &after {
        let text = String::from_utf8_lossy(content);
        assert!(
            !text.contains("waits") && !text.contains("11111111-1111-4111-8111-111111111111")
                || name.ends_with("telemetry.json"),
            "{name}: {text}"
        );
    }
    for kept in ["telemetry.json", "upload/state.json", "upload/upload.log"] {
        let name = format!(".local/share/atomic/{kept}");
        assert_eq!(before[&name], after[&name], "{name}");
    }
    sandbox.run(&["purge", "--yes"]).says(str![[r#"
There is nothing of atomic to delete.
--- exit 0

"#]]);
    sandbox.flush().stdout("nothing to send").posts(1).code(0);
}

#[test]
fn purge_deletes_damaged_consent_files_that_disable_set_aside() {
    let sandbox = Sandbox::new();
    let damaged = r#"{"anonymousId": "11111111-1111-4111-8111-111111111111""#;
    sandbox.write("telemetry.json", damaged);
    assert_eq!(sandbox.run(&["disable"]).outputs().0, 0);
    let aside = sandbox.path("telemetry.json.damaged-1");
    assert_eq!(fs::read_to_string(&aside).unwrap(), damaged);
    sandbox.run(&["purge", "--yes"]).says(str![[r#"
Deleted: the copies of 1 damaged consent file.
--- exit 0

"#]]);
    assert!(!aside.exists());
    assert!(sandbox.path("telemetry.json").exists());
}

#[test]
fn a_person_is_asked_before_anything_is_deleted() {
    for (typed, is_deleted) in [
        ("y\n", true),
        ("Yes\n", true),
        ("\n", false),
        ("n\n", false),
        ("\x04", false),
    ] {
        let sandbox = lived_in();
        let (code, said, _) = sandbox.at_terminal(&["purge"], 20, typed).outputs();
        assert_eq!(
            (code, sandbox.read(BUFFER).is_empty()),
            (0, is_deleted),
            "{said}"
        );
        assert_eq!(said.contains("Nothing was deleted"), !is_deleted, "{said}");
    }
}

#[test]
fn where_there_is_nothing_nothing_is_made() {
    let sandbox = Sandbox::new();
    fs::remove_dir_all(sandbox.data()).unwrap();
    sandbox.run(&["purge", "--yes"]).says(str![[r#"
There is nothing of atomic to delete.
--- exit 0

"#]]);
    assert!(!sandbox.data().exists());
}

#[test]
fn a_pass_at_work_is_waited_for_but_not_for_ever() {
    let (sandbox, gate) = Sandbox::gated();
    sandbox.append(event("a") + "\n");
    let pass = sandbox.spawn(&["--flush"]);
    sandbox.wait_for_post();
    sandbox.run(&["purge", "--yes"]).says(str![[r#"
--- stderr
telemetry-upload: nothing was deleted: a pass is at work; run this again in a moment, or first telemetry-upload disable, which stops it
--- exit 75

"#]]);
    gate.open();
    sandbox.wait(pass);
    assert_eq!(sandbox.delivered(), ["a"]);
}

#[test]
fn what_a_producer_appends_meanwhile_is_deleted_or_stays_but_is_never_torn() {
    let sandbox = Sandbox::new().line(&event("first"));
    let path = sandbox.path(BUFFER);
    let mut deleted = 0;
    std::thread::scope(|scope| {
        let producer = scope.spawn(|| {
            for n in 0..3000 {
                let mut file = fs::File::options().append(true).open(&path).unwrap();
                file.write_all((event(&format!("n{n}")) + "\n").as_bytes())
                    .unwrap();
            }
        });
        while !producer.is_finished() {
            deleted += events_deleted(&sandbox);
        }
    });
    let text = sandbox.read(BUFFER);
    // Where an event was deleted while the producer had the buffer open, a newline stands.
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    for line in &lines {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    let left = lines.len();
    assert_eq!(deleted + left, 3001, "{deleted} deleted, {left} left");
}

fn events_deleted(sandbox: &Sandbox) -> usize {
    let (code, said, stderr) = sandbox.run(&["purge", "--yes"]).outputs();
    assert_eq!((code, stderr.as_str()), (0, ""), "{said}");
    let count = said
        .strip_prefix("Deleted: ")
        .and_then(|rest| rest.split(' ').next());
    count.map_or(0, |count| count.replace(',', "").parse().unwrap_or(0))
}

#[test]
fn links_are_removed_and_not_followed() {
    let sandbox = lived_in();
    let elsewhere = sandbox.home.path().join("elsewhere");
    fs::write(&elsewhere, "theirs\n").unwrap();
    fs::remove_file(sandbox.path("upload/sent.jsonl")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, sandbox.path("upload/sent.jsonl")).unwrap();
    fs::remove_file(sandbox.path(BUFFER)).unwrap();
    std::os::unix::fs::symlink(&elsewhere, sandbox.path(BUFFER)).unwrap();
    sandbox.run(&["purge", "--yes"]).says(str![[r#"
Deleted: the copies of 1 refused event, what is known of 1 agent session.
The telemetry of atomic is on and goes on; to turn it off: telemetry-upload disable
--- stderr
telemetry-upload: cannot open [HOME]/.local/share/atomic/telemetry-events.jsonl: it is a symbolic link, which is not followed here
--- exit 1

"#]]);
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "theirs\n");
    assert!(fs::symlink_metadata(sandbox.path("upload/sent.jsonl")).is_err());
}

#[test]
fn a_renamed_buffer_is_named_and_stays() {
    let sandbox = Sandbox::new();
    sandbox.write("telemetry-events.jsonl.1", event("a") + "\n");
    let (code, stdout, stderr) = sandbox.run(&["purge", "--yes"]).outputs();
    let left = "telemetry-events.jsonl.1 is no buffer by its name, and stays; delete it by hand";
    assert_eq!((code, stderr.contains(left)), (1, true), "{stdout}{stderr}");
    assert!(sandbox.path("telemetry-events.jsonl.1").exists());
}
