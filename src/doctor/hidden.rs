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

    /// The home folder becomes `~`; elsewhere in a path the name becomes `<user>`.
    pub(super) fn take_out(&self, text: &str) -> String {
        let text = match &self.home {
            Some(home) => text.replace(home, "~"),
            None => text.to_owned(),
        };
        let mut parts = text.split_inclusive(['/', '\\']);
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |shown, part| shown + &self.without_name(part))
    }

    fn without_name(&self, part: &str) -> String {
        let names = self.names.iter();
        let mut rests = names.filter_map(|name| part.strip_prefix(name.as_str()));
        let ends_there = |rest: &&str| {
            !rest.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        match rests.find(ends_there) {
            Some(rest) => format!("<user>{rest}"),
            None => part.to_owned(),
        }
    }
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
            ("see /data/anna: no", "see /data/<user>: no"),
            (
                "see /data/anna/x (/mnt/anna)",
                "see /data/<user>/x (/mnt/<user>)",
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
