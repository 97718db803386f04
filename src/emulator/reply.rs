//! A reply: what it says, and the bytes of HTTP/1.1 that say it.

use super::wire::Connection;
use chrono::{DateTime, Utc};

/// A reply, before it is bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Beside the ones that every reply has, or instead of them.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// The bytes to send.
    pub(super) fn encode(&self, now: DateTime<Utc>, connection: Connection) -> Vec<u8> {
        // These have no body by definition; one would be taken for the next reply.
        let body: &[u8] = if matches!(self.status, 100..200 | 204 | 304) {
            &[]
        } else {
            &self.body
        };
        let ours = [
            ("Date", now.format("%a, %d %b %Y %H:%M:%S GMT").to_string()),
            ("Content-Length", body.len().to_string()),
            (
                "Connection",
                if connection == Connection::Close {
                    "close"
                } else {
                    "keep-alive"
                }
                .to_owned(),
            ),
        ];
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let given = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value));
        let ours = ours
            .iter()
            .filter(|(name, _)| !self.names(name))
            .map(|(name, value)| (*name, value));
        for (name, value) in ours.chain(given) {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        [head.as_bytes(), body].concat()
    }

    fn names(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(given, _)| given.eq_ignore_ascii_case(name))
    }
}

/// The words of HTTP for a status.
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Payload Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        // Clients read the number; the words are optional.
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_reply(status: u16, headers: &[(&str, &str)], body: &str, expected: &str) {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let reply = Reply {
            status,
            headers,
            body: body.as_bytes().to_vec(),
        };
        let now = "2026-11-06T08:49:37Z".parse().unwrap();
        assert_eq!(
            String::from_utf8(reply.encode(now, Connection::KeepAlive)).unwrap(),
            expected
        );
    }

    #[test]
    fn a_reply_has_a_date_and_a_length() {
        check_reply(
            200,
            &[("X", "y")],
            "abc",
            "HTTP/1.1 200 OK\r\nDate: Fri, 06 Nov 2026 08:49:37 GMT\r\nContent-Length: 3\r\nConnection: keep-alive\r\nX: y\r\n\r\nabc",
        );
    }

    #[test]
    fn a_given_header_replaces_ours() {
        check_reply(
            299,
            &[("date", "never"), ("Connection", "close")],
            "",
            "HTTP/1.1 299 \r\nContent-Length: 0\r\ndate: never\r\nConnection: close\r\n\r\n",
        );
    }

    #[test]
    fn a_status_without_a_body_has_none() {
        check_reply(
            204,
            &[],
            "abc",
            "HTTP/1.1 204 \r\nDate: Fri, 06 Nov 2026 08:49:37 GMT\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
        );
    }
}
