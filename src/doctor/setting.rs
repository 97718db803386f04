//! What was decided: consent, config.json, the connection string, the proxy, the certificates.

use super::{Check, Subject};
use crate::consent::{Consent, Rule};
use crate::settings::{self, Limits, NoConnectionString};
use crate::world::{Directly, Proxies, RealWorld, Way};
use anyhow::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

pub(super) fn checks(subject: &Subject) -> Vec<Check> {
    let mut checks = vec![consent(subject)];
    match config(subject) {
        Ok(check) => checks.extend([check, connection_string(subject)]),
        // Without it nothing is known of the string either.
        Err(check) => checks.push(check),
    }
    checks.extend([proxy(subject), certificates(subject)]);
    checks
}

fn consent(subject: &Subject) -> Check {
    const NAME: &str = "consent";
    let Consent::Denied(rule) = &subject.consent else {
        return Check::ok(NAME, "telemetry is on");
    };
    let words = format!("telemetry is off: {rule}");
    match rule {
        Rule::Ci(_) => Check::warning(
            NAME,
            words,
            "nothing is recorded or sent here; set CI=false if this is no CI system",
        ),
        Rule::AppVariable(name) | Rule::UnknownWord(name, _) => {
            Check::warning(NAME, words, format!("unset {name} to turn it on"))
        }
        Rule::DoNotTrack => Check::warning(NAME, words, "unset DO_NOT_TRACK to turn it on"),
        Rule::NoConsentFile | Rule::NotGiven => {
            let advice = format!("{} asks whoever it is about", subject.command("consent"));
            Check::warning(NAME, words, advice)
        }
        Rule::NotEnabled => {
            let advice = format!("{} turns it on", subject.command("enable"));
            Check::warning(NAME, words, advice)
        }
        Rule::ConsentUnreadable(_) => {
            let file = subject.paths.consent();
            let advice = format!("mend {}, or move it away", file.display());
            Check::problem(NAME, words, advice)
        }
        Rule::ConsentRefused(_) => Check::problem(
            NAME,
            words,
            "make it a plain file of your own that nobody else may write, in a folder of your own",
        ),
    }
}

/// Whether config.json can be used, whatever connection string there is.
fn config(subject: &Subject) -> Result<Check, Check> {
    const NAME: &str = "config.json";
    let path = subject.paths.config();
    match Limits::resolve(&subject.flags.limits, subject.paths) {
        Ok(_) if fs::symlink_metadata(&path).is_ok() => Ok(Check::ok(NAME, "can be understood")),
        Ok(_) => Ok(Check::ok(NAME, "there is none; the defaults hold")),
        Err(err) => {
            let advice = format!("mend {}", path.display());
            Err(Check::misconfigured(NAME, without_values(&err), advice))
        }
    }
}

/// serde quotes a value of the wrong kind, and that may be a connection string in the wrong place.
fn without_values(err: &Error) -> String {
    match err.downcast_ref::<serde_json::Error>() {
        Some(cause) if cause.is_data() && !cause.to_string().starts_with("unknown field") => {
            format!(
                "{err}: a value of the wrong kind at line {} column {}",
                cause.line(),
                cause.column()
            )
        }
        _ => format!("{err:#}"),
    }
}

fn connection_string(subject: &Subject) -> Check {
    const NAME: &str = "connection string";
    let advice = format!(
        "copy it from Azure's portal (the Application Insights resource, Overview, Connection String) into {} as {{\"connectionString\": \"…\"}}",
        subject.paths.config().display()
    );
    match &subject.settings {
        // A bad one is described without its content; where there is none, what to do is the advice.
        Err(err) => {
            let words = match err.downcast_ref::<NoConnectionString>() {
                Some(_) => NoConnectionString::WORDS.to_owned(),
                None => format!("{err:#}"),
            };
            Check::misconfigured(NAME, words, advice)
        }
        Ok(settings) => {
            let connection = &settings.connection;
            let words = format!("events go to {}", connection.endpoint.authority());
            match connection.warning {
                Some(warning) => Check::warning(NAME, format!("{words}; {warning}"), advice),
                None => Check::ok(NAME, words),
            }
        }
    }
}

fn proxy(subject: &Subject) -> Check {
    const NAME: &str = "proxy";
    let proxies = Proxies::read(subject.env);
    let way = match &subject.settings {
        Ok(settings) => proxies.way_to(&settings.connection.endpoint),
        Err(_) => proxies.way_out(),
    };
    match way {
        Way::Direct(Directly::NoneNamed) => Check::ok(NAME, "none"),
        Way::Direct(why @ Directly::PlainHttpOnly(_)) => Check::warning(
            NAME,
            format!("none: {why}"),
            "if a proxy is needed here, name it in HTTPS_PROXY",
        ),
        Way::Direct(why) => Check::ok(NAME, format!("none: {why}")),
        Way::Through(proxy) if proxy.name.resolves_here() => {
            let name = proxy.name;
            let words = format!("{name}; host names are looked up here, with socks5h:// there");
            Check::ok(NAME, words)
        }
        Way::Through(proxy) => Check::ok(NAME, proxy.name.to_string()),
        Way::Unusable(proxy) => {
            Check::misconfigured(NAME, format!("{proxy}, so nothing is sent"), proxy.advice())
        }
    }
}

fn certificates(subject: &Subject) -> Check {
    const NAME: &str = "certificates";
    let ca_file = settings::ca_file(subject.flags, subject.paths);
    let ca_file = ca_file.unwrap_or_else(|_| subject.flags.ca_file.clone());
    if let Some(path) = ca_file {
        return match RealWorld::new(&subject.limits(), Some(&path), subject.env) {
            Ok(_) => Check::ok(NAME, format!("only those in {}", path.display())),
            Err(err) => Check::misconfigured(
                NAME,
                format!("{err:#}"),
                "name a readable PEM file with --ca-file, or with \"caFile\" in config.json",
            ),
        };
    }
    let mut named = Vec::new();
    for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        let value = subject.env.get(variable).map_or("", String::as_str);
        let split = if variable.ends_with("DIR") {
            std::env::split_paths(value).collect()
        } else {
            vec![PathBuf::from(value)]
        };
        for path in split.iter().filter(|path| !path.as_os_str().is_empty()) {
            if let Err(why) = readable(path) {
                return Check::misconfigured(
                    NAME,
                    format!("{variable} names {}: {why}", path.display()),
                    format!(
                        "write the whole path of something readable into {variable}, or unset it"
                    ),
                );
            }
            named.push(variable);
        }
    }
    named.dedup();
    if named.is_empty() {
        return Check::ok(NAME, "those built in, and those that the system trusts");
    }
    Check::ok(NAME, format!("those of {}", named.join(" and ")))
}

/// A detached pass has another current folder, where a relative path leads elsewhere.
fn readable(path: &Path) -> Result<(), String> {
    if path.is_relative() {
        return Err("it is relative, and a detached pass runs in another folder".to_owned());
    }
    let open = || {
        if fs::metadata(path)?.is_dir() {
            fs::read_dir(path).map(drop)
        } else {
            File::open(path).map(drop)
        }
    };
    open().map_err(|err| err.to_string())
}
