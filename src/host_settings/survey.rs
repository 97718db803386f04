//! Where our hooks stand, over all hosts, and whether they find this program.

use super::{HostFile, Standing, standing};
use crate::hosts::Host;
use crate::hosts::place::{FOLDERS_SEARCHED, Scope};
use crate::{paths, programs, world};
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

type Env = BTreeMap<String, String>;

/// The hooks of one host in one scope.
#[derive(Debug)]
pub struct Found {
    /// Whose settings.
    pub host: Host,
    /// For whom.
    pub scope: Scope,
    path: Option<PathBuf>,
    /// Whether they are there, or why nobody knows.
    pub standing: Result<Standing>,
}

/// Every host's settings in every scope.
pub fn survey(app: &str, env: &Env) -> Vec<Found> {
    let scopes = |host| Scope::ALL.map(|scope| Found::look(host, scope, app, env));
    Host::ALL.into_iter().flat_map(scopes).collect()
}

/// The same, each file once: in the home folder a project's settings are the person's.
pub fn survey_files(app: &str, env: &Env) -> Vec<Found> {
    let mut all = survey(app, env);
    all.dedup_by_key(|found| (found.host, found.path()));
    all
}

impl Found {
    /// Looks at one host's settings in one scope.
    pub fn look(host: Host, scope: Scope, app: &str, env: &Env) -> Found {
        let (path, file) = match host.place().path(scope, app, env) {
            Ok(path) => {
                let file = HostFile::read(&path, world::now());
                (Some(path), file)
            }
            Err(err) => (None, Err(err)),
        };
        Found {
            host,
            scope,
            path,
            standing: file.and_then(|file| standing(host, app, &file)),
        }
    }

    /// How they stand, in a word or two.
    pub fn word(&self) -> &'static str {
        match self.standing {
            Ok(Standing::Installed) => "installed",
            Ok(Standing::Partly(_)) => "partly",
            Ok(Standing::Other) => "other version",
            Ok(Standing::Absent) => "not installed",
            Err(_) => "cannot be read",
        }
    }

    /// The file, for people.
    pub fn path(&self) -> String {
        let path = self.path.as_ref();
        path.map_or_else(|| "-".to_owned(), |path| path.display().to_string())
    }

    /// The same in a line.
    pub fn line(&self) -> String {
        let (host, scope) = (self.host.name(), self.scope.name());
        let line = format!("{host:9} {scope:8} {:15} {}", self.word(), self.path());
        match &self.standing {
            Ok(Standing::Partly(missing)) => format!("{line} (missing: {})", missing.join(", ")),
            Ok(_) => line,
            Err(why) => format!("{line} ({why:#})"),
        }
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let (missing, why) = match &self.standing {
            Ok(Standing::Partly(missing)) => (missing.as_slice(), None),
            Ok(_) => (&[][..], None),
            Err(why) => (&[][..], Some(format!("{why:#}"))),
        };
        json!({
            "host": self.host.name(),
            "scope": self.scope.name(),
            "status": self.word(),
            "missing": missing,
            "why": why,
            "path": self.path(),
        })
    }
}

/// This program where the hooks look for it: they do nothing if it is not there.
pub fn binary(env: &Env) -> Option<PathBuf> {
    let home = paths::home().ok();
    let fixed = FOLDERS_SEARCHED
        .iter()
        .filter_map(|folder| match folder.strip_prefix("~/") {
            Some(below) => Some(home.as_ref()?.join(below)),
            None => Some(PathBuf::from(folder)),
        });
    let name = format!("telemetry-upload{}", std::env::consts::EXE_SUFFIX);
    programs::find(&name, env, fixed)
}
