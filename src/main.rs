//! Parse, run, exit. Everything is decided elsewhere.

use std::ffi::OsString;
use std::process::ExitCode;
use telemetry_upload::cli::{self, Cli, Command};
use telemetry_upload::startup::{self, Watched};
use telemetry_upload::{commands, os, terminal};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    startup::prepare(if cli::is_called_by_host(&arguments) {
        Watched::ByHost
    } else {
        Watched::ByPerson
    });
    let cli = match Cli::read(&arguments) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let env = os::environment();
    let done = match &cli.command {
        None if cli.upload.detaching.detach => Ok(commands::pass::detach(&cli.upload, &env)),
        None => commands::pass::run(&cli.upload, &env),
        Some(Command::Status(status)) => commands::status::run(status, &env),
        Some(Command::Inspect(inspect)) => commands::inspect::run(inspect, &env),
        Some(Command::Demo) => commands::demo::run(),
        Some(Command::Record(record)) => Ok(commands::record::run(record, &env)),
        Some(Command::Hook(hook)) => Ok(commands::hook::run(hook, &env)),
        Some(Command::Emulator(emulator)) => commands::emulator::run(emulator),
        Some(Command::Hooks(hooks)) => commands::hooks::run(&hooks.action, &env),
        Some(Command::Doctor(doctor)) => commands::doctor::run(doctor, &env),
        Some(Command::Report(report)) => commands::report::run(report, &env),
        Some(Command::Schedule(schedule)) => commands::schedule::run(&schedule.action, &env),
        Some(Command::Consent(consent)) => commands::consent::consent(consent, &env),
        Some(Command::Enable(enable)) => commands::consent::enable(enable, &env),
        Some(Command::Disable(disable)) => commands::consent::disable(disable, &env),
        Some(Command::ResetId(reset)) => commands::reset_id::run(reset, &env),
        Some(Command::Purge(purge)) => commands::purge::run(purge, &env),
        Some(Command::Completions(shell)) => Ok(commands::completions::run(*shell)),
        Some(Command::Man) => commands::completions::man(),
    };
    done.unwrap_or_else(|err| {
        terminal::complain(&format!("{err:#}"));
        ExitCode::FAILURE
    })
}
