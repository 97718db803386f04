//! The laws of the fuzzers, held against their seeds, against every input that ever broke one, and
//! against mutations of both, so that they hold on machines without a fuzzer, too.

use crate::chance::Chance;
use crate::{Ended, Given};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

#[path = "../fuzz/laws/mod.rs"]
mod laws;

/// Holds every law to every input.
pub fn corpus(given: Given) -> Ended {
    let mutations = given.size.pick(100, 20_000);
    let mut chance = Chance::new(given.seed);
    let (mut files, mut runs) = (0, 0);
    for (name, law) in laws::LAWS {
        let inputs = inputs(name);
        assert!(inputs.len() >= 4, "{name} has seeds");
        for (path, bytes) in &inputs {
            hold(law, bytes, &format!("{name} on {}", path.display()));
        }
        for number in 0..mutations {
            let (_, one) = &inputs[chance.below(inputs.len())];
            let (_, other) = &inputs[chance.below(inputs.len())];
            let bytes = mutate(&mut chance, one, other);
            hold(law, &bytes, &format!("{name} on mutation {number}"));
        }
        files += inputs.len();
        runs += inputs.len() + mutations;
    }
    let count = laws::LAWS.len();
    Ended::Held(format!(
        "{count} laws on {files} inputs, {runs} runs with mutations"
    ))
}

/// The seeds of a law, and what broke it before.
fn inputs(law: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let folders = ["seeds", "regressions"].map(|folder| fuzz.join(folder).join(law));
    let listings = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok());
    let mut paths: Vec<PathBuf> = listings
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let read = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
    paths.into_iter().map(read).collect()
}

fn hold(law: laws::Law, bytes: &[u8], what: &str) {
    let held = catch_unwind(AssertUnwindSafe(|| law(bytes)));
    assert!(held.is_ok(), "{what}: {}", bytes.escape_ascii());
}

/// A few bytes of one changed, dropped or doubled, or the end of another put in their place.
fn mutate(chance: &mut Chance, one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = one.to_vec();
    for _ in 0..=chance.below(4) {
        let at = chance.below(bytes.len());
        let end = (at + 1 + chance.below(8)).min(bytes.len());
        match chance.below(5) {
            _ if bytes.is_empty() => bytes = other.to_vec(),
            0 => bytes[at] ^= 1 << chance.below(8),
            1 => bytes[at] = chance.any().to_be_bytes()[0],
            2 => drop(bytes.drain(at..end)),
            3 => bytes.extend_from_within(at..end),
            _ => {
                bytes.truncate(at);
                bytes.extend_from_slice(&other[chance.below(other.len())..]);
            }
        }
    }
    bytes
}
