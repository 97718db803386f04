//! Programs, found as a shell finds them.

use crate::os;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The first program of this name in the folders of `PATH`, then in these. A relative folder is passed
/// over: the current folder may be anybody's.
pub fn find(
    name: &str,
    env: &BTreeMap<String, String>,
    more: impl IntoIterator<Item = PathBuf>,
) -> Option<PathBuf> {
    let path = os::variable(env, "PATH").unwrap_or_default();
    on_path(name.as_ref(), &path, more)
}

fn on_path(name: &Path, path: &OsStr, more: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .chain(more)
        .map(|folder| folder.join(name))
        .find(|path| is_program(path))
}

/// The file of this program. Where /proc is missing, Linux does not say it; then it is found by the name
/// by which it was called, as the shell found it.
///
/// # Errors
/// The system does not say it, and there is no such program.
pub fn myself() -> io::Result<PathBuf> {
    std::env::current_exe().or_else(|err| {
        let name = std::env::args_os().next().unwrap_or_default();
        let path = std::env::var_os("PATH").unwrap_or_default();
        called(name.as_ref(), &path).ok_or(err)
    })
}

fn called(name: &Path, path: &OsStr) -> Option<PathBuf> {
    let is_bare = name.file_name() == Some(name.as_os_str());
    if is_bare {
        return on_path(name, path, []);
    }
    let file = std::path::absolute(name).ok();
    file.filter(|file| is_program(file))
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

    #[test]
    fn a_program_is_found_by_the_name_it_was_called_by() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join(OsStr::from_bytes(b"caf\xe9"));
        fs::create_dir(&odd).unwrap();
        let program = odd.join("it");
        fs::write(&program, "").unwrap();
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let here = std::env::current_dir().unwrap();
        let up = "../".repeat(here.components().count() - 1);
        let relative = Path::new(&up).join(program.strip_prefix("/").unwrap());
        let path = odd.as_os_str();
        let check = |name: &Path, expected: Option<PathBuf>| {
            let found = called(name, path);
            let found = found.map(|found| fs::canonicalize(found).unwrap());
            let expected = expected.map(|file| fs::canonicalize(file).unwrap());
            assert_eq!(found, expected, "{}", name.display());
        };
        check(Path::new("it"), Some(program.clone()));
        check(&program, Some(program.clone()));
        check(&relative, Some(program.clone()));
        check(Path::new("other"), None);
        check(Path::new("./it"), None);
        check(Path::new(""), None);
        check(&odd.join("other"), None);
        assert!(myself().unwrap().is_absolute());
    }
}
