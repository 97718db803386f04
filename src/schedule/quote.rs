//! The rules by which a text stands for itself in each scheduler's files. Control characters are refused
//! before any of this.

use crate::wording::shell;

/// A word of a systemd unit, in quotes. `%` begins a specifier everywhere.
pub(super) fn systemd(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' => quoted.push_str("%%"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The same for an argument of a command, where `$` begins a variable; in the program's own path and in
/// `Environment=` it does not.
pub(super) fn systemd_argument(text: &str) -> String {
    systemd(&text.replace('$', "$$"))
}

/// A word of a line in a crontab. `%` would end the command; behind a backslash it does not, and outside of
/// quotes the backslash means nothing to the shell, whether cron took it away or, as in `busybox`, not.
pub(super) fn cron(text: &str) -> String {
    shell(text).replace('%', r"'\%'")
}

/// A text in XML.
pub(super) fn xml(text: &str) -> String {
    let mut quoted = String::new();
    for c in text.chars() {
        match c {
            '&' => quoted.push_str("&amp;"),
            '<' => quoted.push_str("&lt;"),
            '>' => quoted.push_str("&gt;"),
            c => quoted.push(c),
        }
    }
    quoted
}

/// The text that stands so in XML.
pub(super) fn from_xml(quoted: &str) -> String {
    quoted
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

/// The words that stand so in a line of a shell, or, but for doubled characters, of a systemd unit.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut is_word) = (String::new(), None, false);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (' ' | '\t', None) => {
                if is_word {
                    words.push(std::mem::take(&mut word));
                }
                is_word = false;
                continue;
            }
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => word.extend(chars.next()),
            (c, _) => word.push(c),
        }
        is_word = true;
    }
    if is_word {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARD: [&str; 6] = [
        "/usr/bin/x",
        "/a b/it's",
        "/100%/%h",
        "/\"q\"",
        "/a$HOME/$$",
        "/a;b&c<d>e|f`g`(h)*?#~!ä",
    ];

    #[test]
    fn what_is_quoted_reads_back_as_one_word() {
        for text in HARD {
            let line = format!("a {} b", shell(text));
            assert_eq!(words(&line), ["a", text, "b"]);
            let line = format!("a {} b", cron(text));
            assert_eq!(words(&line), ["a", text, "b"]);
            let line = format!("a {} b", systemd(text));
            assert_eq!(words(&line)[1].replace("%%", "%"), text);
            assert_eq!(from_xml(&xml(text)), text);
        }
        assert_eq!(words(r#""a\\b""#), [r"a\b"]);
    }

    #[test]
    fn a_percent_sign_stands_outside_of_the_quotes_of_a_crontab() {
        assert_eq!(cron("/a%b"), r"'/a'\%'b'");
        assert_eq!(cron("/a b"), "'/a b'");
        assert_eq!(cron("/a-b"), "/a-b");
    }

    #[test]
    fn what_systemd_would_expand_is_doubled() {
        assert_eq!(systemd("/a%$\"\\"), r#""/a%%$\"\\""#);
        assert_eq!(systemd_argument("/a%$"), r#""/a%%$$""#);
    }
}
