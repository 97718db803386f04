//! The server's process, one for each run, so that nothing is left of the run before.

use crate::certificate::Certificate;
use anyhow::{Context, Result};
use compare::tally::Tally;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

pub struct Server {
    pub port: u16,
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Server {
    /// Starts it; it expects `count` events, and answers each request `delay_ms` late.
    pub fn start(program: &Path, files: &Certificate, delay_ms: u64, count: u64) -> Result<Server> {
        let mut child = Command::new(program)
            .args([&files.server, &files.key])
            .args([delay_ms.to_string(), count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut said = BufReader::new(child.stdout.take().context("no pipe")?);
        let mut port = String::new();
        said.read_line(&mut port)?;
        let port = port.trim().parse().context("the server did not start")?;
        Ok(Server { port, child, said })
    }

    /// Ends it, and hears what it saw.
    pub fn finish(mut self) -> Result<Tally> {
        drop(self.child.stdin.take());
        let tally = serde_json::from_reader(&mut self.said);
        self.child.wait()?;
        tally.context("the server could not read what came")
    }
}
