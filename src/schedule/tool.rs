//! A scheduler's own program, run to its end, for which nobody waits for long.

use crate::world::{self, Patience};
use anyhow::{Context, Result, anyhow, bail};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// What only asks answers at once, or there is nobody to answer.
pub(super) const QUESTION_MAX: Duration = Duration::from_secs(3);
/// Starting a timer may take a busy machine a while.
pub(super) const ORDER_MAX: Duration = Duration::from_secs(20);
/// Between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(5);
/// What an ended program has said is there already; a child of its own might keep the pipe open.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);
/// No crontab is larger.
const OUTPUT_BYTES_MAX: u64 = 1024 * 1024;

/// What it said, and how it ended.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) is_success: bool,
    pub(super) stdout: Vec<u8>,
    stderr: String,
    status: ExitStatus,
}

impl Said {
    /// Its complaint in one line, or else how it ended.
    pub(super) fn complaint(&self) -> String {
        let lines: Vec<&str> = self
            .stderr
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        if lines.is_empty() {
            self.status.to_string()
        } else {
            lines.join("; ")
        }
    }

    /// # Errors
    /// Its complaint, if it did not succeed.
    pub(super) fn check(self, what: &str) -> Result<Said> {
        if self.is_success {
            return Ok(self);
        }
        Err(anyhow!("{what}: {}", self.complaint()))
    }
}

/// Runs it with this on its standard input.
///
/// # Errors
/// It could not be started, did not end in time and was killed, or said more than it should.
pub(super) fn run(program: &Path, args: &[&str], input: &[u8], wait_max: Duration) -> Result<Said> {
    let what = program.display();
    let patience = Patience::of(wait_max);
    let mut child = Command::new(program)
        .args(args)
        // Whether there is no crontab is told by words only.
        .env("LC_ALL", "C")
        .stdin(if input.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {what}"))?;
    let said = converse(&mut child, input, &patience);
    if said.is_err() {
        // It must not go on behind our back; if it has ended by itself, all the better.
        let _ = child.kill();
        let _ = child.wait();
    }
    said.with_context(|| format!("{what} {}", args.join(" ")))
}

fn converse(child: &mut Child, input: &[u8], patience: &Patience) -> Result<Said> {
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_vec();
        // One that does not read it closes the pipe, and says by its exit code what it thinks.
        aside(move || {
            let _ = stdin.write_all(&input);
        })?;
    }
    let stdout = listen(child.stdout.take())?;
    let stderr = listen(child.stderr.take())?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if patience.left().is_zero() {
            bail!("it did not end in time");
        }
        world::sleep(LOOK);
    };
    let stdout = stdout
        .recv_timeout(LAST_WORDS_MAX)
        .context("it left its output open")?;
    if stdout.len() as u64 > OUTPUT_BYTES_MAX {
        bail!("it says more than {OUTPUT_BYTES_MAX} bytes");
    }
    let stderr = stderr
        .recv_timeout(LAST_WORDS_MAX)
        .context("it left its output open")?;
    Ok(Said {
        is_success: status.success(),
        stdout,
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
        status,
    })
}

fn listen(pipe: Option<impl Read + Send + 'static>) -> Result<Receiver<Vec<u8>>> {
    let (said, hear) = mpsc::channel();
    aside(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            // What was read before an error is what there is.
            let _ = pipe.take(OUTPUT_BYTES_MAX + 1).read_to_end(&mut bytes);
        }
        let _ = said.send(bytes);
    })?;
    Ok(hear)
}

fn aside(work: impl FnOnce() + Send + 'static) -> Result<()> {
    thread::Builder::new()
        .spawn(work)
        .context("the system gives no thread")?;
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str, input: &[u8], wait_max: Duration) -> Result<Said> {
        run(Path::new("/bin/sh"), &["-c", script], input, wait_max)
    }

    #[test]
    fn what_goes_in_comes_out_however_much_it_is() {
        let input = b"0123456789abcde\n".repeat(20_000);
        let said = shell("cat; echo no >&2; exit 3", &input, ORDER_MAX).unwrap();
        assert_eq!(said.stdout, input);
        assert!(!said.is_success);
        assert_eq!(said.complaint(), "no");
        assert_eq!(said.check("x").unwrap_err().to_string(), "x: no");
    }

    #[test]
    fn one_that_says_nothing_is_told_by_its_exit_code() {
        let said = shell("exit 3", b"", ORDER_MAX).unwrap();
        assert!(said.complaint().contains('3'), "{}", said.complaint());
    }

    #[test]
    fn one_that_does_not_end_is_killed() {
        let said = shell("exec sleep 600", b"", Duration::from_millis(20));
        assert!(format!("{:#}", said.unwrap_err()).contains("did not end in time"));
    }

    #[test]
    fn one_that_says_too_much_is_not_believed() {
        let said = shell("head -c 2000000 /dev/zero", b"", ORDER_MAX);
        assert!(format!("{:#}", said.unwrap_err()).contains("more than"));
    }
}
