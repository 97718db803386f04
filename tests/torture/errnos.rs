//! Which errors a system call may come back with, by its manual page: those that a machine in trouble
//! gives. What a call says to a program that uses it wrongly (EBADF, EFAULT) is none of them.

/// The calls, and their errors.
const ERRNOS: &[(&[&str], &[&str])] = &[
    (
        &["openat"],
        &[
            "EIO", "ENOSPC", "EINTR", "EACCES", "EMFILE", "ENFILE", "ENOMEM", "EDQUOT", "EROFS",
            "ENOENT", "ELOOP", "EAGAIN",
        ],
    ),
    (&["read", "pread64"], &["EIO", "EINTR", "EAGAIN", "ENOMEM"]),
    (
        &["write", "pwrite64"],
        &[
            "EIO", "ENOSPC", "EINTR", "EAGAIN", "EDQUOT", "EFBIG", "EPIPE", "EPERM",
        ],
    ),
    (
        &["fsync", "fdatasync"],
        &["EIO", "ENOSPC", "EINTR", "EDQUOT", "EROFS"],
    ),
    (
        &["ftruncate"],
        &["EIO", "EINTR", "ENOSPC", "EFBIG", "EPERM"],
    ),
    (&["flock"], &["EINTR", "ENOLCK", "EAGAIN"]),
    (
        &["fcntl"],
        &["EAGAIN", "EPERM", "ENOLCK", "EMFILE", "ENOMEM"],
    ),
    (&["close"], &["EIO", "EINTR", "ENOSPC", "EDQUOT"]),
    (
        &["statx", "newfstatat", "fstat", "statfs"],
        &["EIO", "EACCES", "ENOENT", "ENOMEM", "ELOOP"],
    ),
    (&["getdents64"], &["EIO", "ENOENT", "ENOMEM"]),
    (
        &["mkdir", "mkdirat"],
        &["EACCES", "ENOSPC", "EDQUOT", "EROFS", "EIO", "ENOENT"],
    ),
    (
        &["rename", "renameat", "renameat2"],
        &[
            "EIO", "ENOSPC", "EACCES", "EROFS", "EDQUOT", "EINVAL", "ENOSYS",
        ],
    ),
    (
        &["unlink", "unlinkat"],
        &["EIO", "EACCES", "EROFS", "ENOENT"],
    ),
    (&["fchmod", "fchown"], &["EPERM", "EIO", "EROFS"]),
    (&["lseek"], &["EIO"]),
    (
        &["socket"],
        &["EMFILE", "ENFILE", "EACCES", "ENOBUFS", "ENOMEM"],
    ),
    (
        &["connect"],
        &[
            "ECONNREFUSED",
            "ETIMEDOUT",
            "ENETUNREACH",
            "EHOSTUNREACH",
            "EADDRNOTAVAIL",
            "EAGAIN",
            "EINTR",
            "EPERM",
        ],
    ),
    (
        &["sendto"],
        &[
            "EPIPE",
            "ECONNRESET",
            "EAGAIN",
            "EINTR",
            "ENOBUFS",
            "ETIMEDOUT",
        ],
    ),
    (
        &["recvfrom"],
        &[
            "ECONNRESET",
            "ETIMEDOUT",
            "EAGAIN",
            "EINTR",
            "ENOMEM",
            "EHOSTUNREACH",
        ],
    ),
    (
        &["setsockopt", "getsockopt"],
        &["ENOMEM", "ENOPROTOOPT", "EINVAL"],
    ),
    (&["ioctl"], &["EIO", "ENOTTY"]),
    (&["poll", "ppoll"], &["EINTR", "ENOMEM"]),
    (&["futex"], &["EINTR", "EAGAIN"]),
    (&["clock_nanosleep"], &["EINTR"]),
    // EAGAIN is for those who will not wait for the first randomness after a start, which only libc's
    // own start-up does.
    (&["getrandom"], &["EINTR", "ENOSYS", "EPERM"]),
    (
        &["clone", "clone3", "vfork"],
        &["EAGAIN", "ENOMEM", "EPERM"],
    ),
    (&["execve"], &["ENOENT", "EACCES", "ENOMEM", "E2BIG"]),
    (
        &["getcwd", "readlink", "readlinkat"],
        &["ENOENT", "EACCES", "EIO"],
    ),
    (&["chdir"], &["ENOENT", "EACCES", "EIO"]),
    (&["setsid"], &["EPERM"]),
    (&["dup2", "dup3"], &["EINTR", "EBUSY"]),
    (&["pipe2", "socketpair"], &["EMFILE", "ENFILE"]),
    (&["close_range"], &["ENOMEM", "ENOSYS"]),
    (MEMORY, &["ENOMEM"]),
];

/// The calls by which memory comes.
const MEMORY: &[&str] = &["mmap", "brk", "mprotect", "munmap", "mremap", "madvise"];

/// The calls that the manual knows no such errors of, or that have no way to say so.
pub const NEVER_FAIL: &[&str] = &[
    "arch_prctl",
    "exit",
    "exit_group",
    "geteuid",
    "getpid",
    "gettid",
    "prctl",
    "prlimit64",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "set_tid_address",
    "sigaltstack",
    "umask",
];

/// The errors of this call.
pub fn of(call: &str) -> &'static [&'static str] {
    ERRNOS
        .iter()
        .find(|(calls, _)| calls.contains(&call))
        .map_or(&[], |(_, errnos)| errnos)
}

/// Whether this is the memory's end: nobody goes on then, and neither libc nor Rust's runtime can be
/// asked to.
pub fn is_memory(call: &str) -> bool {
    MEMORY.contains(&call)
}
