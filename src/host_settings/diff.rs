//! What changed between two texts, line by line, for a person to look at.

/// Lines shown around a change.
const CONTEXT: usize = 2;

/// Beyond so many pairs of lines the shortest difference is not looked for.
const PAIRS_MAX: usize = 4_000_000;

/// A line, and which text it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'a> {
    Both(&'a str),
    Before(&'a str),
    After(&'a str),
}

/// The lines that differ, `-` before those that go and `+` before those that come, with a little
/// around them.
pub(crate) fn show(before: &str, after: &str) -> Vec<String> {
    let (before, after): (Vec<&str>, Vec<&str>) = (lines(before), lines(after));
    let lines = compare(&before, &after);
    let near = |index: usize| {
        let around = index.saturating_sub(CONTEXT)..(index + CONTEXT + 1).min(lines.len());
        lines[around]
            .iter()
            .any(|line| !matches!(line, Line::Both(_)))
    };
    let mut shown = Vec::new();
    let mut skipped = false;
    for (index, line) in lines.iter().enumerate() {
        if !near(index) {
            skipped = true;
            continue;
        }
        if skipped && !shown.is_empty() {
            shown.push("  …".to_owned());
        }
        skipped = false;
        shown.push(match line {
            Line::Both(line) => format!("  {line}"),
            Line::Before(line) => format!("- {line}"),
            Line::After(line) => format!("+ {line}"),
        });
    }
    shown
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

fn compare<'a>(before: &[&'a str], after: &[&'a str]) -> Vec<Line<'a>> {
    let same = |(a, b): &(&&str, &&str)| a == b;
    let start = before.iter().zip(after).take_while(same).count();
    let (left, right) = (&before[start..], &after[start..]);
    let end = left
        .iter()
        .rev()
        .zip(right.iter().rev())
        .take_while(same)
        .count();
    let (left, right) = (&left[..left.len() - end], &right[..right.len() - end]);
    let mut lines: Vec<Line> = before[..start]
        .iter()
        .map(|line| Line::Both(line))
        .collect();
    lines.extend(shortest(left, right));
    lines.extend(
        before[before.len() - end..]
            .iter()
            .map(|line| Line::Both(line)),
    );
    lines
}

/// By the longest common subsequence.
fn shortest<'a>(before: &[&'a str], after: &[&'a str]) -> Vec<Line<'a>> {
    let width = after.len() + 1;
    let common = if before.len() * after.len() > PAIRS_MAX {
        Vec::new()
    } else {
        let mut common = vec![0_u32; (before.len() + 1) * width];
        for i in (0..before.len()).rev() {
            for j in (0..after.len()).rev() {
                common[i * width + j] = if before[i] == after[j] {
                    common[(i + 1) * width + j + 1] + 1
                } else {
                    common[(i + 1) * width + j].max(common[i * width + j + 1])
                };
            }
        }
        common
    };
    let at = |i: usize, j: usize| common.get(i * width + j).copied().unwrap_or(0);
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < before.len() || j < after.len() {
        if i < before.len() && j < after.len() && before[i] == after[j] {
            lines.push(Line::Both(before[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < before.len() && (j == after.len() || at(i + 1, j) >= at(i, j + 1)) {
            lines.push(Line::Before(before[i]));
            i += 1;
        } else {
            lines.push(Line::After(after[j]));
            j += 1;
        }
    }
    lines
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
        check(
            "a b c d e f g h",
            "x b c d e f g y",
            "- a|+ x|  b|  c|  …|  f|  g|- h|+ y",
        );
        check("a b c d", "b c x d", "- a|  b|  c|+ x|  d");
    }
}
