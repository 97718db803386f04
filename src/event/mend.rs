//! Rewrites what producers write and `serde_json` does not read: halves of surrogate pairs, `NaN` and its like, and
//! integers whose digits a 64-bit number cannot hold.

/// A text of which `serde_json` can read all numbers.
pub(super) struct Mended {
    pub(super) text: String,
    /// Names of fields of the outermost object that hold no number any more, but `null`.
    pub(super) lost: Vec<String>,
}

/// Writes `null` for `NaN`, `-Infinity` or `1e999`, and quotes integers beyond 64 bits, so that no digit is lost.
/// `None` if there is none of these.
pub(super) fn numbers(text: &str) -> Option<Mended> {
    let bytes = text.as_bytes();
    let mut mended = Mended {
        text: String::new(),
        lost: Vec::new(),
    };
    let (mut at, mut copied, mut depth) = (0, 0, 0_usize);
    let mut last_string = 0..0;
    while let Some(byte) = bytes.get(at) {
        let mut end = at + 1;
        match byte {
            b'"' => {
                end = string_end(bytes, at);
                last_string = at..end;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            byte if is_in_token(*byte) => {
                let rest = bytes[at..].iter();
                end = at + rest.take_while(|byte| is_in_token(**byte)).count();
                let token = &text[at..end];
                let instead = if is_long_integer(token) {
                    format!("\"{token}\"")
                } else if is_beyond_json(token) {
                    // In an object the string before a value is its name.
                    let name =
                        (depth == 1).then(|| serde_json::from_str(&text[last_string.clone()]));
                    mended.lost.extend(name.and_then(Result::ok));
                    "null".to_owned()
                } else {
                    at = end;
                    continue;
                };
                mended.text.push_str(&text[copied..at]);
                mended.text.push_str(&instead);
                copied = end;
            }
            _ => {}
        }
        at = end;
    }
    mended.text.push_str(&text[copied..]);
    (copied > 0).then_some(mended)
}

/// Where the string ends that begins here; at the end of the text if nothing ends it.
pub(super) fn string_end(bytes: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn is_in_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

fn is_long_integer(token: &str) -> bool {
    let digits = token.strip_prefix('-').unwrap_or(token);
    let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_integer && token.parse::<i64>().is_err() && token.parse::<u64>().is_err()
}

/// Rust reads as a number, in any case, what C, Go, JavaScript and Python call infinite or not a number.
fn is_beyond_json(token: &str) -> bool {
    token.parse().is_ok_and(|number: f64| !number.is_finite())
}

/// JavaScript cuts strings between the halves of a surrogate pair and writes the half as `\ud83d`,
/// which `serde_json` rejects: without this every such event would be malformed.
pub(super) fn replace_lone_surrogates(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let escape = match (escaped_unit(rest), rest.get(6..).and_then(escaped_unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                out.push_str("\\ufffd");
                rest = &rest[6..];
                continue;
            }
            // An escaped backslash is taken whole: the `u` behind it is then only a letter.
            _ => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&rest[..escape]);
        rest = &rest[escape..];
    }
    out.push_str(rest);
    out
}

/// The UTF-16 unit of a `\uXXXX` at the beginning of the text.
fn escaped_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex
        .then(|| u16::from_str_radix(digits, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn check(text: &str, expected: &str, lost: &[&str]) {
        let mended = numbers(text).unwrap();
        assert_eq!(mended.text, expected);
        assert_eq!(mended.lost, lost, "{text}");
    }

    #[test]
    fn a_number_that_json_does_not_know_becomes_null() {
        for token in [
            "NaN",
            "nan",
            "-NaN",
            "Infinity",
            "-Infinity",
            "+Infinity",
            "inf",
            "-inf",
            "1e999",
            "-1e999",
            "1.5E+400",
        ] {
            check(
                &format!(r#"{{"a":1,"b":{token}}}"#),
                r#"{"a":1,"b":null}"#,
                &["b"],
            );
            check(
                &format!(r#"{{"b": {token} ,"a":2}}"#),
                r#"{"b": null ,"a":2}"#,
                &["b"],
            );
            check(&format!(r#"{{"b":[1,{token}]}}"#), r#"{"b":[1,null]}"#, &[]);
        }
        check(
            r#"{"a":{"b":NaN},"c\n":NaN}"#,
            r#"{"a":{"b":null},"c\n":null}"#,
            &["c\n"],
        );
    }

    #[test]
    fn an_integer_beyond_64_bits_becomes_a_text() {
        check(
            r#"{"a":18446744073709551616,"b":[-9223372036854775809],"c":NaN}"#,
            r#"{"a":"18446744073709551616","b":["-9223372036854775809"],"c":null}"#,
            &["c"],
        );
        let digits = "1".repeat(400);
        check(
            &format!("{{\"a\":{digits}}}"),
            &format!("{{\"a\":\"{digits}\"}}"),
            &[],
        );
    }

    #[test]
    fn nothing_else_is_touched() {
        for text in [
            r#"{"NaN":"NaN","b":"say \"1e999\" NaN","c":18446744073709551615,"d":-9223372036854775808}"#,
            r#"{"a":true,"b":false,"c":null,"d":1e308,"e":0.1}"#,
            r#"{"a":"NaN"#,
            r#"{"a":"NaN\"#,
            r#"{"a":undefined}"#,
            r#"{"a":-}"#,
            "not JSON",
            "",
        ] {
            assert!(numbers(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_json_stays_the_same(text in r#"([{}\[\]":,0-9eE.\-]|"a":|"NaN"|\\"|null|true|é){0,40}"#) {
            if let (Ok(plain), Some(mended)) = (serde_json::from_str::<Value>(&text), numbers(&text)) {
                let mended: Value = serde_json::from_str(&mended.text).unwrap();
                prop_assert!(mended != plain, "only integers beyond 64 bits differ");
            }
        }

        #[test]
        fn no_almost_json_makes_it_panic(text in r#"([{}\[\]":,0-9eE.\-]|"a":|\\|NaN|Infinity|é){0,40}"#) {
            let _ = numbers(&text);
        }
    }
}
