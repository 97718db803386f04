//! What changed between two texts, line by line, for a person to look at.

/// Lines shown around the change.
const CONTEXT: usize = 2;

/// Everything from the first line that differs to the last, `-` before the lines that go and `+` before
/// those that come, with a little around them.
pub(crate) fn show(before: &str, after: &str) -> Vec<String> {
    let (before, after): (Vec<&str>, Vec<&str>) =
        (before.lines().collect(), after.lines().collect());
    let same = |(a, b): &(&&str, &&str)| a == b;
    let head = before.iter().zip(&after).take_while(same).count();
    let (going, coming) = (&before[head..], &after[head..]);
    let tail = going
        .iter()
        .rev()
        .zip(coming.iter().rev())
        .take_while(same)
        .count();
    let (going, rest) = going.split_at(going.len() - tail);
    let coming = &coming[..coming.len() - tail];
    if going.is_empty() && coming.is_empty() {
        return Vec::new();
    }
    let marked = |mark: &'static str| move |line: &&str| format!("{mark} {line}");
    let lead = before[head.saturating_sub(CONTEXT)..head]
        .iter()
        .map(marked(" "));
    lead.chain(going.iter().map(marked("-")))
        .chain(coming.iter().map(marked("+")))
        .chain(rest.iter().take(CONTEXT).map(marked(" ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &str, after: &str, expected: &str) {
        let lines = |text: &str| text.replace(' ', "\n");
        assert_eq!(show(&lines(before), &lines(after)).join("|"), expected);
    }

    #[test]
    fn only_what_differs_is_shown_with_a_little_around_it() {
        check("a b c", "a b c", "");
        check("a b c d e", "a b x c d e", "  a|  b|+ x|  c|  d");
        check("a b c", "a x c", "  a|- b|+ x|  c");
        check("", "a b", "+ a|+ b");
        check("a b c d", "x b y d", "- a|- b|- c|+ x|+ b|+ y|  d");
        check("a a b", "a b", "  a|- a|  b");
        check("a b", "", "- a|- b");
    }
}
