//! Where a host reads its hooks, and what we put there.

use crate::hosts::Host;
use crate::os;
use crate::paths;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// For whom the hooks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The person, in every project.
    User,
    /// Everyone who works in the current folder.
    Project,
}

impl Scope {
    /// Both.
    pub const ALL: [Scope; 2] = [Scope::User, Scope::Project];

    /// Its name after `--scope`.
    pub fn name(self) -> &'static str {
        match self {
            Scope::User => "user",
            Scope::Project => "project",
        }
    }

    /// The scope of this name.
    ///
    /// # Errors
    /// The names there are.
    pub fn from_name(name: &str) -> Result<Scope> {
        match Scope::ALL.into_iter().find(|scope| scope.name() == name) {
            Some(scope) => Ok(scope),
            None => bail!("the scopes are user and project"),
        }
    }
}

/// Whose the file is that a host reads its hooks from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The host's settings, which hold other things, too: we add to it.
    Shared,
    /// Ours alone, in a folder where every file counts.
    Ours,
}

/// Where a host reads its hooks, and what we put there.
#[derive(Debug)]
pub struct Place {
    /// The variable that moves the host's folder, and where below its value that folder is then.
    pub variable: Option<(&'static str, &'static str)>,
    /// The host's folder below the home folder.
    pub in_home: &'static str,
    /// The host's folder below a project.
    pub in_project: &'static str,
    /// The file below either folder.
    pub file: &'static str,
    /// Whose file it is.
    pub whose: Whose,
    /// What we add to it, or all it holds.
    pub snippet: &'static str,
    /// What is left for the person to do.
    pub afterwards: Option<&'static str>,
}

impl Place {
    /// The file for this scope and application.
    ///
    /// # Errors
    /// No home folder, or a variable of the host that does not say where.
    pub fn path(&self, scope: Scope, app: &str, env: &BTreeMap<String, String>) -> Result<PathBuf> {
        let folder = match scope {
            Scope::User => self.user_folder(env)?,
            Scope::Project => {
                std::path::absolute(self.in_project).context("cannot find the current directory")?
            }
        };
        let file = folder.join(self.file);
        Ok(match self.whose {
            Whose::Ours if app != paths::APP_DEFAULT => with_app(&file, app),
            Whose::Ours | Whose::Shared => file,
        })
    }

    fn user_folder(&self, env: &BTreeMap<String, String>) -> Result<PathBuf> {
        let moved = self.variable.and_then(|(variable, below)| {
            let value = os::variable(env, variable).filter(|value| !value.is_empty())?;
            Some((variable, PathBuf::from(value), below))
        });
        match moved {
            None => Ok(paths::home()?.join(self.in_home)),
            Some((_, folder, below)) if folder.is_absolute() => Ok(folder.join(below)),
            // What it means depends on where the host will be started.
            Some((variable, folder, _)) => bail!(
                "cannot tell where {variable} points: {} is not an absolute path",
                folder.display()
            ),
        }
    }
}

impl Host {
    /// What we put there for this application. It never changes between versions but for good
    /// reasons: hosts trust a hash of it, and our own hooks are recognised by their command.
    pub fn snippet(self, app: &str) -> String {
        let mut text = self.place().snippet.to_owned();
        if app != paths::APP_DEFAULT {
            let flag = format!("--host {}", self.name());
            text = text.replace(&flag, &format!("{flag} --app {app}")).replace(
                APP_IN_PLUGIN,
                &APP_IN_PLUGIN.replace(paths::APP_DEFAULT, app),
            );
        }
        if cfg!(windows) {
            // Which shell runs a hook there depends on what is installed; without these two the
            // command is the same in all of them.
            text = text.replace(SHELL_BEFORE, "").replace(SHELL_AFTER, "");
        }
        text
    }
}

/// The line of the plugin that names the application.
const APP_IN_PLUGIN: &str = r#"const app = "atomic""#;

/// What stands before the command in every snippet, as JSON writes it: programs that are started from
/// a desktop do not have the search path of a shell.
const SHELL_BEFORE: &str =
    r#"PATH=\"$PATH:$HOME/.local/bin:$HOME/.cargo/bin:/opt/homebrew/bin:/usr/local/bin\"; "#;

/// What stands behind it: no output, for hosts show it to the model, and success, for hosts stop a
/// prompt otherwise.
const SHELL_AFTER: &str = " >/dev/null 2>&1 || :";

/// The folders that the hooks search beside `PATH`; `~` is the home folder.
pub const FOLDERS_SEARCHED: [&str; 4] = [
    "~/.local/bin",
    "~/.cargo/bin",
    "/opt/homebrew/bin",
    "/usr/local/bin",
];

/// `telemetry-upload.json` becomes `telemetry-upload-<app>.json`.
fn with_app(file: &Path, app: &str) -> PathBuf {
    let part = |part: Option<&std::ffi::OsStr>| {
        part.map(|part| part.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    let (stem, extension) = (part(file.file_stem()), part(file.extension()));
    file.with_file_name(format!("{stem}-{app}.{extension}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn what_we_put_there_listens_to_the_events_that_are_read() {
        for host in Host::ALL {
            let dialect = host.dialect();
            let read = [dialect.start, dialect.command, dialect.end];
            let text = host.place().snippet;
            if host == Host::OpenCode {
                for event in read {
                    assert!(text.contains(&format!("hook_event_name: \"{event}\",")));
                }
                continue;
            }
            let settings: Value = serde_json::from_str(text).unwrap();
            let events = settings["hooks"].as_object().unwrap();
            assert_eq!(events.keys().collect::<Vec<_>>(), read, "{}", host.name());
        }
    }

    #[test]
    fn every_command_stands_between_the_same_shell_words() {
        for host in Host::ALL {
            let text = host.place().snippet;
            let call = format!("telemetry-upload hook --host {}", host.name());
            let wrapped = format!("{SHELL_BEFORE}{call}{SHELL_AFTER}");
            let expected = if host == Host::OpenCode { 0 } else { 3 };
            assert_eq!(text.matches(&wrapped).count(), expected, "{text}");
        }
        for folder in FOLDERS_SEARCHED {
            assert!(SHELL_BEFORE.contains(&folder.replace('~', "$HOME")));
        }
    }

    #[test]
    fn the_plugin_names_its_application_once() {
        let text = Host::OpenCode.place().snippet;
        assert_eq!(text.matches(APP_IN_PLUGIN).count(), 1);
        let other = Host::OpenCode.snippet("mytool");
        assert!(other.contains("const app = \"mytool\""), "{other}");
    }

    #[test]
    fn another_application_has_a_file_and_a_command_of_its_own() {
        let env = BTreeMap::from([("COPILOT_HOME".to_owned(), "/c".to_owned())]);
        let path = |app| Host::Copilot.place().path(Scope::User, app, &env).unwrap();
        assert_eq!(path("atomic"), Path::new("/c/hooks/telemetry-upload.json"));
        assert_eq!(path("b.c"), Path::new("/c/hooks/telemetry-upload-b.c.json"));
        let text = Host::Copilot.snippet("b.c");
        let calls = text.matches("--host copilot").count();
        assert_eq!(text.matches("--host copilot --app b.c ").count(), calls);
    }

    #[test]
    fn a_relative_folder_in_a_variable_is_not_guessed_at() {
        let env = BTreeMap::from([("CODEX_HOME".to_owned(), "codex".to_owned())]);
        let found = Host::Codex.place().path(Scope::User, "atomic", &env);
        assert!(found.unwrap_err().to_string().contains("CODEX_HOME"));
    }
}
