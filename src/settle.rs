//! The end of a pass over one buffer: what was delivered leaves the file.
//!
//! All delivered: truncate to 0. Something left: copy it over the delivered bytes, if it fits there,
//! and truncate to its length. The file is never rewritten where it is not yet delivered, never
//! renamed, and every step may be the last one before a power cut (see the crash matrix).

use crate::buffer::Buffer;
use crate::cursor::Mark;
use crate::lease::{self, Lease};
use crate::lock;
use crate::os;
use anyhow::{Context, Result, bail};
use std::io;

/// Bytes copied at once; the bytes that vouch for the offset are compared before each such piece.
const COPY_BYTES: usize = 64 * 1024;

/// Above this many delivered bytes a descriptor that someone holds open for ever (`tail -f`) no
/// longer prevents the truncation, or the file would grow for ever.
const DEAD_BYTES_WITH_LEASE_MAX: u64 = 1024 * 1024;

/// How often a tail that grew during the copying is caught up with: each time there is less to copy, so
/// who is not caught up with by then writes faster than we do, and the next pass settles.
const CATCH_UPS_MAX: usize = 20;

/// Tries to get lock and lease together, a millisecond apart: producers hold the file open for
/// microseconds, and nobody waits for us meanwhile.
const GUARD_TRIES_MAX: usize = 200;

/// How long lock and lease are tried for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// As long as somebody may be about to close the file.
    Patient,
    /// A moment: it was refused before in this pass, perhaps by somebody who never closes the file and
    /// goes on appending. Waiting again would be long enough for a further event, and so for ever.
    Quick,
}

impl Guard {
    fn tries_max(self) -> usize {
        match self {
            Guard::Patient => GUARD_TRIES_MAX,
            Guard::Quick => 3,
        }
    }
}

/// What became of the delivered bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Nothing was delivered since the last time.
    Nothing,
    /// They are gone; the file holds what is still to be sent, and nothing else.
    Truncated,
    /// They are gone, although someone held the file open: above 1 MB the lock alone has to do.
    TruncatedWithoutLease,
    /// They stay until a later pass: what is left does not fit in their place yet, or the file was
    /// busy, or it is not the file it was.
    Left,
}

/// Takes the delivered bytes out of the buffer, if that can be done safely now.
///
/// # Errors
/// A buffer or cursor that cannot be written; the bytes stay, nothing is lost.
pub fn settle(buffer: &mut Buffer, guard: Guard) -> Result<Settled> {
    if buffer.mark.offset == 0 {
        return Ok(Settled::Nothing);
    }
    let path = buffer.path.clone();
    move_and_truncate(buffer, guard).with_context(|| format!("cannot settle {}", path.display()))
}

/// Takes away what the delivered bytes say, where the file cannot be truncated now: newlines stand in
/// their place, which are no lines, and a later pass cuts them off.
///
/// # Errors
/// A buffer or cursor that cannot be written, or that somebody is changing.
pub fn blank(buffer: &mut Buffer) -> Result<()> {
    let path = buffer.path.clone();
    overwrite(buffer).with_context(|| format!("cannot delete what {} holds", path.display()))
}

fn overwrite(buffer: &mut Buffer) -> Result<()> {
    let mark = buffer.mark.clone();
    let begin = Mark::default();
    let room = mark.offset - mark.reach();
    // The bytes that vouch for the cursor go last, and at once: until then it says what is delivered.
    if write(buffer, &mark, &begin, room, newlines)?.is_none() || !mark.holds(&buffer.file)? {
        bail!("another program is changing it; run this again in a moment");
    }
    // A power cut must not keep what follows and lose the newlines: what was delivered would be sent.
    os::sync(&buffer.file)?;
    let rest = usize::try_from(mark.reach()).unwrap_or_default();
    os::write_at(&buffer.file, &vec![b'\n'; rest], room)?;
    os::sync(&buffer.file)?;
    buffer.commit(&begin)
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "what else is written may fail to be read"
)]
fn newlines(into: &mut [u8], _at: u64) -> io::Result<()> {
    into.fill(b'\n');
    Ok(())
}

fn move_and_truncate(buffer: &mut Buffer, guard: Guard) -> Result<Settled> {
    // Before the newlines, which would vouch for themselves in a file that the person has changed.
    if !buffer.mark.holds(&buffer.file)? {
        return Ok(Settled::Left);
    }
    pass_newlines(buffer)?;
    let mark = buffer.mark.clone();
    let mut copied = Copied::default();
    for _ in 0..CATCH_UPS_MAX {
        let size = buffer.length()?;
        if size < mark.offset || !mark.holds(&buffer.file)? {
            return Ok(Settled::Left);
        }
        if !copied.catch_up(buffer, &mark, size)? {
            return Ok(Settled::Left);
        }
        match truncate(buffer, &mark, size, &copied.end, guard)? {
            Cut::Done(settled) => {
                // In this order: the cut is durable before the cursor says so, or a power cut could
                // keep the cursor's 0 and not the truncation, and send what was delivered again.
                os::sync(&buffer.file)?;
                buffer.shifted(mark.offset);
                buffer.commit(&Mark::default())?;
                return Ok(settled);
            }
            Cut::Grew => {}
            Cut::Busy => return Ok(Settled::Left),
        }
    }
    Ok(Settled::Left)
}

/// Moves the cursor over the newlines with which lines were appended again: what is left is then
/// exactly the lines that are left.
fn pass_newlines(buffer: &mut Buffer) -> Result<()> {
    let mut mark = buffer.mark.clone();
    let mut byte = [0];
    while os::read_at(&buffer.file, &mut byte, mark.offset)? == 1 && byte == *b"\n" {
        mark = mark.after(&byte);
    }
    if mark != buffer.mark {
        // A producer's blank line may not be on the disk yet; the cursor must not be ahead of it.
        os::sync(&buffer.file)?;
    }
    buffer.commit(&mark)
}

/// The copy of the undelivered tail at the front of the file, as far as it has come.
#[derive(Default)]
struct Copied {
    /// Where the copy ends, and what stands right before.
    end: Mark,
    blanked: u64,
}

impl Copied {
    /// Copies the tail up to `size` to the front; `false` if it does not fit before the bytes that
    /// vouch for the offset, or those changed.
    fn catch_up(&mut self, buffer: &Buffer, mark: &Mark, size: u64) -> io::Result<bool> {
        let tail = size - mark.offset;
        if tail <= self.end.offset {
            // It shrank: the person's work, and theirs to keep.
            return Ok(tail == self.end.offset);
        }
        let room = mark.offset - mark.reach();
        let Some(blank_to) = next_newline(buffer, tail, room)? else {
            return Ok(false);
        };
        // Without the blanking a reader that has lost the cursor could meet a line of which one half
        // is from one event and one from another, and which parses.
        let from = Mark::at(self.blanked.max(self.end.offset));
        if write(buffer, mark, &from, blank_to, newlines)?.is_none() {
            return Ok(false);
        }
        self.blanked = self.blanked.max(blank_to);
        os::sync(&buffer.file)?;
        let copied = write(buffer, mark, &self.end, tail, |into, at| {
            let read = os::read_at(&buffer.file, into, mark.offset + at)?;
            if read == into.len() {
                Ok(())
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        })?;
        let Some(end) = copied else {
            return Ok(false);
        };
        os::sync(&buffer.file)?;
        self.end = end;
        Ok(true)
    }
}

/// Writes `from..to` piece by piece, comparing before each the vouching bytes and the end of the piece
/// before, and returns where it ended; `None` if they changed: someone else edits the file, and it is
/// theirs.
fn write(
    buffer: &Buffer,
    mark: &Mark,
    from: &Mark,
    to: u64,
    fill: impl Fn(&mut [u8], u64) -> io::Result<()>,
) -> io::Result<Option<Mark>> {
    let mut room = vec![0; COPY_BYTES];
    let mut end = from.clone();
    while end.offset < to {
        let left = usize::try_from(to - end.offset);
        let piece = &mut room[..left.map_or(COPY_BYTES, |left| left.min(COPY_BYTES))];
        fill(piece, end.offset)?;
        if !mark.holds(&buffer.file)? || !end.holds(&buffer.file)? {
            return Ok(None);
        }
        os::write_at(&buffer.file, piece, end.offset)?;
        end = end.after(piece);
    }
    Ok(Some(end))
}

/// The first offset at or after `from` that begins a line, if it is not beyond `room`.
fn next_newline(buffer: &Buffer, from: u64, room: u64) -> io::Result<Option<u64>> {
    let mut piece = vec![0; COPY_BYTES];
    let mut at = from;
    while at < room {
        let length = usize::try_from(room - at).map_or(COPY_BYTES, |left| left.min(COPY_BYTES));
        let read = os::read_at(&buffer.file, &mut piece[..length], at)?;
        if let Some(newline) = piece[..read].iter().position(|byte| *byte == b'\n') {
            return Ok(Some(at + newline as u64));
        }
        if read == 0 {
            break;
        }
        at += read as u64;
    }
    Ok((from == 0).then_some(0))
}

enum Cut {
    Done(Settled),
    Grew,
    Busy,
}

/// Truncates under lock and lease to where the copy ends, if the file is still exactly what was copied,
/// and the copy stands: the person may have put back what was there before.
fn truncate(buffer: &Buffer, mark: &Mark, size: u64, copy: &Mark, guard: Guard) -> io::Result<Cut> {
    for tries in 1..=guard.tries_max() {
        let Some(lock) = lock::take(buffer.lock_file(), lock::WAIT_OF_UPLOADER)? else {
            return Ok(Cut::Busy);
        };
        let lease = lease::take(&buffer.file);
        let settled = match &lease {
            Lease::Held(_) | Lease::Unsupported => Settled::Truncated,
            // Most who have it open close it within microseconds: only the last try goes without.
            Lease::Refused
                if tries == GUARD_TRIES_MAX && mark.offset > DEAD_BYTES_WITH_LEASE_MAX =>
            {
                Settled::TruncatedWithoutLease
            }
            Lease::Refused => {
                drop(lock);
                lock::step();
                continue;
            }
        };
        if buffer.length()? != size {
            return Ok(Cut::Grew);
        }
        if !mark.holds(&buffer.file)? || !copy.holds(&buffer.file)? {
            return Ok(Cut::Busy);
        }
        os::truncate(&buffer.file, copy.offset)?;
        return Ok(Cut::Done(settled));
    }
    Ok(Cut::Busy)
}
