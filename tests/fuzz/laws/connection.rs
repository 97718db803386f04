use telemetry_upload::connection::{Connection, Endpoint, IKEY_CHARS_MAX, TEXT_BYTES_MAX};
use telemetry_upload::redirect;

/// The first line is a connection string, the second where a server says to post instead. What is
/// accepted is an https address, or one of this machine, without a user name, and it means the same
/// when it is read again. A redirect that is followed keeps the scheme, and leads to the same host or
/// stays within Microsoft's.
pub fn hold(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (string, location) = text.split_once('\n').unwrap_or((&text, ""));
    let Ok(connection) = Connection::parse(string) else {
        return;
    };
    let ikey = &connection.ikey;
    assert!((1..=IKEY_CHARS_MAX).contains(&ikey.len()));
    assert!(
        ikey.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    );
    let endpoint = &connection.endpoint;
    check(endpoint);
    let again = format!("IngestionEndpoint={endpoint};InstrumentationKey={ikey}");
    if again.len() <= TEXT_BYTES_MAX {
        assert_eq!(Connection::parse(&again).unwrap(), connection);
    }
    if let Ok(to) = redirect::follow(endpoint, location) {
        check(&to);
        assert_eq!(to.scheme(), endpoint.scheme());
        let is_microsofts = |host: &str| {
            [".azure.com", ".azure.us", ".azure.cn", ".visualstudio.com"]
                .iter()
                .any(|end| host.ends_with(end))
        };
        let stays = is_microsofts(to.host()) && is_microsofts(endpoint.host());
        assert!(to.host() == endpoint.host() || stays, "{endpoint} to {to}");
    }
}

fn check(endpoint: &Endpoint) {
    let url = endpoint.to_string();
    let (scheme, rest) = url.split_once("://").unwrap();
    let authority = rest.split(['/', '?', '#']).next().unwrap();
    let is_here = ["localhost", "[::1]", "127."]
        .iter()
        .any(|here| authority.starts_with(here));
    assert!(scheme == "https" || scheme == "http" && is_here, "{url}");
    assert!(scheme == "https" || endpoint.is_loopback(), "{url}");
    assert!(
        !authority.contains('@') && url.bytes().all(|byte| byte.is_ascii_graphic()),
        "{url}"
    );
    assert!(
        endpoint.path().to_ascii_lowercase().ends_with("/track"),
        "{url}"
    );
    if url.len() <= TEXT_BYTES_MAX {
        assert_eq!(Endpoint::parse(&url).as_ref(), Ok(endpoint));
    }
}
