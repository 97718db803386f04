//! A data folder on a disk without room.

use crate::full_disk::{Answers, BATCH, Before, Case, Disk, EVENTS, LANES};
use crate::kit::{self, BUFFER, Sandbox, Server};
use crate::reckoning::Reckoning;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A data folder on a disk that is full.
pub struct Crowded {
    case: Case,
    at: PathBuf,
    sandbox: Sandbox,
    pub reckoning: Reckoning,
}

impl Crowded {
    pub fn new(case: Case, at: &Path) -> Crowded {
        let data = at.join("data");
        fs::create_dir(&data).unwrap();
        let script = script(case.answers);
        let sandbox = Sandbox::scripted(&script)
            .dated()
            .env("TELEMETRY_UPLOAD_DATA_DIR", &data.display().to_string());
        fs::copy(sandbox.path("telemetry.json"), data.join("telemetry.json")).unwrap();
        let mut full = Crowded {
            case,
            at: at.to_owned(),
            sandbox,
            reckoning: Reckoning::default(),
        };
        if case.before == Before::APass {
            full.append("before", 1);
            full.flush();
        }
        full.append("event", EVENTS);
        if case.before == Before::APass {
            full.pad();
        }
        full
    }

    /// Fills the buffer's last block with blank lines, so that the next line needs a block of its own.
    fn pad(&self) {
        let path = self.path(BUFFER);
        let length = fs::metadata(&path).unwrap().len();
        let missing = length.next_multiple_of(4096) - length;
        kit::append(&path, "\n".repeat(usize::try_from(missing).unwrap()));
    }

    fn append(&mut self, name: &str, count: usize) {
        for n in 0..count {
            let id = format!("{name}-{n:02}");
            let line = kit::event(&id);
            kit::append(&self.path(BUFFER), format!("{line}\n"));
            self.reckoning.certain(&id, &line);
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.at.join("data").join(name)
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.path(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Takes all the room but for what the case leaves.
    pub fn fill(&self) -> Filler {
        let folder = self.at.join("filler");
        let room = usize::try_from(self.case.room).unwrap();
        if self.case.disk == Disk::Inodes {
            fs::create_dir(&folder).unwrap();
            let full = (0..).take_while(|n| File::create(folder.join(n.to_string())).is_ok());
            let count = full.count();
            for n in count.saturating_sub(room)..count {
                fs::remove_file(folder.join(n.to_string())).unwrap();
            }
            return Filler(folder);
        }
        let mut file = File::create(&folder).unwrap();
        // What is delayed takes its room only when it is synced.
        for bytes in [64 * 1024, 1024] {
            let piece = vec![0; bytes];
            while file.write_all(&piece).is_ok() && file.sync_data().is_ok() {}
        }
        let block = if self.case.disk == Disk::Tmpfs {
            4096
        } else {
            1024
        };
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(self.case.room * block))
            .unwrap();
        file.sync_all().unwrap();
        Filler(folder)
    }

    /// A producer that may find no room; it says so only if it is asked.
    pub fn record(&mut self, pass: usize, missed: &mut BTreeMap<&'static str, usize>) {
        let id = format!("record-{pass}");
        self.reckoning.perhaps(&id, None);
        let id_given = format!("eventId={id}");
        let args = ["record", "full", "--verbose", "--prop", &id_given];
        let (code, said, _) = self.sandbox.run(&args).outputs();
        assert_eq!(code, 0);
        if said.contains("recorded") {
            self.reckoning.confirm(&id);
        } else {
            *missed.entry("a producer's line").or_default() += 1;
        }
    }

    fn flush(&self) -> (i32, String) {
        let requests = BATCH.to_string();
        let lanes = LANES.to_string();
        let args = ["--flush", "--request-events", &requests, "--attempts", "1"];
        let args = [&args[..], &["--lanes", &lanes]].concat();
        let (code, _, complaints) = self.sandbox.run(&args).outputs();
        (code, complaints)
    }

    /// One pass; 1 if it could not write down what became of a batch.
    pub fn pass(&self, missed: &mut BTreeMap<&'static str, usize>) -> usize {
        let copied_before = self.read("upload/sent.jsonl").lines().count();
        let accepted_before = self.sandbox.accepted().len();
        let (code, complaints) = self.flush();
        assert!([0, 1, 75].contains(&code), "exit code {code}: {complaints}");
        let copied = self.read("upload/sent.jsonl").lines().count() - copied_before;
        let accepted = self.sandbox.accepted().len() - accepted_before;
        for (step, met) in [
            ("the cursor", complaints.contains(".cursor")),
            ("lines to be kept", complaints.contains("to be kept")),
            ("rejected.jsonl", complaints.contains("rejected.jsonl")),
            ("sent.jsonl", code != 1 && copied < accepted),
        ] {
            if met {
                *missed.entry(step).or_default() += 1;
            }
        }
        usize::from(code == 1)
    }

    /// There is room again, and the server is well: everything is delivered. How much came twice.
    pub fn deliver_the_rest(&mut self) -> usize {
        let mut accepted = self.sandbox.accepted();
        self.sandbox.server = Server::start("", Box::new(|_, _, _| {}));
        let place = self.sandbox.server.connection_string.clone();
        let key = "APPLICATIONINSIGHTS_CONNECTION_STRING".to_owned();
        self.sandbox.env.insert(key, place);
        let (code, complaints) = self.flush();
        assert_eq!((code, self.read(BUFFER).as_str()), (0, ""), "{complaints}");
        accepted.extend(self.sandbox.accepted());
        let rejected =
            ["rejected.jsonl.1", "rejected.jsonl"].map(|name| self.read(&format!("upload/{name}")));
        self.reckoning.account(&accepted, &rejected.concat())
    }
}

/// What takes the room.
pub struct Filler(PathBuf);

impl Filler {
    pub fn remove(self) {
        let removed = if self.0.is_dir() {
            fs::remove_dir_all(&self.0)
        } else {
            fs::remove_file(&self.0)
        };
        removed.unwrap();
    }
}

fn script(answers: Answers) -> String {
    const KEEP: &str = r#"{"items": [{"index": 0, "statusCode": 500, "message": "x"}]}"#;
    const REFUSE: &str = r#"{"items": [{"index": 0, "statusCode": 400, "message": "109: Field 'name' on type 'EventData' is of no use"}]}"#;
    const DOWN: &str = r#"{"status": 503}"#;
    let turns: &[&str] = match answers {
        Answers::Ok => return String::new(),
        Answers::Down => return r#"{"status": 503, "times": "forever"}"#.to_owned(),
        Answers::Seventh => &[KEEP, REFUSE],
        Answers::Both => &[KEEP, REFUSE, "{}", DOWN],
    };
    // More than all passes ask for.
    let turns: Vec<&str> = turns.iter().copied().cycle().take(1000).collect();
    turns.join("\n")
}
