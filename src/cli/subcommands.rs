//! The flags of each subcommand.

use super::{App, Application};
use crate::hosts::Host;
use crate::hosts::place::Scope;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// One event.
#[derive(Args, Debug)]
pub struct Record {
    /// What happened; without it, the event is the JSON object on standard input
    #[arg(value_name = "EVENT")]
    pub event: Option<String>,
    /// A property: true, false and numbers as such, anything else as text; the last of two wins, and one given here comes before standard input
    #[arg(short, long = "prop", value_name = "NAME=VALUE", value_parser = prop)]
    pub props: Vec<(String, String)>,
    /// Start a detached pass afterwards
    #[arg(long)]
    pub spawn: bool,
    /// Say what was recorded, or why nothing was
    #[arg(long)]
    pub verbose: bool,
    /// Whose event, and where it goes.
    #[command(flatten)]
    pub application: Application,
}

fn prop(text: &str) -> anyhow::Result<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => anyhow::bail!("a property is NAME=VALUE"),
    }
}

/// What an agent says.
#[derive(Args, Debug)]
pub struct Hook {
    /// Which agent, where the payload does not show it: auto, claude, copilot, codex, opencode, gemini or cursor
    #[arg(long, value_name = "HOST", default_value = "auto", value_parser = presumed(), hide_possible_values = true)]
    pub host: Presumed,
    /// Say what was recorded, or why nothing was
    #[arg(long)]
    pub verbose: bool,
    /// Standard input comes late; another process has waited for it before
    #[arg(long, hide = true)]
    pub late: bool,
    /// Whose event, and where it goes.
    #[command(flatten)]
    pub application: Application,
}

/// The host that whoever installed the hook presumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presumed(pub Option<Host>);

fn presumed() -> impl TypedValueParser<Value = Presumed> {
    let names = ["auto"].into_iter().chain(Host::ALL.map(Host::name));
    PossibleValuesParser::new(names).try_map(|name| match &name[..] {
        "auto" => Ok(Presumed(None)),
        name => Host::from_name(name).map(|host| Presumed(Some(host))),
    })
}

fn host() -> impl TypedValueParser<Value = Host> {
    PossibleValuesParser::new(Host::ALL.map(Host::name)).try_map(|name| Host::from_name(&name))
}

fn scope() -> impl TypedValueParser<Value = Scope> {
    PossibleValuesParser::new(Scope::ALL.map(Scope::name)).try_map(|name| Scope::from_name(&name))
}

/// The local endpoint.
#[derive(Args, Debug)]
pub struct Emulator {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8088)]
    pub port: u16,
    /// Append accepted events to this file, one envelope a line
    #[arg(long, value_name = "FILE")]
    pub store: Option<PathBuf>,
    /// Serve https with the certificate in this PEM file
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// The certificate's private key, a PEM file
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Misbehave as this file says, one JSON object a line for each request in turn
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
}

/// Hooks in the settings of the hosts.
#[derive(Args, Debug)]
pub struct Hooks {
    /// What to do with them
    #[command(subcommand)]
    pub action: HooksAction,
}

/// What can be done with hooks.
#[derive(Debug, Subcommand)]
pub enum HooksAction {
    /// Add them to the host's settings, whose other content stays as it is
    Install(HooksEdit),
    /// Take out exactly what `install` put there
    Uninstall(HooksEdit),
    /// Say where they are installed
    Status(HooksStatus),
    /// Print what `install` would add, and where, to do it by hand
    Print(HooksPlace),
}

/// A change of a host's settings.
#[derive(Args, Debug)]
pub struct HooksEdit {
    /// Where
    #[command(flatten)]
    pub place: HooksPlace,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// One host's settings.
#[derive(Args, Debug)]
pub struct HooksPlace {
    /// The host: claude, copilot, codex, opencode, gemini or cursor
    #[arg(long, value_name = "NAME", value_parser = host(), hide_possible_values = true)]
    pub host: Host,
    /// Whose settings: user, or project for those below the current directory
    #[arg(long, value_name = "NAME", value_parser = scope(), hide_possible_values = true, default_value = "user")]
    pub scope: Scope,
    /// For which application
    #[command(flatten)]
    pub app: App,
}

/// Which settings to look at.
#[derive(Args, Debug)]
pub struct HooksStatus {
    /// Only this host
    #[arg(long, value_name = "NAME", value_parser = host(), hide_possible_values = true)]
    pub host: Option<Host>,
    /// Only this scope, user or project
    #[arg(long, value_name = "NAME", value_parser = scope(), hide_possible_values = true)]
    pub scope: Option<Scope>,
    /// For which application
    #[command(flatten)]
    pub app: App,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
