//! The way to the endpoint, step by step, on request only. No event is sent: an empty list is posted, and
//! any answer in Breeze's form shows that the endpoint is there. Whether the key is right cannot be seen
//! without an event.

use super::{Check, Subject};
use crate::clock;
use crate::consent::Consent;
use crate::route::Route;
use crate::settings::Settings;
use crate::verdict::{self, Cure, Trouble, Verdict};
use crate::wording::{grouped, lag};
use crate::world::{self, NoReply, Proxies, ProxyName, RealWorld, Reply, Way, World};
use chrono::TimeDelta;
use std::time::Duration;

/// Breeze refuses an event whose time is further ahead of its own than this.
const AHEAD_MAX: TimeDelta = TimeDelta::hours(2);

/// Goes the way of a request, as far as it leads. Nothing is connected to where telemetry is off.
pub fn checks(subject: &Subject) -> Vec<Check> {
    const NAME: &str = "online";
    if let Consent::Denied(rule) = &subject.consent {
        let words = format!("not tried, since telemetry is off: {rule}");
        return vec![Check::warning(NAME, words, "see `consent` above")];
    }
    let Ok(settings) = &subject.settings else {
        let words = "not tried, for want of an endpoint";
        return vec![Check::warning(NAME, words, "see `connection string` above")];
    };
    let Ok(world) = RealWorld::new(&settings.limits, settings.ca_file.as_deref(), subject.env)
    else {
        let words = "not tried, for want of certificates";
        return vec![Check::warning(NAME, words, "see `certificates` above")];
    };
    let endpoint = &settings.connection.endpoint;
    let proxy = match Proxies::read(subject.env).way_to(endpoint) {
        Way::Direct(_) => None,
        Way::Through(proxy) => Some(proxy.name),
        Way::Unusable(_) => {
            let words = "not tried, for want of a usable proxy";
            return vec![Check::warning(NAME, words, "see `proxy` above")];
        }
    };
    let mut checks = Vec::new();
    if reach(proxy.as_ref(), settings, &world, &mut checks) {
        post(subject, settings, &world, &mut checks);
    }
    checks
}

/// The first host on the way, which is the proxy where there is one; false if the way ends there.
fn reach(
    proxy: Option<&ProxyName>,
    settings: &Settings,
    world: &RealWorld,
    checks: &mut Vec<Check>,
) -> bool {
    let endpoint = &settings.connection.endpoint;
    let (what, host, port) = match proxy {
        Some(proxy) => ("the proxy ", proxy.host.as_str(), proxy.port),
        None => ("", endpoint.host(), endpoint.port_or_default()),
    };
    let wait_max = settings.limits.connect_timeout;
    let begun = world.elapsed();
    let addresses = match world::lookup(host, port, wait_max) {
        Ok(addresses) => addresses,
        Err(why) => {
            let advice = "check the network, the host in the connection string, and whether a proxy is needed (HTTPS_PROXY)";
            checks.push(Check::problem(
                "lookup",
                format!("{what}{host}: {why}"),
                advice,
            ));
            return false;
        }
    };
    let count = addresses.len();
    let plural = if count == 1 { "" } else { "es" };
    let words = format!(
        "{what}{host}: {count} address{plural}, {}",
        took(world, begun)
    );
    checks.push(Check::ok("lookup", words));
    let begun = world.elapsed();
    if let Err(why) = world::connect(&addresses, wait_max) {
        let advice = if proxy.is_none() && endpoint.is_loopback() {
            "is the local endpoint running? telemetry-upload emulator starts one"
        } else {
            "check the network, a firewall, and whether a proxy is needed (HTTPS_PROXY)"
        };
        checks.push(Check::problem(
            "connect",
            format!("{what}{host}:{port}: {why}"),
            advice,
        ));
        return false;
    }
    let words = format!("{what}{host}:{port}, {}", took(world, begun));
    checks.push(Check::ok("connect", words));
    true
}

fn took(world: &RealWorld, begun: Duration) -> String {
    let ms = world.elapsed().saturating_sub(begun).as_millis();
    format!("{} ms", grouped(u64::try_from(ms).unwrap_or(u64::MAX)))
}

/// Posts the empty list, and again wherever a redirect leads that a pass would follow.
fn post(subject: &Subject, settings: &Settings, world: &RealWorld, checks: &mut Vec<Check>) {
    let configured = &settings.connection.endpoint;
    let mut route = Route::new(configured, None, subject.now);
    let mut visited = vec![configured.clone()];
    let begun = world.elapsed();
    loop {
        let reply = match world.post(route.place(), b"[]") {
            Ok(reply) => reply,
            Err(none) => {
                checks.push(no_reply(&none));
                return;
            }
        };
        if let Err(elsewhere) = verdict::judge(&reply, 0) {
            match route.follow(&elsewhere.0, &reply, &mut visited, subject.now) {
                Ok(()) => continue,
                Err(trouble) => {
                    checks.push(troubled(&trouble));
                    return;
                }
            }
        }
        if configured.scheme() == "https" {
            checks.push(Check::ok("tls", "the certificate is trusted"));
        }
        if visited.len() > 1 {
            let words = format!("followed to {}", route.place().host());
            checks.push(Check::ok("redirect", words));
        }
        checks.push(answer(&reply, &took(world, begun)));
        checks.push(server_clock(&reply, world));
        return;
    }
}

fn no_reply(why: &NoReply) -> Check {
    if let Some(distrust) = why.distrust() {
        return Check::misconfigured(
            "tls",
            format!("no trust in the server: {distrust}"),
            "if a proxy inspects TLS here, name its root with --ca-file, \"caFile\" in config.json, or SSL_CERT_FILE",
        );
    }
    if why.is_configuration() {
        return Check::misconfigured(
            "answer",
            format!("no reply: {why}"),
            "ask the administrator of the proxy for a user name and a password; write a special character in them as %XX",
        );
    }
    Check::problem(
        "answer",
        format!("no reply: {why}"),
        "check the network, the proxy, and the endpoint in the connection string; events are kept meanwhile",
    )
}

fn answer(reply: &Reply, took: &str) -> Check {
    const NAME: &str = "answer";
    let status = reply.status;
    // What the service says to nothing at all is not documented: the form of the answer counts.
    if verdict::is_breeze(reply) && matches!(status, 200 | 206 | 400) {
        let words = format!("{status} in the words of Application Insights, {took}");
        return Check::ok(NAME, words);
    }
    match verdict::judge(reply, 0) {
        Ok(Verdict::Leave(trouble) | Verdict::Again(trouble)) => troubled(&trouble),
        _ => Check::warning(
            NAME,
            format!("{status} to an empty list, without the words of Application Insights"),
            "if events do not arrive either, check IngestionEndpoint in the connection string",
        ),
    }
}

fn troubled(trouble: &Trouble) -> Check {
    const NAME: &str = "answer";
    let words = trouble.to_string();
    match trouble {
        Trouble::Quota(_) | Trouble::Status(429) => {
            Check::warning(NAME, words, "wait; events are kept meanwhile")
        }
        Trouble::NotBreeze(_) | Trouble::Portal(..) => Check::problem(
            NAME,
            words,
            "log in to the network with a browser, or check the proxy and the host in the connection string",
        ),
        Trouble::Redirected(_) => Check::problem(
            NAME,
            words,
            "copy the connection string from Azure's portal again, or check what redirects here",
        ),
        trouble if trouble.cure() == Cure::Configuration => Check::misconfigured(
            NAME,
            words,
            "compare with the resource in Azure's portal: Overview, Connection String",
        ),
        _ => Check::problem(NAME, words, "try again later; events are kept meanwhile"),
    }
}

fn server_clock(reply: &Reply, world: &RealWorld) -> Check {
    const NAME: &str = "server's clock";
    let now = world.now();
    let ahead = reply
        .date
        .as_deref()
        .and_then(|date| clock::ahead(date, now));
    let Some(ahead) = ahead else {
        return Check::ok(NAME, "the server does not say");
    };
    if !clock::differ(ahead) {
        return Check::ok(NAME, "agrees with this machine's");
    }
    let words = format!("this machine's clock is {} it", lag(ahead));
    let advice = "set the clock of this machine";
    if ahead.abs() > AHEAD_MAX {
        return Check::problem(NAME, words, advice);
    }
    Check::warning(NAME, words, advice)
}
