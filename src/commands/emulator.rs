//! `telemetry-upload emulator`: the local endpoint, with a line on standard output for each request.

use crate::cli;
use crate::emulator::{Emulator, Exchange, ItemError, Moment, Options, Script};
use crate::terminal;
use crate::tls::Identity;
use crate::world;
use anyhow::{Context, Result};
use std::process::ExitCode;
use std::sync::Arc;

/// Runs until it is killed.
///
/// # Errors
/// A script that cannot be read, a store that cannot be written, a certificate that cannot be used, a port that
/// is taken.
pub fn run(flags: &cli::Emulator) -> Result<ExitCode> {
    let script = match &flags.script {
        None => Script::none(),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            Script::parse(&text).with_context(|| format!("cannot understand {}", path.display()))?
        }
    };
    let tls = match (&flags.cert, &flags.key) {
        (Some(certificate), Some(key)) => Some(Identity::from_files(certificate, key)?),
        _ => None,
    };
    let emulator = Emulator::start(Options {
        port: flags.port,
        store: flags.store.clone(),
        tls,
        script,
        now: world::now,
        observer: Arc::new(|moment, exchange| {
            if moment == Moment::Replied {
                terminal::print(&report(exchange));
            }
        }),
    })?;
    terminal::print(&format!(
        "listening on {}v2.1/track; to send here:",
        emulator.endpoint()
    ));
    terminal::print(&format!(
        "APPLICATIONINSIGHTS_CONNECTION_STRING='{}'",
        emulator.connection_string()
    ));
    emulator.wait();
    Ok(ExitCode::SUCCESS)
}

/// One line for a request, and one for each reason why items were not accepted.
fn report(exchange: &Exchange) -> String {
    let (method, path, status) = (&exchange.method, &exchange.path, exchange.status);
    match &exchange.fault {
        Some(fault) if method.is_empty() => return format!("no request: {fault}"),
        Some(fault) => return format!("{method} {path} {status}: {fault}"),
        None => {}
    }
    let refused = exchange
        .verdicts
        .iter()
        .filter_map(|(_, error)| error.as_ref());
    let mut reasons: Vec<(&ItemError, usize)> = Vec::new();
    for error in refused {
        let is_same = |(first, _): &&mut (&ItemError, usize)| {
            (first.status_code, &first.message) == (error.status_code, &error.message)
        };
        match reasons.iter_mut().find(is_same) {
            Some((_, count)) => *count += 1,
            None => reasons.push((error, 1)),
        }
    }
    let refused: usize = reasons.iter().map(|(_, count)| count).sum();
    let items = exchange.verdicts.len();
    let accepted = items - refused;
    let mut lines = vec![format!(
        "{method} {path} {status}: {accepted} of {items} accepted"
    )];
    for (first, count) in reasons {
        let more = match count {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        let (index, status, words) = (first.index, first.status_code, &first.message);
        lines.push(format!(
            "  item {index}{more}: {status} {}",
            without_content(words)
        ));
    }
    lines.join("\n")
}

/// A message without what it quotes of an event: Breeze repeats a time that it cannot read.
fn without_content(message: &str) -> &str {
    match message.split_once(", Actual: ") {
        Some((before, _)) if message.starts_with("102:") => before,
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn exchange(status: u16, errors: &[Option<(u16, &str)>]) -> Exchange {
        let verdict = |(index, error): (usize, &Option<(u16, &str)>)| {
            let error = error.map(|(status_code, message)| ItemError {
                index,
                status_code,
                message: message.to_owned(),
            });
            (Value::Null, error)
        };
        Exchange {
            method: "POST".to_owned(),
            path: "/v2.1/track".to_owned(),
            status,
            verdicts: errors.iter().enumerate().map(verdict).collect(),
            ..Exchange::default()
        }
    }

    #[test]
    fn a_reason_is_said_once_with_its_first_item() {
        let busy = Some((503, "Service Unavailable"));
        let time = "102: Field 'time' on type 'Envelope' is not a valid time string. Expected: date, Actual: secret";
        let got = report(&exchange(206, &[None, busy, Some((400, time)), busy, busy]));
        let expected = "POST /v2.1/track 206: 1 of 5 accepted\n  item 1 (and 2 more): 503 Service Unavailable\n  item 2: 400 102: Field 'time' on type 'Envelope' is not a valid time string. Expected: date";
        assert_eq!(got, expected);
        assert_eq!(
            report(&exchange(200, &[None])),
            "POST /v2.1/track 200: 1 of 1 accepted"
        );
    }

    #[test]
    fn a_fault_is_said_instead() {
        let mut refused = exchange(400, &[]);
        refused.fault = Some("not JSON at byte 17".to_owned());
        assert_eq!(
            report(&refused),
            "POST /v2.1/track 400: not JSON at byte 17"
        );
        refused.method.clear();
        assert_eq!(report(&refused), "no request: not JSON at byte 17");
    }
}
