//! What installing and uninstalling hooks would do to a file. It decides; commands/hooks.rs does it.

use crate::graft::{Graft, HOOKS, Presence};
use crate::hosts::Host;
use crate::hosts::place::Kind;
use crate::json_text::JsonText;
use crate::settings_file::SettingsFile;
use crate::splice;
use anyhow::{Result, bail};
use serde_json::Value;
use std::path::PathBuf;

/// The hooks of one application in one host.
#[derive(Debug)]
pub struct Planting {
    kind: Kind,
    snippet: String,
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
            kind: host.place().kind,
            snippet: host.snippet(app),
        }
    }

    /// The command by which our entries are known, where they are entries.
    pub fn command(&self) -> Option<String> {
        let graft = Graft::parse(&self.snippet).ok()?;
        Some(graft.command().to_owned())
    }

    /// What puts the hooks there.
    ///
    /// # Errors
    /// Why the file has to stay as it is.
    pub fn install(&self, file: &SettingsFile) -> Result<Plan> {
        let Some(text) = file.text()? else {
            return Ok(Plan::Make(self.snippet.clone()));
        };
        match self.kind {
            Kind::Shared => {
                let after = add(text, &Graft::parse(&self.snippet)?)?;
                Ok(if after == text {
                    Plan::Nothing
                } else {
                    Plan::Change(after)
                })
            }
            Kind::Own if text == self.snippet => Ok(Plan::Nothing),
            Kind::Own if self.wrote(text) => Ok(Plan::Change(self.snippet.clone())),
            Kind::Own => bail!(NOT_OURS),
        }
    }

    /// What takes the hooks out.
    ///
    /// # Errors
    /// Why the file has to stay as it is.
    pub fn uninstall(&self, file: &SettingsFile) -> Result<Plan> {
        let Some(text) = file.text()? else {
            return Ok(Plan::Nothing);
        };
        match self.kind {
            Kind::Shared => self.take_out(file, text),
            Kind::Own if text == self.snippet => Ok(Plan::Remove),
            Kind::Own if self.wrote(text) => Ok(Plan::RemoveOther),
            Kind::Own => bail!(NOT_OURS),
        }
    }

    /// How the hooks stand in the file.
    pub fn standing(&self, file: &SettingsFile) -> Standing {
        self.look(file)
            .unwrap_or_else(|err| Standing::Unreadable(format!("{err:#}")))
    }

    fn look(&self, file: &SettingsFile) -> Result<Standing> {
        let Some(text) = file.text()? else {
            return Ok(Standing::Absent);
        };
        match self.kind {
            Kind::Shared => {
                let graft = Graft::parse(&self.snippet)?;
                let json = JsonText::parse(body(text))?;
                graft.check(&json.value)?;
                Ok(match graft.presence(&json.value) {
                    Presence::Whole => Standing::Installed,
                    Presence::Lacking(events) => Standing::Partly(events),
                    Presence::Nothing => Standing::Absent,
                })
            }
            Kind::Own if text == self.snippet => Ok(Standing::Installed),
            Kind::Own if self.wrote(text) => Ok(Standing::Other),
            Kind::Own => bail!(NOT_OURS),
        }
    }

    fn take_out(&self, file: &SettingsFile, text: &str) -> Result<Plan> {
        let graft = Graft::parse(&self.snippet)?;
        let json = JsonText::parse(body(text))?;
        if !json.value.is_object() {
            bail!("it is not a JSON object");
        }
        if graft.presence(&json.value) == Presence::Nothing {
            return Ok(Plan::Nothing);
        }
        // If installing into the backup gives exactly this file, nobody changed it since, and what was
        // there before is known to the byte.
        for (backup, before) in file.backups() {
            let without_ours = JsonText::parse(body(&before))
                .is_ok_and(|json| graft.presence(&json.value) == Presence::Nothing);
            if without_ours && add(&before, &graft).is_ok_and(|after| after == text) {
                return Ok(Plan::Restore {
                    text: before,
                    backup,
                });
            }
        }
        let alone = serde_json::from_str::<Value>(&self.snippet)?;
        if json.value == alone && !file.is_link() {
            return Ok(Plan::Remove);
        }
        Ok(Plan::Change(
            mark(text).to_owned() + &splice::cut(&json, &graft)?,
        ))
    }

    /// Whether a version of this program wrote this file of our own: a script begins with our line,
    /// and in a list of hooks all run our command.
    fn wrote(&self, text: &str) -> bool {
        let Ok(graft) = Graft::parse(&self.snippet) else {
            return text.lines().next() == self.snippet.lines().next();
        };
        JsonText::parse(text).is_ok_and(|json| {
            graft.presence(&json.value) != Presence::Nothing
                && graft.removed(&json.value).get(HOOKS).is_none()
        })
    }
}

const NOT_OURS: &str = "it holds something that this program did not write";

fn add(text: &str, graft: &Graft) -> Result<String> {
    let json = JsonText::parse(body(text))?;
    Ok(mark(text).to_owned() + &splice::add(&json, graft)?)
}

/// The byte order mark, if the file has one.
fn mark(text: &str) -> &str {
    &text[..text.len() - body(text).len()]
}

fn body(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}
