//! The real binary, as a user runs it.
//!
//! Not tested here: Windows and macOS; power cuts; file systems other than the one of the temporary
//! folder; a real Application Insights resource.

#![cfg(target_os = "linux")]
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    clippy::format_push_string,
    clippy::needless_raw_string_hashes,
    clippy::too_many_lines,
    reason = "a test that cannot go on fails"
)]

mod kit;
mod person;
mod picky;
mod tools;

mod answer;
mod bad_input;
mod circumstances;
mod commands;
mod consent;
mod cost;
mod cost_of_events;
mod crash;
mod detach;
mod doctor;
mod documents;
mod emulator;
mod examples;
mod flush;
mod found;
mod golden;
mod help;
mod honest;
mod hook;
mod hooks_anywhere;
mod hooks_install;
mod host;
mod inspect;
mod install;
mod lanes;
mod law;
mod lenient;
mod limits;
mod network;
mod no_locks;
mod poison;
mod privacy;
mod producers;
mod proxies;
mod purge;
mod queries;
mod race;
mod record;
mod replies;
mod report;
mod roots;
mod schedule;
mod scripts;
mod security;
mod serving;
mod snapshots;
mod status;
mod tidy;
