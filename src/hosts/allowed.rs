//! What of a host's payload may be known, and in which words. The rules are lists of what is allowed;
//! whatever is in no list is `other`, or left out. A payload may hold anything anywhere.

use crate::privacy;

/// The word for what is in no list.
const OTHER: &str = "other";

/// Why a session begins.
pub(super) fn trigger(word: Option<&str>) -> &'static str {
    const WORDS: [&str; 6] = ["startup", "new", "resume", "clear", "compact", "fork"];
    one_of(&WORDS, word)
}

/// Why a session ends.
pub(super) fn reason(word: Option<&str>) -> &'static str {
    const WORDS: [&str; 14] = [
        "clear",
        "resume",
        "logout",
        "prompt_input_exit",
        "complete",
        "completed",
        "exit",
        "error",
        "abort",
        "aborted",
        "timeout",
        "user_exit",
        "user_close",
        "window_close",
    ];
    one_of(&WORDS, word)
}

fn one_of(words: &[&'static str], word: Option<&str>) -> &'static str {
    let known = words.iter().find(|known| Some(**known) == word);
    known.copied().unwrap_or(OTHER)
}

/// Longer than the name of any command seen.
const COMMAND_BYTES_MAX: usize = 64;

/// Longer than any word in such a name; a token or a number of somebody's is longer.
const WORD_BYTES_MAX: usize = 18;

/// A slash command that the host names, with its slash: the name its author chose for it.
pub(super) fn named_command(name: &str) -> Option<String> {
    let name = name.strip_prefix('/').unwrap_or(name);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':');
    let is_name = name.len() <= COMMAND_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(plain)
        && name
            .split(['-', '_', ':'])
            .all(|word| word.len() <= WORD_BYTES_MAX)
        && !privacy::looks_personal(name);
    is_name.then(|| format!("/{name}"))
}

/// The slash command that a prompt begins with. Nothing behind its first word is looked at.
pub(super) fn typed_command(prompt: &str) -> Option<String> {
    /// "/tmp is full" is no command.
    const FOLDERS: &str = "app applications bin boot data dev etc home lib library media mnt nix opt private proc projects repos root run sbin snap srv sys system tmp users usr var volumes work workspace workspaces";
    let word = prompt.split_whitespace().next()?;
    let name = prompt.strip_prefix('/').and(word.strip_prefix('/'))?;
    // Commands are written small; a name of a person, or of a folder on macOS, is not.
    let is_path = name.starts_with('/')
        || name.contains(|c: char| c.is_uppercase())
        || FOLDERS.split(' ').any(|folder| name == folder);
    if is_path { None } else { named_command(name) }
}

/// Two or three numbers with dots between them; four might be an address.
pub(super) fn is_version(text: &str) -> bool {
    let is_short = |part: &str| (1..=6).contains(&part.len()) && is_digits(part);
    (2..=3).contains(&text.split('.').count()) && text.split('.').all(is_short)
}

/// The name of a model, as far as its maker chose it: a family, and behind it versions, sizes and the
/// usual words. It ends where a word begins that somebody else may have chosen.
pub(super) fn model(name: &str) -> String {
    const FAMILIES: &str = "claude codex deepseek devstral gemini gemma glm gpt grok kimi llama minimax mistral o phi qwen";
    const WORDS: &str = "a b chat code codex coder exp fast flash haiku high instruct k large latest lite low m max medium mini nano o opus preview pro r reasoner small sonnet t thinking turbo v";
    let name = name.to_ascii_lowercase();
    // Other parties put their own names in front.
    let name = name.rsplit('/').next().unwrap_or_default();
    let name = name.rsplit("anthropic.").next().unwrap_or_default();
    let letters = |part: &str| part.trim_matches(|c: char| c.is_ascii_digit()).to_owned();
    let is_among = |words: &str, part: &str| words.split(' ').any(|word| word == letters(part));
    let (mut known, mut digits) = (0, 0);
    for part in name.split_inclusive(['-', '.', ':', '[', ']', '@', '_']) {
        let bare = part.trim_end_matches(['-', '.', ':', '[', ']', '@', '_']);
        let words = if known == 0 { FAMILIES } else { WORDS };
        digits += bare.bytes().filter(u8::is_ascii_digit).count();
        if digits > DIGITS_MAX || !is_among(words, bare) && (known == 0 || !is_number(bare)) {
            break;
        }
        known += part.len();
    }
    match name[..known].trim_end_matches(['-', '.', ':', '[', '@', '_']) {
        "" => OTHER.to_owned(),
        known => known.to_owned(),
    }
}

/// The digits in the longest name of a model, with its date; a number with which one can pay or call
/// has more.
const DIGITS_MAX: usize = 12;

/// A version or a size, a year, a month and a day, or all three.
fn is_number(text: &str) -> bool {
    is_digits(text) && (text.len() <= 4 || text.len() == 8 && text.starts_with("20"))
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_word_that_is_in_no_list_is_other() {
        assert_eq!(trigger(Some("resume")), "resume");
        assert_eq!(reason(Some("prompt_input_exit")), "prompt_input_exit");
        for odd in [None, Some(""), Some("Resume"), Some("alice@example.com")] {
            assert_eq!((trigger(odd), reason(odd)), (OTHER, OTHER), "{odd:?}");
        }
    }

    fn check_typed(prompt: &str, expected: Option<&str>) {
        assert_eq!(typed_command(prompt).as_deref(), expected, "{prompt:?}");
    }

    #[test]
    fn the_first_word_of_a_prompt_is_a_command_if_it_is_a_slash_and_a_name() {
        check_typed("/commit", Some("/commit"));
        check_typed("/research-codebase where is it", Some("/research-codebase"));
        check_typed("/plugin:commit\nmore", Some("/plugin:commit"));
        for prompt in [
            "",
            "/",
            "/ commit",
            " /commit",
            "commit",
            "//commit",
            "/home/alice/x.txt is broken",
            "/tmp is full",
            "/Users",
            "/commit.sh",
            "/alice@example.com",
            "/1",
            "/\u{e9}t\u{e9}",
            "/sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789ABCDEF",
            "./commit.sh",
            "/Mueller is sick",
            "/workspace is full",
            "/de89370400440532013000",
            "/eyjhbgcioijiuzi1nij9",
        ] {
            check_typed(prompt, None);
        }
        check_typed(&format!("/{}", "x".repeat(65)), None);
    }

    #[test]
    fn a_named_command_may_come_with_its_slash() {
        for name in ["commit", "/commit"] {
            assert_eq!(named_command(name).as_deref(), Some("/commit"));
        }
        // Where the host says it is a command there is no doubt about folders.
        assert_eq!(named_command("run").as_deref(), Some("/run"));
        assert_eq!(named_command("run it with --key=1"), None);
        assert_eq!(named_command("eyJhbGciOiJIUzI1NiJ9"), None);
        assert_eq!(named_command("DE89370400440532013000"), None);
    }

    #[test]
    fn a_version_is_numbers_and_dots() {
        for version in ["1.0", "2.1.329"] {
            assert!(is_version(version), "{version}");
        }
        for odd in [
            "",
            "1",
            "1.",
            "1..2",
            "1.2.3.4",
            "v1.2",
            "1.2-alice",
            "1.1234567",
        ] {
            assert!(!is_version(odd), "{odd}");
        }
    }

    fn check_model(name: &str, expected: &str) {
        assert_eq!(model(name), expected, "{name}");
    }

    #[test]
    fn a_models_name_is_kept_as_far_as_its_maker_chose_it() {
        for name in [
            "claude-sonnet-4-5-20250929",
            "claude-opus-4-5[1m]",
            "gpt-5.1-codex-max",
            "gpt-4o",
            "o3-mini",
            "gemini-2.5-pro",
            "qwen3-coder:30b",
            "deepseek-v3.2-exp",
            "grok-code-fast-1",
            "kimi-k2-thinking",
        ] {
            check_model(name, name);
        }
        check_model("anthropic/claude-sonnet-4.5", "claude-sonnet-4.5");
        check_model(
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "claude-sonnet-4-5-20250929-v1:0",
        );
        check_model("gpt-4.1-2025-04-14", "gpt-4.1-2025-04-14");
        check_model("gpt-4-1234-5678-9012-3456", "gpt-4-1234-5678");
        check_model("gpt-0176-1234567", "gpt-0176");
        check_model("claude-19870512", "claude");
        check_model("gpt-4o-acme-secret-2", "gpt-4o");
        check_model("llama3-of-alice@example.com", "llama3");
        for odd in [
            "",
            "alice",
            "ft:gpt-4o:acme",
            "/home/alice/model.gguf",
            "claude/alice",
            "-",
            "[]",
        ] {
            check_model(odd, OTHER);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_only_short_ascii_passes(text in any::<String>()) {
            for passed in [named_command(&text), typed_command(&text), Some(model(&text))] {
                let passed = passed.unwrap_or_default();
                prop_assert!(passed.len() <= text.len().max(OTHER.len()) + 1);
                prop_assert!(passed.is_ascii());
            }
        }
    }
}
