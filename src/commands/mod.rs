//! One file a subcommand.

pub mod demo;
pub mod emulator;
pub mod hook;
pub mod hooks;
pub mod pass;
pub mod record;
