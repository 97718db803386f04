//! By what the lines of a buffer are judged, in a pass and by whoever wants to know what a pass would do.

use crate::clock::Clock;
use crate::envelope::Frame;
use crate::event::Age;
use crate::settings::{Limits, Settings};
use chrono::{DateTime, TimeDelta, Utc};

/// What to do with a last line that has no newline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// It is taken as it is: a person asked, in the foreground.
    Taken,
    /// It is taken when it has not grown for a minute.
    TakenWhenStale,
}

/// What an intake needs to judge lines.
pub struct Rules<'a> {
    /// Now, and the oldest an event may be.
    pub age: Age,
    /// What every envelope has in common.
    pub frame: Frame<'a>,
    /// How much fits.
    pub limits: &'a Limits,
    /// The time by our own clock, as the file system has it.
    pub local: DateTime<Utc>,
    /// Whether the last line is taken.
    pub tail: Tail,
}

impl<'a> Rules<'a> {
    /// How lines are judged when our clock says `local` and the server's is ahead of it by `skew`.
    pub fn new(
        settings: &'a Settings,
        clock: &Clock,
        local: DateTime<Utc>,
        skew: Option<TimeDelta>,
        tail: Tail,
    ) -> Rules<'a> {
        let now = local + skew.unwrap_or_default();
        let credible = clock.credible || clock.confirmed || skew.is_some();
        Rules {
            age: Age {
                // The earlier of two clocks that differ: the wrong one of them can only keep.
                now: now.min(local),
                days_max: credible.then_some(settings.limits.age_days_max.into()),
            },
            frame: Frame::new(
                &settings.connection.ikey,
                &settings.app,
                now,
                &settings.policy,
            ),
            limits: &settings.limits,
            local,
            tail,
        }
    }
}
