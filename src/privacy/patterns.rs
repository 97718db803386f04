//! What looks personal in a text by itself, whatever the text is called: the patterns behind
//! `privacy::looks_personal`. It recognises; `privacy.rs` decides.

use super::classes::{
    AT, BACKSLASH, BEYOND_F, CAPITAL, COLON, Classes, DASH, DOT, FOREIGN, MARK, PLUS, SECRET,
    SLASH, SPACE, classes,
};
use super::marks::holds_mark;
use super::secrets::{OPAQUE_CHARS_MIN, begins_secret, is_opaque, is_secret};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Free text is longer than this. UUIDs, model names, versions and hashes have at most about 130.
const VALUE_CHARS_MAX: usize = 200;

/// Free text has more words than this. "Claude Code for VS Code" has five.
const VALUE_WORDS_MAX: usize = 8;

/// Chinese, Japanese and Thai have no spaces: so many characters of theirs stand for a word.
const CHARS_PER_WORD: usize = 2;

/// Characters that look like those of paths and addresses, and serve to get around rules.
const LOOKALIKES: [(char, char); 8] = [
    ('＠', '@'),
    ('﹫', '@'),
    ('／', '/'),
    ('∕', '/'),
    ('⁄', '/'),
    ('＼', '\\'),
    ('：', ':'),
    ('．', '.'),
];

/// A phone number in its international form has at least this many digits, and at most 15 (ITU E.164).
const PHONE_DIGITS_MIN: usize = 9;

/// A hardware address has so many dashes, if it has any; a UUID has four.
const MAC_DASHES: usize = 5;

/// Longer than any name, id or version.
pub(super) fn is_long(text: &str) -> bool {
    text.len() > VALUE_CHARS_MAX && text.chars().count() > VALUE_CHARS_MAX
}

/// A thing that is personal in however short a text, or free text.
pub(super) fn is_telling(text: &str) -> bool {
    let classes = classes(text);
    // UTF-8 begins with a byte that names no character here.
    if classes & FOREIGN != 0 {
        let plain = without_lookalikes(text);
        if plain != text {
            return is_wordy(text) || is_telling(&plain);
        }
    }
    holds(text, |needed| classes & needed != 0)
}

/// Whether one of the patterns is in the text. It is looked for only if the text `has` what the pattern
/// cannot be without.
fn holds(text: &str, has: impl Fn(Classes) -> bool) -> bool {
    (has(SPACE | FOREIGN) && is_wordy(text))
        || (has(MARK) && has(BEYOND_F) && holds_mark(text))
        || (has(SLASH) && !is_command(text) && starts(text, begins_path, is_in_path).any(is_path))
        || (has(BACKSLASH) && is_windows_name(text))
        || (has(AT) && text.replace("%40", "@").split(is_delimiter).any(is_email))
        || (has(COLON) && text.split("://").skip(1).any(is_telling_url))
        || (has(DOT) && text.split(is_no_ipv4).any(is_ipv4))
        || ((has(COLON) || (has(DASH) && dashes(text) >= MAC_DASHES))
            && text.split(is_no_ipv6_or_mac).any(is_ipv6_or_mac))
        || (has(PLUS) && starts(text, |byte| byte == b'+', char::is_alphanumeric).any(is_phone))
        || (has(SECRET)
            && has(BEYOND_F)
            && starts(text, begins_secret, char::is_alphanumeric).any(is_secret))
        || (has(CAPITAL)
            && text.len() >= OPAQUE_CHARS_MIN
            && text.split(is_delimiter).any(is_opaque))
}

/// More words than a name has, or more than one line.
fn is_wordy(text: &str) -> bool {
    let is_spaceless = |char: &char| matches!(char, '\u{e00}'..='\u{eff}' | '\u{2e80}'..='\u{d7ff}' | '\u{20000}'..='\u{3ffff}');
    let spaceless = text.chars().filter(is_spaceless).count();
    text.trim().contains(['\n', '\r'])
        || text.split_whitespace().count() + spaceless / CHARS_PER_WORD > VALUE_WORDS_MAX
}

fn dashes(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'-').count()
}

fn without_lookalikes(text: &str) -> String {
    // A zero-width space between two halves hides a word from a search, and from nobody's eyes.
    let visible = text
        .chars()
        .filter(|char| !matches!(char, '\u{200b}'..='\u{200d}' | '\u{feff}'));
    let plain = |char| {
        LOOKALIKES
            .iter()
            .find(|(like, _)| *like == char)
            .map_or(char, |(_, plain)| *plain)
    };
    visible.map(plain).collect()
}

/// `+1 415 555 2671`, `+49(30)1234-5678`.
fn is_phone(rest: &str) -> bool {
    let number = rest.strip_prefix('+').unwrap_or_default();
    let number = number
        .chars()
        .take_while(|char| char.is_ascii_digit() || " ().-/".contains(*char));
    (PHONE_DIGITS_MIN..=15).contains(&number.filter(char::is_ascii_digit).count())
}

fn is_no_ipv4(char: char) -> bool {
    !char.is_ascii_alphanumeric() && char != '.'
}

fn is_no_ipv6_or_mac(char: char) -> bool {
    !char.is_ascii_hexdigit() && !":.-".contains(char)
}

pub(super) fn is_delimiter(char: char) -> bool {
    char.is_whitespace()
        || matches!(
            char,
            '"' | '\''
                | '`'
                | '<'
                | '>'
                | '('
                | ')'
                | '['
                | ']'
                | '{'
                | '}'
                | ','
                | ';'
                | ':'
                | '='
                | '&'
                | '?'
                | '|'
                | '!'
                | '*'
        )
}

/// The text from each place on where something may begin: with such a byte, which is one of ASCII, and not
/// behind such a character.
pub(super) fn starts(
    text: &str,
    begins: fn(u8) -> bool,
    is_inside: fn(char) -> bool,
) -> impl Iterator<Item = &str> {
    let places = text
        .bytes()
        .enumerate()
        .filter(move |(_, byte)| begins(*byte));
    let places = places.map(|(at, _)| text.split_at(at));
    places.filter_map(move |(before, rest)| (!before.ends_with(is_inside)).then_some(rest))
}

/// Behind these a path does not begin: they stand inside `a/b`, `1.0/2`, `x-/y`.
pub(super) fn is_in_path(before: char) -> bool {
    before.is_alphanumeric() || matches!(before, '.' | '/' | '\\' | '_' | '-' | '~')
}

/// A slash, two backslashes, a tilde, dots, the letter of a drive.
fn begins_path(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\' | b'~' | b'.') || byte.is_ascii_alphabetic()
}

/// `/commit`: the one slash stands at the very beginning.
fn is_command(text: &str) -> bool {
    text.rfind(['/', '\\']) == Some(0)
}

/// `/a/b`, `~/a`, `~bob/a`, `./a`, `../a`, `C:\a`, `C:/a`, `\\host`. `/commit` alone is a command.
fn is_path(rest: &str) -> bool {
    let is_name = |char: char| char.is_alphanumeric() || "._-".contains(char);
    let is_slash = |char: char| char == '/' || char == '\\';
    let word = rest.split(char::is_whitespace).next().unwrap_or_default();
    if let Some(absolute) = word.strip_prefix('/') {
        // A list of commands, `/commit,/push`, is no path.
        let absolute = absolute.split(is_delimiter).next().unwrap_or_default();
        let mut segments = absolute.split('/');
        return segments.next().is_some_and(|first| !first.is_empty())
            && segments.next().is_some_and(|next| !next.is_empty());
    }
    let after_dots = word.strip_prefix("..").or_else(|| word.strip_prefix('.'));
    let after_tilde = word
        .strip_prefix('~')
        .map(|home| home.trim_start_matches(is_name));
    let mut chars = word.chars();
    let after_drive = chars
        .next()
        .filter(char::is_ascii_alphabetic)
        .and_then(|_| chars.as_str().strip_prefix(':'));
    [after_dots, after_tilde, after_drive]
        .into_iter()
        .flatten()
        .any(|after| after.starts_with(is_slash))
        || word.starts_with("\\\\")
}

/// `DOMAIN\user`, `src\main.rs`: a backslash between names is Windows' either way.
fn is_windows_name(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    chars
        .windows(3)
        .any(|three| three[0].is_alphanumeric() && three[1] == '\\' && three[2].is_alphanumeric())
}

/// `a@b.cd`, but not `claude-code@1.0.3-beta.rc`, nor `plugin@market`.
fn is_email(word: &str) -> bool {
    let Some((local, domain)) = word.rsplit_once('@') else {
        return false;
    };
    let mut labels = domain.split('.');
    let is_version = labels
        .clone()
        .take(2)
        .all(|label| label.starts_with(|char: char| char.is_ascii_digit()));
    let has_top = labels.by_ref().skip(1).any(|label| {
        label
            .chars()
            .take_while(|char| char.is_alphabetic())
            .count()
            >= 2
    });
    local.ends_with(|char: char| char.is_alphanumeric() || "._%+-".contains(char))
        && has_top
        && !is_version
}

/// A URL, from behind its `://`, that carries user info or a query.
fn is_telling_url(rest: &str) -> bool {
    let url = rest
        .split(|char: char| char.is_whitespace() || "\"'<>".contains(char))
        .next()
        .unwrap_or_default();
    let authority = url.split(['/', '?', '#']).next().unwrap_or_default();
    authority.contains('@')
        || url
            .split_once('?')
            .is_some_and(|(_, query)| !query.is_empty())
}

fn is_ipv4(word: &str) -> bool {
    word.trim_matches('.').parse::<Ipv4Addr>().is_ok()
}

/// `a::b` is a path in Rust, `::1` every machine: an address has four digits at least.
fn is_ipv6_or_mac(word: &str) -> bool {
    let word = word.trim_matches(['.', '-']);
    let is_mac = |separator| {
        word.len() == 17 && word.split(separator).filter(|part| part.len() == 2).count() == 6
    };
    let is_ipv6 = |word: &str| word.parse::<Ipv6Addr>().is_ok();
    let is_long_enough = word.chars().filter(char::is_ascii_hexdigit).count() >= 4;
    is_mac(':')
        || is_mac('-')
        || (is_long_enough && (is_ipv6(word) || is_ipv6(word.trim_matches(':'))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The quick look and the patterns themselves.
    fn check(text: &str) {
        assert_eq!(
            is_telling(text),
            is_wordy(text) || is_telling_plainly(text),
            "{text:?}"
        );
        let is_path = starts(text, begins_path, is_in_path).any(is_path);
        assert!(!is_path || !is_command(text), "{text:?}");
    }

    fn is_telling_plainly(text: &str) -> bool {
        let plain = without_lookalikes(text);
        if plain == text {
            holds(text, |_| true)
        } else {
            is_telling_plainly(&plain)
        }
    }

    proptest! {
        #[test]
        fn the_quick_look_misses_nothing_that_a_pattern_finds(text in any::<String>()) {
            check(&text);
        }

        #[test]
        fn nor_near_the_patterns(
            text in r"([/\\~.:@%?=+\-_ $\t\n{}]|sk-|gh[po]_|eyJ|AKIA|://|home|users|USERS|\u{212a}ey|to\u{212a}en|bearer|file|password|-----begin|\u{130}|[aB3f0é😀＠／中]|[0-9a-f]{2}|1\.2\.3\.4|[a-zA-Z0-9]{12}){0,40}"
        ) {
            check(&text);
        }
    }
}
