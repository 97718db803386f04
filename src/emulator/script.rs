//! How the emulator misbehaves: a script, whose steps answer the next requests in turn.
//!
//! # Writing one
//!
//! A script is a file of one JSON object a line. Each line is a step and answers one request, whatever
//! its method and path, in the order in which their heads arrive. Blank lines and lines that begin
//! with `#` are skipped. When the script is used up, the emulator answers honestly.
//!
//! ```text
//! # Busy for a while, then lose one event, then be slow.
//! {"status": 503, "times": 2}
//! {"status": 429, "headers": {"Retry-After": "3"}}
//! {"items": [{"index": 0, "statusCode": 500, "message": "Internal Server Error"}]}
//! {"delay_ms": 5000}
//! {"cut_after_bytes": 0}
//! {"status": 200, "content_type": "text/html", "body": "<html>Please log in", "times": "forever"}
//! ```
//!
//! Every field may be left out, and `{}` is an honest answer. A field that is not in this table is an error.
//!
//! | field | value | meaning |
//! |---|---|---|
//! | `status` | 100 to 999 | The status of the reply. Alone: with 2xx the honest body is sent under this status; from 400 on every item is refused with it, in Breeze's words; with any other the body is empty and nothing is accepted. |
//! | `headers` | object of strings | Added to the reply; one of ours with the same name (`Date`, `Content-Length`, `Connection`) is replaced. |
//! | `body` | string | Sent as it is; nothing is accepted, whatever the status (200 if left out), because this is not Breeze speaking. `""` is the bare status, as a proxy sends it. |
//! | `content_type` | string | The `Content-Type`; if left out, `application/json`, or none with an empty body. |
//! | `items` | array of `{"index", "statusCode", "message"}` | These items are refused, beside those that are refused honestly; the others are accepted. The status is 206, or the first item's if none was accepted. An index may be repeated or out of range. |
//! | `every` | number from 1 | The `items` repeat after so many, up to the last item there is; an index beyond it is left out. |
//! | `delay_ms` | number | Hang this long before the first byte of the reply. What was accepted is stored by then. |
//! | `drip_ms` | number | Send one byte of the reply each time this long has passed. |
//! | `cut_after_bytes` | number | Send this many bytes of the reply (its head counts), then close the connection. 0 means: accepted, and never answered. |
//! | `close` | `"on_accept"` | Close the connection once the head of the request is there: its body is not read, nothing is accepted. |
//! | `times` | number from 1, or `"forever"` | How many requests this step answers; if left out, one. |

use super::ItemError;
use anyhow::{anyhow, bail, ensure};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

/// The steps that are still to come. Shared by all connections.
#[derive(Debug, Default)]
pub struct Script {
    steps: Mutex<VecDeque<Step>>,
}

/// How to answer one request; the module's page explains the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Step {
    /// The status of the reply.
    pub status: Option<u16>,
    /// Headers to add or to replace.
    pub headers: BTreeMap<String, String>,
    /// The body, as it is.
    pub body: Option<String>,
    /// The `Content-Type`.
    pub content_type: Option<String>,
    /// Items to refuse.
    pub items: Vec<ItemError>,
    /// After how many items they repeat.
    pub every: Option<NonZeroUsize>,
    /// How long to hang before the reply.
    pub delay_ms: u64,
    /// How long each byte of the reply takes.
    pub drip_ms: u64,
    /// After how many bytes of the reply to close the connection.
    pub cut_after_bytes: Option<usize>,
    /// Whether to close the connection instead of replying.
    pub close: Option<Close>,
    /// How many requests to answer like this.
    #[serde(deserialize_with = "times")]
    pub times: Times,
}

impl Step {
    /// The items to refuse in a request of this many.
    pub(super) fn items_of(&self, count: usize) -> Vec<ItemError> {
        let Some(every) = self.every else {
            return self.items.clone();
        };
        let repeated = |item: &ItemError| {
            let item = item.clone();
            let indexes = (item.index..count).step_by(every.get());
            indexes.map(move |index| ItemError {
                index,
                ..item.clone()
            })
        };
        self.items.iter().flat_map(repeated).collect()
    }
}

/// When to close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Close {
    /// When the head of the request is there.
    OnAccept,
}

/// How many requests a step answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// This many.
    Count(u64),
    /// All that follow.
    Forever,
}

impl Default for Times {
    fn default() -> Times {
        Times::Count(1)
    }
}

impl Script {
    /// The script of an honest server.
    pub fn none() -> Script {
        Script::default()
    }

    /// Reads a script.
    ///
    /// # Errors
    /// The first line that is not a step, by its number, and what is wrong with it.
    pub fn parse(text: &str) -> anyhow::Result<Script> {
        let mut steps = VecDeque::new();
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            steps.push_back(
                parse_step(line).map_err(|err| anyhow!("line {number} of the script: {err}"))?,
            );
        }
        Ok(Script {
            steps: Mutex::new(steps),
        })
    }

    /// How to answer the request that has just arrived.
    pub fn next(&self) -> Step {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        match steps.front_mut() {
            None => Step::default(),
            Some(step) => match step.times {
                Times::Forever => step.clone(),
                Times::Count(count) if count > 1 => {
                    step.times = Times::Count(count - 1);
                    step.clone()
                }
                Times::Count(_) => steps.pop_front().unwrap_or_default(),
            },
        }
    }
}

fn parse_step(line: &str) -> anyhow::Result<Step> {
    let step: Step = serde_json::from_str(line).map_err(|err| {
        // The parser sees one line only; its "line 1" would contradict the number we name.
        let message = err.to_string();
        let message = message
            .rsplit_once(" at line ")
            .map_or(message.as_str(), |(what, _)| what);
        anyhow!("{message} (column {})", err.column())
    })?;
    if let Some(status) = step.status {
        ensure!(
            (100..=999).contains(&status),
            "status must be a number from 100 to 999"
        );
    }
    for (name, value) in &step.headers {
        check_header(name, value)?;
    }
    if let Some(value) = &step.content_type {
        check_header("content_type", value)?;
    }
    Ok(step)
}

/// A name or value with a line break in it would be a different header, or the end of the head.
fn check_header(name: &str, value: &str) -> anyhow::Result<()> {
    let named = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b':');
    if !named || value.contains(['\r', '\n', '\0']) {
        bail!("{name:?}: {value:?} is not a header");
    }
    Ok(())
}

fn times<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Times, D::Error> {
    let value = Value::deserialize(deserializer)?;
    match (value.as_u64(), value.as_str()) {
        (Some(count), _) if count > 0 => Ok(Times::Count(count)),
        (_, Some("forever")) => Ok(Times::Forever),
        _ => Err(serde::de::Error::custom(
            "times must be a number from 1, or \"forever\"",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The statuses of the first requests; 0 stands for an honest answer.
    #[track_caller]
    fn check(text: &str, statuses: &[u16]) {
        let script = Script::parse(text).unwrap();
        let got: Vec<u16> = statuses
            .iter()
            .map(|_| script.next().status.unwrap_or(0))
            .collect();
        assert_eq!(got, statuses);
    }

    #[track_caller]
    fn check_refused(text: &str, words: &[&str]) {
        let err = format!("{:#}", Script::parse(text).unwrap_err());
        for word in words {
            assert!(err.contains(word), "{err:?} does not name {word:?}");
        }
    }

    #[test]
    fn steps_answer_in_turn_and_then_the_server_is_honest() {
        check("{\"status\":503}\n{\"status\":429}", &[503, 429, 0, 0]);
    }

    #[test]
    fn a_step_may_answer_several_times() {
        check(
            "{\"status\":503,\"times\":2}\n{\"status\":429}\n",
            &[503, 503, 429, 0],
        );
    }

    #[test]
    fn a_step_may_answer_forever() {
        check(
            "{\"status\":503,\"times\":\"forever\"}\n{\"status\":429}",
            &[503, 503, 503, 503],
        );
    }

    #[test]
    fn blank_lines_and_comments_are_skipped() {
        check(
            "# first\n\n  \t\r\n  # second\n{\"status\":503}\r\n",
            &[503, 0],
        );
    }

    #[test]
    fn an_empty_script_is_honest() {
        check("", &[0, 0]);
        assert_eq!(Script::none().next(), Step::default());
    }

    #[test]
    fn every_field_is_read() {
        let text = r#"{"status":206,"headers":{"Retry-After":"3"},"body":"b","content_type":"text/html",
            "items":[{"index":1,"statusCode":500,"message":"m"}],"every":7,"delay_ms":1,"drip_ms":2,
            "cut_after_bytes":3,"close":"on_accept","times":4}"#;
        let step = Script::parse(&text.replace('\n', " ")).unwrap().next();
        let expected = Step {
            status: Some(206),
            headers: BTreeMap::from([("Retry-After".to_owned(), "3".to_owned())]),
            body: Some("b".to_owned()),
            content_type: Some("text/html".to_owned()),
            items: vec![ItemError {
                index: 1,
                status_code: 500,
                message: "m".to_owned(),
            }],
            every: NonZeroUsize::new(7),
            delay_ms: 1,
            drip_ms: 2,
            cut_after_bytes: Some(3),
            close: Some(Close::OnAccept),
            times: Times::Count(3),
        };
        assert_eq!(step, expected);
    }

    #[test]
    fn an_unknown_field_is_named_with_its_line() {
        check_refused(
            "# c\n{\"status\":503}\n{\"stauts\":503}",
            &["line 3", "`stauts`"],
        );
        check_refused("{\"items\":[{\"code\":1}]}", &["line 1", "`code`"]);
    }

    #[test]
    fn a_value_that_makes_no_sense_is_refused() {
        for (text, word) in [
            ("{\"status\":99}", "status"),
            ("{\"status\":1000}", "status"),
            ("{\"status\":\"503\"}", "string"),
            ("{\"times\":0}", "times"),
            ("{\"times\":\"often\"}", "times"),
            ("{\"every\":0}", "nonzero"),
            ("{\"delay_ms\":-1}", "-1"),
            ("{\"close\":\"later\"}", "`later`"),
            ("{\"headers\":{\"Retry-After\":3}}", "string"),
            ("{\"headers\":{\"a\":\"b\\r\\nc: d\"}}", "header"),
            ("{\"headers\":{\"a b\":\"c\"}}", "header"),
            ("{\"content_type\":\"a\\nb\"}", "header"),
            ("{\"items\":[{\"index\":0}]}", "statusCode"),
            ("[]x", "line 1"),
            ("{", "line 1"),
        ] {
            check_refused(text, &["line 1", word]);
        }
    }
}
