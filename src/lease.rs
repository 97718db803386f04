//! The write lease (Linux): it succeeds only while nobody else has the file open, and holds back
//! every new open until it ends. Inside it a truncation cannot lose even the line of an appender
//! that knows no lock. It is held for microseconds, inside the buffer's lock.

use std::fs::File;

/// What came of asking for the lease.
#[derive(Debug)]
pub enum Lease<'a> {
    /// Nobody else has the file open until this value ends.
    Held(Held<'a>),
    /// Somebody else has the file open.
    Refused,
    /// This system or file system knows no leases: the lock alone has to do.
    Unsupported,
}

/// Ends the lease when dropped.
#[derive(Debug)]
pub struct Held<'a>(#[allow(dead_code, reason = "read where leases exist")] &'a File);

#[cfg(target_os = "linux")]
mod system {
    use super::{Held, Lease};
    use crate::raw;
    use std::fs::File;
    use std::io;

    /// Asks for the write lease on a file opened once, for reading and writing.
    pub fn take(file: &File) -> Lease<'_> {
        match raw::take_write_lease(file) {
            Ok(()) => Lease::Held(Held(file)),
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => Lease::Refused,
            Err(_) => Lease::Unsupported,
        }
    }

    impl Held<'_> {
        /// Whether somebody is waiting to open the file: they will have it once the lease ends.
        pub fn is_wanted(&self) -> bool {
            !raw::has_write_lease(self.0)
        }
    }

    impl Drop for Held<'_> {
        fn drop(&mut self) {
            // Closing the descriptor ends the lease too.
            raw::let_lease_go(self.0);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    /// There are no leases here.
    pub fn take(_file: &std::fs::File) -> super::Lease<'_> {
        super::Lease::Unsupported
    }

    impl super::Held<'_> {
        /// There is nobody to say so.
        pub fn is_wanted(&self) -> bool {
            false
        }
    }
}

pub use system::take;
