//! JSON as it stands in a file: where each value begins and ends, so that a part can be changed and
//! every other byte kept.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeSet;
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
        // serde_json is the judge of the syntax, and of the depth: 128 levels. The scan only measures
        // what it accepted.
        let value = serde_json::from_str(text).context("it is not strict JSON")?;
        let mut scan = Scan { text, at: 0 };
        scan.blanks();
        let root = scan.value()?;
        Ok(JsonText { text, value, root })
    }
}

/// How far the text is measured.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<Node> {
        let start = self.at;
        let body = match self.peek() {
            Some(b'{') => Body::Object(self.members()?),
            Some(b'[') => Body::List(self.elements()?),
            Some(b'"') => {
                self.string();
                Body::Plain
            }
            _ => {
                while !matches!(
                    self.peek(),
                    None | Some(b' ' | b'\t' | b'\r' | b'\n' | b',' | b']' | b'}')
                ) {
                    self.at += 1;
                }
                Body::Plain
            }
        };
        Ok(Node {
            span: start..self.at,
            body,
        })
    }

    /// Steps behind the string that begins here.
    fn string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return;
            }
        }
    }

    fn elements(&mut self) -> Result<Vec<Node>> {
        let mut elements = Vec::new();
        self.at += 1; // The bracket.
        while self.comes_before(b']') {
            elements.push(self.value()?);
        }
        Ok(elements)
    }

    fn members(&mut self) -> Result<Vec<Member>> {
        let mut members = Vec::new();
        let mut names = BTreeSet::new();
        self.at += 1; // The bracket.
        while self.comes_before(b'}') {
            let start = self.at;
            self.string();
            let name = self.text.get(start..self.at).unwrap_or_default();
            let name: String = serde_json::from_str(name).context("it is not strict JSON")?;
            if !names.insert(name.clone()) {
                bail!("an object in it has two members of the name {name:?}");
            }
            self.blanks();
            self.at += 1; // The colon.
            self.blanks();
            let value = self.value()?;
            members.push(Member { name, start, value });
        }
        Ok(members)
    }

    /// Steps to the next child and says so, or steps behind the closing bracket.
    fn comes_before(&mut self, close: u8) -> bool {
        self.blanks();
        if self.peek() == Some(b',') {
            self.at += 1;
            self.blanks();
        }
        let more = self.peek().is_some_and(|byte| byte != close);
        if !more {
            self.at += 1;
        }
        more
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
