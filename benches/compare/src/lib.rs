//! What the parts of the comparison share: the events, and what became of them.

#[path = "../../data.rs"]
pub mod data;
pub mod tally;
