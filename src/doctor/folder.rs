//! What is on the disk: folders, files and buffers.

use super::{Check, Subject};
use crate::buffer::{self, Buffer};
use crate::cursor;
use crate::lock;
use crate::os::{self, Open};
use crate::wording::{counted, shell};
use anyhow::Result;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// More files than this program makes; beyond it they are not looked at one by one.
const FILES_MAX: usize = 1000;

/// Of more files that are not well, this many are named.
const NAMED_MAX: usize = 5;

const ELSEWHERE: &str = "set that right, or name another folder with --data-dir";

pub(super) fn checks(subject: &Subject) -> Vec<Check> {
    let mut checks = vec![data_folder(subject.paths.data())];
    if !subject.paths.data().is_dir() {
        return checks;
    }
    checks.push(upload_folder(&subject.paths.upload()));
    checks.push(files(subject));
    checks.extend(buffers(subject));
    checks.extend(left_behind(subject));
    checks
}

fn data_folder(path: &Path) -> Check {
    const NAME: &str = "data folder";
    match os::check_dir(path) {
        Ok(()) => folder(NAME, path),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Check::warning(
            NAME,
            format!("there is no {} yet", path.display()),
            "nothing was recorded so far, or it was recorded elsewhere (--app, --data-dir)",
        ),
        Err(err) => Check::problem(NAME, format!("{}: {err}", path.display()), ELSEWHERE),
    }
}

fn upload_folder(path: &Path) -> Check {
    const NAME: &str = "upload folder";
    match os::check_private_dir(path) {
        Ok(()) => folder(NAME, path),
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            Check::ok(NAME, "not made yet; the first pass does")
        }
        Err(err) => Check::problem(
            NAME,
            format!("{}: {err}", path.display()),
            "move it away; the next pass makes a new one",
        ),
    }
}

/// A folder of the person's own.
fn folder(name: &'static str, path: &Path) -> Check {
    let shown = path.display();
    let mode = fs::metadata(path).map_or(0, |found| os::mode(&found));
    let advice = format!("chmod 700 {}", quoted(path));
    if mode & 0o002 != 0 {
        return Check::problem(name, format!("everybody may write in {shown}"), advice);
    }
    if let Err(err) = os::may_write(path) {
        return Check::problem(name, format!("cannot write in {shown}: {err}"), ELSEWHERE);
    }
    if mode & 0o077 != 0 {
        let words = format!("others may look into {shown} ({mode:04o})");
        return Check::warning(name, words, advice);
    }
    Check::ok(name, format!("{shown}, yours alone"))
}

/// Modes of all files; and in our own folder whether each is a plain file of the person's own. The files
/// of the data folder have checks of their own for that.
fn files(subject: &Subject) -> Check {
    const NAME: &str = "files";
    let (data, upload) = (subject.paths.data(), subject.paths.upload());
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy());
        name.is_some_and(|name| {
            crate::paths::is_buffer(&name) || name == "telemetry.json" || name == "config.json"
        })
    };
    let theirs: Vec<PathBuf> = entries(data).into_iter().filter(is_ours).collect();
    let mut own = Vec::new();
    if os::check_private_dir(&upload).is_ok() {
        own.extend(entries(&upload));
        own.extend(entries(&subject.paths.sessions()));
    }
    own.retain(|path| *path != subject.paths.sessions());
    let refused: Vec<String> = own
        .iter()
        .filter_map(|path| Some(format!("{}: {}", below(data, path), refusal(path)?)))
        .collect();
    if !refused.is_empty() {
        let words = format!("cannot be used: {}", named(&refused));
        return Check::problem(NAME, words, "move them away; a pass makes them anew");
    }
    let open: Vec<&PathBuf> = own
        .iter()
        .chain(&theirs)
        .filter(|path| is_open_to_others(path))
        .collect();
    if !open.is_empty() {
        let names: Vec<String> = open.iter().map(|path| below(data, path)).collect();
        let words = format!("others may read {}", named(&names));
        let paths: Vec<String> = open.iter().map(|path| quoted(path)).collect();
        let advice = if paths.len() > NAMED_MAX {
            format!("chmod -R go= {}", quoted(data))
        } else {
            format!("chmod 600 {}", paths.join(" "))
        };
        return Check::warning(NAME, words, advice);
    }
    Check::ok(NAME, "all yours alone")
}

fn quoted(path: &Path) -> String {
    shell(&path.display().to_string())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let listing = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = listing.map(|entry| entry.path()).take(FILES_MAX).collect();
    paths.sort();
    paths
}

fn below(data: &Path, path: &Path) -> String {
    path.strip_prefix(data)
        .unwrap_or(path)
        .display()
        .to_string()
}

fn named(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let shown = names[..names.len() - more].join("; ");
    if more == 0 {
        shown
    } else {
        format!("{shown}; and {more} more")
    }
}

fn refusal(path: &Path) -> Option<io::Error> {
    let open = || match os::open(path, Open::Read) {
        Err(err) if err.kind() == io::ErrorKind::WouldBlock => Ok(None),
        opened => opened.map(Some),
    };
    let refused = lock::patiently(lock::WAIT_OF_PRODUCER, open).err();
    // What a pass took away in this moment is well.
    refused.filter(|err| err.kind() != io::ErrorKind::NotFound)
}

fn is_open_to_others(path: &Path) -> bool {
    let found = fs::symlink_metadata(path);
    found.is_ok_and(|found| found.is_file() && os::mode(&found) & 0o077 != 0)
}

fn buffers(subject: &Subject) -> Vec<Check> {
    const NAME: &str = "buffer";
    match buffer::names(subject.paths) {
        Ok(names) if names.is_empty() => vec![Check::ok(NAME, "none yet")],
        Ok(names) => {
            let names = names.iter().take(FILES_MAX);
            names.map(|name| one_buffer(NAME, subject, name)).collect()
        }
        Err(err) => vec![Check::problem(NAME, format!("{err:#}"), ELSEWHERE)],
    }
}

/// What holds events and is read by no upload.
fn left_behind(subject: &Subject) -> Vec<Check> {
    const NAME: &str = "buffer";
    let unusable = buffer::unusable(subject.paths).unwrap_or_default();
    let unusable = unusable.into_iter().map(|words| {
        let advice = "events in it are sent once it has such a name";
        Check::problem(NAME, words, advice)
    });
    let renamed = buffer::renamed(subject.paths).unwrap_or_default();
    let renamed = renamed.iter().map(|name| {
        let words = format!("{name}: it was renamed, and no upload reads it");
        Check::warning(NAME, words, buffer::advice_for_renamed(subject.paths, name))
    });
    unusable.chain(renamed).take(FILES_MAX).collect()
}

fn one_buffer(check: &'static str, subject: &Subject, name: &str) -> Check {
    // While a pass truncates it, for microseconds, an open that does not wait is refused.
    let look = || match Buffer::look(subject.paths, name, Open::Read) {
        Err(err) if is_held_back(&err) => Ok(None),
        looked => Ok(Some(looked)),
    };
    let looked: Option<Result<Buffer>> =
        lock::patiently(lock::WAIT_OF_UPLOADER, look).unwrap_or_default();
    let path = subject.paths.cursor(name);
    match looked {
        None => Check::problem(
            check,
            format!("{name}: something keeps it shut"),
            "run this again; if it stays so, a stopped pass may hold it: see `uploader` below",
        ),
        Some(Err(err)) => Check::problem(
            check,
            format!("{err:#}"),
            "a buffer, and its cursor in upload/, is a plain file of yours with one name; move away what stands there",
        ),
        Some(Ok(buffer)) => {
            let waiting = match buffer.size - buffer.mark.offset {
                0 => "nothing waits".to_owned(),
                bytes => format!("{} to send", counted(bytes, "byte")),
            };
            let begins_anew = buffer.size > 0
                && buffer.mark.offset == 0
                && cursor::peek(&path).is_ok_and(|slot| slot.offset() > 0);
            let advice =
                "nothing needs to be done: it is sent from its beginning, the delivered part again";
            if cursor::is_damaged(&path).unwrap_or_default() {
                let words = format!("{name}: {waiting}; its cursor cannot be understood");
                return Check::warning(check, words, advice);
            }
            if begins_anew {
                let words =
                    format!("{name}: {waiting}; it was changed since its cursor was written");
                return Check::warning(check, words, advice);
            }
            Check::ok(check, format!("{name}: {waiting}"))
        }
    }
}

fn is_held_back(err: &anyhow::Error) -> bool {
    let cause = err.root_cause().downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::WouldBlock)
}
