//! `telemetry-upload consent`, `enable` and `disable`: what the person says, in telemetry.json.

mod question;
mod steering;

use crate::answer::{self, Fields};
use crate::cli::{Consenting, Steered};
use crate::exit::Exit;
use anyhow::Result;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::ExitCode;
use steering::{Off, Steering};

type Env = BTreeMap<String, String>;

/// Asks, or takes the answer from the flags.
///
/// # Errors
/// No home folder to start from.
pub fn consent(flags: &Consenting, env: &Env) -> Result<ExitCode> {
    let steering = Steering::of(&flags.application, env)?;
    if flags.no {
        return Ok(steering.turn_off(Off::Refused));
    }
    let fields = match steering.fields() {
        Ok(fields) => fields,
        Err(err) => return Ok(steering.give_up(&err)),
    };
    if says(fields.as_ref(), "enabled") && says(fields.as_ref(), "consentGiven") {
        let app = steering.app;
        steering.say_on(&format!(
            "You agreed already: the telemetry of {app} is on."
        ));
        return Ok(Exit::Done.into());
    }
    if flags.yes {
        return Ok(steering.agree());
    }
    Ok(steering.ask_or(
        "nothing was changed: nobody is here to be asked; run this on a terminal, or with --yes or --no",
    ))
}

/// Turns telemetry on for a person who has agreed; asks one who has not.
///
/// # Errors
/// No home folder to start from.
pub fn enable(flags: &Steered, env: &Env) -> Result<ExitCode> {
    let steering = Steering::of(&flags.application, env)?;
    let app = steering.app;
    let fields = match steering.fields() {
        Ok(fields) => fields,
        Err(err) => return Ok(steering.give_up(&err)),
    };
    if !says(fields.as_ref(), "consentGiven") {
        return Ok(steering.ask_or(&format!(
            "nothing was changed: nobody has agreed to the telemetry of {app} yet; run telemetry-upload consent{}",
            steering.again
        )));
    }
    if says(fields.as_ref(), "enabled") {
        steering.say_on(&format!("The telemetry of {app} is on already."));
        return Ok(Exit::Done.into());
    }
    // Should the person take it back at this very moment, that is the last word.
    let edit = |fields: Option<Fields>| {
        let fields = fields.filter(|fields| is_true(fields, "consentGiven"))?;
        Some(with(fields, &[("enabled", true)]))
    };
    if let Err(err) = answer::change(&steering.paths, edit) {
        return Ok(steering.give_up(&err));
    }
    steering.say_on(&format!("The telemetry of {app} is on."));
    Ok(Exit::Done.into())
}

/// Turns telemetry off.
///
/// # Errors
/// No home folder to start from.
pub fn disable(flags: &Steered, env: &Env) -> Result<ExitCode> {
    let steering = Steering::of(&flags.application, env)?;
    Ok(steering.turn_off(Off::Disabled))
}

fn with(mut fields: Fields, said: &[(&str, bool)]) -> Fields {
    for (key, value) in said {
        fields.insert((*key).to_owned(), Value::Bool(*value));
    }
    fields
}

fn says(fields: Option<&Fields>, key: &str) -> bool {
    fields.is_some_and(|fields| is_true(fields, key))
}

fn is_true(fields: &Fields, key: &str) -> bool {
    fields.get(key) == Some(&Value::Bool(true))
}
