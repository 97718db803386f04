//! What names the person, and must not stand in a report that others read.

use super::Env;
use crate::paths;

/// The person's home folder and name.
#[derive(Debug)]
pub(super) struct Hidden {
    home: Option<String>,
    names: Vec<String>,
}

impl Hidden {
    pub(super) fn of(env: &Env) -> Hidden {
        let home = paths::home().ok();
        let last = home.as_deref().and_then(|home| home.file_name());
        let mut names: Vec<String> = ["USER", "LOGNAME", "USERNAME"]
            .iter()
            .filter_map(|variable| env.get(*variable).cloned())
            .chain(last.map(|name| name.to_string_lossy().into_owned()))
            .filter(|name| !name.is_empty())
            .collect();
        names.sort();
        names.dedup();
        let home = home.map(|home| home.display().to_string());
        Hidden {
            home: home.filter(|home| home.len() > 1),
            names,
        }
    }

    /// The home folder becomes `~`, as a shell takes it; elsewhere in a path the name becomes `$USER`.
    pub(super) fn take_out(&self, text: &str) -> String {
        let text = self.without_home(text);
        let mut parts = text.split_inclusive(['/', '\\']);
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |shown, part| shown + &self.without_name(part))
    }

    fn without_home(&self, text: &str) -> String {
        let Some(home) = &self.home else {
            return text.to_owned();
        };
        // Within quotes a shell would take `~` for the name of a file.
        let text = text.replace(&format!("'{home}/"), "~/'");
        let mut parts = text.split(home.as_str());
        let mut shown = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            shown += if goes_on(part) { home } else { "~" };
            shown += part;
        }
        shown
    }

    fn without_name(&self, part: &str) -> String {
        let names = self.names.iter();
        let mut rests = names.filter_map(|name| part.strip_prefix(name.as_str()));
        match rests.find(|rest| !goes_on(rest)) {
            Some(rest) => format!("$USER{rest}"),
            None => part.to_owned(),
        }
    }
}

/// Whether what stands before this is only the beginning of a name.
fn goes_on(rest: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    // A full stop may end a sentence.
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    rest.starts_with(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_folder_and_the_name_in_a_path_are_hidden_and_words_are_not() {
        let hidden = Hidden {
            home: Some("/home/anna".to_owned()),
            names: vec!["anna".to_owned()],
        };
        for (text, expected) in [
            ("/home/anna/.local/share/x", "~/.local/share/x"),
            ("cd '/home/anna/a b'", "cd ~/'a b'"),
            (
                "/home/annabel, /home/anna.b, /home/anna.",
                "/home/annabel, /home/anna.b, ~.",
            ),
            ("see /data/anna: no", "see /data/$USER: no"),
            (
                "see /data/anna/x (/mnt/anna)",
                "see /data/$USER/x (/mnt/$USER)",
            ),
            (
                "anna is a word, /annabel and /anna-b are others",
                "anna is a word, /annabel and /anna-b are others",
            ),
        ] {
            assert_eq!(hidden.take_out(text), expected);
        }
    }
}
