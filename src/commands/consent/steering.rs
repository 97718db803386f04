//! What the commands about consent have in common: writing the answer, and saying what it means.

use super::{Env, question, says, with};
use crate::anonymous_id;
use crate::answer::{self, Damaged, Fields};
use crate::cli::Application;
use crate::consent::{self, Consent, Rule};
use crate::detach;
use crate::exit::Exit;
use crate::os;
use crate::paths::Paths;
use crate::terminal::{self, Tone};
use crate::waiting;
use crate::wording::events_wait;
use crate::world;
use anyhow::{Context, Error, Result};
use std::fs;
use std::process::ExitCode;

/// What a person who turns it off says about consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Off {
    /// It may be turned on again without asking.
    Disabled,
    /// It was refused, or is taken back.
    Refused,
}

/// One application's telemetry, steered by a person.
pub(super) struct Steering<'a> {
    pub(super) app: &'a str,
    pub(super) paths: Paths,
    pub(super) env: &'a Env,
    /// The flags that name it again.
    pub(super) again: String,
}

impl<'a> Steering<'a> {
    /// The one that the flags name.
    pub(super) fn of(application: &'a Application, env: &'a Env) -> Result<Steering<'a>> {
        let app = application.app();
        Ok(Steering {
            app,
            paths: Paths::find(app, application.data_dir(), env)?,
            env,
            again: application.as_flags(),
        })
    }

    /// What telemetry.json says.
    pub(super) fn fields(&self) -> Result<Option<Fields>> {
        let path = self.paths.consent();
        answer::fields(&consent::read(&path))
            .with_context(|| format!("cannot change {}", path.display()))
    }

    /// Asks the person, if one is there.
    pub(super) fn ask_or(&self, complaint: &str) -> ExitCode {
        if !terminal::is_person_there() {
            terminal::complain(complaint);
            return Exit::Usage.into();
        }
        match question::ask(self) {
            Some(true) => self.agree(),
            Some(false) => self.turn_off(Off::Refused),
            None => {
                terminal::print("No answer: nothing was changed, and telemetry stays off.");
                Exit::Done.into()
            }
        }
    }

    /// Writes a yes.
    pub(super) fn agree(&self) -> ExitCode {
        let now = world::now();
        let edit = |fields: Option<Fields>| {
            let said = [("enabled", true), ("consentGiven", true)];
            let fields = with(fields.unwrap_or_default(), &said);
            Some(anonymous_id::renewed(fields.clone(), now).unwrap_or(fields))
        };
        if let Err(err) = answer::change(&self.paths, edit) {
            return self.give_up(&err);
        }
        let app = self.app;
        self.say_on(&format!(
            "You agreed: the telemetry of {app} is on from now on."
        ));
        Exit::Done.into()
    }

    /// Says that it is on, or what turns it off all the same, and what becomes of what waits.
    pub(super) fn say_on(&self, words: &str) {
        terminal::print_toned(&[(Tone::Good, words)]);
        let again = &self.again;
        match self.ask_rules() {
            Consent::Denied(rule) => {
                let words = format!("But here it is off all the same: {rule}.");
                terminal::print_toned(&[(Tone::Warning, &words)]);
            }
            Consent::Allowed => match waiting::events(&self.paths) {
                0 => {}
                1 => terminal::print(&format!(
                    "1 event waits and goes with the next pass. To delete it instead: telemetry-upload purge{again}"
                )),
                events => terminal::print(&format!(
                    "{} and go with the next pass. To delete them instead: telemetry-upload purge{again}",
                    events_wait(events)
                )),
            },
        }
        terminal::print(&format!("To turn it off: telemetry-upload disable{again}"));
    }

    /// Writes a no.
    pub(super) fn turn_off(&self, off: Off) -> ExitCode {
        let path = self.paths.consent();
        let before = consent::read(&path);
        let was_on = consent::decide(&Env::new(), self.app, &before) == Consent::Allowed;
        let is_known = fs::symlink_metadata(self.paths.data()).is_ok();
        let damaged = match answer::refuse(&self.paths, |fields| Some(refused(fields, off))) {
            Ok(damaged) => damaged,
            Err(err) => return self.give_up(&err),
        };
        let (app, again) = (self.app, &self.again);
        let words = if was_on {
            format!("The telemetry of {app} is off: nothing is sent from now on.")
        } else if consent::read(&path) == before {
            format!("The telemetry of {app} is off already: nothing is sent.")
        } else {
            format!("Your no is written down. The telemetry of {app} stays off: nothing is sent.")
        };
        terminal::print_toned(&[(Tone::Good, &words)]);
        if let Some(Damaged { why, now }) = damaged {
            terminal::print(&format!(
                "telemetry.json could not be read: {why}. It was set aside as {}.",
                now.display()
            ));
        }
        if !is_known {
            terminal::print(&format!(
                "Nothing was known of {app} so far. Should a tool of this name come, it finds your no."
            ));
        }
        if detach::is_uploader_busy(&self.paths) {
            terminal::print(
                "A pass is at work. A request that is on its way may still arrive, and no other follows.",
            );
            terminal::print(&format!(
                "What it leaves stays on this machine, unsent. To delete it: telemetry-upload purge{again}"
            ));
        } else {
            self.say_what_stays();
        }
        let has_agreed = self
            .fields()
            .is_ok_and(|fields| says(fields.as_ref(), "consentGiven"));
        let command = if has_agreed { "enable" } else { "consent" };
        terminal::print(&format!("To turn it on: telemetry-upload {command}{again}"));
        Exit::Done.into()
    }

    fn say_what_stays(&self) {
        let again = &self.again;
        match waiting::events(&self.paths) {
            0 => {}
            1 => terminal::print(&format!(
                "1 event waits on this machine and stays there, unsent. To delete it: telemetry-upload purge{again}"
            )),
            events => terminal::print(&format!(
                "{} on this machine and stay there, unsent. To delete them: telemetry-upload purge{again}",
                events_wait(events)
            )),
        }
    }

    /// It could not be read or written; whether that means off is another question.
    pub(super) fn give_up(&self, err: &Error) -> ExitCode {
        const ANEW: &str = "set that right and run this again";
        if os::is_anothers(self.paths.data()) {
            terminal::complain(&format!(
                "{err:#}; it is as it was; this is another user's telemetry: run this as that user"
            ));
            return Exit::Failed.into();
        }
        let (app, again) = (self.app, &self.again);
        let (state, next) = match self.ask_rules() {
            Consent::Allowed => (
                "still ON".to_owned(),
                "to turn it off now, set DO_NOT_TRACK=1".to_owned(),
            ),
            Consent::Denied(Rule::ConsentUnreadable(_) | Rule::ConsentRefused(_)) => (
                "off because of that".to_owned(),
                format!("mend the file, or move it away and run telemetry-upload consent{again}"),
            ),
            Consent::Denied(rule) => (format!("off: {rule}"), ANEW.to_owned()),
        };
        terminal::complain(&format!(
            "{err:#}; it is as it was, and the telemetry of {app} is {state}; {next}"
        ));
        Exit::Failed.into()
    }

    fn ask_rules(&self) -> Consent {
        consent::ask(self.env, self.app, &self.paths.consent())
    }
}

fn refused(fields: Option<Fields>, off: Off) -> Fields {
    let is_new = fields.is_none();
    let fields = with(fields.unwrap_or_default(), &[("enabled", false)]);
    // Hosts look for both before they ask.
    if off == Off::Refused || is_new {
        with(fields, &[("consentGiven", false)])
    } else {
        fields
    }
}
