//! The file of accepted envelopes, one compact envelope a line.

use anyhow::Context;
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Where accepted envelopes go.
pub(super) struct Store {
    path: PathBuf,
    /// Held while the end of the file is looked at and written.
    writing: Mutex<()>,
}

impl Store {
    /// Makes the file if it is missing, so that one that cannot be written is known before any client is.
    pub(super) fn open(path: PathBuf) -> anyhow::Result<Store> {
        open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Store {
            path,
            writing: Mutex::new(()),
        })
    }

    /// Appends all envelopes of one request, or none: a client that is told 500 sends them again.
    pub(super) fn append<'a>(&self, envelopes: impl Iterator<Item = &'a Value>) -> io::Result<()> {
        let mut bytes = Vec::new();
        for envelope in envelopes {
            serde_json::to_writer(&mut bytes, envelope)?;
            bytes.push(b'\n');
        }
        if bytes.is_empty() {
            return Ok(());
        }
        // Opened anew each time: a person may have deleted the file to start afresh.
        let mut file = open(&self.path)?;
        let alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let length = file.metadata()?.len();
        if ends_torn(&mut file)? {
            bytes.insert(0, b'\n');
        }
        if let Err(err) = file.write_all(&bytes) {
            // A full disk takes a part. What cannot be cut off is found torn by the next append.
            let _cut = file.set_len(length);
            return Err(err);
        }
        drop(alone);
        // The client deletes its own copy once it reads our reply.
        file.sync_data()
    }
}

fn open(path: &PathBuf) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Whether a full disk or a power cut left a last line without its newline: the next must not glue to it.
fn ends_torn(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(before: &str, after: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.jsonl");
        std::fs::write(&path, before).unwrap();
        let envelopes = [json!({"b": 1, "a": "é"}), json!({})];
        Store::open(path.clone())
            .unwrap()
            .append(envelopes.iter())
            .unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
    }

    #[test]
    fn envelopes_are_appended_one_a_line_in_the_order_of_their_fields() {
        check("", "{\"b\":1,\"a\":\"é\"}\n{}\n");
        check("{\"old\":1}\n", "{\"old\":1}\n{\"b\":1,\"a\":\"é\"}\n{}\n");
    }

    #[test]
    fn a_torn_last_line_stays_alone() {
        check("{\"ol", "{\"ol\n{\"b\":1,\"a\":\"é\"}\n{}\n");
    }

    #[test]
    fn a_deleted_store_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.jsonl");
        let store = Store::open(path.clone()).unwrap();
        std::fs::remove_file(&path).unwrap();
        store.append([json!({})].iter()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{}\n");
    }

    #[test]
    fn a_store_in_a_missing_folder_is_refused_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Store::open(folder.path().join("missing/store.jsonl")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.jsonl");
        Store::open(path.clone()).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
