//! How an endpoint is reached: directly, or through the proxy that the environment names. The one place that
//! decides it, by curl's rules. A proxy that was named is never bypassed: if it cannot be used, nothing is sent.

use super::no_proxy::Target;
use super::proxy::Proxy;
use crate::connection::{Endpoint, unquoted};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// Every variable that is read here, in the order in which one of a kind is preferred. An upper-case
/// `HTTP_PROXY` may come from a request's header in a CGI program, which has `REQUEST_METHOD`.
const VARIABLES: [&str; 9] = [
    "https_proxy",
    "HTTPS_PROXY",
    "http_proxy",
    "HTTP_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "REQUEST_METHOD",
];

/// What the environment says about proxies.
#[derive(Clone, Default)]
pub struct Proxies {
    /// Only those that are set to something.
    values: BTreeMap<&'static str, String>,
}

/// How an endpoint is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Without a proxy.
    Direct(Directly),
    /// Through this proxy.
    Through(Proxy),
    /// Not at all: this variable names a proxy that cannot be used.
    Unusable(UnusableProxy),
}

/// Why there is no proxy on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directly {
    /// No variable names one.
    NoneNamed,
    /// The endpoint is on this machine, whatever this variable says.
    Loopback(&'static str),
    /// This variable, a `NO_PROXY`, names the endpoint's host.
    Excepted(&'static str),
    /// Only this variable is set, which is for plain http.
    PlainHttpOnly(&'static str),
}

/// A variable whose value names a proxy that cannot be used. Nothing is connected to then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusableProxy {
    /// The variable.
    pub variable: &'static str,
    /// What is wrong with its value: a predicate, without the value, which may hold a password.
    pub why: &'static str,
}

impl Proxies {
    /// Reads the variables. An empty one is unset.
    pub fn read(env: &BTreeMap<String, String>) -> Proxies {
        let value = |name: &str| Some(unquoted(env.get(name)?).to_owned());
        let values = VARIABLES.into_iter().filter_map(|name| {
            let value = value(name).filter(|value| !value.is_empty())?;
            Some((name, value))
        });
        Proxies {
            values: values.collect(),
        }
    }

    /// How this endpoint is reached.
    pub fn way_to(&self, endpoint: &Endpoint) -> Way {
        self.decide(&Target {
            scheme: endpoint.scheme(),
            host: endpoint.host(),
            port: endpoint.port_or_default(),
            is_loopback: endpoint.is_loopback(),
        })
    }

    /// How an https endpoint is reached that is not known yet.
    pub fn way_out(&self) -> Way {
        self.decide(&Target {
            scheme: "https",
            host: "",
            port: 443,
            is_loopback: false,
        })
    }

    fn decide(&self, target: &Target) -> Way {
        let own = match target.scheme {
            "https" => ["https_proxy", "HTTPS_PROXY"],
            _ => ["http_proxy", "HTTP_PROXY"],
        };
        let named = self
            .first(&own)
            .or_else(|| self.first(&["all_proxy", "ALL_PROXY"]));
        let Some((variable, value)) = named else {
            let other = self.first(&["http_proxy", "HTTP_PROXY"]);
            let only = other.map(|(variable, _)| Directly::PlainHttpOnly(variable));
            return Way::Direct(only.unwrap_or(Directly::NoneNamed));
        };
        if target.is_loopback {
            return Way::Direct(Directly::Loopback(variable));
        }
        if let Some((no_proxy, entries)) = self.first(&["no_proxy", "NO_PROXY"])
            && entries
                .split([',', ' ', '\t'])
                .any(|entry| target.is_named_by(entry))
        {
            return Way::Direct(Directly::Excepted(no_proxy));
        }
        match Proxy::parse(variable, value) {
            Ok(proxy) => Way::Through(proxy),
            Err(why) => Way::Unusable(UnusableProxy { variable, why }),
        }
    }

    /// The first of these variables that counts, with its value.
    fn first(&self, names: &[&'static str]) -> Option<(&'static str, &str)> {
        let is_cgi = self.values.contains_key("REQUEST_METHOD");
        let mut values = names
            .iter()
            .filter(|name| !(is_cgi && **name == "HTTP_PROXY"))
            .filter_map(|name| self.values.get_key_value(name));
        values.next().map(|(name, value)| (*name, value.as_str()))
    }
}

impl fmt::Debug for Proxies {
    /// Without the values, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_list().entries(self.values.keys()).finish()
    }
}

impl UnusableProxy {
    /// What to do about it.
    pub fn advice(&self) -> String {
        let variable = self.variable;
        format!("write {variable} as http://HOST:PORT or socks5h://HOST:PORT, or unset it")
    }
}

impl fmt::Display for UnusableProxy {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}", self.variable, self.why)
    }
}

impl fmt::Display for Directly {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Directly::NoneNamed => f.write_str("no variable names a proxy"),
            Directly::Loopback(variable) => {
                write!(f, "{variable} does not count for this machine itself")
            }
            Directly::Excepted(variable) => write!(f, "{variable} names this host"),
            Directly::PlainHttpOnly(variable) => {
                write!(f, "{variable} is for plain http alone, as in curl")
            }
        }
    }
}

impl Way {
    /// The same for programs.
    pub fn json(&self) -> Value {
        match self {
            Way::Direct(why) => json!({"way": "direct", "why": why.to_string()}),
            Way::Through(proxy) => {
                json!({"way": "through", "url": proxy.name.url(), "variable": proxy.name.variable})
            }
            Way::Unusable(proxy) => {
                json!({"way": "unusable", "variable": proxy.variable, "why": proxy.why})
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::no_proxy::split_port;
    use super::*;

    fn env(values: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        values.iter().map(owned).collect()
    }

    /// The decision in short: `direct`, `loopback by VARIABLE`, `excepted by VARIABLE`, `only VARIABLE`, the
    /// proxy as it is shown, or `VARIABLE` and what is wrong with it.
    fn decision(values: &[(&str, &str)], url: &str) -> String {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (host, port) = match split_port(rest) {
            (host, Some(port)) => (host, port.parse().unwrap()),
            (host, None) => (host, if scheme == "https" { 443 } else { 80 }),
        };
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let is_loopback = ["localhost", "127.0.0.1", "[::1]"].contains(&host.as_str());
        let target = Target {
            scheme,
            host: &host,
            port,
            is_loopback,
        };
        match Proxies::read(&env(values)).decide(&target) {
            Way::Direct(Directly::NoneNamed) => "direct".to_owned(),
            Way::Direct(Directly::Loopback(variable)) => format!("loopback by {variable}"),
            Way::Direct(Directly::Excepted(variable)) => format!("excepted by {variable}"),
            Way::Direct(Directly::PlainHttpOnly(variable)) => format!("only {variable}"),
            Way::Through(proxy) => proxy.name.to_string(),
            Way::Unusable(proxy) => proxy.to_string(),
        }
    }

    const P: &str = "http://p:3128";
    const E: &str = "https://x.example";
    const CHARACTER: &str =
        "holds a character that an address may not hold (in a password, write it as %XX)";
    const SOCKS5: &str =
        "has no user name or no password, of 255 bytes at most, and SOCKS5 takes both";
    const SCHEME: &str = "has none of the schemes http, https, socks4, socks4a, socks5 and socks5h";

    /// The environment, what is to be reached, and the decision.
    type Row<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);

    fn check_all(rows: &[Row]) {
        for (values, url, expected) in rows {
            assert_eq!(decision(values, url), *expected, "{values:?} {url}");
        }
    }

    #[rustfmt::skip]
    #[test]
    fn variables_have_the_precedence_of_curl() {
        check_all(&[
            (&[], E, "direct"),
            (&[("https_proxy", P)], E, "http://p:3128 (https_proxy)"),
            (&[("HTTPS_PROXY", P)], E, "http://p:3128 (HTTPS_PROXY)"),
            (&[("all_proxy", P)], E, "http://p:3128 (all_proxy)"),
            (&[("ALL_PROXY", P)], E, "http://p:3128 (ALL_PROXY)"),
            (&[("https_proxy", P), ("HTTPS_PROXY", "q"), ("all_proxy", "r")], E, "http://p:3128 (https_proxy)"),
            (&[("HTTPS_PROXY", P), ("all_proxy", "q")], E, "http://p:3128 (HTTPS_PROXY)"),
            (&[("all_proxy", P), ("ALL_PROXY", "q")], E, "http://p:3128 (all_proxy)"),
            (&[("http_proxy", P), ("all_proxy", "q:1")], E, "http://q:1 (all_proxy)"),
            (&[("http_proxy", P)], E, "only http_proxy"),
            (&[("HTTP_PROXY", P)], E, "only HTTP_PROXY"),
            (&[("http_proxy", P), ("HTTP_PROXY", "q")], "http://x.example", "http://p:3128 (http_proxy)"),
            (&[("https_proxy", P)], "http://x.example", "direct"),
            (&[("HTTP_PROXY", P)], "http://x.example", "http://p:3128 (HTTP_PROXY)"),
            (&[("HTTP_PROXY", P), ("REQUEST_METHOD", "GET")], "http://x.example", "direct"),
            (&[("http_proxy", P), ("REQUEST_METHOD", "GET")], "http://x.example", "http://p:3128 (http_proxy)"),
            (&[("HTTP_PROXY", P), ("REQUEST_METHOD", "GET")], E, "direct"),
            (&[("HTTPS_PROXY", P), ("REQUEST_METHOD", "GET")], E, "http://p:3128 (HTTPS_PROXY)"),
        ]);
    }

    #[rustfmt::skip]
    #[test]
    fn an_empty_variable_is_unset_and_quotes_and_blanks_are_trimmed() {
        check_all(&[
            (&[("https_proxy", ""), ("HTTPS_PROXY", P)], E, "http://p:3128 (HTTPS_PROXY)"),
            (&[("https_proxy", " \t"), ("all_proxy", P)], E, "http://p:3128 (all_proxy)"),
            (&[("HTTPS_PROXY", "\"\"")], E, "direct"),
            (&[("HTTPS_PROXY", "''"), ("ALL_PROXY", "' '")], E, "direct"),
            (&[("HTTPS_PROXY", " \" http://p:3128 \"\n")], E, "http://p:3128 (HTTPS_PROXY)"),
            (&[("HTTPS_PROXY", "'http://p:3128'")], E, "http://p:3128 (HTTPS_PROXY)"),
            (&[("HTTPS_PROXY", P), ("no_proxy", ""), ("NO_PROXY", "*")], E, "excepted by NO_PROXY"),
        ]);
    }

    #[rustfmt::skip]
    #[test]
    fn a_loopback_endpoint_is_always_reached_directly() {
        check_all(&[
            (&[("HTTPS_PROXY", P)], "https://localhost", "loopback by HTTPS_PROXY"),
            (&[("all_proxy", P)], "http://127.0.0.1:4000", "loopback by all_proxy"),
            (&[("http_proxy", "nonsense://")], "http://[::1]:4000", "loopback by http_proxy"),
            (&[("HTTPS_PROXY", P)], "http://localhost:4000", "direct"),
        ]);
    }

    #[rustfmt::skip]
    #[test]
    fn a_proxy_is_shown_without_credentials_and_with_its_port() {
        check_all(&[
            (&[("HTTPS_PROXY", "p")], E, "http://p:80 (HTTPS_PROXY)"),
            (&[("HTTPS_PROXY", "p:3128")], E, "http://p:3128 (HTTPS_PROXY)"),
            (&[("HTTPS_PROXY", "HTTP://P.Example.")], E, "http://p.example.:80 (HTTPS_PROXY)"),
            (&[("HTTPS_PROXY", "https://p")], E, "https://p:443 (HTTPS_PROXY)"),
            (&[("HTTPS_PROXY", "http://p:3128/a?b#c")], E, "http://p:3128 (HTTPS_PROXY)"),
            (&[("HTTPS_PROXY", "http://anna:s%40cret@p:3128/")], E, "http://p:3128 (HTTPS_PROXY)"),
            (&[("HTTPS_PROXY", "anna:secret@squid_proxy:3128")], E, "http://squid_proxy:3128 (HTTPS_PROXY)"),
            (&[("HTTPS_PROXY", "http://[2001:DB8::1]:3128")], E, "http://[2001:db8::1]:3128 (HTTPS_PROXY)"),
            (&[("HTTPS_PROXY", "http://[2001:db8::1]")], E, "http://[2001:db8::1]:80 (HTTPS_PROXY)"),
            (&[("HTTPS_PROXY", "10.0.0.1:3128")], E, "http://10.0.0.1:3128 (HTTPS_PROXY)"),
            (&[("ALL_PROXY", "socks4://p")], E, "socks4://p:1080 (ALL_PROXY)"),
            (&[("ALL_PROXY", "socks4a://p")], E, "socks4a://p:1080 (ALL_PROXY)"),
            (&[("ALL_PROXY", "socks5://127.0.0.1:9050")], E, "socks5://127.0.0.1:9050 (ALL_PROXY)"),
            (&[("ALL_PROXY", "SOCKS5H://u:p@p")], E, "socks5h://p:1080 (ALL_PROXY)"),
        ]);
    }

    #[rustfmt::skip]
    #[test]
    fn an_unusable_proxy_is_never_bypassed() {
        for (value, why) in [
            ("not a proxy", CHARACTER),
            ("http://p\u{fffd}:1", CHARACTER),
            ("http://p\\q:1", CHARACTER),
            ("socks://p:1080", SCHEME),
            ("socks6://p", SCHEME),
            ("ftp://p", SCHEME),
            ("://p", SCHEME),
            ("http://", "has no valid host"),
            ("http://:3128", "has no valid host"),
            ("http:/p:3128", "has no valid port"),
            ("http:p", "has no valid port"),
            ("http://p:", "has no valid port"),
            ("http://p:0", "has no valid port"),
            ("http://p:65536", "has no valid port"),
            ("http://p:x", "has no valid port"),
            ("p:3128:1", "has no valid host"),
            ("2001:db8::1", "has an IPv6 address without brackets"),
            ("http://[2001:zz]:1", "has no valid host"),
            ("http://[fe80::1%25eth0]:1", "has no valid host"),
            ("http://[::1]x:1", "has no valid host"),
            ("http://...", "has no valid host"),
            ("socks4://anna@p", "has a user name, which is not sent to a SOCKS4 proxy; take socks5h"),
            ("socks5h://anna@p", SOCKS5),
            ("socks5://anna:@p", SOCKS5),
            ("socks5://:secret@p", SOCKS5),
            ("http://anna:a%FF@p", "has a user name or password with a character to be written as %XX"),
        ] {
            let expected = format!("HTTPS_PROXY {why}");
            // The next variable does not count: this one was named.
            let values = [("HTTPS_PROXY", value), ("ALL_PROXY", P)];
            assert_eq!(decision(&values, E), expected, "{value}");
            // What NO_PROXY names is reached directly all the same.
            let values = [("HTTPS_PROXY", value), ("NO_PROXY", "example")];
            assert_eq!(decision(&values, E), "excepted by NO_PROXY", "{value}");
        }
        let long = "p".repeat(4097);
        assert_eq!(decision(&[("ALL_PROXY", &long)], E), "ALL_PROXY is longer than 4096 bytes");
    }

    /// `NO_PROXY`, what is to be reached, and whether it is named.
    #[rustfmt::skip]
    const EXCEPTIONS: &[(&str, &str, bool)] = &[
        ("x.example", E, true),
        (".x.example", E, true),
        ("example", E, true),
        (".example", E, true),
        ("*.example", E, true),
        ("EXAMPLE.", E, true),
        ("*", E, true),
        ("mple", E, false),
        ("x.example", "https://notx.example", false),
        ("y.x.example", E, false),
        ("*", "https://10.1.2.3", true),
        ("a,b x.example\tc", E, true),
        ("a, x.example ,", E, true),
        ("a;x.example", E, false),
        (", ,", E, false),
        (".", E, false),
        ("'x.example, y'", E, true),
        ("x.example:443", E, true),
        ("x.example:444", E, false),
        (".example:444", "https://x.example:444", true),
        ("x.example:", E, false),
        ("x.example:y", E, false),
        ("10.1.2.3", "https://10.1.2.3", true),
        ("10.1.2.3:443", "https://10.1.2.3", true),
        ("2.3", "https://10.1.2.3", false),
        ("10.0.0.0/8", "https://10.1.2.3", true),
        ("10.0.0.0/8", "https://11.1.2.3", false),
        ("10.1.2.3/32", "https://10.1.2.3", true),
        ("10.1.2.2/31", "https://10.1.2.4", false),
        ("0.0.0.0/0", "https://10.1.2.3", true),
        ("0.0.0.0/0", E, false),
        ("10.0.0.0/33", "https://10.1.2.3", false),
        ("10.0.0.0/", "https://10.1.2.3", false),
        ("::/0", "https://10.1.2.3", false),
        ("2001:db8::1", "https://[2001:db8::1]", true),
        ("[2001:DB8:0::1]", "https://[2001:db8::1]", true),
        ("[2001:db8::1]:443", "https://[2001:db8::1]", true),
        ("[2001:db8::1]:444", "https://[2001:db8::1]", false),
        ("2001:db8::2", "https://[2001:db8::1]", false),
        ("2001:db8::/32", "https://[2001:db8::1]", true),
        ("[2001:db8::]/32", "https://[2001:db8::1]", true),
        ("2001:db9::/32", "https://[2001:db8::1]", false),
        ("::/0", "https://[2001:db8::1]", true),
        ("2001:db8::/129", "https://[2001:db8::1]", false),
        ("0.0.0.0/0", "https://[2001:db8::1]", false),
    ];

    #[test]
    fn no_proxy_names_hosts_domains_ports_addresses_and_networks() {
        for (entries, url, is_named) in EXCEPTIONS {
            let values = [("HTTPS_PROXY", P), ("NO_PROXY", entries)];
            let expected = if *is_named {
                "excepted by NO_PROXY"
            } else {
                "http://p:3128 (HTTPS_PROXY)"
            };
            assert_eq!(decision(&values, url), expected, "{entries} {url}");
        }
        let both = [("ALL_PROXY", P), ("no_proxy", "y"), ("NO_PROXY", "*")];
        assert_eq!(decision(&both, E), "http://p:3128 (ALL_PROXY)");
    }

    #[test]
    fn credentials_reach_the_proxy_alone() {
        let values = env(&[("HTTPS_PROXY", "http://anna:hunter2%40@@p:3128")]);
        let proxies = Proxies::read(&values);
        let way = proxies.way_to(&Endpoint::parse(E).unwrap());
        let shown = format!("{proxies:?} {way:?} {}", way.json());
        assert!(!shown.contains("hunter2"), "{shown}");
        let Way::Through(proxy) = way else {
            panic!("{shown}")
        };
        let address = (proxy.address.username(), proxy.address.password());
        assert_eq!(address, (Some("anna"), Some("hunter2@@")));
        assert!(proxy.name.has_credentials);
    }
}
