//! `telemetry-upload emulator`: the local endpoint, with a line on standard output for each request.

use crate::cli;
use crate::emulator::{Emulator, Exchange, Moment, Options, Script};
use crate::terminal;
use crate::world;
use anyhow::{Context, Result};
use std::process::ExitCode;
use std::sync::Arc;

/// Runs until it is killed.
///
/// # Errors
/// A script that cannot be read, a store that cannot be written, a port that is taken.
pub fn run(flags: &cli::Emulator) -> Result<ExitCode> {
    let script = match &flags.script {
        None => Script::none(),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            Script::parse(&text).with_context(|| format!("cannot understand {}", path.display()))?
        }
    };
    let emulator = Emulator::start(Options {
        port: flags.port,
        store: flags.store.clone(),
        script,
        now: world::now,
        observer: Arc::new(report),
    })?;
    terminal::print(&format!(
        "listening on http://{}/v2.1/track; to send here:",
        emulator.address()
    ));
    terminal::print(&format!(
        "APPLICATIONINSIGHTS_CONNECTION_STRING='{}'",
        emulator.connection_string()
    ));
    emulator.wait();
    Ok(ExitCode::SUCCESS)
}

/// One line a request, and one for each event that was not accepted.
fn report(moment: Moment, exchange: &Exchange) {
    if moment != Moment::Replied {
        return;
    }
    let accepted = exchange
        .verdicts
        .iter()
        .filter(|(_, error)| error.is_none())
        .count();
    let (method, path, status) = (&exchange.method, &exchange.path, exchange.status);
    terminal::print(&format!(
        "{method} {path} {status}: {accepted} of {} accepted",
        exchange.verdicts.len()
    ));
    for error in exchange
        .verdicts
        .iter()
        .filter_map(|(_, error)| error.as_ref())
    {
        terminal::print(&format!(
            "  item {}: {} {}",
            error.index, error.status_code, error.message
        ));
    }
}
