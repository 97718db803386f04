//! The only place that prints. A reader that went away (`| head`) is no error of ours.

use crate::exit::Exit;
use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal, Read, Write};

mod progress;

pub use progress::Progress;

/// Bytes that a person may type as an answer.
const ANSWER_BYTES_MAX: u64 = 1024;

/// Writes a line of results to standard output.
#[allow(clippy::disallowed_methods, reason = "the one place that prints")]
pub fn print(line: &str) {
    check(writeln!(io::stdout(), "{}", plain(line)));
}

/// Writes a line that nobody depends on: a host must not fail because it could not be written.
#[allow(clippy::disallowed_methods, reason = "the one place that prints")]
pub fn mention(line: &str) {
    let _ = writeln!(io::stdout(), "{}", plain(line));
}

/// What cannot be written is said, and ends the run: a script must not take an empty file for a result.
/// Nothing is lost by an end at any moment. A reader that has seen enough is none of our business.
#[allow(
    clippy::disallowed_methods,
    reason = "whoever prints could do nothing about it but this"
)]
fn check(written: io::Result<()>) {
    let Err(err) = written else { return };
    if err.kind() != io::ErrorKind::BrokenPipe {
        complain(&format!("cannot write the result: {err}"));
        std::process::exit(Exit::Failed.code().into());
    }
}

/// Writes JSON and a newline to standard output: to a program byte for byte, to a person as
/// [`print_json`] does.
#[allow(clippy::disallowed_methods, reason = "the one place that prints")]
pub fn print_bytes(bytes: &[u8]) {
    let mut stdout = io::stdout();
    if stdout.is_terminal() {
        print(&as_json_has_it(&String::from_utf8_lossy(bytes)));
    } else {
        check(stdout.write_all(&[bytes, b"\n"].concat()));
    }
}

/// Writes one JSON object to standard output. What would be an order to a terminal is escaped as JSON has it,
/// so that a program still reads the same.
pub fn print_json(object: &serde_json::Value) {
    print(&as_json_has_it(&object.to_string()));
}

fn as_json_has_it(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        // In the text of JSON such characters stand within strings alone.
        match plain(c.encode_utf8(&mut [0; 4])) {
            Cow::Borrowed(_) => shown.push(c),
            Cow::Owned(_) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(shown, "\\u{unit:04x}");
                }
            }
        }
    }
    shown
}

/// What a part of a line means to its reader; shown as a colour where there are any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing in particular.
    Plain,
    /// The name of what follows.
    Heading,
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// To be mended.
    Problem,
    /// Beside the point.
    Aside,
}

impl Tone {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Tone::Plain => Style::new(),
            Tone::Heading => Style::new().bold(),
            Tone::Good => colour(AnsiColor::Green),
            Tone::Warning => colour(AnsiColor::Yellow),
            Tone::Problem => colour(AnsiColor::Red).bold(),
            Tone::Aside => Style::new().dimmed(),
        }
    }
}

/// Writes a line of results to standard output, in colours if that is a terminal that shows them and
/// nobody asked for none (`NO_COLOR`, `CLICOLOR=0`, `TERM=dumb`).
#[allow(clippy::disallowed_methods, reason = "the one place that prints")]
pub fn print_toned(parts: &[(Tone, &str)]) {
    let styled = |(tone, text): &(Tone, &str)| {
        let style = tone.style();
        format!("{style}{}{style:#}", plain(text))
    };
    let line: String = parts.iter().map(styled).collect();
    check(writeln!(AutoStream::auto(io::stdout()), "{line}"));
}

/// Columns of the terminal that standard output is; none if it is none.
pub fn columns() -> Option<usize> {
    crate::os::columns_of_stdout()
}

/// Writes a line about what went wrong to standard error.
#[allow(clippy::disallowed_methods, reason = "the one place that prints")]
pub fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "telemetry-upload: {}", plain(line));
}

/// Without what would move the cursor, change colours or turn the direction of a terminal, and without
/// what nobody sees: names of fields and files are other people's.
pub fn plain(text: &str) -> Cow<'_, str> {
    let is_order = |c: char| {
        c.is_control() && !matches!(c, '\n' | '\t')
            // What is not seen, but ends a line, joins, hides or turns what stands beside it.
            || matches!(
                c,
                '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                    | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
            )
    };
    if !text.contains(is_order) {
        return Cow::Borrowed(text);
    }
    let escaped = |c: char| {
        if is_order(c) {
            c.escape_unicode().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(escaped).collect::<String>().into()
}

/// Whether a person is there to be asked.
pub fn is_person_there() -> bool {
    io::stdin().is_terminal() && is_stdout_terminal()
}

#[allow(clippy::disallowed_methods, reason = "the one place that prints")]
fn is_stdout_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Asks the person, and waits for a line: trimmed, in small letters; `None` at the end of input.
#[allow(clippy::disallowed_methods, reason = "the one place that prints")]
pub fn ask(question: &str) -> Option<String> {
    let mut stdout = io::stdout();
    write!(stdout, "{} ", plain(question)).ok()?;
    stdout.flush().ok()?;
    let mut answer = String::new();
    let mut line = io::stdin().lock().take(ANSWER_BYTES_MAX);
    let read = line.read_line(&mut answer);
    if read.is_ok_and(|bytes| bytes > 0) {
        return Some(answer.trim().to_lowercase());
    }
    let _ = writeln!(stdout);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_to_a_terminal_are_shown_and_not_given() {
        for (text, expected) in [
            ("left out: prompt (1)\n\tä", "left out: prompt (1)\n\tä"),
            ("evil\x1b[31mfield", "evil\\u{1b}[31mfield"),
            ("bell\x07 path\u{202e}", "bell\\u{7} path\\u{202e}"),
        ] {
            assert_eq!(plain(text), expected);
        }
    }

    #[test]
    fn json_stays_json_whatever_is_in_it() {
        let object = serde_json::json!({"a": "\u{1b}[31m\n\u{7f}\u{9b}\u{202e}ü"});
        let text = as_json_has_it(&object.to_string());
        assert_eq!(text, r#"{"a":"\u001b[31m\n\u007f\u009b\u202eü"}"#);
        assert_eq!(plain(&text), text);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read, object);
    }
}
