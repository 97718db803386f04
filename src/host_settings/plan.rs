//! What installing and uninstalling hooks would do to a file. It decides; commands/hooks.rs does it.

use super::file::HostFile;
use super::json_text::JsonText;
use super::snippet::{HOOKS, Presence, Snippet};
use super::splice;
use crate::hosts::Host;
use crate::hosts::place::Whose;
use anyhow::{Result, bail};
use serde_json::Value;
use std::path::PathBuf;

/// The hooks of one application in one host.
#[derive(Debug)]
pub struct Planting {
    whose: Whose,
    text: String,
}

/// What is to be done with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// It is as it should be.
    Nothing,
    /// Make it, with this text.
    Make(String),
    /// Replace its text by this one, and keep the old beside it.
    Change(String),
    /// Replace its text by the one it had before us, which this backup kept.
    Restore {
        /// That text.
        text: String,
        /// The backup, which is not needed any more.
        backup: PathBuf,
    },
    /// Remove it: it holds nothing but what we put there.
    Remove,
    /// Remove it, and keep a copy: it is ours, but not as this version writes it.
    RemoveOther,
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
    /// Nobody can say, for this reason.
    Unreadable(String),
}

impl Planting {
    /// The hooks of this application in this host.
    pub fn new(host: Host, app: &str) -> Planting {
        Planting {
            whose: host.place().whose,
            text: host.snippet(app),
        }
    }

    /// The command by which our hooks are known, where each names one.
    pub fn command(&self) -> Option<String> {
        let snippet = Snippet::parse(&self.text).ok()?;
        Some(snippet.command().to_owned())
    }

    /// What puts the hooks there.
    ///
    /// # Errors
    /// Why the file has to stay as it is.
    pub fn install(&self, file: &HostFile) -> Result<Plan> {
        let Some(text) = file.text()? else {
            return Ok(Plan::Make(self.text.clone()));
        };
        match self.whose {
            Whose::Shared => {
                let after = add(text, &Snippet::parse(&self.text)?)?;
                Ok(if after == text {
                    Plan::Nothing
                } else {
                    Plan::Change(after)
                })
            }
            Whose::Ours if text == self.text => Ok(Plan::Nothing),
            Whose::Ours if self.wrote(text) => Ok(Plan::Change(self.text.clone())),
            Whose::Ours => bail!(NOT_OURS),
        }
    }

    /// What takes the hooks out.
    ///
    /// # Errors
    /// Why the file has to stay as it is.
    pub fn uninstall(&self, file: &HostFile) -> Result<Plan> {
        let Some(text) = file.text()? else {
            return Ok(Plan::Nothing);
        };
        match self.whose {
            Whose::Shared => self.take_out(file, text),
            Whose::Ours if text == self.text => Ok(Plan::Remove),
            Whose::Ours if self.wrote(text) => Ok(Plan::RemoveOther),
            Whose::Ours => bail!(NOT_OURS),
        }
    }

    /// How the hooks stand in the file.
    pub fn standing(&self, file: &HostFile) -> Standing {
        self.look(file)
            .unwrap_or_else(|err| Standing::Unreadable(format!("{err:#}")))
    }

    fn look(&self, file: &HostFile) -> Result<Standing> {
        let Some(text) = file.text()? else {
            return Ok(Standing::Absent);
        };
        match self.whose {
            Whose::Shared => {
                let snippet = Snippet::parse(&self.text)?;
                let json = JsonText::parse(body(text))?;
                snippet.check(&json.value)?;
                Ok(match snippet.presence(&json.value) {
                    Presence::Whole => Standing::Installed,
                    Presence::Lacking(events) => Standing::Partly(events),
                    Presence::Nothing => Standing::Absent,
                })
            }
            Whose::Ours if text == self.text => Ok(Standing::Installed),
            Whose::Ours if self.wrote(text) => Ok(Standing::Other),
            Whose::Ours => bail!(NOT_OURS),
        }
    }

    fn take_out(&self, file: &HostFile, text: &str) -> Result<Plan> {
        let snippet = Snippet::parse(&self.text)?;
        let json = JsonText::parse(body(text))?;
        if !json.value.is_object() {
            bail!("it is not a JSON object");
        }
        if snippet.presence(&json.value) == Presence::Nothing {
            return Ok(Plan::Nothing);
        }
        // If installing into the backup gives exactly this file, nobody changed it since, and what was
        // there before is known to the byte.
        for (backup, before) in file.backups() {
            let without_ours = JsonText::parse(body(&before))
                .is_ok_and(|json| snippet.presence(&json.value) == Presence::Nothing);
            if without_ours && add(&before, &snippet).is_ok_and(|after| after == text) {
                return Ok(Plan::Restore {
                    text: before,
                    backup,
                });
            }
        }
        let alone = serde_json::from_str::<Value>(&self.text)?;
        if json.value == alone && !file.is_link() {
            return Ok(Plan::Remove);
        }
        Ok(Plan::Change(
            mark(text).to_owned() + &splice::cut(&json, &snippet)?,
        ))
    }

    /// Whether a version of this program wrote this file of our own: a script begins with our line,
    /// and in a list of hooks all run our command.
    fn wrote(&self, text: &str) -> bool {
        let Ok(snippet) = Snippet::parse(&self.text) else {
            return text.lines().next() == self.text.lines().next();
        };
        JsonText::parse(text).is_ok_and(|json| {
            snippet.presence(&json.value) != Presence::Nothing
                && snippet.removed(&json.value).get(HOOKS).is_none()
        })
    }
}

const NOT_OURS: &str = "it holds something that this program did not write";

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
