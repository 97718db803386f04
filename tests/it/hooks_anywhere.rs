//! `telemetry-upload hooks` with any settings, written in any way.

use crate::hooks_install::{CLAUDE, Home};
use anyhow::Result;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use telemetry_upload::host_settings::{self, HostFile, Plan, Standing};
use telemetry_upload::hosts::Host;

/// A JSON value with hooks of anyone in it, some of them ours, written in any way.
fn settings() -> impl Strategy<Value = String> {
    let blank = prop_oneof![
        Just(String::new()),
        Just(" ".to_owned()),
        Just("\n  ".to_owned()),
        Just("\r\n\t".to_owned()),
        "[ \t\r\n]{0,4}"
    ];
    let blank2 = blank.clone();
    let ours: Value = serde_json::from_str(&Host::Claude.snippet("atomic")).unwrap();
    let ours = ours["hooks"]["SessionStart"][0].to_string();
    let text = prop_oneof!["[a-z]{0,3}", Just("hooks".to_owned()), any::<String>()]
        .prop_map(|text| Value::from(text).to_string());
    let plain = prop_oneof![
        text,
        Just("1.50e+02".to_owned()),
        Just("-0".to_owned()),
        Just("null".to_owned()),
        Just("\"\\u00e9\\/\"".to_owned())
    ];
    let value = plain.prop_recursive(3, 12, 4, move |inner| {
        let blank = blank2.clone();
        (
            prop::collection::vec((inner, "[a-c]{1,2}"), 0..4),
            blank,
            any::<bool>(),
        )
            .prop_map(|(items, blank, named)| {
                if named {
                    let items = items.into_iter().map(|(value, name)| (name, value));
                    object(items.collect(), &blank)
                } else {
                    let items: Vec<String> = items.into_iter().map(|(value, _)| value).collect();
                    row('[', &items, ']', &blank)
                }
            })
    });
    let entry = prop_oneof![
        Just(ours),
        Just("{\"hooks\":[]}".to_owned()),
        Just("{\"matcher\":\"x\",\n\"hooks\":[{\"command\":\"a\"}]}".to_owned()),
        Just("{ \"command\" : \"b\" }".to_owned())
    ];
    let event = prop::sample::select(vec![
        "SessionStart",
        "SessionEnd",
        "Stop",
        "UserPromptExpansion",
    ]);
    let groups = (prop::collection::vec(entry, 0..3), blank.clone())
        .prop_map(|(entries, blank)| row('[', &entries, ']', &blank));
    let hooks = (
        prop::collection::btree_map(event, groups, 0..4),
        blank.clone(),
    );
    let hooks = hooks.prop_map(|(events, blank)| {
        let events = events
            .into_iter()
            .map(|(name, groups)| (name.to_owned(), groups));
        object(events.collect(), &blank)
    });
    let members = prop::collection::btree_map("[a-d]{1,2}", value, 0..4);
    (
        members,
        prop::option::of(hooks),
        any::<prop::sample::Index>(),
        blank.clone(),
        blank,
    )
        .prop_map(|(members, hooks, at, blank, outside)| {
            let mut members: Vec<(String, String)> = members.into_iter().collect();
            if let Some(hooks) = hooks {
                members.insert(at.index(members.len() + 1), ("hooks".to_owned(), hooks));
            }
            format!("{outside}{}{outside}", object(members, &blank))
        })
}

fn object(members: Vec<(String, String)>, blank: &str) -> String {
    let members: BTreeMap<String, String> = members.into_iter().collect();
    let members: Vec<String> = members
        .into_iter()
        .map(|(name, value)| format!("{}{blank}:{blank}{value}", Value::from(name)))
        .collect();
    row('{', &members, '}', blank)
}

fn row(open: char, items: &[String], close: char, blank: &str) -> String {
    let items = items.join(&format!("{blank},{blank}"));
    format!("{open}{blank}{items}{blank}{close}")
}

/// Whether `after` has everything that `before` has, in the same order.
fn contains(after: &Value, before: &Value) -> bool {
    match (after, before) {
        (Value::Object(after), Value::Object(before)) => {
            let common = after.keys().filter(|name| before.contains_key(*name));
            common.eq(before.keys())
                && before
                    .iter()
                    .all(|(name, value)| contains(&after[name], value))
        }
        (Value::Array(after), Value::Array(before)) => {
            after.len() >= before.len()
                && before
                    .iter()
                    .zip(after)
                    .all(|(before, after)| before == after)
        }
        _ => after == before,
    }
}

/// Whether every byte of `part` is in `whole`, in the same order.
fn is_part(part: &str, whole: &str) -> bool {
    let mut whole = whole.bytes();
    part.bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .all(|byte| whole.any(|it| it == byte))
}

/// Claude's settings, behind a link: so they are never removed, even if all they hold is ours.
struct Settings {
    path: PathBuf,
}

impl Settings {
    fn new(home: &Home) -> Settings {
        let path = home.path("settings.json");
        fs::write(home.path("behind.json"), "").unwrap();
        symlink("behind.json", &path).unwrap();
        Settings { path }
    }

    fn read(&self) -> HostFile {
        HostFile::read(&self.path, telemetry_upload::world::now()).unwrap()
    }

    /// Puts this text there; what it means, and how our hooks stand in it.
    fn hold(&self, text: &str) -> (Value, Standing) {
        fs::write(&self.path, text).unwrap();
        let standing = host_settings::standing(Host::Claude, "atomic", &self.read());
        (serde_json::from_str(text).unwrap(), standing.unwrap())
    }

    /// What the text that is there would become.
    fn after(&self, decide: fn(Host, &str, &HostFile) -> Result<Plan>) -> String {
        match decide(Host::Claude, "atomic", &self.read()).unwrap() {
            Plan::Write(text) => text,
            Plan::Nothing => fs::read_to_string(&self.path).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn installing_only_adds_and_removing_takes_only_that(before in settings()) {
        let home = Home::new();
        let settings = Settings::new(&home);
        let (had, ours_before) = settings.hold(&before);
        let after = settings.after(host_settings::install);
        prop_assert!(is_part(&before, &after), "{after}");
        let (added, ours) = settings.hold(&after);
        prop_assert!(contains(&added, &had), "{after}");
        prop_assert_eq!(ours, Standing::Installed);
        prop_assert_eq!(&settings.after(host_settings::install), &after);
        let cut = settings.after(host_settings::uninstall);
        let (left, ours) = settings.hold(&cut);
        prop_assert_eq!(ours, Standing::Absent);
        prop_assert!(is_part(&cut, &after));
        prop_assert!(contains(&added, &left) || ours_before != Standing::Absent);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_settings_come_back_to_the_byte(before in settings()) {
        let home = Home::new();
        prop_assume!(Settings::new(&home).hold(&before).1 == Standing::Absent);
        let path = home.settings(&before);
        let files = home.files();
        home.run(CLAUDE).said("put the hooks into ");
        prop_assert_ne!(fs::read_to_string(&path).unwrap(), before);
        home.run("uninstall --host claude").said("put back as it was before: ");
        prop_assert_eq!(home.files(), files);
    }
}
