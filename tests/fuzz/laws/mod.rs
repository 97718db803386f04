//! What must hold for every input. The fuzzers look for one that breaks a law; the torture suite holds
//! each law to the seeds and to every input that ever broke one, so that neither is forgotten.

pub mod connection;
pub mod cursor;
pub mod hook;
pub mod lines;
pub mod reply;
pub mod retry_after;
pub mod salvage;

/// It panics where it does not hold.
pub type Law = fn(&[u8]);

/// Every law by the name of its fuzzer.
pub const LAWS: [(&str, Law); 7] = [
    ("lines", lines::hold),
    ("salvage", salvage::hold),
    ("reply", reply::hold),
    ("cursor", cursor::hold),
    ("connection", connection::hold),
    ("retry_after", retry_after::hold),
    ("hook", hook::hold),
];

/// The bytes of a fuzzer, taken from the front. Where none are left there are zeros.
pub struct Draw<'a>(pub &'a [u8]);

impl<'a> Draw<'a> {
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    pub fn number(&mut self) -> u64 {
        let bytes = self.take(8).iter();
        bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// One below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    /// At most so many.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A text of up to 255 bytes, its length in front.
    pub fn text(&mut self) -> String {
        let length = self.byte();
        String::from_utf8_lossy(self.take(usize::from(length))).into_owned()
    }

    pub fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }
}

/// A folder in memory, where there is one: the fuzzers make thousands of files a second.
pub fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    made.unwrap()
}
