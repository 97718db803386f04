//! Why the sending stopped before the end of a buffer, and how far that reaches.

use crate::consent::Rule;
use crate::state::NotBefore;
use crate::summary::Ending;
use crate::verdict::{Cure, Trouble};
use chrono::{DateTime, Utc};

/// Why the sending stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The server, or the way to it; with the time before which it does not want to be asked again.
    Trouble(Trouble, Option<DateTime<Utc>>),
    /// The pass has used up its time.
    Deadline,
    /// Telemetry was switched off meanwhile.
    Off(Rule),
}

impl Stop {
    /// What the summary says of it.
    pub fn ending(&self) -> Ending {
        match self {
            Stop::Off(rule) => Ending::Off(rule.to_string()),
            Stop::Deadline => Ending::Later("the time for one pass is used up".to_owned()),
            Stop::Trouble(trouble, _) => match trouble.cure() {
                Cure::Time => Ending::Later(trouble.to_string()),
                Cure::Configuration => Ending::Misconfigured(trouble.to_string()),
            },
        }
    }

    /// The pause for the passes to come, if it asks for one.
    pub fn not_before(&self) -> Option<NotBefore> {
        match self {
            Stop::Trouble(trouble, Some(until)) => Some(NotBefore {
                until: *until,
                reason: trouble.to_string(),
            }),
            _ => None,
        }
    }

    /// Of two reasons to stop the one that asks for the longer pause, else the one that ends the pass.
    #[must_use]
    pub fn or_longer(self, other: Stop) -> Stop {
        let weight = |stop: &Stop| {
            let until = stop.not_before().map(|pause| pause.until);
            (until, stop.ends_the_pass())
        };
        if weight(&other) > weight(&self) {
            other
        } else {
            self
        }
    }

    /// Whether the server refused every event of a batch alike. If it has accepted others, it may accept those
    /// of other buffers, too.
    pub fn is_refused_alike(&self) -> bool {
        matches!(self, Stop::Trouble(Trouble::RefusedAlike { .. }, _))
    }

    /// Whether the other buffers need not be tried either: it is not about the one batch.
    pub fn ends_the_pass(&self) -> bool {
        match self {
            Stop::Off(_) | Stop::Deadline => true,
            Stop::Trouble(trouble, until) => until.is_some() || !trouble.is_about_the_batch(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::NoReply;

    #[test]
    fn the_longer_pause_wins_then_what_ends_the_pass() {
        let asked = |seconds| {
            let until = DateTime::from_timestamp(seconds, 0);
            Stop::Trouble(Trouble::Status(429), until)
        };
        let unasked = Stop::Trouble(Trouble::Status(503), None);
        let check = |one: &Stop, other: &Stop, expected: &Stop| {
            assert_eq!(&one.clone().or_longer(other.clone()), expected);
        };
        check(&unasked, &asked(9), &asked(9));
        check(&asked(9), &asked(8), &asked(9));
        check(&asked(8), &asked(9), &asked(9));
        check(&unasked, &Stop::Deadline, &Stop::Deadline);
        let portal = Stop::Trouble(Trouble::NotBreeze(200), None);
        check(&unasked, &portal, &portal);
        check(&portal, &unasked, &portal);
    }

    #[test]
    fn only_what_may_be_the_batchs_own_fault_leaves_the_other_buffers_a_try() {
        let check = |trouble: Trouble, until, expected: bool| {
            let stop = Stop::Trouble(trouble, until);
            assert_eq!(stop.ends_the_pass(), expected, "{stop:?}");
        };
        check(Trouble::NoReply(NoReply::HostNotFound), None, false);
        check(Trouble::Status(500), None, false);
        check(Trouble::Status(503), Some(DateTime::UNIX_EPOCH), true);
        check(Trouble::Status(429), None, true);
        check(Trouble::Denied(401), None, true);
        check(Trouble::NotBreeze(200), None, true);
        assert!(Stop::Deadline.ends_the_pass());
    }
}
