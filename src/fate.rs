//! The end of each line in this pass, and what that means for the buffer: which lines the cursor may
//! pass, and which must first be appended again.

use crate::batch::{Batch, Content, Judged};
use crate::event::DropReason;
use crate::verdict::{OfEvent, Refusal};

/// The end of one line in this pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The server accepted it.
    Delivered,
    /// It leaves the buffer without being delivered, and is counted under the reason.
    Dropped(DropReason),
    /// The server refused it for good.
    Refused(Refusal),
    /// It stays in the buffer.
    Kept,
}

impl Fate {
    /// The reason under which the line is counted, if it is dropped.
    pub fn drop_reason(&self) -> Option<DropReason> {
        match self {
            Fate::Dropped(reason) => Some(*reason),
            Fate::Refused(_) => Some(DropReason::Refused),
            Fate::Delivered | Fate::Kept => None,
        }
    }

    /// A fate that only the server can give: it must not be forgotten, or the event is sent twice.
    fn is_the_servers(&self) -> bool {
        matches!(self, Fate::Delivered | Fate::Refused(_))
    }
}

/// The fate of every line of a batch: ours for what was not posted, the server's for the rest.
pub fn of_each(batch: &Batch, posted: Vec<(usize, Fate)>) -> Vec<Fate> {
    let own = |line: &Judged| match line.content {
        Content::Drop(reason) => Fate::Dropped(reason),
        Content::Envelope(_) => Fate::Kept,
    };
    let mut fates: Vec<Fate> = batch.lines.iter().map(own).collect();
    for (index, fate) in posted {
        fates[index] = fate;
    }
    fates
}

/// Whose fault a refused time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The event's: it is refused.
    TheEvent,
    /// Ours: it is sent again under the right time.
    OurClock,
    /// The server does not say what its clock shows: it is kept.
    Unknown,
}

/// Events of a request that have no fate yet.
#[derive(Debug, Default)]
pub struct Undecided {
    /// Their indexes into the fates.
    pub events: Vec<usize>,
    /// How one of them was refused, perhaps by the fault of others: only halving tells.
    pub suspected: Option<Refusal>,
}

/// Writes down each event's fate and returns those that have none yet.
pub fn note_each(
    fates: &mut [(usize, Fate)],
    pending: &[usize],
    verdicts: Vec<OfEvent>,
    blame: Blame,
) -> Undecided {
    let mut undecided = Undecided::default();
    for (index, verdict) in pending.iter().zip(verdicts) {
        fates[*index].1 = match (verdict, blame) {
            (OfEvent::Delivered, _) => Fate::Delivered,
            (OfEvent::Refused(refusal), _)
            | (OfEvent::RefusedForTime(refusal), Blame::TheEvent) => Fate::Refused(refusal),
            (OfEvent::Kept, _) | (OfEvent::RefusedForTime(_), Blame::Unknown) => Fate::Kept,
            (OfEvent::Again, _) | (OfEvent::RefusedForTime(_), Blame::OurClock) => {
                undecided.events.push(*index);
                Fate::Kept
            }
            (OfEvent::Suspected(refusal), _) => {
                undecided.events.push(*index);
                undecided.suspected = Some(refusal);
                Fate::Kept
            }
        };
    }
    undecided
}

/// Whether this pass reads on behind the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// More lines of the buffer follow in this pass.
    ReadsOn,
    /// The pass over this buffer ends here.
    Ends,
}

/// How many lines, from the front of the batch, the cursor passes. Kept lines among them must be
/// appended again first; all others stay where they are and are kept, whatever their fate was.
///
/// Kept lines at the very end need no copy, the cursor stops before them. Lines we drop ourselves are
/// judged anew each pass, so behind a kept line they stay too, and are counted once, when they go.
pub fn passed(fates: &[Fate], after: After) -> usize {
    if after == After::ReadsOn {
        return fates.len();
    }
    let decided = fates
        .iter()
        .rposition(Fate::is_the_servers)
        .map_or(0, |last| last + 1);
    let dropped = fates[decided..]
        .iter()
        .take_while(|fate| **fate != Fate::Kept)
        .count();
    decided + dropped
}

/// How many lines in front the cursor may pass without anything being written for them.
pub fn passed_without_room(fates: &[Fate]) -> usize {
    let needs_none = |fate: &&Fate| match fate {
        Fate::Delivered => true,
        Fate::Dropped(reason) => !reason.is_written_down(),
        Fate::Refused(_) | Fate::Kept => false,
    };
    fates.iter().take_while(needs_none).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SENT: Fate = Fate::Delivered;
    const KEPT: Fate = Fate::Kept;
    const OLD: Fate = Fate::Dropped(DropReason::TooOld);

    #[test]
    fn the_cursor_stops_before_kept_lines_at_the_end() {
        let check = |fates: &[Fate], expected| {
            assert_eq!(passed(fates, After::Ends), expected, "{fates:?}");
        };
        check(&[], 0);
        check(&[SENT, SENT], 2);
        check(&[KEPT, KEPT], 0);
        check(&[SENT, KEPT, KEPT], 1);
        check(&[KEPT, SENT, KEPT], 2);
        check(&[OLD, OLD, KEPT, OLD], 2);
        check(&[SENT, OLD, KEPT, OLD], 2);
        check(&[OLD, OLD], 2);
    }

    #[test]
    fn without_room_the_cursor_passes_what_needs_none() {
        let written_down = Fate::Dropped(DropReason::Torn);
        for (fates, expected) in [
            (&[][..], 0),
            (&[SENT, OLD, SENT], 3),
            (&[SENT, KEPT, SENT], 1),
            (&[OLD, written_down, SENT], 1),
        ] {
            assert_eq!(passed_without_room(fates), expected, "{fates:?}");
        }
    }

    #[test]
    fn a_pass_that_reads_on_passes_everything() {
        assert_eq!(passed(&[SENT, KEPT, OLD, KEPT], After::ReadsOn), 4);
    }

    fn any_fate() -> impl Strategy<Value = Fate> {
        prop_oneof![Just(SENT), Just(KEPT), Just(OLD)]
    }

    proptest! {
        #[test]
        fn what_the_server_decided_is_always_passed_and_what_stays_is_never_its(
            fates in prop::collection::vec(any_fate(), 0..20)
        ) {
            let passed = passed(&fates, After::Ends);
            prop_assert!(fates[passed..].iter().all(|fate| !fate.is_the_servers()));
            prop_assert!(fates.get(passed).is_none_or(|fate| *fate == Fate::Kept));
        }
    }
}
