//! What of the files would survive a power cut: what was synced, and of what was not any part, because a
//! disk writes in the order it likes. Names become durable with their folder, in the order they were
//! given.

use super::Step;
use crate::os;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// A change of a file that is not durable yet.
#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

/// One file, whatever its names.
#[derive(Clone, Debug, Default)]
struct Content {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

/// A change of the names that is not durable yet.
#[derive(Clone, Debug)]
enum Naming {
    Made(PathBuf, u64),
    Renamed(PathBuf, PathBuf),
}

/// Every file below a folder, as it stands on the disk itself.
#[derive(Debug, Default)]
pub(crate) struct Image {
    contents: BTreeMap<u64, Content>,
    durable_names: BTreeMap<PathBuf, u64>,
    names: BTreeMap<PathBuf, u64>,
    pending_names: Vec<Naming>,
    /// Our numbers by inode: the system gives an inode that was freed to the next file.
    by_inode: BTreeMap<u64, u64>,
}

impl Image {
    /// The files below `folder`, all of them durable.
    pub(super) fn of(folder: &Path) -> Image {
        let mut image = Image::default();
        image.read(folder);
        image
    }

    fn read(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.read(&path);
            } else {
                let number = self.contents.len() as u64;
                let inode = os::inode(&fs::symlink_metadata(&path).unwrap());
                let durable = fs::read(&path).unwrap();
                let pending = Vec::new();
                self.contents.insert(number, Content { durable, pending });
                self.by_inode.insert(inode, number);
                self.durable_names.insert(path.clone(), number);
                self.names.insert(path, number);
            }
        }
    }

    /// A step that is taken.
    pub(super) fn note(&mut self, step: &Step) {
        match step {
            Step::Make(path) => {
                let number = self.contents.len() as u64;
                self.contents.insert(number, Content::default());
                self.names.insert(path.to_path_buf(), number);
                self.pending_names
                    .push(Naming::Made(path.to_path_buf(), number));
            }
            Step::Write(file, bytes, at) => {
                let change = Change::Write(*at, bytes.to_vec());
                self.content(file).pending.push(change);
            }
            Step::Truncate(file, length) => {
                self.content(file).pending.push(Change::Truncate(*length));
            }
            Step::Sync(file) => {
                let content = self.content(file);
                for change in std::mem::take(&mut content.pending) {
                    change.apply(&mut content.durable);
                }
            }
            Step::Rename(from, to) => {
                if let Some(number) = self.names.remove(*from) {
                    self.names.insert(to.to_path_buf(), number);
                }
                self.pending_names
                    .push(Naming::Renamed(from.to_path_buf(), to.to_path_buf()));
            }
            Step::SyncDir(folder) => self.sync_names_in(folder),
            Step::Lock | Step::Unlock | Step::Post => {}
        }
    }

    /// A file that was changed by other means, durably.
    pub(crate) fn take_as_it_is(&mut self, path: &Path) {
        self.pending_names.retain(|naming| {
            let (Naming::Made(name, _) | Naming::Renamed(_, name)) = naming;
            name != path
        });
        let Ok(durable) = fs::read(path) else {
            self.names.remove(path);
            self.durable_names.remove(path);
            return;
        };
        let number = self.contents.len() as u64;
        let pending = Vec::new();
        self.contents.insert(number, Content { durable, pending });
        self.names.insert(path.to_owned(), number);
        self.durable_names.insert(path.to_owned(), number);
    }

    /// What is durable of a file.
    pub(crate) fn durable(&self, path: &Path) -> &[u8] {
        let content = self
            .durable_names
            .get(path)
            .map(|number| &self.contents[number]);
        content.map_or(&[], |content| &content.durable)
    }

    /// The power is cut: of everything that is not durable, `choose` keeps what it likes (it is given
    /// how many ways there are and picks one), and the files become what is left.
    pub(crate) fn cut(&mut self, mut choose: impl FnMut(usize) -> usize) {
        let named = choose(self.pending_names.len() + 1);
        for naming in std::mem::take(&mut self.pending_names)
            .into_iter()
            .take(named)
        {
            self.make_durable(naming);
        }
        for content in self.contents.values_mut() {
            for change in std::mem::take(&mut content.pending) {
                match (choose(3), change) {
                    // What is written behind a cut is a later entry of the same journal.
                    (0, Change::Truncate(_)) => break,
                    (0, _) => {}
                    (1, Change::Write(at, bytes)) => {
                        let torn = bytes[..choose(bytes.len() + 1)].to_vec();
                        Change::Write(at, torn).apply(&mut content.durable);
                    }
                    (_, change) => change.apply(&mut content.durable),
                }
            }
        }
        for path in self.names.keys() {
            if !self.durable_names.contains_key(path) {
                let _ = fs::remove_file(path);
            }
        }
        for (path, number) in &self.durable_names {
            // In place where the file is still the same one: its inode survives a power cut.
            if self.names.get(path) != Some(number) {
                let _ = fs::remove_file(path);
            }
            fs::write(path, &self.contents[number].durable).unwrap();
        }
        self.names = self.durable_names.clone();
        self.by_inode.clear();
        for (path, number) in &self.names {
            let inode = os::inode(&fs::symlink_metadata(path).unwrap());
            self.by_inode.insert(inode, *number);
        }
    }

    fn sync_names_in(&mut self, folder: &Path) {
        for naming in std::mem::take(&mut self.pending_names) {
            let (Naming::Made(path, _) | Naming::Renamed(path, _)) = &naming;
            if path.parent() == Some(folder) {
                self.make_durable(naming);
            } else {
                self.pending_names.push(naming);
            }
        }
    }

    fn make_durable(&mut self, naming: Naming) {
        match naming {
            Naming::Made(path, number) => {
                self.durable_names.insert(path, number);
            }
            Naming::Renamed(from, to) => {
                if let Some(number) = self.durable_names.remove(&from) {
                    self.durable_names.insert(to, number);
                }
            }
        }
    }

    /// The content behind an open file.
    fn content(&mut self, file: &File) -> &mut Content {
        let inode = os::inode(&file.metadata().unwrap());
        let number = self.number(inode);
        self.contents.entry(number).or_default()
    }

    /// Our number for an inode: that of the name it has now, or had when it was last looked up.
    fn number(&mut self, inode: u64) -> u64 {
        let named = self.names.iter().find(|(path, _)| {
            fs::symlink_metadata(path).is_ok_and(|found| os::inode(&found) == inode)
        });
        if let Some((_, number)) = named {
            self.by_inode.insert(inode, *number);
        }
        *self.by_inode.get(&inode).unwrap()
    }
}

impl Change {
    /// Done to what is durable; a gap before it reads as zeros, as in a file with a hole.
    fn apply(self, durable: &mut Vec<u8>) {
        match self {
            Change::Truncate(length) => durable.resize(usize::try_from(length).unwrap(), 0),
            Change::Write(_, bytes) if bytes.is_empty() => {}
            Change::Write(at, bytes) => {
                let (at, length) = (usize::try_from(at).unwrap(), bytes.len());
                if durable.len() < at + length {
                    durable.resize(at + length, 0);
                }
                durable[at..at + length].copy_from_slice(&bytes);
            }
        }
    }
}
