//! The two calls, `signal` and `fcntl` for leases, that neither std nor rustix offers, and with them the
//! only `unsafe` of this program.

#[cfg(unix)]
#[allow(unsafe_code)]
mod calls {
    /// From now on a write beyond the size that files may have here (`ulimit -f`) fails, and raises no
    /// signal. For a process of our own: a host decides that for itself.
    pub(crate) fn ignore_sigxfsz() {
        // SAFETY: SIG_IGN is a valid disposition, and no memory is passed.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    }

    #[cfg(target_os = "linux")]
    pub(crate) use lease::{has_write_lease, let_lease_go, take_write_lease};

    #[cfg(target_os = "linux")]
    mod lease {
        use std::fs::File;
        use std::io;
        use std::os::fd::AsRawFd;

        /// Chooses the signal of a descriptor; libc has it for some systems only.
        const F_SETSIG: libc::c_int = 10;

        /// Takes the write lease on a file.
        ///
        /// When another process opens the file, the kernel raises a signal in this one. By default that is
        /// SIGIO, which ends a process without a handler. The process may be a host's, whose handlers are
        /// not ours to change, so the descriptor gets SIGURG: it does nothing by default, and a
        /// program with a handler for it expects it at any time.
        pub(crate) fn take_write_lease(file: &File) -> io::Result<()> {
            let set = |command, value: libc::c_int| {
                // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
                match unsafe { libc::fcntl(file.as_raw_fd(), command, value) } {
                    0 => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                }
            };
            set(F_SETSIG, libc::SIGURG)?;
            set(libc::F_SETLEASE, libc::F_WRLCK)
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
