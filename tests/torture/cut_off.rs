//! A disk whose power can be cut, in an image that is mounted again and again.

use crate::mounts::{self, Mounted};
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// An image that can be mounted again and again.
pub struct Disk {
    pub image: PathBuf,
    pub at: PathBuf,
}

impl Disk {
    pub fn mounted(&self) -> Result<Mounted, String> {
        let image = self.image.display().to_string();
        mounts::mount(&["-o", "loop", &image], &self.at)
    }

    pub fn data(&self) -> PathBuf {
        self.at.join("data")
    }

    pub fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.data().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Everything on it is durable from here on.
    pub fn sync(&self) {
        rustix::fs::syncfs(File::open(&self.at).unwrap()).unwrap();
    }
}

/// The process that cuts the power: it waits, so that the cut itself takes no time.
pub struct Saboteur(Child);

impl Saboteur {
    pub fn new(disk: &Disk) -> Saboteur {
        let child = Command::new("xfs_io")
            .arg("-x")
            .arg(&disk.at)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Saboteur(child)
    }

    /// Nothing more reaches the disk, not even what the journal holds.
    pub fn cut(mut self) {
        self.0
            .stdin
            .take()
            .unwrap()
            .write_all(b"shutdown\n")
            .unwrap();
        let output = self.0.wait_with_output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && words.is_empty(),
            "xfs_io: {words}"
        );
    }
}
