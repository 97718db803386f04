//! Adding our entries to a JSON text, and cutting them out, with every other byte as it was.

use crate::graft::{Graft, HOOKS};
use crate::json_text::{JsonText, Node};
use anyhow::{Result, bail};
use serde_json::Value;
use std::ops::Range;

/// What takes the place of a piece of the text.
type Edit = (Range<usize>, String);

/// A new member, or a new element, which has no name.
type Item<'a> = (Option<&'a str>, Value);

/// The text with those of our entries that it lacks.
///
/// # Errors
/// The settings have another shape than ours, or the result would not mean what it should.
pub fn add(json: &JsonText, graft: &Graft) -> Result<String> {
    graft.check(&json.value)?;
    let style = Style::of(json);
    let missing: Vec<(String, &Value)> = graft.missing(&json.value).collect();
    let list = |entry: &Value| Value::Array(vec![entry.clone()]);
    let mut edits = Vec::new();
    let mut members: Vec<Item> = Vec::new();
    for (name, value) in graft.beside() {
        if json.root.member(name).is_none() {
            members.push((Some(name), value.clone()));
        }
    }
    match json.root.member(HOOKS) {
        None => {
            let events = missing.iter();
            let events = events.map(|(event, entry)| (event.clone(), list(entry)));
            members.push((Some(HOOKS), Value::Object(events.collect())));
        }
        Some(hooks) => {
            let mut events: Vec<Item> = Vec::new();
            for (event, entry) in &missing {
                let Some(groups) = hooks.value.member(event) else {
                    events.push((Some(event), list(entry)));
                    continue;
                };
                let outer = Layout::before(json.text, groups.start);
                let item = [(None, (*entry).clone())];
                edits.extend(style.insertion(&groups.value, &outer, &item));
            }
            let outer = Layout::before(json.text, hooks.start);
            edits.extend(style.insertion(&hooks.value, &outer, &events));
        }
    }
    // Empty settings have no layout to follow.
    let outer = Layout::Lines(String::new());
    edits.extend(style.insertion(&json.root, &outer, &members));
    verified(apply(json.text, edits), &graft.added(&json.value))
}

/// The text without any entry of ours, and without what is empty for lack of it.
///
/// # Errors
/// The result would not mean what it should.
pub fn cut(json: &JsonText, graft: &Graft) -> Result<String> {
    let fates = json.root.members().iter().map(|member| {
        if member.name == HOOKS {
            without_ours(json.text, graft, &member.value)
        } else {
            Fate::Kept(Vec::new())
        }
    });
    let cuts = match shrink(&json.root, fates.collect()) {
        Fate::Kept(cuts) => cuts,
        Fate::Gone => vec![json.root.inside()],
    };
    let edits = cuts.into_iter().map(|range| (range, String::new()));
    let text = apply(json.text, edits.collect());
    verified(text, &graft.removed(&json.value))
}

/// What becomes of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// Nothing is left of it.
    Gone,
    /// It stays, without these pieces.
    Kept(Vec<Range<usize>>),
}

fn without_ours(text: &str, graft: &Graft, hooks: &Node) -> Fate {
    let is_ours = |entry: &Node| {
        let entry = text.get(entry.span.clone()).unwrap_or_default();
        serde_json::from_str(entry).is_ok_and(|entry| graft.is_ours(&entry))
    };
    let fate = |entry: &Node| {
        if is_ours(entry) {
            Fate::Gone
        } else {
            Fate::Kept(Vec::new())
        }
    };
    let group_fate = |group: &Node| {
        let inner = group.member(HOOKS).map(|inner| &inner.value);
        match inner.filter(|inner| inner.elements().is_some()) {
            Some(inner) => shrink(
                inner,
                inner
                    .elements()
                    .unwrap_or_default()
                    .iter()
                    .map(fate)
                    .collect(),
            ),
            None => fate(group),
        }
    };
    let events = hooks.members().iter().map(|event| {
        let groups = event.value.elements().unwrap_or_default();
        shrink(&event.value, groups.iter().map(group_fate).collect())
    });
    shrink(hooks, events.collect())
}

/// What becomes of a list or an object of whose children this becomes: without any left it goes, too,
/// but one that had none stays.
fn shrink(container: &Node, fates: Vec<Fate>) -> Fate {
    let children = container.children();
    let Some(first_kept) = fates.iter().position(|fate| *fate != Fate::Gone) else {
        return if fates.is_empty() {
            Fate::Kept(Vec::new())
        } else {
            Fate::Gone
        };
    };
    let mut cuts = Vec::new();
    for (index, fate) in fates.into_iter().enumerate() {
        match fate {
            Fate::Kept(inner) => cuts.extend(inner),
            // With the comma on the side of a child that stays.
            Fate::Gone if index < first_kept => {
                cuts.push(children[index].start..children[index + 1].start);
            }
            Fate::Gone => cuts.push(children[index - 1].end..children[index].end),
        }
    }
    Fate::Kept(cuts)
}

/// How a text is laid out, as far as its first lines tell.
struct Style<'a> {
    text: &'a str,
    line_end: &'static str,
    indent: String,
    colon: &'static str,
    comma: &'static str,
}

/// How the children of a list or an object stand.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Layout {
    /// Each on a line that begins with this.
    Lines(String),
    /// All in a row.
    Row,
}

impl Layout {
    /// How the child that begins here stands.
    fn before(text: &str, start: usize) -> Layout {
        let before = text.get(..start).unwrap_or_default();
        let blanks = &before[before.trim_end_matches([' ', '\t', '\r', '\n']).len()..];
        match blanks.rsplit_once('\n') {
            Some((_, indent)) => Layout::Lines(indent.to_owned()),
            None => Layout::Row,
        }
    }
}

impl Style<'_> {
    fn of<'a>(json: &JsonText<'a>) -> Style<'a> {
        let text = json.text;
        let first = json.root.members().first();
        let indent = match first.map(|first| Layout::before(text, first.start)) {
            Some(Layout::Lines(indent)) if !indent.is_empty() => indent,
            _ => "  ".to_owned(),
        };
        let tight = first.is_some_and(|first| {
            let name = text.get(first.start..first.value.span.start);
            name.is_some_and(|name| name.ends_with(':'))
        });
        let (colon, comma) = if tight { (":", ",") } else { (": ", ", ") };
        let line = text.split_once('\n').map_or("", |(line, _)| line);
        let line_end = if line.ends_with('\r') { "\r\n" } else { "\n" };
        Style {
            text,
            line_end,
            indent,
            colon,
            comma,
        }
    }

    /// Adds children behind those of `container`, which itself stands as `outer` says.
    fn insertion(&self, container: &Node, outer: &Layout, items: &[Item]) -> Option<Edit> {
        if items.is_empty() {
            return None;
        }
        let mut added = String::new();
        let Some(last) = container.children().pop() else {
            self.fill(&mut added, outer, items);
            return Some((container.inside(), added));
        };
        let layout = Layout::before(self.text, last.start);
        for item in items {
            self.separate(&mut added, &layout);
            self.write(&mut added, &layout, item);
        }
        Some((last.end..last.end, added))
    }

    /// Writes what stands between the brackets of a container that stands as `outer` says.
    fn fill(&self, into: &mut String, outer: &Layout, items: &[Item]) {
        let layout = match outer {
            Layout::Lines(indent) => Layout::Lines(format!("{indent}{}", self.indent)),
            Layout::Row => Layout::Row,
        };
        for (index, item) in items.iter().enumerate() {
            if index == 0 {
                self.begin_line(into, &layout);
            } else {
                self.separate(into, &layout);
            }
            self.write(into, &layout, item);
        }
        self.begin_line(into, outer);
    }

    fn separate(&self, into: &mut String, layout: &Layout) {
        match layout {
            Layout::Lines(_) => into.push(','),
            Layout::Row => into.push_str(self.comma),
        }
        self.begin_line(into, layout);
    }

    fn begin_line(&self, into: &mut String, layout: &Layout) {
        if let Layout::Lines(indent) = layout {
            into.push_str(self.line_end);
            into.push_str(indent);
        }
    }

    fn write(&self, into: &mut String, layout: &Layout, (name, value): &Item) {
        if let Some(name) = name {
            into.push_str(&Value::from(*name).to_string());
            into.push_str(self.colon);
        }
        let (open, close, items): (_, _, Vec<Item>) = match value {
            Value::Object(members) if !members.is_empty() => {
                let members = members.iter();
                let items = members.map(|(name, value)| (Some(name.as_str()), value.clone()));
                ('{', '}', items.collect())
            }
            Value::Array(elements) if !elements.is_empty() => {
                let items = elements.iter().map(|value| (None, value.clone()));
                ('[', ']', items.collect())
            }
            plain => return into.push_str(&plain.to_string()),
        };
        into.push(open);
        self.fill(into, layout, &items);
        into.push(close);
    }
}

/// Makes the edits, none of which overlap.
fn apply(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|(range, _)| range.start);
    let mut edited = String::with_capacity(text.len());
    let mut done = 0;
    for (range, replacement) in edits {
        edited.push_str(text.get(done..range.start).unwrap_or_default());
        edited.push_str(&replacement);
        done = range.end;
    }
    edited.push_str(text.get(done..).unwrap_or_default());
    edited
}

/// Lets nothing pass whose meaning is not what was meant.
fn verified(text: String, expected: &Value) -> Result<String> {
    match serde_json::from_str::<Value>(&text) {
        Ok(value) if value == *expected => Ok(text),
        _ => bail!("the edited text would not mean what it should"),
    }
}
