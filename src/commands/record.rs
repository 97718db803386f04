//! `telemetry-upload record`: one event, from the arguments or from standard input.

use crate::cli::Record;
use crate::event::{self, DropReason};
use crate::privacy::KNOWN;
use crate::recorder::{Recorded, Recorder};
use crate::stdin::{self, Heard};
use crate::terminal;
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

/// Twice the longest line there may be: what is refused for its size should be read whole.
const EVENT_BYTES_MAX: usize = 64 * 1024;

/// How long the event may be in coming. Whoever pipes one in is about to write it.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Records one event. Whatever goes wrong, the host goes on: it is said only if asked for.
pub fn run(flags: &Record, env: &BTreeMap<String, String>) -> ExitCode {
    match record(flags, env) {
        Ok(words) if flags.verbose => terminal::mention(&words),
        Err(err) if flags.verbose => terminal::complain(&format!("{err:#}")),
        Ok(_) | Err(_) => {}
    }
    ExitCode::SUCCESS
}

fn record(flags: &Record, env: &BTreeMap<String, String>) -> Result<String> {
    let application = &flags.application;
    let recorder = Recorder::within(application.app(), application.data_dir(), env.clone())?;
    let mut event = match &flags.event {
        Some(name) => Map::from_iter([("eventType".to_owned(), name.as_str().into())]),
        // What nobody wants to know is not read either.
        None => match recorder.denied() {
            Some(rule) => bail!(Recorded::Off(rule)),
            None => from_stdin()?,
        },
    };
    event.extend(
        flags
            .props
            .iter()
            .map(|(name, text)| (name.clone(), value(name, text))),
    );
    let words = match recorder.append(event)? {
        off @ Recorded::Off(_) => bail!(off),
        written @ Recorded::Written(_) => written.to_string(),
    };
    if !flags.spawn {
        return Ok(words);
    }
    Ok(match recorder.detach() {
        Ok(started) => format!("{words}; {started}"),
        Err(err) => format!("{words}; no pass was started: {err:#}"),
    })
}

fn from_stdin() -> Result<Map<String, Value>> {
    let text = match stdin::read_object(EVENT_BYTES_MAX, WAIT_MAX)
        .context("cannot read standard input")?
    {
        Heard::All(text) => text,
        Heard::Nothing | Heard::Terminal | Heard::Part => {
            bail!("no event: give its name, or a JSON object on standard input")
        }
        Heard::TooMuch => bail!("cannot record an event of over {EVENT_BYTES_MAX} bytes"),
    };
    event::object(&text).map_err(|reason| match reason {
        DropReason::Malformed(why) => anyhow!("cannot record standard input: it is {why}"),
        other => anyhow!("cannot record standard input: it is {}", other.words()),
    })
}

/// A value as it was meant. What would look different once it is a number ("007", "1.10") is none, and
/// the fields known as texts stay texts, whatever a version looks like.
fn value(name: &str, text: &str) -> Value {
    const NOT_TEXTS: [&str; 3] = ["commandCount", "command_count", "success"];
    let is_known = KNOWN
        .iter()
        .any(|(camel, snake)| [*camel, *snake].contains(&name));
    let is_text = is_known && !NOT_TEXTS.contains(&name);
    let looks_same = |value: &Value| value.to_string().as_bytes() == text.as_bytes();
    match serde_json::from_str(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) if !is_text && looks_same(&value) => value,
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_property_is_what_it_looks_like() {
        let check =
            |name, text, expected: Value| assert_eq!(value(name, text), expected, "{name}={text}");
        check("success", "true", json!(true));
        check("n", "42", json!(42));
        check("n", "-0.5", json!(-0.5));
        check("commandCount", "3", json!(3));
        for text in [
            "",
            "007",
            "1.10",
            "1e400",
            "NaN",
            " 1",
            "null",
            "[1]",
            "{\"a\":1}",
            "\"x\"",
            "True",
        ] {
            check("n", text, json!(text));
        }
        check("version", "2", json!("2"));
        check("atomic_version", "1.5", json!("1.5"));
        check("command", "true", json!("true"));
    }
}
