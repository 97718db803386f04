//! What each step on an event's path takes, alone, and what it allocates, a thousand events at a time:
//! `cargo bench --bench stages -- --sort location` shows them in the order of the path.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has nothing to say"
)]

use chrono::TimeDelta;
use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher, black_box};
use std::fs::File;
use telemetry_upload::batch::{Batch, Content, Judged};
use telemetry_upload::cursor::Mark;
use telemetry_upload::envelope::{self, Frame};
use telemetry_upload::event::{self, Age};
use telemetry_upload::gzip::Packer;
use telemetry_upload::lines::{Lines, Next};
use telemetry_upload::privacy::Policy;
use telemetry_upload::settings::Limits;
use telemetry_upload::world;

#[allow(
    unreachable_pub,
    reason = "the comparison has it, too, which is a package apart"
)]
mod data;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const EVENTS: u64 = 1_000;

fn main() {
    divan::main();
}

fn lines() -> Vec<String> {
    let begun = world::now() - TimeDelta::hours(1);
    (0..EVENTS)
        .map(|number| data::line(number, begun))
        .collect()
}

fn age() -> Age {
    Age {
        now: world::now(),
        days_max: Some(30),
    }
}

fn frame(policy: &Policy) -> Frame<'_> {
    let ikey = "00000000-0000-4000-8000-000000000000";
    Frame::new(ikey, "bench", world::now(), policy)
}

fn envelopes() -> Vec<Vec<u8>> {
    let (age, policy) = (age(), Policy::default());
    let frame = frame(&policy);
    let envelope = |line: String| {
        let event = event::parse(line.as_bytes(), &age).unwrap();
        envelope::wrap(&event, &frame).unwrap().json
    };
    lines().into_iter().map(envelope).collect()
}

/// Lines that are judged, each with its envelope.
fn judged() -> Vec<Judged> {
    let envelopes = lines().into_iter().zip(envelopes());
    let judged = envelopes.map(|(line, envelope)| Judged {
        at: Mark::default(),
        bytes: line.into_bytes(),
        content: Content::Envelope(envelope),
        fields_refused: Vec::new(),
    });
    judged.collect()
}

/// Packs lines into batches, and the batches into bodies.
fn bodies(judged: Vec<Judged>, limits: &Limits) -> Vec<Vec<u8>> {
    let mut batches = vec![Batch::default()];
    for line in judged {
        if !batches.last().unwrap().fits(&line, limits) {
            batches.push(Batch::default());
        }
        batches.last_mut().unwrap().push(line);
    }
    let bodies = batches.iter().map(|batch| batch.body(&batch.events()));
    bodies.collect()
}

fn bytes<T: AsRef<[u8]>>(all: &[T]) -> BytesCount {
    BytesCount::new(all.iter().map(|one| one.as_ref().len()).sum::<usize>())
}

#[divan::bench]
fn read(bencher: Bencher) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("buffer");
    data::write(&path, EVENTS, world::now()).unwrap();
    let file = File::open(path).unwrap();
    let size = file.metadata().unwrap().len();
    bencher
        .counter(ItemsCount::new(EVENTS))
        .counter(BytesCount::new(size))
        .bench(|| {
            let mut lines = Lines::new(&Mark::default(), size, 32 * 1024);
            while let Next::Line(line) = lines.next(&file).unwrap() {
                black_box(line);
            }
        });
}

#[divan::bench]
fn parse(bencher: Bencher) {
    let (lines, age) = (lines(), age());
    bencher
        .counter(ItemsCount::new(EVENTS))
        .counter(bytes(&lines))
        .bench(|| {
            for line in &lines {
                let _ = black_box(event::parse(black_box(line.as_bytes()), &age));
            }
        });
}

#[divan::bench]
fn wrap(bencher: Bencher) {
    let (lines, age, policy) = (lines(), age(), Policy::default());
    let frame = frame(&policy);
    let events = lines.iter().map(|line| event::parse(line.as_bytes(), &age));
    let events: Vec<_> = events.map(Result::unwrap).collect();
    bencher
        .counter(ItemsCount::new(EVENTS))
        .counter(bytes(&lines))
        .bench_local(|| {
            for event in &events {
                let _ = black_box(envelope::wrap(black_box(event), &frame));
            }
        });
}

#[divan::bench]
fn pack(bencher: Bencher) {
    let (judged, limits) = (judged(), Limits::default());
    bencher
        .counter(ItemsCount::new(EVENTS))
        .counter(bytes(&envelopes()))
        .with_inputs(|| judged.clone())
        .bench_values(|judged| bodies(judged, &limits));
}

#[divan::bench]
fn gzip(bencher: Bencher) {
    let bodies = bodies(judged(), &Limits::default());
    let mut packer = Packer::default();
    bencher
        .counter(ItemsCount::new(EVENTS))
        .counter(bytes(&bodies))
        .bench_local(|| {
            for body in &bodies {
                black_box(packer.pack(black_box(body)));
            }
        });
}
