//! The person's answer: what each command says, writes and leaves alone.

use crate::kit::{CONSENT, Sandbox, event};
use crate::person::END;
use serde_json::{Value, json};
use snapbox::str;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// A home in which nobody was asked yet, with events that a host appended all the same.
fn unasked(events: usize) -> Sandbox {
    let sandbox = Sandbox::new();
    fs::remove_file(sandbox.path("telemetry.json")).unwrap();
    for n in 0..events {
        sandbox.append(event(&format!("canary-{n}")) + "\n");
    }
    sandbox
}

fn answer(sandbox: &Sandbox) -> Value {
    serde_json::from_str(&sandbox.read("telemetry.json")).unwrap()
}

#[test]
fn without_a_terminal_nobody_agrees() {
    let sandbox = unasked(1);
    let before = sandbox.files();
    sandbox.run(&["consent"]).says(str![[r#"
--- stderr
telemetry-upload: nothing was changed: nobody is here to be asked; run this on a terminal, or with --yes or --no
--- exit 2

"#]]);
    sandbox.run(&["enable"]).says(str![[r#"
--- stderr
telemetry-upload: nothing was changed: nobody has agreed to the telemetry of atomic yet; run telemetry-upload consent
--- exit 2

"#]]);
    sandbox.feed(&["consent"], "y\n").says(str![[r#"
--- stderr
telemetry-upload: nothing was changed: nobody is here to be asked; run this on a terminal, or with --yes or --no
--- exit 2

"#]]);
    assert_eq!(sandbox.files(), before);
}

#[test]
fn yes_makes_everything_that_is_missing() {
    let sandbox = Sandbox::new();
    fs::remove_dir_all(sandbox.data()).unwrap();
    sandbox.run(&["consent", "--yes"]).says(str![[r#"
You agreed: the telemetry of atomic is on from now on.
To turn it off: telemetry-upload disable
--- exit 0

"#]]);
    let said = answer(&sandbox);
    let keys: Vec<&String> = said.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "enabled",
            "consentGiven",
            "anonymousId",
            "createdAt",
            "rotatedAt"
        ]
    );
    assert_eq!(
        (&said["enabled"], &said["consentGiven"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(said["createdAt"], said["rotatedAt"]);
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(sandbox.data()), 0o700);
    assert_eq!(mode(sandbox.path("telemetry.json")), 0o600);
    sandbox.run(&["consent", "--yes"]).says(str![[r#"
You agreed already: the telemetry of atomic is on.
To turn it off: telemetry-upload disable
--- exit 0

"#]]);
    sandbox.run(&["consent"]).says(str![[r#"
You agreed already: the telemetry of atomic is on.
To turn it off: telemetry-upload disable
--- exit 0

"#]]);
    assert_eq!(answer(&sandbox), said);
}

#[test]
fn nothing_is_sent_before_somebody_agrees() {
    let sandbox = unasked(2);
    for args in [
        &["consent"][..],
        &["enable"],
        &["purge"],
        &["reset-id"],
        &["--flush"],
        &["--detach"],
        &[],
        &["disable"],
        &["enable"],
        &["consent", "--no"],
        &["--flush", "--verbose"],
    ] {
        let _ = sandbox.run(args).outputs();
        assert_eq!(*sandbox.server.connections.lock().unwrap(), 0, "{args:?}");
    }
    let _ = sandbox.run(&["consent", "--yes"]).outputs();
    sandbox.flush().stdout("sent 2 events").left("").code(0);
    assert_eq!(sandbox.delivered(), ["canary-0", "canary-1"]);
}

#[test]
fn no_says_what_becomes_of_what_waits() {
    let sandbox = unasked(3);
    sandbox.run(&["consent", "--no"]).says(str![[r#"
Your no is written down. The telemetry of atomic stays off: nothing is sent.
3 events wait on this machine and stay there, unsent. To delete them: telemetry-upload purge
To turn it on: telemetry-upload consent
--- exit 0

"#]]);
    assert_eq!(
        answer(&sandbox),
        json!({"enabled": false, "consentGiven": false})
    );
    let sandbox = Sandbox::new();
    sandbox.run(&["consent", "--no"]).says(str![[r#"
The telemetry of atomic is off: nothing is sent from now on.
To turn it on: telemetry-upload consent
--- exit 0

"#]]);
    assert_eq!(answer(&sandbox)["consentGiven"], false);
}

#[test]
fn it_is_turned_off_and_on_again_without_asking_twice() {
    let sandbox = Sandbox::new().line(&event("a"));
    sandbox.run(&["disable"]).says(str![[r#"
The telemetry of atomic is off: nothing is sent from now on.
1 event waits on this machine and stays there, unsent. To delete it: telemetry-upload purge
To turn it on: telemetry-upload enable
--- exit 0

"#]]);
    assert_eq!(answer(&sandbox)["enabled"], false);
    assert_eq!(answer(&sandbox)["consentGiven"], true);
    sandbox
        .flush()
        .stdout("telemetry is off: it was turned off (\"enabled\" in telemetry.json is not true); nothing was sent")
        .code(0);
    sandbox.run(&["disable"]).says(str![[r#"
The telemetry of atomic is off already: nothing is sent.
1 event waits on this machine and stays there, unsent. To delete it: telemetry-upload purge
To turn it on: telemetry-upload enable
--- exit 0

"#]]);
    sandbox.run(&["enable"]).says(str![[r#"
The telemetry of atomic is on.
1 event waits and goes with the next pass. To delete it instead: telemetry-upload purge
To turn it off: telemetry-upload disable
--- exit 0

"#]]);
    sandbox.run(&["enable"]).says(str![[r#"
The telemetry of atomic is on already.
1 event waits and goes with the next pass. To delete it instead: telemetry-upload purge
To turn it off: telemetry-upload disable
--- exit 0

"#]]);
    let before: Value = serde_json::from_str(CONSENT).unwrap();
    assert_eq!(answer(&sandbox), before);
    sandbox.flush().stdout("sent 1 event").left("").code(0);
}

#[test]
fn keys_of_a_host_stay_where_they_are() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "telemetry.json",
        r#"{"z":[1,{"y":null}],"consentGiven":false,"enabled":false,"host":"é"}"#,
    );
    let _ = sandbox.run(&["consent", "--yes"]).outputs();
    let _ = sandbox.run(&["reset-id"]).outputs();
    let _ = sandbox.run(&["disable"]).outputs();
    let said = answer(&sandbox);
    let keys: Vec<&String> = said.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "z",
            "consentGiven",
            "enabled",
            "host",
            "anonymousId",
            "createdAt",
            "rotatedAt"
        ]
    );
    assert_eq!(said["z"], json!([1, {"y": null}]));
}

#[test]
fn a_person_is_asked_and_shown_what_is_sent() {
    let ask = |typed: &str| {
        let sandbox = unasked(2);
        let _ = sandbox.at_terminal(&["consent"], 80, typed).outputs();
        fs::read_to_string(sandbox.path("telemetry.json")).ok()
    };
    for nothing in ["\n", END, "maybe\n\n"] {
        assert_eq!(ask(nothing), None, "{nothing:?}");
    }
    for yes in ["y\n", "YES\n", "s\nwhat\ny\n"] {
        assert!(
            ask(yes).unwrap().contains("\"consentGiven\": true"),
            "{yes:?}"
        );
    }
    assert!(ask("n\n").unwrap().contains("\"consentGiven\": false"));
    let sandbox = unasked(1);
    sandbox
        .at_terminal(&["consent"], 80, "what\ns\ny\n")
        .says(str![[r#"
May atomic send usage telemetry?
Collected: what is run and whether it works: the event's name and time, the command, the version, the platform, the agent, success, and a random id that changes every month. Other fields only if they do not look personal.
Not collected: prompts, arguments, paths, people's names, e-mail addresses, file contents.
Sent to: [SERVER]
To stop it: telemetry-upload disable, or DO_NOT_TRACK=1
1 event waits already, and would go with the next pass.
[y] yes  [n] no  [s] show me what is sent: Please answer y, n or s; an empty line is no answer.
[y] yes  [n] no  [s] show me what is sent: An event as a tool writes it, for example:
{
  "eventType": "cli_command",
  "eventId": "[ID]",
  "timestamp": "[TIME]",
  "anonymousId": "[ID]",
  "platform": "linux",
  "version": "1.2.3",
  "command": "init",
  "agentType": "claude",
  "success": true,
  "prompt": "this field stays on the machine"
}
What is sent of it:
{
  "name": "Microsoft.ApplicationInsights.Event",
  "time": "[TIME]",
  "iKey": "[ID]",
  "tags": {
    "ai.user.id": "[ID]",
    "ai.application.ver": "1.2.3",
    "ai.cloud.role": "atomic",
    "ai.cloud.roleInstance": "-",
    "ai.device.osVersion": "linux",
    "ai.operation.id": "[ID]",
    "ai.location.ip": "0.0.0.0",
    "ai.internal.sdkVersion": "tup:0.1.0"
  },
  "data": {
    "baseType": "EventData",
    "baseData": {
      "ver": 2,
      "name": "cli_command",
      "properties": {
        "timestamp": "[TIME]",
        "event_id": "[ID]",
        "anonymous_id": "[ID]",
        "version": "1.2.3",
        "agent_type": "claude",
        "command": "init",
        "platform": "linux",
        "success": "true"
      }
    }
  }
}
1 event waits in [HOME]/.local/share/atomic.
[y] yes  [n] no  [s] show me what is sent: You agreed: the telemetry of atomic is on from now on.
1 event waits and goes with the next pass. To delete it instead: telemetry-upload purge
To turn it off: telemetry-upload disable
--- exit 0

"#]]);
    let sandbox = unasked(0).without_env("APPLICATIONINSIGHTS_CONNECTION_STRING");
    sandbox
        .at_terminal(&["enable"], 20, "\n")
        .says(str![[r#"
May atomic send usage telemetry?
Collected: what is run and whether it works: the event's name and time, the command, the version, the platform, the agent, success, and a random id that changes every month. Other fields only if they do not look personal.
Not collected: prompts, arguments, paths, people's names, e-mail addresses, file contents.
Sent to: nowhere yet, for no endpoint is set
To stop it: telemetry-upload disable, or DO_NOT_TRACK=1
[y] yes  [n] no  [s] show me what is sent: No answer: nothing was changed, and telemetry stays off.
--- exit 0

"#]]);
}

#[test]
fn a_rule_of_the_environment_is_named_after_a_yes() {
    let sandbox = unasked(0).env("DO_NOT_TRACK", "1");
    sandbox.run(&["consent", "--yes"]).says(str![[r#"
You agreed: the telemetry of atomic is on from now on.
But here it is off all the same: DO_NOT_TRACK is set.
To turn it off: telemetry-upload disable
--- exit 0

"#]]);
}

#[test]
fn another_application_is_named_in_what_to_do_next() {
    let sandbox = unasked(0);
    sandbox
        .run(&["disable", "--app", "my-tool", "--data-dir", "its data"])
        .says(str![[r#"
Your no is written down. The telemetry of my-tool stays off: nothing is sent.
Nothing was known of my-tool so far. Should a tool of this name come, it finds your no.
To turn it on: telemetry-upload consent --app my-tool --data-dir '[HOME]/its data'
--- exit 0

"#]]);
}

#[test]
fn a_damaged_file_is_off_and_no_yes_changes_it() {
    let sandbox = Sandbox::new();
    sandbox.write("telemetry.json", "{");
    let before = sandbox.files();
    for args in [
        &["enable"][..],
        &["consent"],
        &["consent", "--yes"],
        &["reset-id"],
    ] {
        let (code, stdout, stderr) = sandbox.run(args).outputs();
        assert_eq!((code, stdout.as_str()), (1, ""), "{args:?} {stderr}");
        assert!(
            stderr.contains("it is not one JSON object")
                && (stderr.contains("mend the file") || args[0] == "reset-id"),
            "{args:?} {stderr}"
        );
    }
    assert_eq!(sandbox.files(), before);
    sandbox.run(&["enable"]).says(str![[r#"
--- stderr
telemetry-upload: cannot change [HOME]/.local/share/atomic/telemetry.json: it is not one JSON object; it is as it was, and the telemetry of atomic is off because of that; mend the file, or move it away and run telemetry-upload consent
--- exit 1

"#]]);
    sandbox.run(&["reset-id"]).says(str![[r#"
--- stderr
telemetry-upload: cannot change [HOME]/.local/share/atomic/telemetry.json: it is not one JSON object; nothing was changed; mend the file and run this again
--- exit 1

"#]]);
}

#[test]
fn a_key_that_stands_there_twice_hinders_a_yes_but_never_a_no() {
    let twice = |on: bool| {
        let file = format!(r#"{{"x":1,"enabled":{on},"x":2,"enabled":{on},"consentGiven":true}}"#);
        let sandbox = Sandbox::new().line(&event("a"));
        sandbox.write("telemetry.json", &file);
        sandbox
    };
    let sandbox = twice(false);
    let before = sandbox.files();
    for args in [&["enable"][..], &["consent", "--yes"], &["reset-id"]] {
        let (code, stdout, stderr) = sandbox.run(args).outputs();
        assert_eq!((code, stdout.as_str()), (1, ""), "{args:?} {stderr}");
        assert!(stderr.contains("stands there twice"), "{args:?} {stderr}");
    }
    assert_eq!(sandbox.files(), before);
    for args in [&["disable"][..], &["consent", "--no"]] {
        let sandbox = twice(true);
        assert_eq!(sandbox.run(args).outputs().0, 0, "{args:?}");
        let said = answer(&sandbox);
        assert_eq!((&said["x"], &said["enabled"]), (&json!(2), &json!(false)));
        assert_eq!(sandbox.read("telemetry.json").matches("enabled").count(), 1);
        let _ = sandbox.flush().outputs();
        assert_eq!(*sandbox.server.connections.lock().unwrap(), 0);
    }
}

#[test]
fn a_no_does_without_a_lock_that_cannot_be_had() {
    let obstacles: [fn(&Sandbox); 3] = [
        |sandbox| sandbox.write("upload", "a file"),
        |sandbox| std::os::unix::fs::symlink("/nowhere", sandbox.path("upload")).unwrap(),
        |sandbox| fs::create_dir_all(sandbox.path("upload/consent.lock")).unwrap(),
    ];
    for (n, obstacle) in obstacles.into_iter().enumerate() {
        for args in [&["disable"][..], &["consent", "--no"]] {
            let sandbox = Sandbox::new();
            obstacle(&sandbox);
            let (code, _, stderr) = sandbox.run(args).outputs();
            assert_eq!((code, stderr.as_str()), (0, ""), "{n} {args:?}");
            assert_eq!(answer(&sandbox)["enabled"], false, "{n} {args:?}");
        }
    }
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("upload")).unwrap();
    let lock = fs::File::create(sandbox.path("upload/consent.lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(sandbox.run(&["disable"]).outputs().0, 0);
    assert_eq!(answer(&sandbox)["enabled"], false);
    sandbox.run(&["enable"]).says(str![[r#"
--- stderr
telemetry-upload: cannot change [HOME]/.local/share/atomic/telemetry.json: another program keeps writing it, or holds it or [HOME]/.local/share/atomic/upload/consent.lock open; it is as it was, and the telemetry of atomic is off: it was turned off ("enabled" in telemetry.json is not true); set that right and run this again
--- exit 1

"#]]);
}

#[test]
fn a_link_is_not_followed_and_hinders_a_yes_but_never_a_no() {
    let sandbox = unasked(0);
    let elsewhere = sandbox.home.path().join("elsewhere");
    fs::write(&elsewhere, "{}").unwrap();
    std::os::unix::fs::symlink(&elsewhere, sandbox.path("telemetry.json")).unwrap();
    sandbox.run(&["consent", "--yes"]).says(str![[r#"
--- stderr
telemetry-upload: cannot change [HOME]/.local/share/atomic/telemetry.json: it is a symbolic link, which is not followed here; it is as it was, and the telemetry of atomic is off because of that; mend the file, or move it away and run telemetry-upload consent
--- exit 1

"#]]);
    sandbox.run(&["disable"]).says(str![[r#"
Your no is written down. The telemetry of atomic stays off: nothing is sent.
telemetry.json could not be read: it is a symbolic link, which is not followed here. It was set aside as [HOME]/.local/share/atomic/telemetry.json.damaged-1.
To turn it on: telemetry-upload consent
--- exit 0

"#]]);
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "{}");
    assert_eq!(
        fs::read_link(sandbox.path("telemetry.json.damaged-1")).unwrap(),
        elsewhere
    );
    assert_eq!(
        answer(&sandbox),
        json!({"enabled": false, "consentGiven": false})
    );
}

/// Something that happens to telemetry.json.
type Damage = Box<dyn Fn(&Sandbox)>;

/// Whatever stands in its place: each no is written, and what stood there is beside it.
#[test]
fn a_no_works_on_a_file_that_cannot_be_read() {
    let content = |content: &'static [u8]| {
        Box::new(move |sandbox: &Sandbox| sandbox.write("telemetry.json", content)) as Damage
    };
    let is_root = rustix::process::geteuid().is_root();
    let mut kinds: Vec<(&str, Damage)> = vec![
        (
            "it is not one JSON object",
            content(br#"{"enabled":true,"consentGiven":true,}"#),
        ),
        ("it is not one JSON object", content(b"[true]")),
        ("it is not one JSON object", content(b"")),
        ("it is not one JSON object", content(b"\xff\xfe{\0}\0")),
        ("it is not one JSON object", content(b"\x7fELF\0\0\x01")),
        ("file too large", content(&[b' '; 65_537])),
        (
            "it is not a regular file",
            Box::new(|sandbox| {
                fs::remove_file(sandbox.path("telemetry.json")).unwrap();
                fs::create_dir(sandbox.path("telemetry.json")).unwrap();
                sandbox.write("telemetry.json/inside", "theirs");
            }),
        ),
        (
            "everybody may write it; take that away with chmod o-w",
            Box::new(|sandbox| {
                let open = fs::Permissions::from_mode(0o602);
                fs::set_permissions(sandbox.path("telemetry.json"), open).unwrap();
            }),
        ),
        (
            "it has more than one hard link",
            Box::new(|sandbox| {
                fs::hard_link(sandbox.path("telemetry.json"), sandbox.path("other")).unwrap();
            }),
        ),
    ];
    if is_root {
        kinds.push((
            "it belongs to another user (uid 1; this is uid 0); run this as that user",
            Box::new(|sandbox| {
                std::os::unix::fs::chown(sandbox.path("telemetry.json"), Some(1), None).unwrap();
            }),
        ));
    } else {
        kinds.push((
            "Permission denied (os error 13)",
            Box::new(|sandbox| {
                let shut = fs::Permissions::from_mode(0o000);
                fs::set_permissions(sandbox.path("telemetry.json"), shut).unwrap();
            }),
        ));
    }
    for (why, damage) in kinds {
        for args in [&["disable"][..], &["consent", "--no"]] {
            let sandbox = Sandbox::new().line(&event("a"));
            damage(&sandbox);
            let inode = |name| {
                use std::os::unix::fs::MetadataExt;
                fs::symlink_metadata(sandbox.path(name)).unwrap().ino()
            };
            let damaged = inode("telemetry.json");
            let (code, stdout, stderr) = sandbox.run(args).outputs();
            assert_eq!((code, stderr.as_str()), (0, ""), "{why} {args:?} {stdout}");
            let aside = sandbox.path("telemetry.json.damaged-1");
            let words = format!(
                "telemetry.json could not be read: {why}. It was set aside as {}.",
                aside.display()
            );
            assert!(stdout.contains(&words), "{stdout}");
            assert_eq!(
                answer(&sandbox),
                json!({"enabled": false, "consentGiven": false}),
                "{why}"
            );
            assert_eq!(inode("telemetry.json.damaged-1"), damaged, "{why}");
            let (_, stdout, _) = sandbox.run(args).outputs();
            assert!(stdout.contains("is off already"), "{stdout}");
            assert!(!sandbox.path("telemetry.json.damaged-2").exists());
            let _ = sandbox.flush().outputs();
            assert_eq!(*sandbox.server.connections.lock().unwrap(), 0);
            // The person may agree again.
            assert_eq!(sandbox.run(&["consent", "--yes"]).outputs().0, 0, "{why}");
        }
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_never_pretended() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("upload")).unwrap();
    // Even root cannot make a file of this name.
    fs::create_dir(sandbox.path("telemetry.json.telemetry-upload.new")).unwrap();
    sandbox.run(&["disable"]).says(str![[r#"
--- stderr
telemetry-upload: cannot change [HOME]/.local/share/atomic/telemetry.json: cannot write beside it: Is a directory (os error 21); it is as it was, and the telemetry of atomic is still ON; to turn it off now, set DO_NOT_TRACK=1
--- exit 1

"#]]);
    assert_eq!(sandbox.read("telemetry.json"), CONSENT);
}

#[test]
fn a_new_id_cannot_be_linked_with_the_old_one() {
    let sandbox = Sandbox::new().line(&event("a"));
    let before = answer(&sandbox);
    sandbox.run(&["reset-id"]).says(str![[r#"
The anonymous id is another one from now on.
What was sent cannot be linked with what is to come, but for an agent's session that goes on: it keeps its own id.
1 event waits here under the old one. To delete it: telemetry-upload purge
--- exit 0

"#]]);
    let after = answer(&sandbox);
    assert_ne!(before["anonymousId"], after["anonymousId"]);
    assert_eq!(after["enabled"], true);
    assert!(after["rotatedAt"].is_string());
    unasked(0).run(&["reset-id"]).says(str![[r#"
There is no anonymous id of atomic: nothing was changed.
--- exit 0

"#]]);
}

#[test]
fn a_pass_at_work_is_told_of() {
    let (sandbox, gate) = Sandbox::gated();
    sandbox.append(event("a") + "\n");
    let pass = sandbox.spawn(&["--flush"]);
    sandbox.wait_for_post();
    sandbox.run(&["disable"]).says(str![[r#"
The telemetry of atomic is off: nothing is sent from now on.
A pass is at work. A request that is on its way may still arrive, and no other follows.
What it leaves stays on this machine, unsent. To delete it: telemetry-upload purge
To turn it on: telemetry-upload enable
--- exit 0

"#]]);
    gate.open();
    sandbox.wait(pass);
    assert_eq!(sandbox.posts(), 1);
}

#[test]
fn a_host_that_writes_at_the_same_time_loses_nothing() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("telemetry.json");
    let is_over = AtomicBool::new(false);
    let last = std::thread::scope(|scope| {
        let host = scope.spawn(|| {
            for n in 1..1_000_000 {
                let said =
                    json!({"enabled": true, "consentGiven": true, "anonymousId": "a", "n": n});
                let new = path.with_extension("theirs");
                fs::write(&new, said.to_string()).unwrap();
                fs::rename(&new, &path).unwrap();
                std::thread::yield_now();
                if is_over.load(Ordering::Relaxed) {
                    return n;
                }
            }
            panic!("it was never over");
        });
        for _ in 0..20 {
            let (code, _, stderr) = sandbox.run(&["disable"]).outputs();
            // Busy all the time is an answer too, but never a wrong one.
            assert!(code == 0 || stderr.contains("keeps writing it"), "{stderr}");
        }
        is_over.store(true, Ordering::Relaxed);
        host.join().unwrap()
    });
    let _ = sandbox.run(&["disable"]).outputs();
    assert_eq!(answer(&sandbox)["n"], last);
    assert_eq!(answer(&sandbox)["enabled"], false);
}

#[test]
fn colours_are_shown_where_they_are_wanted() {
    let said = |name: &str, value: &str, more: &str| {
        let sandbox = unasked(0).env(name, value).env(more, "1");
        sandbox.run(&["disable"]).outputs().1.contains('\u{1b}')
    };
    assert!(said("CLICOLOR_FORCE", "1", "X"));
    assert!(!said("NO_COLOR", "1", "X"));
    assert!(!said("TERM", "xterm", "X"));
    let at_terminal = |name: &str| {
        let sandbox = unasked(0).env("TERM", "xterm-256color").env(name, "1");
        let ran = sandbox.at_terminal(&["disable"], 80, "");
        ran.outputs().1.contains('\u{1b}')
    };
    assert!(at_terminal("X"));
    assert!(!at_terminal("NO_COLOR"));
}
