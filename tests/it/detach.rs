//! `--detach`: a pass that outlives whoever asked for it, and that nobody waits for.

use crate::kit::{BINARY, BUFFER, CONSENT, Gate, Sandbox, event};
use crate::tools;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// What makes signals do what they usually do: whoever runs the tests may ignore some, as `nohup` does,
/// and a shell cannot undo that.
const USUAL_SIGNALS: [&str; 2] = ["env", "--default-signal=HUP,TERM"];

/// A shell with the sandbox's environment.
fn shell(sandbox: &Sandbox, script: &str) -> Command {
    let mut shell = Command::new(USUAL_SIGNALS[0]);
    shell
        .args([USUAL_SIGNALS[1], "sh", "-c", script, BINARY])
        .env_clear()
        .envs(&sandbox.env)
        .env("PATH", "/usr/bin:/bin")
        .current_dir(sandbox.home.path());
    shell
}

#[test]
fn a_detached_pass_delivers_and_nothing_remains() {
    let sandbox = Sandbox::new().hasty().line(&event("a"));
    sandbox.run(&["--detach"]).code(0);
    sandbox.wait_for_delivered(1);
    sandbox.wait_for_quiet();
    assert_eq!(sandbox.read(BUFFER), "");
}

#[test]
fn what_is_appended_while_it_is_at_work_is_sent_before_it_ends() {
    let (sandbox, gate) = Sandbox::gated();
    let sandbox = sandbox.line(&event("a"));
    sandbox.run(&["--detach"]).code(0);
    sandbox.wait_for_post();
    let sandbox = sandbox.line(&event("b"));
    sandbox
        .run(&["--detach", "--verbose"])
        .stderr("no pass was started: another pass is at work")
        .code(0);
    gate.open();
    sandbox.wait_for_quiet();
    assert_eq!(sandbox.delivered(), ["a", "b"]);
    assert_eq!(
        sandbox.posts(),
        2,
        "the second went in the last look, not at once"
    );
}

#[test]
fn where_there_is_nothing_to_do_no_process_is_started() {
    let check = |sandbox: &Sandbox, why: &str| {
        let files = sandbox.files();
        sandbox.run(&["--detach"]).code(0);
        sandbox
            .run(&["--detach", "--verbose"])
            .stderr(&format!("no pass was started: {why}"))
            .posts(0)
            .code(0);
        assert!(sandbox.detached().is_empty(), "{why}");
        assert_eq!(sandbox.files(), files, "{why}");
    };
    check(&Sandbox::new(), "nothing is waiting");
    check(
        &Sandbox::new().line(&event("a")).env("DO_NOT_TRACK", "1"),
        "telemetry is off: DO_NOT_TRACK is set",
    );
    check(
        &Sandbox::new()
            .line(&event("a"))
            .env("TELEMETRY_UPLOAD_DETACHED", "1"),
        "this is a detached pass itself",
    );
    let paused = Sandbox::new().line(&event("a"));
    fs::create_dir(paused.path("upload")).unwrap();
    let until = telemetry_upload::world::now() + chrono::TimeDelta::minutes(30);
    paused.write(
        "upload/state.json",
        format!(
            r#"{{"notBefore":{{"until":"{}","reason":"the server is busy"}}}}"#,
            until.to_rfc3339()
        ),
    );
    check(&paused, "the server is busy");
}

#[test]
fn while_a_pass_is_at_work_no_process_is_started() {
    let (sandbox, gate) = Sandbox::gated();
    let sandbox = sandbox.line(&event("a"));
    let pass = sandbox.spawn(&[]);
    sandbox.wait_for_post();
    sandbox
        .run(&["--detach", "--verbose"])
        .stderr("no pass was started: another pass is at work")
        .code(0);
    gate.open();
    assert!(sandbox.wait(pass).status.success());
}

#[test]
fn it_says_when_it_started_one() {
    let sandbox = Sandbox::new().line(&event("a"));
    sandbox
        .run(&["--detach", "--verbose"])
        .stderr("a pass is on its way")
        .code(0);
}

#[test]
fn nothing_of_the_host_goes_with_it() {
    let (sandbox, gate) = Sandbox::gated();
    let sandbox = sandbox.line(&event("a"));
    let open = sandbox.path("open");
    let script = format!(
        "exec 3>'{}' 9>>'{}'; \"$0\" --detach --connection-string \"$SECRET\"",
        open.display(),
        open.display()
    );
    let secret = sandbox.env["APPLICATIONINSIGHTS_CONNECTION_STRING"].clone();
    let mut host = shell(&sandbox, &script);
    host.env_remove("APPLICATIONINSIGHTS_CONNECTION_STRING")
        .env("SECRET", &secret);
    assert!(host.status().unwrap().success());
    sandbox.wait_for_post();
    let passes = sandbox.detached();
    assert_eq!(passes.len(), 1);
    let process = PathBuf::from(format!("/proc/{}", passes[0]));
    assert_eq!(
        fs::read_link(process.join("cwd")).unwrap(),
        PathBuf::from("/")
    );
    assert_eq!(
        fs::read_link(process.join("fd/0")).unwrap(),
        sandbox.path("upload/detached.lock")
    );
    for fd in 1..3 {
        assert_eq!(
            fs::read_link(process.join(format!("fd/{fd}"))).unwrap(),
            PathBuf::from("/dev/null")
        );
    }
    for fd in fs::read_dir(process.join("fd")).unwrap() {
        // A socket may be closed again at any moment.
        let target = fs::read_link(fd.unwrap().path()).unwrap_or_default();
        assert_ne!(target, open, "a descriptor of the host's");
    }
    let arguments = fs::read_to_string(process.join("cmdline")).unwrap();
    assert!(!arguments.contains("InstrumentationKey"), "{arguments}");
    let stat = fs::read_to_string(process.join("stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let (group, session, terminal) = (fields[2], fields[3], fields[4]);
    let pid = passes[0].to_string();
    assert_eq!(
        (group, session, terminal),
        (pid.as_str(), pid.as_str(), "0")
    );
    gate.open();
    sandbox.wait_for_empty_buffer();
}

/// How long a reader of the host's output waits for its end.
fn check_reader(redirection: &str) {
    let (sandbox, gate) = Sandbox::gated();
    let sandbox = sandbox.line(&event("a"));
    let held = sandbox.path("held");
    // Descriptor 9 is what `flock` is taken on in shells; 3 is anybody's.
    let script = format!(
        "exec 3>&1 9>>'{}'; \"$0\" --detach {redirection}",
        held.display()
    );
    let mut host = shell(&sandbox, &script);
    let mut child = host
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let mut output = String::new();
    stdout.read_to_string(&mut output).unwrap();
    stderr.read_to_string(&mut output).unwrap();
    assert_eq!(output, "");
    // The reader came to the end while the server still answers nobody, so the pass is at work.
    assert_eq!(sandbox.detached().len(), 1);
    gate.open();
    assert!(child.wait().unwrap().success());
    sandbox.wait_for_empty_buffer();
}

#[test]
fn whoever_reads_the_hosts_output_does_not_wait_for_the_pass() {
    check_reader("");
    check_reader("</dev/null >/dev/null 2>&1");
}

#[test]
fn a_lock_that_the_host_holds_is_not_kept() {
    let (sandbox, gate) = Sandbox::gated();
    let sandbox = sandbox.line(&event("a"));
    let lock = fs::File::create(sandbox.path("held")).unwrap();
    let script = format!(
        "exec 9>>'{}'; flock 9; \"$0\" --detach",
        sandbox.path("held").display()
    );
    assert!(shell(&sandbox, &script).status().unwrap().success());
    assert!(fs2::FileExt::try_lock_exclusive(&lock).is_ok());
    gate.open();
    sandbox.wait_for_empty_buffer();
}

#[test]
fn it_survives_the_end_of_the_hosts_process_group() {
    for signal in [Signal::TERM, Signal::KILL, Signal::HUP] {
        let (sandbox, gate) = Sandbox::gated();
        let sandbox = sandbox.line(&event("a"));
        let mut host = shell(&sandbox, "\"$0\" --detach; echo started; sleep 100");
        let mut child = host
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut word = [0; 8];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut word)
            .unwrap();
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process_group(group, signal).unwrap();
        assert!(!child.wait().unwrap().success());
        gate.open();
        sandbox.wait_for_empty_buffer();
    }
}

/// A host in a terminal of its own, which closes when the returned value ends.
fn in_terminal(sandbox: &Sandbox, script: &str) -> (Child, OwnedFd) {
    use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let end = || {
        let name = name.to_str().unwrap();
        fs::File::options()
            .read(true)
            .write(true)
            .open(name)
            .unwrap()
    };
    let leader = Command::new("setsid")
        .arg("-c")
        .args(USUAL_SIGNALS)
        .args(["sh", "-c", script, BINARY])
        .env_clear()
        .envs(&sandbox.env)
        .env("PATH", "/usr/bin:/bin")
        .stdin(end())
        .stdout(end())
        .stderr(end())
        .spawn()
        .unwrap();
    (leader, terminal)
}

#[test]
fn it_survives_a_session_leader_that_exits_at_once() {
    let sandboxes: Vec<(Sandbox, Gate)> = (0..20)
        .map(|_| {
            let (sandbox, gate) = Sandbox::gated();
            let sandbox = sandbox.line(&event("a"));
            let (mut leader, terminal) = in_terminal(&sandbox, "\"$0\" --detach");
            assert!(leader.wait().unwrap().success());
            drop(terminal);
            (sandbox, gate)
        })
        .collect();
    for (sandbox, gate) in sandboxes {
        gate.open();
        sandbox.wait_for_empty_buffer();
    }
}

#[test]
fn it_survives_the_end_of_the_hosts_terminal() {
    let (sandbox, gate) = Sandbox::gated();
    let sandbox = sandbox.line(&event("a"));
    let (mut host, terminal) = in_terminal(&sandbox, "\"$0\" --detach; echo started; sleep 100");
    let mut said = Vec::new();
    while !said.ends_with(b"started\r\n") {
        let mut byte = [0];
        assert_eq!(rustix::io::read(&terminal, &mut byte).unwrap(), 1);
        said.push(byte[0]);
    }
    drop(terminal);
    assert!(!host.wait().unwrap().success(), "the host was to die of it");
    gate.open();
    sandbox.wait_for_empty_buffer();
}

#[test]
fn many_at_once_start_one_pass() {
    let sandbox = Sandbox::new().line(&event("a"));
    let children: Vec<_> = (0..60)
        .map(|_| sandbox.spawn(&["--detach", "--verbose"]))
        .collect();
    let started = children
        .into_iter()
        .map(|child| sandbox.wait(child))
        .filter(|output| String::from_utf8_lossy(&output.stderr).contains("on its way"))
        .count();
    assert_eq!(started, 1);
    assert_eq!(sandbox.detached().len(), 1);
}

#[test]
fn a_detached_pass_takes_the_flags_it_was_asked_with() {
    let sandbox = Sandbox::new().line(&event("a")).line(&event("b"));
    sandbox.run(&["--detach", "--request-events", "1"]).code(0);
    sandbox.wait_for_delivered(2);
    assert_eq!(sandbox.posts(), 2);
}

#[test]
fn relative_names_mean_what_they_meant_to_the_one_who_asked() {
    let sandbox = Sandbox::new().line(&event("a"));
    let data = sandbox
        .data()
        .strip_prefix(sandbox.home.path())
        .unwrap()
        .display()
        .to_string();
    sandbox.run(&["--detach", "--data-dir", &data]).code(0);
    sandbox.wait_for_empty_buffer();
}

#[test]
fn without_proc_the_program_is_found_by_the_name_it_was_called_by() {
    let Some(unshare) = tools::unshare() else {
        return;
    };
    for called in ["\"$0\"", "./telemetry-upload", "telemetry-upload"] {
        for (command, said) in [
            (
                "--detach --verbose",
                "telemetry-upload: a pass is on its way\n",
            ),
            ("record hello --spawn", ""),
        ] {
            let sandbox = Sandbox::new().dated().hasty().line(&event("a"));
            let bin = sandbox.home.path().join("bin");
            fs::create_dir(&bin).unwrap();
            std::os::unix::fs::symlink(BINARY, bin.join("telemetry-upload")).unwrap();
            let script =
                format!("mount -t tmpfs none /proc && cd \"$HOME/bin\" && exec {called} {command}");
            let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display());
            let output = Command::new(&unshare)
                .args(["--mount", "sh", "-c", &script, BINARY])
                .env_clear()
                .envs(&sandbox.env)
                .env("PATH", path)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let story = format!("{called} {command}: {output:?}");
            assert!(output.status.success(), "{story}");
            assert_eq!(String::from_utf8_lossy(&output.stderr), said, "{story}");
            sandbox.wait_for_delivered(if said.is_empty() { 2 } else { 1 });
            sandbox.wait_for_quiet();
        }
    }
}

#[test]
fn a_folder_whose_name_is_not_utf_8_is_the_same_for_the_pass_that_is_started() {
    for (variable, below) in [
        ("HOME", ".local/share/atomic"),
        ("XDG_DATA_HOME", "atomic"),
        ("TELEMETRY_UPLOAD_DATA_DIR", ""),
    ] {
        let sandbox = Sandbox::new();
        let folder = sandbox.home.path().join(OsStr::from_bytes(b"caf\xe9"));
        let data = folder.join(below);
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join("telemetry.json"), CONSENT).unwrap();
        fs::write(data.join("config.json"), r#"{"limits":{"gatherS":1}}"#).unwrap();
        let mut command = sandbox.command(&["record", "hello", "--spawn", "--verbose"]);
        let output = command.env(variable, &folder).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            said.ends_with("a pass is on its way\n"),
            "{variable} {output:?}"
        );
        sandbox.wait_for_delivered(1);
        sandbox.wait_for_quiet();
        assert_eq!(fs::read(data.join(BUFFER)).unwrap(), b"", "{variable}");
        // Nothing was made under a name that only looks like it.
        let names = fs::read_dir(sandbox.home.path()).unwrap();
        assert_eq!(names.count(), 2, "{variable}");
    }
}
