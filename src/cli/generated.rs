//! What is made of the same words as `--help`: the completions of shells and the manual page.

use super::{Cli, help};
use clap::{Args, CommandFactory};
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
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let title = format!(".SH {}\n", sub.get_name().to_uppercase());
        page.extend_from_slice(title.as_bytes());
        let man = clap_mangen::Man::new(sub.clone());
        let mut sections = Vec::new();
        man.render_synopsis_section(&mut sections)?;
        man.render_description_section(&mut sections)?;
        man.render_options_section(&mut sections)?;
        page.extend(below_another(&String::from_utf8_lossy(&sections)).bytes());
    }
    page.extend(help::man_sections().bytes());
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// Sections become parts of one.
fn below_another(sections: &str) -> String {
    sections.replace("\n.SH ", "\n.SS ")
}
