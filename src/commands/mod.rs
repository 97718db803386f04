//! One file a subcommand.

pub mod demo;
pub mod doctor;
pub mod emulator;
pub mod hook;
pub mod hooks;
pub mod inspect;
pub mod pass;
pub mod record;
pub mod report;
pub mod schedule;
pub mod status;
