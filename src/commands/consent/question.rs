//! The question whether telemetry may be sent: what it is about, in a few lines, and a look at the data.

use super::steering::Steering;
use crate::cli::Upload;
use crate::envelope::{self, Frame};
use crate::event;
use crate::id;
use crate::privacy::Policy;
use crate::settings::{Settings, read_config};
use crate::terminal::{self, Tone};
use crate::waiting;
use crate::wording::events_wait;
use crate::world;
use chrono::SecondsFormat;
use serde_json::{Value, json};

/// What stands in a sample where nobody has set a key yet.
const NO_KEY: &str = "00000000-0000-0000-0000-000000000000";

/// Asks until there is an answer; `None` if there is none.
pub(super) fn ask(steering: &Steering) -> Option<bool> {
    introduce(steering);
    loop {
        let answer = terminal::ask("[y] yes  [n] no  [s] show me what is sent:")?;
        match answer.as_str() {
            "y" | "yes" => return Some(true),
            "n" | "no" => return Some(false),
            "s" | "show" => show(steering),
            "" => return None,
            _ => terminal::print("Please answer y, n or s; an empty line is no answer."),
        }
    }
}

fn introduce(steering: &Steering) {
    let heading = format!("May {} send usage telemetry?", steering.app);
    terminal::print_toned(&[(Tone::Heading, &heading)]);
    let place = settings(steering).map_or_else(
        || "nowhere yet, for no endpoint is set".to_owned(),
        |settings| settings.connection.endpoint.authority(),
    );
    let stop = format!(
        "telemetry-upload disable{}, or DO_NOT_TRACK=1",
        steering.again
    );
    for (heading, words) in [
        (
            "Collected",
            "what is run and whether it works: the event's name and time, the command, \
             the version, the platform, the agent, success, and a random id that \
             changes every month. Other fields only if they do not look personal.",
        ),
        (
            "Not collected",
            "prompts, arguments, paths, people's names, e-mail addresses, file contents.",
        ),
        ("Sent to", &place),
        ("To stop it", &stop),
    ] {
        terminal::print_toned(&[
            (Tone::Heading, &format!("{heading}: ")),
            (Tone::Plain, words),
        ]);
    }
    let events = waiting::events(&steering.paths);
    if events > 0 {
        let wait = events_wait(events);
        terminal::print(&format!("{wait} already, and would go with the next pass."));
    }
}

fn settings(steering: &Steering) -> Option<Settings> {
    Settings::resolve(
        &Upload::default(),
        steering.app,
        &steering.paths,
        steering.env,
    )
    .ok()
}

/// An example, made as the real ones are, and how many wait.
fn show(steering: &Steering) {
    let settings = settings(steering);
    let now = world::now();
    let sample = json!({
        "eventType": "cli_command",
        "eventId": id::random(),
        "timestamp": now.to_rfc3339_opts(SecondsFormat::Millis, true),
        "anonymousId": id::random(),
        "platform": std::env::consts::OS,
        "version": "1.2.3",
        "command": "init",
        "agentType": "claude",
        "success": true,
        "prompt": "this field stays on the machine",
    });
    let config = read_config(&steering.paths).unwrap_or_default();
    let policy = Policy::allowing(config.allow);
    let ikey = settings
        .as_ref()
        .map_or(NO_KEY, |settings| &settings.connection.ikey);
    let frame = Frame::new(ikey, steering.app, now, &policy);
    let text = sample.to_string();
    let envelope = event::read(text.as_bytes())
        .and_then(|event| envelope::wrap(&event, &frame))
        .ok()
        .and_then(|envelope| serde_json::from_slice::<Value>(&envelope.json).ok());
    terminal::print("An event as a tool writes it, for example:");
    terminal::print(&format!("{sample:#}"));
    terminal::print("What is sent of it:");
    terminal::print(&envelope.map_or(String::new(), |envelope| format!("{envelope:#}")));
    terminal::print(&format!(
        "{} in {}.",
        events_wait(waiting::events(&steering.paths)),
        steering.paths.data().display()
    ));
}
