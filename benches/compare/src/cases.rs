//! What is compared: each case is one thing that a person, a host or an agent would have done.

use crate::run::Kind;
use std::fmt;

/// What a program is asked to do, where, and how often that is measured.
#[derive(Clone)]
pub struct Case {
    pub name: &'static str,
    /// Lines in the buffer.
    pub events: u64,
    /// How much later the server answers.
    pub delay_ms: u64,
    /// Connections that ours may have at once.
    pub lanes: usize,
    pub state: State,
    pub task: Task,
    /// Whom ours is measured against.
    pub rivals: &'static [Kind],
    /// More for what is short, because there noise weighs more.
    pub rounds: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Ready,
    /// Telemetry is off.
    Off,
    /// Another pass holds the lock.
    Busy,
    /// The server asked for a pause.
    Paused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// A pass as hosts start it.
    Pass,
    /// A pass as a person starts it.
    Flush,
    Record,
    Hook,
}

impl Case {
    /// What ours did in a home before it is measured there.
    pub fn first_visit() -> Case {
        sending("first visit", 1, 0, 1)
    }
}

/// All of them, in the order of the table. `far_ms` is how much later a server far away answers.
pub fn all(far_ms: u64) -> Vec<Case> {
    let idle = |name, state, task, events| Case {
        events,
        state,
        task,
        rivals: &[Kind::Empty],
        rounds: 40,
        ..sending(name, 0, 0, 40)
    };
    let appending = |name, task| Case {
        rivals: &[Kind::Append],
        ..idle(name, State::Ready, task, 0)
    };
    let on_one_connection = |name, events, rounds| Case {
        lanes: 1,
        ..sending(name, events, 0, rounds)
    };
    vec![
        idle("nothing", State::Ready, Task::Pass, 0),
        idle("nothing-flush", State::Ready, Task::Flush, 0),
        idle("off", State::Off, Task::Pass, 1),
        idle("busy", State::Busy, Task::Pass, 1),
        idle("paused", State::Paused, Task::Pass, 1),
        appending("record", Task::Record),
        appending("hook", Task::Hook),
        sending("1", 1, 0, 20),
        sending("10000", 10_000, 0, 5),
        sending("150000", 150_000, 0, 3),
        sending("10000-far", 10_000, far_ms, 3),
        sending("150000-far", 150_000, far_ms, 1),
        on_one_connection("1000-one", 1_000, 5),
        on_one_connection("150000-one", 150_000, 1),
        on_one_connection("1500000-one", 1_500_000, 1),
    ]
}

fn sending(name: &'static str, events: u64, delay_ms: u64, rounds: usize) -> Case {
    Case {
        name,
        events,
        delay_ms,
        lanes: 20,
        state: State::Ready,
        task: Task::Flush,
        rivals: &[Kind::Peer],
        rounds,
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if self.delay_ms > 0 {
            write!(f, ", answered {} ms later", self.delay_ms)?;
        }
        if self.lanes == 1 {
            write!(f, ", ours on one connection")?;
        }
        Ok(())
    }
}
