//! A job as a launch agent of macOS.

use super::quote;
use super::{Every, Job};
use std::fmt::Write;

const HEAD: &str = "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">
";

/// Its processes stand behind everything else.
const RESTRAINT: &str = "    <key>RunAtLoad</key>
    <false/>
    <key>ProcessType</key>
    <string>Background</string>
    <key>LowPriorityIO</key>
    <true/>
    <key>LowPriorityBackgroundIO</key>
    <true/>
    <key>Nice</key>
    <integer>10</integer>
</dict>
</plist>
";

/// Its label, which is its file's name without the ending.
pub(super) fn label(app: &str) -> String {
    format!("telemetry-upload.{app}")
}

/// A line by which we know what is ours.
const MARK: &str =
    "<!-- Made by telemetry-upload; it has a command that takes it away: schedule remove -->\n";

/// Whether this is our agent for this application.
pub(super) fn is_ours(agent: &str, app: &str) -> bool {
    agent.contains(MARK) && agent.contains(&string(&label(app), 1))
}

/// The agent's file.
pub(super) fn agent(job: &Job) -> String {
    let mut text = format!("{HEAD}{MARK}<plist version=\"1.0\">\n<dict>\n");
    text += &key("Label", 1);
    text += &string(&label(&job.app), 1);
    text += &key("ProgramArguments", 1);
    text += "    <array>\n";
    for word in job.command() {
        text += &string(word, 2);
    }
    text += "    </array>\n";
    if !job.variables.is_empty() {
        text += &key("EnvironmentVariables", 1);
        text += "    <dict>\n";
        for (name, value) in &job.variables {
            text += &key(name, 2);
            text += &string(value, 2);
        }
        text += "    </dict>\n";
    }
    text += &key("StartInterval", 1);
    let _ = writeln!(text, "    <integer>{}</integer>", job.every.seconds());
    text + RESTRAINT
}

/// How often an agent of ours runs.
pub(super) fn every(agent: &str) -> Option<Every> {
    let after = agent.split("<key>StartInterval</key>").nth(1)?;
    let seconds: u32 = between(after, "<integer>", "</integer>")?.parse().ok()?;
    Some(Every::of_minutes(seconds / 60))
}

/// The program that it starts, and its arguments.
pub(super) fn command(agent: &str) -> Vec<String> {
    let after = agent.split("<key>ProgramArguments</key>").nth(1);
    let array = after.and_then(|after| between(after, "<array>", "</array>"));
    let strings = array.unwrap_or_default().split("<string>").skip(1);
    let words = strings.filter_map(|string| string.split("</string>").next());
    words.map(quote::from_xml).collect()
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    text.split(open).nth(1)?.split(close).next()
}

fn key(name: &str, depth: usize) -> String {
    format!("{}<key>{}</key>\n", "    ".repeat(depth), quote::xml(name))
}

fn string(value: &str, depth: usize) -> String {
    format!(
        "{}<string>{}</string>\n",
        "    ".repeat(depth),
        quote::xml(value)
    )
}

#[cfg(test)]
mod tests {
    use super::super::job::tests::hard_job;
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let job = hard_job();
        let text = agent(&job);
        assert!(
            text.contains("<string>/home/a b/&lt;&amp;&gt;/\"data\"/$HOME</string>"),
            "{text}"
        );
        assert_eq!(command(&text), job.command());
        assert_eq!(every(&text), Some(job.every));
        assert!(is_ours(&text, "my-tool") && !is_ours(&text, "my"));
    }
}
