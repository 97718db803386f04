//! What the figures are to be, and whether they are.

use crate::run::{Entrant, Kind, Run};
use crate::table::{Outcome, Series, figure, layout};

/// One figure that is to be reached.
struct Target {
    what: String,
    found: f64,
    bound: Bound,
    /// Whether it is held against a peer on this machine, and so means the same on every machine.
    against: Against,
}

#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
    Exactly(f64),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Against {
    Peer,
    OurselvesOrTheClock,
}

/// How much later a server answers that is 30 ms away, in milliseconds: the targets are for that.
const FAR_MS: u64 = 30;

/// The table of the targets, and whether one against a peer was missed.
pub fn judge(outcomes: &[Outcome], ours: &Entrant) -> (String, bool) {
    let found = Found { outcomes, ours };
    let mut targets = Vec::new();
    found.idle(&mut targets);
    found.appending(&mut targets);
    found.one_event(&mut targets);
    found.backlog(&mut targets);
    found.flatness(&mut targets);
    found.far(&mut targets);
    found.account(&mut targets);
    let is_missed = targets
        .iter()
        .any(|target| target.against == Against::Peer && !target.is_met());
    let mut rows = vec![
        ["target", "wanted", "found", ""]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(targets.iter().map(Target::row));
    (format!("\n{}\n\n{}", ours.name, layout(&rows)), is_missed)
}

impl Target {
    fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtMost(limit) => self.found <= limit,
            Bound::AtLeast(limit) => self.found >= limit,
            Bound::Exactly(value) => self.found.to_bits() == value.to_bits(),
        }
    }

    fn row(&self) -> Vec<String> {
        let wanted = match self.bound {
            Bound::AtMost(limit) => format!("at most {}", figure(limit)),
            Bound::AtLeast(limit) => format!("at least {}", figure(limit)),
            Bound::Exactly(value) => figure(value),
        };
        let met = if self.is_met() { "met" } else { "MISSED" };
        vec![
            self.what.clone(),
            wanted,
            figure(self.found),
            met.to_owned(),
        ]
    }
}

struct Found<'a> {
    outcomes: &'a [Outcome],
    ours: &'a Entrant,
}

impl Found<'_> {
    /// Ours and its rival in the case of this name, if it was measured.
    fn case(&self, name: &str) -> Option<(&Series, &Series)> {
        let outcome = self.outcomes.iter().find(|one| one.case.name == name)?;
        let ours = outcome.all.iter();
        let ours = ours
            .clone()
            .find(|one| one.entrant.name == self.ours.name)?;
        Some((ours, outcome.rival()?))
    }

    fn idle(&self, targets: &mut Vec<Target>) {
        for name in ["nothing", "nothing-flush", "off", "busy", "paused"] {
            let Some((ours, empty)) = self.case(name) else {
                continue;
            };
            let cpu = ours.ratio(empty, |run| run.cpu_ms);
            targets.push(own(
                format!("{name}: CPU, of an empty main's"),
                cpu,
                Bound::AtMost(2.0),
            ));
            targets.push(memory(name, ours, 3.5));
            let connections = ours.most(|run| run.tally.connections as f64);
            targets.push(own(
                format!("{name}: connections"),
                connections,
                Bound::Exactly(0.0),
            ));
        }
    }

    fn appending(&self, targets: &mut Vec<Target>) {
        let Some((idle, _)) = self.case("nothing") else {
            return;
        };
        for name in ["record", "hook"] {
            if let Some((ours, _)) = self.case(name) {
                let cpu = ours.ratio(idle, |run| run.cpu_ms);
                targets.push(own(
                    format!("{name}: CPU, of nothing's"),
                    cpu,
                    Bound::AtMost(1.3),
                ));
            }
        }
    }

    fn one_event(&self, targets: &mut Vec<Target>) {
        let Some((ours, peer)) = self.case("1") else {
            return;
        };
        let times = peer.ratio(ours, |run| run.wall_ms);
        targets.push(against_peer(
            "1: times as fast as the peer".into(),
            times,
            Bound::AtLeast(8.0),
        ));
        let requests = ours.most(|run| run.tally.requests as f64);
        targets.push(own("1: requests".into(), requests, Bound::Exactly(1.0)));
        let connections = ours.most(|run| run.tally.connections as f64);
        targets.push(own(
            "1: connections".into(),
            connections,
            Bound::Exactly(1.0),
        ));
        targets.push(memory("1", ours, 7.0));
    }

    fn backlog(&self, targets: &mut Vec<Target>) {
        let Some((ours, peer)) = self.case("150000") else {
            return;
        };
        let wall = ours.ratio(peer, |run| run.wall_ms);
        targets.push(against_peer(
            "150000: wall, of the peer's".into(),
            wall,
            Bound::AtMost(0.5),
        ));
        let cpu = ours.ratio(peer, |run| run.cpu_ms);
        let third = Bound::AtMost(1.0 / 3.0);
        targets.push(against_peer(
            "150000: CPU, of the peer's".into(),
            cpu,
            third,
        ));
        let share =
            ours.median(|run| 100.0 * run.tally.bytes as f64 / run.tally.plain_bytes as f64);
        targets.push(own(
            "150000: bytes, % of plain".into(),
            share,
            Bound::AtMost(18.0),
        ));
    }

    /// What a backlog's size shows of itself in memory, on one connection.
    fn flatness(&self, targets: &mut Vec<Target>) {
        let memory = |name: &str| {
            let (ours, _) = self.case(name)?;
            Some(ours.median(|run: &Run| run.memory_mb))
        };
        if let (Some(one), Some(many)) = (memory("1"), memory("150000-one")) {
            let what = "150000-one: MB above one event's".into();
            targets.push(own(what, many - one, Bound::AtMost(3.0)));
        }
        let sizes = ["1000-one", "150000-one", "1500000-one"];
        let sizes: Vec<f64> = sizes.into_iter().filter_map(memory).collect();
        if sizes.len() > 1 {
            let spread = sizes.iter().copied().fold(0.0, f64::max)
                - sizes.iter().copied().fold(f64::INFINITY, f64::min);
            let what = "1000-one to the most: MB of difference";
            // What grows is the copies of what was sent, up to 2 MB of them.
            targets.push(own(what.into(), spread, Bound::AtMost(2.0)));
        }
    }

    fn far(&self, targets: &mut Vec<Target>) {
        for (name, wall_ms_max) in [("10000-far", 300.0), ("150000-far", 3_000.0)] {
            let Some((ours, peer)) = self.case(name) else {
                continue;
            };
            let outcome = self.outcomes.iter().find(|one| one.case.name == name);
            if outcome.is_some_and(|one| one.case.delay_ms == FAR_MS) {
                let wall = ours.median(|run| run.wall_ms);
                targets.push(own(
                    format!("{name}: wall ms"),
                    wall,
                    Bound::AtMost(wall_ms_max),
                ));
            }
            let wall = ours.ratio(peer, |run| run.wall_ms);
            targets.push(against_peer(
                format!("{name}: wall, of the peer's"),
                wall,
                Bound::AtMost(1.0),
            ));
            targets.push(memory(name, ours, 32.0));
        }
    }

    fn account(&self, targets: &mut Vec<Target>) {
        let sent = self
            .outcomes
            .iter()
            .filter_map(|one| self.case(one.case.name));
        let sent = sent.filter(|(_, rival)| rival.entrant.kind == Kind::Peer);
        let (mut lost, mut twice) = (0.0, 0.0);
        for (ours, _) in sent {
            lost += ours.most(|run| run.tally.lost as f64);
            twice += ours.most(|run| (run.tally.twice + run.tally.strangers) as f64);
        }
        targets.push(own("all: lost".into(), lost, Bound::Exactly(0.0)));
        targets.push(own("all: twice".into(), twice, Bound::Exactly(0.0)));
    }
}

fn memory(name: &str, ours: &Series, mb_max: f64) -> Target {
    let found = ours.median(|run| run.memory_mb);
    own(format!("{name}: memory MB"), found, Bound::AtMost(mb_max))
}

fn own(what: String, found: f64, bound: Bound) -> Target {
    let against = Against::OurselvesOrTheClock;
    Target {
        what,
        found,
        bound,
        against,
    }
}

fn against_peer(what: String, found: f64, bound: Bound) -> Target {
    let against = Against::Peer;
    Target {
        what,
        found,
        bound,
        against,
    }
}
