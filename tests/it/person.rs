//! A person at a terminal: the real binary on a pseudo-terminal, which echoes nothing.

use crate::kit::{Ran, Sandbox};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::process::{Child, Output};

/// What is typed to end the input.
pub const END: &str = "\x04";

impl Sandbox {
    /// Runs at a terminal of so many columns on which this is typed. Both outputs are one there.
    pub fn at_terminal(&self, args: &[&str], columns: u16, typed: &str) -> Ran<'_> {
        let (mut terminal, mut child) = self.start_at_terminal(args, columns);
        terminal.write_all(typed.as_bytes()).unwrap();
        let text = read_to_end(terminal);
        let status = child.wait().unwrap();
        self.ran(Output {
            status,
            stdout: text.replace("\r\n", "\n").into_bytes(),
            stderr: Vec::new(),
        })
    }

    pub fn start_at_terminal(&self, args: &[&str], columns: u16) -> (File, Child) {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap().into_bytes();
        let slave = File::options()
            .read(true)
            .write(true)
            .open(std::ffi::OsString::from_vec(name))
            .unwrap();
        let mut modes = tcgetattr(&slave).unwrap();
        modes.local_modes -= LocalModes::ECHO;
        tcsetattr(&slave, OptionalActions::Now, &modes).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&slave, size).unwrap();
        let child = self
            .command(args)
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave)
            .spawn()
            .unwrap();
        (terminal.into(), child)
    }
}

/// Everything up to the moment when nobody has the terminal open any more, which Linux calls an error.
pub fn read_to_end(mut terminal: File) -> String {
    let mut text = Vec::new();
    let _ = terminal.read_to_end(&mut text);
    String::from_utf8(text).unwrap()
}
