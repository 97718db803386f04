//! Secrets: keys that announce themselves, and those that look like nothing else.

use super::patterns::is_delimiter;

/// The beginnings of keys that announce themselves, by how many characters at least must follow:
/// `sk-SK` is Slovak, `npm_config_cache` a variable. From the vendors' own pages on their keys.
const SECRET_PREFIXES: [(usize, &[&str]); 4] = [
    (
        4,
        &[
            "ghp_",
            "gho_",
            "ghs_",
            "ghu_",
            "ghr_",
            "github_pat_",
            "glpat-",
            "xoxa-",
            "xoxb-",
            "xoxe-",
            "xoxp-",
            "xoxs-",
            "pk_live_",
            "rk_live_",
            "sk_live_",
            "sk-ant-",
            "sk-proj-",
        ],
    ),
    (12, &["sk-", "AKIA", "ASIA", "AIza", "ya29."]),
    (16, &["hf_"]),
    (24, &["npm_", "pypi-"]),
];

/// An opaque token is at least this long, as are all API keys without a prefix of their own, and mixes
/// capitals, small letters and digits, which UUIDs and hexadecimal hashes do not.
pub(super) const OPAQUE_CHARS_MIN: usize = 32;

/// And one of its parts, between separators, is at least this long, which those of model names are not:
/// `Qwen3-Coder-480B-A35B-Instruct-FP8`.
const OPAQUE_PART_CHARS_MIN: usize = 12;

/// The first letters of the beginnings of secrets and of a JWT.
pub(super) fn begins_secret(byte: u8) -> bool {
    matches!(
        byte,
        b'A' | b'e' | b'g' | b'h' | b'n' | b'p' | b'r' | b's' | b'x' | b'y'
    )
}

/// Whether a secret begins here.
pub(super) fn is_secret(rest: &str) -> bool {
    let is_tail = |char: &char| char.is_ascii_alphanumeric() || "_-".contains(*char);
    let is_key =
        |tail: &str, chars_min: usize| tail.chars().take_while(is_tail).count() >= chars_min;
    let mut prefixes = SECRET_PREFIXES
        .iter()
        .flat_map(|(chars_min, prefixes)| prefixes.iter().map(|prefix| (*prefix, *chars_min)));
    prefixes.any(|(prefix, chars_min)| {
        // Most fail at the first letter.
        prefix.bytes().next() == rest.bytes().next()
            && rest
                .strip_prefix(prefix)
                .is_some_and(|tail| is_key(tail, chars_min))
    }) || is_jwt(rest)
}

/// Three parts, of which the first is `{"` in base64.
fn is_jwt(rest: &str) -> bool {
    rest.starts_with("eyJ") && {
        let word = rest.split(is_delimiter).next().unwrap_or_default();
        word.split('.').filter(|part| part.len() >= 4).count() >= 3
    }
}

/// Whether a word is an opaque token.
pub(super) fn is_opaque(word: &str) -> bool {
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
    use super::super::classes::{BEYOND_F, SECRET, classes};
    use super::*;

    #[test]
    fn every_secret_prefix_begins_with_one_of_the_initials() {
        for prefix in SECRET_PREFIXES.iter().flat_map(|(_, list)| *list) {
            assert!(begins_secret(prefix.as_bytes()[0]), "{prefix}");
            assert_ne!(classes(prefix) & SECRET, 0, "{prefix}");
            assert_ne!(classes(prefix) & BEYOND_F, 0, "{prefix}");
        }
    }
}
