//! Unix: run on Linux; macOS differs only in what `boot` can say.

use super::refused;
use crate::world::Patience;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

#[path = "unix/reach.rs"]
mod reach;

pub(super) use reach::*;

pub(super) fn open_nofollow(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    options
        .mode(0o600)
        .custom_flags(flags)
        .open(path)
        .map_err(|err| {
            if err.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
                refused("it is a symbolic link, which is not followed here")
            } else {
                err
            }
        })
}

pub(super) fn check_ownership(metadata: &Metadata) -> io::Result<()> {
    // A second name would let a file elsewhere be truncated through ours.
    if metadata.nlink() > 1 {
        return Err(refused("it has more than one hard link"));
    }
    check_owner(metadata)
}

pub(super) fn check_owner(metadata: &Metadata) -> io::Result<()> {
    let (owner, me) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner == me {
        return Ok(());
    }
    // Whoever runs this by sudo would leave files that their owner cannot use.
    let advice = if me == 0 {
        "; run this as that user"
    } else {
        ""
    };
    Err(refused(format!(
        "it belongs to another user (uid {owner}; this is uid {me}){advice}"
    )))
}

pub(super) fn check_root_is_at_home(metadata: &Metadata) -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        check_owner(metadata)
    } else {
        Ok(())
    }
}

pub(super) fn check_not_open_to_all(metadata: &Metadata) -> io::Result<()> {
    if metadata.mode() & 0o002 == 0 {
        return Ok(());
    }
    Err(refused(
        "everybody may write it; take that away with chmod o-w",
    ))
}

pub(super) fn owner_may_write(metadata: &Metadata) -> bool {
    metadata.mode() & 0o200 != 0
}

pub(super) fn copy_group(to: &File, from: &Metadata) -> io::Result<()> {
    if to.metadata()?.gid() == from.gid() {
        return Ok(());
    }
    std::os::unix::fs::fchown(to, None, Some(from.gid()))
}

pub(super) fn keep_what_the_umask_takes_from_the_owner() {
    // There is no call that only reads it. Where the usual one comes back, one is enough.
    let usual = Mode::WGRP | Mode::WOTH;
    let umask = rustix::process::umask(usual);
    if umask != usual {
        rustix::process::umask(umask - Mode::RWXU);
    }
}

pub(super) fn has_no_locks(err: &io::Error) -> bool {
    use rustix::io::Errno;
    // They differ from system to system; on Linux the last two are one.
    let known = [Errno::NOSYS, Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOTSUP];
    let known = known.map(Errno::raw_os_error);
    err.raw_os_error().is_some_and(|code| known.contains(&code))
}

pub(super) fn create_dir(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

pub(super) fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
}

pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

pub(super) fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    renaming::rename(one, other, renaming::Flag::Exchange)
}

pub(super) fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    renaming::rename(from, to, renaming::Flag::OnlyIfAbsent)
}

mod renaming {
    use std::io;
    use std::path::Path;

    #[derive(Clone, Copy)]
    pub(super) enum Flag {
        Exchange,
        OnlyIfAbsent,
    }

    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    pub(super) fn rename(one: &Path, other: &Path, flag: Flag) -> io::Result<()> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        let flags = match flag {
            Flag::Exchange => RenameFlags::EXCHANGE,
            Flag::OnlyIfAbsent => RenameFlags::NOREPLACE,
        };
        match renameat_with(CWD, one, CWD, other, flags) {
            // What file systems say that do not know it.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                Err(io::ErrorKind::Unsupported.into())
            }
            renamed => Ok(renamed?),
        }
    }

    #[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
    pub(super) fn rename(_one: &Path, _other: &Path, _flag: Flag) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

pub(super) fn read_once_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(into, offset)
}

pub(super) fn write_once_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    file.write_at(bytes, offset)
}

pub(super) fn inode(metadata: &Metadata) -> u64 {
    metadata.ino()
}

/// Append mode, switched on for one write: `pwrite` on an append descriptor would append, and a
/// second descriptor of our own would deny us the lease.
pub(super) struct AppendMode<'a>(&'a File);

impl<'a> AppendMode<'a> {
    pub(super) fn on(file: &'a File, _path: &Path) -> io::Result<Self> {
        fcntl_setfl(file, fcntl_getfl(file)? | OFlags::APPEND)?;
        Ok(AppendMode(file))
    }

    pub(super) fn file(&self) -> &File {
        self.0
    }

    pub(super) fn position(&self) -> io::Result<u64> {
        let mut file = self.0;
        file.stream_position()
    }

    pub(super) fn off(self) -> io::Result<()> {
        Ok(fcntl_setfl(self.0, fcntl_getfl(self.0)? - OFlags::APPEND)?)
    }
}

pub(super) fn read_stdin(into: &mut [u8], wait_max: Duration) -> io::Result<Option<usize>> {
    // Not std's, whose buffer would hold bytes that poll knows nothing of.
    let stdin = rustix::stdio::stdin();
    if !is_readable(stdin, wait_max)? {
        return Ok(None);
    }
    Ok(Some(rustix::io::retry_on_intr(|| {
        rustix::io::read(stdin, &mut *into)
    })?))
}

pub(super) fn stdin_file() -> io::Result<File> {
    Ok(io::stdin().as_fd().try_clone_to_owned()?.into())
}

/// Whether there is something to read, or nothing will ever be.
fn is_readable(fd: impl AsFd, wait_max: Duration) -> io::Result<bool> {
    let patience = Patience::of(wait_max);
    loop {
        let wait = Timespec::try_from(patience.left()).map_err(io::Error::other)?;
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        match poll(&mut fds, Some(&wait)) {
            Ok(ready) => return Ok(ready > 0),
            // A signal that did not end us.
            Err(rustix::io::Errno::INTR) => {}
            Err(err) => return Err(err.into()),
        }
    }
}

pub(super) fn start_detached(command: &mut Command, wait_max: Duration) -> io::Result<()> {
    // A lock that a shell holds on its descriptor 9 must not live on in the child, nor may a pipe
    // whose end somebody waits for.
    close_fds::set_fds_cloexec(3, &[]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(sign) = &child.stdout {
        // The end of this pipe is the child's sign that it has left; it writes nothing.
        is_readable(sign, wait_max)?;
    }
    Ok(())
}

pub(super) fn leave_session() -> io::Result<()> {
    // It fails for the leader of a process group, which only somebody who starts us by hand makes us.
    let _ = rustix::process::setsid();
    rustix::process::chdir("/")?;
    let null = File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}

#[cfg(target_os = "linux")]
pub(super) fn boot() -> Option<(String, i64)> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Some((id.trim().to_owned(), up.tv_sec))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn boot() -> Option<(String, i64)> {
    None
}
