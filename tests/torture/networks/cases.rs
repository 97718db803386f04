//! What may come back over a bad network instead of a reply.

use super::proxy::{Reword, Weather};
use super::{Case, REQUEST_EVENTS};
use serde_json::json;
use telemetry_upload::gzip;

/// Replies of something that is not the server, which sees nothing of the request.
pub fn answers() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        &b"SSH-2.0-OpenSSH_9.9\r\n"[..],
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64",
        b"ICY 200 OK\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        &[0; 4096],
        &[0xff; 4096],
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 -200 OK\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>Welcome to the hotel</html>",
        b"HTTP/1.1 511 Network Authentication Required\r\nContent-Length: 0\r\n\r\n",
    ]
    .into_iter()
    .map(|reply| {
        Case::kept(
            format!("{}", reply.escape_ascii()),
            Weather::Instead(reply.to_vec()),
        )
    })
    .collect();
    for errors in [
        json!([{"index": -1, "statusCode": 500}]),
        json!([{"index": 3, "statusCode": 500}]),
        json!([{"index": u64::MAX, "statusCode": 500}]),
        json!([{"index": 1e300, "statusCode": 500}]),
        json!([{"index": 0.0, "statusCode": 500}]),
        json!([{"index": null, "statusCode": 500}]),
        json!([{"statusCode": 500}]),
        json!([{"index": 0, "statusCode": 500}, {"index": 0, "statusCode": 500}]),
        json!([[0, 500, "message"]]),
        json!({"0": {"statusCode": 500}}),
        json!("none"),
    ] {
        let accepted = REQUEST_EVENTS - errors.as_array().map_or(0, Vec::len);
        cases.push(claim(
            206,
            &json!({"itemsReceived": REQUEST_EVENTS, "itemsAccepted": accepted, "errors": errors})
                .to_string(),
        ));
    }
    for body in [
        "[3,3,[]]",
        r#"{"itemsReceived":3,"itemsAccepted":18446744073709551615,"errors":[{"index":0,"statusCode":206}]}"#,
        r#"{"itemsReceived":3,"itemsAccepted":4,"errors":[]}"#,
        r#"{"itemsReceived":-3,"itemsAccepted":-3,"errors":[]}"#,
        r#"{"itemsReceived":"3","itemsAccepted":"3","errors":[]}"#,
        r#"{"itemsReceived":3,"itemsAccepted":3,"errors":[]"#,
        r#"{"itemsReceived":3,"itemsAccepted":3,"errors":[]}{}"#,
    ] {
        cases.push(claim(200, body));
    }
    cases.push(claim(200, &"[".repeat(200_000)));
    cases.extend(compressed());
    cases
}

fn claim(status: u16, body: &str) -> Case {
    let reply = format!(
        "HTTP/1.1 {status} OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Case::kept(
        format!("{status} {body:.120}"),
        Weather::Instead(reply.into_bytes()),
    )
}

/// gzip was not asked for, and is unpacked no further than a plain reply is read.
fn compressed() -> Vec<Case> {
    let bomb = gzip::encode(&vec![b' '; 20 << 20]);
    let mut reply = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        bomb.len()
    )
    .into_bytes();
    reply.extend(bomb);
    vec![Case::kept("gzip bomb", Weather::Instead(reply))]
}

/// What the server said, in another frame or with something around it.
pub fn rewordings() -> Vec<Case> {
    let kept: [(&str, Reword); 9] = [
        ("a length too short", |reply| {
            framed(
                &format!("Content-Length: {}", body(reply).len() - 1),
                body(reply),
            )
        }),
        ("a length too long", |reply| {
            framed(
                &format!("Content-Length: {}", body(reply).len() + 1),
                body(reply),
            )
        }),
        ("a negative length", |reply| {
            framed("Content-Length: -1", body(reply))
        }),
        ("a length beyond every number", |reply| {
            framed("Content-Length: 99999999999999999999", body(reply))
        }),
        ("a chunk that is no number", |reply| {
            chunked("ZZ", body(reply))
        }),
        ("a chunk beyond every number", |reply| {
            chunked("FFFFFFFFFFFFFFFFF", body(reply))
        }),
        ("a negative chunk", |reply| chunked("-5", body(reply))),
        ("a chunk too long", |reply| chunked("1000", body(reply))),
        ("a chunk too short", |reply| chunked("5", body(reply))),
    ];
    let sent: [(&str, Reword); 4] = [
        ("gzipped", |reply| {
            framed("Content-Encoding: gzip", &gzip::encode(body(reply)))
        }),
        ("HTTP/1.0", |reply| {
            [b"HTTP/1.0 200 OK\r\n\r\n", body(reply)].concat()
        }),
        ("chunks of one byte", |reply| {
            let chunk = |byte: &u8| [b"1;x=y\r\n", &[*byte][..], b"\r\n"].concat();
            let chunks: Vec<u8> = body(reply).iter().flat_map(chunk).collect();
            let chunks = [&chunks, &b"0\r\nTrailer: x\r\n\r\n"[..]].concat();
            framed("Transfer-Encoding: chunked", &chunks)
        }),
        ("a 100 before it", |reply| {
            [b"HTTP/1.1 100 Continue\r\n\r\n", reply].concat()
        }),
    ];
    let kept = kept
        .into_iter()
        .map(|(name, reword)| Case::kept(name, Weather::Reworded(reword)));
    let sent = sent
        .into_iter()
        .map(|(name, reword)| Case::sent(name, Weather::Reworded(reword)));
    let odd = [
        Case::sent("slow to begin", Weather::Slow),
        Case::sent("byte by byte", Weather::ByteByByte),
        Case::sent("every reply twice", Weather::Twice),
    ];
    kept.chain(sent).chain(odd).collect()
}

fn body(reply: &[u8]) -> &[u8] {
    let head = reply.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
    &reply[head + 4..]
}

fn framed(header: &str, body: &[u8]) -> Vec<u8> {
    [
        format!("HTTP/1.1 200 OK\r\n{header}\r\n\r\n").as_bytes(),
        body,
    ]
    .concat()
}

fn chunked(length: &str, body: &[u8]) -> Vec<u8> {
    let body = [length.as_bytes(), b"\r\n", body, b"\r\n0\r\n\r\n"].concat();
    framed("Transfer-Encoding: chunked", &body)
}

/// Replies without an end: 10 GB each, should anybody read them.
pub fn endless() -> Vec<Case> {
    let head = "HTTP/1.1 200 OK\r\n";
    [
        (
            "a body of 10 GB",
            format!("{head}Content-Length: 10737418240\r\n\r\n"),
            " ",
        ),
        ("a body without a length", format!("{head}\r\n"), "x"),
        (
            "chunks without an end",
            format!("{head}Transfer-Encoding: chunked\r\n\r\n"),
            "1\r\n \r\n",
        ),
        (
            "the name of a chunk",
            format!("{head}Transfer-Encoding: chunked\r\n\r\n1;"),
            "x",
        ),
        ("headers", head.to_owned(), "X-Header: x\r\n"),
        ("one header", format!("{head}X-Header: "), "x"),
        (
            "100 Continue",
            String::new(),
            "HTTP/1.1 100 Continue\r\n\r\n",
        ),
        (
            "103 Early Hints",
            String::new(),
            "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
        ),
        ("blank lines", String::new(), "\r\n"),
        ("NULs", String::new(), "\0"),
    ]
    .into_iter()
    .map(|(name, head, again)| {
        Case::kept(
            name,
            Weather::Endless(head.into_bytes(), again.as_bytes().to_vec()),
        )
    })
    .chain([trailers()])
    .collect()
}

/// What stands behind a body is read for as long as the request may take: ureq has no other bound for
/// it. None of it stays in memory.
fn trailers() -> Case {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n".to_vec();
    Case {
        reply_bytes_max: u64::MAX,
        ..Case::kept("trailers", Weather::Endless(head, b"x: y\r\n".to_vec()))
    }
}
