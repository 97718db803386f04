//! Parse, run, exit. Everything is decided elsewhere.

use std::ffi::OsString;
use std::process::ExitCode;
use telemetry_upload::cli::{self, Cli, Command};
use telemetry_upload::{commands, os, terminal};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if cli::is_called_by_host(&arguments) {
        never_fail();
    }
    let cli = match Cli::read(&arguments) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let env = os::environment();
    let done = match &cli.command {
        None if cli.upload.detaching.detach => Ok(commands::pass::detach(&cli.upload, &env)),
        None => commands::pass::run(&cli.upload, &env),
        Some(Command::Demo) => commands::demo::run(),
        Some(Command::Record(record)) => Ok(commands::record::run(record, &env)),
        Some(Command::Hook(hook)) => Ok(commands::hook::run(hook, &env)),
        Some(Command::Emulator(emulator)) => commands::emulator::run(emulator),
        Some(Command::Hooks(hooks)) => commands::hooks::run(&hooks.action, &env),
    };
    done.unwrap_or_else(|err| {
        terminal::complain(&format!("{err:#}"));
        ExitCode::FAILURE
    })
}

/// A defect of ours that shows as a panic is not the host's: it would see an abort, and our words.
#[allow(
    clippy::disallowed_methods,
    reason = "a panic has no way to return an exit code"
)]
fn never_fail() {
    std::panic::set_hook(Box::new(|_| std::process::exit(0)));
}
