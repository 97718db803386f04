//! How many requests may be under way at once: what the server, and the way to it, bear.

use crate::settings::Limits;
use std::time::Duration;

/// The pace of one pass.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    lanes_max: usize,
    request_timeout: Duration,
    /// The quickest reply of this pass, connecting included where it had to.
    quickest: Option<Duration>,
}

impl Pace {
    /// One request at a time, until the first reply.
    pub fn new(limits: &Limits) -> Pace {
        Pace {
            lanes_max: limits.lanes_max,
            request_timeout: limits.request_timeout,
            quickest: None,
        }
    }

    /// How many may be under way. The first goes alone: it finds out whether the key, the endpoint and
    /// our clock are right. Then as many as could share one slow line and still have their replies
    /// within half the time limit, or a backlog would make its own requests time out.
    pub fn lanes(&self) -> usize {
        let Some(quickest) = self.quickest else {
            return 1;
        };
        let half = self.request_timeout.as_micros() / 2;
        let borne = half / quickest.as_micros().max(1);
        usize::try_from(borne).map_or(self.lanes_max, |borne| borne.clamp(1, self.lanes_max))
    }

    /// A reply came, so long after its request was begun.
    pub fn replied(&mut self, took: Duration) {
        self.quickest = Some(self.quickest.map_or(took, |quickest| quickest.min(took)));
    }

    /// The server, or the way to it, needs a pause: from then on half as many.
    pub fn paused(&mut self) {
        self.lanes_max = (self.lanes_max / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_replies_of(ms: &[u64]) -> Pace {
        let mut pace = Pace::new(&Limits::default());
        for ms in ms {
            pace.replied(Duration::from_millis(*ms));
        }
        pace
    }

    #[test]
    fn the_quickest_reply_says_how_many_lanes_the_way_bears() {
        let most = Limits::default().lanes_max;
        for (ms, lanes) in [
            (&[][..], 1),
            (&[0], most),
            (&[30], most),
            (&[500], 5),
            (&[500, 250], 10),
            (&[250, 500], 10),
            (&[2_499], 1),
            (&[60_000], 1),
        ] {
            assert_eq!(after_replies_of(ms).lanes(), lanes, "{ms:?}");
        }
    }

    #[test]
    fn each_pause_halves_the_lanes_down_to_one() {
        let mut pace = after_replies_of(&[1]);
        let mut before = pace.lanes();
        while before > 1 {
            pace.paused();
            assert_eq!(pace.lanes(), before / 2);
            before = pace.lanes();
        }
        pace.paused();
        assert_eq!(pace.lanes(), 1);
    }
}
