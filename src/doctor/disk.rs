//! What the file system can do: locks, the lease, and room.

use super::{Check, Subject};
use crate::consent::Consent;
use crate::health::{self, FREE_BYTES_MIN};
use crate::lease::{self, Lease};
use crate::lock;
use crate::os::{self, Open};
use crate::wording::counted;
use std::fs;
use std::io;
use std::path::Path;

/// Below this a full disk is near: a pass at the caps writes a hundredth of it.
const FREE_BYTES_FEW: u64 = 100_000_000;

pub(super) fn checks(subject: &Subject) -> Vec<Check> {
    let data = subject.paths.data();
    if !data.is_dir() {
        return Vec::new();
    }
    let mut checks = locks(subject);
    checks.push(disk(data));
    checks
}

/// Tries the lock and the lease on a file of our own, and takes it away again. Not where telemetry is
/// off, nor where there is no folder for it.
fn locks(subject: &Subject) -> Vec<Check> {
    let folder = subject.paths.upload();
    if let Consent::Denied(_) = subject.consent {
        return vec![Check::ok("lock", "not tried, since telemetry is off")];
    }
    if let Err(err) = health::look_at_locks(subject.paths) {
        return vec![Check::problem("lock", format!("{err:#}"), LOCAL_DISK)];
    }
    if os::check_private_dir(&folder)
        .and_then(|()| os::may_write(&folder))
        .is_err()
    {
        return vec![Check::ok(
            "lock",
            "not tried, since there is no upload folder to write in",
        )];
    }
    let path = folder.join(format!("doctor-{}.tmp", std::process::id()));
    let tried = try_locks(&path);
    // What cannot be removed was never made.
    let _ = fs::remove_file(&path);
    tried.unwrap_or_else(|err| {
        let words = format!("cannot be tried in {}: {err}", folder.display());
        vec![Check::problem("lock", words, LOCAL_DISK)]
    })
}

const LOCAL_DISK: &str = "put the data folder on a local disk with room, with --data-dir";

fn try_locks(path: &Path) -> io::Result<Vec<Check>> {
    let file = os::open(path, Open::Create)?;
    let excludes = {
        let held = lock::take_now(&file)?;
        let other = os::open(path, Open::Update)?;
        held.is_some() && lock::take_now(&other)?.is_none()
    };
    let lock = if excludes {
        Check::ok("lock", "works")
    } else {
        Check::problem(
            "lock",
            "does not keep a second one out: events may be sent twice or be lost",
            LOCAL_DISK,
        )
    };
    let lease = match lease::take(&file) {
        Lease::Held(_) => Check::ok("lease", "works"),
        _ if !cfg!(target_os = "linux") => Check::ok("lease", "this system has none"),
        _ => Check::warning(
            "lease",
            "is not to be had here: what is appended without a lock in the microsecond of a truncation is lost",
            "append under the lock, as `telemetry-upload record` does, or use another file system",
        ),
    };
    Ok(vec![lock, lease])
}

fn disk(data: &Path) -> Check {
    let room = os::free_bytes(data).and_then(too_little);
    let network = || {
        let name = os::network_file_system(data)?;
        let words =
            format!("the data folder is on {name}, where locks and appends are not reliable");
        Some(Check::warning("disk", words, LOCAL_DISK))
    };
    room.or_else(network)
        .unwrap_or_else(|| Check::ok("disk", "room enough; and no network's, as far as is known"))
}

fn too_little(free: u64) -> Option<Check> {
    const ADVICE: &str = "make room";
    if free < FREE_BYTES_MIN {
        let words = format!(
            "{} free: no event can be recorded or sent",
            counted(free, "byte")
        );
        return Some(Check::problem("disk", words, ADVICE));
    }
    let few = || Check::warning("disk", format!("{} MB free", free / 1_000_000), ADVICE);
    (free < FREE_BYTES_FEW).then(few)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn a_disk_is_nearly_full_below_100_mb_and_full_below_one() {
        let check = |free, expected: Option<(Outcome, &str)>| {
            let found = too_little(free);
            let found = found
                .as_ref()
                .map(|check| (check.outcome, check.words.as_str()));
            assert_eq!(found, expected, "{free}");
        };
        let full = "999,999 bytes free: no event can be recorded or sent";
        check(999_999, Some((Outcome::Problem, full)));
        check(1_000_000, Some((Outcome::Warning, "1 MB free")));
        check(99_999_999, Some((Outcome::Warning, "99 MB free")));
        check(100_000_000, None);
    }
}
