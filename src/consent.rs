//! May we? The one place that decides whether telemetry is on, and names the rule that turned it off.
//!
//! Everything here leans towards off: a file that cannot be read, a value of the wrong type, a link
//! where a file should be, all mean that nobody agreed.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::ci;
use crate::connection::unquoted;
use crate::lock;
use crate::os;

/// The file holds five short fields, about 200 bytes; 64 KiB leaves room for keys of other programs,
/// and keeps a file that is not what its name says from being read into memory.
pub(crate) const CONSENT_BYTES_MAX: u64 = 64 * 1024;

/// The words by which `<APP>_TELEMETRY` leaves telemetry on. Any other value turns it off: a user who sets a word
/// that is unknown here most likely means off.
const ON: [&str; 7] = ["1", "true", "on", "yes", "y", "enable", "enabled"];

/// The words by which `DO_NOT_TRACK` leaves telemetry on.
const OFF: [&str; 5] = ["0", "false", "off", "no", "n"];

/// Characters of an unknown word that are quoted.
const WORD_CHARS_MAX: usize = 40;

/// Why a file that another process keeps shut cannot be read.
pub(crate) const SHUT: &str = "another process keeps it shut";

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consent {
    /// The person agreed, and nothing in the environment says otherwise.
    Allowed,
    /// Telemetry is off, by this rule.
    Denied(Rule),
}

/// The rules that turn telemetry off, in the order in which they are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// A CI system, recognised by this variable.
    Ci(&'static str),
    /// The application's own variable, by name (`ATOMIC_TELEMETRY`), says off.
    AppVariable(String),
    /// `DO_NOT_TRACK` says yes.
    DoNotTrack,
    /// One of these two variables, by name, holds this word, which is neither a yes nor a no.
    UnknownWord(String, String),
    /// There is no `telemetry.json`: nobody was asked yet.
    NoConsentFile,
    /// `telemetry.json` is there, but says nothing that could be believed, for this reason.
    ConsentUnreadable(&'static str),
    /// `telemetry.json` is there, or its folder, but is not one of this person's own, for this reason.
    ConsentRefused(String),
    /// `consentGiven` in `telemetry.json` is not `true`.
    NotGiven,
    /// `enabled` in `telemetry.json` is not `true`.
    NotEnabled,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Ci(name) => write!(f, "this is a CI system, the variable {name} says"),
            Rule::AppVariable(name) => write!(f, "{name} says off"),
            Rule::DoNotTrack => f.write_str("DO_NOT_TRACK is set"),
            Rule::UnknownWord(name, word) => {
                write!(f, "{name}={word:?} is an unknown word, which means off")
            }
            Rule::NoConsentFile => {
                f.write_str("nobody has agreed yet (there is no telemetry.json)")
            }
            Rule::ConsentUnreadable(why) => {
                write!(f, "telemetry.json cannot be read, which means off: {why}")
            }
            Rule::ConsentRefused(why) => {
                write!(f, "telemetry.json cannot be read, which means off: {why}")
            }
            Rule::NotEnabled => {
                f.write_str("it was turned off (\"enabled\" in telemetry.json is not true)")
            }
            Rule::NotGiven => {
                f.write_str("nobody has agreed (\"consentGiven\" in telemetry.json is not true)")
            }
        }
    }
}

/// Asks the environment first, then the consent file of the application `app`.
#[must_use]
pub fn ask(env: &BTreeMap<String, String>, app: &str, telemetry_json: &Path) -> Consent {
    decide(env, app, &read(telemetry_json))
}

/// What was found where `telemetry.json` belongs.
#[derive(Debug, PartialEq, Eq)]
pub enum FileState {
    /// Nothing.
    Missing,
    /// Something that is not a small plain file of this user's own in a folder of theirs; and why.
    Refused(String),
    /// A file that another process keeps shut.
    Shut,
    /// The file's content, whatever it is.
    Bytes(Vec<u8>),
}

/// Reads the consent file, for those who need more of it than the answer.
pub fn read(telemetry_json: &Path) -> FileState {
    // Whatever is made, is made beside this file.
    if let Some(Err(err)) = telemetry_json.parent().map(os::check_dir)
        && err.kind() != io::ErrorKind::NotFound
    {
        return FileState::Refused(format!("its folder: {err}"));
    }
    // A link is refused, not followed: whoever can plant one must not answer for the person. While the
    // anonymous id is changed, for microseconds, an open that does not wait is refused, too.
    let read = lock::patiently(lock::WAIT_OF_PRODUCER, || {
        match os::read_decision(telemetry_json, CONSENT_BYTES_MAX) {
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => Ok(None),
            read => read.map(Some),
        }
    });
    match read {
        Ok(Some(bytes)) => FileState::Bytes(bytes),
        Ok(None) => FileState::Shut,
        Err(err) if err.kind() == io::ErrorKind::NotFound => FileState::Missing,
        Err(err) => FileState::Refused(err.to_string()),
    }
}

/// The answer that the environment and this file give for the application `app`.
pub fn decide(env: &BTreeMap<String, String>, app: &str, file: &FileState) -> Consent {
    match denied_by_environment(env, app).or_else(|| denied_by_file(file)) {
        Some(rule) => Consent::Denied(rule),
        None => Consent::Allowed,
    }
}

fn denied_by_environment(env: &BTreeMap<String, String>, app: &str) -> Option<Rule> {
    if let Some(name) = ci::detected(env) {
        return Some(Rule::Ci(name));
    }
    let own = variable_of(app);
    match said(env, &own) {
        Said::Nothing | Said::On => {}
        Said::Off => return Some(Rule::AppVariable(own)),
        Said::Unknown(word) => return Some(Rule::UnknownWord(own, word)),
    }
    let track = "DO_NOT_TRACK";
    match said(env, track) {
        Said::Nothing | Said::Off => None,
        Said::On => Some(Rule::DoNotTrack),
        Said::Unknown(word) => Some(Rule::UnknownWord(track.to_owned(), word)),
    }
}

/// What a variable says.
enum Said {
    Nothing,
    On,
    Off,
    Unknown(String),
}

/// Reads a word in any case.
fn said(env: &BTreeMap<String, String>, variable: &str) -> Said {
    let value = env.get(variable).map_or("", String::as_str);
    let word = unquoted(value);
    let is_in = |words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known));
    if word.is_empty() {
        Said::Nothing
    } else if is_in(&ON) {
        Said::On
    } else if is_in(&OFF) {
        Said::Off
    } else {
        Said::Unknown(word.chars().take(WORD_CHARS_MAX).collect())
    }
}

fn denied_by_file(file: &FileState) -> Option<Rule> {
    let bytes = match file {
        FileState::Missing => return Some(Rule::NoConsentFile),
        FileState::Refused(why) => return Some(Rule::ConsentRefused(why.clone())),
        FileState::Shut => return Some(Rule::ConsentRefused(SHUT.to_owned())),
        FileState::Bytes(bytes) => bytes,
    };
    let pairs = match pairs(bytes) {
        Ok(pairs) => pairs,
        Err(why) => return Some(Rule::ConsentUnreadable(why)),
    };
    let values = |key: &str| -> Vec<&Value> {
        let own = pairs.iter().filter(|(name, _)| name == key);
        own.map(|(_, value)| value).collect()
    };
    // Of a key that stands there twice one reader takes the first, another the last.
    let differ = |key: &str| values(key).windows(2).any(|two| two[0] != two[1]);
    if differ("enabled") || differ("consentGiven") {
        return Some(Rule::ConsentUnreadable("it says two things at once"));
    }
    // Only the JSON boolean: the string "true" may be anything, a template that was never filled in too.
    let is_true = |key: &str| values(key).first() == Some(&&Value::Bool(true));
    match (is_true("enabled"), is_true("consentGiven")) {
        (_, false) => Some(Rule::NotGiven),
        (false, true) => Some(Rule::NotEnabled),
        (true, true) => None,
    }
}

/// The keys and values of a consent file, each as often as it stands there.
///
/// # Errors
/// What is wrong with it, as a sentence about the file.
pub fn pairs(file: &[u8]) -> Result<Vec<(String, Value)>, &'static str> {
    serde_json::from_slice(os::without_byte_order_mark(file))
        .map(|Pairs(pairs)| pairs)
        .map_err(|_| "it is not one JSON object")
}

struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(file: D) -> Result<Pairs, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        file.deserialize_map(Object)
    }
}

/// `my-app` → `MY_APP_TELEMETRY`: what a shell can set, whatever the application is called.
fn variable_of(app: &str) -> String {
    let name: String = app
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect();
    name + "_TELEMETRY"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const YES: &str = r#"{"enabled":true,"consentGiven":true,"anonymousId":"x","other":[1]}"#;

    fn env_of(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn own() -> Rule {
        Rule::AppVariable("ATOMIC_TELEMETRY".to_owned())
    }

    fn no_object() -> Rule {
        Rule::ConsentUnreadable("it is not one JSON object")
    }

    /// `None` means allowed.
    fn check(pairs: &[(&str, &str)], file: &str, expected: Option<Rule>) {
        let file = FileState::Bytes(file.as_bytes().to_vec());
        let expected = expected.map_or(Consent::Allowed, Consent::Denied);
        assert_eq!(
            decide(&env_of(pairs), "atomic", &file),
            expected,
            "{pairs:?} {file:?}"
        );
    }

    /// The file is really there, and really asked for.
    fn check_file(path: &Path, expected: Option<Rule>) {
        let expected = expected.map_or(Consent::Allowed, Consent::Denied);
        assert_eq!(
            ask(&BTreeMap::new(), "atomic", path),
            expected,
            "{}",
            path.display()
        );
    }

    /// What is really there is no file to be believed, and why not is said.
    fn check_refused(path: &Path, why: &str) {
        match ask(&BTreeMap::new(), "atomic", path) {
            Consent::Denied(Rule::ConsentRefused(said)) => assert!(said.contains(why), "{said}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_whole_matrix_is_decided_by_its_first_rule() {
        let ci = [None, Some(Rule::Ci("CI"))];
        let app = [None, Some(own())];
        let dnt = [None, Some(Rule::DoNotTrack)];
        let files = [
            (FileState::Bytes(YES.into()), None),
            (FileState::Missing, Some(Rule::NoConsentFile)),
            (
                FileState::Refused("it is a link".to_owned()),
                Some(Rule::ConsentRefused("it is a link".to_owned())),
            ),
            (FileState::Bytes(b"{".to_vec()), Some(no_object())),
            (
                FileState::Bytes(br#"{"enabled":true}"#.to_vec()),
                Some(Rule::NotGiven),
            ),
            (
                FileState::Bytes(br#"{"consentGiven":true}"#.to_vec()),
                Some(Rule::NotEnabled),
            ),
        ];
        for (a, b, c, (file, d)) in ci.iter().flat_map(|a| {
            let (dnt, files) = (&dnt, &files);
            app.iter().flat_map(move |b| {
                dnt.iter()
                    .flat_map(move |c| files.iter().map(move |f| (a, b, c, f)))
            })
        }) {
            let mut env = BTreeMap::new();
            for (rule, name, value) in [
                (a, "CI", "true"),
                (b, "ATOMIC_TELEMETRY", "0"),
                (c, "DO_NOT_TRACK", "1"),
            ] {
                if rule.is_some() {
                    env.insert(name.to_owned(), value.to_owned());
                }
            }
            let first = [a, b, c, d].into_iter().flatten().next().cloned();
            let expected = first.map_or(Consent::Allowed, Consent::Denied);
            assert_eq!(decide(&env, "atomic", file), expected, "{env:?} {file:?}");
        }
    }

    #[test]
    fn consent_with_a_quiet_environment_is_allowed() {
        check(&[], YES, None);
        check(&[("HOME", "/home/a")], YES, None);
    }

    #[test]
    fn the_application_s_variable_turns_off_with_each_word_for_it() {
        for value in [
            "0", "false", "off", "no", "n", "OFF", "False", " no \n", "\"0\"", "' off '",
        ] {
            check(&[("ATOMIC_TELEMETRY", value)], YES, Some(own()));
        }
    }

    #[test]
    fn the_application_s_variable_never_turns_on() {
        for value in [
            "1", "true", "on", "yes", "y", "enable", "enabled", "Enabled", " ON ", "\"1\"",
            "'true'",
        ] {
            check(&[("ATOMIC_TELEMETRY", value)], YES, None);
            check(&[("ATOMIC_TELEMETRY", value)], "{}", Some(Rule::NotGiven));
        }
    }

    #[test]
    fn an_unknown_word_turns_off_and_is_quoted() {
        let long = "x".repeat(1000);
        for (value, quoted) in [
            ("disabled", "\"disabled\""),
            ("disable", "\"disable\""),
            (" Nope ", "\"Nope\""),
            ("'never'", "\"never\""),
            ("00", "\"00\""),
            ("-1", "\"-1\""),
            ("\"", "\"\\\"\""),
            ("caf\u{fffd}", "\"caf\u{fffd}\""),
            ("a\u{1b}[2J\nb", "\"a\\u{1b}[2J\\nb\""),
            (&long, &format!("\"{}\"", "x".repeat(40))),
        ] {
            for name in ["ATOMIC_TELEMETRY", "DO_NOT_TRACK"] {
                let file = FileState::Bytes(YES.into());
                let Consent::Denied(rule) = decide(&env_of(&[(name, value)]), "atomic", &file)
                else {
                    panic!("{name}={value}");
                };
                let expected = format!("{name}={quoted} is an unknown word, which means off");
                assert_eq!(rule.to_string(), expected);
            }
        }
        for empty in ["", " ", "\t", "\"\"", "' '"] {
            for name in ["ATOMIC_TELEMETRY", "DO_NOT_TRACK"] {
                check(&[(name, empty)], YES, None);
            }
        }
    }

    #[test]
    fn another_application_s_variable_does_not_count() {
        check(
            &[("OTHER_TELEMETRY", "0"), ("atomic_telemetry", "0")],
            YES,
            None,
        );
    }

    #[test]
    fn do_not_track_holds_for_anything_but_the_words_for_no() {
        for value in ["1", "true", "yes", "on", "y", "TRUE", " 1 ", "\"1\""] {
            check(&[("DO_NOT_TRACK", value)], YES, Some(Rule::DoNotTrack));
        }
        for value in ["2", "00", "whatever"] {
            let rule = Rule::UnknownWord("DO_NOT_TRACK".to_owned(), value.to_owned());
            check(&[("DO_NOT_TRACK", value)], YES, Some(rule));
        }
        for value in [
            "", " ", "\t", "0", "false", "no", "n", "off", "FALSE", " Off ", "'0'",
        ] {
            check(&[("DO_NOT_TRACK", value)], YES, None);
        }
    }

    #[test]
    fn do_not_track_beats_a_variable_that_says_on() {
        let env = [("ATOMIC_TELEMETRY", "1"), ("DO_NOT_TRACK", "1")];
        check(&env, YES, Some(Rule::DoNotTrack));
    }

    #[test]
    fn ci_false_passes_even_on_a_ci_machine() {
        check(&[("CI", "false"), ("GITHUB_ACTIONS", "true")], YES, None);
    }

    #[test]
    fn only_the_boolean_true_is_true() {
        for wrong in [
            r#""true""#,
            "1",
            "null",
            "[true]",
            r#"{"a":true}"#,
            "false",
            r#""""#,
        ] {
            let file = format!(r#"{{"enabled":{wrong},"consentGiven":true}}"#);
            check(&[], &file, Some(Rule::NotEnabled));
            let file = format!(r#"{{"enabled":true,"consentGiven":{wrong}}}"#);
            check(&[], &file, Some(Rule::NotGiven));
        }
    }

    #[test]
    fn keys_are_compared_with_their_case() {
        check(
            &[],
            r#"{"Enabled":true,"consentGiven":true}"#,
            Some(Rule::NotEnabled),
        );
        check(
            &[],
            r#"{"enabled":true,"consent_given":true}"#,
            Some(Rule::NotGiven),
        );
    }

    #[test]
    fn anything_but_one_json_object_is_unreadable() {
        let bomb = "[".repeat(10_000);
        for text in ["", " ", "true", "[]", "null", "{", "{}{}", "\0\0", &bomb] {
            check(&[], text, Some(no_object()));
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        check(&[], &format!("\u{feff}{YES}"), None);
        check(&[], "\u{feff}{}", Some(Rule::NotGiven));
        check(&[], "\u{feff}", Some(no_object()));
        check(&[], "\u{feff}\u{feff}{}", Some(no_object()));
    }

    #[test]
    fn a_file_that_says_yes_and_no_means_no() {
        let why = Some(Rule::ConsentUnreadable("it says two things at once"));
        for text in [
            r#"{"enabled":false,"consentGiven":true,"enabled":true}"#,
            r#"{"enabled":true,"consentGiven":true,"enabled":false}"#,
            r#"{"enabled":true,"consentGiven":true,"consentGiven":null}"#,
        ] {
            check(&[], text, why.clone());
        }
        let twice = r#"{"enabled":true,"enabled":true,"x":1,"x":2,"consentGiven":true}"#;
        check(&[], twice, None);
    }

    #[test]
    fn the_variable_is_made_of_letters_a_shell_accepts() {
        for (app, expected) in [
            ("atomic", "ATOMIC_TELEMETRY"),
            ("my-app 2", "MY_APP_2_TELEMETRY"),
            ("a.b_c", "A_B_C_TELEMETRY"),
            ("größe", "GR__E_TELEMETRY"),
            ("", "_TELEMETRY"),
        ] {
            assert_eq!(variable_of(app), expected);
        }
    }

    #[test]
    fn each_rule_names_what_decided() {
        for (rule, part) in [
            (Rule::Ci("TF_BUILD"), "TF_BUILD"),
            (own(), "ATOMIC_TELEMETRY says off"),
            (Rule::DoNotTrack, "DO_NOT_TRACK is set"),
            (Rule::NoConsentFile, "no telemetry.json"),
            (no_object(), "means off: it is not one JSON object"),
            (Rule::ConsentRefused("so".to_owned()), "means off: so"),
            (Rule::NotEnabled, "\"enabled\""),
            (Rule::NotGiven, "\"consentGiven\""),
        ] {
            assert!(rule.to_string().contains(part), "{rule}");
        }
    }

    #[test]
    fn real_files_are_read_and_judged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("telemetry.json");
        check_file(&path, Some(Rule::NoConsentFile));
        for (content, expected) in [
            (YES, None),
            ("", Some(no_object())),
            ("{\"enabled\":tru", Some(no_object())),
            (
                "{\"enabled\":\"true\",\"consentGiven\":true}",
                Some(Rule::NotEnabled),
            ),
            (
                "{\"enabled\":true,\"consentGiven\":1}",
                Some(Rule::NotGiven),
            ),
        ] {
            fs::write(&path, content).unwrap();
            check_file(&path, expected);
        }
    }

    #[test]
    fn a_folder_in_its_place_is_unreadable() {
        let dir = tempfile::tempdir().unwrap();
        check_refused(dir.path(), "it is not a regular file");
        check_file(
            &dir.path().join("none/telemetry.json"),
            Some(Rule::NoConsentFile),
        );
    }

    #[test]
    fn a_file_of_64_kib_is_read_and_one_byte_more_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("telemetry.json");
        let limit = usize::try_from(CONSENT_BYTES_MAX).unwrap();
        fs::write(&path, YES.to_owned() + &" ".repeat(limit - YES.len())).unwrap();
        check_file(&path, None);
        assert_eq!(limit, 65_536);
        fs::write(&path, YES.to_owned() + &" ".repeat(limit + 1 - YES.len())).unwrap();
        check_refused(&path, "file too large");
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_is_unreadable_whatever_it_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("elsewhere.json");
        let link = dir.path().join("telemetry.json");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        check_refused(&link, "it is a symbolic link");
        fs::write(&target, YES).unwrap();
        check_refused(&link, "it is a symbolic link");
    }

    #[cfg(unix)]
    #[test]
    fn a_socket_in_its_place_is_unreadable() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("telemetry.json");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        check_refused(&path, "No such device");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_everybody_may_write_speaks_for_nobody() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("telemetry.json");
        fs::write(&path, YES).unwrap();
        // The usual umask of some systems is 002, and the group the person's own.
        fs::set_permissions(&path, PermissionsExt::from_mode(0o664)).unwrap();
        check_file(&path, None);
        fs::set_permissions(&path, PermissionsExt::from_mode(0o602)).unwrap();
        check_refused(&path, "everybody may write it");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_whose_id_is_being_changed_is_waited_for() {
        use crate::lease::{self, Lease};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("telemetry.json");
        fs::write(&path, YES).unwrap();
        // On a busy machine the lease may end before the reading begins, or outlast its patience.
        let waited = (0..50).any(|_| {
            let file = os::open(&path, os::Open::Update).unwrap();
            // A program that another test starts may hold it open for a moment.
            let Lease::Held(held) = lease::take(&file) else {
                return false;
            };
            std::thread::scope(|scope| {
                let asking = scope.spawn(|| ask(&BTreeMap::new(), "atomic", &path));
                lock::patiently(std::time::Duration::from_millis(20), || Ok(None::<()>)).unwrap();
                let was_waiting = !asking.is_finished();
                drop(held);
                was_waiting && asking.join().unwrap() == Consent::Allowed
            })
        });
        assert!(waited);
    }
}
