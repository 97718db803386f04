//! Runs `telemetry-upload` beside a peer and the floors, in turn, against the same local server, and prints
//! what each took and which targets are met. Ends with 1 if one is missed that is a ratio to the peer.

mod cases;
mod certificate;
mod run;
mod server;
mod table;
mod targets;

use anyhow::{Context, Result, ensure};
use cases::Case;
use clap::Parser;
use run::{Entrant, Kind, Stage, Trust};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use table::{Outcome, Series};

/// Where Debian, Fedora and Alpine have the system's authorities.
const SYSTEM_BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

#[derive(Parser)]
#[command(about = "Compares telemetry-upload with a peer and the floors, and prints ratios")]
struct Arguments {
    /// A build of ours, instead of the one made here; several are compared with each other
    #[arg(long, value_name = "[NAME=]PATH")]
    binary: Vec<String>,
    /// Only these cases, with commas between: the names of the tables, and 1500000-one
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds of each case, instead of as many as it has
    #[arg(long, value_name = "COUNT")]
    rounds: Option<usize>,
    /// How much later a server far away answers
    #[arg(long, value_name = "MS", default_value_t = 30)]
    delay_ms: u64,
    /// With 1,500,000 events, too: a few minutes more
    #[arg(long)]
    all: bool,
    /// Trust the system's authorities, too, as everyone has to who is not told of one
    #[arg(long)]
    system_roots: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let own_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    build(own_folder, "--bins")?;
    let programs = std::env::current_exe()?
        .parent()
        .context("no folder")?
        .to_owned();
    let folder = tempfile::tempdir()?;
    let certificate = certificate::make(folder.path())?;
    let trust = if arguments.system_roots {
        Trust::System(bundle(folder.path(), &certificate.authority)?)
    } else {
        Trust::Authority
    };
    let ours = match &arguments.binary[..] {
        [] => vec![named(
            "ours",
            build(&own_folder.join("../.."), "--bin=telemetry-upload")?,
            Kind::Ours,
        )],
        given => given
            .iter()
            .map(|given| binary(given))
            .collect::<Result<_>>()?,
    };
    let stage = Stage {
        folder: folder.path().to_owned(),
        certificate,
        programs,
        trust,
    };
    let cases = cases::all(arguments.delay_ms).into_iter();
    let cases: Vec<Case> = cases.filter(|case| arguments.wants(case)).collect();
    ensure!(!cases.is_empty(), "no case has such a name");
    let mut outcomes = Vec::new();
    for case in cases {
        let outcome = compare(&stage, case, &ours, arguments.rounds)?;
        println!("{}", outcome.table());
        outcomes.push(outcome);
    }
    let mut is_missed = false;
    for (number, one) in ours.iter().enumerate() {
        let (text, missed) = targets::judge(&outcomes, one);
        println!("{text}");
        is_missed |= missed && number == 0;
    }
    Ok(ExitCode::from(u8::from(is_missed)))
}

impl Arguments {
    fn wants(&self, case: &Case) -> bool {
        match &self.only[..] {
            [] => self.all || case.events <= 150_000,
            names => names.iter().any(|name| case.name == name),
        }
    }
}

/// Runs everyone in turn, in each round from another one on.
fn compare(stage: &Stage, case: Case, ours: &[Entrant], rounds: Option<usize>) -> Result<Outcome> {
    let rivals = case.rivals.iter().map(|kind| {
        let name = match kind {
            Kind::Empty => "empty",
            Kind::Append => "append",
            Kind::Peer | Kind::Ours => "peer",
        };
        named(name, stage.programs.join(name), *kind)
    });
    let mut all: Vec<Series> = ours
        .iter()
        .cloned()
        .chain(rivals)
        .map(|entrant| Series {
            entrant,
            runs: Vec::new(),
        })
        .collect();
    let rounds = rounds.unwrap_or(case.rounds);
    let count = all.len();
    for round in 0..rounds {
        eprintln!("{}: round {} of {rounds}", case.name, round + 1);
        for turn in 0..count {
            let one = &mut all[(round + turn) % count];
            one.runs.push(run::run(stage, &case, &one.entrant)?);
        }
    }
    Ok(Outcome { case, all })
}

fn named(name: &str, program: PathBuf, kind: Kind) -> Entrant {
    Entrant {
        name: name.to_owned(),
        program,
        kind,
    }
}

/// A build of ours that was given: a path, perhaps with a name in front.
fn binary(given: &str) -> Result<Entrant> {
    let (name, path) = given.split_once('=').unwrap_or((given, given));
    let path = fs::canonicalize(path).with_context(|| format!("cannot find {path}"))?;
    Ok(named(name, path, Kind::Ours))
}

/// Builds a package's programs as they are released, and says where the last one is.
fn build(folder: &Path, what: &str) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--locked", what])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(folder)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "cannot build {}", folder.display());
    let messages = String::from_utf8_lossy(&output.stdout);
    let messages = messages
        .lines()
        .rev()
        .map(serde_json::from_str::<serde_json::Value>);
    let mut programs = messages
        .flatten()
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    programs.next().context("cargo built no program")
}

/// The system's authorities and the server's in one file.
fn bundle(folder: &Path, authority: &Path) -> Result<PathBuf> {
    let mut found = SYSTEM_BUNDLES.iter().filter_map(|path| fs::read(path).ok());
    let mut all = found
        .next()
        .context("cannot find the system's authorities")?;
    all.extend(fs::read(authority)?);
    let path = folder.join("bundle.pem");
    fs::write(&path, all)?;
    Ok(path)
}
