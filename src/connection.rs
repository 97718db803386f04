//! The connection string: where events are posted, and under which instrumentation key.
//!
//! The SDKs disagree about almost every odd input (a trailing `;`, which the documentation itself
//! shows, is an error in three of them), so the rules here are a superset of the strictest correct
//! ones: forgiving about spaces and empty parts, strict about where the events would go.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use ConnectionError::{Key, Text, Url};
use http::Uri;

/// The longest connection string or address that is looked at, in bytes; the limit of the .NET and
/// Java SDKs and of the OpenTelemetry collector.
pub const TEXT_BYTES_MAX: usize = 4096;

/// The longest instrumentation key; `MaxStringLength` in Breeze's own schema.
pub const IKEY_CHARS_MAX: usize = 40;

const IKEY: &str = "InstrumentationKey";
const ENDPOINT: &str = "IngestionEndpoint";
const SUFFIX: &str = "EndpointSuffix";
const LOCATION: &str = "Location";
const AUTHORIZATION: &str = "Authorization";

/// The keys that matter here. The others name services that are never called (live metrics, the
/// profiler), and what they say cannot change where an event goes.
const KEYS: [&str; 5] = [IKEY, ENDPOINT, SUFFIX, LOCATION, AUTHORIZATION];

/// Microsoft's global host, used where the string names no other.
const DEFAULT_ENDPOINT: &str = "https://dc.services.visualstudio.com/";

/// What is appended to an address; the path the current SDKs post to.
const TRACK_PATH: &str = "/v2.1/track";

/// Shown with every error, because a right one is easier to copy than a rule is to follow.
const EXAMPLE: &str = "InstrumentationKey=<guid>;IngestionEndpoint=https://<region>.in.applicationinsights.azure.com/";

/// What a connection string says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The instrumentation key, its case as given. Not a secret, says Microsoft.
    pub ikey: String,
    /// Where the events are posted.
    pub endpoint: Endpoint,
    /// Something that is allowed and still likely to be a mistake.
    pub warning: Option<&'static str>,
}

impl Connection {
    /// Reads `key=value;key=value`, in any order, keys in any case.
    pub fn parse(text: &str) -> Result<Connection, ConnectionError> {
        let text = unquoted(text);
        if text.len() > TEXT_BYTES_MAX {
            return Err(Text("is longer than 4096 bytes"));
        }
        let fields = fields(text)?;
        let ikey = fields.get(IKEY).copied().unwrap_or("");
        check_ikey(ikey).map_err(|what| Key(IKEY, what))?;
        let authorization = fields.get(AUTHORIZATION).unwrap_or(&"ikey");
        if !authorization.eq_ignore_ascii_case("ikey") {
            return Err(Key(AUTHORIZATION, "can only be `ikey`"));
        }
        Ok(Connection {
            ikey: ikey.to_owned(),
            endpoint: endpoint_of(&fields)?,
            // Breeze's schema forbids to rely on it being a GUID, and keys with a prefix exist.
            warning: (!is_guid(ikey))
                .then_some("the InstrumentationKey is not a GUID, which is likely a mistake"),
        })
    }
}

/// What is wrong. It repeats a key's name at most: people paste secrets into the wrong field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionError {
    /// The connection string as a whole.
    Text(&'static str),
    /// The value of one key of it: its name, and what is wrong.
    Key(&'static str, &'static str),
    /// An address that came from elsewhere, as a redirect does.
    Url(&'static str),
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Text(what) => write!(f, "the connection string {what}; a right one: {EXAMPLE}"),
            Key(key, what) => write!(f, "{key} {what}; a right one: {EXAMPLE}"),
            Url(what) => write!(f, "the address {what}"),
        }
    }
}

impl std::error::Error for ConnectionError {}

/// Scheme, host, port and path of the place that is posted to; the path ends in `/track`.
///
/// Two equal ones are the same place: the host is in lower case and a default port is left out, so
/// that a loop of redirects can be seen by comparing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    scheme: (&'static str, u16),
    host: String,
    /// `None` is the scheme's own.
    port: Option<u16>,
    path: String,
    /// With its `?`; empty where there is none.
    query: String,
}

impl Endpoint {
    /// Reads a full URL: https, or http where the host is this machine. A path that already ends in
    /// `/track` is kept, any other gets `/v2.1/track` appended.
    pub fn parse(url: &str) -> Result<Endpoint, ConnectionError> {
        Endpoint::read(url).map_err(Url)
    }

    /// `https`, or `http` on this machine.
    pub fn scheme(&self) -> &'static str {
        self.scheme.0
    }

    /// The host in lower case; an IPv6 address in its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, `None` where it is the scheme's own.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The port, whosever it is.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(self.scheme.1)
    }

    /// The path, from `/` to `/track`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the host is this machine: `localhost`, 127.0.0.0/8 or `[::1]`.
    pub fn is_loopback(&self) -> bool {
        let ip: Result<Ipv4Addr, _> = self.host.parse();
        ["localhost", "[::1]"].contains(&self.host()) || ip.is_ok_and(|ip| ip.is_loopback())
    }

    /// Host and port, the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        let port = self.port.map_or(String::new(), |port| format!(":{port}"));
        format!("{}{port}", self.host)
    }

    /// The error is a predicate, to be put behind whatever the URL is called.
    fn read(url: &str) -> Result<Endpoint, &'static str> {
        let url = url.trim();
        check_text(url)?;
        let scheme = scheme_of(url)?;
        let uri: Uri = url.parse().or(Err("is not a valid URL"))?;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            return Err("holds a user name or password");
        }
        let (host, port) = (uri.host().unwrap_or(""), uri.port_u16());
        // `Uri` sees no port in `host:` and `host:99999`.
        if port == Some(0) || (port.is_none() && authority.len() > host.len()) {
            return Err("has no valid port");
        }
        let endpoint = Endpoint {
            scheme,
            host: one_spelling(host).ok_or("has no valid host")?,
            port: port.filter(|port| *port != scheme.1),
            path: track_path(uri.path()),
            query: uri.query().map_or(String::new(), |q| format!("?{q}")),
        };
        if scheme.0 == "http" && !endpoint.is_loopback() {
            return Err("is plain http, which is for this machine only");
        }
        Ok(endpoint)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, authority) = (self.scheme(), self.authority());
        write!(f, "{scheme}://{authority}{}{}", self.path, self.query)
    }
}

/// The host that an absolute URL names, wherever it leads; to be shown, not to be posted to.
pub fn host_of(url: &str) -> Option<String> {
    let uri: Uri = url.trim().parse().ok()?;
    uri.scheme()?;
    one_spelling(uri.host()?)
}

/// The value of a variable without the blanks and the pair of quotes that a shell file or YAML often leaves on.
pub(crate) fn unquoted(value: &str) -> &str {
    let value = value.trim();
    let inside = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    let inside = ['"', '\''].into_iter().find_map(inside);
    inside.unwrap_or(value).trim()
}

fn fields(text: &str) -> Result<BTreeMap<&'static str, &str>, ConnectionError> {
    let mut fields = BTreeMap::new();
    for pair in text.split(';').filter(|pair| !pair.trim().is_empty()) {
        // At the first `=`, so that an endpoint's query string survives.
        let (key, value) = pair.split_once('=').ok_or(Text("has a part without `=`"))?;
        let (key, value) = (key.trim(), value.trim());
        let mut known_keys = KEYS.into_iter();
        let known = known_keys.find(|known| known.eq_ignore_ascii_case(key));
        // An empty value counts as unset: templates leave such pairs behind.
        if let Some(known) = known
            && !value.is_empty()
            && *fields.entry(known).or_insert(value) != value
        {
            return Err(Key(known, "is given twice, with different values"));
        }
    }
    Ok(fields)
}

fn check_ikey(ikey: &str) -> Result<(), &'static str> {
    match ikey.len() {
        0 => Err("is missing"),
        _ if !ikey.bytes().all(is_word) => Err("may hold letters, digits and hyphens only"),
        1..=IKEY_CHARS_MAX => Ok(()),
        _ => Err("is longer than 40 characters"),
    }
}

fn is_guid(ikey: &str) -> bool {
    let is_hex = |b: u8| b.is_ascii_hexdigit() || b == b'-';
    ikey.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && ikey.bytes().all(is_hex)
}

/// An explicit endpoint wins and makes the location moot; so does the default one.
fn endpoint_of(fields: &BTreeMap<&'static str, &str>) -> Result<Endpoint, ConnectionError> {
    let value = |key| fields.get(key).copied().unwrap_or("");
    let (url, suffix, location) = (value(ENDPOINT), value(SUFFIX), value(LOCATION));
    if !url.is_empty() {
        return Endpoint::read(url).map_err(|what| Key(ENDPOINT, what));
    }
    if suffix.is_empty() {
        return Endpoint::parse(DEFAULT_ENDPOINT);
    }
    let suffix = suffix.trim_start_matches('.');
    let location = location.trim_end_matches('.');
    // A slash in here would make the rest of the host a path: `https://west/us.dc.…`.
    if !location.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Key(LOCATION, "may hold letters and digits only"));
    }
    let dot = if location.is_empty() { "" } else { "." };
    Endpoint::read(&format!("https://{location}{dot}dc.{suffix}")).map_err(|what| Key(SUFFIX, what))
}

fn check_text(url: &str) -> Result<(), &'static str> {
    if url.len() > TEXT_BYTES_MAX {
        return Err("is longer than 4096 bytes");
    }
    // Some parsers read a backslash as a slash; what two programs read differently is refused.
    if !url.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
        return Err("has a character that an address may not hold");
    }
    // `Uri` would drop it in silence.
    let has_fragment = url.contains('#');
    if has_fragment {
        Err("holds a fragment (#)")
    } else {
        Ok(())
    }
}

/// The scheme, and the port that goes without saying.
fn scheme_of(url: &str) -> Result<(&'static str, u16), &'static str> {
    let (scheme, _) = url.split_once("://").ok_or("has no https:// in front")?;
    match scheme.to_ascii_lowercase().as_str() {
        "https" => Ok(("https", 443)),
        "http" => Ok(("http", 80)),
        _ => Err("is neither https nor http"),
    }
}

/// One spelling for each host, so that hosts can be compared as text.
fn one_spelling(host: &str) -> Option<String> {
    if let Some(inner) = host.strip_prefix('[') {
        let ip: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{ip}]"));
    }
    // An empty label is a typing error, and a final dot a second spelling of the same host.
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_word);
    let is_host = host.split('.').all(is_label);
    is_host.then(|| host.to_ascii_lowercase())
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'-'
}

fn track_path(path: &str) -> String {
    let path = path.trim_end_matches('/');
    let is_whole = path.to_ascii_lowercase().ends_with("/track");
    path.to_owned() + if is_whole { "" } else { TRACK_PATH }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const K: &str = "InstrumentationKey=0a1b2c3d-0000-4000-8000-00000000cafe";
    const IKEY_K: &str = "0a1b2c3d-0000-4000-8000-00000000cafe";
    const DEF: &str = "https://dc.services.visualstudio.com/v2.1/track";

    /// One row: the case's number in the SDKs' suites (or the input's name), what comes behind `K;`
    /// (or the whole text, if it starts with `!`), our expectation (a URL, or a part of the error),
    /// and why ours is not the suite's, where it is not.
    type Row<'a> = (&'a str, &'a str, Result<&'a str, &'a str>, &'a str);

    fn check((name, text, expected, why): Row) {
        let text = match text.strip_prefix('!') {
            Some(whole) => whole.to_owned(),
            None => format!("{K};{text}"),
        };
        match (Connection::parse(&text), expected) {
            (Ok(got), Ok(url)) => assert_eq!(got.endpoint.to_string(), url, "{name} {text} {why}"),
            (Err(err), Err(part)) => {
                assert!(err.to_string().contains(part), "{name} {text}: {err} {why}");
            }
            (got, _) => panic!("{name} {text}: {got:?}, expected {expected:?} {why}"),
        }
    }

    #[test]
    fn an_endpoint_says_its_parts() {
        let check = |url: &str, scheme, host, port, path| {
            let it = Endpoint::parse(url).unwrap();
            assert_eq!(
                (it.scheme(), it.host(), it.port(), it.path()),
                (scheme, host, port, path),
                "{url}"
            );
        };
        check(
            "https://A.example.com/",
            "https",
            "a.example.com",
            None,
            "/v2.1/track",
        );
        check(
            "https://a.example.com:8443/",
            "https",
            "a.example.com",
            Some(8443),
            "/v2.1/track",
        );
        check(
            "http://127.0.0.1:80/",
            "http",
            "127.0.0.1",
            None,
            "/v2.1/track",
        );
        check(
            "http://[::1]:8088/",
            "http",
            "[::1]",
            Some(8088),
            "/v2.1/track",
        );
    }

    #[test]
    fn an_address_of_4096_bytes_is_not_too_long() {
        let of = |bytes: usize| {
            let start = "https://h/";
            Endpoint::parse(&(start.to_owned() + &"p".repeat(bytes - start.len())))
        };
        assert!(of(TEXT_BYTES_MAX).is_ok());
        assert!(of(TEXT_BYTES_MAX + 1).is_err());
    }

    const HTTP: &str = "the suite keeps or upgrades http; here it is for this machine only";
    const UNUSED: &str = "the suite reads this key; events never go there, so it is ignored";
    const LENIENT: &str = "the suite refuses; such a part cannot change where the events go";
    const LOWER: &str = "the suite keeps the host's case; one spelling makes loops visible";

    #[rustfmt::skip]
    const UPSTREAM: &[Row] = &[
        ("1", "", Ok(DEF), ""),
        ("2", "EndpointSuffix=ai.contoso.com", Ok("https://dc.ai.contoso.com/v2.1/track"), ""),
        ("3", "EndpointSuffix=ai.contoso.com;Location=westus2", Ok("https://westus2.dc.ai.contoso.com/v2.1/track"), ""),
        ("4", "EndpointSuffix=ingestion.azuremonitor.com;IngestionEndpoint=https://custom.contoso.com:444/", Ok("https://custom.contoso.com:444/v2.1/track"), ""),
        ("5", "EndpointSuffix=ingestion.azuremonitor.com;IngestionEndpoint=https://custom.contoso.com:444/;Location=westus2", Ok("https://custom.contoso.com:444/v2.1/track"), ""),
        ("6", "ProfilerEndpoint=http://custom.contoso.com:444/", Ok(DEF), UNUSED),
        ("7", "IngestionEndpoint=http://custom.contoso.com:444/", Err("IngestionEndpoint is plain http"), HTTP),
        ("8", "IngestionEndpoint=https:////custom.profiler.contoso.com", Err("IngestionEndpoint is not a valid URL"), ""),
        ("9", "IngestionEndpoint=https://www.~!@#$%&^*()_{}[]", Err("IngestionEndpoint holds a fragment"), ""),
        ("9b", "IngestionEndpoint=https://www.~!$%&^*()_{}[]", Err("IngestionEndpoint is not a valid URL"), ""),
        ("10", "EndpointSuffix=~!@#$%&^*()_", Err("EndpointSuffix holds a fragment"), ""),
        ("10b", "EndpointSuffix=~!$&*()_", Err("EndpointSuffix has no valid host"), ""),
        ("11", "EndpointSuffix=contoso.com;Location=~!@#$%&^*()_", Err("Location may hold"), ""),
        ("12", "Location=westus2.;EndpointSuffix=.applicationinsights.azure.com", Ok("https://westus2.dc.applicationinsights.azure.com/v2.1/track"), ""),
        ("13", "Location= westus2 ;EndpointSuffix= applicationinsights.azure.com ", Ok("https://westus2.dc.applicationinsights.azure.com/v2.1/track"), ""),
        ("14", "Location=westus2/;EndpointSuffix=applicationinsights.azure.com", Err("Location may hold"), ""),
        ("15", "key1=value1;key2=value2;key3=value3;", Ok(DEF), ""),
        ("16", " key1 =  value1   ; key2 = value2 ; Endpointsuffix    =a.b   ", Ok("https://dc.a.b/v2.1/track"), ""),
        ("17", "INGESTIONENDPOINT=https://a.b/", Ok("https://a.b/v2.1/track"), ""),
        ("17b", "ingestionendpoint=https://a.b/", Ok("https://a.b/v2.1/track"), ""),
        ("18", "key1=value1;key1=value2", Ok(DEF), LENIENT),
        ("18b", "Location=a;EndpointSuffix=x.y; location = b", Err("Location is given twice"), ""),
        ("19", "key1;key2=value2", Err("has a part without `=`"), ""),
        ("20", "key1=value1=value2", Ok(DEF), LENIENT),
        ("21", "!", Err("InstrumentationKey is missing"), ""),
        ("22", "IngestionEndpoint=https://LONG/", Err("longer than 4096 bytes"), "LONG is put in by the test"),
        ("23", "!EndpointSuffix=ai.contoso.com", Err("InstrumentationKey is missing"), ""),
        ("24", "!InstrumentationKey=;EndpointSuffix=ai.contoso.com", Err("InstrumentationKey is missing"), ""),
        ("25", "EndpointSuffix=ai.example.com/my-proxy-app/doProxy", Ok("https://dc.ai.example.com/my-proxy-app/doProxy/v2.1/track"), ""),
        ("26", "EndpointSuffix=ai.example.com:9999", Ok("https://dc.ai.example.com:9999/v2.1/track"), ""),
        ("27", ";EndpointSuffix=ai.example.com;", Ok("https://dc.ai.example.com/v2.1/track"), ""),
        ("28", "=1234", Ok(DEF), ""),
        ("29", "EndpointSuffix=", Ok(DEF), ""),
        ("30", "!instRUMentationkEY=abc", Ok(DEF), ""),
        ("31", "IngestionEndpoint=my-ai.example.com", Err("IngestionEndpoint has no https:// in front"), ""),
        ("31b", "IngestionEndpoint=my-ai.example.com/path", Err("IngestionEndpoint has no https:// in front"), ""),
        ("31c", "IngestionEndpoint=my-ai.example.com:9999", Err("IngestionEndpoint has no https:// in front"), ""),
        ("32", "IngestionEndpoint=http://my-ai.example.com", Err("IngestionEndpoint is plain http"), HTTP),
        ("33", "LiveEndpoint=httpx://host", Ok(DEF), UNUSED),
        ("33b", "IngestionEndpoint=httpx://host", Err("IngestionEndpoint is neither https nor http"), ""),
        ("34", "!0a1b2c3d-0000-4000-8000-00000000cafe", Err("has a part without `=`"), ""),
        ("35", "AADAudience=test-audience", Ok(DEF), UNUSED),
        ("36", "IngestionEndpoint=http://test.com/ ", Err("IngestionEndpoint is plain http"), HTTP),
        ("37", "!Autho.rization=ikey;Instrume.ntationKey=abc", Err("InstrumentationKey is missing"), "the suite goes on without a key"),
        ("38", "Authorization=ikey;EndpointSuffix=123;Location=US", Ok("https://us.dc.123/v2.1/track"), LOWER),
        ("39", "Authorization=asd", Err("Authorization can only be `ikey`"), ""),
        ("40", "!InstrumentationKey=abc0a1b2c3d-0000-4000-8000-00000000cafe", Ok(DEF), "the suite refuses; no GUID is a warning only"),
        ("40b", "!InstrumentationKey=0a1b2c3d-000-4000-8000-00000000cafe", Ok(DEF), "the suite refuses; no GUID is a warning only"),
        ("40c", "!InstrumentationKey=0a1b2c3d-0000-4000-8000-0000000xcafe", Ok(DEF), "the suite refuses; no GUID is a warning only"),
        ("40d", "!InstrumentationKey=text 0a1b2c3d-0000-4000-8000-00000000cafe", Err("InstrumentationKey may hold"), ""),
        ("41", "", Ok(DEF), "where the text comes from is for the settings to decide"),
        ("42", "!InstrumentationKey = abc ; IngestionEndpoint = https://x/", Ok("https://x/v2.1/track"), ""),
        ("43", "ExtraParam=extra", Ok(DEF), ""),
        ("43b", "!InvalidConnectionString", Err("has a part without `=`"), ""),
        ("44", "!InstrumentationKey=foobar;IngestionEndpoint=https://localhost:1030//", Ok("https://localhost:1030/v2.1/track"), ""),
        ("45", "EndpointSuffix=..localhost:1010", Ok("https://dc.localhost:1010/v2.1/track"), ""),
        ("45b", "EndpointSuffix=localhost:1010//", Ok("https://dc.localhost:1010/v2.1/track"), ""),
        ("46", "!;=Invalid", Err("InstrumentationKey is missing"), ""),
        ("46b", "!;Invalid", Err("has a part without `=`"), ""),
        ("46c", "!;;", Err("InstrumentationKey is missing"), ""),
        ("47", "IngestionEndpoint= http://ingest/  ", Err("IngestionEndpoint is plain http"), HTTP),
        ("48", "Authorization=foo", Err("Authorization can only be `ikey`"), ""),
        ("48b", ";NoValue", Err("has a part without `=`"), ""),
        ("48c", "InvalidValue=foo=bar", Ok(DEF), LENIENT),
        ("48d", "IngestionEndpoint=ftp:/foo", Err("IngestionEndpoint has no https:// in front"), ""),
    ];

    #[rustfmt::skip]
    const DIVERGENT: &[Row] = &[
        ("trailing ;", "IngestionEndpoint=https://h/;", Ok("https://h/v2.1/track"), ""),
        ("two ;", ";IngestionEndpoint=https://h/;;", Ok("https://h/v2.1/track"), ""),
        ("trailing slashes", "IngestionEndpoint=https://h//", Ok("https://h/v2.1/track"), ""),
        ("leading dot", "EndpointSuffix=.ai.contoso.com", Ok("https://dc.ai.contoso.com/v2.1/track"), ""),
        ("slash in location", "EndpointSuffix=a.b;Location=west/us", Err("Location may hold"), ""),
        ("dot in location", "EndpointSuffix=a.b;Location=evil.com", Err("Location may hold"), ""),
        ("unused bad location", "Location=west/us", Ok(DEF), ""),
        ("http and port", "IngestionEndpoint=http://h:8080", Err("plain http"), ""),
        ("no scheme", "IngestionEndpoint=h.example.com", Err("no https://"), ""),
        ("spaces around", "IngestionEndpoint=  https://h/  ", Ok("https://h/v2.1/track"), ""),
        ("space inside", "IngestionEndpoint=https://h/a b", Err("may not hold"), ""),
        ("spaces around =", "Key = v ; EndpointSuffix = a.b", Ok("https://dc.a.b/v2.1/track"), ""),
        ("final newline", "IngestionEndpoint=https://h/\r\n", Ok("https://h/v2.1/track"), ""),
        ("newline inside", "IngestionEndpoint=https://h/\nx", Err("may not hold"), ""),
        ("same twice", "IngestionEndpoint=https://h/;IngestionEndpoint=https://h/", Ok("https://h/v2.1/track"), ""),
        ("key twice", "InstrumentationKey=other", Err("InstrumentationKey is given twice"), ""),
        ("empty and full", "IngestionEndpoint=;IngestionEndpoint=https://h/", Ok("https://h/v2.1/track"), ""),
        ("Foo=a=b", "Foo=a=b", Ok(DEF), ""),
        ("Foo", "Foo", Err("without `=`"), ""),
        ("aad", "Authorization=aad", Err("Authorization"), ""),
        ("any case", "Authorization=IKEY", Ok(DEF), ""),
        ("no GUID", "!InstrumentationKey=EAP-cee555b9", Ok(DEF), ""),
        ("empty endpoint", "IngestionEndpoint=", Ok(DEF), ""),
        ("double quotes", "!\" InstrumentationKey=abc;EndpointSuffix=a.b \"\n", Ok("https://dc.a.b/v2.1/track"), ""),
        ("single quotes", "!'InstrumentationKey=abc;EndpointSuffix=a.b'", Ok("https://dc.a.b/v2.1/track"), ""),
        ("half a quote", "!\"InstrumentationKey=abc", Err("InstrumentationKey is missing"), ""),
        ("key of 41", "!InstrumentationKey=0123456789-0123456789-0123456789-01234567", Err("longer than 40"), ""),
        ("key of 40", "!InstrumentationKey=0123456789-0123456789-0123456789-0123456", Ok(DEF), ""),
        ("quoted key", "!InstrumentationKey=\"abc\"", Err("InstrumentationKey may hold"), ""),
        ("query", "IngestionEndpoint=https://h/a/?code=x==&y=1", Ok("https://h/a/v2.1/track?code=x==&y=1"), ""),
        ("query, no path", "IngestionEndpoint=https://h?a=b", Ok("https://h/v2.1/track?a=b"), ""),
        ("whole URL", "IngestionEndpoint=https://h/v2/track", Ok("https://h/v2/track"), ""),
        ("whole URL and slash", "IngestionEndpoint=https://h/v2.1/Track/", Ok("https://h/v2.1/Track"), ""),
        ("almost whole", "IngestionEndpoint=https://h/soundtrack", Ok("https://h/soundtrack/v2.1/track"), ""),
        ("default port", "IngestionEndpoint=HTTPS://H:443/", Ok("https://h/v2.1/track"), ""),
        ("port 80", "IngestionEndpoint=https://h:80/", Ok("https://h:80/v2.1/track"), ""),
        ("port 0", "IngestionEndpoint=https://h:0/", Err("valid port"), ""),
        ("no port", "IngestionEndpoint=https://h:/", Err("valid"), ""),
        ("port too large", "IngestionEndpoint=https://h:65536/", Err("valid"), ""),
        ("user", "IngestionEndpoint=https://u@h/", Err("user name or password"), ""),
        ("password", "IngestionEndpoint=https://u:p@h/", Err("user name or password"), ""),
        ("user in suffix", "EndpointSuffix=a.b@evil.com", Err("EndpointSuffix holds a user name"), ""),
        ("fragment", "IngestionEndpoint=https://h/#x", Err("fragment"), ""),
        ("underscore", "IngestionEndpoint=https://a_b.c/", Err("valid host"), ""),
        ("empty label", "IngestionEndpoint=https://a..b/", Err("valid host"), ""),
        ("final dot", "IngestionEndpoint=https://a.b./", Err("valid host"), ""),
        ("percent in host", "IngestionEndpoint=https://a%2eb/", Err("valid"), ""),
        ("not ASCII", "IngestionEndpoint=https://b\u{fc}cher.example/", Err("may not hold"), ""),
        ("backslash", "IngestionEndpoint=https://h\\x/", Err("may not hold"), ""),
        ("suffix is a URL", "EndpointSuffix=https://a.b", Err("EndpointSuffix has no valid port"), ""),
        ("suffix is dots", "EndpointSuffix=...", Err("EndpointSuffix has no valid host"), ""),
        ("suffix is a path", "EndpointSuffix=/evil.com", Err("EndpointSuffix has no valid host"), ""),
        ("IPv4", "IngestionEndpoint=https://10.0.0.1/", Ok("https://10.0.0.1/v2.1/track"), ""),
        ("IPv6", "IngestionEndpoint=https://[2001:DB8:0::1]:444/", Ok("https://[2001:db8::1]:444/v2.1/track"), ""),
        ("bad IPv6", "IngestionEndpoint=https://[2001:zz]/", Err("valid"), ""),
        ("zone", "IngestionEndpoint=https://[fe80::1%25eth0]/", Err("valid"), ""),
        ("bracket left open", "IngestionEndpoint=https://[::1/", Err("valid"), ""),
    ];

    #[test]
    fn the_sdks_own_cases_hold_or_differ_for_a_reason() {
        for &(name, text, expected, why) in UPSTREAM {
            check((
                name,
                &text.replace("LONG", &"h".repeat(4096)),
                expected,
                why,
            ));
        }
    }

    #[test]
    fn what_the_sdks_disagree_about_has_one_answer_here() {
        DIVERGENT.iter().copied().for_each(check);
    }

    #[test]
    fn the_limit_of_4096_bytes_is_inclusive() {
        let padded = |len: usize| format!("{K};x=") + &"y".repeat(len - K.len() - 3);
        assert!(Connection::parse(&padded(4096)).is_ok());
        assert!(Connection::parse(&padded(4097)).is_err());
    }

    #[test]
    fn the_key_keeps_its_case_and_only_a_guid_passes_without_a_warning() {
        for (ikey, is_guid) in [
            (IKEY_K, true),
            ("0A1B2C3D-0000-4000-8000-00000000CAFE", true),
            ("EAP-cee555b9-0000-4000-8000-00000000caf", false),
            ("0a1b2c3d00004000800000000000cafe", false),
            ("0a1b2c3d-0000-4000-8000-0000000xcafe", false),
            ("0a1b2c3d-0000-4000-8000-00000000cafe-", false),
        ] {
            let got = Connection::parse(&format!("InstrumentationKey={ikey}")).unwrap();
            assert_eq!((got.ikey.as_str(), got.warning.is_none()), (ikey, is_guid));
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for host in [
            "localhost",
            "LOCALHOST",
            "127.0.0.1",
            "127.1.2.3",
            "[::1]",
            "[0:0::1]",
        ] {
            let endpoint = Endpoint::parse(&format!("http://{host}:4000")).unwrap();
            assert!(endpoint.is_loopback(), "{host}");
        }
        for host in [
            "localhost.evil.com",
            "127.0.0.1.evil.com",
            "dc.localhost",
            "127.1",
            "2130706433",
            "0177.0.0.1",
            "0.0.0.0",
            "128.0.0.1",
            "10.0.0.1",
            "[::]",
            "[::ffff:127.0.0.1]",
        ] {
            let error = Endpoint::parse(&format!("http://{host}:4000")).unwrap_err();
            assert!(error.to_string().contains("plain http"), "{host}: {error}");
        }
    }

    #[test]
    fn an_error_names_the_key_shows_a_right_one_and_repeats_no_secret() {
        for text in [
            "InstrumentationKey=hunter2!",
            "hunter2",
            "hunter2=1;Hunter2",
            "InstrumentationKey=a;IngestionEndpoint=https://me:hunter2@h/",
            "InstrumentationKey=a;Authorization=hunter2",
            "InstrumentationKey=a;InstrumentationKey=hunter2",
            "InstrumentationKey=a;EndpointSuffix=b.c;Location=hunter2!",
            "InstrumentationKey=a;IngestionEndpoint=ftp://hunter2",
        ] {
            let error = Connection::parse(text).unwrap_err().to_string();
            assert!(!error.to_lowercase().contains("hunter2"), "{error}");
            assert!(error.ends_with(EXAMPLE), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_whatever_makes_it_panic(text in any::<String>()) {
            let _ = Connection::parse(&text);
            let _ = Connection::parse(&format!("{K};IngestionEndpoint=https://{text}"));
            let _ = Connection::parse(&format!("{K};EndpointSuffix={text};Location={text}"));
            let _ = Endpoint::parse(DEF).unwrap().join(&text);
        }

        #[test]
        fn what_is_accepted_reads_back_as_itself(rest in "[a-zA-Z0-9:/?@.%\\[\\]=&_~-]{0,24}") {
            if let Ok(endpoint) = Endpoint::parse(&format!("https://{rest}")) {
                prop_assert_eq!(Endpoint::parse(&endpoint.to_string()), Ok(endpoint));
            }
        }
    }
}
