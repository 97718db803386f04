//! Appends a telemetry event without telemetry-upload installed, with nothing but std (Rust 1.89, for
//! `File::try_lock`). Paste `record` into your tool; with `serde_json` and `uuid` at hand it is half as long.
//!
//! usage: append EVENT [key=value]...

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, io, thread};

const OFF: [&str; 4] = ["0", "false", "off", "no"];
const CI: [&str; 7] = [
    "CI",
    "CONTINUOUS_INTEGRATION",
    "BUILD_ID",
    "BUILD_NUMBER",
    "RUN_ID",
    "TF_BUILD",
    "TEAMCITY_VERSION",
];

/// Appends one event if the person agreed. Never fails its host, and waits half a second at most.
pub fn record(event: &str, fields: &[(&str, &str)]) {
    if let Some((folder, consent)) = consent() {
        let who = consent
            .split_once("\"anonymousId\":\"")
            .and_then(|(_, rest)| rest.split_once('"'));
        let platform = if cfg!(target_os = "macos") {
            "darwin"
        } else {
            env::consts::OS
        };
        let (id, time) = (event_id(), timestamp());
        let mut line = String::new();
        let own = [
            ("eventType", event),
            ("eventId", &id),
            ("timestamp", &time),
            ("platform", platform),
        ];
        let who = who.map(|(id, _)| ("anonymousId", id));
        for (name, value) in own.into_iter().chain(who).chain(fields.iter().copied()) {
            line += &format!(
                "{}{}:{}",
                if line.is_empty() { '{' } else { ',' },
                json(name),
                json(value)
            );
        }
        // Telemetry is never a reason for the host to fail.
        let _ = append(&folder.join("telemetry-events.jsonl"), line + "}\n");
    }
}

/// The data folder and its consent file, without the blanks between its tokens, if everything says yes.
fn consent() -> Option<(PathBuf, String)> {
    let get = |name: &str| env::var(name).unwrap_or_default();
    let word = |name: &str| get(name).trim().to_ascii_lowercase();
    let is_ci = get("CI") != "false" && CI.iter().any(|name| !get(name).is_empty());
    let do_not_track = word("DO_NOT_TRACK");
    let tracks = do_not_track.is_empty() || OFF.contains(&do_not_track.as_str());
    if is_ci || !tracks || OFF.contains(&word("ATOMIC_TELEMETRY").as_str()) {
        return None;
    }
    let share = Some(PathBuf::from(get("XDG_DATA_HOME"))).filter(|dir| dir.is_absolute());
    let share = share.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".local/share")))?;
    let given = Some(get("TELEMETRY_UPLOAD_DATA_DIR")).filter(|dir| !dir.is_empty());
    let folder = given.map_or(share.join("atomic"), PathBuf::from);
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
    let mut file = File::options()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(buffer)?;
    // If a hung process keeps the lock: one write is safe without it.
    for _ in 0..100 {
        if file.try_lock().is_ok() {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let (size, mut last) = (file.metadata()?.len(), [b'\n']);
    if size > 0 {
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

/// A random UUID: each `RandomState` hashes with keys that the operating system's randomness began.
fn event_id() -> String {
    let random = || RandomState::new().build_hasher().finish();
    let (a, b) = (random() & !0xf000 | 0x4000, random() & !(3 << 62) | 2 << 62);
    let tail = b & 0xffff_ffff_ffff;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{tail:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xffff,
        b >> 48
    )
}

/// Now, in UTC, as RFC 3339 with milliseconds. The calendar is Howard Hinnant's `civil_from_days`.
fn timestamp() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let (days, second) = (now.as_secs() / 86_400 + 719_468, now.as_secs() % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day_of_year + 2) / 153; // Months counted from March.
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
        now.subsec_millis()
    )
}

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    if let Some((event, pairs)) = args.split_first() {
        record(
            event,
            &pairs
                .iter()
                .filter_map(|pair| pair.split_once('='))
                .collect::<Vec<_>>(),
        );
    }
}
