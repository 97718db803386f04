//! Appends a telemetry event without telemetry-upload installed, with nothing but std (Rust 1.89, for
//! `File::try_lock`). Paste everything above `value` into your tool, and set `APP`.
//!
//! usage: append EVENT [key=value]...
//!
//! Of these values, true, false and plain numbers (2, -0.5) are written as such. What would lose a digit (007, 1.10,
//! 1e5, more than 15 characters) stays text, and so do *Id, *Type, *version, command, commands, platform and source.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{env, fs, io, thread};

const APP: &str = "atomic";
const ON: [&str; 8] = ["", "1", "true", "on", "yes", "y", "enable", "enabled"];
const OFF: [&str; 6] = ["", "0", "false", "off", "no", "n"];
const CI: &str = "CI CONTINUOUS_INTEGRATION BUILD_ID BUILD_NUMBER RUN_ID TF_BUILD TEAMCITY_VERSION";

/// The value of a field. A number that JSON cannot hold, NaN for one, leaves its field out.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    Text(&'a str),
    Whole(i64),
    Number(f64),
    Flag(bool),
}
use Value::{Flag, Number, Text, Whole};

/// Appends one event if the person agreed. Never fails its host, and waits half a second at most.
pub fn record(event: &str, fields: &[(&str, Value)]) {
    let Some((folder, consent)) = consent() else {
        return;
    };
    let who = consent.split_once("\"anonymousId\":\"");
    let who = who.and_then(|(_, rest)| rest.split_once('"'));
    // Each `RandomState` hashes with keys that the operating system's randomness began.
    let hex = || format!("{:016x}", RandomState::new().build_hasher().finish());
    let (a, b) = (hex(), hex());
    let id = [&a[..8], &a[8..12], &format!("4{}", &a[13..])].join("-");
    let id = format!("{id}-8{}-{}", &b[1..4], &b[4..]);
    // Milliseconds since 1970 do as well as a date.
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let mut line = format!("{{\"timestamp\":{}", now.as_millis());
    let own = [
        ("eventType", Text(event)),
        ("eventId", Text(&id)),
        ("anonymousId", Text(who.map_or("", |(id, _)| id))),
        (
            "platform",
            Text(&env::consts::OS.replace("macos", "darwin")),
        ),
    ];
    for (name, value) in own.iter().chain(fields) {
        let value = match value {
            Text(text) => json(text),
            Whole(number) => number.to_string(),
            Number(number) if number.is_finite() => number.to_string(),
            Number(_) => continue,
            Flag(flag) => flag.to_string(),
        };
        line += &format!(",{}:{value}", json(name));
    }
    // Telemetry is never a reason for the host to fail.
    let _ = append(&folder.join("telemetry-events.jsonl"), line + "}\n");
}

/// The data folder and its consent file, without the blanks between its tokens, if everything says yes.
fn consent() -> Option<(PathBuf, String)> {
    let get = |name: &str| env::var(name).unwrap_or_default();
    let is_in =
        |words: &[&str], value: String| words.contains(&value.trim().to_ascii_lowercase().as_str());
    let is_ci = get("CI") != "false" && CI.split(' ').any(|name| !get(name).is_empty());
    let own = APP.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let own = get(&(own.to_ascii_uppercase() + "_TELEMETRY"));
    if is_ci || !is_in(&ON, own) || !is_in(&OFF, get("DO_NOT_TRACK")) {
        return None;
    }
    let share = Some(PathBuf::from(get("XDG_DATA_HOME"))).filter(|dir| dir.is_absolute());
    let share = share.unwrap_or_else(|| Path::new("/").join(get("HOME")).join(".local/share"));
    let given = Some(get("TELEMETRY_UPLOAD_DATA_DIR")).filter(|dir| !dir.is_empty());
    let folder = given.map_or(share.join(APP), PathBuf::from);
    let mut text = fs::read_to_string(folder.join("telemetry.json")).ok()?;
    text.retain(|c| !c.is_ascii_whitespace());
    let says = |key: &str, value: &str| text.contains(&format!("\"{key}\":{value}"));
    let agreed = |key: &str| says(key, "true") && !says(key, "false");
    (agreed("enabled") && agreed("consentGiven")).then_some((folder, text))
}

fn append(buffer: &Path, mut line: String) -> io::Result<()> {
    if buffer.is_symlink() {
        return Ok(());
    }
    let mut options = fs::File::options();
    options.read(true).append(true).create(true).mode(0o600);
    let mut file = options.open(buffer)?;
    let (mut has_locks, mut last) = (true, [b'\n']);
    // If a hung process keeps the lock, or the file system has none: one write is safe without it.
    for _ in 0..100 {
        match file.try_lock() {
            Err(fs::TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(5)),
            locked => {
                has_locks = locked.is_ok();
                break;
            }
        }
    }
    let size = file.metadata()?.len();
    if !has_locks {
        last = [0]; // Without locks another process may be writing there.
    } else if size > 0 {
        file.read_exact_at(&mut last, size - 1)?;
    }
    if last != [b'\n'] {
        line.insert(0, '\n'); // What a killed process left unfinished must not swallow this event.
    }
    file.write_all(line.as_bytes()) // One write; closing the file releases the lock.
}

fn json(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c < ' ' => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

fn value<'a>(key: &str, text: &'a str) -> Value<'a> {
    let ends = ["Id", "_id", "Type", "_type", "ersion"];
    let names = ["command", "commands", "platform", "source"];
    if ends.iter().any(|end| key.ends_with(end)) || names.contains(&key) || text.len() > 15 {
        return Text(text);
    }
    if let Ok(flag) = text.parse() {
        return Flag(flag);
    }
    // What looks the same as a number loses nothing as one; Rust writes neither exponents nor `+`.
    let whole: Option<i64> = text.parse().ok();
    let number: Option<f64> = text.parse().ok().filter(|number: &f64| number.is_finite());
    match (whole, number) {
        (Some(whole), _) if whole.to_string() == text => Whole(whole),
        (_, Some(number)) if number.to_string() == text && text != "-0" => Number(number),
        _ => Text(text),
    }
}

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    if let Some((event, pairs)) = args.split_first() {
        let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
        let typed = pairs.map(|(key, text)| (key, value(key, text)));
        record(event, &typed.collect::<Vec<_>>());
    }
}
