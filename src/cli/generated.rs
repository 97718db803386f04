//! What is made of the same words as `--help`: the completions of shells and the manual page.

use super::{Cli, help};
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use std::io;

const NAME: &str = "telemetry-upload";

/// A shell.
#[derive(Args, Clone, Copy, Debug)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

impl Completions {
    /// What that shell is to read.
    pub fn text(self) -> String {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), NAME, &mut script);
        // For bash clap_complete 4.6.11 writes a name with a hyphen in two ways, and below a command
        // nothing would be completed.
        String::from_utf8_lossy(&script).replace("telemetry__subcmd__upload", "telemetry__upload")
    }
}

/// The manual page: one for the program and all its commands.
///
/// # Errors
/// None that writing into memory could have.
pub fn man() -> io::Result<String> {
    let mut command = Cli::command();
    command.build();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    let mut page = String::from_utf8_lossy(&page).into_owned();
    for sub in shown(&command) {
        // Of pages that are not there.
        let name = sub.get_name().replace('-', r"\-");
        let other_page = format!(r"telemetry\-upload\-{name}(1)");
        page = page.replace(&other_page, &format!(r"telemetry\-upload {name}"));
    }
    for sub in shown(&command) {
        page += &section(sub, sub.get_name())?;
        for below in shown(sub) {
            page += &section(below, &format!("{} {}", sub.get_name(), below.get_name()))?;
        }
    }
    Ok(page + &help::man_sections())
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

/// What the page says of a command.
fn section(command: &Command, name: &str) -> io::Result<String> {
    let man = clap_mangen::Man::new(command.clone());
    let mut parts = Vec::new();
    man.render_synopsis_section(&mut parts)?;
    man.render_description_section(&mut parts)?;
    man.render_options_section(&mut parts)?;
    let parts = below_another(&String::from_utf8_lossy(&parts));
    Ok(format!(".SH {}\n{parts}", name.to_uppercase()))
}

/// Sections become parts of one.
fn below_another(sections: &str) -> String {
    sections.replace("\n.SH ", "\n.SS ")
}
