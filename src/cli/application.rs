//! The flags that say which application, and how they are written again for a next step.

use crate::paths::{self, APP_DEFAULT};
use crate::wording::shell;
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use std::path::{Path, PathBuf};

/// Whose events, and where they are.
#[derive(Args, Clone, Debug, Default)]
pub struct Application {
    /// Whose events.
    #[command(flatten)]
    pub app: App,
    /// The folder of the buffers [default: TELEMETRY_UPLOAD_DATA_DIR, or the application's own]
    #[arg(
        long,
        value_name = "DIR",
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    data_dir: Option<PathBuf>,
}

impl Application {
    /// The application.
    pub fn app(&self) -> &str {
        self.app.name()
    }

    /// The flags that say the same to another command; a next step is to be copied as it stands.
    pub fn as_flags(&self) -> String {
        let dir = self.data_dir().map_or_else(String::new, |dir| {
            let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
            format!(" --data-dir {}", shell(&dir.display().to_string()))
        });
        self.app.as_flag() + &dir
    }

    /// The data folder given by hand; an empty one is none.
    pub fn data_dir(&self) -> Option<&Path> {
        self.data_dir
            .as_deref()
            .filter(|dir| !dir.as_os_str().is_empty())
    }
}

/// An application.
#[derive(Args, Clone, Debug, Default)]
pub struct App {
    /// The application whose events these are [default: atomic]
    #[arg(long, value_name = "NAME", env = "TELEMETRY_UPLOAD_APP", value_parser = app_name_or_none)]
    app: Option<String>,
}

impl App {
    /// The flag that says the same to another command, with a blank before it.
    pub fn as_flag(&self) -> String {
        match self.name() {
            APP_DEFAULT => String::new(),
            app => format!(" --app {app}"),
        }
    }

    /// Its name, which an empty variable does not change.
    pub fn name(&self) -> &str {
        self.app
            .as_deref()
            .filter(|app| !app.is_empty())
            .unwrap_or(APP_DEFAULT)
    }
}

/// An empty variable is an unset one.
fn app_name_or_none(app: &str) -> anyhow::Result<String> {
    if app.is_empty() {
        Ok(String::new())
    } else {
        paths::app_name(app)
    }
}
