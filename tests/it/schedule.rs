//! `telemetry-upload schedule`: what it writes, what it tells the schedulers, and that it can be undone.
//!
//! systemctl, launchctl and crontab are stand-ins in a folder of the test, which write down what they were
//! told: no test touches the timers or the crontab of whoever runs it. What is written is read by systemd's
//! and Apple's formats' own readers, and run by a shell as cron would.

use crate::kit::{BINARY, BUFFER, Sandbox, event};
use crate::tools::{file, find, python, shells};
use serde_json::Value;
use snapbox::str;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

/// A home where the program is installed, and where these schedulers are.
struct Machine {
    sandbox: Sandbox,
}

impl Machine {
    fn with(programs: &[&str]) -> Machine {
        let sandbox = Sandbox::new();
        let bin = sandbox.home.path().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(BINARY, bin.join("telemetry-upload")).unwrap();
        for name in programs {
            let stand_in = if *name == "crontab" {
                "crontab"
            } else {
                "scheduler"
            };
            symlink(file("tests/fake").join(stand_in), bin.join(name)).unwrap();
        }
        // What this machine has must not be found.
        let tools = sandbox.home.path().join("tools");
        fs::create_dir(&tools).unwrap();
        for name in ["cat", "mv", "rm", "grep", "dirname", "id"] {
            symlink(find(name).unwrap(), tools.join(name)).unwrap();
        }
        let path = format!("{}:{}", bin.display(), tools.display());
        let connection = sandbox.server.connection_string.clone();
        sandbox.write(
            "config.json",
            serde_json::json!({"connectionString": connection}).to_string(),
        );
        Machine {
            sandbox: sandbox
                .env("PATH", &path)
                .without_env("APPLICATIONINSIGHTS_CONNECTION_STRING"),
        }
    }

    fn env(mut self, name: &str, value: &str) -> Machine {
        self.sandbox = self.sandbox.env(name, value);
        self
    }

    fn at(&self, name: &str) -> PathBuf {
        self.sandbox.home.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap_or_default()
    }

    /// What the schedulers were told since the last time.
    fn told(&self) -> String {
        let told = self.read("bin/told");
        let _ = fs::remove_file(self.at("bin/told"));
        told
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        fs::write(self.at(name), content).unwrap();
    }

    /// Runs `telemetry-upload` with these words, and expects this exit code.
    fn run(&self, words: &str, code: i32) -> (String, String) {
        let words: Vec<&str> = words.split(' ').collect();
        let (ended, stdout, stderr) = self.sandbox.run(&words).outputs();
        assert_eq!(ended, code, "{words:?}\n{stdout}{stderr}");
        (stdout, stderr)
    }
}

const UNITS: [&str; 2] = [
    ".config/systemd/user/telemetry-upload-atomic.service",
    ".config/systemd/user/telemetry-upload-atomic.timer",
];
const AGENT: &str = "Library/LaunchAgents/telemetry-upload.atomic.plist";

#[test]
fn systemd_gets_two_units_and_is_told_of_them() {
    let machine = Machine::with(&["systemctl", "crontab"]);
    machine.sandbox.run(&["schedule", "install"]).says(str![[r#"
scheduled by systemd: a pass every 1h
  [HOME]/.config/systemd/user/telemetry-upload-atomic.service
  [HOME]/.config/systemd/user/telemetry-upload-atomic.timer
It runs while you are logged in; loginctl enable-linger lets it run without.
next: telemetry-upload schedule status
--- exit 0

"#]]);
    let told = "systemctl --user show-environment\nsystemctl --user daemon-reload\n\
                systemctl --user enable telemetry-upload-atomic.timer\n\
                systemctl --user restart telemetry-upload-atomic.timer\n";
    assert_eq!(machine.told(), told);
    for unit in UNITS {
        let mode = fs::metadata(machine.at(unit)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{unit}");
    }
    machine.sandbox.run(&["schedule", "status"]).says(str![[r#"
systemd  every 1h: [HOME]/.config/systemd/user/telemetry-upload-atomic.timer
launchd  not installed
cron     not installed
--- exit 0

"#]]);
    machine.sandbox.run(&["schedule", "install"]).says(str![[r#"
already scheduled by systemd: a pass every 1h
  [HOME]/.config/systemd/user/telemetry-upload-atomic.service
  [HOME]/.config/systemd/user/telemetry-upload-atomic.timer
It runs while you are logged in; loginctl enable-linger lets it run without.
next: telemetry-upload schedule status
--- exit 0

"#]]);
    machine.told();
    machine.sandbox.run(&["schedule", "remove"]).says(str![[r#"
removed [HOME]/.config/systemd/user/telemetry-upload-atomic.service
removed [HOME]/.config/systemd/user/telemetry-upload-atomic.timer
--- exit 0

"#]]);
    let told = "systemctl --user show-environment\nsystemctl --user disable --now telemetry-upload-atomic.timer\n\
                systemctl --user daemon-reload\n";
    assert_eq!(machine.told(), told);
    assert!(!UNITS.iter().any(|unit| machine.at(unit).exists()));
    machine.sandbox.run(&["schedule", "remove"]).says(str![[r#"
no pass of atomic is scheduled; nothing to take out
--- exit 0

"#]]);
    machine.sandbox.run(&["schedule", "status"]).says(str![[r#"
systemd  not installed
launchd  not installed
cron     not installed
next: telemetry-upload schedule install
--- exit 0

"#]]);
}

#[test]
fn the_whole_home_is_as_it_was_after_install_and_remove() {
    for scheduler in ["systemd", "launchd"] {
        let machine = Machine::with(&["systemctl", "launchctl"]);
        let before = machine.sandbox.files();
        for words in [
            "schedule install --scheduler",
            "schedule remove --scheduler",
        ] {
            machine.run(&format!("{words} {scheduler}"), 0);
            machine.told();
            assert_eq!(
                machine.sandbox.files() == before,
                words.contains("remove"),
                "{scheduler}"
            );
        }
    }
}

#[test]
fn another_time_replaces_the_first_and_the_same_one_changes_nothing() {
    for (scheduler, name) in [
        ("systemd", UNITS[1]),
        ("launchd", AGENT),
        ("cron", "bin/tab"),
    ] {
        let machine = Machine::with(&["systemctl", "launchctl", "crontab"]);
        let install = |every: &str| {
            machine.run(
                &format!("schedule install --scheduler {scheduler} --every {every}"),
                0,
            );
            machine.told();
            (machine.read(name), machine.sandbox.files())
        };
        let (hourly, files) = install("1h");
        assert_eq!(install("1h"), (hourly.clone(), files.clone()));
        let (other, _) = install("6h");
        assert_ne!(other, hourly);
        assert_eq!(install("60m"), (hourly, files));
    }
}

#[test]
fn systemd_itself_finds_nothing_to_complain_of() {
    let Some(analyze) = find("systemd-analyze") else {
        return;
    };
    let machine = Machine::with(&["systemctl"])
        .env("HTTPS_PROXY", "http://u:p%40$x@proxy:8080/")
        .env("NO_PROXY", "a, \"b\" ;c");
    let folder = machine.at("a %h \"data\" $HOME 'folder'");
    let words = [
        "schedule",
        "install",
        "--data-dir",
        folder.to_str().unwrap(),
    ];
    machine.sandbox.run(&words).outputs();
    let output = Command::new(analyze)
        .args(["--user", "--no-pager", "--man=no", "verify"])
        .args(UNITS.map(|unit| machine.at(unit)))
        .env("HOME", machine.sandbox.home.path())
        .env("XDG_RUNTIME_DIR", machine.sandbox.home.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("telemetry-upload"))
        .collect();
    assert_eq!(ours, [] as [&str; 0], "{said}");
}

/// In a world of its own: a process that ends with all that it has started, and a `/run` that is empty.
const REAL_SYSTEMD: &str = r#"
mount -t tmpfs none /run && mount -t cgroup2 none /sys/fs/cgroup || exit 77
mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR" && chmod 700 "$XDG_RUNTIME_DIR" || exit 77
"$SYSTEMD" --user >/dev/null 2>&1 &
tries=0
until systemctl --user show-environment >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || exit 77
    sleep 0.1
done
set -e
telemetry-upload schedule install --data-dir "$FOLDER"
systemctl --user is-enabled telemetry-upload-atomic.timer
systemctl --user is-active telemetry-upload-atomic.timer
systemctl --user start telemetry-upload-atomic.service
telemetry-upload schedule install --every 6h --data-dir "$FOLDER"
telemetry-upload schedule remove
systemctl --user list-timers --all --no-legend
"#;

#[test]
fn a_real_systemd_runs_a_pass_with_all_that_was_written_down() {
    let systemd = PathBuf::from("/lib/systemd/systemd");
    let (Some(unshare), true) = (find("unshare"), systemd.is_file()) else {
        return;
    };
    let machine = Machine::with(&[]);
    let odd = machine.at("b 100% $x ;&");
    fs::create_dir(&odd).unwrap();
    symlink(file("tests/fake/crontab"), odd.join("crontab")).unwrap();
    fs::rename(
        machine.at("bin/telemetry-upload"),
        odd.join("telemetry-upload"),
    )
    .unwrap();
    let folder = machine.at("data 5% ${HOME} it's \"d\"");
    fs::rename(machine.sandbox.data(), &folder).unwrap();
    fs::write(folder.join(BUFFER), event("a") + "\n").unwrap();
    let output = Command::new(unshare)
        .args([
            "--mount",
            "--pid",
            "--fork",
            "--mount-proc",
            "/bin/sh",
            "-c",
            REAL_SYSTEMD,
        ])
        .env_clear()
        .env("HOME", machine.sandbox.home.path())
        .env("PATH", format!("{}:/usr/bin:/bin", odd.display()))
        .env("XDG_RUNTIME_DIR", "/run/user/me")
        .env("NO_PROXY", "a \"b\" 5% $x")
        .env("SYSTEMD", systemd)
        .env("FOLDER", &folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.code() == Some(77) || said.starts_with("unshare:") {
        // Not `eprintln!`: the harness would keep it to itself, since what skips succeeds.
        writeln!(std::io::stderr(), "skipped: no systemd can be started here").unwrap();
        return;
    }
    let home = machine.sandbox.home.path().display().to_string();
    let expected = "scheduled by systemd: a pass every 1h\n  \
                    [HOME]/.config/systemd/user/telemetry-upload-atomic.service\n  \
                    [HOME]/.config/systemd/user/telemetry-upload-atomic.timer\n\
                    with the variables of now: NO_PROXY\n\
                    It runs while you are logged in; loginctl enable-linger lets it run without.\n\
                    next: telemetry-upload schedule status\nenabled\nactive\n";
    assert!(
        said.replace(&home, "[HOME]").starts_with(expected),
        "{said}"
    );
    let expected = "removed [HOME]/.config/systemd/user/telemetry-upload-atomic.service\n\
                    removed [HOME]/.config/systemd/user/telemetry-upload-atomic.timer\n";
    assert!(said.replace(&home, "[HOME]").ends_with(expected), "{said}");
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(machine.sandbox.delivered(), ["a"], "{said}");
    assert!(!UNITS.iter().any(|unit| machine.at(unit).exists()));
}

#[test]
fn what_launchd_reads_is_what_was_meant() {
    let machine = Machine::with(&["launchctl"])
        .env("https_proxy", "http://a&b<c>\"d\"'e'")
        .env("SSL_CERT_FILE", "/etc/a b.pem")
        .env("SSL_CERT_DIR", "relative");
    let folder = machine.at("a & <b> \"c\" 'd' %h $e ä");
    let words = [
        "schedule",
        "install",
        "--every",
        "30m",
        "--data-dir",
        folder.to_str().unwrap(),
    ];
    machine.sandbox.run(&words).says(str![[r#"
scheduled by launchd: a pass every 30m
  [HOME]/Library/LaunchAgents/telemetry-upload.atomic.plist
with the variables of now: SSL_CERT_FILE, https_proxy
It runs while you are logged in.
next: telemetry-upload schedule status
--- stderr
telemetry-upload: a scheduled pass sends nothing before {"connectionString": "…"} is in [HOME]/a & <b> "c" 'd' %h $e ä/config.json
--- exit 0

"#]]);
    let told = machine.told();
    let (out, load) = told.split_once('\n').unwrap();
    let user = rustix::process::geteuid().as_raw();
    assert_eq!(
        out,
        format!("launchctl bootout gui/{user}/telemetry-upload.atomic")
    );
    let expected = format!(
        "launchctl bootstrap gui/{user} {}\n",
        machine.at(AGENT).display()
    );
    assert_eq!(load, expected);
    let Some(python) = python() else { return };
    let read =
        "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
    let output = Command::new(python)
        .args(["-c", read])
        .arg(machine.at(AGENT))
        .output()
        .unwrap();
    let agent: Value = serde_json::from_slice(&output.stdout).unwrap();
    let program = machine.at("bin/telemetry-upload");
    let expected = serde_json::json!({
        "Label": "telemetry-upload.atomic",
        "ProgramArguments": [program, "--app", "atomic", "--data-dir", folder],
        "EnvironmentVariables": {"SSL_CERT_FILE": "/etc/a b.pem", "https_proxy": "http://a&b<c>\"d\"'e'"},
        "StartInterval": 1800,
        "RunAtLoad": false,
        "ProcessType": "Background",
        "LowPriorityIO": true,
        "LowPriorityBackgroundIO": true,
        "Nice": 10,
    });
    assert_eq!(agent, expected);
}

#[test]
fn every_other_byte_of_a_crontab_stays() {
    for before in [
        None,
        Some(&b"# mine \xff\nMAILTO=me\n\n*/5 * * * * a %b\n"[..]),
    ] {
        let machine = Machine::with(&["crontab"]);
        if let Some(before) = before {
            machine.write("bin/tab", before);
        }
        let (stdout, stderr) = machine.run("schedule install --app my-tool", 0);
        assert!(
            stdout.starts_with("scheduled by cron: a pass every 1h\n  the crontab\n"),
            "{stdout}"
        );
        assert_eq!(
            stderr.lines().count(),
            1,
            "only that nobody agreed to my-tool's config: {stderr}"
        );
        let tab = fs::read(machine.at("bin/tab")).unwrap();
        let before = before.unwrap_or_default();
        let ours = tab.strip_prefix(before).unwrap();
        let ours = String::from_utf8_lossy(ours);
        assert!(
            ours.starts_with("# BEGIN telemetry-upload my-tool\n"),
            "{ours}"
        );
        assert!(
            ours.ends_with(" >/dev/null 2>&1\n# END telemetry-upload my-tool\n"),
            "{ours}"
        );
        let (stdout, _) = machine.run("schedule remove --app my-tool", 0);
        assert_eq!(stdout, "took our lines out of the crontab\n");
        assert_eq!(fs::read(machine.at("bin/tab")).unwrap(), before);
    }
}

#[test]
fn the_line_in_the_crontab_runs_a_pass_in_every_shell() {
    for shell in shells() {
        let machine = Machine::with(&["crontab"]).env("NO_PROXY", "it's 100% \"a\" $b");
        let folder = machine.at("a %d 'folder' \"of\" $HOME");
        let words = [
            "schedule",
            "install",
            "--data-dir",
            folder.to_str().unwrap(),
        ];
        machine.sandbox.run(&words).outputs();
        let tab = machine.read("bin/tab");
        let line = tab.lines().nth(1).unwrap();
        let bare = line.replace("\\%", "");
        assert!(!bare.contains('%'), "cron ends the command there: {line}");
        // What cron makes of it: five fields less, and `\%` becomes `%`.
        let command = line.splitn(6, ' ').nth(5).unwrap();
        for command in [command.replace("\\%", "%"), command.to_owned()] {
            let program = machine.at("bin/telemetry-upload");
            fs::remove_file(&program).unwrap();
            symlink(file("tests/fake/given"), &program).unwrap();
            let status = Command::new(&shell[0])
                .args(&shell[1..])
                .args(["-c", &command])
                .env_clear()
                .status()
                .unwrap();
            assert!(status.success(), "{shell:?} {command}");
            let expected = format!(
                "it's 100% \"a\" $b\n--app\natomic\n--data-dir\n{}\n",
                folder.display()
            );
            assert_eq!(machine.read("bin/given"), expected, "{shell:?} {command}");
        }
    }
}

#[test]
fn a_scheduled_pass_knows_what_was_set_when_it_was_made() {
    let machine = Machine::with(&["systemctl"])
        .env("DO_NOT_TRACK", "1")
        .env("ATOMIC_TELEMETRY", "1")
        .env("CI", "true")
        .env("all_proxy", "socks5://p")
        .env("XDG_CONFIG_HOME", "not/absolute");
    machine
        .sandbox
        .run(&["schedule", "install"])
        .says(str![[r#"
scheduled by systemd: a pass every 1h
  [HOME]/.config/systemd/user/telemetry-upload-atomic.service
  [HOME]/.config/systemd/user/telemetry-upload-atomic.timer
with the variables of now: DO_NOT_TRACK, all_proxy
It runs while you are logged in; loginctl enable-linger lets it run without.
next: telemetry-upload schedule status
--- stderr
telemetry-upload: DO_NOT_TRACK is set, and goes into the schedule: its passes will send nothing until this is run again without it
--- exit 0

"#]]);
    let unit = machine.read(UNITS[0]);
    let set: Vec<&str> = unit
        .lines()
        .filter(|line| line.starts_with("Environment="))
        .collect();
    let expected = [
        r#"Environment="DO_NOT_TRACK=1""#,
        r#"Environment="all_proxy=socks5://p""#,
    ];
    assert_eq!(set, expected);
}

#[test]
fn a_connection_string_in_the_environment_alone_is_warned_of_and_not_written_down() {
    let machine = Machine::with(&["systemctl"]);
    fs::remove_file(machine.sandbox.path("config.json")).unwrap();
    let connection = machine.sandbox.server.connection_string.clone();
    let machine = machine.env("APPLICATIONINSIGHTS_CONNECTION_STRING", &connection);
    machine
        .sandbox
        .run(&["schedule", "install", "--dry-run"])
        .says(str![[r#"
would make [HOME]/.config/systemd/user/telemetry-upload-atomic.service:
+ # Made by telemetry-upload. To take it away: telemetry-upload schedule remove --app atomic
+ [Unit]
+ Description=Send the waiting usage telemetry of atomic
+ 
+ [Service]
+ Type=oneshot
+ ExecStart="[HOME]/bin/telemetry-upload" "--app" "atomic" "--data-dir" "[HOME]/.local/share/atomic"
+ TimeoutStartSec=360s
+ Nice=10
+ IOSchedulingClass=idle
+ SuccessExitStatus=75
+ NoNewPrivileges=yes
would make [HOME]/.config/systemd/user/telemetry-upload-atomic.timer:
+ # Made by telemetry-upload. To take it away: telemetry-upload schedule remove --app atomic
+ [Unit]
+ Description=Send the waiting usage telemetry of atomic, every 1h
+ 
+ [Timer]
+ OnBootSec=5min
+ OnUnitActiveSec=1h
+ RandomizedDelaySec=600s
+ AccuracySec=300s
+ 
+ [Install]
+ WantedBy=timers.target
--- stderr
telemetry-upload: a scheduled pass sends nothing before {"connectionString": "…"} is in [HOME]/.local/share/atomic/config.json; it does not see APPLICATIONINSIGHTS_CONNECTION_STRING
--- exit 0

"#]]);
    assert_eq!(machine.told(), "systemctl --user show-environment\n");
    assert!(!machine.at(".config").exists());
    let machine = machine.env("APPLICATIONINSIGHTS_CONNECTION_STRING", "");
    machine.sandbox.write("config.json", r#"{"alow": []}"#);
    let (_, stderr) = machine.run("schedule install", 0);
    assert!(
        stderr.contains("sends nothing as it is: cannot understand"),
        "{stderr}"
    );
}

#[test]
fn what_is_not_ours_is_left_alone() {
    for (scheduler, name) in [
        ("systemd", UNITS[0]),
        ("systemd", UNITS[1]),
        ("launchd", AGENT),
    ] {
        let machine = Machine::with(&["systemctl", "launchctl"]);
        machine.write(name, "mine\n");
        for words in ["install", "remove", "install --dry-run"] {
            let words = format!("schedule {words} --scheduler {scheduler}");
            let (stdout, stderr) = machine.run(&words, 1);
            assert_eq!(stdout, "");
            assert!(
                stderr.contains("was not made by schedule install; it is left as it is"),
                "{stderr}"
            );
        }
        assert_eq!(machine.read(name), "mine\n");
        let told = machine.told();
        assert!(
            !told.contains("daemon-reload") && !told.contains("boot"),
            "{told}"
        );
        let (stdout, _) = machine.run("schedule status", 0);
        assert!(stdout.contains("unclear: "), "{stdout}");
    }
}

#[test]
fn a_link_in_the_place_of_a_unit_is_not_followed() {
    let machine = Machine::with(&["systemctl"]);
    machine.write("elsewhere", "mine\n");
    fs::create_dir_all(machine.at(".config/systemd/user")).unwrap();
    symlink(machine.at("elsewhere"), machine.at(UNITS[0])).unwrap();
    let (_, stderr) = machine.run("schedule install --scheduler systemd", 1);
    assert!(stderr.contains("symbolic link"), "{stderr}");
    assert_eq!(machine.read("elsewhere"), "mine\n");
}

#[test]
fn what_systemd_refuses_is_taken_back() {
    let told = [
        "systemctl --user daemon-reload",
        "systemctl --user enable telemetry-upload-atomic.timer",
        "systemctl --user restart telemetry-upload-atomic.timer",
    ];
    for fails in told {
        let machine = Machine::with(&["systemctl"]);
        let fresh = machine.sandbox.files();
        machine.write("bin/fails", fails);
        let (stdout, stderr) = machine.run("schedule install --scheduler systemd", 1);
        assert_eq!(stdout, "");
        assert!(
            stderr.contains("as it was") || stderr.contains("as they were"),
            "{stderr}"
        );
        assert!(stderr.contains(&format!("{fails}: no bus")), "{stderr}");
        machine.told();
        fs::remove_file(machine.at("bin/fails")).unwrap();
        assert_eq!(machine.sandbox.files(), fresh, "{fails}");
        // And over one that works.
        machine.run("schedule install --scheduler systemd", 0);
        machine.told();
        let hourly = machine.sandbox.files();
        machine.write("bin/fails", fails);
        machine.run("schedule install --scheduler systemd --every 6h", 1);
        machine.told();
        fs::remove_file(machine.at("bin/fails")).unwrap();
        assert_eq!(machine.sandbox.files(), hourly, "{fails}");
    }
}

#[test]
fn a_timer_that_cannot_be_stopped_keeps_its_files() {
    let machine = Machine::with(&["systemctl"]);
    machine.run("schedule install", 0);
    machine.write(
        "bin/fails",
        "systemctl --user disable --now telemetry-upload-atomic.timer",
    );
    machine
        .sandbox
        .run(&["schedule", "remove"])
        .says(str![[r#"
--- stderr
telemetry-upload: cannot take the schedule out of systemd: it is still there: systemctl --user disable --now telemetry-upload-atomic.timer: no bus
--- exit 1

"#]]);
    assert!(machine.at(UNITS[0]).exists() && machine.at(UNITS[1]).exists());
}

#[test]
fn without_a_systemd_that_answers_its_files_and_the_link_to_them_go() {
    let machine = Machine::with(&["systemctl"]);
    machine.run("schedule install", 0);
    let wants = machine.at(".config/systemd/user/timers.target.wants");
    fs::create_dir(&wants).unwrap();
    symlink(
        "../telemetry-upload-atomic.timer",
        wants.join("telemetry-upload-atomic.timer"),
    )
    .unwrap();
    machine.write("bin/fails", "systemctl --user show-environment");
    machine.run("schedule remove", 0);
    assert_eq!(fs::read_dir(wants).unwrap().count(), 0);
    assert!(!UNITS.iter().any(|unit| machine.at(unit).exists()));
}

#[test]
fn a_crontab_that_cannot_be_written_is_as_it_was() {
    let machine = Machine::with(&["crontab"]);
    machine.write("bin/tab", "a\n");
    machine.write("bin/full", "");
    machine
        .sandbox
        .run(&["schedule", "install"])
        .says(str![[r#"
--- stderr
telemetry-upload: cannot schedule a pass by cron: it is as it was: cannot write the crontab: crontab: disk full
--- exit 1

"#]]);
    assert_eq!(machine.read("bin/tab"), "a\n");
}

#[test]
fn a_crontab_that_nobody_may_use_does_not_keep_the_timer_from_being_taken_out() {
    let machine = Machine::with(&["systemctl", "crontab"]);
    machine.run("schedule install", 0);
    machine.write("bin/denied", "");
    machine
        .sandbox
        .run(&["schedule", "remove"])
        .says(str![[r#"
removed [HOME]/.config/systemd/user/telemetry-upload-atomic.service
removed [HOME]/.config/systemd/user/telemetry-upload-atomic.timer
--- stderr
telemetry-upload: nothing was taken out of cron: it does not say what it has: cannot read the crontab: You (me) are not allowed to use this program (crontab)
--- exit 0

"#]]);
    machine
        .sandbox
        .run(&["schedule", "remove"])
        .says(str![[r#"
no pass of atomic is known to be scheduled; nothing to take out
--- stderr
telemetry-upload: nothing was taken out of cron: it does not say what it has: cannot read the crontab: You (me) are not allowed to use this program (crontab)
--- exit 0

"#]]);
    // Whoever names it wants it done.
    machine.run("schedule remove --scheduler cron", 1);
}

#[test]
fn lines_of_others_between_our_marks_are_not_lost() {
    let machine = Machine::with(&["crontab"]);
    machine.run("schedule install", 0);
    let tab = machine
        .read("bin/tab")
        .replace("# END", "@daily theirs\n# END");
    machine.write("bin/tab", &tab);
    for words in ["install", "remove"] {
        let (_, stderr) = machine.run(&format!("schedule {words}"), 1);
        assert!(
            stderr.contains("move it elsewhere with crontab -e"),
            "{stderr}"
        );
    }
    assert_eq!(machine.read("bin/tab"), tab);
}

#[test]
fn folders_that_were_there_before_stay() {
    let machine = Machine::with(&["systemctl"]);
    let folder = machine.at(".config/systemd/user");
    fs::create_dir_all(&folder).unwrap();
    machine.run("schedule install", 0);
    machine.run("schedule remove", 0);
    assert!(folder.is_dir());
}

#[test]
fn a_damaged_block_is_for_the_person_to_mend() {
    let machine = Machine::with(&["crontab"]);
    machine.write("bin/tab", "# BEGIN telemetry-upload atomic\n");
    machine
        .sandbox
        .run(&["schedule", "install"])
        .says(str![[r##"
--- stderr
telemetry-upload: cannot schedule a pass by cron: the crontab does not hold "# BEGIN telemetry-upload atomic" and "# END telemetry-upload atomic" once each, in this order; set it right with crontab -e
--- exit 1

"##]]);
    machine.run("schedule remove", 1);
    assert_eq!(machine.read("bin/tab"), "# BEGIN telemetry-upload atomic\n");
}

#[test]
fn two_applications_do_not_disturb_each_other() {
    for scheduler in ["systemd", "launchd", "cron"] {
        let machine = Machine::with(&["systemctl", "launchctl", "crontab"]);
        machine.run(
            &format!("schedule install --scheduler {scheduler} --app a"),
            0,
        );
        machine.told();
        let alone = machine.sandbox.files();
        machine.run(
            &format!("schedule install --scheduler {scheduler} --app ab"),
            0,
        );
        machine.run(
            &format!("schedule remove --scheduler {scheduler} --app ab"),
            0,
        );
        machine.told();
        assert_eq!(machine.sandbox.files(), alone, "{scheduler}");
    }
}

#[test]
fn a_program_that_went_away_is_seen() {
    let machine = Machine::with(&["systemctl"]);
    machine.run("schedule install", 0);
    let unit = machine
        .read(UNITS[0])
        .replace("bin/telemetry-upload\"", "gone/telemetry-upload\"");
    machine.write(UNITS[0], unit);
    machine
        .sandbox
        .run(&["schedule", "status"])
        .says(str![[r#"
systemd  every 1h, but [HOME]/gone/telemetry-upload is not there: [HOME]/.config/systemd/user/telemetry-upload-atomic.timer
launchd  not installed
cron     not installed
--- stderr
telemetry-upload: a schedule starts nothing: install the program again, then telemetry-upload schedule install --scheduler systemd --every 1h --app atomic --data-dir [HOME]/.local/share/atomic
--- exit 0

"#]]);
    let (stdout, _) = machine.run("schedule status --json", 0);
    let status: Value = serde_json::from_str(&stdout).unwrap();
    let expected = serde_json::json!({
        "scheduler": "systemd", "every": "1h", "everySeconds": 3600, "path": machine.at(UNITS[1]),
        "program": machine.at("gone/telemetry-upload"), "programIsThere": false, "status": "installed",
    });
    assert_eq!(status["schedules"][0], expected);
    assert_eq!(status["schedules"][2]["status"], "not installed");
}

#[test]
fn a_build_folder_is_no_place_to_be_scheduled_from() {
    for (folder, expected) in [
        ("target/debug", true),
        ("target/another-machine/release", true),
        ("target", false),
        ("release", false),
    ] {
        let machine = Machine::with(&["systemctl"]);
        fs::create_dir_all(machine.at(folder)).unwrap();
        let program = machine.at(folder).join("telemetry-upload");
        // A copy that this process had written itself, another thread's child could still hold open.
        let copied = Command::new("cp").arg(BINARY).arg(&program).status();
        assert!(copied.unwrap().success());
        let output = Command::new(program)
            .args(["schedule", "install"])
            .env_clear()
            .envs(&machine.sandbox.env)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            stderr.contains("is in a folder of builds"),
            expected,
            "{folder} {stderr}"
        );
    }
}

#[test]
fn a_schedule_whose_making_was_cut_off_can_be_taken_out() {
    let machine = Machine::with(&["systemctl"]);
    let before = machine.sandbox.files();
    machine.run("schedule install", 0);
    fs::remove_file(machine.at(UNITS[1])).unwrap();
    // As systemctl does with a timer that does not exist.
    let fails = "systemctl --user disable --now telemetry-upload-atomic.timer";
    machine.write("bin/fails", fails);
    machine.run("schedule remove", 0);
    machine.told();
    fs::remove_file(machine.at("bin/fails")).unwrap();
    assert_eq!(machine.sandbox.files(), before);
}

#[test]
fn a_schedule_that_cannot_be_read_is_not_said_to_be_none() {
    let machine = Machine::with(&["crontab"]);
    machine.write("bin/tab", "# BEGIN telemetry-upload atomic\n");
    let why = "cron: unclear: the crontab does not hold";
    let (stdout, _) = machine.run("status", 0);
    assert!(stdout.contains(&format!("Schedule     {why}")), "{stdout}");
    let (stdout, _) = machine.run("doctor", 0);
    assert!(
        stdout.contains(&format!("warning  schedule: {why}")),
        "{stdout}"
    );
    let (stdout, _) = machine.run("status --json", 0);
    let status: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(status["schedules"][0]["status"], "unclear");
}

#[test]
fn a_dead_schedule_is_made_anew_as_it_was() {
    for scheduler in ["systemd", "launchd", "cron"] {
        let machine = Machine::with(&["systemctl", "launchctl", "crontab"]);
        let folder = machine.at("a $folder & it's 100%");
        let folder = folder.to_str().unwrap();
        let terms = [
            "schedule",
            "install",
            "--scheduler",
            scheduler,
            "--every",
            "6h",
            "--app",
            "my-tool",
            "--data-dir",
            folder,
        ];
        let (code, _, stderr) = machine.sandbox.run(&terms).outputs();
        assert_eq!(code, 0, "{stderr}");
        let files = || {
            machine.told();
            machine.sandbox.files()
        };
        let alive = files();
        for name in alive.keys() {
            let text = machine.read(name);
            if !name.starts_with("data") && text.contains("bin/telemetry-upload") {
                machine.write(
                    name,
                    text.replace("bin/telemetry-upload", "gone/telemetry-upload"),
                );
            }
        }
        assert_ne!(files(), alive, "{scheduler}");
        let (_, stderr) = machine.run("schedule status --app my-tool", 0);
        let again = stderr.split_once(", then ").unwrap().1.trim();
        // A report of doctor names no home.
        let (_, report, _) = machine
            .sandbox
            .run(&["doctor", "--app", "my-tool"])
            .outputs();
        let named = format!(
            "schedule install --scheduler {scheduler} --every 6h --app my-tool --data-dir ~/'a $f"
        );
        assert!(report.contains(&named), "{named}\n{report}");
        let output = Command::new("/bin/sh")
            .args(["-c", again])
            .env_clear()
            .envs(&machine.sandbox.env)
            .output()
            .unwrap();
        assert!(output.status.success(), "{again} {output:?}");
        assert_eq!(files(), alive, "{scheduler}");
    }
}

#[test]
fn systemd_gives_a_pass_the_time_that_it_may_take() {
    let machine = Machine::with(&["systemctl"]);
    for (config, expected) in [
        (r#"{}"#, "TimeoutStartSec=360s"),
        (
            r#"{"limits": {"deadlineS": 3600}}"#,
            "TimeoutStartSec=3660s",
        ),
        (r#"{"limits": {"deadlineS": "x"}}"#, "TimeoutStartSec=360s"),
    ] {
        machine.sandbox.write("config.json", config);
        let (stdout, _) = machine.run("schedule print --scheduler systemd", 0);
        assert!(stdout.lines().any(|line| line == expected), "{stdout}");
    }
}

#[test]
fn what_is_printed_is_what_would_be_installed_or_is_said_to_be_for_elsewhere() {
    let machine = Machine::with(&["systemctl", "crontab"]);
    let (stdout, stderr) = machine.run("schedule print", 0);
    assert!(
        stdout.contains(".timer") && stderr.is_empty(),
        "{stdout}{stderr}"
    );
    machine.write("bin/fails", "systemctl --user show-environment");
    let (stdout, stderr) = machine.run("schedule print", 0);
    assert!(
        stdout.contains("crontab -e") && stderr.is_empty(),
        "{stdout}{stderr}"
    );
    fs::remove_file(machine.at("bin/crontab")).unwrap();
    let (stdout, stderr) = machine.run("schedule print", 0);
    assert!(stdout.contains(".timer"), "{stdout}");
    let expected = "telemetry-upload: no scheduler answers here; this is for systemd elsewhere\n";
    assert_eq!(stderr, expected);
}

#[test]
fn two_schedulers_at_once_are_pointed_out() {
    let machine = Machine::with(&["systemctl", "crontab"]);
    machine.run("schedule install --scheduler cron", 0);
    let (_, stderr) = machine.run("schedule install", 0);
    let expected = "telemetry-upload: cron runs it too; telemetry-upload schedule remove --scheduler cron takes that out\n";
    assert_eq!(stderr, expected);
    let (stdout, _) = machine.run("schedule remove", 0);
    assert_eq!(stdout.lines().count(), 3, "{stdout}");
}

#[test]
fn without_a_scheduler_it_says_how_to_go_on() {
    let machine = Machine::with(&[]);
    machine
        .sandbox
        .run(&["schedule", "install"])
        .says(str![[r#"
--- stderr
telemetry-upload: there is no scheduler here: no launchctl, no systemd that answers this user, no crontab; telemetry-upload schedule print shows what to set up by hand
--- exit 1

"#]]);
    machine
        .sandbox
        .run(&["schedule", "install", "--scheduler", "systemd"])
        .says(str![[r#"
--- stderr
telemetry-upload: no systemd answers this user here: systemctl --user show-environment fails; telemetry-upload schedule print shows what to set up elsewhere
--- exit 1

"#]]);
    machine.sandbox.run(&["schedule", "status"]).says(str![[r#"
systemd  not installed
launchd  not installed
cron     not installed
next: telemetry-upload schedule install
--- exit 0

"#]]);
}

#[test]
fn print_shows_all_that_is_needed_to_do_it_by_hand() {
    let machine = Machine::with(&[]);
    for scheduler in ["systemd", "launchd"] {
        let ran = machine
            .sandbox
            .run(&["schedule", "print", "--scheduler", scheduler]);
        if scheduler == "systemd" {
            ran.says(str![[r#"
Write this to [HOME]/.config/systemd/user/telemetry-upload-atomic.service:
# Made by telemetry-upload. To take it away: telemetry-upload schedule remove --app atomic
[Unit]
Description=Send the waiting usage telemetry of atomic

[Service]
Type=oneshot
ExecStart="[HOME]/bin/telemetry-upload" "--app" "atomic" "--data-dir" "[HOME]/.local/share/atomic"
TimeoutStartSec=360s
Nice=10
IOSchedulingClass=idle
SuccessExitStatus=75
NoNewPrivileges=yes

Write this to [HOME]/.config/systemd/user/telemetry-upload-atomic.timer:
# Made by telemetry-upload. To take it away: telemetry-upload schedule remove --app atomic
[Unit]
Description=Send the waiting usage telemetry of atomic, every 1h

[Timer]
OnBootSec=5min
OnUnitActiveSec=1h
RandomizedDelaySec=600s
AccuracySec=300s

[Install]
WantedBy=timers.target

Then run:
systemctl --user daemon-reload
systemctl --user enable --now telemetry-upload-atomic.timer
To be rid of it:
systemctl --user disable --now telemetry-upload-atomic.timer
rm [HOME]/.config/systemd/user/telemetry-upload-atomic.service [HOME]/.config/systemd/user/telemetry-upload-atomic.timer
--- exit 0

"#]]);
        } else {
            ran.says(str![[r#"
Write this to [HOME]/Library/LaunchAgents/telemetry-upload.atomic.plist:
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- Made by telemetry-upload; it has a command that takes it away: schedule remove -->
<plist version="1.0">
<dict>
    <key>Label</key>
    <string>telemetry-upload.atomic</string>
    <key>ProgramArguments</key>
    <array>
        <string>[HOME]/bin/telemetry-upload</string>
        <string>--app</string>
        <string>atomic</string>
        <string>--data-dir</string>
        <string>[HOME]/.local/share/atomic</string>
    </array>
    <key>StartInterval</key>
    <integer>3600</integer>
    <key>RunAtLoad</key>
    <false/>
    <key>ProcessType</key>
    <string>Background</string>
    <key>LowPriorityIO</key>
    <true/>
    <key>LowPriorityBackgroundIO</key>
    <true/>
    <key>Nice</key>
    <integer>10</integer>
</dict>
</plist>

Then run:
launchctl bootstrap gui/$(id -u) [HOME]/Library/LaunchAgents/telemetry-upload.atomic.plist
To be rid of it:
launchctl bootout gui/$(id -u)/telemetry-upload.atomic
rm [HOME]/Library/LaunchAgents/telemetry-upload.atomic.plist
--- exit 0

"#]]);
        }
    }
    let (stdout, _) = machine.run("schedule print", 0);
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[0], "Add this to your crontab, with crontab -e:");
    assert_eq!(lines[1], "# BEGIN telemetry-upload atomic");
    let program = machine.at("bin/telemetry-upload");
    assert!(
        lines[2].contains(&format!(" * * * * {} --app atomic ", program.display())),
        "{stdout}"
    );
    assert_eq!(
        lines[3..],
        [
            "# END telemetry-upload atomic",
            "To be rid of it:",
            "crontab -e, and take these lines out"
        ]
    );
    assert_eq!(machine.told(), "");
}

#[test]
fn wrong_words_are_explained() {
    let machine = Machine::with(&["crontab"]);
    for (words, expected) in [
        ("--every 5m", "from 15m to 24h"),
        ("--every soon", "from 15m to 24h"),
        (
            "--scheduler at",
            "possible values: auto, systemd, launchd, cron",
        ),
        ("--app ../x", "1 to 64 letters"),
    ] {
        let (_, stderr) = machine.run(&format!("schedule install {words}"), 2);
        assert!(stderr.contains(expected), "{stderr}");
    }
    let (_, stderr) = machine.run("schedule install --every 45m", 1);
    assert!(
        stderr.contains("cron cannot do 45m: it can do 15m, 20m, 30m"),
        "{stderr}"
    );
    let (_, stderr) = machine.run("schedule install --data-dir a\nb", 1);
    assert!(stderr.contains("control character"), "{stderr}");
}
