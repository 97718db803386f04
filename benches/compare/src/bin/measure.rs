//! Runs the program that its arguments name, and says what it took: wall time and processor time in
//! microseconds, peak memory in kilobytes, and the exit code.
//!
//! A process of its own, because the system counts the memory of the process that starts another one
//! towards the new one's peak. This one is as small as a Rust program can be.

use nix::sys::resource::{UsageWho, getrusage};
use std::process::{Command, Stdio};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let mut command = Command::new(args.next().ok_or("a program to run")?);
    command.args(args).stdout(Stdio::null());
    let begun = Instant::now();
    let code = command.status()?.code().unwrap_or(-1);
    let wall = begun.elapsed().as_micros();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = usage.user_time() + usage.system_time();
    let cpu = cpu.tv_sec() * 1_000_000 + cpu.tv_usec();
    println!("{wall} {cpu} {} {code}", usage.max_rss());
    Ok(())
}
