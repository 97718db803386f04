//! Words that tell by themselves that a text is personal, wherever in it they stand.

use super::classes::{MARK, class};
use super::patterns::{is_in_path, starts};
use std::borrow::Cow;

/// Words and beginnings that tell by themselves, in lower case, by the character that each begins or
/// ends with. What ends with one stands before a secret. The others are folders below which the next name
/// is a person's, wherever in a text they stand: `-Users-alice-x` is how Claude Code names the folder of a
/// project.
const MARKS: [(u8, &[&str]); 8] = [
    (b'/', &["/home/", "/users/"]),
    (b'\\', &["\\users\\"]),
    (b'%', &["%userprofile%", "%2fhome%2f", "%2fusers%2f"]),
    (b'$', &["$home", "${home}"]),
    (b'-', &["-users-", "-----begin"]),
    (b' ', &["bearer "]),
    (b':', &["password:"]),
    (
        b'=',
        &[
            "instrumentationkey=",
            "accountkey=",
            "accesskey=",
            "apikey=",
            "api_key=",
            "api-key=",
            "passwd=",
            "password=",
            "token=",
            "secret=",
        ],
    ),
];

/// A scheme under which every address is a path.
const FILE: &str = "file:";

/// The words and beginnings that need no look at what follows.
pub(super) fn holds_mark(text: &str) -> bool {
    let lower = if text.is_ascii() {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.to_lowercase())
    };
    let bytes = lower.as_bytes();
    let is = |found: Option<&[u8]>, mark: &str| {
        found.is_some_and(|found| found.eq_ignore_ascii_case(mark.as_bytes()))
    };
    let is_marked = |at: usize| {
        let (before, after) = (&bytes[..=at], &bytes[at..]);
        let marks = MARKS.iter().find(|(character, _)| *character == bytes[at]);
        marks.is_some_and(|(_, marks)| {
            marks.iter().any(|mark| {
                let from = before.len().checked_sub(mark.len());
                is(after.get(..mark.len()), mark) || is(from.map(|from| &before[from..]), mark)
            })
        })
    };
    let mut places = (0..bytes.len()).filter(|at| class(bytes[*at]) & MARK != 0);
    places.any(is_marked)
        || (lower.contains(':')
            && starts(&lower, |byte| matches!(byte, b'f' | b'F'), is_in_path)
                .any(|rest| is(rest.as_bytes().get(..FILE.len()), FILE)))
}

#[cfg(test)]
mod tests {
    use super::super::classes::{BEYOND_F, classes};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_mark_begins_or_ends_with_its_character() {
        for (character, mark) in MARKS
            .iter()
            .flat_map(|(character, marks)| marks.iter().map(|mark| (*character, *mark)))
        {
            let ends = [mark.bytes().next(), mark.bytes().last()];
            assert!(ends.contains(&Some(character)), "{mark}");
            assert_eq!(mark, mark.to_lowercase());
            assert_ne!(
                classes(char::from(character).encode_utf8(&mut [0; 4])) & MARK,
                0
            );
            assert_ne!(classes(mark) & BEYOND_F, 0, "{mark}");
        }
    }

    proptest! {
        #[test]
        fn they_are_found_wherever_they_stand_and_however_they_are_written(
            text in "(-users-|/HOME/|/users|bearer |password|file:|token=|api[-_]|-{0,5}begin|to\u{212a}en=|\u{130}|[ -/:=%${}\\\\é]){0,9}"
        ) {
            let lower = text.to_lowercase();
            let mut marks = MARKS.iter().flat_map(|(_, marks)| *marks);
            let is_marked = marks.any(|mark| lower.contains(mark))
                || starts(&lower, |byte| byte == b'f', is_in_path).any(|rest| rest.starts_with(FILE));
            prop_assert_eq!(holds_mark(&text), is_marked);
        }
    }
}
