//! What was used, how often and how well, read from the events on this machine: the application's own
//! files, or a store of the emulator's.
//!
//! The rules, which the queries in `queries/` share, so that every engine counts the same:
//!
//! - An event that arrived twice counts once: those with the same `event_id` are one. Events without
//!   count one each.
//! - The time of an event is when it happened, `timestamp`; where it says nothing, when it was sent.
//! - People are anonymous ids, which change every month.
//! - A command is counted where an event says it in `command`, and where it stands in the `commands` of a
//!   session, unless that session said its commands one by one: then the list only repeats them.
//! - The rate of success is that of the events that say `success`.

mod arrival;
mod json;
mod reckoning;
mod screen;
mod since;
mod sources;
mod table;
mod tally;

pub use json::json;
pub use reckoning::{Delay, Reckoning};
pub use screen::{Lines, overview, single};
pub use since::Since;
pub use sources::{read_application, read_store};
pub use table::Table;
pub use tally::{By, Row};
