//! The name of every file this program touches. Nothing here makes, opens or checks one.

use crate::cursor::fnv1a;
use crate::os;
use anyhow::{Context, Result, bail};
use directories::BaseDirs;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Beginning of every buffer's file name.
pub(crate) const BUFFER_STEM: &str = "telemetry-events";

/// The buffer that this program itself appends to.
pub const OWN_BUFFER: &str = "telemetry-events.jsonl";

/// The variable that names the data folder.
const DATA_DIR: &str = "TELEMETRY_UPLOAD_DATA_DIR";

/// The application whose buffers these were first.
pub const APP_DEFAULT: &str = "atomic";

/// Behind the name of a cursor's buffer.
pub const CURSOR: &str = ".cursor";

/// Bytes that a file's name may have on every system.
const NAME_BYTES_MAX: usize = 255;

/// The files of one application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    data: PathBuf,
}

impl Paths {
    /// The data folder given by hand, or in `TELEMETRY_UPLOAD_DATA_DIR`, or the application's own:
    /// `$XDG_DATA_HOME/<app>` or `~/.local/share/<app>` on every Unix, `%LOCALAPPDATA%\<app>` on Windows.
    ///
    /// # Errors
    /// An application name that could leave the folder, a relative folder in a variable, or no home
    /// folder to start from.
    pub fn find(
        app: &str,
        data_dir: Option<&Path>,
        env: &BTreeMap<String, String>,
    ) -> Result<Paths> {
        app_name(app)?;
        let data = match data_dir {
            Some(dir) => std::path::absolute(dir)
                .with_context(|| format!("cannot use {} as the data folder", dir.display()))?,
            None => match os::variable(env, DATA_DIR).filter(|dir| !dir.is_empty()) {
                Some(dir) => absolute(&dir, DATA_DIR)?,
                None => default_data_dir(app, env)?,
            },
        };
        Ok(Paths { data })
    }

    /// The data folder itself.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Consent, in the host's format: `telemetry.json`.
    pub fn consent(&self) -> PathBuf {
        self.data.join("telemetry.json")
    }

    /// Where what stood in its place and could not be read is set aside.
    pub fn damaged_consent(&self, number: usize) -> PathBuf {
        self.data.join(format!("telemetry.json.damaged-{number}"))
    }

    /// The person's or the installer's settings: `config.json`.
    pub fn config(&self) -> PathBuf {
        self.data.join("config.json")
    }

    /// The folder of the uploader's own files.
    pub fn upload(&self) -> PathBuf {
        self.data.join("upload")
    }

    /// Held for a whole pass; never unlinked.
    pub fn uploader_lock(&self) -> PathBuf {
        self.upload().join("uploader.lock")
    }

    /// Held while telemetry.json is replaced; never unlinked.
    pub fn consent_lock(&self) -> PathBuf {
        self.upload().join("consent.lock")
    }

    /// Held by the detached pass while it gathers; never unlinked.
    pub fn detached_lock(&self) -> PathBuf {
        self.upload().join("detached.lock")
    }

    /// The folder of what is known of the agents' sessions.
    pub fn sessions(&self) -> PathBuf {
        self.upload().join("sessions")
    }

    /// What is known of one session of an agent.
    pub fn session(&self, id: &str) -> PathBuf {
        self.sessions().join(format!("{id}.jsonl"))
    }

    /// What one pass leaves for the next.
    pub fn state(&self) -> PathBuf {
        self.upload().join("state.json")
    }

    /// Lines refused for good, with the reason.
    pub fn rejected(&self) -> PathBuf {
        self.upload().join("rejected.jsonl")
    }

    /// Local copy of what was sent.
    pub fn sent(&self) -> PathBuf {
        self.upload().join("sent.jsonl")
    }

    /// One line a pass and a failure.
    pub fn log(&self) -> PathBuf {
        self.upload().join("upload.log")
    }

    /// A buffer of this name.
    pub fn buffer(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }

    /// How far a buffer is delivered. Not `<buffer>.lock`: Atomic's own lock code unlinks that name.
    pub fn cursor(&self, buffer: &str) -> PathBuf {
        self.beside_upload(buffer, CURSOR)
    }

    /// Where a buffer's lock lives on Windows, whose locks are mandatory and would stop appenders.
    pub fn sidecar(&self, buffer: &str) -> PathBuf {
        self.beside_upload(buffer, ".lck")
    }

    /// A file of ours for a buffer. Where its name would be too long, a hash stands for the buffer's end.
    fn beside_upload(&self, buffer: &str, extension: &str) -> PathBuf {
        if buffer.len() + extension.len() <= NAME_BYTES_MAX {
            return self.upload().join(format!("{buffer}{extension}"));
        }
        let ends = buffer.char_indices().map(|(at, _)| at);
        let begin = ends.take_while(|at| *at <= NAME_BYTES_MAX / 2).last();
        let begin = &buffer[..begin.unwrap_or(0)];
        let hash = fnv1a(buffer.as_bytes());
        self.upload()
            .join(format!("{begin}-{hash:016x}{extension}"))
    }
}

/// Whether a file of this name is a buffer: `telemetry-events.jsonl` or
/// `telemetry-events-<producer>.jsonl`.
pub fn is_buffer(name: &str) -> bool {
    let Some(producer) = name
        .strip_prefix(BUFFER_STEM)
        .and_then(|rest| rest.strip_suffix(".jsonl"))
    else {
        return false;
    };
    producer.is_empty() || producer.starts_with('-')
}

/// Whether this is the name of a buffer with something behind it: `telemetry-events.jsonl.1`, `….old`,
/// `…-20261201`. `….lock` is Atomic's own.
pub fn is_renamed_buffer(name: &str) -> bool {
    let ends = name.match_indices(".jsonl").map(|(at, end)| at + end.len());
    let mut rests = ends.filter(|end| is_buffer(&name[..*end]));
    rests.any(|end| !["", ".lock"].contains(&&name[end..])) && !is_buffer(name)
}

/// The name under which a renamed buffer is sent.
pub fn sent_name(renamed: &str) -> String {
    let (stem, rest) = renamed.split_once(".jsonl").unwrap_or((renamed, ""));
    let words = rest.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let name = [&[stem, "renamed"], &words[..]].concat().join("-");
    format!("{name}.jsonl")
}

/// The buffer for what cannot be appended to this one: it is one itself, and sent like any other.
pub fn beside(buffer: &str) -> String {
    let stem = buffer.strip_suffix(".jsonl").unwrap_or(buffer);
    format!("{stem}-late.jsonl")
}

/// Checks an application's name: it becomes part of paths and of variable names, so it is plain.
///
/// # Errors
/// What a name may consist of.
pub fn app_name(app: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if app.is_empty() || app.len() > 64 || app.starts_with(['.', '-']) || !app.chars().all(plain) {
        bail!(
            "the name of an application is 1 to 64 letters, digits, '.', '_' or '-', and begins with a letter, a digit or '_'"
        );
    }
    Ok(app.to_owned())
}

/// The home folder of the person.
///
/// # Errors
/// There is none.
pub fn home() -> Result<PathBuf> {
    let base = BaseDirs::new().context("cannot find the home folder; set HOME")?;
    absolute(base.home_dir(), "HOME")
}

/// A folder that a variable names. A relative one would lie in whatever project is worked on, and some
/// agents load a project's `.env` into the environment of their hooks.
fn absolute(folder: impl AsRef<Path>, variable: &str) -> Result<PathBuf> {
    let folder = folder.as_ref();
    if folder.is_relative() {
        bail!(
            "{variable} has to be an absolute path, not {}",
            folder.display()
        );
    }
    Ok(folder.to_owned())
}

/// `directories` alone would disagree with Atomic on macOS and Windows, whose folders these are.
fn default_data_dir(app: &str, env: &BTreeMap<String, String>) -> Result<PathBuf> {
    let base = BaseDirs::new().context("cannot find the home folder; name one with --data-dir")?;
    if cfg!(windows) {
        return Ok(base.data_local_dir().join(app));
    }
    // A relative XDG_DATA_HOME is invalid by its specification and would mean the current directory.
    let xdg = os::variable(env, "XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute());
    let unix = match xdg {
        Some(dir) => dir,
        None => home()?.join(".local/share"),
    };
    let unix = unix.join(app);
    let native = base.data_dir().join(app);
    Ok(if native != unix && !unix.exists() && native.exists() {
        native
    } else {
        unix
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_told_by_their_names() {
        for name in [
            "telemetry-events.jsonl",
            "telemetry-events-claude.jsonl",
            "telemetry-events-a-b.jsonl",
        ] {
            assert!(is_buffer(name), "{name}");
        }
        for name in [
            "telemetry-events.jsonl.bak",
            "telemetry-eventsx.jsonl",
            "x.jsonl",
            "",
        ] {
            assert!(!is_buffer(name), "{name}");
        }
    }

    #[test]
    fn a_renamed_buffer_is_told_by_its_name_and_gets_one_that_is_sent() {
        for (name, sent) in [
            (
                "telemetry-events.jsonl.1",
                "telemetry-events-renamed-1.jsonl",
            ),
            (
                "telemetry-events.jsonl.old",
                "telemetry-events-renamed-old.jsonl",
            ),
            ("telemetry-events.jsonl~", "telemetry-events-renamed.jsonl"),
            (
                "telemetry-events-a.jsonl-20261201",
                "telemetry-events-a-renamed-20261201.jsonl",
            ),
            (
                "telemetry-events-a.jsonl.2.gz",
                "telemetry-events-a-renamed-2-gz.jsonl",
            ),
        ] {
            assert!(is_renamed_buffer(name), "{name}");
            assert_eq!(sent_name(name), sent);
            assert!(is_buffer(sent), "{sent}");
        }
        for name in [
            "telemetry-events.jsonl",
            "telemetry-events-a.jsonl",
            "telemetry-events-a.jsonl.b.jsonl",
            "telemetry-events.jsonl.lock",
            "telemetry-eventsx.jsonl.1",
            "x-telemetry-events.jsonl.1",
            "telemetry.json",
        ] {
            assert!(!is_renamed_buffer(name), "{name}");
        }
    }

    #[test]
    fn every_name_a_buffer_may_have_leaves_room_for_its_cursor() {
        let paths = Paths::find("a", Some(Path::new("/x")), &BTreeMap::new()).unwrap();
        let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let long = |length: usize| format!("telemetry-events-{}.jsonl", "x".repeat(length - 23));
        assert_eq!(name(paths.cursor(&long(248))), long(248) + ".cursor");
        let wide = format!("telemetry-events-{}.jsonl", "\u{20ac}".repeat(77));
        let mut seen = std::collections::BTreeSet::new();
        for buffer in [long(248), long(249), long(255), wide] {
            assert!(buffer.len() <= 255);
            assert!(name(paths.cursor(&buffer)).len() <= 255, "{buffer}");
            assert!(name(paths.sidecar(&buffer)).len() <= 255, "{buffer}");
            assert!(seen.insert(paths.cursor(&buffer)));
        }
    }

    #[test]
    fn an_application_name_cannot_leave_its_folder() {
        for app in [
            "",
            "..",
            ".hidden",
            "-x",
            "a/b",
            "a\\b",
            "a b",
            &"x".repeat(65),
        ] {
            assert!(app_name(app).is_err(), "{app:?}");
        }
        assert!(app_name("atomic-2.x_y").is_ok());
    }

    #[test]
    fn a_relative_xdg_folder_is_not_the_current_directory() {
        let env = BTreeMap::from([("XDG_DATA_HOME".to_owned(), "relative".to_owned())]);
        let paths = Paths::find("atomic", None, &env).unwrap();
        assert!(paths.data().is_absolute() && paths.data().ends_with(".local/share/atomic"));
    }
}
