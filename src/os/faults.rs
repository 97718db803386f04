//! Tests only: the steps by which a pass changes what is on the disk, one by one. A plan may end the
//! process before any of them or in the middle of a write, fail it, cut it short, or do something in
//! between, as another process would. An [`Image`] knows what a power cut would leave.

use super::Open;
use super::system;
use image::Image;
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

pub(crate) mod image;

/// What is about to happen.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// A file that is missing is made.
    Make(&'a Path),
    /// Bytes are written at an offset.
    Write(&'a File, &'a [u8], u64),
    /// A file is cut down.
    Truncate(&'a File, u64),
    /// A file's content becomes durable.
    Sync(&'a File),
    /// A folder's names become durable.
    SyncDir(&'a Path),
    /// A file gets another name.
    Rename(&'a Path, &'a Path),
    /// A lock is asked for.
    Lock,
    /// A lock is let go.
    Unlock,
    /// A request goes out; ended halfway, it has arrived.
    Post,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is done.
    None,
    /// The process ends before it.
    End,
    /// The process ends when half of it is written; what is no write is not done.
    EndHalfway,
    /// The same, when so many bytes are written.
    EndAfter(usize),
    /// The system says this errno.
    Fail(i32),
    /// At most so many bytes are written.
    Short(usize),
}

impl Fault {
    fn ends(self) -> bool {
        matches!(self, Fault::End | Fault::EndHalfway | Fault::EndAfter(_))
    }
}

/// What decides, by the number of the step from 0.
type Plan = Box<dyn FnMut(usize, &Step) -> Fault>;

/// The end of a process in the middle of its work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended;

thread_local! {
    static RUN: RefCell<Option<(Plan, usize)>> = const { RefCell::new(None) };
    static IMAGE: RefCell<Option<Image>> = const { RefCell::new(None) };
    static BOOT: RefCell<Option<(String, i64)>> = const { RefCell::new(None) };
}

/// From here on the machine was started as `name`, so many seconds ago.
pub(crate) fn set_boot(name: &str, uptime_s: i64) {
    BOOT.set(Some((name.to_owned(), uptime_s)));
}

pub(crate) fn boot() -> Option<(String, i64)> {
    BOOT.with_borrow(Clone::clone)
}

/// Runs `process` on this thread under a plan; returns what it returned, unless it was ended, and how
/// many steps it came to.
pub(crate) fn run<T>(
    plan: impl FnMut(usize, &Step) -> Fault + 'static,
    process: impl FnOnce() -> T,
) -> (Result<T, Ended>, usize) {
    RUN.set(Some((Box::new(plan), 0)));
    let done = catch_unwind(AssertUnwindSafe(process));
    let steps = RUN.take().map_or(0, |(_, steps)| steps);
    match done {
        Ok(value) => (Ok(value), steps),
        Err(payload) if payload.is::<Ended>() => (Err(Ended), steps),
        Err(payload) => resume_unwind(payload),
    }
}

/// Ends the process that is running on this thread.
pub(crate) fn end() -> ! {
    // Not `panic!`, which would say so on standard error.
    resume_unwind(Box::new(Ended))
}

/// From here on it is known what a power cut would leave of the files below `folder`.
pub(crate) fn watch(folder: &Path) {
    IMAGE.set(Some(Image::of(folder)));
}

/// Does something with the image, if there is one.
pub(crate) fn with_image<T>(of: impl FnOnce(&mut Image) -> T) -> Option<T> {
    IMAGE.with_borrow_mut(|image| image.as_mut().map(of))
}

/// What the plan says of a step.
pub(crate) fn ask(step: &Step) -> Fault {
    // Taken out while it decides, because what it does may come to a step, too.
    let Some((mut plan, steps)) = RUN.take() else {
        return Fault::None;
    };
    let fault = plan(steps, step);
    RUN.set(Some((plan, steps + 1)));
    fault
}

/// A step that is done at once or not at all.
pub(crate) fn take(step: &Step) -> io::Result<()> {
    match ask(step) {
        Fault::Fail(errno) => return Err(io::Error::from_raw_os_error(errno)),
        fault if fault.ends() => end(),
        _ => {}
    }
    with_image(|image| image.note(step));
    Ok(())
}

/// A lock is asked for.
pub(crate) fn locking() {
    if ask(&Step::Lock).ends() {
        end();
    }
}

/// A lock is let go, unless the process has ended.
pub(crate) fn unlocking() {
    if !std::thread::panicking() && ask(&Step::Unlock).ends() {
        end();
    }
}

/// An open makes a file that is missing.
pub(crate) fn opening(path: &Path, open: Open) -> io::Result<()> {
    let makes = matches!(open, Open::Create | Open::Append | Open::New);
    if makes && std::fs::symlink_metadata(path).is_err() {
        take(&Step::Make(path))?;
    }
    Ok(())
}

/// How much of `bytes` is written at `at`.
pub(crate) fn write<'a>(file: &File, bytes: &'a [u8], at: u64) -> io::Result<&'a [u8]> {
    let piece = match ask(&Step::Write(file, bytes, at)) {
        Fault::None => bytes,
        Fault::Short(most) => &bytes[..bytes.len().min(most)],
        Fault::Fail(errno) => return Err(io::Error::from_raw_os_error(errno)),
        Fault::End => end(),
        Fault::EndHalfway => end_after(file, &bytes[..bytes.len() / 2], at),
        Fault::EndAfter(most) => end_after(file, &bytes[..bytes.len().min(most)], at),
    };
    with_image(|image| image.note(&Step::Write(file, piece, at)));
    Ok(piece)
}

fn end_after(file: &File, piece: &[u8], at: u64) -> ! {
    with_image(|image| image.note(&Step::Write(file, piece, at)));
    // On a file that is open for appending Linux appends, wherever it is told to write.
    system::write_once_at(file, piece, at).unwrap();
    end()
}

/// How much of `bytes` is written at the end of a file that is open for appending.
pub(crate) fn append<'a>(file: &File, bytes: &'a [u8]) -> io::Result<&'a [u8]> {
    write(file, bytes, file.metadata()?.len())
}
