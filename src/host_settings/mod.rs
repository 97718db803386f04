//! Our hooks in a settings file that is not ours.
//!
//! `plan` looks at the file and decides: it is as it should be, it is to be written anew, it can have
//! the text back that it had before us, or it goes. What settings mean with and without our hooks is
//! said twice, and each is the check of the other: `snippet` adds and removes them in the JSON value,
//! `splice` in the text, every other byte of which stays, at the places that `json_text` has
//! measured; a text that does not mean the value is not written. `file` reads with care, and replaces
//! the whole file in one step, unless somebody changed it meanwhile. `diff` shows a person what would
//! change, `survey` where everything stands.

mod diff;
mod file;
mod json_text;
mod plan;
mod snippet;
mod splice;
mod survey;

pub(crate) use diff::show as diff;
pub use file::{BYTES_MAX, Backup, HostFile, Keep};
pub use plan::{Plan, Standing, carry_out, command, install, standing, uninstall};
pub use survey::{Found, binary, survey, survey_files};
