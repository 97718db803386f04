//! Redirects, by a header or by the service's own words.

use super::proxy::{Network, Weather};
use super::{append, through};
use crate::kit::Sandbox;
use crate::oracle::{self, Allowed};
use crate::{Ended, Given};
use serde_json::json;
use std::fmt::Write;
use std::net::TcpListener;

/// Whatever a reply names as the place to post to instead: nobody else there is even connected to.
pub fn redirects(_: Given) -> Ended {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let there = elsewhere.local_addr().unwrap().port();
    let mut count = 0;
    for location in [
        "http://127.0.0.1:{there}/v2/track",
        "//127.0.0.1:{there}/v2/track",
        "HTTP://127.0.0.1:{there}",
        "http://localhost:{there}/",
        "http://127.1:{there}/",
        "http://2130706433:{there}/",
        "http://0x7f.0.0.1:{there}/",
        "http://0.0.0.0:{there}/",
        "http://[::ffff:127.0.0.1]:{there}/",
        "http://127.0.0.1.:{there}/",
        "http://127.0.0.1:{here}@127.0.0.1:{there}/",
        "http://127.0.0.1:{here}#@127.0.0.1:{there}/",
        "http:\\\\127.0.0.1:{there}\\",
        "/\\127.0.0.1:{there}/",
        "/x\thttp://127.0.0.1:{there}/",
        "https://127.0.0.1:{there}/",
    ] {
        for status in [301, 302, 303, 307, 308, 206] {
            let sandbox = Sandbox::new();
            let network = Network::before(&sandbox.server, Weather::Fair, 0, 0);
            let location = location
                .replace("{there}", &there.to_string())
                .replace("{here}", &network.port.to_string());
            network.turn(Weather::Instead(redirect(status, &location)));
            let sandbox = through(sandbox, &network);
            let appended = append(&sandbox, 0..1);
            let (code, stdout, stderr) = sandbox.flush().outputs();
            assert_eq!(
                (code, stderr.as_str()),
                (75, ""),
                "{status} {location}: {stdout}"
            );
            assert!(
                elsewhere.accept().is_err(),
                "{status} {location} was followed: {stdout}"
            );
            network.heal();
            assert_eq!(sandbox.flush().outputs().0, 0, "{status} {location}");
            oracle::account(&sandbox, &appended, Allowed::default());
            count += 1;
        }
    }
    Ended::Held(format!(
        "{count} redirects, 0 connections to where they lead"
    ))
}

/// By its status and a header, or by a word about the event, as the service itself does it.
fn redirect(status: u16, location: &str) -> Vec<u8> {
    let mut body = String::new();
    if status == 206 {
        let message = format!(
            "Ingestion is allowed only from stamp specific endpoint - Location: {location}"
        );
        let errors = json!([{"index": 0, "statusCode": 307, "message": message}]);
        let _ = write!(
            body,
            "{}",
            json!({"itemsReceived": 1, "itemsAccepted": 0, "errors": errors})
        );
    }
    format!(
        "HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
