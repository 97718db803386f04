//! One file a subcommand.

pub mod demo;
pub mod emulator;
pub mod hook;
pub mod pass;
pub mod record;
