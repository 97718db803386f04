//! Adding our entries to a JSON text, and cutting them out, with every other byte as it was.

use super::json_text::{JsonText, Node};
use super::snippet::{HOOKS, Snippet};
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
pub(super) fn add(json: &JsonText, snippet: &Snippet) -> Result<String> {
    snippet.check(&json.value)?;
    let style = Style::of(json);
    let missing: Vec<&(String, Value)> = snippet.missing(&json.value).collect();
    let list = |entry: &Value| Value::Array(vec![entry.clone()]);
    let mut edits = Vec::new();
    let mut members: Vec<Item> = Vec::new();
    for (name, value) in &snippet.beside {
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
        Some(events) => {
            let mut lists: Vec<Item> = Vec::new();
            for (event, entry) in missing {
                let Some(entries) = events.value.member(event) else {
                    lists.push((Some(event), list(entry)));
                    continue;
                };
                let outer = Layout::before(json.text, entries.start);
                let item = [(None, entry.clone())];
                edits.extend(style.insertion(&entries.value, &outer, &item));
            }
            let outer = Layout::before(json.text, events.start);
            edits.extend(style.insertion(&events.value, &outer, &lists));
        }
    }
    // Empty settings have no layout to follow.
    let outer = Layout::Lines(String::new());
    edits.extend(style.insertion(&json.root, &outer, &members));
    verified(apply(json.text, edits), &snippet.added(&json.value))
}

/// The text without any entry of ours, and without what is empty for lack of it.
///
/// # Errors
/// The result would not mean what it should.
pub(super) fn cut(json: &JsonText, snippet: &Snippet) -> Result<String> {
    let cuts = json.root.members().iter().map(|member| {
        if member.name == HOOKS {
            ours(json.text, snippet, &member.value)
        } else {
            Cut::Parts(Vec::new())
        }
    });
    let parts = match shrink(&json.root, cuts.collect()) {
        Cut::Parts(parts) => parts,
        Cut::Whole => vec![json.root.inside()],
    };
    let edits = parts.into_iter().map(|range| (range, String::new()));
    let text = apply(json.text, edits.collect());
    verified(text, &snippet.removed(&json.value))
}

/// What is cut out of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cut {
    /// All of it.
    Whole,
    /// These pieces, or none.
    Parts(Vec<Range<usize>>),
}

fn ours(text: &str, snippet: &Snippet, events: &Node) -> Cut {
    let hook_cut = |hook: &Node| {
        let value = text.get(hook.span.clone()).unwrap_or_default();
        if serde_json::from_str(value).is_ok_and(|value| snippet.is_ours(&value)) {
            Cut::Whole
        } else {
            Cut::Parts(Vec::new())
        }
    };
    let entry_cut = |entry: &Node| {
        let hooks = entry.member(HOOKS).map(|member| &member.value);
        match hooks.and_then(|hooks| Some((hooks, hooks.elements()?))) {
            Some((list, hooks)) => shrink(list, hooks.iter().map(hook_cut).collect()),
            None => hook_cut(entry),
        }
    };
    let cuts = events.members().iter().map(|event| {
        let entries = event.value.elements().unwrap_or_default();
        shrink(&event.value, entries.iter().map(entry_cut).collect())
    });
    shrink(events, cuts.collect())
}

/// What is cut out of a list or an object of whose children this is cut: without any left it goes, too,
/// but one that had none stays.
fn shrink(container: &Node, cuts: Vec<Cut>) -> Cut {
    let children = container.children();
    let Some(first_kept) = cuts.iter().position(|cut| *cut != Cut::Whole) else {
        return if cuts.is_empty() {
            Cut::Parts(Vec::new())
        } else {
            Cut::Whole
        };
    };
    let mut parts = Vec::new();
    for (index, cut) in cuts.into_iter().enumerate() {
        match cut {
            Cut::Parts(inner) => parts.extend(inner),
            // With the comma on the side of a child that stays.
            Cut::Whole if index < first_kept => {
                parts.push(children[index].start..children[index + 1].start);
            }
            Cut::Whole => parts.push(children[index - 1].end..children[index].end),
        }
    }
    Cut::Parts(parts)
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
