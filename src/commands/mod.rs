//! One file a subcommand.

pub mod completions;
pub mod consent;
pub mod demo;
pub mod doctor;
pub mod emulator;
pub mod hook;
pub mod hooks;
pub mod inspect;
pub mod pass;
pub mod purge;
pub mod record;
pub mod report;
pub mod reset_id;
pub mod schedule;
pub mod status;
