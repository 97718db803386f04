//! Programs, found as a shell finds them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The first program of this name in the folders of `PATH`, then in these. A relative folder is passed
/// over: the current folder may be anybody's.
pub fn find(
    name: &str,
    env: &BTreeMap<String, String>,
    more: impl IntoIterator<Item = PathBuf>,
) -> Option<PathBuf> {
    let path = env.get("PATH").map(String::as_str).unwrap_or_default();
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .chain(more)
        .map(|folder| folder.join(name))
        .find(|path| is_program(path))
}

/// Whether two paths lead to one file that is there.
pub fn are_one(one: &Path, other: &Path) -> bool {
    let files = (fs::canonicalize(one), fs::canonicalize(other));
    matches!(files, (Ok(one), Ok(other)) if one == other)
}

/// A shell passes over a file that nobody may run.
#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_that_nobody_may_run_is_passed_over() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (folder, mode) in [(&first, 0o644), (&second, 0o755)] {
            let path = folder.path().join("it");
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        }
        let path = format!("bin:{}", first.path().display());
        let env = BTreeMap::from([("PATH".to_owned(), path)]);
        assert_eq!(find("it", &env, []), None);
        let more = [second.path().to_owned()];
        assert_eq!(find("it", &env, more), Some(second.path().join("it")));
    }

    #[test]
    fn a_program_is_not_looked_for_in_the_current_folder() {
        let path = |path: &str| BTreeMap::from([("PATH".to_owned(), path.to_owned())]);
        assert_eq!(find("sh", &path(".::bin"), []), None);
        assert_eq!(
            find("sh", &path("/nowhere:/bin"), []),
            Some("/bin/sh".into())
        );
        assert_eq!(find("sh", &BTreeMap::new(), []), None);
    }
}
