//! What a field of a line holds, read without a copy where that is possible: the texts, which is nearly all
//! of an event, are borrowed from the line, unless something in them is escaped.

use crate::pairs::Pairs;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize as Derive, Serialize};
use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use std::fmt;

/// The fields of an object, in its order.
pub type Fields<'a> = Pairs<'a, Field<'a>>;

/// 2^63, from which on `serde_json` reads a negative integer as a float; a positive one from 2^64 on.
const BEYOND_I64: f64 = 9_223_372_036_854_775_808.0;

/// A field's value: whatever JSON knows.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Field<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as `serde_json` reads it.
    Number(Number),
    /// A text.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Field<'a>>),
    /// An object.
    Object(Fields<'a>),
    /// `NaN`, `Infinity` or `1e999`, which JSON does not know: it is only counted.
    NoNumber,
}

impl Field<'_> {
    /// Its text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Field::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is no array and no object.
    pub fn is_scalar(&self) -> bool {
        !matches!(self, Field::List(_) | Field::Object(_))
    }

    /// Whether a number in it has lost digits: an integer beyond 64 bits, or a very large one with a fraction.
    pub fn is_rounded(&self) -> bool {
        match self {
            Field::Number(number) => {
                number.is_f64()
                    && number
                        .as_f64()
                        .is_some_and(|number| number.abs() >= BEYOND_I64)
            }
            Field::List(items) => items.iter().any(Field::is_rounded),
            Field::Object(fields) => fields.iter().any(|(_, field)| field.is_rounded()),
            _ => false,
        }
    }

    /// The same without the line.
    pub fn into_owned(self) -> Field<'static> {
        match self {
            Field::Null => Field::Null,
            Field::Bool(bool) => Field::Bool(bool),
            Field::Number(number) => Field::Number(number),
            Field::Text(text) => Field::Text(owned(text)),
            Field::List(items) => Field::List(items.into_iter().map(Field::into_owned).collect()),
            Field::Object(fields) => Field::Object(all_owned(fields)),
            Field::NoNumber => Field::NoNumber,
        }
    }
}

/// A text without the line.
pub fn owned(text: Cow<str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

/// All fields without the line.
pub fn all_owned(fields: Fields) -> Fields<'static> {
    let fields = fields.into_iter();
    fields
        .map(|(name, value)| (owned(name), value.into_owned()))
        .collect()
}

impl From<Value> for Field<'static> {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Field::Null,
            Value::Bool(bool) => Field::Bool(bool),
            Value::Number(number) => Field::Number(number),
            Value::String(text) => Field::Text(text.into()),
            Value::Array(items) => Field::List(items.into_iter().map(Field::from).collect()),
            Value::Object(fields) => Field::Object(fields.into()),
        }
    }
}

impl From<Field<'_>> for Value {
    fn from(field: Field) -> Self {
        match field {
            Field::Null | Field::NoNumber => Value::Null,
            Field::Bool(bool) => Value::Bool(bool),
            Field::Number(number) => Value::Number(number),
            Field::Text(text) => Value::String(text.into_owned()),
            Field::List(items) => items.into_iter().map(Value::from).collect(),
            Field::Object(fields) => {
                let fields = fields.into_iter();
                let fields = fields.map(|(name, value)| (name.into_owned(), value.into()));
                Value::Object(fields.collect())
            }
        }
    }
}

impl From<Map<String, Value>> for Fields<'static> {
    fn from(fields: Map<String, Value>) -> Self {
        let fields = fields.into_iter();
        fields
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

/// Takes whatever comes.
struct Any;

/// A name, borrowed if it can be.
#[derive(Derive)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for Any {
    type Value = Field<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Field<'de>, E> {
        Ok(Field::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Field<'de>, E> {
        Ok(Field::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Field<'de>, E> {
        Ok(Field::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Field<'de>, E> {
        Ok(Field::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Field<'de>, E> {
        Ok(Number::from_f64(value).map_or(Field::Null, Field::Number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Field<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Field::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field<'de>, A::Error> {
        let mut fields = Fields::with_room(FIELDS_USUALLY_MAX);
        while let Some(Name(name)) = map.next_key()? {
            fields.insert(name, map.next_value()?);
        }
        Ok(Field::Object(fields))
    }
}

/// Room for the fields of nearly every event.
const FIELDS_USUALLY_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str) {
        let plain: Result<Value, _> = serde_json::from_str(text);
        let found: Result<Field, _> = serde_json::from_str(text);
        match (plain, found) {
            (Ok(plain), Ok(found)) => {
                assert_eq!(found, Field::from(plain.clone()), "{text}");
                let same = serde_json::to_string(&found.into_owned()).unwrap();
                assert_eq!(same, plain.to_string(), "{text}");
            }
            (Err(plain), Err(found)) => assert_eq!(found.to_string(), plain.to_string(), "{text}"),
            (plain, found) => panic!("{text}: {plain:?}, {found:?}"),
        }
    }

    #[test]
    fn it_reads_what_serde_json_reads() {
        for text in [
            r#"{"a":1,"b":-1,"a":2,"c":[null,true,"x",{"d":{}}],"e\n":"\u00e9\n"}"#,
            r"[1.0,1e3,-0,-0.0,18446744073709551615,18446744073709551616,-9223372036854775809,1e-400]",
            "1e400",
            r#"{"a":}"#,
            r#"{"a":1} x"#,
            r"{1:2}",
            r#""\ud800""#,
        ] {
            check(text);
        }
        check(&"[".repeat(127));
        check(&format!("{}{}", "[".repeat(127), "]".repeat(127)));
        check(&format!("{}{}", "[".repeat(128), "]".repeat(128)));
        check(&format!("{}1{}", r#"{"a":"#.repeat(127), "}".repeat(127)));
        check(&format!("{}1{}", r#"{"a":"#.repeat(128), "}".repeat(128)));
    }

    #[test]
    fn a_text_without_escapes_is_borrowed() {
        let field: Field = serde_json::from_str(r#"["x"]"#).unwrap();
        let is_borrowed = |field: &Field| matches!(field, Field::Text(Cow::Borrowed("x")));
        assert!(matches!(field, Field::List(items) if items.iter().all(is_borrowed)));
    }

    proptest! {
        #[test]
        fn it_reads_almost_json_as_serde_json_does(text in r#"([{}\[\]":,0-9eE.\-]|"a":|"b"|\\n|null|true|é){0,40}"#) {
            check(&text);
        }
    }
}
