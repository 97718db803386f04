//! The write lease (Linux): it succeeds only while nobody else has the file open, and holds back
//! every new open until it ends. Inside it a truncation cannot lose even the line of an appender
//! that knows no lock. It is held for microseconds, inside the buffer's lock.
//!
//! The one file with `unsafe`: neither std nor rustix offers `F_SETLEASE`.

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
#[allow(unsafe_code)]
mod system {
    use super::{Held, Lease};
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;

    /// Asks for the write lease on a file opened once, for reading and writing.
    pub fn take(file: &File) -> Lease<'_> {
        // An open that arrives while the lease is held sends SIGIO, which kills by default.
        // SAFETY: SIG_IGN is a valid disposition for SIGIO and no handler of ours is replaced.
        unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
        // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) } == 0 {
            return Lease::Held(Held(file));
        }
        match io::Error::last_os_error().kind() {
            io::ErrorKind::WouldBlock => Lease::Refused,
            _ => Lease::Unsupported,
        }
    }

    impl Held<'_> {
        /// Whether somebody is waiting to open the file: they will have it once the lease ends.
        pub fn is_wanted(&self) -> bool {
            // SAFETY: as above.
            (unsafe { libc::fcntl(self.0.as_raw_fd(), libc::F_GETLEASE) }) != libc::F_WRLCK
        }
    }

    impl Drop for Held<'_> {
        fn drop(&mut self) {
            // SAFETY: as above. Closing the descriptor ends the lease too.
            unsafe { libc::fcntl(self.0.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
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
