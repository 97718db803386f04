//! Parse, run, exit. Everything is decided elsewhere.

use clap::Parser;
use std::collections::BTreeMap;
use std::process::ExitCode;
use telemetry_upload::cli::{Cli, Command};
use telemetry_upload::{commands, terminal};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let env = environment();
    let done = match &cli.command {
        None => commands::pass::run(&cli.upload, &env),
        Some(Command::Demo) => commands::demo::run(),
        Some(Command::Emulator(emulator)) => commands::emulator::run(emulator),
    };
    done.unwrap_or_else(|err| {
        terminal::complain(&format!("{err:#}"));
        ExitCode::FAILURE
    })
}

/// The environment, read once. A value that is not UTF-8 must not vanish: it may be an opt-out.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        })
        .collect()
}
