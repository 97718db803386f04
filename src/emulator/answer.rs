//! What a request is answered, from its route, Breeze's judgement and the script's step; no I/O.

use super::ItemError;
use super::breeze;
use super::fault::Fault;
use super::reply::Reply;
use super::script::Step;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::io;

/// What to reply, and what became of each envelope.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) reply: Reply,
    /// Each envelope and why it was not accepted.
    pub(super) verdicts: Vec<(Value, Option<ItemError>)>,
    /// Why the request was refused as a whole, if it was and no script wanted it.
    pub(super) fault: Option<Fault>,
}

/// What `GET /` says, to a person who opens the address in a browser.
const HOME: &str = "telemetry-upload emulator: a local Azure Application Insights ingestion endpoint.\n\
                    Post to /v2.1/track or /v2/track.\n";

/// The answer to a request. `body` is the unpacked body, or why there is none.
pub(super) fn answer(
    method: &str,
    path: &str,
    body: Result<&[u8], Fault>,
    step: &Step,
    now: DateTime<Utc>,
) -> Answer {
    let mut answer = honest(method, path, body, now);
    let items = step.items_of(answer.verdicts.len());
    match (&step.body, step.status) {
        (Some(body), status) => {
            let status = status.unwrap_or(200);
            answer.refuse_all(status, body.as_bytes().to_vec());
            answer.reply.headers = match body.as_str() {
                "" => Vec::new(),
                _ => vec![json_type()],
            };
        }
        (None, status) if !items.is_empty() => {
            answer.refuse(&items);
            answer.reply.status = status.unwrap_or(answer.reply.status);
        }
        (None, Some(status @ 200..300)) => answer.reply.status = status,
        (None, Some(status @ 400..)) => {
            answer.refuse_each(status, breeze::words_of(status));
            answer.reply.status = status;
        }
        // A redirect and an interim reply are about the request, not about its items.
        (None, Some(status)) => {
            answer.refuse_all(status, Vec::new());
            answer.reply.headers.clear();
        }
        (None, None) => {}
    }
    if step.status.is_some() || step.body.is_some() {
        answer.fault = None;
    }
    answer.reply.add_headers(step);
    answer
}

/// The answer when nothing could be stored: the client must keep what it has.
pub(super) fn not_stored(mut answer: Answer, err: &io::Error) -> Answer {
    answer.refuse_each(500, breeze::words_of(500));
    answer.fault = Some(Fault::NotStored(err.to_string()));
    answer
}

fn honest(method: &str, path: &str, body: Result<&[u8], Fault>, now: DateTime<Utc>) -> Answer {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    // Some SDKs put a slash of their own behind the endpoint's; the real service takes that too.
    let path = path.trim_start_matches('/');
    match (method, path) {
        ("POST", "v2/track" | "v2.1/track") => judge(body.and_then(breeze::parse), now),
        (_, "v2/track" | "v2.1/track") => {
            without_envelopes(405, &[("Allow", "POST")], "", Some(Fault::NotPost))
        }
        ("GET", "") => without_envelopes(
            200,
            &[("Content-Type", "text/plain; charset=utf-8")],
            HOME,
            None,
        ),
        _ => without_envelopes(404, &[], "", Some(Fault::NoSuchPath)),
    }
}

fn judge(items: Result<Vec<Value>, Fault>, now: DateTime<Utc>) -> Answer {
    let (items, fault) = match items {
        Ok(items) => (items, None),
        Err(fault) => (Vec::new(), Some(fault)),
    };
    let mut errors = Vec::new();
    for (index, item) in items.iter().enumerate() {
        if let Err(message) = breeze::judge(item, now) {
            errors.push(ItemError {
                index,
                status_code: 400,
                message,
            });
        }
    }
    let mut answer = Answer {
        reply: Reply {
            status: fault.as_ref().map_or(200, Fault::status),
            headers: vec![json_type()],
            body: breeze::reply(items.len(), items.len(), &[]),
        },
        verdicts: items.into_iter().map(|item| (item, None)).collect(),
        fault,
    };
    if !errors.is_empty() {
        answer.refuse(&errors);
    }
    answer
}

impl Answer {
    /// Refuses items, beside the ones that are refused already, and says so as Breeze does.
    fn refuse(&mut self, errors: &[ItemError]) {
        let is_named =
            |verdict: &ItemError| errors.iter().any(|error| error.index == verdict.index);
        let before = self
            .verdicts
            .iter()
            .filter_map(|(_, verdict)| verdict.clone());
        let mut listed: Vec<ItemError> = before.filter(|verdict| !is_named(verdict)).collect();
        listed.extend_from_slice(errors);
        listed.sort_by_key(|error| error.index);
        for error in errors {
            if let Some((_, verdict)) = self.verdicts.get_mut(error.index) {
                *verdict = Some(error.clone());
            }
        }
        let received = self.verdicts.len();
        let accepted = self
            .verdicts
            .iter()
            .filter(|(_, verdict)| verdict.is_none())
            .count();
        self.reply.body = breeze::reply(received, accepted, &listed);
        self.reply.headers = vec![json_type()];
        self.reply.status = match listed.first() {
            Some(first) if accepted == 0 => first.status_code,
            _ => 206,
        };
    }

    /// Refuses every item alike, whatever was said of it before, and says so as Breeze does.
    fn refuse_each(&mut self, status: u16, words: &str) {
        let errors: Vec<ItemError> = (0..self.verdicts.len())
            .map(|index| ItemError {
                index,
                status_code: status,
                message: words.to_owned(),
            })
            .collect();
        self.refuse(&errors);
    }

    /// Accepts nothing, and replies something that is not Breeze's.
    fn refuse_all(&mut self, status: u16, body: Vec<u8>) {
        for (index, (_, verdict)) in self.verdicts.iter_mut().enumerate() {
            *verdict = Some(ItemError {
                index,
                status_code: status,
                message: "refused by the script".to_owned(),
            });
        }
        self.reply.status = status;
        self.reply.body = body;
    }
}

impl Reply {
    fn add_headers(&mut self, step: &Step) {
        let content_type = step
            .content_type
            .iter()
            .map(|value| ("Content-Type", value));
        let others = step
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value));
        for (name, value) in content_type.chain(others) {
            self.headers
                .retain(|(ours, _)| !ours.eq_ignore_ascii_case(name));
            self.headers.push((name.to_owned(), value.clone()));
        }
    }
}

fn without_envelopes(
    status: u16,
    headers: &[(&str, &str)],
    body: &str,
    fault: Option<Fault>,
) -> Answer {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Answer {
        reply: Reply {
            status,
            headers,
            body: body.as_bytes().to_vec(),
        },
        verdicts: Vec::new(),
        fault,
    }
}

fn json_type() -> (String, String) {
    (
        "Content-Type".to_owned(),
        "application/json; charset=utf-8".to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::Script;
    use super::*;

    const GOOD: &str = r#"{"name":"n","time":"2026-11-20T12:00:00Z","iKey":"00000000-0000-4000-8000-000000000000","data":{"baseType":"EventData","baseData":{"name":"e"}}}"#;

    fn answer_to(method: &str, path: &str, body: Result<&str, Fault>, step: &str) -> Answer {
        let step = Script::parse(step).unwrap().next();
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        answer(method, path, body.map(str::as_bytes), &step, now)
    }

    fn body(answer: &Answer) -> String {
        String::from_utf8(answer.reply.body.clone()).unwrap()
    }

    /// The status, the indexes and statuses that are listed, and the indexes that are accepted, of
    /// three items; the middle one is bad.
    #[track_caller]
    fn check(step: &str, status: u16, listed: &[(u64, u64)], accepted: &[usize]) {
        let answer = answer_to(
            "POST",
            "/v2.1/track",
            Ok(&format!("[{GOOD},{{}},{GOOD}]")),
            step,
        );
        let reply: Value = serde_json::from_slice(&answer.reply.body).unwrap_or_default();
        let errors = reply["errors"].as_array().cloned().unwrap_or_default();
        let pair = |error: &Value| {
            (
                error["index"].as_u64().unwrap(),
                error["statusCode"].as_u64().unwrap(),
            )
        };
        let stored = answer
            .verdicts
            .iter()
            .enumerate()
            .filter(|(_, (_, refused))| refused.is_none());
        assert_eq!(answer.reply.status, status);
        assert_eq!(errors.iter().map(pair).collect::<Vec<_>>(), listed);
        assert_eq!(stored.map(|(index, _)| index).collect::<Vec<_>>(), accepted);
        if !reply.is_null() {
            assert_eq!(
                (&reply["itemsReceived"], &reply["itemsAccepted"]),
                (&3.into(), &accepted.len().into())
            );
        }
    }

    #[test]
    fn an_honest_answer_refuses_the_bad_item() {
        check("{}", 206, &[(1, 400)], &[0, 2]);
        check(r#"{"delay_ms":1}"#, 206, &[(1, 400)], &[0, 2]);
    }

    #[test]
    fn a_status_of_2xx_only_renames_the_honest_answer() {
        check(r#"{"status":200}"#, 200, &[(1, 400)], &[0, 2]);
        check(r#"{"status":299}"#, 299, &[(1, 400)], &[0, 2]);
    }

    #[test]
    fn a_status_from_400_refuses_every_item_as_breeze_does() {
        for status in [400, 413, 429, 503, 999] {
            let all = [0, 1, 2].map(|index| (index, status.into()));
            check(&format!("{{\"status\":{status}}}"), status, &all, &[]);
        }
        for (status, words) in [
            (400, "Invalid instrumentation key"),
            (402, "Daily quota exceeded"),
            (403, "Forbidden"),
            (439, "Daily quota exceeded"),
            (503, "Service Unavailable"),
            (999, "Unknown"),
        ] {
            let step = format!("{{\"status\":{status}}}");
            let answer = answer_to("POST", "/v2/track", Ok(GOOD), &step);
            let expected = format!(
                r#"{{"itemsReceived":1,"itemsAccepted":0,"appId":null,"errors":[{{"index":0,"statusCode":{status},"message":"{words}"}}]}}"#
            );
            assert_eq!(
                (body(&answer), &answer.reply.headers),
                (expected, &vec![json_type()])
            );
        }
        let none = answer_to("POST", "/v2/track", Ok("[]"), r#"{"status":503}"#);
        assert_eq!(
            body(&none),
            r#"{"itemsReceived":0,"itemsAccepted":0,"appId":null,"errors":[]}"#
        );
    }

    #[test]
    fn any_other_status_and_an_empty_body_are_bare() {
        let status = |status: u16| format!("{{\"status\":{status}}}");
        let steps = [100, 199, 300, 308].map(|code| (code, status(code)));
        let empty = (503, r#"{"status":503,"body":""}"#.to_owned());
        for (status, step) in steps.into_iter().chain([empty]) {
            check(&step, status, &[], &[]);
            let answer = answer_to("POST", "/v2/track", Ok(GOOD), &step);
            assert_eq!(
                (body(&answer), answer.reply.headers),
                (String::new(), vec![])
            );
            let refused = answer.verdicts[0].1.as_ref();
            assert_eq!(refused.map(|error| error.status_code), Some(status));
        }
    }

    #[test]
    fn a_body_is_not_breeze_speaking() {
        let step = r#"{"body":"<html>","content_type":"text/html","headers":{"X":"y"}}"#;
        check(step, 200, &[], &[]);
        let answer = answer_to("POST", "/v2/track", Ok(GOOD), step);
        assert_eq!(body(&answer), "<html>");
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            answer.reply.headers,
            [header("Content-Type", "text/html"), header("X", "y")]
        );
    }

    #[test]
    fn scripted_items_are_refused_beside_the_bad_one() {
        let items = |items: &str| {
            format!(
                "{{\"items\":[{}]}}",
                items.replace("MSG", "\"message\":\"m\"")
            )
        };
        check(
            &items(r#"{"index":0,"statusCode":500,MSG}"#),
            206,
            &[(0, 500), (1, 400)],
            &[2],
        );
        check(
            &items(r#"{"index":1,"statusCode":500,MSG}"#),
            206,
            &[(1, 500)],
            &[0, 2],
        );
        check(
            &items(r#"{"index":7,"statusCode":500,MSG}"#),
            206,
            &[(1, 400), (7, 500)],
            &[0, 2],
        );
        let all = items(r#"{"index":2,"statusCode":503,MSG},{"index":0,"statusCode":429,MSG}"#);
        check(&all, 429, &[(0, 429), (1, 400), (2, 503)], &[]);
        let twice = items(r#"{"index":0,"statusCode":500,MSG},{"index":0,"statusCode":503,MSG}"#);
        check(&twice, 206, &[(0, 500), (0, 503), (1, 400)], &[2]);
        let under = r#"{"status":500,"items":[{"index":0,"statusCode":500,"message":"m"}]}"#;
        check(under, 500, &[(0, 500), (1, 400)], &[2]);
    }

    #[test]
    fn items_may_repeat_and_end_where_the_request_does() {
        let every = |index: usize, every: usize| {
            format!(
                r#"{{"items":[{{"index":{index},"statusCode":500,"message":"m"}}],"every":{every}}}"#
            )
        };
        check(&every(0, 2), 500, &[(0, 500), (1, 400), (2, 500)], &[]);
        check(&every(2, 1), 206, &[(1, 400), (2, 500)], &[0]);
        // Beyond the end: the honest answer.
        check(&every(3, 2), 206, &[(1, 400)], &[0, 2]);
        let answer = answer_to("POST", "/v2/track", Ok(GOOD), &every(1, 1));
        assert_eq!(answer.reply.status, 200);
    }

    #[test]
    fn a_body_that_cannot_be_read_is_400_with_a_breeze_body() {
        for (received, fault) in [
            (Ok(""), Fault::Empty),
            (Ok("<html>"), Fault::NotJson { byte: 1 }),
            (Err(Fault::NotGzip), Fault::NotGzip),
        ] {
            let answer = answer_to("POST", "/v2/track", received, "{}");
            assert_eq!((answer.reply.status, &answer.fault), (400, &Some(fault)));
            assert_eq!(
                body(&answer),
                r#"{"itemsReceived":0,"itemsAccepted":0,"appId":null,"errors":[]}"#
            );
        }
        let too_large = answer_to("POST", "/v2/track", Err(Fault::UnpackedTooLarge), "{}");
        assert_eq!(too_large.reply.status, 413);
        let scripted = answer_to("POST", "/v2/track", Ok(""), r#"{"status":503}"#);
        assert_eq!((scripted.reply.status, scripted.fault), (503, None));
    }

    #[test]
    fn only_posts_to_the_track_paths_are_judged() {
        for (method, path, status) in [
            ("POST", "/v2/track", 200),
            ("POST", "/v2.1/track", 200),
            ("POST", "//v2.1/track", 200),
            ("POST", "/v2.1/track?a=b", 200),
            ("GET", "/v2.1/track", 405),
            ("PUT", "/v2/track", 405),
            ("GET", "/", 200),
            ("POST", "/", 404),
            ("POST", "/v3/track", 404),
            ("POST", "/v2.1/track/", 404),
            ("GET", "/v2", 404),
        ] {
            let answer = answer_to(method, path, Ok(GOOD), "{}");
            assert_eq!(answer.reply.status, status, "{method} {path}");
            assert_eq!(
                answer.verdicts.len(),
                usize::from(status == 200 && method == "POST"),
                "{method} {path}"
            );
        }
        assert!(body(&answer_to("GET", "/", Ok(""), "{}")).contains("emulator"));
    }

    #[test]
    fn a_step_answers_any_path() {
        assert_eq!(
            answer_to("GET", "/elsewhere", Ok(""), r#"{"status":503}"#)
                .reply
                .status,
            503
        );
    }

    #[test]
    fn what_could_not_be_stored_is_not_accepted() {
        let answer = answer_to("POST", "/v2/track", Ok(&format!("[{GOOD},{{}}]")), "{}");
        let answer = not_stored(answer, &io::Error::other("disk full"));
        assert_eq!(answer.reply.status, 500);
        assert!(body(&answer).starts_with(r#"{"itemsReceived":2,"itemsAccepted":0"#));
        assert!(answer.verdicts.iter().all(|(_, refused)| refused.is_some()));
        assert_eq!(answer.fault, Some(Fault::NotStored("disk full".to_owned())));
    }
}
