//! One file a subcommand.

pub mod demo;
pub mod emulator;
pub mod pass;
