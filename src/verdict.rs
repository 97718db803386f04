//! A reply → what it means for each event of the request. The table is total: what it does not know
//! is kept, and only age and the cap end it. Nothing here does I/O.
//!
//! Sources: Application Insights' `ENDPOINT-PROTOCOL.md`, the swagger of `Monitor.Exporters` v2.1,
//! and answers of the real service in public issues.

use crate::world::Reply;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::fmt;

/// What a reply means for the batch it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Each event by itself, in the order of the request.
    Each(Vec<OfEvent>),
    /// Nothing was taken for a reason that may pass within seconds.
    Again(Trouble),
    /// Nothing was taken, and asking again now is pointless.
    Leave(Trouble),
    /// Something in the batch is not accepted, and the reply does not say what: halve it.
    Split(u16),
}

/// Post it there instead: the place, as the server wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere(pub String);

/// What a reply means for one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfEvent {
    /// Accepted, or sampled out after it was accepted.
    Delivered,
    /// Refused for good, by its own fault.
    Refused(Refusal),
    /// Refused for its time alone; not its own fault if our clock is wrong.
    RefusedForTime(Refusal),
    /// Not taken; may be within seconds.
    Again,
    /// Not taken; not in this pass.
    Kept,
}

/// The server's reason for refusing an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The item's status code.
    pub status: u16,
    /// Its message. It may quote the event: it goes into rejected.jsonl and nowhere else.
    pub message: String,
}

/// Why a batch stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing came back; the batch may have arrived all the same.
    NoReply(String),
    /// A status that may pass: 408, 429, 5xx, and any this table does not know.
    Status(u16),
    /// A 2xx whose body is not Breeze's: a captive portal or a proxy.
    NotBreeze(u16),
    /// 401, 403.
    Denied(u16),
    /// 402, 439: the daily quota is used up.
    Quota(u16),
    /// 404, 405: this is not the ingestion endpoint.
    WrongEndpoint(u16),
    /// Every event was refused alike, and not by its own fault: the key or the stamp is wrong.
    Misconfigured(String),
    /// 301, 302, 303, or a redirect that may not be followed.
    Redirected(String),
}

/// Whether more of the same may help, or only a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cure {
    /// The next pass may get through.
    Time,
    /// The configuration has to change.
    Configuration,
}

impl Trouble {
    /// What would help.
    pub fn cure(&self) -> Cure {
        match self {
            Trouble::Denied(_) | Trouble::WrongEndpoint(_) | Trouble::Misconfigured(_) => {
                Cure::Configuration
            }
            _ => Cure::Time,
        }
    }

    /// Whether another batch might fare better: these are about the batch or the moment, the others
    /// are the endpoint's word about us.
    pub fn is_about_the_batch(&self) -> bool {
        matches!(self, Trouble::NoReply(_) | Trouble::Status(408 | 500..=599))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Trouble::NoReply(why) => write!(f, "no reply from the server: {why}"),
            Trouble::Status(429) => write!(f, "the server asks for a pause (429)"),
            Trouble::Status(status) => write!(f, "the server answered {status}"),
            Trouble::NotBreeze(status) => write!(
                f,
                "something answered {status}, but not as Application Insights does; a login page of the network, perhaps"
            ),
            Trouble::Denied(status) => write!(
                f,
                "the endpoint refuses us ({status}); check the resource's access, private link and local authentication settings"
            ),
            Trouble::Quota(status) => {
                write!(f, "the daily quota of the resource is used up ({status})")
            }
            Trouble::WrongEndpoint(status) => write!(
                f,
                "this is not the ingestion endpoint of the resource ({status}); check IngestionEndpoint in the connection string"
            ),
            Trouble::Misconfigured(why) => {
                write!(
                    f,
                    "every event was refused alike: {why}; check the connection string"
                )
            }
            Trouble::Redirected(why) => write!(f, "a redirect was not followed: {why}"),
        }
    }
}

/// Breeze's reply body. Unknown fields are its own business; with them flattened serde insists on an
/// object, and without `[2,2,[]]` would be a body, too.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    items_received: usize,
    items_accepted: usize,
    #[serde(default)]
    errors: Option<Vec<Fault>>,
    #[serde(flatten)]
    _others: IgnoredAny,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fault {
    index: usize,
    status_code: u16,
    #[serde(default)]
    message: Option<String>,
    #[serde(flatten)]
    _others: IgnoredAny,
}

/// Judges the reply to a request of `sent` events.
///
/// # Errors
/// Where to post it instead, if the server says so.
pub fn judge(reply: &Reply, sent: usize) -> Result<Verdict, Elsewhere> {
    match faults(reply, sent) {
        Some(faults) => judge_each(reply.status, &faults, sent),
        None => judge_status(reply),
    }
}

/// The faults the body lists, if it is Breeze's and adds up. A body that does not (an index out of
/// range or twice, counts that differ) is not believed; the status is.
fn faults(reply: &Reply, sent: usize) -> Option<Vec<Fault>> {
    let body: Body = serde_json::from_slice(&reply.body).ok()?;
    let faults = body.errors.unwrap_or_default();
    let mut listed = vec![false; sent];
    for fault in &faults {
        let seen = listed.get_mut(fault.index)?;
        if std::mem::replace(seen, true) {
            return None;
        }
    }
    // Whether the service counts a sampled-out item as accepted is not documented: both add up.
    let refused = faults
        .iter()
        .filter(|fault| fault.status_code != 206)
        .count();
    let counts = [
        body.items_accepted.checked_add(faults.len()),
        body.items_accepted.checked_add(refused),
    ];
    let complete = body.items_received == sent && counts.contains(&Some(sent));
    // "All accepted" under a status that says otherwise is not believed.
    let credible = (200..300).contains(&reply.status) || !faults.is_empty();
    (complete && credible).then_some(faults)
}

fn judge_each(status: u16, faults: &[Fault], sent: usize) -> Result<Verdict, Elsewhere> {
    let all = faults.len() == sent && sent > 0;
    if all && let Some(location) = faults.iter().find_map(stamp_location) {
        return Err(Elsewhere(location));
    }
    let alike = faults
        .windows(2)
        .all(|pair| message(&pair[0]) == message(&pair[1]));
    if all && alike && faults[0].status_code == 400 && !is_own_fault(&faults[0]) {
        return Ok(Verdict::Leave(Trouble::Misconfigured(known(message(
            &faults[0],
        )))));
    }
    let mut verdicts = vec![OfEvent::Delivered; sent];
    for fault in faults {
        verdicts[fault.index] = judge_one(fault);
    }
    let none_taken = verdicts
        .iter()
        .all(|verdict| matches!(verdict, OfEvent::Again | OfEvent::Kept));
    if all && none_taken && !(200..300).contains(&status) {
        return Ok(judge_bare_status(status));
    }
    Ok(Verdict::Each(verdicts))
}

fn judge_one(fault: &Fault) -> OfEvent {
    let refusal = || Refusal {
        status: fault.status_code,
        message: message(fault).to_owned(),
    };
    match fault.status_code {
        200..=299 => OfEvent::Delivered, // 206 "Telemetry sampled out."
        400 if is_about_time(fault) => OfEvent::RefusedForTime(refusal()),
        400 if is_own_fault(fault) => OfEvent::Refused(refusal()),
        413 => OfEvent::Refused(refusal()),
        408 | 429 | 500 | 502..=504 => OfEvent::Again,
        _ => OfEvent::Kept, // 308, 401, 402, 403, 404, 405, 439, and the unknown
    }
}

/// No body to go by, or none to be believed.
fn judge_status(reply: &Reply) -> Result<Verdict, Elsewhere> {
    Ok(match (reply.status, &reply.location) {
        (status @ 200..=299, _) => Verdict::Leave(Trouble::NotBreeze(status)),
        (307 | 308, Some(location)) => return Err(Elsewhere(location.clone())),
        (status, _) => judge_bare_status(status),
    })
}

fn judge_bare_status(status: u16) -> Verdict {
    match status {
        300..=399 => Verdict::Leave(Trouble::Redirected(format!(
            "{status} without a place to post to"
        ))),
        400 | 413 => Verdict::Split(status),
        401 | 403 => Verdict::Leave(Trouble::Denied(status)),
        402 | 439 => Verdict::Leave(Trouble::Quota(status)),
        404 | 405 => Verdict::Leave(Trouble::WrongEndpoint(status)),
        408 | 429 | 500 | 502..=504 => Verdict::Again(Trouble::Status(status)),
        _ => Verdict::Leave(Trouble::Status(status)), // unknown: keep it, the age limit ends it
    }
}

fn message(fault: &Fault) -> &str {
    fault.message.as_deref().unwrap_or_default()
}

/// Breeze's codes 100 to 109 fault one field of the event (too long, bad time, wrong type, missing),
/// and "must not exceed" its size.
fn is_own_fault(fault: &Fault) -> bool {
    let message = message(fault);
    let code = message
        .split_once(':')
        .and_then(|(code, _)| code.trim().parse::<u16>().ok());
    code.is_some_and(|code| (100..=109).contains(&code)) || message.contains("must not exceed")
}

/// `103: Field 'time' on type 'Envelope' is older than the allowed min date. …`
fn is_about_time(fault: &Fault) -> bool {
    is_own_fault(fault) && message(fault).contains("Field 'time' on type 'Envelope'")
}

/// `Ingestion is allowed only from stamp specific endpoint - Location: https://…/v2/track`
fn stamp_location(fault: &Fault) -> Option<String> {
    if !matches!(fault.status_code, 307 | 308) {
        return None;
    }
    let (_, location) = message(fault).split_once("Location:")?;
    location.split_whitespace().next().map(str::to_owned)
}

/// A server's words may quote the event, and these go into the log: only known ones do.
fn known(message: &str) -> String {
    const INVALID_KEY: &str = "Invalid instrumentation key";
    let known = message.starts_with(INVALID_KEY);
    if known {
        INVALID_KEY
    } else {
        "for a reason that is not known here"
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn judged(reply: &Reply, sent: usize) -> Verdict {
        judge(reply, sent).unwrap()
    }

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status,
            body: body.as_bytes().to_vec(),
            ..Reply::default()
        }
    }

    #[allow(clippy::needless_pass_by_value, reason = "the rows read better")]
    fn check(status: u16, body: &str, sent: usize, expected: Verdict) {
        assert_eq!(
            judged(&reply(status, body), sent),
            expected,
            "{status} {body}"
        );
    }

    fn faulty(
        status: u16,
        received: usize,
        accepted: usize,
        faults: &[(usize, u16, &str)],
    ) -> Reply {
        let errors: Vec<_> = faults
            .iter()
            .map(|(index, code, message)| serde_json::json!({"index": index, "statusCode": code, "message": message}))
            .collect();
        let body = serde_json::json!({"itemsReceived": received, "itemsAccepted": accepted, "appId": null, "errors": errors});
        reply(status, &body.to_string())
    }

    fn refused(message: &str) -> OfEvent {
        OfEvent::Refused(Refusal {
            status: 400,
            message: message.to_owned(),
        })
    }

    const ALL: &str = r#"{"itemsReceived":2,"itemsAccepted":2,"errors":[]}"#;
    const TOO_LONG: &str =
        "100: Field 'name' on type 'EventData' is too long. Expected: 512 characters";

    #[test]
    fn two_hundred_counts_only_with_breezes_own_words() {
        check(200, ALL, 2, Verdict::Each(vec![OfEvent::Delivered; 2]));
        check(206, ALL, 2, Verdict::Each(vec![OfEvent::Delivered; 2]));
        check(
            200,
            r#"{"itemsReceived":2,"itemsAccepted":2,"errors":null}"#,
            2,
            Verdict::Each(vec![OfEvent::Delivered; 2]),
        );
        let doubtful = |status| Verdict::Leave(Trouble::NotBreeze(status));
        check(200, "", 2, doubtful(200));
        check(200, "<html>Welcome to the hotel</html>", 2, doubtful(200));
        check(200, ALL, 3, doubtful(200));
        check(
            200,
            r#"{"itemsReceived":2,"itemsAccepted":1,"errors":[]}"#,
            2,
            doubtful(200),
        );
        check(204, "", 2, doubtful(204));
    }

    #[test]
    fn a_sampled_out_event_may_be_counted_as_accepted_or_not() {
        let each = Verdict::Each(vec![OfEvent::Delivered; 2]);
        let sampled = [(0, 206, "Telemetry sampled out.")];
        for accepted in [1, 2] {
            assert_eq!(judged(&faulty(206, 2, accepted, &sampled), 2), each);
        }
    }

    #[test]
    fn an_event_that_is_too_large_by_itself_is_refused() {
        let refusal = Refusal {
            status: 413,
            message: "too large".to_owned(),
        };
        assert_eq!(
            judged(&faulty(206, 2, 1, &[(1, 413, "too large")]), 2),
            Verdict::Each(vec![OfEvent::Delivered, OfEvent::Refused(refusal)])
        );
    }

    #[test]
    fn a_reply_to_nothing_says_nothing() {
        assert_eq!(judged(&faulty(200, 0, 0, &[]), 0), Verdict::Each(vec![]));
    }

    #[test]
    fn each_trouble_has_its_words_its_cure_and_its_reach() {
        use Cure::{Configuration, Time};
        let why = || "why".to_owned();
        for (trouble, words, cure, is_about_the_batch) in [
            (
                Trouble::NoReply(why()),
                "no reply from the server: why",
                Time,
                true,
            ),
            (Trouble::Status(408), "the server answered 408", Time, true),
            (Trouble::Status(500), "the server answered 500", Time, true),
            (Trouble::Status(418), "the server answered 418", Time, false),
            (
                Trouble::Status(429),
                "the server asks for a pause (429)",
                Time,
                false,
            ),
            (
                Trouble::NotBreeze(200),
                "something answered 200, but",
                Time,
                false,
            ),
            (
                Trouble::Denied(403),
                "the endpoint refuses us (403)",
                Configuration,
                false,
            ),
            (
                Trouble::Quota(439),
                "the daily quota of the resource is used up (439)",
                Time,
                false,
            ),
            (
                Trouble::WrongEndpoint(404),
                "this is not the ingestion endpoint",
                Configuration,
                false,
            ),
            (
                Trouble::Misconfigured(why()),
                "every event was refused alike: why",
                Configuration,
                false,
            ),
            (
                Trouble::Redirected(why()),
                "a redirect was not followed: why",
                Time,
                false,
            ),
        ] {
            assert!(trouble.to_string().starts_with(words), "{trouble}");
            assert_eq!(trouble.cure(), cure, "{trouble}");
            assert_eq!(
                trouble.is_about_the_batch(),
                is_about_the_batch,
                "{trouble}"
            );
        }
    }

    #[test]
    fn a_body_that_is_no_object_is_not_breezes() {
        let doubtful = Verdict::Leave(Trouble::NotBreeze(200));
        check(200, "[2,2,[]]", 2, doubtful.clone());
        check(
            200,
            r#"{"itemsReceived":2,"itemsAccepted":1,"errors":[[0,400,"100: x"]]}"#,
            2,
            doubtful,
        );
    }

    #[test]
    fn counts_beyond_every_number_do_not_add_up() {
        let doubtful = Verdict::Leave(Trouble::NotBreeze(200));
        let most = usize::MAX;
        for body in [
            format!(
                r#"{{"itemsReceived":1,"itemsAccepted":{most},"errors":[{{"index":0,"statusCode":206}}]}}"#
            ),
            format!(r#"{{"itemsReceived":{most},"itemsAccepted":{most}}}"#),
        ] {
            check(200, &body, 1, doubtful.clone());
        }
    }

    #[test]
    fn every_status_without_a_body_has_its_row() {
        let bare = |status| judged(&reply(status, ""), 2);
        for status in [408, 429, 500, 502, 503, 504] {
            assert_eq!(bare(status), Verdict::Again(Trouble::Status(status)));
        }
        for status in [400, 413] {
            assert_eq!(bare(status), Verdict::Split(status));
        }
        for status in [401, 403] {
            assert_eq!(bare(status), Verdict::Leave(Trouble::Denied(status)));
        }
        for status in [402, 439] {
            assert_eq!(bare(status), Verdict::Leave(Trouble::Quota(status)));
        }
        for status in [404, 405] {
            assert_eq!(bare(status), Verdict::Leave(Trouble::WrongEndpoint(status)));
        }
        for status in [301, 302, 303, 304] {
            assert!(matches!(
                bare(status),
                Verdict::Leave(Trouble::Redirected(_))
            ));
        }
        for status in [100, 411, 418, 451, 501, 599, 999] {
            assert_eq!(bare(status), Verdict::Leave(Trouble::Status(status)));
        }
    }

    #[test]
    fn a_redirect_needs_a_location() {
        let there = Reply {
            location: Some("https://x/".into()),
            ..reply(308, "")
        };
        assert_eq!(judge(&there, 1), Err(Elsewhere("https://x/".into())));
        assert!(matches!(
            judged(&reply(307, ""), 1),
            Verdict::Leave(Trouble::Redirected(_))
        ));
    }

    #[test]
    fn each_item_of_a_partial_reply_has_its_own_fate() {
        let codes: [(u16, &str, OfEvent); 14] = [
            (206, "Telemetry sampled out.", OfEvent::Delivered),
            (400, TOO_LONG, refused(TOO_LONG)),
            (
                400,
                "109: Field 'name' is required",
                refused("109: Field 'name' is required"),
            ),
            (
                400,
                "Telemetry item length must not exceed 65536",
                refused("Telemetry item length must not exceed 65536"),
            ),
            (400, "something unheard of", OfEvent::Kept),
            (401, "", OfEvent::Kept),
            (402, "", OfEvent::Kept),
            (404, "", OfEvent::Kept),
            (439, "", OfEvent::Kept),
            (408, "", OfEvent::Again),
            (429, "", OfEvent::Again),
            (500, "", OfEvent::Again),
            (503, "", OfEvent::Again),
            (777, "", OfEvent::Kept),
        ];
        for (code, message, expected) in codes {
            let verdict = judged(&faulty(206, 2, 1, &[(1, code, message)]), 2);
            assert_eq!(
                verdict,
                Verdict::Each(vec![OfEvent::Delivered, expected]),
                "{code} {message}"
            );
        }
    }

    #[test]
    fn a_refusal_for_time_alone_is_told_apart() {
        let message = "103: Field 'time' on type 'Envelope' is older than the allowed min date. Expected: now - 172800000ms";
        let verdict = judged(&faulty(400, 1, 0, &[(0, 400, message)]), 1);
        let expected = OfEvent::RefusedForTime(Refusal {
            status: 400,
            message: message.into(),
        });
        assert_eq!(verdict, Verdict::Each(vec![expected]));
    }

    #[test]
    fn a_wrong_key_never_empties_a_buffer() {
        let message = "Invalid instrumentation key";
        for status in [400, 206, 200] {
            let verdict = judged(
                &faulty(status, 2, 0, &[(0, 400, message), (1, 400, message)]),
                2,
            );
            assert_eq!(
                verdict,
                Verdict::Leave(Trouble::Misconfigured(message.into())),
                "{status}"
            );
        }
    }

    #[test]
    fn a_batch_of_bad_events_is_refused_event_by_event() {
        let verdict = judged(
            &faulty(400, 2, 0, &[(0, 400, TOO_LONG), (1, 400, TOO_LONG)]),
            2,
        );
        assert_eq!(
            verdict,
            Verdict::Each(vec![refused(TOO_LONG), refused(TOO_LONG)])
        );
    }

    #[test]
    fn an_error_status_may_carry_mixed_items() {
        let verdict = judged(&faulty(500, 2, 0, &[(0, 500, "x"), (1, 400, TOO_LONG)]), 2);
        assert_eq!(
            verdict,
            Verdict::Each(vec![OfEvent::Again, refused(TOO_LONG)])
        );
        let verdict = judged(&faulty(429, 2, 0, &[(0, 429, "x"), (1, 429, "x")]), 2);
        assert_eq!(verdict, Verdict::Again(Trouble::Status(429)));
        let verdict = judged(&faulty(206, 2, 0, &[(0, 500, "x"), (1, 500, "x")]), 2);
        assert_eq!(
            verdict,
            Verdict::Each(vec![OfEvent::Again; 2]),
            "a 206 that keeps all does not end the pass"
        );
        check(500, ALL, 2, Verdict::Again(Trouble::Status(500)));
    }

    #[test]
    fn a_body_that_does_not_add_up_is_not_believed() {
        for faults in [
            &[(7, 400, TOO_LONG)][..],
            &[(0, 400, TOO_LONG), (0, 400, TOO_LONG)],
        ] {
            let verdict = judged(&faulty(206, 2, 2 - faults.len(), faults), 2);
            assert_eq!(verdict, Verdict::Leave(Trouble::NotBreeze(206)));
        }
        let verdict = judged(&faulty(503, 2, 1, &[(7, 400, TOO_LONG)]), 2);
        assert_eq!(verdict, Verdict::Again(Trouble::Status(503)));
    }

    #[test]
    fn an_item_level_308_redirects_the_batch() {
        let message = "Ingestion is allowed only from stamp specific endpoint - Location: https://germanywestcentral-0.in.applicationinsights.azure.com/v2/track";
        let place = judge(&faulty(308, 1, 0, &[(0, 308, message)]), 1);
        let expected = "https://germanywestcentral-0.in.applicationinsights.azure.com/v2/track";
        assert_eq!(place, Err(Elsewhere(expected.into())));
    }

    proptest! {
        #[test]
        fn any_reply_is_judged_without_panic_and_every_event_gets_a_fate(
            status in 0u16..1000, body: Vec<u8>, sent in 1usize..200
        ) {
            if let Ok(Verdict::Each(items)) = judge(&Reply { status, body, ..Reply::default() }, sent) {
                prop_assert_eq!(items.len(), sent);
            }
        }

        #[test]
        fn hostile_faults_never_move_an_event_that_is_not_there(
            status in 200u16..600,
            received in 0usize..6, accepted in 0usize..6,
            faults in prop::collection::vec((0usize..8, 200u16..600), 0..6)
        ) {
            let faults: Vec<_> = faults.iter().map(|(index, code)| (*index, *code, "x")).collect();
            if let Ok(Verdict::Each(items)) = judge(&faulty(status, received, accepted, &faults), 4) {
                prop_assert_eq!(items.len(), 4);
                let taken = items.iter().filter(|item| **item == OfEvent::Delivered).count();
                let sampled = faults.iter().filter(|(_, code, _)| (200..300).contains(code)).count();
                prop_assert!(taken <= accepted + sampled);
            }
        }
    }
}
