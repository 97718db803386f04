//! JSON as it stands in a file: where each value begins and ends, so that a part can be changed and
//! every other byte kept.

use anyhow::{Context, Result, bail};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

/// A value, and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    /// Its bytes.
    pub(super) span: Range<usize>,
    /// What is in it.
    pub(super) body: Body,
}

/// What is in a value.
#[derive(Debug)]
pub(super) enum Body {
    /// A text, a number, true, false or null.
    Plain,
    /// The elements of a list.
    List(Vec<Node>),
    /// The members of an object, in the order of the file.
    Object(Vec<Member>),
}

/// A member of an object.
#[derive(Debug)]
pub(super) struct Member {
    /// Its name, without escapes.
    pub(super) name: String,
    /// Where its name begins.
    pub(super) start: usize,
    /// Its value.
    pub(super) value: Node,
}

impl Node {
    /// The member of this name, if this is an object that has it.
    pub(super) fn member(&self, name: &str) -> Option<&Member> {
        self.members().iter().find(|member| member.name == name)
    }

    /// The members, of which only an object has any.
    pub(super) fn members(&self) -> &[Member] {
        match &self.body {
            Body::Object(members) => members,
            _ => &[],
        }
    }

    /// The elements, if this is a list.
    pub(super) fn elements(&self) -> Option<&[Node]> {
        match &self.body {
            Body::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// Where each element or member stands, its name included.
    pub(super) fn children(&self) -> Vec<Range<usize>> {
        match &self.body {
            Body::Plain => Vec::new(),
            Body::List(elements) => elements.iter().map(|node| node.span.clone()).collect(),
            Body::Object(members) => members
                .iter()
                .map(|member| member.start..member.value.span.end)
                .collect(),
        }
    }

    /// What stands between the brackets.
    pub(super) fn inside(&self) -> Range<usize> {
        self.span.start + 1..self.span.end.saturating_sub(1)
    }
}

/// A strict JSON text, read in two ways.
#[derive(Debug)]
pub(super) struct JsonText<'a> {
    /// The text.
    pub(super) text: &'a str,
    /// What it means.
    pub(super) value: Value,
    /// Where everything stands.
    pub(super) root: Node,
}

impl JsonText<'_> {
    /// Reads a text.
    ///
    /// # Errors
    /// The text is not strict JSON, or an object has two members of one name, of which a reader may
    /// take either.
    pub(super) fn parse(text: &str) -> Result<JsonText<'_>> {
        // It judges the depth, too: 128 levels.
        let value = serde_json::from_str(text).context("it is not strict JSON")?;
        let root = node(text, serde_json::from_str(text)?)?;
        Ok(JsonText { text, value, root })
    }
}

fn node(text: &str, raw: &RawValue) -> Result<Node> {
    let span = span(text, raw);
    let body = match raw.get().as_bytes().first() {
        Some(b'{') => Body::Object(members(text, serde_json::from_str(raw.get())?)?),
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(raw.get())?;
            let nodes = elements.into_iter().map(|element| node(text, element));
            Body::List(nodes.collect::<Result<_>>()?)
        }
        _ => Body::Plain,
    };
    Ok(Node { span, body })
}

fn members(text: &str, pairs: Pairs) -> Result<Vec<Member>> {
    let mut names = BTreeSet::new();
    let mut members = Vec::new();
    for (name, value) in pairs.0 {
        let start = span(text, name).start;
        let name: String = serde_json::from_str(name.get())?;
        if !names.insert(name.clone()) {
            bail!("an object in it has two members of the name {name:?}");
        }
        let value = node(text, value)?;
        members.push(Member { name, start, value });
    }
    Ok(members)
}

/// Where this part of the text stands in it.
fn span(text: &str, part: &RawValue) -> Range<usize> {
    let start = part.get().as_ptr().addr() - text.as_ptr().addr();
    start..start + part.get().len()
}

/// The members of an object, all of them, as they are written.
struct Pairs<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(object: D) -> Result<Self, D::Error> {
        object.deserialize_map(Pairs(Vec::new()))
    }
}

impl<'de> Visitor<'de> for Pairs<'de> {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Self, A::Error> {
        while let Some(pair) = members.next_entry()? {
            self.0.push(pair);
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_found_where_it_stands() {
        let text = " {\"a\\\"\u{e9}\": [1.0e+2 , -0,{ }, \"]\\\\\"] ,\n\"b\":null}\n";
        let json = JsonText::parse(text).unwrap();
        assert_eq!(&text[json.root.span.clone()], text.trim());
        let list = &json.root.member("a\"\u{e9}").unwrap().value;
        let found: Vec<&str> = list.children().into_iter().map(|at| &text[at]).collect();
        assert_eq!(found, ["1.0e+2", "-0", "{ }", "\"]\\\\\""]);
        let b = json.root.member("b").unwrap();
        assert_eq!(&text[b.start..b.value.span.end], "\"b\":null");
    }

    #[test]
    fn what_a_reader_may_take_either_way_is_refused() {
        let why = |text: &str| format!("{:#}", JsonText::parse(text).unwrap_err());
        assert!(why("{\"a\":1,\"\\u0061\":2}").contains("two members"));
        assert!(why("[{\"x\":{\"a\":1,\"a\":1}}]").contains("two members"));
        for text in [
            "",
            "{",
            "{} {}",
            "{\"a\":1,}",
            "// x\n{}",
            "{'a':1}",
            "\u{feff}{}",
        ] {
            assert!(why(text).contains("not strict JSON"), "{text}");
        }
        assert!(why(&("[".repeat(200) + &"]".repeat(200))).contains("recursion"));
    }
}
