//! What looks personal in a text by itself, whatever the text is called: the patterns behind
//! `privacy::looks_personal`. It recognises; `privacy.rs` decides.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Free text is longer than this. UUIDs, model names, versions and hashes have at most about 130.
const VALUE_CHARS_MAX: usize = 200;

/// Free text has more words than this. "Claude Code for VS Code" has five.
const VALUE_WORDS_MAX: usize = 8;

/// Chinese, Japanese and Thai have no spaces: so many characters of theirs stand for a word.
const CHARS_PER_WORD: usize = 2;

/// The beginnings of keys that announce themselves, by how many characters at least must follow:
/// `sk-SK` is Slovak, `npm_config_cache` a variable. From the vendors' own pages on their keys.
const SECRET_PREFIXES: [(usize, &str); 4] = [
    (
        4,
        "ghp_ gho_ ghs_ ghu_ ghr_ github_pat_ glpat- xoxa- xoxb- xoxe- xoxp- xoxs- pk_live_ rk_live_ sk_live_ sk-ant- sk-proj-",
    ),
    (12, "sk- AKIA ASIA AIza ya29."),
    (16, "hf_"),
    (24, "npm_ pypi-"),
];

/// The first letters of these prefixes and of a JWT, so that most words need only this one look.
const SECRET_INITIALS: [char; 10] = ['A', 'e', 'g', 'h', 'n', 'p', 'r', 's', 'x', 'y'];

/// What stands before a secret, in lower case.
const SECRET_MARKS: &str = "bearer |-----begin|instrumentationkey=|accountkey=|accesskey=|apikey=|api_key=|api-key=|passwd=|password=|password:|token=|secret=";

/// Folders below which the next name is a person's, wherever in a text they stand; in lower case.
/// `-Users-alice-x` is how Claude Code names the folder of a project.
const HOMES: &str =
    "/home/|/users/|\\users\\|%userprofile%|$home|${home}|%2fhome%2f|%2fusers%2f|-users-";

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

/// Behind these a path does not begin: they stand inside `a/b`, `1.0/2`, `x-/y`.
const PATH_JOINERS: &str = "./\\_-~";

/// An opaque token is at least this long, as are all API keys without a prefix of their own, and mixes
/// capitals, small letters and digits, which UUIDs and hexadecimal hashes do not.
const OPAQUE_CHARS_MIN: usize = 32;

/// And one of its parts, between separators, is at least this long, which those of model names are not:
/// `Qwen3-Coder-480B-A35B-Instruct-FP8`.
const OPAQUE_PART_CHARS_MIN: usize = 12;

/// Longer than any name, id or version.
pub(super) fn is_long(text: &str) -> bool {
    text.len() > VALUE_CHARS_MAX && text.chars().count() > VALUE_CHARS_MAX
}

/// More words than a name has, or more than one line.
pub(super) fn is_wordy(text: &str) -> bool {
    let is_spaceless = |char: &char| matches!(char, '\u{e00}'..='\u{eff}' | '\u{2e80}'..='\u{d7ff}' | '\u{20000}'..='\u{3ffff}');
    let spaceless = text.chars().filter(is_spaceless).count();
    text.trim().contains(['\n', '\r'])
        || text.split_whitespace().count() + spaceless / CHARS_PER_WORD > VALUE_WORDS_MAX
}

/// A thing that is personal in however short a text. Each pattern is looked for only if the text has a
/// character it cannot be without: nearly all texts are short names, and this is run on every one.
pub(super) fn holds_pattern(text: &str) -> bool {
    if !text.is_ascii() {
        let plain = without_lookalikes(text);
        if plain != text {
            return holds_pattern(&plain);
        }
    }
    let has = |chars: &str| text.bytes().any(|byte| chars.as_bytes().contains(&byte));
    ((has("/\\:= $%-")) && holds_mark(text))
        || (has("/\\") && starts(text, PATH_JOINERS).any(is_path))
        || (has("\\") && is_windows_name(text))
        || (has("@%") && text.replace("%40", "@").split(is_delimiter).any(is_email))
        || (has(":") && text.split("://").skip(1).any(is_telling_url))
        || (has(".") && text.split(is_no_ipv4).any(is_ipv4))
        || (has(":-") && text.split(is_no_ipv6_or_mac).any(is_ipv6_or_mac))
        || (has("+") && starts(text, "").any(is_phone))
        || (has("-_.AI") && starts(text, "").any(is_secret))
        || (text.len() >= OPAQUE_CHARS_MIN && text.split(is_delimiter).any(is_opaque))
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

/// The words and beginnings that need no look at what follows.
fn holds_mark(text: &str) -> bool {
    let lower = text.to_lowercase();
    let mut marks = HOMES.split('|').chain(SECRET_MARKS.split('|'));
    marks.any(|mark| lower.contains(mark))
        || starts(&lower, PATH_JOINERS).any(|rest| rest.starts_with("file:"))
}

fn is_no_ipv4(char: char) -> bool {
    !char.is_ascii_alphanumeric() && char != '.'
}

fn is_no_ipv6_or_mac(char: char) -> bool {
    !char.is_ascii_hexdigit() && !":.-".contains(char)
}

fn is_delimiter(char: char) -> bool {
    char.is_whitespace() || "\"'`<>()[]{},;:=&?|!*".contains(char)
}

/// The text from each place on where something may begin: not behind a letter, a digit or a joiner.
fn starts<'a>(text: &'a str, joiners: &str) -> impl Iterator<Item = &'a str> {
    let mut before = ' ';
    text.char_indices().filter_map(move |(at, char)| {
        let begins = !before.is_alphanumeric() && !joiners.contains(before);
        before = char;
        begins.then(|| &text[at..])
    })
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

fn is_secret(rest: &str) -> bool {
    let is_tail = |char: &char| char.is_ascii_alphanumeric() || "_-".contains(*char);
    let is_key =
        |tail: &str, chars_min: usize| tail.chars().take_while(is_tail).count() >= chars_min;
    if !rest.starts_with(SECRET_INITIALS) {
        return false;
    }
    let mut prefixes = SECRET_PREFIXES
        .iter()
        .flat_map(|(chars_min, list)| list.split(' ').map(|prefix| (prefix, *chars_min)));
    prefixes.any(|(prefix, chars_min)| {
        rest.strip_prefix(prefix)
            .is_some_and(|tail| is_key(tail, chars_min))
    }) || is_jwt(rest)
}

/// Three parts, of which the first is `{"` in base64.
fn is_jwt(rest: &str) -> bool {
    let word = rest.split(is_delimiter).next().unwrap_or_default();
    word.starts_with("eyJ") && word.split('.').filter(|part| part.len() >= 4).count() >= 3
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

fn is_opaque(word: &str) -> bool {
    word.chars().count() >= OPAQUE_CHARS_MIN
        && word.contains(|char: char| char.is_ascii_uppercase())
        && word.contains(|char: char| char.is_ascii_lowercase())
        && word.contains(|char: char| char.is_ascii_digit())
        && word
            .split(|char: char| !char.is_ascii_alphanumeric())
            .any(|part| part.len() >= OPAQUE_PART_CHARS_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_prefix_begins_with_one_of_the_initials() {
        for prefix in SECRET_PREFIXES.iter().flat_map(|(_, list)| list.split(' ')) {
            assert!(prefix.starts_with(SECRET_INITIALS), "{prefix}");
            assert!(prefix.contains(['-', '_', '.', 'A', 'I']), "{prefix}");
        }
    }
}
