//! What README says, held against what is there.

use crate::kit::Sandbox;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use telemetry_upload::envelope::{self, Frame};
use telemetry_upload::event::Event;
use telemetry_upload::privacy::{KNOWN, Policy};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// The headings, each with its level, without what stands in blocks of code.
fn headings(text: &str) -> Vec<(usize, &str)> {
    let mut is_code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        is_code ^= line.trim_start().starts_with("```");
        let level = line.len() - line.trim_start_matches('#').len();
        if !is_code && level > 0 && line[level..].starts_with(' ') {
            found.push((level, line[level..].trim()));
        }
    }
    found
}

#[test]
fn readmes_sections_stand_in_the_order_in_which_they_are_needed() {
    let readme = readme();
    let sections: Vec<&str> = headings(&readme)
        .into_iter()
        .filter(|(level, _)| *level <= 2)
        .map(|(_, heading)| heading)
        .collect();
    assert_eq!(
        sections,
        [
            "telemetry-upload",
            "Try it",
            "Install it",
            "Add it to your tool",
            "What leaves your machine, and how to stop it",
            "Commands",
            "Files",
            "Exit codes",
            "Assumptions",
            "How it compares",
            "Developing",
        ]
    );
}

#[test]
fn readme_names_every_command() {
    for command in Sandbox::new().commands() {
        let row = format!("| `telemetry-upload {command}");
        assert!(readme().contains(&row), "{row}");
    }
}

/// A heading's anchor, as it is made where README is read.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn every_link_in_readme_leads_somewhere() {
    let readme = readme();
    let anchors: BTreeSet<String> = headings(&readme)
        .into_iter()
        .map(|(_, heading)| anchor(heading))
        .collect();
    let links = readme.split("](").skip(1);
    let links: Vec<&str> = links
        .map(|rest| rest.split(')').next().unwrap())
        .filter(|link| !link.starts_with("https://"))
        .collect();
    assert!(links.len() > 10, "{links:?}");
    for link in links {
        match link.strip_prefix('#') {
            Some(place) => assert!(anchors.contains(place), "#{place} is not in {anchors:?}"),
            None => assert!(root().join(link).exists(), "{link}"),
        }
    }
}

#[test]
fn an_anchor_has_neither_capitals_nor_marks() {
    assert_eq!(anchor("Agents' hooks"), "agents-hooks");
    assert_eq!(anchor("What leaves, and how"), "what-leaves-and-how");
}

/// What README's table of fields lists.
fn fields_listed(readme: &str) -> BTreeSet<String> {
    let table = readme
        .split("| field | where it comes from | example |")
        .nth(1);
    let rows = table.unwrap().lines().skip(2);
    rows.take_while(|row| row.starts_with('|'))
        .map(|row| row.split('`').nth(1).unwrap().to_owned())
        .collect()
}

/// Every path in an envelope, with `*` for the names that are only an example's.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    let Value::Object(fields) = value else {
        found.insert(path.to_owned());
        return;
    };
    for (name, value) in fields {
        let shown = if name.starts_with("example") {
            "*"
        } else {
            name
        };
        let below = if path.is_empty() {
            shown.to_owned()
        } else {
            format!("{path} › {shown}")
        };
        paths(value, &below, found);
    }
}

#[test]
fn readme_lists_every_field_that_leaves_and_no_other() {
    let now: DateTime<Utc> = "2026-11-21T12:00:00Z".parse().unwrap();
    let mut fields = Map::new();
    for (camel, _) in KNOWN {
        // The other name of the same field.
        if camel != "version" {
            fields.insert(camel.to_owned(), "x".into());
        }
    }
    fields.insert("commandCount".to_owned(), 2.into());
    fields.insert("commands".to_owned(), json!(["/init", "/plan"]));
    fields.insert("success".to_owned(), true.into());
    fields.insert("exampleName".to_owned(), "x".into());
    fields.insert("exampleIsSo".to_owned(), true.into());
    fields.insert("exampleCount".to_owned(), 1.into());
    let event = Event {
        name: "cli_command".into(),
        time: Some(now - chrono::TimeDelta::days(20)),
        fields: fields.into(),
    };
    let ikey = "00000000-0000-4000-8000-000000000000";
    let frame = Frame::new(ikey, "atomic", now, &Policy::Default);
    let envelope = envelope::wrap(&event, &frame).unwrap();
    assert_eq!(envelope.fields_refused, [] as [&str; 0]);
    let mut leaves = BTreeSet::new();
    let envelope: Value = serde_json::from_slice(&envelope.json).unwrap();
    paths(&envelope, "", &mut leaves);
    assert_eq!(fields_listed(&readme()), leaves);
    assert!(leaves.len() > 25, "{leaves:?}");
}
