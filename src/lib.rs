//! The map of `telemetry-upload`.
//!
//! Hook scripts and host CLIs append events, one JSON object a line, to a JSONL buffer. One pass of
//! this program reads the buffer, drops what is older than 30 days, posts the rest in batches to
//! Application Insights, and truncates the buffer only after the server accepted it.
//!
//! # The one path an event walks
//!
//! ```text
//! buffer ─read─▶ line ─parse─▶ Event ─wrap─▶ Envelope ─pack─▶ Batch ─post─▶ Reply ─judge─▶ Verdict ─▶ Fate ─commit─▶ cursor
//!                      │now           privacy        limits      World    total table
//!                      └▶ DropReason (counted) ───────────────────────────────────────────▶┘
//! ```
//!
//! Before it, a producer appends the event: a host by itself, or `record` and `hook`, which may have a
//! pass started that outlives them:
//!
//! ```text
//! arguments ─────────────────────────────▶ recorder ─fill, check─▶ append ─▶ buffer
//! hook's payload ─hosts─▶ Notice ─session─▶ recorder                  └─ detach ─▶ a pass of its own
//! ```
//!
//! The hooks that call us get into the settings of their hosts by [`host_settings`], on request only.
//!
//! # The law
//!
//! `seen = delivered + dropped(reason) + kept`, for every pass. No line leaves the buffer without a
//! fate, and every dropped line is counted under its reason. Blank lines are not lines.
//!
//! # The states of a buffer
//!
//! What `record` and `hook` cannot append because a stopped pass keeps the buffer shut goes to the buffer
//! beside it (`…-late.jsonl`), which is a buffer like any other.
//!
//! The inode never changes: nothing here renames, unlinks or rewrites a region that is not yet
//! delivered, so a producer that holds the file open, with or without a lock, still appends to the
//! file we keep.
//!
//! ```text
//! 0            dead bytes            offset          live bytes             size
//! ├──────────────────────────────────┼───────────────────────────────────────┤
//!   delivered, or counted as dropped │ still to send                 [torn tail]
//! ```
//!
//! | state | on disk | made by | left by |
//! |---|---|---|---|
//! | EMPTY | size 0 | truncation | a producer's append |
//! | WAITING | no valid cursor, size > 0 | append | the first commit |
//! | PARTLY | valid cursor, offset < size | commit after each batch | further commits |
//! | SPENT | valid cursor, offset = size | the last commit | settle: truncate to 0, sync, commit 0 |
//! | MOVING | dead bytes blanked, then overwritten by a copy of the live bytes | settle with something left | truncate to the copy's length if the copy's end still stands, sync, commit 0 |
//!
//! A cursor is valid if its inode is the buffer's, its offset is not beyond the size, and the 64-bit
//! check over the last line before the offset, and the (at most 256) bytes before it, still holds.
//! Otherwise reading starts at 0. Losing a cursor repeats events; it never loses one.
//!
//! The whole line, because its end may be that of any other: a pass that was killed after a truncation
//! and before the commit of 0 leaves a cursor behind, and what is appended then may reach it. Only lines
//! that are the same to the byte, without an id or a time in them, could still be taken for delivered.
//!
//! # Crash matrix (a kill or a power cut at any instant loses nothing)
//!
//! | at | on disk | the next pass | sent twice |
//! |---|---|---|---|
//! | before the reply is read | the old cursor | sends the batches under way again | at most these |
//! | kept lines re-appended, before the commit | kept lines twice | sends the batches under way again, the copies too; a torn copy is one malformed fragment | at most these |
//! | commit half written | the other slot is valid | sends the batches under way again | at most these |
//! | blanking or copying, before the truncation | dead bytes changed, checked bytes intact | the cursor is valid: goes on, settles anew | nothing |
//! | after the truncation | size < offset, or the check differs | starts at 0, which is exactly the tail | nothing |
//! | after its sync, before the commit of 0 | the same | starts at 0 | nothing |
//! | any row, and the cursor deleted or the file replaced by a copy | no valid cursor | starts at 0 | what stood before the cursor |
//! | `purge` blanks what it may not truncate, before the checked bytes go | newlines before the checked bytes, which are intact | the cursor is valid: nothing waits | nothing |
//! | while the checked bytes go, and the power is cut | newlines, and perhaps some of the checked bytes | starts at 0: what is left of them, the last line and 256 bytes, waits again | what is left of them |
//!
//! # Locks
//!
//! `upload/uploader.lock` is held for a whole pass, a buffer's own lock only around an append of ours
//! or a truncation: microseconds. No lock is held across a post, a pause, a sync or a large copy, but for
//! `upload/consent.lock`, while telemetry.json is changed, for which nobody waits long. `purge` holds the
//! uploader's lock, too: it empties the buffers as a pass does.
//! Order: the uploader's lock, then one buffer's. On Linux a write lease guards the truncation too.
//! Where the file system has no locks, producers append without them, and a pass sends nothing.
//! A hook locks the calls of its session, then perhaps `upload/consent.lock`, then the buffer.
//! `upload/detached.lock` is held by a detached pass until its last look (see [`detach`]). Who only wants to
//! know whether an uploader is at work takes its lock shared, for a moment, which no uploader takes for another.
//!
//! # What is deliberately absent
//!
//! No rename of a buffer, no attempt counter that drops events, no async runtime, no statics, no
//! configuration read from the current directory, no retry that outlives the pass.
//!
//! Threads: the lanes', which post while the pass waits for the first of several replies, because waiting
//! is what a backlog's time is spent on (they know no buffer and decide nothing); the watchdog's
//! ([`watchdog`]), one for the pass, one before it for a lock on a network
//! file system, and one for the lookup of a host, because a pass must end whatever DNS,
//! TLS or a server does; the emulator's, one a connection, because a scripted hang must not stop its other
//! clients; and [`schedule`]'s, for the pipes of a scheduler's program, which may hang as well.

#![doc(html_no_source)]

pub mod cli;
pub mod settings;
pub mod startup;

pub mod ci;
pub mod consent;
pub mod paths;

pub mod anonymous_id;
pub mod answer;
pub mod append;
pub mod id;
pub mod recorder;

pub mod hosts;
pub mod session;
pub mod stdin;

pub mod detach;
pub mod holder;
pub mod outlook;
pub mod waiting;

pub mod connection;
pub mod redirect;

pub mod buffer;
pub mod cursor;
pub mod lease;
pub mod lines;
pub mod lock;
pub mod news;
pub mod os;
pub mod programs;
pub mod purge;
mod raw;
pub mod settle;

pub mod event;
pub mod field;
pub mod pairs;
pub mod timestamp;
pub mod utf16;

pub mod envelope;
pub mod naming;
pub mod privacy;

pub mod batch;
pub mod intake;
pub mod rules;

pub mod fate;
pub mod retry;
pub mod verdict;

pub mod pace;
pub mod requests;
pub mod route;
pub mod send;
pub mod server_clock;
pub mod stop;

pub mod dry_run;
pub mod entry;
mod round;
mod turn;
pub mod upload;

pub mod clock;
pub mod gzip;
pub mod tls;
pub mod watchdog;
pub mod world;

pub mod host_settings;
pub mod schedule;

pub mod copies;
pub mod journal;
pub mod ledger;
pub mod state;

pub mod doctor;
pub mod exhibit;
pub mod exit;
pub mod health;

pub mod summary;
pub mod talk;
pub mod terminal;
pub mod wording;

pub mod commands;
pub mod emulator;
pub mod report;

#[cfg(all(test, target_os = "linux"))]
#[path = "../tests/torture/steps/mod.rs"]
#[allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails, and clippy knows only a bare `cfg(test)`"
)]
mod torture;

pub use recorder::{Recorded, Recorder};
