//! What a process sets right about itself before it does anything: whoever started it may have left it a
//! limit, a umask or a defect of ours that would end it in a way nobody expects.

use crate::os;
use crate::terminal;

/// Who would see this process end by a defect of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// A host, which must not fail, nor hear of it.
    ByHost,
    /// A person, or a log.
    ByPerson,
}

/// To be called once, before there is a second thread.
pub fn prepare(watched: Watched) {
    os::errors_instead_of_signals();
    os::keep_what_the_umask_takes_from_the_owner();
    meet_defects(watched);
}

/// A defect that shows as a panic. Its own words may hold a piece of an event, and a trace of its calls
/// may need memory that is not there, so only its place is said.
#[allow(
    clippy::disallowed_methods,
    reason = "a panic has no way to return an exit code"
)]
fn meet_defects(watched: Watched) {
    std::panic::set_hook(Box::new(move |panic| {
        if watched == Watched::ByHost {
            std::process::exit(0);
        }
        let place = panic
            .location()
            .map_or_else(String::new, |place| format!(" at {place}"));
        terminal::complain(&format!(
            "ended by a defect of its own{place}, please report it; no event is lost, the next pass goes on"
        ));
        std::process::exit(1);
    }));
}
