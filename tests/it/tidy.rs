//! House rules that a machine can see.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use telemetry_upload::event::DropReason;
use telemetry_upload::exit::Exit;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// Every source file, with its product lines: what stands before its tests.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, files: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, files);
            } else {
                let text = fs::read_to_string(&path).unwrap();
                let product = text
                    .split("#[cfg(test)]\nmod tests")
                    .next()
                    .unwrap()
                    .to_owned();
                files.push((
                    path.strip_prefix(root()).unwrap().display().to_string(),
                    product,
                ));
            }
        }
    }
    let mut files = Vec::new();
    walk(&root().join("src"), &mut files);
    files.sort();
    files
}

#[test]
fn no_function_has_more_than_70_lines() {
    for (name, text) in sources() {
        let mut begun: Option<(usize, usize, &str)> = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let head = line.trim_start();
            let is_fn = ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn "]
                .iter()
                .any(|start| head.starts_with(start));
            if begun.is_none() && is_fn && !line.ends_with([';', '}']) {
                begun = Some((number, indent, line));
            }
            if let Some((first, depth, head)) = begun
                && line.trim_end() == format!("{}}}", " ".repeat(depth))
            {
                assert!(
                    number - first < 70,
                    "{name}: {head} has {} lines",
                    number - first + 1
                );
                begun = None;
            }
        }
    }
}

#[test]
fn each_crate_is_named_in_one_file() {
    for name in [
        "anstream",
        "anstyle",
        "clap",
        "clap_complete",
        "clap_mangen",
        "close_fds",
        "directories",
        "flate2",
        "fs2",
        "libc",
        "rustix",
        "rustls",
        "ureq",
        "uuid",
        "httparse",
    ] {
        let users: BTreeSet<String> = sources()
            .into_iter()
            .filter(|(_, text)| {
                text.lines().any(|line| {
                    !line.trim_start().starts_with("//") && line.contains(&format!("{name}::"))
                })
            })
            // The flags of the subcommands are parts of cli.rs that have files of their own; so has the
            // world's network.
            .map(|(file, _)| {
                let parts = [
                    ("src/cli/", "src/cli.rs"),
                    ("src/os/unix/", "src/os/unix.rs"),
                    ("src/world/", "src/world.rs"),
                ];
                let whole = parts.iter().find(|(folder, _)| file.starts_with(folder));
                whole.map_or(file, |(_, whole)| (*whole).to_owned())
            })
            .collect();
        assert_eq!(users.len(), 1, "{name}: {users:?}");
    }
}

#[test]
fn the_readme_lists_every_exit_code_and_drop_reason() {
    let readme = read("README.md");
    for exit in Exit::ALL {
        let row = format!("| {} | {}", exit.code(), exit.words());
        assert!(readme.contains(&row), "{row}");
    }
    for reason in DropReason::ALL {
        assert!(
            readme.contains(&format!("`{}`", reason.key())),
            "{}",
            reason.key()
        );
    }
}

#[test]
fn the_readme_lists_every_file_we_write() {
    let readme = read("README.md");
    for name in [
        "telemetry-events-late.jsonl",
        "uploader.lock",
        "detached.lock",
        "consent.lock",
        "sessions/",
        ".cursor",
        "state.json",
        "rejected.jsonl",
        "sent.jsonl",
        "upload.log",
        "config.json",
        "telemetry.json",
        "telemetry-upload-<app>.service",
        "telemetry-upload-<app>.timer",
        "telemetry-upload.<app>.plist",
        "install-manifest",
    ] {
        assert!(readme.contains(name), "{name}");
    }
}

#[test]
fn no_figure_is_left_open_in_the_readme() {
    let readme = read("README.md");
    let is_placeholder = |word: &&str| {
        let is_plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
        !word.is_empty() && word.chars().all(is_plain)
    };
    let open: Vec<&str> = readme.split('@').filter(is_placeholder).collect();
    assert_eq!(open, [] as [&str; 0]);
}

#[test]
fn the_version_and_its_day_are_in_the_changelog() {
    let heading = format!(
        "## {} - {}",
        env!("CARGO_PKG_VERSION"),
        telemetry_upload::settings::RELEASED_ON
    );
    assert!(read("CHANGELOG.md").contains(&heading), "{heading}");
}

#[test]
fn no_vague_names() {
    let banned: BTreeSet<&str> = [
        "Manager",
        "Handler",
        "Helper",
        "Service",
        "Processor",
        "Util",
    ]
    .into();
    for (name, text) in sources() {
        for line in text.lines().filter(|line| {
            ["struct ", "enum ", "trait ", "mod "]
                .iter()
                .any(|word| line.contains(word))
        }) {
            assert!(
                !banned.iter().any(|word| line.contains(word)),
                "{name}: {line}"
            );
        }
    }
}
