//! What a pass writes down: rejected lines, the state, the log.
//!
//! The log and the state hold counts, statuses and file names, never anything of an event. A rejected
//! line is the producer's own, kept for the person who owns it, and never leaves the machine.

use crate::batch::{Judged, SHOWN_BYTES_MAX};
use crate::clock::Clock;
use crate::event::DropReason;
use crate::fate::Fate;
use crate::journal::{self, Durable};
use crate::lock;
use crate::os::{self, Open};
use crate::paths::Paths;
use crate::state::{Last, LastTrouble, State};
use crate::summary::{Ending, Summary, Tense};
use crate::terminal;
use anyhow::{Result, bail};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::json;
use std::fs::File;
use std::time::Duration;

/// Writes the lines that were rejected, durably, before the cursor passes them.
///
/// # Errors
/// The file, and why it could not be written.
pub fn rejected(
    paths: &Paths,
    buffer: &str,
    now: DateTime<Utc>,
    lines: &[(&Judged, &Fate)],
) -> Result<()> {
    let rejections: Vec<Vec<u8>> = lines
        .iter()
        .filter_map(|(line, fate)| {
            let reason = fate
                .drop_reason()
                .filter(|reason| reason.is_written_down())?;
            let (detail, status) = match (fate, reason) {
                (Fate::Refused(refusal), _) => (refusal.message.as_str(), Some(refusal.status)),
                (_, DropReason::Malformed(detail)) => (detail, None),
                (_, reason) => (reason.words(), None),
            };
            let shown = &line.bytes[..line.bytes.len().min(SHOWN_BYTES_MAX)];
            let rejection = json!({
                "at": stamp(now),
                "buffer": buffer,
                "reason": reason.key(),
                "status": status,
                "detail": detail,
                "line": String::from_utf8_lossy(shown),
            });
            Some(rejection.to_string().into_bytes())
        })
        .collect();
    let path = paths.rejected();
    journal::append(
        &path,
        journal::REJECTED_BYTES_MAX,
        &rejections,
        Durable::Now,
    )
}

/// Whether the disk has room for this many bytes of rejected lines.
///
/// # Errors
/// It has not.
pub fn check_room_for_rejected(paths: &Paths, bytes: u64) -> Result<()> {
    /// For blocks that are begun.
    const MARGIN_BYTES: u64 = 16 * 1024;
    // The file never holds more, so no more is ever added to it.
    let needed = bytes.min(2 * journal::REJECTED_BYTES_MAX) + MARGIN_BYTES;
    if bytes > 0 && os::free_bytes(&paths.upload()).is_some_and(|free| free < needed) {
        bail!(
            "cannot write rejected lines to {}: the disk is full; nothing was sent",
            paths.rejected().display()
        );
    }
    Ok(())
}

/// Says in the lock file who holds it, and until when at most. Only people read it, so a failure is let go.
pub fn note_owner(lock_file: &File, since: DateTime<Utc>, for_at_most: Duration) {
    let until = TimeDelta::from_std(for_at_most).unwrap_or_default();
    let (pid, until) = (std::process::id(), stamp(since + until));
    let note = format!("pid {pid} since {} until {until}\n", stamp(since));
    let _ = os::truncate(lock_file, 0).and_then(|()| os::write_at(lock_file, note.as_bytes(), 0));
}

/// Closes the books of one round: state and log. Both may be lost at the price of a pause forgotten,
/// so a failure is let go.
pub fn finish(
    paths: &Paths,
    now: DateTime<Utc>,
    state: &mut State,
    round: &Summary,
    clock: &Clock,
) {
    state.count(now, round);
    note_trouble(paths, now, state, round);
    let counts = Summary {
        fields_refused: std::collections::BTreeMap::default(),
        ..round.clone()
    };
    let line = impersonal(paths, &counts.text());
    state.last = Some(Last {
        at: now,
        exit: round.exit_code(),
        summary: line.clone(),
        counts: without_trouble(counts),
    });
    if let Some(pause) = &mut state.not_before {
        pause.reason = impersonal(paths, &pause.reason);
    }
    if let Some(believed) = clock.believed() {
        state.clock = Some(believed.clone());
    }
    let _ = state.save(paths);
    log(paths, now, &format!("exit {} {line}", round.exit_code()));
}

/// What a round did, where its summary line tells the trouble as well.
fn without_trouble(round: Summary) -> Option<String> {
    let tells_both = round.seen > 0 && round.problems.is_empty() && round.trouble().is_some();
    let ending = Ending::Done;
    let done = Summary { ending, ..round };
    done.line(Tense::Done).filter(|_| tells_both)
}

fn note_trouble(paths: &Paths, now: DateTime<Utc>, state: &mut State, summary: &Summary) {
    let Some(words) = summary.trouble() else {
        state.failures_in_a_row = 0;
        return;
    };
    state.failures_in_a_row += 1;
    state.last_trouble = Some(LastTrouble {
        at: now,
        words: impersonal(paths, words),
    });
}

/// Whether the trouble of a pass is another one than that of the pass before, or the first one after all
/// went well.
pub fn is_news(paths: &Paths, before: &State, summary: &Summary) -> bool {
    let words = |trouble: &LastTrouble| trouble.words.clone();
    let before = before
        .last_trouble
        .as_ref()
        .filter(|_| before.failures_in_a_row > 0);
    before.map(words) != summary.trouble().map(|words| impersonal(paths, words))
}

/// Whether the trouble of a pass that could not begin is news. If so the state remembers it for the next such
/// pass. Only the holder of the lock may write the state. Where the file system has no locks, or the lock file
/// cannot be opened, no other process can hold it, and the state is written without it.
pub fn is_new_failure(paths: &Paths, now: DateTime<Utc>, summary: &Summary) -> bool {
    let is_news = is_news(paths, &State::load(paths), summary);
    let folders = os::check_dir(paths.data()).and(os::check_private_dir(&paths.upload()));
    if folders.is_err() || !is_news {
        return is_news;
    }
    let lock_file = os::open(&paths.uploader_lock(), Open::Create);
    let held = lock_file.as_ref().map(lock::take_past_looks);
    if !matches!(held, Ok(Ok(None))) {
        let mut state = State::load(paths);
        note_trouble(paths, now, &mut state, summary);
        let _ = state.save(paths);
    }
    true
}

/// Writes one line into upload.log; should even that fail, there is no better place to say so.
pub fn log(paths: &Paths, now: DateTime<Utc>, text: &str) {
    if os::create_private_dir(&paths.upload()).is_err() {
        return;
    }
    let text = terminal::plain(&impersonal(paths, text)).replace('\n', "; ");
    let line = format!("{} {text}", stamp(now)).into_bytes();
    let path = paths.log();
    let _ = journal::append(&path, journal::LOG_BYTES_MAX, &[line], Durable::Eventually);
}

/// Home folders carry the person's name; the log needs only the file's.
fn impersonal(paths: &Paths, text: &str) -> String {
    text.replace(
        &format!("{}{}", paths.data().display(), std::path::MAIN_SEPARATOR),
        "",
    )
}

fn stamp(now: DateTime<Utc>) -> String {
    now.to_rfc3339_opts(SecondsFormat::Secs, true)
}
