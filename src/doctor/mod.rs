//! What a maintainer would ask for in a bug report: each check says how it stands in one line, and what
//! to do if that is not well. `setting` is about what was decided, `folder` about files, `disk`
//! about what their file system can do, `work` about what is at work, `online` about the way to the endpoint.
//!
//! The report is made to be shown to others: it holds no connection string but its host, nothing of an
//! event, and no name of the person. Nothing is made that was not there before.

mod disk;
mod folder;
mod hidden;
mod online;
mod setting;
mod work;

pub use online::checks as online;

use crate::cli::Upload;
use crate::consent::{self, Consent};
use crate::exit::Exit;
use crate::paths::Paths;
use crate::settings::{Limits, Settings};
use crate::terminal::Tone;
use crate::wording::counted;
use anyhow::Error;
use chrono::{DateTime, Utc};
use hidden::Hidden;
use serde_json::{Value, json};
use std::collections::BTreeMap;

type Env = BTreeMap<String, String>;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Worth a look.
    Warning,
    /// To be mended.
    Problem,
    /// To be mended, and only a change of configuration will help.
    Misconfigured,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Warning => "warning",
            Outcome::Problem | Outcome::Misconfigured => "problem",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Outcome::Ok => Tone::Good,
            Outcome::Warning => Tone::Warning,
            Outcome::Problem | Outcome::Misconfigured => Tone::Problem,
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// How it stands.
    pub outcome: Outcome,
    /// The same in a line of words.
    pub words: String,
    /// What to do; none where it is as it should be.
    pub advice: Option<String>,
}

impl Check {
    fn ok(name: &'static str, words: impl Into<String>) -> Check {
        Check {
            name,
            outcome: Outcome::Ok,
            words: words.into(),
            advice: None,
        }
    }

    fn not_ok(
        outcome: Outcome,
        name: &'static str,
        words: impl Into<String>,
        advice: impl Into<String>,
    ) -> Check {
        Check {
            name,
            outcome,
            words: words.into(),
            advice: Some(advice.into()),
        }
    }

    fn warning(name: &'static str, words: impl Into<String>, advice: impl Into<String>) -> Check {
        Check::not_ok(Outcome::Warning, name, words, advice)
    }

    fn problem(name: &'static str, words: impl Into<String>, advice: impl Into<String>) -> Check {
        Check::not_ok(Outcome::Problem, name, words, advice)
    }

    fn misconfigured(
        name: &'static str,
        words: impl Into<String>,
        advice: impl Into<String>,
    ) -> Check {
        Check::not_ok(Outcome::Misconfigured, name, words, advice)
    }
}

/// What is looked at.
#[derive(Debug)]
pub struct Subject<'a> {
    app: &'a str,
    paths: &'a Paths,
    env: &'a Env,
    flags: &'a Upload,
    now: DateTime<Utc>,
    consent: Consent,
    settings: Result<Settings, Error>,
}

impl<'a> Subject<'a> {
    /// Reads the settings and the consent, once for all checks.
    pub fn new(
        flags: &'a Upload,
        paths: &'a Paths,
        env: &'a Env,
        now: DateTime<Utc>,
    ) -> Subject<'a> {
        let app = flags.application.app();
        Subject {
            app,
            paths,
            env,
            flags,
            now,
            consent: consent::ask(env, app, &paths.consent()),
            settings: Settings::resolve(flags, app, paths, env),
        }
    }

    /// A command for the same application, to be copied.
    fn command(&self, words: &str) -> String {
        let flags = self.flags.application.as_flags();
        format!("`telemetry-upload {words}{flags}`")
    }

    /// The same of one that knows no data folder.
    fn command_of_app(&self, words: &str) -> String {
        let flag = self.flags.application.app.as_flag();
        format!("`telemetry-upload {words}{flag}`")
    }

    fn limits(&self) -> Limits {
        Limits::configured(self.paths)
    }
}

/// Everything that can be told without the network.
pub fn local(subject: &Subject) -> Vec<Check> {
    let mut checks = vec![work::version(), work::program(subject)];
    checks.extend(setting::checks(subject));
    checks.extend(folder::checks(subject));
    checks.extend(disk::checks(subject));
    checks.extend(work::checks(subject));
    checks
}

/// All checks, fit to be shown to others.
#[derive(Debug)]
pub struct Report {
    checks: Vec<Check>,
}

impl Report {
    /// Hides from the words what names the person.
    pub fn of(mut checks: Vec<Check>, env: &Env) -> Report {
        let hidden = Hidden::of(env);
        for check in &mut checks {
            check.words = hidden.take_out(&check.words);
            check.advice = check.advice.as_deref().map(|text| hidden.take_out(text));
        }
        Report { checks }
    }

    fn count(&self, is: impl Fn(Outcome) -> bool) -> usize {
        let outcomes = self.checks.iter().map(|check| check.outcome);
        outcomes.filter(|outcome| is(*outcome)).count()
    }

    fn problems(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Problem | Outcome::Misconfigured))
    }

    fn warnings(&self) -> usize {
        self.count(|outcome| outcome == Outcome::Warning)
    }

    /// A warning is no failure.
    pub fn exit(&self) -> Exit {
        let misconfigured = self.count(|outcome| outcome == Outcome::Misconfigured);
        match self.problems() {
            0 => Exit::Done,
            problems if problems == misconfigured => Exit::Misconfigured,
            _ => Exit::Failed,
        }
    }

    /// For people: a line a check, a line what to do, and a verdict at the end.
    pub fn lines(&self) -> Vec<Vec<(Tone, String)>> {
        let mut lines = Vec::new();
        for check in &self.checks {
            let outcome = check.outcome;
            // A tone of its own for each part, so that blanks are not coloured.
            lines.push(vec![
                (outcome.tone(), outcome.word().to_owned()),
                (Tone::Plain, " ".repeat(9 - outcome.word().len())),
                (Tone::Heading, check.name.to_owned()),
                (Tone::Plain, format!(": {}", check.words)),
            ]);
            if let Some(advice) = &check.advice {
                lines.push(vec![(Tone::Plain, format!("         {advice}"))]);
            }
        }
        lines.push(vec![self.verdict()]);
        lines
    }

    fn verdict(&self) -> (Tone, String) {
        let counted = |count: usize, noun| counted(count as u64, noun);
        match (self.problems(), self.warnings()) {
            (0, 0) => (Tone::Good, "all is well".to_owned()),
            (0, warnings) => {
                let words = format!("no problems, {}", counted(warnings, "warning"));
                (Tone::Warning, words)
            }
            (problems, warnings) => {
                let problems = counted(problems, "problem");
                let words = format!("{problems}, {}", counted(warnings, "warning"));
                (Tone::Problem, words)
            }
        }
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let check = |check: &Check| {
            json!({
                "name": check.name,
                "result": check.outcome.word(),
                "words": check.words,
                "advice": check.advice,
            })
        };
        let checks: Vec<Value> = self.checks.iter().map(check).collect();
        json!({
            "checks": checks,
            "problems": self.problems(),
            "warnings": self.warnings(),
            "exit": self.exit().code(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome::{Misconfigured, Ok, Problem, Warning};
    use super::*;

    #[test]
    fn only_problems_fail_and_those_of_configuration_alone_say_so() {
        let check = |outcomes: &[Outcome], expected: Exit, verdict: &str| {
            let one = |outcome: &Outcome| Check::not_ok(*outcome, "x", "", "");
            let checks = outcomes.iter().map(one).collect();
            let report = Report { checks };
            assert_eq!(report.exit(), expected, "{outcomes:?}");
            assert_eq!(report.verdict().1, verdict);
        };
        check(&[Ok], Exit::Done, "all is well");
        check(&[Ok, Warning], Exit::Done, "no problems, 1 warning");
        check(&[Problem, Warning], Exit::Failed, "1 problem, 1 warning");
        check(
            &[Misconfigured],
            Exit::Misconfigured,
            "1 problem, 0 warnings",
        );
        check(
            &[Misconfigured, Problem],
            Exit::Failed,
            "2 problems, 0 warnings",
        );
    }
}
