use super::Draw;
use serde_json::{Value, json};
use telemetry_upload::verdict::{Elsewhere, OfEvent, Verdict, judge};
use telemetry_upload::world::Reply;

/// Every reply has a verdict, and one that tells events apart tells of each one that was sent.
/// Nothing counts as delivered or refused unless the reply, read plainly, says so: it is an object
/// that counts as many received as were sent, as many accepted as it does not fault, and it does not
/// fault this one. A redirect is to what the reply names, and nowhere else.
pub fn hold(data: &[u8]) {
    let mut draw = Draw(data);
    let kind = draw.byte();
    let status = [200, 206, 307, 308, 400, 413, 429, 439, 500, 503];
    let sent = usize::from(draw.byte());
    let reply = Reply {
        status: match draw.byte() {
            byte if usize::from(byte) < status.len() => status[usize::from(byte)],
            byte => u16::from(byte) * 4,
        },
        location: (kind & 2 == 2).then(|| draw.text()),
        body: if kind & 1 == 1 {
            made(&mut draw, sent)
        } else {
            draw.rest().to_vec()
        },
        ..Reply::default()
    };
    match judge(&reply, sent) {
        Ok(Verdict::Each(each)) => {
            assert_eq!(each.len(), sent);
            for (index, verdict) in each.iter().enumerate() {
                check(&reply, sent, index, verdict);
            }
        }
        Ok(_) => {}
        Err(Elsewhere(location)) => {
            let is_in_head = reply.location.as_ref() == Some(&location);
            let is_in_body = || messages(&reply).iter().any(|said| said.contains(&location));
            assert!(is_in_head || is_in_body(), "{location}");
        }
    }
}

/// A body as Breeze writes it, or nearly.
fn made(draw: &mut Draw, sent: usize) -> Vec<u8> {
    let messages = [
        "100: Field 'name' on type 'EventData' is too long.",
        "103: Field 'time' on type 'Envelope' is older than the allowed min date.",
        "Telemetry sampled out.",
        "Invalid instrumentation key",
        "Ingestion is allowed only from stamp specific endpoint - Location: https://x/v2/track",
    ];
    let codes = [400, 206, 429, 500, 307, 308, 439, 402, 413, 503, 200, 299];
    let (received, accepted) = (draw.byte(), draw.byte());
    let mut errors = Vec::new();
    while !draw.0.is_empty() {
        let index = draw.byte();
        let code = codes[draw.below(codes.len())];
        let message = match draw.below(messages.len() + 1) {
            own if own == messages.len() => draw.text(),
            known => messages[known].to_owned(),
        };
        errors.push(json!({"index": index, "statusCode": code, "message": message}));
    }
    let count = |byte: u8, most: usize| match byte {
        0 => json!(most),
        255 => json!(u64::MAX),
        other => json!(other),
    };
    let left = sent.saturating_sub(errors.len());
    json!({"itemsReceived": count(received, sent), "itemsAccepted": count(accepted, left), "errors": errors})
        .to_string()
        .into_bytes()
}

fn check(reply: &Reply, sent: usize, index: usize, verdict: &OfEvent) {
    let text = reply.body.strip_prefix(b"\xef\xbb\xbf");
    let body: Value = serde_json::from_slice(text.unwrap_or(&reply.body)).unwrap();
    assert!(body.is_object(), "no such body is Breeze's: {body}");
    let faults = field(&body, "errors")
        .as_array()
        .cloned()
        .unwrap_or_default();
    let code = |fault: &Value| number(fault, "statusCode").unwrap_or_default();
    let own_of = |index: usize| {
        let own = faults
            .iter()
            .filter(move |fault| number(fault, "index") == Some(index as u64));
        own.map(code).collect::<Vec<_>>()
    };
    let accepted = field(&body, "itemsAccepted").as_u64().unwrap();
    assert_eq!(field(&body, "itemsReceived").as_u64(), Some(sent as u64));
    // An event counts once, however often it is listed, and one that is not there counts never.
    let listed = (0..sent).map(own_of).filter(|own| !own.is_empty());
    let (listed, sampled): (Vec<_>, Vec<_>) =
        listed.partition(|own| own.iter().any(|code| !(200..300).contains(code)));
    let fit = [listed.len(), listed.len() + sampled.len()];
    let fit = fit.map(|count| accepted.checked_add(count as u64));
    assert!(fit.contains(&Some(sent as u64)), "{body}");
    assert!((200..300).contains(&reply.status) || !faults.is_empty());
    let own = own_of(index);
    match verdict {
        OfEvent::Delivered => assert!(own.iter().all(|code| (200..300).contains(code))),
        OfEvent::Refused(_) | OfEvent::RefusedForTime(_) | OfEvent::Suspected(_) => {
            assert!(own.iter().any(|code| matches!(code, 400 | 413)));
        }
        OfEvent::Again | OfEvent::Kept => assert!(!own.is_empty()),
    }
}

/// A field, in whatever letter case it is written.
fn field<'a>(object: &'a Value, name: &str) -> &'a Value {
    let fields = object.as_object().into_iter().flatten();
    let mut own = fields.filter(|(known, _)| known.eq_ignore_ascii_case(name));
    own.next().map_or(&Value::Null, |(_, value)| value)
}

/// A field that is a number, or a text that is one.
fn number(object: &Value, name: &str) -> Option<u64> {
    let value = field(object, name);
    let text = value.as_str().map(str::trim);
    value.as_u64().or_else(|| text?.parse().ok())
}

/// What the reply says about each event that it faults.
fn messages(reply: &Reply) -> Vec<String> {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let faults = body["errors"].as_array().cloned().unwrap_or_default();
    let messages = faults.iter().map(|fault| fault["message"].as_str());
    messages
        .map(|said| said.unwrap_or_default().to_owned())
        .collect()
}
