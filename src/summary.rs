//! What a pass did: counts per fate, as one line for people, one JSON object, and an exit code.

use crate::batch::Judged;
use crate::event::DropReason;
use crate::exit::Exit;
use crate::fate::Fate;
use crate::wording::{counted, grouped, minute, words};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Field names that are told apart; a producer that invents more is counted under [`OTHER_FIELDS`].
const FIELD_NAMES_MAX: usize = 32;

const OTHER_FIELDS: &str = "(others)";

/// How a pass ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// Everything it read has a fate.
    #[default]
    Done,
    /// There was nothing to do.
    Nothing,
    /// Telemetry is off, by this rule.
    Off(String),
    /// Another uploader is at work.
    Busy,
    /// Events remain, for this reason; the next pass will try.
    Later(String),
    /// Events remain, and only a change of configuration will help.
    Misconfigured(String),
}

/// The account of one pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Lines that were read.
    pub seen: u64,
    /// Events the server accepted; in a dry run, those that would be sent.
    pub delivered: u64,
    /// Lines that stay in the buffers.
    pub kept: u64,
    /// The same of each buffer that was read.
    pub kept_in: BTreeMap<String, u64>,
    /// Lines that left the buffer undelivered, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Fields that were left out, by name.
    pub fields_refused: BTreeMap<String, u64>,
    /// Requests posted; in a dry run, those that would be.
    pub requests: u64,
    /// Buffers that were truncated although someone held them open.
    pub truncated_without_lease: u64,
    /// The pause that the server had asked for, if a person went ahead of it.
    pub pause_overridden: Option<DateTime<Utc>>,
    /// How it ended.
    pub ending: Ending,
    /// Why events stay that the pass went past, in words.
    pub kept_because: Option<String>,
    /// What could not be done, one sentence each.
    pub problems: Vec<String>,
    /// Whether the pass before it went well, or had another trouble.
    pub is_news: bool,
}

/// Whether something was sent or would have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tense {
    /// It was.
    Done,
    /// It would have been.
    DryRun,
}

impl Summary {
    /// A pass that ended before it began.
    pub fn ended(ending: Ending) -> Summary {
        Summary {
            ending,
            ..Summary::default()
        }
    }

    /// Counts what became of each line of a batch; those the cursor did not pass are kept.
    pub fn account(&mut self, buffer: &str, lines: &[Judged], fates: &[Fate], passed: usize) {
        let mut kept = 0;
        for (index, (line, fate)) in lines.iter().zip(fates).enumerate() {
            match (fate, fate.drop_reason()) {
                _ if index >= passed => kept += 1,
                (_, Some(reason)) => self.drop_line(reason),
                (Fate::Delivered, None) => {
                    self.delivered += 1;
                    self.refuse_fields(&line.fields_refused);
                }
                (_, None) => kept += 1,
            }
        }
        self.seen += lines.len() as u64 - kept;
        self.keep_unread(buffer, kept);
    }

    /// Takes what was done, or notes why it could not be.
    pub fn noting<T>(&mut self, done: anyhow::Result<T>) -> Option<T> {
        done.map_err(|err| self.problems.push(format!("{err:#}")))
            .ok()
    }

    /// Why lines stay although the pass went on; nothing if none does, or the ending says it.
    fn reason_kept(&self) -> Option<&str> {
        let is_done = self.ending == Ending::Done && self.kept > 0;
        self.kept_because.as_deref().filter(|_| is_done)
    }

    /// Counts a dropped line under its reason.
    fn drop_line(&mut self, reason: DropReason) {
        *self.dropped.entry(reason.key()).or_default() += 1;
    }

    /// Counts fields that were left out of an event.
    fn refuse_fields(&mut self, names: &[String]) {
        for name in names {
            let full = self.fields_refused.len() >= FIELD_NAMES_MAX
                && !self.fields_refused.contains_key(name);
            let name = if full { OTHER_FIELDS } else { name };
            *self.fields_refused.entry(name.to_owned()).or_default() += 1;
        }
    }

    /// Counts lines that stay in a buffer, those that were not even read because the pass had to stop included.
    pub fn keep_unread(&mut self, buffer: &str, lines: u64) {
        self.seen += lines;
        self.kept += lines;
        *self.kept_in.entry(buffer.to_owned()).or_default() += lines;
    }

    /// A buffer was opened, and all that it kept so far is read again.
    pub fn reads_again(&mut self, buffer: &str) {
        let kept = self.kept_in.insert(buffer.to_owned(), 0).unwrap_or(0);
        self.seen -= kept;
        self.kept -= kept;
    }

    /// Adds the account of a further round, which has read again what this one kept in the buffers that it
    /// could open. In the others it still stays.
    pub fn add(&mut self, later: Summary) {
        for (buffer, kept) in later.kept_in {
            self.reads_again(&buffer);
            self.keep_unread(&buffer, kept);
        }
        self.seen += later.seen - later.kept;
        self.delivered += later.delivered;
        self.requests += later.requests;
        self.truncated_without_lease += later.truncated_without_lease;
        for (reason, count) in later.dropped {
            *self.dropped.entry(reason).or_default() += count;
        }
        for (name, count) in later.fields_refused {
            *self.fields_refused.entry(name).or_default() += count;
        }
        self.ending = later.ending;
        self.kept_because = later.kept_because.or(self.kept_because.take());
        for problem in later.problems {
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
    }

    /// seen = delivered + dropped + kept.
    pub fn law_holds(&self) -> bool {
        self.seen == self.delivered + self.dropped.values().sum::<u64>() + self.kept
    }

    /// The one place that decides how a pass ends.
    pub fn exit(&self) -> Exit {
        match (&self.ending, self.problems.is_empty()) {
            (Ending::Misconfigured(_), _) => Exit::Misconfigured,
            (_, false) => Exit::Failed,
            (Ending::Later(_), true) => Exit::Later,
            (Ending::Done, true) if self.kept > 0 => Exit::Later,
            (Ending::Done | Ending::Nothing | Ending::Off(_) | Ending::Busy, true) => Exit::Done,
        }
    }

    /// Its number.
    pub fn exit_code(&self) -> u8 {
        self.exit().code()
    }

    /// A pass that could not go on at all.
    pub fn failed(problem: String) -> Summary {
        Summary {
            ending: Ending::Nothing,
            problems: vec![problem],
            ..Summary::default()
        }
    }

    /// One line for people about what was done; none if nothing could be.
    pub fn line(&self, tense: Tense) -> Option<String> {
        match &self.ending {
            Ending::Off(rule) if self.seen == 0 => {
                Some(format!("telemetry is off: {rule}; nothing was sent"))
            }
            Ending::Busy => Some("another uploader is at work; nothing to do here".to_owned()),
            Ending::Nothing => self
                .problems
                .is_empty()
                .then(|| "nothing to send".to_owned()),
            Ending::Misconfigured(_) if self.seen == 0 => None,
            Ending::Done if self.seen == 0 && !self.problems.is_empty() => None,
            _ => Some(self.tell(tense)),
        }
    }

    /// What went wrong, without the counts.
    pub fn trouble(&self) -> Option<&str> {
        match &self.ending {
            Ending::Later(why) | Ending::Misconfigured(why) => Some(why),
            _ => (self.problems.first().map(String::as_str)).or_else(|| self.reason_kept()),
        }
    }

    /// What could not be done, a sentence each.
    pub fn complaints(&self) -> impl Iterator<Item = &str> {
        let unstarted = match &self.ending {
            Ending::Misconfigured(why) if self.seen == 0 => Some(why.as_str()),
            _ => None,
        };
        unstarted
            .into_iter()
            .chain(self.problems.iter().map(String::as_str))
    }

    /// Everything there is to say, in one line, for the log.
    pub fn text(&self) -> String {
        let mut parts: Vec<String> = self.line(Tense::Done).into_iter().collect();
        parts.extend(self.complaints().map(str::to_owned));
        parts.join("; ")
    }

    fn tell(&self, tense: Tense) -> String {
        let sent = match tense {
            Tense::Done => "sent",
            Tense::DryRun => "would send",
        };
        let mut line = format!("{sent} {}", counted(self.delivered, "event"));
        if self.requests > 1 {
            let _ = write!(line, " in {} requests", grouped(self.requests));
        }
        let reasons: Vec<String> = self
            .dropped
            .iter()
            .map(|(key, count)| format!("{} {}", grouped(*count), words(key)))
            .collect();
        if !reasons.is_empty() {
            let _ = write!(line, ", dropped {}", reasons.join(" and "));
        }
        if self.kept > 0 {
            let _ = write!(line, ", kept {} for the next pass", grouped(self.kept));
        }
        if let Ending::Later(why) | Ending::Misconfigured(why) | Ending::Off(why) = &self.ending {
            let _ = write!(line, ": {why}");
        }
        if let Some(why) = self.reason_kept() {
            let _ = write!(line, ": {why}");
        }
        if let Some(until) = &self.pause_overridden {
            let _ = write!(line, "; did not wait until {}", minute(until));
        }
        if !self.fields_refused.is_empty() {
            let names: Vec<String> = self
                .fields_refused
                .iter()
                .map(|(name, count)| format!("{name} ({count})"))
                .collect();
            let _ = write!(line, "; left out: {}", names.join(", "));
        }
        line
    }

    /// The same for programs.
    pub fn json(&self, tense: Tense) -> Value {
        let (ending, reason) = match &self.ending {
            Ending::Done | Ending::Nothing if !self.problems.is_empty() => ("failed", None),
            Ending::Done => ("done", self.reason_kept()),
            Ending::Nothing => ("nothing", None),
            Ending::Off(rule) => ("off", Some(rule.as_str())),
            Ending::Busy => ("busy", None),
            Ending::Later(why) => ("later", Some(why.as_str())),
            Ending::Misconfigured(why) => ("misconfigured", Some(why.as_str())),
        };
        json!({
            "dryRun": tense == Tense::DryRun,
            "seen": self.seen,
            "delivered": self.delivered,
            "dropped": self.dropped,
            "kept": self.kept,
            "requests": self.requests,
            "fieldsRefused": self.fields_refused,
            "pauseOverridden": self.pause_overridden,
            "truncatedWithoutLease": self.truncated_without_lease,
            "ending": ending,
            "reason": reason,
            "problems": self.problems,
            "exit": self.exit_code(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        Summary {
            seen: 1284,
            delivered: 1271,
            requests: 13,
            ..Summary::default()
        }
    }

    #[test]
    fn the_line_tells_every_fate() {
        let mut all = summary();
        for _ in 0..8 {
            all.drop_line(DropReason::TooOld);
        }
        all.drop_line(DropReason::Malformed("not JSON"));
        all.kept = 4;
        all.refuse_fields(&["prompt".to_owned(), "prompt".to_owned(), "cwd".to_owned()]);
        all.ending = Ending::Later("the server answered 503".to_owned());
        assert_eq!(
            all.line(Tense::Done).unwrap(),
            "sent 1,271 events in 13 requests, dropped 1 malformed and 8 too old, kept 4 for the next pass: the server answered 503; left out: cwd (1), prompt (2)"
        );
        assert!(all.law_holds());
    }

    #[test]
    fn one_event_is_singular() {
        let one = Summary {
            seen: 1,
            delivered: 1,
            requests: 1,
            ..Summary::default()
        };
        assert_eq!(one.line(Tense::Done).unwrap(), "sent 1 event");
        assert_eq!(one.line(Tense::DryRun).unwrap(), "would send 1 event");
    }

    #[test]
    fn each_ending_has_its_exit_code() {
        let check = |ending: Ending, kept: u64, problems: usize, expected: u8| {
            let problems = vec!["cannot".to_owned(); problems];
            let summary = Summary {
                kept,
                ending,
                problems,
                ..Summary::default()
            };
            assert_eq!(summary.exit_code(), expected, "{summary:?}");
        };
        check(Ending::Done, 0, 0, 0);
        check(Ending::Nothing, 0, 0, 0);
        check(Ending::Off(String::new()), 0, 0, 0);
        check(Ending::Busy, 0, 0, 0);
        check(Ending::Done, 0, 1, 1);
        check(Ending::Nothing, 0, 1, 1);
        check(Ending::Later(String::new()), 3, 1, 1);
        check(Ending::Done, 3, 0, 75);
        check(Ending::Later(String::new()), 0, 0, 75);
        check(Ending::Misconfigured(String::new()), 3, 1, 78);
    }

    #[test]
    fn what_a_round_kept_is_counted_once_if_a_later_one_can_read_it_or_not() {
        let round = |kept: &[(&str, u64)], delivered: u64| {
            let mut round = Summary {
                seen: delivered,
                delivered,
                ..Summary::default()
            };
            for (buffer, lines) in kept {
                round.reads_again(buffer);
                round.keep_unread(buffer, *lines);
            }
            round
        };
        let check = |later: Summary, seen: u64, delivered: u64, kept: u64| {
            let mut all = round(&[("a", 5), ("b", 3)], 2);
            all.add(later);
            assert_eq!((all.seen, all.delivered, all.kept), (seen, delivered, kept));
            assert!(all.law_holds());
        };
        // Both are read again, and one has a new line; or all lines of one are delivered at last.
        check(round(&[("a", 6), ("b", 3)], 0), 11, 2, 9);
        check(round(&[("a", 0), ("b", 3)], 5), 10, 7, 3);
        // Only one could be opened; none; or another one.
        check(round(&[("b", 3)], 1), 11, 3, 8);
        check(round(&[], 0), 10, 2, 8);
        check(round(&[("c", 4)], 0), 14, 2, 12);
    }

    #[test]
    fn what_was_kept_of_a_buffer_that_is_opened_anew_is_counted_once() {
        let mut round = Summary::default();
        round.reads_again("a");
        round.keep_unread("a", 5);
        round.reads_again("a");
        round.keep_unread("a", 2);
        assert_eq!((round.seen, round.kept), (2, 2));
    }

    #[test]
    fn a_producer_that_invents_field_names_does_not_fill_the_summary() {
        let mut summary = summary();
        let names: Vec<String> = (0..1000).map(|n| format!("field{n}")).collect();
        summary.refuse_fields(&names);
        assert_eq!(summary.fields_refused.len(), FIELD_NAMES_MAX + 1);
        assert_eq!(
            summary.fields_refused[OTHER_FIELDS],
            1000 - FIELD_NAMES_MAX as u64
        );
    }
}
