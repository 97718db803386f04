//! `telemetry-upload doctor`: what a maintainer would ask for in a bug report.

use crate::cli::{Doctor, Upload};
use crate::doctor::{self, Report, Subject};
use crate::paths::Paths;
use crate::terminal::{self, Tone};
use crate::world;
use anyhow::Result;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Looks at everything, and says it.
///
/// # Errors
/// A bad application name, no home folder: there is nothing to look at.
pub fn run(flags: &Doctor, env: &BTreeMap<String, String>) -> Result<ExitCode> {
    // What a pass would be told.
    let upload = Upload {
        application: flags.application.clone(),
        connection_string: flags.connection_string.clone(),
        ca_file: flags.ca_file.clone(),
        ..Upload::default()
    };
    let application = &flags.application;
    let paths = Paths::find(application.app(), application.data_dir(), env)?;
    let subject = Subject::new(&upload, &paths, env, world::now());
    let mut checks = doctor::local(&subject);
    if flags.online {
        checks.extend(doctor::online(&subject));
    }
    let report = Report::of(checks, env);
    if flags.json {
        terminal::print_json(&report.json());
        return Ok(report.exit().into());
    }
    for line in report.lines() {
        let parts: Vec<(Tone, &str)> = line
            .iter()
            .map(|(tone, text)| (*tone, text.as_str()))
            .collect();
        terminal::print_toned(&parts);
    }
    Ok(report.exit().into())
}
