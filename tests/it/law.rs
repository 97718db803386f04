//! The law as a property: whatever stands in the buffer and whatever the server answers, every line
//! gets exactly one fate, and no event is lost, invented, or sent again after it was accepted.

use crate::kit::{BUFFER, event, event_aged};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::time::Duration;
use telemetry_upload::connection::{Connection, Endpoint};
use telemetry_upload::consent::Consent;
use telemetry_upload::paths::Paths;
use telemetry_upload::privacy::Policy;
use telemetry_upload::settings::{Limits, SentCopy, Settings};
use telemetry_upload::summary::Summary;
use telemetry_upload::terminal::Progress;
use telemetry_upload::upload::{Mode, Pass};
use telemetry_upload::world::{NoReply, Reply, World};

/// What a producer, or an accident, left in the buffer.
#[derive(Clone, Debug)]
enum Piece {
    Good,
    TooOld,
    Malformed,
    Blank,
    Nuls,
    TooLong,
    /// A fragment without a newline: it glues to whatever comes next.
    Torn,
}

/// How the server answers one request.
#[derive(Clone, Debug)]
enum Answer {
    Accept,
    /// Accepted, but nobody hears of it.
    AcceptInSilence,
    /// Some items, by number modulo the size of the batch, get this status.
    Partly(Vec<(usize, u16)>),
    Bare(u16),
    Html,
    Nothing,
}

fn any_piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        8 => Just(Piece::Good),
        1 => Just(Piece::TooOld),
        1 => Just(Piece::Malformed),
        1 => Just(Piece::Blank),
        1 => Just(Piece::Nuls),
        1 => Just(Piece::TooLong),
        1 => Just(Piece::Torn),
    ]
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let code = prop_oneof![
        Just(400u16),
        Just(402),
        Just(429),
        Just(500),
        Just(206),
        Just(777)
    ];
    prop_oneof![
        4 => Just(Answer::Accept),
        1 => Just(Answer::AcceptInSilence),
        4 => prop::collection::vec((0usize..8, code), 1..4).prop_map(Answer::Partly),
        2 => prop_oneof![Just(400u16), Just(401), Just(413), Just(429), Just(503), Just(418)].prop_map(Answer::Bare),
        1 => Just(Answer::Html),
        1 => Just(Answer::Nothing),
    ]
}

/// A server that follows the plan, then accepts everything.
struct Planned {
    answers: RefCell<VecDeque<Answer>>,
    /// Ids that the server took, and how often.
    taken: RefCell<BTreeMap<String, usize>>,
    /// Ids whose acceptance nobody heard of: these may come twice.
    unheard: RefCell<BTreeSet<String>>,
}

impl World for Planned {
    fn now(&self) -> DateTime<Utc> {
        telemetry_upload::world::now()
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _pause: Duration) {}

    fn post(&self, _endpoint: &Endpoint, body: &[u8]) -> Result<Reply, NoReply> {
        let envelopes: Vec<Value> = serde_json::from_slice(body).unwrap();
        let ids: Vec<String> = envelopes.iter().map(crate::kit::event_id).collect();
        let reply = |status, body: String| {
            Ok(Reply {
                status,
                body: body.into_bytes(),
                ..Reply::default()
            })
        };
        let nothing = || Err(NoReply::Failed("cut".to_owned()));
        match self
            .answers
            .borrow_mut()
            .pop_front()
            .unwrap_or(Answer::Accept)
        {
            Answer::Accept => reply(200, self.judge(&ids, &BTreeMap::new())),
            Answer::AcceptInSilence => {
                self.judge(&ids, &BTreeMap::new());
                self.unheard.borrow_mut().extend(ids);
                nothing()
            }
            Answer::Partly(faults) => {
                let faults = faults
                    .into_iter()
                    .map(|(index, code)| (index % ids.len(), code))
                    .collect();
                reply(206, self.judge(&ids, &faults))
            }
            Answer::Bare(status) => reply(status, String::new()),
            Answer::Html => reply(200, "<html>".to_owned()),
            Answer::Nothing => nothing(),
        }
    }
}

impl Planned {
    /// Takes what is not faulted, and says so as Breeze does.
    fn judge(&self, ids: &[String], faults: &BTreeMap<usize, u16>) -> String {
        for (index, id) in ids.iter().enumerate() {
            if faults.get(&index).is_none_or(|code| *code == 206) {
                *self.taken.borrow_mut().entry(id.clone()).or_default() += 1;
            }
        }
        let message = "100: Field 'x' on type 'EventData' is too long";
        let errors: Vec<Value> = faults
            .iter()
            .map(|(index, code)| json!({"index": index, "statusCode": code, "message": message}))
            .collect();
        json!({"itemsReceived": ids.len(), "itemsAccepted": ids.len() - faults.len(), "errors": errors}).to_string()
    }
}

fn written(pieces: &[Piece]) -> (String, Vec<String>) {
    let mut ids = Vec::new();
    let mut content = String::new();
    for (number, piece) in pieces.iter().enumerate() {
        let id = format!("id-{number:03}");
        match piece {
            Piece::Good => {
                content += &(event(&id) + "\n");
                ids.push(id);
            }
            Piece::TooOld => content += &(event_aged(&id, TimeDelta::days(31)) + "\n"),
            Piece::Malformed => content += "{\"broken\": \n",
            Piece::Blank => content += " \n",
            Piece::Nuls => content += "\0\0\0",
            Piece::TooLong => content += &("x".repeat(40_000) + "\n"),
            Piece::Torn => content += "{\"eventType\":\"torn",
        }
    }
    (content, ids)
}

fn run(world: &Planned, paths: &Paths, limits: &Limits) -> Summary {
    let settings = Settings {
        app: "atomic".to_owned(),
        connection: Connection::parse("InstrumentationKey=00000000-0000-4000-8000-000000000000")
            .unwrap(),
        policy: Policy::Default,
        limits: limits.clone(),
        ca_file: None,
        sent_copy: SentCopy::Kept,
    };
    let pass = Pass {
        world,
        settings: &settings,
        paths,
        mode: Mode::Foreground,
        may: &|| Consent::Allowed,
        progress: &Progress::Silent,
    };
    pass.run().unwrap()
}

/// The ids of ours that stand in a text.
fn ids_in(text: &str, ids: &[String]) -> BTreeSet<String> {
    ids.iter()
        .filter(|id| text.contains(id.as_str()))
        .cloned()
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_line_has_one_fate_whatever_the_server_answers(
        pieces in prop::collection::vec(any_piece(), 0..40),
        answers in prop::collection::vec(any_answer(), 0..12),
        request_events_max in 1usize..12,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::find("atomic", Some(folder.path()), &BTreeMap::new()).unwrap();
        let (content, ids) = written(&pieces);
        fs::write(paths.buffer(BUFFER), &content).unwrap();
        let world = Planned { answers: RefCell::new(answers.into()), taken: RefCell::default(), unheard: RefCell::default() };
        let limits = Limits { request_events_max, ..Limits::default() };

        for _ in 0..20 {
            let summary = run(&world, &paths, &limits);
            prop_assert!(summary.law_holds(), "{summary:?}");
            prop_assert_eq!(&summary.problems, &Vec::<String>::new());
            let left = fs::read_to_string(paths.buffer(BUFFER)).unwrap();
            let rejected = ids_in(&fs::read_to_string(paths.rejected()).unwrap_or_default(), &ids);
            let taken: BTreeSet<String> = world.taken.borrow().keys().cloned().collect();
            let left = ids_in(&left, &ids);
            for id in &ids {
                prop_assert!(taken.contains(id) || rejected.contains(id) || left.contains(id), "{id} is lost");
            }
            prop_assert!(taken.iter().all(|id| ids.contains(id)), "invented: {taken:?}");
        }
        // Twenty passes later the server accepts everything: nothing is left, nothing came twice.
        prop_assert_eq!(fs::metadata(paths.buffer(BUFFER)).unwrap().len(), 0);
        let unheard = world.unheard.borrow();
        for (id, times) in world.taken.borrow().iter() {
            prop_assert!(*times == 1 || unheard.contains(id), "{id} was taken {times} times");
        }
        let rejected = fs::read_to_string(paths.rejected()).unwrap_or_default();
        for id in &ids {
            let times = rejected.matches(&format!("{id}\\\"")).count();
            prop_assert!(times <= 1, "{id} was rejected {times} times");
        }
    }
}
