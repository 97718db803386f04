//! The sandbox: the real binary in a home of its own with a cleared environment, against an emulator
//! that sees every request and may do something at any moment of it. Whatever a test does not
//! mention on standard output or standard error makes it fail.

use crate::tools::file;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use telemetry_upload::emulator::{Emulator, Exchange, Moment, Options, Script};

pub const BINARY: &str = env!("CARGO_BIN_EXE_telemetry-upload");
pub const BUFFER: &str = "telemetry-events.jsonl";
/// Longer than any run takes, even on a busy machine without optimisation.
const RUN_MAX: Duration = Duration::from_secs(180);

pub const CONSENT: &str =
    r#"{"enabled":true,"consentGiven":true,"anonymousId":"11111111-1111-4111-8111-111111111111"}"#;

/// What a test does when a request has come to a moment; the number counts requests from 1.
type Action = Box<dyn Fn(Moment, usize, &Client) + Send + Sync>;

/// The process that is talking to the server.
#[derive(Clone, Default)]
pub struct Client(Arc<AtomicI32>);

impl Client {
    /// Waits until the kit knows the process: it may connect before `spawn` has returned.
    pub fn pid(&self) -> i32 {
        loop {
            match self.0.load(Ordering::SeqCst) {
                0 => std::thread::yield_now(),
                pid => return pid,
            }
        }
    }

    pub fn kill(&self) {
        let pid = rustix::process::Pid::from_raw(self.pid()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        // Dead only when it is no longer running: what it was about to do must not happen.
        while fs::read_to_string(format!("/proc/{}/stat", self.pid()))
            .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
        {
            std::thread::yield_now();
        }
    }

    /// Peak resident memory in kilobytes.
    pub fn memory_peak_kb(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

/// Held shut until it is opened, or the test is over.
#[derive(Default)]
pub struct Gate(Arc<AtomicBool>);

impl Gate {
    pub fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

/// An emulator, and everything it saw.
pub struct Server {
    pub connection_string: String,
    pub port: u16,
    pub exchanges: Arc<Mutex<Vec<Exchange>>>,
    pub connections: Arc<Mutex<usize>>,
    pub client: Client,
    emulator: Option<Emulator>,
}

impl Drop for Server {
    /// Thousands of them would not fit into one process.
    fn drop(&mut self) {
        self.emulator.take().unwrap().stop();
    }
}

impl Server {
    pub fn start(script: &str, action: Action) -> Server {
        let exchanges: Arc<Mutex<Vec<Exchange>>> = Arc::default();
        let connections: Arc<Mutex<usize>> = Arc::default();
        let client = Client::default();
        let (seen, received, who) = (exchanges.clone(), connections.clone(), client.clone());
        let emulator = Emulator::start(Options {
            port: 0,
            store: None,
            tls: None,
            script: Script::parse(script).unwrap(),
            now: telemetry_upload::world::now,
            observer: Arc::new(move |moment, exchange| {
                let count = match moment {
                    Moment::Receiving => {
                        let mut count = received.lock().unwrap();
                        *count += 1;
                        *count
                    }
                    Moment::Judged => {
                        let mut seen = seen.lock().unwrap();
                        seen.push(exchange.clone());
                        seen.len()
                    }
                    Moment::Replied => seen.lock().unwrap().len(),
                };
                action(moment, count, &who);
            }),
        })
        .unwrap();
        let port = emulator.address().port();
        Server {
            connection_string: emulator.connection_string(),
            port,
            exchanges,
            connections,
            client,
            emulator: Some(emulator),
        }
    }
}

/// A home with an application's data folder in it.
pub struct Sandbox {
    pub home: tempfile::TempDir,
    pub server: Server,
    pub env: BTreeMap<String, String>,
}

impl Sandbox {
    /// Consent given, no buffer, an honest server.
    pub fn new() -> Sandbox {
        Sandbox::scripted("")
    }

    /// A server that answers by script.
    pub fn scripted(script: &str) -> Sandbox {
        Sandbox::acting(script, |_, _, _| {})
    }

    /// A server that answers nothing before the gate is opened, to a client that waits for it.
    pub fn gated() -> (Sandbox, Gate) {
        let gate = Gate::default();
        let open = gate.0.clone();
        let sandbox = Sandbox::acting("", move |moment, _, _| {
            while moment == Moment::Judged && !open.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        sandbox.write(
            "config.json",
            r#"{"limits":{"requestTimeoutMs":170000,"gatherS":1}}"#,
        );
        (sandbox, gate)
    }

    /// A server that answers by script and does something else besides.
    pub fn acting(
        script: &str,
        action: impl Fn(Moment, usize, &Client) + Send + Sync + 'static,
    ) -> Sandbox {
        let home = tempfile::tempdir().unwrap();
        let server = Server::start(script, Box::new(action));
        let env = BTreeMap::from([
            ("HOME".to_owned(), home.path().display().to_string()),
            (
                "APPLICATIONINSIGHTS_CONNECTION_STRING".to_owned(),
                server.connection_string.clone(),
            ),
        ]);
        let sandbox = Sandbox { home, server, env };
        fs::create_dir_all(sandbox.data()).unwrap();
        sandbox.write("telemetry.json", CONSENT);
        sandbox
    }

    pub fn env(mut self, name: &str, value: &str) -> Sandbox {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn without_env(mut self, name: &str) -> Sandbox {
        self.env.remove(name);
        self
    }

    /// Appends a line and its newline to the buffer.
    pub fn line(self, line: &str) -> Sandbox {
        self.append(format!("{line}\n"));
        self
    }

    pub fn data(&self) -> PathBuf {
        self.home.path().join(".local/share/atomic")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.data().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    pub fn append(&self, content: impl AsRef<[u8]>) {
        append(&self.path(BUFFER), content);
    }

    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    pub fn inode(&self) -> u64 {
        fs::metadata(self.path(BUFFER)).unwrap().ino()
    }

    /// Makes the buffer look untouched since `seconds` ago.
    pub fn age_buffer(&self, seconds: u64) {
        let file = fs::File::options()
            .append(true)
            .open(self.path(BUFFER))
            .unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(seconds))
            .unwrap();
    }

    /// With stand-ins for every scheduler before the programs of this machine: whose schedules those have is
    /// no test's business.
    pub fn with_stand_ins(self) -> Sandbox {
        let folder = self.home.path().join("stand-ins");
        fs::create_dir(&folder).unwrap();
        for (stand_in, name) in [
            ("scheduler", "systemctl"),
            ("scheduler", "launchctl"),
            ("crontab", "crontab"),
        ] {
            symlink(file("tests/fake").join(stand_in), folder.join(name)).unwrap();
        }
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", folder.display());
        self.env("PATH", &path)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .args(args)
            .env_clear()
            .envs(&self.env)
            .current_dir(self.home.path())
            .stdin(Stdio::null());
        command
    }

    pub fn spawn(&self, args: &[&str]) -> Child {
        self.server.client.0.store(0, Ordering::SeqCst);
        let child = self
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        self.server
            .client
            .0
            .store(i32::try_from(child.id()).unwrap(), Ordering::SeqCst);
        child
    }

    pub fn run(&self, args: &[&str]) -> Ran<'_> {
        let output = self.wait(self.spawn(args));
        Ran {
            sandbox: self,
            output,
            stdout: String::new(),
            stderr: String::new(),
        }
    }

    /// A run that was had in another way.
    pub fn ran(&self, output: Output) -> Ran<'_> {
        Ran {
            sandbox: self,
            output,
            stdout: String::new(),
            stderr: String::new(),
        }
    }

    /// A run that is given this on standard input, and then its end.
    pub fn feed(&self, args: &[&str], input: impl AsRef<[u8]>) -> Ran<'_> {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stdin, input) = (child.stdin.take().unwrap(), input.as_ref().to_vec());
        // Whoever does not want it all closes the pipe; a host ignores that too.
        std::thread::spawn(move || stdin.write_all(&input));
        Ran {
            sandbox: self,
            output: self.wait(child),
            stdout: String::new(),
            stderr: String::new(),
        }
    }

    /// Detached passes that do not stay for long.
    pub fn hasty(self) -> Sandbox {
        self.write("config.json", r#"{"limits":{"gatherS":1}}"#);
        self
    }

    /// Consent whose anonymous id is of this month.
    pub fn dated(self) -> Sandbox {
        let consent = json!({
            "enabled": true, "consentGiven": true, "anonymousId": "anna",
            "rotatedAt": telemetry_upload::world::now().to_rfc3339(),
        });
        self.write("telemetry.json", consent.to_string());
        self
    }

    /// The lines of the buffer, parsed.
    pub fn recorded(&self) -> Vec<Value> {
        let text = self.read(BUFFER);
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The detached passes over this home that are running.
    pub fn detached(&self) -> Vec<i32> {
        let home = self.home.path().display().to_string();
        let mut found = Vec::new();
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = process
                .file_name()
                .to_str()
                .and_then(|pid| pid.parse().ok())
            else {
                continue;
            };
            // One that has just ended has no arguments any more.
            let arguments = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let environment = fs::read(process.path().join("environ")).unwrap_or_default();
            let is_ours = String::from_utf8_lossy(&environment).contains(&home);
            let is_detached = |argument: &[u8]| argument == b"--detached" || argument == b"--late";
            if is_ours && arguments.split(|byte| *byte == 0).any(is_detached) {
                found.push(pid);
            }
        }
        found
    }

    /// Waits until so many events were accepted.
    pub fn wait_for_delivered(&self, count: usize) {
        let begun = std::time::Instant::now();
        while self.delivered().len() < count {
            assert!(
                begun.elapsed() < RUN_MAX,
                "{:?} of {count} events came; {:?}",
                self.delivered(),
                self.files()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until a pass has finished its work: only one that is alive empties the buffer.
    pub fn wait_for_empty_buffer(&self) {
        let begun = std::time::Instant::now();
        while !self.read(BUFFER).is_empty() {
            assert!(begun.elapsed() < RUN_MAX, "{:?}", self.files());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until no detached pass is left.
    pub fn wait_for_quiet(&self) {
        let begun = std::time::Instant::now();
        while !self.detached().is_empty() {
            assert!(begun.elapsed() < RUN_MAX, "a detached pass stays");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for a run to end, which takes no run of ours a minute.
    pub fn wait(&self, child: Child) -> Output {
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || ended.send(child.wait_with_output().unwrap()));
        end.recv_timeout(RUN_MAX).unwrap_or_else(|_| {
            self.server.client.kill();
            panic!("a run hung and was killed; {:?}", self.files().keys());
        })
    }

    /// Waits until the server has read a request.
    pub fn wait_for_post(&self) {
        let begun = std::time::Instant::now();
        while self.posts() == 0 {
            assert!(begun.elapsed() < RUN_MAX, "no request came");
            std::thread::yield_now();
        }
    }

    /// The commands that `--help` names.
    pub fn commands(&self) -> Vec<String> {
        let (_, help, _) = self.run(&["--help"]).outputs();
        let groups = help.split("\nSee:\n").nth(1).unwrap();
        let groups = groups.split("\nOptions:").next().unwrap();
        let lines = groups.lines().filter(|line| line.starts_with("  "));
        let names = lines.map(|line| line.split_whitespace().next().unwrap().to_owned());
        let names: Vec<String> = names.collect();
        assert!(names.len() > 15, "{names:?}");
        names
    }

    /// The most common run: a flush whose pauses are short.
    pub fn flush(&self) -> Ran<'_> {
        self.run(&["--flush", "--pause-ms", "1"])
    }

    /// A flush where no file may grow beyond so many kilobytes: what a full disk looks like to a write.
    pub fn flush_with_files_up_to(&self, kilobytes: usize) -> Output {
        let script = format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$0\" --flush");
        Command::new("bash")
            .args(["-c", &script, BINARY])
            .env_clear()
            .envs(&self.env)
            .output()
            .unwrap()
    }

    /// Makes a FIFO that nobody writes to: whoever opens it waits for ever.
    pub fn fifo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        path
    }

    /// Requests whose body was read.
    pub fn posts(&self) -> usize {
        self.server.exchanges.lock().unwrap().len()
    }

    /// Everything that came over the wire, accepted or not, in order.
    pub fn envelopes(&self) -> Vec<Value> {
        let exchanges = self.server.exchanges.lock().unwrap();
        exchanges
            .iter()
            .flat_map(|exchange| {
                exchange
                    .verdicts
                    .iter()
                    .map(|(envelope, _)| envelope.clone())
            })
            .collect()
    }

    /// The envelopes that were accepted, in order.
    pub fn accepted(&self) -> Vec<Value> {
        let exchanges = self.server.exchanges.lock().unwrap();
        exchanges
            .iter()
            .flat_map(|exchange| &exchange.verdicts)
            .filter(|(_, error)| error.is_none())
            .map(|(envelope, _)| envelope.clone())
            .collect()
    }

    /// The event ids that were accepted, in order.
    pub fn delivered(&self) -> Vec<String> {
        self.accepted().iter().map(event_id).collect()
    }

    /// Ids of the events that came over the wire, request by request.
    pub fn requests(&self) -> Vec<Vec<String>> {
        let exchanges = self.server.exchanges.lock().unwrap();
        exchanges
            .iter()
            .map(|exchange| {
                exchange
                    .verdicts
                    .iter()
                    .map(|(envelope, _)| event_id(envelope))
                    .collect()
            })
            .collect()
    }

    /// Every file below the home, with its mode and content.
    pub fn files(&self) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut files = BTreeMap::new();
        collect(self.home.path(), self.home.path(), &mut files);
        files
    }

    /// What upload/state.json says under this name.
    pub fn state(&self, name: &str) -> Value {
        serde_json::from_str::<Value>(&self.read("upload/state.json"))
            .map_or(Value::Null, |state| state[name].clone())
    }
}

impl Drop for Sandbox {
    /// A detached pass would stay for a while yet.
    fn drop(&mut self) {
        for pid in self.detached() {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

/// A run that is not checked yet. Both outputs are expected to be empty unless said otherwise.
#[must_use = "a run is checked by .code()"]
pub struct Ran<'a> {
    sandbox: &'a Sandbox,
    output: Output,
    stdout: String,
    stderr: String,
}

impl Ran<'_> {
    /// The lines expected on standard output.
    pub fn stdout(mut self, expected: &str) -> Self {
        self.stdout = format!("{expected}\n");
        self
    }

    /// The lines expected on standard error; `{data}` stands for the data folder.
    pub fn stderr(mut self, expected: &str) -> Self {
        self.stderr = format!("telemetry-upload: {expected}\n")
            .replace("{data}", &self.sandbox.data().display().to_string());
        self
    }

    /// How many requests the server has read so far.
    pub fn posts(self, expected: usize) -> Self {
        assert_eq!(self.sandbox.posts(), expected, "requests; {}", self.story());
        self
    }

    /// The bytes left in the buffer.
    pub fn left(self, expected: &str) -> Self {
        assert_eq!(
            self.sandbox.read(BUFFER),
            expected,
            "left in the buffer; {}",
            self.story()
        );
        self
    }

    /// Checks the outputs and the exit code.
    pub fn code(self, expected: i32) {
        assert_eq!(
            String::from_utf8_lossy(&self.output.stdout),
            self.stdout,
            "stdout; {}",
            self.story()
        );
        assert_eq!(
            String::from_utf8_lossy(&self.output.stderr),
            self.stderr,
            "stderr; {}",
            self.story()
        );
        assert_eq!(
            self.output.status.code(),
            Some(expected),
            "exit code; {}",
            self.story()
        );
    }

    /// Compares everything that was said, and the exit code, with what was decided that it should be:
    /// `SNAPSHOTS=overwrite cargo test` takes what is said now. Homes, ports, times and ids differ from run
    /// to run, and have names there.
    pub fn says(self, expected: impl snapbox::IntoData) {
        self.compare(None, expected);
    }

    /// The same of standard output up to its first blank line.
    pub fn begins(self, expected: impl snapbox::IntoData) {
        self.compare(Some("\n\n"), expected);
    }

    fn compare(self, end: Option<&str>, expected: impl snapbox::IntoData) {
        let mut said = String::from_utf8_lossy(&self.output.stdout).into_owned();
        if let Some(at) = end.and_then(|end| said.find(end)) {
            said.truncate(at + 1);
        }
        let complaints = String::from_utf8_lossy(&self.output.stderr);
        if !complaints.is_empty() {
            said += &format!("--- stderr\n{complaints}");
        }
        let code = self.output.status.code();
        said += &format!("--- exit {}\n", code.map_or(-1, |code| code));
        let mut names = snapbox::Redactions::new();
        let patterns = [
            (
                "[TIME]",
                r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?( UTC|Z|\+00:00)?",
            ),
            (
                "[ID]",
                r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            ),
            ("[DAY]", r"events? since (?<redacted>\d{4}-\d\d-\d\d)"),
            ("[AGE]", r"the oldest (?<redacted>\d+ seconds?) old"),
            ("[SERVER]", r"(127\.0\.0\.1|localhost):\d+"),
            ("[DURATION]", r"\d+ ms"),
            (
                "[ARCH]",
                r"version: telemetry-upload [^ ]+ [a-z]+ (?<redacted>\w+)",
            ),
        ];
        for (name, pattern) in patterns {
            names
                .insert(name, regex::Regex::new(pattern).unwrap())
                .unwrap();
        }
        let home = self.sandbox.home.path().display().to_string();
        names.insert("[HOME]", home).unwrap();
        snapbox::Assert::new()
            .action_env("SNAPSHOTS")
            .normalize_paths(false)
            .redact_with(names)
            .eq(said, expected);
    }

    /// Takes everything as it is.
    pub fn output(self) -> Output {
        self.output
    }

    /// Takes the outputs as they are, for tests that look into them.
    pub fn outputs(self) -> (i32, String, String) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            self.output.status.code().unwrap_or(-1),
            text(&self.output.stdout),
            text(&self.output.stderr),
        )
    }

    fn story(&self) -> String {
        let mut story = format!("\n--- status {:?}", self.output.status);
        for (name, bytes) in [
            ("stdout", &self.output.stdout),
            ("stderr", &self.output.stderr),
        ] {
            story += &format!("\n--- {name}\n{}", String::from_utf8_lossy(bytes));
        }
        for (name, (mode, content)) in self.sandbox.files() {
            let content = String::from_utf8_lossy(&content[..content.len().min(2000)]).into_owned();
            story += &format!("\n--- {name} {mode:o}\n{content}");
        }
        story
    }
}

pub fn append(path: &Path, content: impl AsRef<[u8]>) {
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(content.as_ref()).unwrap();
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, (u32, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            collect(root, &path, files);
        } else if metadata.is_file() {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let content = fs::read(&path).unwrap_or_default();
            files.insert(name, (metadata.permissions().mode() & 0o777, content));
        }
    }
}

/// A port of this machine where nothing listens.
pub fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

pub fn event_id(envelope: &Value) -> String {
    envelope["data"]["baseData"]["properties"]["event_id"]
        .as_str()
        .unwrap_or("-")
        .to_owned()
}

/// A fresh event as Atomic writes it, with this id.
pub fn event(id: &str) -> String {
    event_aged(id, TimeDelta::seconds(30))
}

/// Fresh events `id-00`, `id-01`, …, each with its newline.
pub fn events(numbers: Range<usize>) -> Vec<String> {
    numbers
        .map(|n| event(&format!("id-{n:02}")) + "\n")
        .collect()
}

/// The same, this old.
pub fn event_aged(id: &str, age: TimeDelta) -> String {
    event_at(id, telemetry_upload::world::now() - age)
}

/// The same, at this time.
pub fn event_at(id: &str, at: DateTime<Utc>) -> String {
    json!({
        "anonymousId": "11111111-1111-4111-8111-111111111111",
        "eventId": id,
        "eventType": "atomic_command",
        "timestamp": at.to_rfc3339_opts(SecondsFormat::Millis, true),
        "platform": "linux",
        "atomicVersion": "0.9.1",
        "command": "init",
        "agentType": "claude",
        "success": true,
    })
    .to_string()
}
