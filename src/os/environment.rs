//! The environment: as text for decisions, and byte for byte for folders and for children.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::Command;

/// The environment. A value that is not UTF-8 must not vanish: it may be an opt-out.
pub fn environment() -> BTreeMap<String, String> {
    let lossy = |text: OsString| text.to_string_lossy().into_owned();
    std::env::vars_os()
        .map(|(name, value)| (lossy(name), lossy(value)))
        .collect()
}

/// A variable of that environment with the bytes it was set to. Where it was given otherwise, by a test or
/// by a host, that is its value.
pub fn variable(env: &BTreeMap<String, String>, name: &str) -> Option<OsString> {
    let text = env.get(name)?;
    let own = std::env::var_os(name).filter(|own| own.to_string_lossy() == **text);
    Some(own.unwrap_or_else(|| text.into()))
}

/// Gives a child that environment. What is the same in our own is inherited with the bytes it has.
pub fn hand_on(command: &mut Command, env: &BTreeMap<String, String>) {
    let own = environment();
    for name in own.keys().filter(|name| !env.contains_key(*name)) {
        command.env_remove(name);
    }
    command.envs(
        env.iter()
            .filter(|(name, value)| own.get(*name) != Some(*value)),
    );
}
