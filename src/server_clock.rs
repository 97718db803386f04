//! What the server's replies say about our clock. Only Breeze's own are believed, not a captive
//! portal's.

use crate::clock;
use chrono::{DateTime, TimeDelta, Utc};

/// What is known of the server's clock in this pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerClock {
    /// How far it is ahead of ours, if they differ.
    pub skew: Option<TimeDelta>,
    /// Whether the last reply said that they agree.
    pub confirms_ours: bool,
    /// Whether any reply said that they do not.
    pub has_differed: bool,
}

impl ServerClock {
    /// Whether any reply said what it shows.
    pub fn is_known(&self) -> bool {
        self.confirms_ours || self.has_differed
    }

    /// Reads the `Date` of a reply that came at this time by our clock.
    pub fn compare(&mut self, date: &str, now: DateTime<Utc>) {
        let ahead = clock::ahead(date, now);
        self.skew = ahead.filter(|ahead| clock::differ(*ahead));
        self.has_differed |= self.skew.is_some();
        self.confirms_ours = ahead.is_some() && self.skew.is_none();
    }
}
