//! The torture suite: the promise, held against kills, full disks, power cuts, bad networks and the
//! person's own edits. Every trial ends with an account of every event: the [`oracle`]'s, or, where the
//! passes' own books may be lost with what was broken, that of [`in_flight`] or [`reckoning`].
//!
//! ```text
//! cargo test --release --test torture -- [--quick | --full] [--seed N] [name…]
//! ```
//!
//! `--quick`, which is also what a plain `cargo test` runs, takes two minutes; `--full` takes hours and
//! gives the figures in README. What this machine does not allow is skipped, with the reason printed.

#![cfg(target_os = "linux")]
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    clippy::format_push_string,
    clippy::print_stdout,
    reason = "a test that cannot go on fails"
)]

mod aftermath;
mod chance;
mod corpus;
mod crowded;
mod cut_off;
mod errnos;
mod full_disk;
mod in_flight;
mod kills;
#[path = "../it/kit.rs"]
#[allow(dead_code, reason = "the other suite uses the rest")]
mod kit;
mod latency;
mod mounts;
mod networks;
mod oracle;
mod passes;
mod power_cuts;
mod reckoning;
mod scenarios;
mod stop_resume;
mod storm;
mod strace;
mod syscalls;
#[path = "../it/tools.rs"]
#[allow(dead_code, reason = "the other suite uses the rest")]
mod tools;
mod writers;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};
use std::time::Instant;

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// For every change.
    Quick,
    /// For a release.
    Full,
}

impl Size {
    /// One figure or the other.
    pub fn pick<T>(self, quick: T, full: T) -> T {
        match self {
            Size::Quick => quick,
            Size::Full => full,
        }
    }
}

/// What a trial is given.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    pub size: Size,
    /// Where its random choices begin; printed, so that a failure can be repeated.
    pub seed: u64,
}

/// How a trial ended that did not fail; one that fails panics.
#[derive(Debug)]
pub enum Ended {
    /// The promise held; the figures in words.
    Held(String),
    /// This machine does not allow it; why.
    Skipped(String),
}

/// Its name, and what it does.
type Trial = (&'static str, fn(Given) -> Ended);

const TRIALS: &[Trial] = &[
    ("steps", steps),
    ("full_disk", full_disk::run),
    ("power_cuts_ext4", power_cuts::ext4),
    ("power_cuts_xfs", power_cuts::xfs),
    ("syscall_kills", syscalls::kills),
    ("syscall_errors", syscalls::errors),
    ("syscall_interruptions", syscalls::interruptions),
    ("kills", kills::kills),
    ("volume", kills::volume),
    ("volume_killed", kills::volume_and_kills),
    ("storm", storm::storm),
    ("latency", latency::latency),
    ("stop_resume", stop_resume::stop_resume),
    ("networks", networks::networks),
    ("redirects", networks::redirects::redirects),
    ("weather", networks::weather),
    ("corpus", corpus::corpus),
];

/// Whether a trial is one of those asked for: by its name, or by a part of the names of several.
fn is_wanted(name: &str, asked_for: &[String]) -> bool {
    let is_a_name = |part: &str| TRIALS.iter().any(|(whole, _)| *whole == part);
    let matches = |part: &String| name == part || !is_a_name(part) && name.contains(part.as_str());
    asked_for.is_empty() || asked_for.iter().any(matches)
}

/// Everything in `steps/`, which is a part of the library's own tests, because only they have a file
/// system that can be told to fail. A plain `cargo test` runs it in its quick size by itself.
fn steps(given: Given) -> Ended {
    if given.size == Size::Quick {
        return Ended::Skipped("in its quick size a part of `cargo test --lib`".to_owned());
    }
    let optimised: &[&str] = if cfg!(debug_assertions) {
        &[]
    } else {
        &["--release"]
    };
    let output = Command::new(env!("CARGO"))
        .args(["test", "--locked", "--lib"])
        .args(optimised)
        .args(["--", "torture::"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("TORTURE", "full")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{said}",
        String::from_utf8_lossy(&output.stdout)
    );
    let figures = said
        .lines()
        .filter_map(|line| line.strip_prefix("torture: "));
    Ended::Held(figures.collect::<Vec<_>>().join("; "))
}

fn main() -> ExitCode {
    let mut given = Given {
        size: Size::Quick,
        seed: 1,
    };
    let mut names = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => given.size = Size::Quick,
            "--full" => given.size = Size::Full,
            "--seed" => given.seed = arguments.next().unwrap().parse().unwrap(),
            // What `cargo test -- …` means for the other tests, with and without a value behind it.
            "--skip" | "--test-threads" | "--format" | "--color" | "-Z" => {
                arguments.next();
            }
            other if other.starts_with('-') => {}
            _ => names.push(argument),
        }
    }
    let mut failed = 0;
    for (name, trial) in TRIALS {
        if !is_wanted(name, &names) {
            continue;
        }
        print!("torture {name} ... ");
        std::io::stdout().flush().unwrap();
        let begun = Instant::now();
        let ended = catch_unwind(AssertUnwindSafe(|| trial(given)));
        let seconds = begun.elapsed().as_secs();
        match ended {
            Ok(Ended::Held(figures)) => println!("held: {figures} ({seconds} s)"),
            Ok(Ended::Skipped(why)) => println!("skipped: {why}"),
            Err(_) => {
                println!("FAILED ({seconds} s, seed {})", given.seed);
                failed += 1;
            }
        }
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        println!("{failed} failed");
        ExitCode::FAILURE
    }
}
