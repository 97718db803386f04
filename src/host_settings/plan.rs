//! What installing and uninstalling would do to a file, and how the hooks stand in it.

use super::file::{Backup, HostFile, Keep};
use super::json_text::JsonText;
use super::snippet::{HOOKS, Snippet};
use super::splice;
use crate::hosts::Host;
use crate::hosts::place::Whose;
use anyhow::{Result, bail};
use serde_json::Value;
use std::path::PathBuf;

/// What is to be done with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// It is as it should be.
    Nothing,
    /// Write this text, and keep what was there before beside it.
    Write(String),
    /// Write the text that it had before us.
    Restore(Backup),
    /// Remove it: it is ours alone.
    Remove(Keep),
}

/// How the hooks stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// They are there.
    Installed,
    /// They are missing for these events.
    Partly(Vec<String>),
    /// They are there as another version wrote them.
    Other,
    /// They are not there.
    Absent,
}

/// What puts the hooks of this application there.
///
/// # Errors
/// Why the file has to stay as it is.
pub fn install(host: Host, app: &str, file: &HostFile) -> Result<Plan> {
    let ours = host.snippet(app);
    let Some(text) = file.text()? else {
        return Ok(Plan::Write(ours));
    };
    let after = match host.place().whose {
        Whose::Shared => add(text, &Snippet::parse(&ours)?)?,
        Whose::Ours => {
            check_ours(text, &ours)?;
            ours
        }
    };
    Ok(if after == text {
        Plan::Nothing
    } else {
        Plan::Write(after)
    })
}

/// What takes them out.
///
/// # Errors
/// Why the file has to stay as it is.
pub fn uninstall(host: Host, app: &str, file: &HostFile) -> Result<Plan> {
    let ours = host.snippet(app);
    let Some(text) = file.text()? else {
        return Ok(Plan::Nothing);
    };
    match host.place().whose {
        Whose::Shared => take_out(file, text, &ours),
        Whose::Ours => {
            check_ours(text, &ours)?;
            Ok(Plan::Remove(if text == ours {
                Keep::Nothing
            } else {
                Keep::Backup
            }))
        }
    }
}

/// How they stand in the file.
///
/// # Errors
/// Why nobody can say.
pub fn standing(host: Host, app: &str, file: &HostFile) -> Result<Standing> {
    let ours = host.snippet(app);
    let Some(text) = file.text()? else {
        return Ok(Standing::Absent);
    };
    match host.place().whose {
        Whose::Shared => {
            let snippet = Snippet::parse(&ours)?;
            let json = JsonText::parse(body(text))?;
            snippet.check(&json.value)?;
            Ok(snippet.standing(&json.value))
        }
        Whose::Ours => {
            check_ours(text, &ours)?;
            Ok(if text == ours {
                Standing::Installed
            } else {
                Standing::Other
            })
        }
    }
}

/// The command by which our hooks are known, where they have one.
pub fn command(host: Host, app: &str) -> Option<String> {
    Some(Snippet::parse(&host.snippet(app)).ok()?.command)
}

/// Does it, and says where the backup is, if there is one.
///
/// # Errors
/// What could not be done.
pub fn carry_out(plan: &Plan, file: &HostFile) -> Result<Option<PathBuf>> {
    match plan {
        Plan::Nothing => Ok(None),
        Plan::Write(text) => file.replace(text, Keep::Backup),
        Plan::Restore(backup) => file.restore(backup),
        Plan::Remove(keep) => file.remove(*keep),
    }
}

fn take_out(file: &HostFile, text: &str, ours: &str) -> Result<Plan> {
    let snippet = Snippet::parse(ours)?;
    let json = JsonText::parse(body(text))?;
    if !json.value.is_object() {
        bail!("it is not a JSON object");
    }
    if !snippet.is_anywhere(&json.value) {
        return Ok(Plan::Nothing);
    }
    // If installing into the backup gives exactly this file, nobody changed it since, and what was
    // there before is known to the byte.
    for backup in file.backups() {
        let without_ours =
            JsonText::parse(body(&backup.text)).is_ok_and(|json| !snippet.is_anywhere(&json.value));
        if without_ours && add(&backup.text, &snippet).is_ok_and(|after| after == text) {
            return Ok(Plan::Restore(backup));
        }
    }
    if json.value == serde_json::from_str::<Value>(ours)? && !file.is_link() {
        return Ok(Plan::Remove(Keep::Nothing));
    }
    let left = splice::cut(&json, &snippet)?;
    Ok(Plan::Write(mark(text).to_owned() + &left))
}

/// Refuses a file that no version of this program wrote: a script of ours begins with our line, and
/// in a list of hooks all run our command.
fn check_ours(text: &str, ours: &str) -> Result<()> {
    let is_ours = match Snippet::parse(ours) {
        Ok(snippet) => JsonText::parse(text).is_ok_and(|json| {
            snippet.is_anywhere(&json.value) && snippet.removed(&json.value).get(HOOKS).is_none()
        }),
        Err(_) => text.lines().next() == ours.lines().next(),
    };
    if !is_ours {
        bail!("it holds something that this program did not write");
    }
    Ok(())
}

fn add(text: &str, snippet: &Snippet) -> Result<String> {
    let json = JsonText::parse(body(text))?;
    Ok(mark(text).to_owned() + &splice::add(&json, snippet)?)
}

/// The byte order mark, if the file has one.
fn mark(text: &str) -> &str {
    &text[..text.len() - body(text).len()]
}

fn body(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}
