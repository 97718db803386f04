//! Where the events are, read line by line.

use super::arrival::{Arrival, Damaged};
use super::reckoning::Reckoning;
use crate::buffer::{self, Buffer};
use crate::cursor::Mark;
use crate::envelope::{self, Frame};
use crate::event::{self};
use crate::journal;
use crate::lines::{Line, Lines, Next, Shape};
use crate::os::{self, Open};
use crate::paths::Paths;
use crate::privacy::Policy;
use crate::settings::{self, Limits};
use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Bytes of a line of a store: twice what the service takes, because the emulator writes what it
/// accepted in its own words.
const ENVELOPE_BYTES_MAX: usize = 128 * 1024;

/// Counts what waits in an application's buffers and what was sent of it, as far as its copy goes
/// back.
///
/// # Errors
/// A file that is there and cannot be read, or config.json, which says what of a waiting event will
/// leave.
pub fn read_application(
    reckoning: &mut Reckoning,
    app: &str,
    paths: &Paths,
    now: DateTime<Utc>,
) -> Result<()> {
    // Before the copies of what was sent, which a pass writes when a buffer's turn ends: what it sends in
    // between may be in neither for so long. The newer copy comes before the older, so that none is missed
    // when they change places.
    let policy = Policy::allowing(settings::read_config(paths)?.allow);
    let frame = Frame::new("", app, now, &policy);
    for name in buffer::names(paths)? {
        read_buffer(reckoning, paths, &name, &frame)?;
    }
    let [older, newer] = journal::generations(&paths.sent());
    read_sent(reckoning, &newer)?;
    reckoning.forgot = read_sent(reckoning, &older)?;
    Ok(())
}

/// Counts a copy of what was sent, if it is there; whether it is.
fn read_sent(reckoning: &mut Reckoning, path: &Path) -> Result<bool> {
    let file = match os::open(path, Open::Read) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
        open => open.with_context(|| format!("cannot open {}", path.display()))?,
    };
    reckoning.files.push(path.to_owned());
    read_envelopes(reckoning, path, &file)?;
    Ok(true)
}

/// Counts what a store of the emulator's holds.
///
/// # Errors
/// It cannot be read.
pub fn read_store(reckoning: &mut Reckoning, path: &Path) -> Result<()> {
    let context = || format!("cannot open {}", path.display());
    // To open a pipe would be to wait for whoever writes to it.
    if !fs::metadata(path).with_context(context)?.is_file() {
        bail!("cannot open {}: it is not a regular file", path.display());
    }
    let file = File::open(path).with_context(context)?;
    reckoning.files.push(path.to_owned());
    let Readable { yes, no } = read_envelopes(reckoning, path, &file)?;
    if yes == 0 && no > 0 {
        bail!(
            "cannot read {}: no line of it is JSON of the emulator's",
            path.display()
        );
    }
    Ok(())
}

/// How many lines could be read, and how many could not; the last one may be of those that are written now.
#[derive(Clone, Copy, Debug, Default)]
struct Readable {
    yes: u64,
    no: u64,
}

fn read_envelopes(reckoning: &mut Reckoning, path: &Path, file: &File) -> Result<Readable> {
    let context = || format!("cannot read {}", path.display());
    let size = file.metadata().with_context(context)?.len();
    let mut lines = Lines::new(&Mark::default(), size, ENVELOPE_BYTES_MAX);
    let next = || lines.next(file).with_context(context);
    read_lines(reckoning, path, next, |line| vec![Arrival::read(line)])
}

/// A line that waits is taken for what it will be when it leaves.
fn read_buffer(reckoning: &mut Reckoning, paths: &Paths, name: &str, frame: &Frame) -> Result<()> {
    let buffer = Buffer::look(paths, name, Open::Read)?;
    let mut lines = buffer.lines(Limits::configured(paths).line_bytes_max);
    let next = || buffer.next(&mut lines);
    reckoning.files.push(paths.buffer(name));
    let arrival = |line: &[u8]| {
        let event = event::read(line).map_err(|_| Damaged)?;
        let envelope = envelope::wrap(&event, frame).map_err(|_| Damaged)?;
        Arrival::read(&envelope.json)
    };
    read_lines(reckoning, &paths.buffer(name), next, |line| {
        let whole = arrival(line);
        if whole.is_ok() {
            return vec![whole];
        }
        let pieces = event::pieces(line).into_iter();
        pieces.map(|piece| arrival(&line[piece.range])).collect()
    })?;
    Ok(())
}

fn read_lines(
    reckoning: &mut Reckoning,
    path: &Path,
    mut next: impl FnMut() -> Result<Next>,
    read: impl Fn(&[u8]) -> Vec<Result<Option<Arrival>, Damaged>>,
) -> Result<Readable> {
    let mut readable = Readable::default();
    loop {
        let Line { bytes, shape, .. } = match next()? {
            Next::Line(line) => line,
            Next::End => return Ok(readable),
            Next::Changed => {
                reckoning.changed.push(path.to_owned());
                return Ok(readable);
            }
        };
        for arrival in read(&bytes) {
            if arrival.is_ok() {
                readable.yes += 1;
            } else {
                readable.no += 1;
            }
            match (arrival, shape) {
                (Ok(Some(arrival)), _) => reckoning.add(&arrival),
                // Somebody is still writing the last line.
                (Ok(None), _) | (Err(Damaged), Shape::Tail | Shape::TooLongTail) => {}
                (Err(Damaged), Shape::Whole | Shape::TooLong) => reckoning.damaged += 1,
            }
        }
    }
}
