//! The two calls, `signal` and `fcntl` for leases, that neither std nor rustix offers, and with them the
//! only `unsafe` of this program.

#[cfg(unix)]
#[allow(unsafe_code)]
mod calls {
    /// A signal that ends a process which did not ask for it, where an error says the same.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Signal {
        /// Somebody wants to open a file on which we hold a lease.
        #[cfg(target_os = "linux")]
        LeaseIsWanted,
        /// A write beyond the size that files may have here (`ulimit -f`).
        FileTooLarge,
    }

    /// From now on this signal does nothing.
    pub(crate) fn ignore(signal: Signal) {
        let number = match signal {
            #[cfg(target_os = "linux")]
            Signal::LeaseIsWanted => libc::SIGIO,
            Signal::FileTooLarge => libc::SIGXFSZ,
        };
        // SAFETY: SIG_IGN is a valid disposition for both, and no memory is passed. A host that uses the
        // recorder and has a handler of its own for SIGIO loses it.
        unsafe { libc::signal(number, libc::SIG_IGN) };
    }

    #[cfg(target_os = "linux")]
    pub(crate) use lease::{has_write_lease, let_lease_go, take_write_lease};

    #[cfg(target_os = "linux")]
    mod lease {
        use std::fs::File;
        use std::io;
        use std::os::fd::AsRawFd;

        /// Takes the write lease on a file.
        pub(crate) fn take_write_lease(file: &File) -> io::Result<()> {
            // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
            match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        }

        /// Whether the write lease is ours, and nobody is waiting for its end.
        pub(crate) fn has_write_lease(file: &File) -> bool {
            // SAFETY: as above.
            (unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLEASE) }) == libc::F_WRLCK
        }

        /// Ends the lease, if there is one.
        pub(crate) fn let_lease_go(file: &File) {
            // SAFETY: as above.
            unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
        }
    }
}

#[cfg(unix)]
pub(crate) use calls::*;

// What std calls to walk the stack after a panic, from the static half of the C compiler's library. The
// shared half, libgcc_s.so, would be found, opened and mapped by each process at its start: 9 system calls
// and a seventh of the time that an empty program takes. Every gcc for Linux comes with both halves.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
#[link(name = "gcc_eh", kind = "static", modifiers = "-bundle")]
unsafe extern "C" {}
