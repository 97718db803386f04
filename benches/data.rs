//! The events that everyone sends: what Atomic writes, about 350 bytes a line, each with an id of its
//! own.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

const COMMANDS: [&str; 4] = ["init", "commit", "review", "plan"];
const AGENTS: [&str; 3] = ["claude", "codex", "cursor"];

/// The id of an event: random to look at, so that it packs as badly as a real one, and the same in
/// every run.
pub fn id(number: u64) -> String {
    let (high, low) = (scatter(number * 2), scatter(number * 2 + 1));
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0xfff,
        low & 0xffff_ffff_ffff
    )
}

/// The event of this number, without its newline.
pub fn line(number: u64, begun: DateTime<Utc>) -> String {
    let timestamp = begun + TimeDelta::milliseconds(number.cast_signed());
    let [command, agent, success, ..] = scatter(number).to_le_bytes().map(usize::from);
    format!(
        r#"{{"anonymousId":"11111111-1111-4111-8111-111111111111","eventId":"{}","sessionId":"{}","eventType":"cli_command","timestamp":"{}","platform":"linux","atomicVersion":"0.9.1","source":"cli","command":"{}","agentType":"{}","commandCount":{},"success":{}}}"#,
        id(number),
        id((1 << 40) | (number / 20)),
        timestamp.to_rfc3339_opts(SecondsFormat::Millis, true),
        COMMANDS[command % COMMANDS.len()],
        AGENTS[agent % AGENTS.len()],
        number % 20,
        success > 15,
    )
}

/// Writes the first `count` events, the first of them an hour old. They are on the disk when this returns.
pub fn write(path: &Path, count: u64, now: DateTime<Utc>) -> io::Result<()> {
    let begun = now - TimeDelta::hours(1);
    let mut file = BufWriter::new(File::create(path)?);
    for number in 0..count {
        writeln!(file, "{}", line(number, begun))?;
    }
    file.into_inner()?.sync_all()
}

/// The last step of `SplitMix64`: each number becomes another one that looks random.
fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
