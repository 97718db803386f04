//! May this redirect be followed? Events go only where the connection string's owner would send them.
//!
//! Application Insights' global hosts answer 307 or 308 with the address of a regional one, so some
//! change of host must be allowed. The rule is that of Microsoft's JavaScript SDK: the same host, or
//! two hosts of one cloud. Everything else is refused, and refused means kept, not lost.

use std::fmt;
use std::time::Duration;

use crate::connection::{ConnectionError, Endpoint};

/// How long a redirect without a `max-age` is remembered: 12 hours, as the .NET SDKs do.
pub const MAX_AGE_DEFAULT: Duration = Duration::from_secs(12 * 60 * 60);

/// No redirect is remembered for longer than a day: a stamp that moved is found again by then.
pub const MAX_AGE_CAP: Duration = Duration::from_secs(24 * 60 * 60);

/// Microsoft's ingestion hosts, one group a cloud. The leading dot is part of the rule: without it
/// `evilmonitor.azure.com` would belong.
const GROUPS: [&[&str]; 3] = [
    &[
        // Also covers `.livediagnostics.monitor.azure.com`, which the SDKs list apart.
        ".monitor.azure.com",
        ".services.visualstudio.com",
        ".applicationinsights.azure.com",
    ],
    &[".monitor.azure.us", ".applicationinsights.azure.us"],
    &[".monitor.azure.cn", ".applicationinsights.azure.cn"],
];

/// Why a redirect is not followed; the events stay where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotFollowed {
    /// The `Location` is no address that may be posted to.
    Unusable(ConnectionError),
    /// It leads to this host, which is neither the same nor in the same cloud.
    OtherHost(String),
    /// It leads to another port, and not to the one of https.
    OtherPort,
    /// It changes between https and http.
    OtherScheme,
}

impl fmt::Display for NotFollowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotFollowed::Unusable(err) => write!(f, "it cannot be used, {err}"),
            NotFollowed::OtherHost(host) => write!(f, "it leads to a foreign host, {host}"),
            NotFollowed::OtherPort => f.write_str("it leads to another port"),
            NotFollowed::OtherScheme => f.write_str("it changes between https and http"),
        }
    }
}

impl std::error::Error for NotFollowed {}

/// The place to post to instead of `from`, if the answer's `Location` may be followed.
///
/// The caller counts hops and looks for loops; `Endpoint` is comparable for that.
pub fn follow(from: &Endpoint, location: &str) -> Result<Endpoint, NotFollowed> {
    let to = from.join(location).map_err(NotFollowed::Unusable)?;
    let same_host = from.host() == to.host();
    if !same_host && !same_cloud(from.host(), to.host()) {
        return Err(NotFollowed::OtherHost(to.host().to_owned()));
    }
    if from.scheme() != to.scheme() {
        return Err(NotFollowed::OtherScheme);
    }
    // On this machine every port may belong to another program, so the default one is no exception.
    let is_fine = from.port() == to.port() || (to.port().is_none() && !to.is_loopback());
    if !is_fine {
        return Err(NotFollowed::OtherPort);
    }
    Ok(to)
}

impl Endpoint {
    /// Resolves a `Location` header, absolute or relative, against this place (RFC 3986, section
    /// 5.2). Whether the result may be used is for [`follow`] to say.
    pub fn join(&self, location: &str) -> Result<Endpoint, ConnectionError> {
        let location = location.trim();
        if location.is_empty() {
            return Err(ConnectionError::Url("is empty"));
        }
        if location.starts_with("//") {
            return Endpoint::parse(&format!("{}:{location}", self.scheme()));
        }
        let (path, query) = location.split_at(location.find(['?', '#']).unwrap_or(location.len()));
        // A colon before the first slash ends a scheme: not relative, however odd.
        if path
            .split('/')
            .next()
            .is_some_and(|first| first.contains(':'))
        {
            return Endpoint::parse(location);
        }
        let folder = &self.path()[..=self.path().rfind('/').unwrap_or(0)];
        let path = match path.as_bytes() {
            [] => self.path().to_owned(),
            [b'/', ..] => without_dots(path),
            _ => without_dots(&format!("{folder}{path}")),
        };
        Endpoint::parse(&format!(
            "{}://{}{path}{query}",
            self.scheme(),
            self.authority()
        ))
    }
}

/// `/a/./b/../c` → `/a/c`; nothing leads above the root.
fn without_dots(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    format!("/{}", segments.join("/"))
}

/// How long the redirect may be remembered, from the answer's `Cache-Control`.
pub fn max_age(cache_control: Option<&str>) -> Duration {
    cache_control
        .unwrap_or("")
        .split(',')
        .filter_map(|directive| directive.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("max-age"))
        .and_then(|(_, value)| seconds(value.trim().trim_matches('"')))
        .map_or(MAX_AGE_DEFAULT, |age| age.min(MAX_AGE_CAP))
}

/// A number too large to hold is a very long time, not a malformed one.
fn seconds(digits: &str) -> Option<Duration> {
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| Duration::from_secs(digits.parse().unwrap_or(u64::MAX)))
}

/// `Endpoint` has lower-cased both hosts already.
fn same_cloud(a: &str, b: &str) -> bool {
    let is_in = |host: &str, group: &[&str]| group.iter().any(|suffix| host.ends_with(suffix));
    GROUPS
        .iter()
        .any(|group| is_in(a, group) && is_in(b, group))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLOBAL: &str = "https://dc.services.visualstudio.com";
    const WEST: &str = "https://westus2-1.in.applicationinsights.azure.com/";
    const CUSTOM: &str = "https://proxy.example.com:8443/ai";

    /// `Ok` is the URL that is posted to next, `Err` a part of what the refusal says.
    fn check(from: &str, location: &str, expected: Result<&str, &str>) {
        let from = Endpoint::parse(from).unwrap();
        match (follow(&from, location), expected) {
            (Ok(to), Ok(url)) => assert_eq!(to.to_string(), url, "{location}"),
            (Err(why), Err(part)) => {
                assert!(why.to_string().contains(part), "{location}: {why}");
            }
            (got, _) => panic!("{from} -> {location}: {got:?}, expected {expected:?}"),
        }
    }

    fn refused(from: &str, location: &str, part: &str) {
        check(from, location, Err(part));
    }

    #[test]
    fn a_stamp_of_the_same_cloud_is_followed() {
        for (from, location, to) in [
            (
                GLOBAL,
                WEST,
                "https://westus2-1.in.applicationinsights.azure.com/v2.1/track",
            ),
            (
                GLOBAL,
                "https://x.in.ai.monitor.azure.com/v2/track",
                "https://x.in.ai.monitor.azure.com/v2/track",
            ),
            (
                WEST,
                GLOBAL,
                "https://dc.services.visualstudio.com/v2.1/track",
            ),
            (
                WEST,
                "https://weu.livediagnostics.monitor.azure.com",
                "https://weu.livediagnostics.monitor.azure.com/v2.1/track",
            ),
            (
                "https://dc.applicationinsights.azure.us",
                "https://a.monitor.azure.us",
                "https://a.monitor.azure.us/v2.1/track",
            ),
            (
                "https://dc.applicationinsights.azure.cn",
                "https://a.monitor.azure.cn",
                "https://a.monitor.azure.cn/v2.1/track",
            ),
            (
                GLOBAL,
                "HTTPS://WestUS2.In.ApplicationInsights.AZURE.com/v2.1/track",
                "https://westus2.in.applicationinsights.azure.com/v2.1/track",
            ),
            (
                GLOBAL,
                "https://eu.services.visualstudio.com:443/v2.1/track?a=b",
                "https://eu.services.visualstudio.com/v2.1/track?a=b",
            ),
        ] {
            check(from, location, Ok(to));
        }
    }

    #[test]
    fn the_same_host_is_followed_whatever_it_is_called() {
        for (location, to) in [
            (
                "https://proxy.example.com:8443/other",
                "https://proxy.example.com:8443/other/v2.1/track",
            ),
            (
                "https://PROXY.example.com:8443/v2/track",
                "https://proxy.example.com:8443/v2/track",
            ),
            (
                "//proxy.example.com:8443/v2/track",
                "https://proxy.example.com:8443/v2/track",
            ),
            (
                "/moved/v2.1/track",
                "https://proxy.example.com:8443/moved/v2.1/track",
            ),
            ("track", "https://proxy.example.com:8443/ai/v2.1/track"),
            (
                "/a/./b/../v2/track",
                "https://proxy.example.com:8443/a/v2/track",
            ),
            ("/../../v2/track", "https://proxy.example.com:8443/v2/track"),
            ("./", "https://proxy.example.com:8443/ai/v2.1/v2.1/track"),
            ("../v2/track", "https://proxy.example.com:8443/ai/v2/track"),
            (
                "?region=west",
                "https://proxy.example.com:8443/ai/v2.1/track?region=west",
            ),
            (
                "https://proxy.example.com/v2.1/track",
                "https://proxy.example.com/v2.1/track",
            ),
        ] {
            check(CUSTOM, location, Ok(to));
        }
    }

    #[test]
    fn another_cloud_or_a_foreign_host_is_refused() {
        for location in [
            "https://dc.applicationinsights.azure.us/",
            "https://dc.applicationinsights.azure.cn/",
            "https://example.com/",
            "//example.com/v2.1/track",
            "https://127.0.0.1/v2.1/track",
            "http://localhost:1/v2.1/track",
            "https://[::1]/v2.1/track",
        ] {
            refused(GLOBAL, location, "foreign host");
        }
        refused(CUSTOM, WEST, "foreign host");
        refused(
            CUSTOM,
            "https://proxy.example.com.evil.com:8443/",
            "foreign host",
        );
        refused(WEST, "https://proxy.example.com/", "foreign host");
    }

    #[test]
    fn hosts_that_only_look_like_microsoft_s_are_refused() {
        for location in [
            "https://evilservices.visualstudio.com.evil.com/",
            "https://dc.services.visualstudio.com.evil.com/v2.1/track",
            "https://xmonitor.azure.com/",
            "https://evilapplicationinsights.azure.com/",
            "https://monitor.azure.com/",
            "https://services.visualstudio.com/",
            "https://visualstudio.com/",
            "https://dc-services.visualstudio.com/",
            "https://evil.com/.services.visualstudio.com/track",
            "https://evil.com?.services.visualstudio.com",
        ] {
            refused(GLOBAL, location, "foreign host");
        }
    }

    #[test]
    fn an_address_with_tricks_in_it_is_refused() {
        for (location, part) in [
            (
                "https://dc.services.visualstudio.com@evil.com/",
                "user name",
            ),
            (
                "https://user:secret@dc.services.visualstudio.com/",
                "user name",
            ),
            ("https://dc.services.visualstudio.com./", "host"),
            ("https://evil.com.services.visualstudio.com./", "host"),
            ("https://evil.com#.services.visualstudio.com", "fragment"),
            (
                "https://evil.com\\.services.visualstudio.com/",
                "may not hold",
            ),
            ("/\\evil.com/", "may not hold"),
            ("https://evil.com%2f.services.visualstudio.com/", "valid"),
            (
                "https://d\u{441}.services.visualstudio.com/",
                "may not hold",
            ),
            (
                "https://a.services.visualstudio.com/\r\nX: y",
                "may not hold",
            ),
            ("https:///v2.1/track", "valid"),
            ("https:evil.com", "https://"),
            ("javascript:alert(1)", "https://"),
            ("file:///etc/passwd", "neither https nor http"),
            ("", "empty"),
            ("  ", "empty"),
        ] {
            refused(GLOBAL, location, part);
        }
    }

    #[test]
    fn plain_http_is_refused_even_to_the_same_host() {
        refused(
            GLOBAL,
            "http://dc.services.visualstudio.com/v2.1/track",
            "plain http",
        );
        refused(CUSTOM, "http://proxy.example.com:8443/", "plain http");
        refused(GLOBAL, "http://127.0.0.1.evil.com/", "plain http");
    }

    #[test]
    fn another_port_is_refused_unless_it_is_the_default_one() {
        refused(
            GLOBAL,
            "https://dc.services.visualstudio.com:8443/",
            "another port",
        );
        refused(CUSTOM, "https://proxy.example.com:9443/", "another port");
        refused(
            GLOBAL,
            "https://westus2.in.applicationinsights.azure.com:1/",
            "another port",
        );
        for port in ["", "0", "65536", "x", "-1"] {
            let location = format!("https://dc.services.visualstudio.com:{port}/");
            refused(GLOBAL, &location, "valid");
        }
    }

    #[test]
    fn loopback_leads_to_the_same_host_and_port_only() {
        let local = "http://127.0.0.1:4000";
        check(
            local,
            "/v2.1/track?again",
            Ok("http://127.0.0.1:4000/v2.1/track?again"),
        );
        check(
            local,
            "http://127.0.0.1:4000/b/",
            Ok("http://127.0.0.1:4000/b/v2.1/track"),
        );
        check(
            "http://[::1]:9",
            "http://[0::1]:9/track",
            Ok("http://[::1]:9/track"),
        );
        refused(local, "http://127.0.0.1:4001/", "another port");
        refused(local, "http://127.0.0.1/", "another port");
        refused(local, "http://localhost:4000/", "foreign host");
        refused(local, "http://127.0.0.2:4000/", "foreign host");
        refused(local, "https://127.0.0.1:4000/", "between https and http");
        refused(
            "https://localhost",
            "http://localhost:443/",
            "between https and http",
        );
        refused(local, GLOBAL, "foreign host");
    }

    #[test]
    fn max_age_is_read_capped_and_has_a_default() {
        let hours = |h: u64| Duration::from_secs(h * 3600);
        for (header, expected) in [
            (None, hours(12)),
            (Some(""), hours(12)),
            (Some("public"), hours(12)),
            (Some("max-age=60"), Duration::from_secs(60)),
            (Some("public, Max-Age = \"3600\" , immutable"), hours(1)),
            (Some("max-age=0"), Duration::ZERO),
            (Some("max-age=86400"), hours(24)),
            (Some("max-age=86401"), hours(24)),
            (Some("max-age=99999999999999999999999999"), hours(24)),
            (Some("max-age=-1"), hours(12)),
            (Some("max-age=+5"), hours(12)),
            (Some("max-age="), hours(12)),
            (Some("max-age=1h"), hours(12)),
            (Some("s-maxage=5, x-max-age=6"), hours(12)),
        ] {
            assert_eq!(max_age(header), expected, "{header:?}");
        }
    }
}
