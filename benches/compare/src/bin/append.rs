//! A floor: what it takes to append a line under a lock, in a process of its own.

use std::fs::File;
use std::io::{self, Write};

const LINE: [u8; 350] = {
    let mut line = [b'x'; 350];
    line[349] = b'\n';
    line
};

fn main() -> io::Result<()> {
    let path = std::env::args_os()
        .nth(1)
        .ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = File::options().append(true).create(true).open(path)?;
    file.lock()?;
    file.write_all(&LINE)
}
