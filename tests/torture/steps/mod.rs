//! The steps of a pass, one by one: ended, failed, cut short or disturbed at each, by the layer that only
//! the library's own tests have ([`crate::os::faults`]). A simulated machine with its folder, its clock
//! and its server, and the account of every event.
//!
//! `TORTURE=full cargo test --release --lib torture` does every pair of steps and 100,000 sequences.

mod crash_points;
mod disturbances;
mod power_cuts;
mod sequences;
mod thirty_days;

use crate::connection::{Connection, Endpoint};
use crate::consent::Consent;
use crate::os::faults::{self, Ended, Fault, Step};
use crate::os::{self, Open};
use crate::paths::{OWN_BUFFER, Paths};
use crate::privacy::Policy;
use crate::settings::{Limits, SentCopy, Settings};
use crate::summary::{Ending, Summary};
use crate::terminal::Progress;
use crate::upload::{Mode, Pass};
use crate::world::{Answer as WorldsAnswer, NoReply, Reply, UnderWay, World};
use anyhow::Result;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// Events in one request: a small batch makes many requests of few events.
const BATCH: usize = 5;

/// How much is under way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Width {
    batch: usize,
    lanes: usize,
}

/// One batch after the other.
const NARROW: Width = Width {
    batch: BATCH,
    lanes: 1,
};

/// Batches so small that five of [`BATCH`] events each deserve three lanes.
const WIDE: Width = Width { batch: 3, lanes: 3 };

const WIDTHS: [Width; 2] = [NARROW, WIDE];

impl Width {
    /// Events that one end may repeat.
    fn in_flight(self) -> usize {
        self.batch * self.lanes
    }
}

/// No pass here has a fraction of so many steps.
const STEPS_MAX: usize = 20_000;

/// Whether everything is asked for, which takes minutes, or what every change is held to.
fn is_full() -> bool {
    std::env::var_os("TORTURE").is_some_and(|size| size == "full")
}

/// Says a figure where the harness does not keep it to itself.
fn say(figure: &str) {
    let mut stderr = std::io::stderr();
    writeln!(stderr, "torture: {figure}").unwrap();
}

/// How the server answers one request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// It takes everything.
    Accept,
    /// It takes all but these, which it may take later, and these, which it refuses for good.
    Partly(Vec<usize>, Vec<usize>),
    /// It takes nothing, with this status.
    Status(u16),
    /// It takes everything, but fails for the event of this number.
    FailsFor(usize),
    /// It takes everything, and nobody hears of it.
    Lost,
    /// It cannot be reached.
    Unreachable,
}

/// A server that answers by plan, then honestly.
struct Server {
    now: Cell<DateTime<Utc>>,
    answers: RefCell<VecDeque<Answer>>,
    /// What it answers when the plan is used up.
    then: RefCell<Answer>,
    /// Every envelope it took, in order.
    taken: RefCell<Vec<Value>>,
    requests: Cell<usize>,
    looks: Cell<usize>,
}

impl Server {
    fn take(&self, envelopes: &[Value], but: &[&[usize]]) -> usize {
        let is_taken = |index: &usize| !but.iter().any(|those| those.contains(index));
        let taken: Vec<Value> = (0..envelopes.len())
            .filter(is_taken)
            .map(|index| envelopes[index].clone())
            .collect();
        let count = taken.len();
        self.taken.borrow_mut().extend(taken);
        count
    }

    fn reply(&self, status: u16, body: &Value) -> Reply {
        Reply {
            status,
            body: body.to_string().into_bytes(),
            date: Some(self.now.get().to_rfc2822().replace("+0000", "GMT")),
            ..Reply::default()
        }
    }

    fn judge(&self, envelopes: &[Value], answer: &Answer) -> Result<Reply, NoReply> {
        let sent = envelopes.len();
        let nothing = || Err(NoReply::Failed("nobody answered".to_owned()));
        match answer {
            Answer::Accept => {
                let taken = self.take(envelopes, &[]);
                Ok(self.reply(
                    200,
                    &json!({"itemsReceived": sent, "itemsAccepted": taken, "errors": []}),
                ))
            }
            Answer::Partly(kept, refused) => {
                let taken = self.take(envelopes, &[kept, refused]);
                let error = |status: u16, message: &'static str| move |index: &usize| json!({"index": index, "statusCode": status, "message": message});
                let kept = kept.iter().filter(|index| **index < sent);
                let refused = refused.iter().filter(|index| **index < sent);
                let errors: Vec<Value> = kept
                    .map(error(500, "Internal Server Error"))
                    .chain(refused.map(error(
                        400,
                        "106: Field 'name' on type 'EventData' is of incorrect type.",
                    )))
                    .collect();
                let status = if taken == sent { 200 } else { 206 };
                Ok(self.reply(
                    status,
                    &json!({"itemsReceived": sent, "itemsAccepted": taken, "errors": errors}),
                ))
            }
            Answer::Status(status) => Ok(self.reply(*status, &Value::Null)),
            Answer::FailsFor(event) => {
                let id = json!(format!("e{event}"));
                let is_it =
                    |envelope: &Value| envelope["data"]["baseData"]["properties"]["event_id"] == id;
                let answer = if envelopes.iter().any(is_it) {
                    Answer::Status(500)
                } else {
                    Answer::Accept
                };
                self.judge(envelopes, &answer)
            }
            Answer::Lost => {
                self.take(envelopes, &[]);
                nothing()
            }
            Answer::Unreachable => nothing(),
        }
    }
}

impl World for Server {
    fn now(&self) -> DateTime<Utc> {
        self.now.get()
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _pause: Duration) {}

    /// Answers come in time for a common commit, or do not.
    fn look<'r>(&self, request: &'r mut UnderWay) -> Option<&'r WorldsAnswer> {
        self.looks.set(self.looks.get() + 1);
        match request {
            UnderWay::Done(answer) if self.looks.get().is_multiple_of(3) => Some(answer),
            _ => None,
        }
    }

    fn post(&self, _endpoint: &Endpoint, body: &[u8]) -> Result<Reply, NoReply> {
        let envelopes: Vec<Value> = serde_json::from_slice(body).unwrap();
        self.requests.set(self.requests.get() + 1);
        let then = || self.then.borrow().clone();
        let answer = self.answers.borrow_mut().pop_front().unwrap_or_else(then);
        match faults::ask(&Step::Post) {
            Fault::End => faults::end(),
            // It arrived, and nobody is there for the reply.
            Fault::EndHalfway | Fault::EndAfter(_) => {
                let _ = self.judge(&envelopes, &answer);
                faults::end()
            }
            Fault::Fail(_) => self.judge(&envelopes, &Answer::Lost),
            Fault::None | Fault::Short(_) => self.judge(&envelopes, &answer),
        }
    }
}

/// Whether an open file is the one that has the buffer's name.
fn is_the_buffer(file: &File, buffer: &Path) -> bool {
    let inode = |metadata: io::Result<fs::Metadata>| metadata.ok().map(|found| os::inode(&found));
    inode(file.metadata()) == inode(fs::metadata(buffer))
}

/// A folder with a buffer, a server, and what was appended.
struct Machine {
    _folder: tempfile::TempDir,
    paths: Paths,
    settings: Settings,
    server: Rc<Server>,
    /// The lines that were appended, by their event's id.
    appended: BTreeMap<String, String>,
}

impl Machine {
    /// One that sends one batch after the other.
    fn new(answers: &[Answer]) -> Machine {
        Machine::of(NARROW, answers)
    }

    fn of(width: Width, answers: &[Answer]) -> Machine {
        // In memory where there is such a folder: no sync here has to reach a disk.
        let memory = PathBuf::from("/dev/shm");
        let place = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        let folder = tempfile::tempdir_in(place).unwrap();
        let paths = Paths::find("atomic", Some(folder.path()), &BTreeMap::new()).unwrap();
        fs::create_dir(paths.upload()).unwrap();
        let key = "InstrumentationKey=00000000-0000-4000-8000-000000000000;IngestionEndpoint=http://127.0.0.1:1/";
        let settings = Settings {
            app: "atomic".to_owned(),
            connection: Connection::parse(key).unwrap(),
            policy: Policy::Default,
            limits: Limits {
                request_events_max: width.batch,
                lanes_max: width.lanes,
                attempts_max: 1,
                ..Limits::default()
            },
            ca_file: None,
            sent_copy: SentCopy::Kept,
        };
        let server = Server {
            now: Cell::new(crate::world::now()),
            answers: RefCell::new(answers.iter().cloned().collect()),
            then: RefCell::new(Answer::Accept),
            taken: RefCell::default(),
            requests: Cell::new(0),
            looks: Cell::new(0),
        };
        Machine {
            _folder: folder,
            paths,
            settings,
            server: Rc::new(server),
            appended: BTreeMap::new(),
        }
    }

    fn buffer(&self) -> PathBuf {
        self.paths.buffer(OWN_BUFFER)
    }

    /// A fresh event with this id, and its newline. Some are a few times as long as others.
    fn line(&mut self, id: usize) -> String {
        let at = self.server.now.get() - TimeDelta::seconds(30);
        let line = json!({
            "eventId": format!("e{id}"),
            "eventType": "atomic_command",
            "timestamp": at.to_rfc3339_opts(SecondsFormat::Millis, true),
            "command": format!("c{id}-{}", "x".repeat(id * 37 % 150)),
        });
        let line = line.to_string();
        self.appended.insert(format!("e{id}"), line.clone());
        line + "\n"
    }

    /// Events with these ids are in the buffer, as some producer put them there.
    fn fill(&mut self, ids: std::ops::Range<usize>) {
        let lines: String = ids.map(|id| self.line(id)).collect();
        self.put(lines.as_bytes());
    }

    /// Appended as a producer does that knows no lock.
    fn put(&self, bytes: &[u8]) {
        let file = os::open(&self.buffer(), Open::Append).unwrap();
        os::write_once(&file, bytes).unwrap();
    }

    /// One pass by plan; and how many steps it came to.
    fn pass(
        &self,
        mode: Mode,
        mut plan: impl FnMut(usize, &Step) -> Fault + 'static,
    ) -> (Result<Result<Summary>, Ended>, usize) {
        let pass = Pass {
            world: &*self.server,
            settings: &self.settings,
            paths: &self.paths,
            mode,
            may: &|| Consent::Allowed,
            progress: &Progress::Silent,
        };
        let bounded = move |step: usize, taken: &Step| {
            assert!(step < STEPS_MAX, "the pass spins");
            plan(step, taken)
        };
        faults::run(bounded, || pass.run())
    }

    /// Undisturbed passes, with an honest server, until everything has left: two are enough. An event of
    /// their own gives them something to do, so that whatever an end left lying about is taken up.
    fn recover(&mut self) {
        let id = 1_000_000 + self.appended.len();
        self.fill(id..id + 1);
        self.server.answers.borrow_mut().clear();
        *self.server.then.borrow_mut() = Answer::Accept;
        for _ in 0..2 {
            let (done, _) = self.pass(Mode::Foreground, |_, _| Fault::None);
            let summary = done.unwrap().unwrap();
            assert_eq!(summary.problems, [] as [String; 0]);
            assert!(
                matches!(summary.ending, Ending::Done | Ending::Nothing),
                "{:?}",
                summary.ending
            );
        }
    }

    /// The ids that arrived, and how often.
    fn arrivals(&self) -> BTreeMap<String, usize> {
        let mut arrivals = BTreeMap::new();
        for envelope in &*self.server.taken.borrow() {
            let properties = &envelope["data"]["baseData"]["properties"];
            let id = properties["event_id"].as_str().unwrap().to_owned();
            let line = self
                .appended
                .get(&id)
                .unwrap_or_else(|| panic!("{id} was invented"));
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(
                properties["command"], line["command"],
                "{id} arrived changed"
            );
            *arrivals.entry(id).or_default() += 1;
        }
        arrivals
    }

    /// Ids of the lines that were refused and written down.
    fn refused(&self) -> Vec<String> {
        let read = |path: &PathBuf| fs::read_to_string(path).unwrap_or_default();
        let text = self.rejections().iter().map(read).collect::<String>();
        ids_of_refused(&text)
    }

    /// Where they are written down.
    fn rejections(&self) -> [PathBuf; 2] {
        ["rejected.jsonl.1", "rejected.jsonl"].map(|name| self.paths.upload().join(name))
    }

    /// Every event arrived or was refused and written down, at most so many more than once; the buffer
    /// is empty, and no file is left that does not belong there. Returns how many came twice.
    fn account(&self, twice_max: usize) -> usize {
        let arrivals = self.arrivals();
        let refused = self.refused();
        for id in self.appended.keys() {
            assert!(
                arrivals.contains_key(id) || refused.contains(id),
                "{id} is lost"
            );
        }
        let twice: usize = arrivals.values().map(|count| count - 1).sum();
        assert!(twice <= twice_max, "{twice} came twice, {twice_max} may");
        assert_eq!(fs::read_to_string(self.buffer()).unwrap_or_default(), "");
        for entry in fs::read_dir(self.paths.upload()).unwrap() {
            let path = entry.unwrap().path();
            let is_new = path.extension().is_some_and(|extension| extension == "new");
            assert!(!is_new, "{} is left", path.display());
        }
        twice
    }
}

/// The events in what `rejected.jsonl` says.
fn ids_of_refused(text: &str) -> Vec<String> {
    let parse = |line: &str| -> Option<String> {
        let rejection: Value = serde_json::from_str(line).ok()?;
        let line: Value = serde_json::from_str(rejection["line"].as_str()?).ok()?;
        Some(line["eventId"].as_str()?.to_owned())
    };
    text.lines().filter_map(parse).collect()
}
