//! One buffer during one pass: opened once, read without a lock, committed, re-appended to, settled.
//! With `cursor.rs`, `settle.rs` and `lines.rs` the only code that touches a buffer.

mod folder;

pub use folder::*;

use crate::cursor::{self, Cursor, Mark};
use crate::lease::{self, Lease};
use crate::lines::{Lines, Next};
use crate::lock;
use crate::news::Closed;
use crate::os::{self, Open};
use crate::paths::Paths;
use anyhow::{Context, Result};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::time::SystemTime;

/// Over the cap the oldest lines go down to nine tenths of it, so that not every pass drops some.
const CAP_TENTHS_KEPT: u64 = 9;

/// Bytes of a buffer that are counted at once.
const COUNT_BYTES: usize = 64 * 1024;

/// An open buffer.
#[derive(Debug)]
pub struct Buffer {
    /// Its file name.
    pub name: String,
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) inode: u64,
    /// Bytes when it was opened; nothing beyond is read in this pass.
    pub size: u64,
    /// When it was last appended to, for the age of a torn tail.
    pub modified: Option<SystemTime>,
    /// How far it is delivered.
    pub mark: Mark,
    /// Where reading ended: at the size, or where a torn tail begins that was left alone.
    pub read_to: u64,
    cursor_path: PathBuf,
    cursor: Option<Cursor>,
    /// Where this pass re-appended lines: not news to anyone.
    own: Vec<Range<u64>>,
    #[cfg(windows)]
    sidecar: Option<File>,
}

impl Buffer {
    /// Opens a buffer to deliver it. Only what is durable will be sent, so it is synced first.
    ///
    /// # Errors
    /// A buffer or cursor that is not a plain file of this user's own, or cannot be read or synced.
    pub fn open(paths: &Paths, name: &str) -> Result<Buffer> {
        let buffer = Buffer::look(paths, name, Open::Update)?;
        os::sync(&buffer.file).with_context(|| format!("cannot sync {}", buffer.path.display()))?;
        Ok(buffer)
    }

    /// Opens a buffer only to look at it: changes and makes nothing.
    pub fn look(paths: &Paths, name: &str, open: Open) -> Result<Buffer> {
        let path = paths.buffer(name);
        let file =
            os::open(&path, open).with_context(|| format!("cannot open {}", path.display()))?;
        let metadata = file
            .metadata()
            .with_context(|| format!("cannot read {}", path.display()))?;
        let cursor_path = paths.cursor(name);
        let (inode, size) = (os::inode(&metadata), metadata.len());
        let mark = cursor::peek(&cursor_path)
            .with_context(|| format!("cannot read {}", cursor_path.display()))?
            .mark(&file, inode, size)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Buffer {
            name: name.to_owned(),
            path,
            file,
            inode,
            size,
            modified: metadata.modified().ok(),
            mark,
            read_to: size,
            cursor_path,
            cursor: None,
            own: Vec::new(),
            #[cfg(windows)]
            sidecar: match open {
                Open::Read => None,
                _ => Some(os::open(&paths.sidecar(name), Open::Create)?),
            },
        })
    }

    /// A reader over what is not delivered yet.
    pub fn lines(&self, line_bytes_max: usize) -> Lines {
        Lines::new(&self.mark, self.size, line_bytes_max)
    }

    /// Where the lines begin that are within the cap, if there are more of them. The zero bytes of a hole do
    /// not count. Bytes are only read, and counted, where the file is as large as that.
    ///
    /// # Errors
    /// A buffer that cannot be read.
    pub fn over_cap(&self, bytes_max: u64) -> Result<Option<u64>> {
        if self.size - self.mark.offset <= bytes_max {
            return Ok(None);
        }
        let kept = bytes_max / 10 * CAP_TENTHS_KEPT;
        let (mut counted, mut begin) = (0, None);
        let mut piece = vec![0; COUNT_BYTES];
        let mut end = self.size;
        // From the end on: what was appended last is kept.
        while end > self.mark.offset {
            let left = usize::try_from(end - self.mark.offset);
            let length = left.map_or(COUNT_BYTES, |left| left.min(COUNT_BYTES));
            end -= length as u64;
            let piece = &mut piece[..length];
            let read = os::read_at(&self.file, piece, end);
            read.with_context(|| format!("cannot read {}", self.path.display()))?;
            let before = counted;
            counted += piece.iter().filter(|byte| **byte != 0).count() as u64;
            if begin.is_none() && counted >= kept {
                let full = piece
                    .iter()
                    .enumerate()
                    .rev()
                    .filter(|(_, byte)| **byte != 0);
                let last = full.zip(before + 1..).find(|(_, counted)| *counted >= kept);
                begin = last.map(|((index, _), _)| end + index as u64);
            }
            if counted > bytes_max {
                return Ok(begin);
            }
        }
        Ok(None)
    }

    /// Reads the next line.
    pub fn next(&self, lines: &mut Lines) -> Result<Next> {
        lines
            .next(&self.file)
            .with_context(|| format!("cannot read {}", self.path.display()))
    }

    /// Makes sure there is a cursor to move. Nothing is posted before: without one (a full disk)
    /// every pass would repeat what it posts.
    pub fn arm(&mut self) -> Result<()> {
        if self.cursor.is_none() {
            let path = &self.cursor_path;
            let mut cursor =
                Cursor::open(path).with_context(|| format!("cannot write {}", path.display()))?;
            // A slot that is not true any more must not become true again by what is appended.
            if !cursor.stands_at(self.mark.offset) {
                cursor
                    .commit(self.inode, &self.mark)
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
            self.cursor = Some(cursor);
        }
        Ok(())
    }

    /// Moves the cursor to `mark`, durably.
    pub fn commit(&mut self, mark: &Mark) -> Result<()> {
        if *mark == self.mark {
            return Ok(());
        }
        self.arm()?;
        let path = &self.cursor_path;
        if let Some(cursor) = &mut self.cursor {
            cursor
                .commit(self.inode, mark)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        self.mark = mark.clone();
        Ok(())
    }

    /// Appends lines to be kept again, so that the cursor may pass the places where they stand now: one
    /// write, durable when this returns. Lines that were in UTF-16 are appended in UTF-8, and objects
    /// that were glued together as lines of their own.
    ///
    /// The write begins with a newline, because a producer may have left a torn line at the end. If
    /// the lock stays taken (a hung hook) it is done without: one append write is safe.
    ///
    /// Should the file not hold what was read before `end` any more, the person changed it, and what
    /// they removed is not brought back.
    ///
    /// # Errors
    /// A full disk, mostly. The cursor must stay then: a repeated batch, never a loss.
    pub fn append_again<'a>(
        &mut self,
        end: &Mark,
        lines: impl Iterator<Item = &'a [u8]>,
    ) -> Result<()> {
        let mut block = vec![b'\n'];
        for line in lines {
            block.extend_from_slice(line);
            block.push(b'\n');
        }
        if block.len() == 1 {
            return Ok(());
        }
        let context = || {
            format!(
                "cannot append the lines to be kept to {}",
                self.path.display()
            )
        };
        let held = lock::take(self.lock_file(), lock::WAIT_OF_UPLOADER).with_context(context)?;
        if !end.holds(&self.file).with_context(context)? {
            return Ok(());
        }
        let before = self.length().with_context(context)?;
        let appended = os::append(&self.file, &self.path, &block);
        if appended.is_err() && held.is_some() {
            self.take_back(before, &block);
        }
        let end = appended.with_context(context)?;
        drop(held);
        os::sync(&self.file).with_context(context)?;
        self.own.push(end - block.len() as u64..end);
        Ok(())
    }

    /// A part of the copies was written before the disk was full. Left alone, it would glue to the
    /// next producer's line. Under lock and lease nobody else appends behind it; somebody who knows no
    /// lock may have done so before.
    fn take_back(&self, length: u64, block: &[u8]) {
        let lease = lease::take(&self.file);
        if matches!(lease, Lease::Refused) {
            return;
        }
        let mut found = vec![0; block.len() + 1];
        let read = os::read_at(&self.file, &mut found, length);
        if read.is_ok_and(|read| read > 0 && block.starts_with(&found[..read])) {
            let _ = os::truncate(&self.file, length);
        }
    }

    /// Whether a producer is in the middle of an append, as far as can be told: it holds the lock, or
    /// the file has grown since it was opened. What it has written so far is not all of it.
    pub fn is_being_written(&self) -> bool {
        let is_held = lock::is_held(self.lock_file()).unwrap_or(false);
        // One long write becomes visible page by page; a millisecond is many of them.
        lock::step();
        is_held || self.length().is_ok_and(|length| length != self.size)
    }

    /// What producers lock: the buffer itself, or on Windows its sidecar.
    pub(crate) fn lock_file(&self) -> &File {
        #[cfg(windows)]
        return self.sidecar.as_ref().unwrap_or(&self.file);
        #[cfg(not(windows))]
        return &self.file;
    }

    /// Current length.
    pub(crate) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// After a truncation moved everything forward by `bytes`.
    pub(crate) fn shifted(&mut self, bytes: u64) {
        self.read_to = self.read_to.saturating_sub(bytes);
        for own in &mut self.own {
            *own = own.start.saturating_sub(bytes)..own.end.saturating_sub(bytes);
        }
    }

    /// Looks at what others appended during the pass, and lets the descriptor go.
    pub fn close(self) -> Result<Closed> {
        let read = Closed::look(&self.name, &self.file, &self.own, self.read_to);
        read.with_context(|| format!("cannot read {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths;
    use std::collections::BTreeMap;
    use std::path::Path;

    fn check(behind: &str, expected: &str) {
        check_content(&format!("before\n{behind}"), expected);
    }

    fn check_content(content: &str, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::find("a", Some(folder.path()), &BTreeMap::new()).unwrap();
        let path = paths.buffer(paths::OWN_BUFFER);
        std::fs::write(&path, content).unwrap();
        let buffer = Buffer::look(&paths, paths::OWN_BUFFER, Open::Update).unwrap();
        buffer.take_back(7, b"\nours\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    }

    fn opened(content: &[u8], buffer: impl FnOnce(&Path)) -> (tempfile::TempDir, Buffer) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::find("a", Some(folder.path()), &BTreeMap::new()).unwrap();
        let path = paths.buffer(paths::OWN_BUFFER);
        std::fs::write(&path, content).unwrap();
        buffer(&path);
        let buffer = Buffer::look(&paths, paths::OWN_BUFFER, Open::Read).unwrap();
        (folder, buffer)
    }

    #[test]
    fn the_cap_counts_what_was_appended_last_and_no_zero_bytes() {
        let check = |content: &[u8], bytes_max: u64, expected: Option<u64>| {
            let (_folder, buffer) = opened(content, |_| {});
            let found = buffer.over_cap(bytes_max).unwrap();
            assert_eq!(found, expected, "{} of {bytes_max}", content.len());
        };
        check(&[b'x'; 100], 100, None);
        check(&[b'x'; 101], 100, Some(11));
        check(&vec![b'x'; 300_000], 100_000, Some(210_000));
        let full = |hole: usize, text: usize| [vec![0; hole], vec![b'x'; text]].concat();
        check(&full(500_000, 100_000), 100_000, None);
        check(&full(500_000, 100_001), 100_000, Some(510_001));
        // The bytes before a hole are the older ones.
        let both = [vec![b'x'; 50], vec![0; 70_000], vec![b'x'; 80]].concat();
        check(&both, 100, Some(40));
        check(&both, 130, None);
    }

    #[test]
    fn a_sparse_hole_of_a_gigabyte_is_not_over_the_cap() {
        let (_folder, buffer) = opened(b"", |path| {
            let file = File::options().write(true).open(path).unwrap();
            os::write_at(&file, b"{}\n", 1 << 30).unwrap();
        });
        assert_eq!(buffer.over_cap(100_000).unwrap(), None);
    }

    #[test]
    fn what_was_written_of_a_failed_append_is_taken_back() {
        check("", "before\n");
        check("\nou", "before\n");
        check("\nours\n", "before\n");
    }

    #[test]
    fn a_buffer_that_was_emptied_meanwhile_stays_empty() {
        check_content("", "");
    }

    #[test]
    fn nothing_of_anyone_elses_is_taken_back_with_it() {
        check("\nou{\"theirs\"}\n", "before\n\nou{\"theirs\"}\n");
        check("\nours\n{\"theirs\"}\n", "before\n\nours\n{\"theirs\"}\n");
        check("{\"theirs\"}\n", "before\n{\"theirs\"}\n");
    }
}
