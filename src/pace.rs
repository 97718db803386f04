//! How many requests may be under way at once: what the server, and the way to it, bear.

use crate::os;
use crate::settings::Limits;
use std::time::Duration;

/// The pace of one pass.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    lanes_max: usize,
    request_timeout: Duration,
    /// The quickest reply of this pass, connecting included where it had to, and how many bytes its body
    /// had. A small body says little of a slow line: only those of the largest size so far count.
    quickest: Option<(Duration, usize)>,
}

impl Pace {
    /// One request at a time, until the first reply; then as many as the limits on this process allow, too.
    pub fn new(limits: &Limits) -> Pace {
        Pace {
            lanes_max: limits.lanes_max.min(os::connections_max()),
            request_timeout: limits.request_timeout,
            quickest: None,
        }
    }

    /// How many bodies of this size may be under way. The first goes alone: it finds out whether the key,
    /// the endpoint and our clock are right. Then as many as could share one slow line and still have their
    /// replies within half the time limit, or a backlog would make its own requests time out.
    pub fn lanes(&self, bytes: usize) -> usize {
        let Some((quickest, measured)) = self.quickest else {
            return 1;
        };
        let times = bytes.div_ceil(measured.max(1)).max(1);
        let each = quickest.as_micros().max(1) * times as u128;
        let borne = self.request_timeout.as_micros() / 2 / each;
        usize::try_from(borne).map_or(self.lanes_max, |borne| borne.clamp(1, self.lanes_max))
    }

    /// A reply came, so long after a request with a body of so many bytes was begun.
    pub fn replied(&mut self, took: Duration, bytes: usize) {
        self.quickest = Some(match self.quickest {
            Some((quickest, measured)) if bytes < measured / 2 => (quickest, measured),
            Some((quickest, measured)) if bytes / 2 <= measured => (quickest.min(took), measured),
            _ => (took, bytes),
        });
    }

    /// The server, or the way to it, needs a pause: from then on half as many.
    pub fn paused(&mut self) {
        self.lanes_max = (self.lanes_max / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(replies: &[(u64, usize)]) -> Pace {
        let mut pace = Pace::new(&Limits::default());
        for (ms, bytes) in replies {
            pace.replied(Duration::from_millis(*ms), *bytes);
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
            let replies: Vec<(u64, usize)> = ms.iter().map(|ms| (*ms, 1_000)).collect();
            assert_eq!(after(&replies).lanes(1_000), lanes, "{ms:?}");
        }
    }

    #[test]
    fn a_small_body_says_little_of_a_slow_line() {
        let small = after(&[(80, 700)]);
        assert_eq!((small.lanes(700), small.lanes(7_000)), (20, 3));
        assert_eq!(after(&[(80, 700), (500, 70_000)]).lanes(70_000), 5);
        assert_eq!(after(&[(500, 70_000), (80, 700)]).lanes(70_000), 5);
        assert_eq!(after(&[(500, 70_000), (250, 60_000)]).lanes(70_000), 10);
    }

    #[test]
    fn each_pause_halves_the_lanes_down_to_one() {
        let mut pace = after(&[(1, 1)]);
        let mut before = pace.lanes(1);
        while before > 1 {
            pace.paused();
            assert_eq!(pace.lanes(1), before / 2);
            before = pace.lanes(1);
        }
        pace.paused();
        assert_eq!(pace.lanes(1), 1);
    }
}
