//! A reply → what it means for each event of the request. The table is total: what it does not know
//! is kept, and only age and the cap end it. Nothing here does I/O.
//!
//! Sources: Application Insights' `ENDPOINT-PROTOCOL.md`, the swagger of `Monitor.Exporters` v2.1,
//! and answers of the real service in public issues.

use crate::connection;
use crate::os;
use crate::wording::counted;
use crate::world::{NoReply, Reply};
use serde_json::Value;
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
    /// Refused in a reply that accepted nothing, for a reason that may be the request's: only halving tells.
    Suspected(Refusal),
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
    NoReply(NoReply),
    /// A status that may pass: 408, 429, 5xx, and any this table does not know.
    Status(u16),
    /// A 2xx whose body is not Breeze's: a captive portal or a proxy.
    NotBreeze(u16),
    /// A 2xx whose body is over the limit, or in an encoding or a form that this program cannot read.
    Unreadable(u16),
    /// A body in Breeze's form whose counts contradict each other.
    DoesNotAddUp {
        /// The status it came with.
        status: u16,
        /// Events in the request.
        sent: usize,
        /// Events that the server says it accepted.
        accepted: u64,
        /// Entries of its list of errors.
        errors: usize,
    },
    /// 401, 403.
    Denied(u16),
    /// 402, 439: the daily quota is used up.
    Quota(u16),
    /// 404, 405: this is not the ingestion endpoint.
    WrongEndpoint(u16),
    /// Every event was refused alike, and the server's words name the instrumentation key.
    InvalidKey,
    /// 400 or 413 for the whole batch, and for its first and its last event alone.
    RefusedAlike {
        /// The status.
        status: u16,
        /// Whether there were no words with it that give a reason.
        is_bare: bool,
    },
    /// 301, 302, 303, 511: the network answered, and points to this host.
    Portal(u16, Option<String>),
    /// 307 or 308 to a place that may not be followed, or another 3xx.
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
            Trouble::Denied(_)
            | Trouble::WrongEndpoint(_)
            | Trouble::InvalidKey
            | Trouble::RefusedAlike { .. } => Cure::Configuration,
            Trouble::NoReply(why) if why.is_configuration() => Cure::Configuration,
            _ => Cure::Time,
        }
    }

    /// The same of one event: what it says about access or quota does not hold for the others.
    #[must_use]
    pub fn about_one_event(self) -> Trouble {
        match self {
            Trouble::Denied(status) | Trouble::Quota(status) | Trouble::WrongEndpoint(status) => {
                Trouble::Status(status)
            }
            other => other,
        }
    }

    /// Whether the server may have accepted events of the batch all the same: then nothing of it is sent
    /// again without a pause.
    pub fn may_be_accepted(&self) -> bool {
        matches!(self, Trouble::DoesNotAddUp { .. } | Trouble::Unreadable(_))
    }

    /// Whether another batch might fare better: these are about the batch or the moment, the others
    /// are the endpoint's word about us.
    pub fn is_about_the_batch(&self) -> bool {
        match self {
            Trouble::NoReply(why) => !why.is_configuration(),
            trouble => trouble.may_be_one_event(false),
        }
    }

    /// Whether one event of the batch may be the reason. Access, quota and unknown statuses count only if
    /// the server has accepted other events before: then they need not be about every request.
    pub fn may_be_one_event(&self, has_accepted_others: bool) -> bool {
        match self {
            Trouble::Status(408 | 500..=599) => true,
            Trouble::Status(429) => false,
            Trouble::Status(_)
            | Trouble::Denied(_)
            | Trouble::Quota(_)
            | Trouble::WrongEndpoint(_) => has_accepted_others,
            _ => false,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Trouble::NoReply(why) => f.write_str(&why.sentence()),
            Trouble::Status(429) => write!(f, "the server asks for a pause (429)"),
            Trouble::Status(status) => write!(f, "the server answered {status}"),
            Trouble::NotBreeze(status) => write!(
                f,
                "something answered {status}, but not as Application Insights does; a login page of the network, perhaps"
            ),
            Trouble::Unreadable(status) => write!(
                f,
                "the server answered {status} with a body that cannot be read: over 256 KB, or in an unknown form or encoding"
            ),
            Trouble::DoesNotAddUp {
                status,
                sent,
                accepted,
                errors,
            } => write!(
                f,
                "the server answered {status} with a reply that does not add up: {sent} sent, {accepted} accepted, {}",
                counted(*errors as u64, "error")
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
            Trouble::InvalidKey => f.write_str(
                "every event was refused alike: Invalid instrumentation key; check the connection string",
            ),
            Trouble::RefusedAlike { status: 413, .. } => f.write_str(
                "every event was refused alike: status 413, too large, even for one event; check whether a proxy or gateway limits the size of requests",
            ),
            Trouble::RefusedAlike {
                status,
                is_bare: true,
            } => write!(
                f,
                "every event was refused alike: status {status} without a word why; check the connection string"
            ),
            Trouble::RefusedAlike { .. } => f.write_str(
                "every event was refused alike: for a reason that is not known here; check the connection string",
            ),
            Trouble::Portal(status, host) => {
                write!(f, "the network answered {status}")?;
                match host {
                    Some(host) => write!(f, " and points to {host}")?,
                    None => write!(f, " instead of Application Insights")?,
                }
                write!(f, "; a captive portal, perhaps: log in with a browser")
            }
            Trouble::Redirected(why) => write!(f, "a redirect was not followed: {why}"),
        }
    }
}

/// Judges the reply to a request of `sent` events.
///
/// # Errors
/// Where to post it instead, if the server says so.
pub fn judge(reply: &Reply, sent: usize) -> Result<Verdict, Elsewhere> {
    match Body::read(reply, sent) {
        Body::Items(items) => judge_each(reply, &items),
        Body::DoesNotAddUp { accepted, errors } if accepted > 0 || is_success(reply.status) => {
            Ok(Verdict::Leave(Trouble::DoesNotAddUp {
                status: reply.status,
                sent,
                accepted,
                errors,
            }))
        }
        Body::Unreadable if is_success(reply.status) => {
            Ok(Verdict::Leave(Trouble::Unreadable(reply.status)))
        }
        Body::DoesNotAddUp { .. } | Body::Unreadable | Body::Foreign => judge_status(reply),
    }
}

/// Whether the body is in the form that only Breeze's has, whatever it says.
pub fn is_breeze(reply: &Reply) -> bool {
    counts(&object(reply)).iter().all(Option::is_some)
}

/// The body as JSON, null if it is none.
fn object(reply: &Reply) -> Value {
    serde_json::from_slice(os::without_byte_order_mark(&reply.body)).unwrap_or_default()
}

/// The two counts that every body of Breeze's has.
const COUNTS: [&str; 2] = ["itemsReceived", "itemsAccepted"];

/// What the body of a reply says.
enum Body {
    /// For each event of the request the fault that is listed for it; `None` is accepted.
    Items(Vec<Option<Fault>>),
    /// It is Breeze's, and contradicts itself.
    DoesNotAddUp { accepted: u64, errors: usize },
    /// It may be Breeze's, and cannot be understood.
    Unreadable,
    /// It is empty, or not Breeze's.
    Foreign,
}

/// One entry of the list of errors.
struct Fault {
    status: u16,
    message: String,
}

impl Body {
    fn read(reply: &Reply, sent: usize) -> Body {
        let body = object(reply);
        let [Some(received), Some(accepted)] = counts(&body) else {
            let words = String::from_utf8_lossy(&reply.body).to_lowercase();
            let is_named = |name: &&str| words.contains(&name.to_lowercase());
            return if reply.is_unreadable || COUNTS.iter().any(is_named) {
                Body::Unreadable
            } else {
                Body::Foreign
            };
        };
        let errors = match field(&body, "errors") {
            Some(Value::Array(errors)) => &errors[..],
            None | Some(Value::Null) => &[],
            Some(_) => return Body::Unreadable,
        };
        // "All accepted" under a status that says otherwise.
        let is_all_or_none = accepted == 0 || accepted == sent as u64;
        if errors.is_empty() && is_all_or_none && !is_success(reply.status) {
            return Body::Foreign;
        }
        let mut items: Vec<Option<Fault>> = (0..sent).map(|_| None).collect();
        for error in errors {
            let index = number(error, "index").and_then(|index| usize::try_from(index).ok());
            // An index that no event has tells nothing about the others, as long as the counts add up.
            let Some(item) = index.and_then(|index| items.get_mut(index)) else {
                continue;
            };
            let fault = Fault::read(error);
            if item.as_ref().is_none_or(|listed| fault.is_worse(listed)) {
                *item = Some(fault);
            }
        }
        // Whether the service counts a sampled-out item as accepted is not documented: both add up.
        let listed = items.iter().flatten().count() as u64;
        let sampled_out = items.iter().flatten().filter(|it| it.is_success()).count() as u64;
        let sums = [listed, listed - sampled_out].map(|refused| accepted.checked_add(refused));
        let sent = sent as u64;
        if received == sent && sums.contains(&Some(sent)) {
            Body::Items(items)
        } else {
            let errors = errors.len();
            Body::DoesNotAddUp { accepted, errors }
        }
    }
}

/// A field by its name, in any letter case.
fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let mut fields = object.as_object()?.iter();
    let found = fields.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

fn counts(body: &Value) -> [Option<u64>; 2] {
    COUNTS.map(|name| field(body, name)?.as_u64())
}

/// A field that is a number, or a text that is one.
fn number(object: &Value, name: &str) -> Option<u64> {
    let value = field(object, name)?;
    let in_text = || value.as_str()?.trim().parse().ok();
    value.as_u64().or_else(in_text)
}

impl Fault {
    fn read(error: &Value) -> Fault {
        let status = number(error, "statusCode").and_then(|status| u16::try_from(status).ok());
        let message = field(error, "message").and_then(Value::as_str);
        Fault {
            // Without a status it is an unknown one.
            status: status.unwrap_or_default(),
            message: message.unwrap_or_default().to_owned(),
        }
    }

    /// 206 "Telemetry sampled out."
    fn is_success(&self) -> bool {
        is_success(self.status)
    }

    fn is_worse(&self, other: &Fault) -> bool {
        let badness = |fault: &Fault| match fault.status {
            200..=299 => 0,
            status if is_retriable(status) => 1,
            400 if fault.is_own() => 4,
            400 | 413 => 3,
            _ => 2,
        };
        badness(self) > badness(other)
    }

    /// Breeze's codes 100 to 109 fault one field of the event (too long, bad time, wrong type, missing),
    /// and "must not exceed" its size.
    fn is_own(&self) -> bool {
        let code = self
            .message
            .split_once(':')
            .and_then(|(code, _)| code.trim().parse::<u16>().ok());
        code.is_some_and(|code| (100..=109).contains(&code))
            || self.message.contains("must not exceed")
    }

    /// `103: Field 'time' on type 'Envelope' is older than the allowed min date. …`
    fn is_about_time(&self) -> bool {
        self.is_own() && self.message.contains("Field 'time' on type 'Envelope'")
    }

    /// `Invalid instrumentation key`, or a fault of the envelope's field `iKey`. What follows `Actual:` is
    /// the event's.
    fn names_the_key(&self) -> bool {
        let words = self.message.split("Actual:").next().unwrap_or_default();
        let words = words.to_lowercase();
        self.status == 400 && (words.contains("instrumentation key") || words.contains("'ikey'"))
    }

    /// `Ingestion is allowed only from stamp specific endpoint - Location: https://…/v2/track`
    fn stamp_location(&self) -> Option<String> {
        if !matches!(self.status, 307 | 308) {
            return None;
        }
        let (_, location) = self.message.split_once("Location:")?;
        location.split_whitespace().next().map(str::to_owned)
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

fn is_retriable(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502..=504)
}

fn judge_each(reply: &Reply, items: &[Option<Fault>]) -> Result<Verdict, Elsewhere> {
    let is_accepted = |item: &Option<Fault>| item.as_ref().is_none_or(Fault::is_success);
    let accepts_some = items.iter().any(is_accepted);
    let faults = || items.iter().flatten();
    if !accepts_some && !items.is_empty() {
        let location = (reply.location.clone()).filter(|_| matches!(reply.status, 307 | 308));
        if let Some(location) = location.or_else(|| faults().find_map(Fault::stamp_location)) {
            return Err(Elsewhere(location));
        }
        if faults().any(Fault::names_the_key) {
            return Ok(Verdict::Leave(Trouble::InvalidKey));
        }
    }
    let is_doubtful = |fault: &Fault| matches!(fault.status, 400 | 413) && !fault.is_own();
    let are_all_doubtful = faults().all(is_doubtful);
    let judge_one = |item: &Option<Fault>| {
        let Some(fault) = item else {
            return OfEvent::Delivered;
        };
        let refusal = || Refusal {
            status: fault.status,
            message: fault.message.clone(),
        };
        match fault.status {
            200..=299 => OfEvent::Delivered,
            400 if fault.is_about_time() => OfEvent::RefusedForTime(refusal()),
            400 if accepts_some || fault.is_own() => OfEvent::Refused(refusal()),
            413 if accepts_some || !are_all_doubtful => OfEvent::Refused(refusal()),
            400 | 413 => OfEvent::Suspected(refusal()),
            status if is_retriable(status) => OfEvent::Again,
            _ => OfEvent::Kept, // 308, 401, 402, 403, 404, 405, 439, and the unknown
        }
    };
    let verdicts: Vec<OfEvent> = items.iter().map(judge_one).collect();
    let is_left = |verdict: &OfEvent| matches!(verdict, OfEvent::Again | OfEvent::Kept);
    if !items.is_empty() && verdicts.iter().all(is_left) && !is_success(reply.status) {
        return Ok(judge_bare_status(reply.status));
    }
    Ok(Verdict::Each(verdicts))
}

/// No body to go by.
fn judge_status(reply: &Reply) -> Result<Verdict, Elsewhere> {
    Ok(match (reply.status, &reply.location) {
        (status @ 200..=299, _) => Verdict::Leave(Trouble::NotBreeze(status)),
        (307 | 308, Some(location)) => return Err(Elsewhere(location.clone())),
        (status @ (301 | 302 | 303 | 511), location) => {
            let host = location.as_deref().and_then(connection::host_of);
            Verdict::Leave(Trouble::Portal(status, host))
        }
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
        status if is_retriable(status) => Verdict::Again(Trouble::Status(status)),
        _ => Verdict::Leave(Trouble::Status(status)), // unknown: keep it, the age limit ends it
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::UnusableProxy;
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
        check(200, "{}", 2, doubtful(200));
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

    fn check_trouble(trouble: &Trouble, words: &str, cure: Cure, is_about_the_batch: bool) {
        assert!(trouble.to_string().starts_with(words), "{trouble}");
        assert_eq!(trouble.cure(), cure, "{trouble}");
        assert_eq!(
            trouble.is_about_the_batch(),
            is_about_the_batch,
            "{trouble}"
        );
    }

    #[test]
    fn each_trouble_has_its_words_its_cure_and_its_reach() {
        use Cure::{Configuration, Time};
        let why = || "why".to_owned();
        let unusable = UnusableProxy {
            variable: "ALL_PROXY",
            why: "has no valid port",
        };
        for (trouble, words, cure, is_about_the_batch) in [
            (
                Trouble::NoReply(NoReply::CredentialsWanted(None)),
                "no reply from the server: a proxy of the network wants credentials (407); name it with its credentials in HTTPS_PROXY",
                Configuration,
                false,
            ),
            (
                Trouble::NoReply(NoReply::ProxyUnusable(unusable)),
                "ALL_PROXY has no valid port; write ALL_PROXY as http://HOST:PORT or socks5h://HOST:PORT, or unset it",
                Configuration,
                false,
            ),
            (
                Trouble::NoReply(NoReply::HostNotFound),
                "no reply from the server: the host name could not be resolved",
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
                Trouble::InvalidKey,
                "every event was refused alike: Invalid instrumentation key",
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
            check_trouble(&trouble, words, cure, is_about_the_batch);
        }
    }

    #[test]
    fn a_trouble_that_is_not_about_the_batch_has_its_words_and_its_cure() {
        use Cure::{Configuration, Time};
        for (trouble, words, cure) in [
            (
                Trouble::Portal(511, None),
                "the network answered 511 instead of Application Insights; a captive portal",
                Time,
            ),
            (
                Trouble::Unreadable(200),
                "the server answered 200 with a body that cannot be read",
                Time,
            ),
            (
                Trouble::DoesNotAddUp {
                    status: 206,
                    sent: 100,
                    accepted: 99,
                    errors: 2,
                },
                "the server answered 206 with a reply that does not add up: 100 sent, 99 accepted, 2 errors",
                Time,
            ),
            (
                Trouble::RefusedAlike {
                    status: 400,
                    is_bare: true,
                },
                "every event was refused alike: status 400 without a word why; check the connection string",
                Configuration,
            ),
            (
                Trouble::RefusedAlike {
                    status: 400,
                    is_bare: false,
                },
                "every event was refused alike: for a reason that is not known here; check the connection string",
                Configuration,
            ),
            (
                Trouble::RefusedAlike {
                    status: 413,
                    is_bare: false,
                },
                "every event was refused alike: status 413, too large, even for one event; check whether a proxy",
                Configuration,
            ),
        ] {
            check_trouble(&trouble, words, cure, false);
        }
    }

    #[test]
    fn a_body_that_is_no_object_is_not_breezes() {
        let doubtful = Verdict::Leave(Trouble::NotBreeze(200));
        check(200, "[2,2,[]]", 2, doubtful);
    }

    fn does_not_add_up(status: u16, sent: usize, accepted: u64, errors: usize) -> Verdict {
        Verdict::Leave(Trouble::DoesNotAddUp {
            status,
            sent,
            accepted,
            errors,
        })
    }

    #[test]
    fn counts_that_contradict_each_other_are_not_believed() {
        let most = u64::MAX;
        let sampled = format!(
            r#"{{"itemsReceived":1,"itemsAccepted":{most},"errors":[{{"index":0,"statusCode":206}}]}}"#
        );
        let beyond = format!(r#"{{"itemsReceived":{most},"itemsAccepted":{most}}}"#);
        for (body, sent, accepted, errors) in [
            (sampled.as_str(), 1, most, 1),
            (&beyond, 1, most, 0),
            (ALL, 3, 2, 0),
            (
                r#"{"itemsReceived":2,"itemsAccepted":1,"errors":[]}"#,
                2,
                1,
                0,
            ),
            (
                r#"{"itemsReceived":2,"itemsAccepted":1,"errors":[[0,400,"100: x"]]}"#,
                2,
                1,
                1,
            ),
        ] {
            check(
                200,
                body,
                sent,
                does_not_add_up(200, sent, accepted, errors),
            );
        }
    }

    #[test]
    fn a_reply_that_accepted_some_and_does_not_add_up_is_not_tried_again() {
        let some =
            r#"{"itemsReceived":2,"itemsAccepted":1,"errors":[{"index":7,"statusCode":500}]}"#;
        check(500, some, 2, does_not_add_up(500, 2, 1, 1));
        let none =
            r#"{"itemsReceived":0,"itemsAccepted":0,"errors":[{"index":7,"statusCode":500}]}"#;
        check(500, none, 2, Verdict::Again(Trouble::Status(500)));
        let unlisted = r#"{"itemsReceived":2,"itemsAccepted":1,"errors":[]}"#;
        check(500, unlisted, 2, does_not_add_up(500, 2, 1, 0));
    }

    #[test]
    fn a_byte_order_mark_and_other_letter_case_are_read() {
        let all = Verdict::Each(vec![OfEvent::Delivered; 2]);
        check(200, &format!("\u{feff}{ALL}"), 2, all.clone());
        let pascal = r#"{"ItemsReceived":2,"ItemsAccepted":2,"Errors":[]}"#;
        check(200, pascal, 2, all);
    }

    #[test]
    fn a_body_that_cannot_be_read_is_told_from_a_portals() {
        let unreadable = Verdict::Leave(Trouble::Unreadable(200));
        check(
            200,
            r#"{"itemsReceived":2,"itemsAcc"#,
            2,
            unreadable.clone(),
        );
        let long = Reply {
            is_unreadable: true,
            ..reply(200, "")
        };
        assert_eq!(judged(&long, 2), unreadable);
        let long = Reply {
            status: 503,
            ..long
        };
        assert_eq!(judged(&long, 2), Verdict::Again(Trouble::Status(503)));
    }

    /// Each row: the body's `errors`, how many of three events were accepted, and the verdicts.
    #[test]
    fn an_odd_index_spoils_nothing_while_the_counts_add_up() {
        let [kept, taken] = [OfEvent::Kept, OfEvent::Delivered];
        let long = || refused(TOO_LONG);
        let error = |index: Value, status: u16, message: &str| serde_json::json!({"index": index, "statusCode": status, "message": message});
        for (errors, accepted, expected) in [
            // The worst of two counts, and both count once.
            (
                vec![error(1.into(), 500, ""), error(1.into(), 400, TOO_LONG)],
                2,
                vec![taken.clone(), long(), taken.clone()],
            ),
            (
                vec![error(1.into(), 400, TOO_LONG), error(1.into(), 402, "")],
                2,
                vec![taken.clone(), long(), taken.clone()],
            ),
            (
                vec![error(9.into(), 400, TOO_LONG), error(1.into(), 402, "")],
                2,
                vec![taken.clone(), kept.clone(), taken.clone()],
            ),
            (
                vec![error((-1).into(), 400, TOO_LONG)],
                3,
                vec![taken.clone(); 3],
            ),
            (
                vec![error("2".into(), 402, "")],
                2,
                vec![taken.clone(), taken.clone(), kept.clone()],
            ),
            (
                vec![error(Value::Null, 402, ""), error(0.into(), 206, "")],
                3,
                vec![taken.clone(); 3],
            ),
        ] {
            let body = serde_json::json!({"itemsReceived": 3, "itemsAccepted": accepted, "errors": errors});
            check(206, &body.to_string(), 3, Verdict::Each(expected));
        }
    }

    #[test]
    fn a_refusal_of_some_is_their_own_fault_whatever_the_words() {
        let words = "no, and nobody knows why";
        for status in [400, 413] {
            let expected = OfEvent::Refused(Refusal {
                status,
                message: words.to_owned(),
            });
            assert_eq!(
                judged(&faulty(206, 2, 1, &[(1, status, words)]), 2),
                Verdict::Each(vec![OfEvent::Delivered, expected])
            );
        }
    }

    /// In this order: the key, the event's own fault, and else only halving tells.
    #[test]
    fn a_refusal_of_all_alike_is_the_keys_or_the_events_or_to_be_halved() {
        let suspected = |status, message: &str| {
            let refusal = Refusal {
                status,
                message: message.to_owned(),
            };
            Verdict::Each(vec![OfEvent::Suspected(refusal); 2])
        };
        let key = || Verdict::Leave(Trouble::InvalidKey);
        let size = "Telemetry item length must not exceed 65536";
        for (status, words, expected) in [
            (400, "Invalid instrumentation key", key()),
            (
                400,
                "102: Field 'iKey' on type 'Envelope' is not valid",
                key(),
            ),
            (400, TOO_LONG, Verdict::Each(vec![refused(TOO_LONG); 2])),
            (400, size, Verdict::Each(vec![refused(size); 2])),
            (
                400,
                "something unheard of",
                suspected(400, "something unheard of"),
            ),
            (400, "", suspected(400, "")),
            (413, "", suspected(413, "")),
            (
                413,
                "Request entity too large",
                suspected(413, "Request entity too large"),
            ),
        ] {
            let reply = faulty(status, 2, 0, &[(0, status, words), (1, status, words)]);
            assert_eq!(judged(&reply, 2), expected, "{status} {words}");
        }
        let quotes = "109: Field 'name' on type 'EventData' is odd. Actual: instrumentation key";
        assert_eq!(
            judged(&faulty(400, 1, 0, &[(0, 400, quotes)]), 1),
            Verdict::Each(vec![refused(quotes)])
        );
        let suspect = |status| {
            OfEvent::Suspected(Refusal {
                status,
                message: String::new(),
            })
        };
        assert_eq!(
            judged(&faulty(413, 2, 0, &[(0, 413, ""), (1, 400, "")]), 2),
            Verdict::Each(vec![suspect(413), suspect(400)])
        );
        assert_eq!(
            judged(&faulty(413, 2, 0, &[(0, 413, ""), (1, 500, "")]), 2),
            Verdict::Each(vec![
                OfEvent::Refused(Refusal {
                    status: 413,
                    message: String::new()
                }),
                OfEvent::Again
            ]),
            "one item of several"
        );
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
        for status in [301, 302, 303, 511] {
            assert_eq!(bare(status), Verdict::Leave(Trouble::Portal(status, None)));
        }
        for status in [300, 304, 305] {
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
            (400, "something unheard of", refused("something unheard of")),
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
            assert_eq!(verdict, Verdict::Leave(Trouble::InvalidKey), "{status}");
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
    fn a_list_that_leaves_an_event_out_is_not_believed() {
        for (faults, accepted) in [
            (&[(7, 400, TOO_LONG)][..], 1),
            (&[(0, 400, TOO_LONG), (0, 400, TOO_LONG)], 0),
        ] {
            let verdict = judged(&faulty(206, 2, accepted, faults), 2);
            assert_eq!(
                verdict,
                does_not_add_up(206, 2, accepted as u64, faults.len())
            );
        }
    }

    #[test]
    fn a_redirect_is_followed_whatever_its_body_says_unless_something_was_accepted() {
        let there = |accepted, faults| Reply {
            location: Some("https://x/".into()),
            ..faulty(308, 2, accepted, faults)
        };
        let elsewhere = Err(Elsewhere("https://x/".into()));
        let both = [(0, 308, "go"), (1, 308, "go")];
        assert_eq!(judge(&there(0, &both), 2), elsewhere);
        assert_eq!(judge(&there(0, &[]), 2), elsewhere);
        assert_eq!(
            judge(&there(1, &both[..1]), 2),
            Ok(Verdict::Each(vec![OfEvent::Kept, OfEvent::Delivered]))
        );
    }

    #[test]
    fn a_captive_portal_is_named_by_its_host_alone() {
        for (location, host) in [
            (
                "http://login.hotel.example/?mac=aa:bb",
                Some("login.hotel.example"),
            ),
            ("https://[2001:DB8::1]:8443/x", Some("[2001:db8::1]")),
            ("/login", None),
            ("nonsense", None),
            ("http://a b/", None),
        ] {
            let there = Reply {
                location: Some(location.to_owned()),
                ..reply(302, "")
            };
            let trouble = Trouble::Portal(302, host.map(str::to_owned));
            assert_eq!(judged(&there, 1), Verdict::Leave(trouble), "{location}");
        }
        let words = Trouble::Portal(302, Some("a.example".into())).to_string();
        assert_eq!(
            words,
            "the network answered 302 and points to a.example; a captive portal, perhaps: log in with a browser"
        );
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
