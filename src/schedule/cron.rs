//! A job as a block of lines in a crontab, every other byte of which stays as it is.

use super::quote;
use super::{Every, Job};
use anyhow::{Result, bail};

/// Longer commands are cut off, or refused with the whole crontab, by some of them.
const LINE_BYTES_MAX: usize = 990;

/// Our block.
///
/// # Errors
/// What cron cannot do, or cannot be told.
pub(super) fn block(job: &Job) -> Result<String> {
    let when = when(job.every, job.spread)?;
    let assignments = job.variables.iter();
    let mut words: Vec<String> = assignments
        .map(|(name, value)| format!("{name}={}", quote::cron(value)))
        .collect();
    words.extend(job.command().map(quote::cron));
    let command = words.join(" ");
    let has_backslash = |text: &String| text.contains('\\');
    let mut values = job.variables.iter().map(|(_, value)| value);
    if has_backslash(&job.program) || has_backslash(&job.data_dir) || values.any(has_backslash) {
        bail!("a crontab cannot be told a path or a variable with a backslash in it");
    }
    let line = format!("{when} {command} >/dev/null 2>&1");
    if line.len() > LINE_BYTES_MAX {
        bail!(
            "the line would have {} bytes, and cron takes {LINE_BYTES_MAX}",
            line.len()
        );
    }
    Ok(format!("{}\n{line}\n{}\n", begin(&job.app), end(&job.app)))
}

/// When: minutes and hours as lists, which every cron understands.
fn when(every: Every, spread: u32) -> Result<String> {
    let list = |from: u32, step: u32, end: u32| {
        let numbers: Vec<String> = (from..end)
            .step_by(step.max(1) as usize)
            .map(|number| number.to_string())
            .collect();
        numbers.join(",")
    };
    let (minutes, hours) = (every.minutes(), every.minutes() / 60);
    if minutes < 60 && 60 % minutes == 0 {
        let minutes = list(spread % minutes, minutes, 60);
        return Ok(format!("{minutes} * * * *"));
    }
    if minutes % 60 != 0 || 24 % hours != 0 {
        bail!(
            "cron cannot do {every}: it can do 15m, 20m, 30m, 1h, 2h, 3h, 4h, 6h, 8h, 12h and 24h"
        );
    }
    let minute = spread % 60;
    if hours == 1 {
        return Ok(format!("{minute} * * * *"));
    }
    Ok(format!(
        "{minute} {} * * *",
        list(spread / 60 % hours, hours, 24)
    ))
}

/// The crontab with this block in the place of ours, or at its end.
///
/// # Errors
/// Our marks stand in it in a way that is not ours.
pub(super) fn with(crontab: &[u8], app: &str, block: &str) -> Result<Vec<u8>> {
    let (before, after) = match find(crontab, app)? {
        Some((begin, end)) => (&crontab[..begin], &crontab[end..]),
        None => (crontab, &[][..]),
    };
    let glue: &[u8] = if before.is_empty() || before.ends_with(b"\n") {
        b""
    } else {
        b"\n"
    };
    Ok([before, glue, block.as_bytes(), after].concat())
}

/// The crontab without our block, if it is there.
///
/// # Errors
/// As [`with`].
pub(super) fn without(crontab: &[u8], app: &str) -> Result<Option<Vec<u8>>> {
    let cut = |(begin, end): (usize, usize)| [&crontab[..begin], &crontab[end..]].concat();
    Ok(find(crontab, app)?.map(cut))
}

/// Our line, if it is there.
///
/// # Errors
/// As [`with`].
pub(super) fn line(crontab: &[u8], app: &str) -> Result<Option<String>> {
    let ours = |(begin, end): (usize, usize)| {
        let block = String::from_utf8_lossy(&crontab[begin..end]);
        block.lines().nth(1).unwrap_or_default().to_owned()
    };
    Ok(find(crontab, app)?.map(ours))
}

/// How often a line of ours runs.
pub(super) fn every(line: &str) -> Option<Every> {
    let mut fields = line.split(' ');
    let mut count = |all: u32| {
        let field = fields.next()?;
        let listed = u32::try_from(field.split(',').count()).ok()?;
        Some(if field == "*" { all } else { listed })
    };
    let runs = count(60)? * count(24)?;
    Some(Every::of_minutes(24 * 60 / runs.max(1)))
}

/// The program that it starts, and its arguments.
pub(super) fn command(line: &str) -> Vec<String> {
    let is_assignment = |word: &String| {
        word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        })
    };
    quote::words(line)
        .into_iter()
        .skip(5)
        .skip_while(is_assignment)
        .take_while(|word| !word.starts_with('>'))
        .collect()
}

fn begin(app: &str) -> String {
    format!("# BEGIN telemetry-upload {app}")
}

fn end(app: &str) -> String {
    format!("# END telemetry-upload {app}")
}

/// Where our block is: the offset of its first byte, and that behind its last.
fn find(crontab: &[u8], app: &str) -> Result<Option<(usize, usize)>> {
    let (begin, end) = (begin(app), end(app));
    let (mut begins, mut ends, mut offset) = (Vec::new(), Vec::new(), 0);
    for line in crontab.split_inclusive(|byte| *byte == b'\n') {
        // An editor of Windows' may have been at work.
        let text = line.trim_ascii_end();
        if text == begin.as_bytes() {
            begins.push(offset);
        }
        offset += line.len();
        if text == end.as_bytes() {
            ends.push(offset);
        }
    }
    match (&begins[..], &ends[..]) {
        ([], []) => Ok(None),
        ([begin], [end]) if begin < end => {
            let block = &crontab[*begin..*end];
            if block.split_inclusive(|byte| *byte == b'\n').count() > 3 {
                bail!(
                    "more than our own line stands in the crontab between our marks; move it elsewhere with \
                     crontab -e"
                );
            }
            Ok(Some((*begin, *end)))
        }
        _ => bail!(
            "the crontab does not hold \"{begin}\" and \"{end}\" once each, in this order; set it right with \
             crontab -e"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::job::tests::hard_job;
    use super::*;

    const OTHERS: &[u8] = b"# mine \xff\nMAILTO=me\n\n*/5 * * * * a %b\n";

    #[test]
    fn what_is_written_is_quoted_for_cron_and_reads_back() {
        let job = hard_job();
        let block = block(&job).unwrap();
        let expected = concat!(
            "# BEGIN telemetry-upload my-tool\n",
            r#"40 * * * * HTTPS_PROXY='http://u:p'\%'40$x@proxy:8080/' NO_PROXY='a, "b"' "#,
            r#"'/home/a b/100'\%'/it'\''s/$x/telemetry-upload' --app my-tool --data-dir '/home/a b/<&>/"data"/$HOME'"#,
            " >/dev/null 2>&1\n",
            "# END telemetry-upload my-tool\n",
        );
        assert_eq!(block, expected);
        let line = line(block.as_bytes(), "my-tool").unwrap().unwrap();
        assert_eq!(command(&line), job.command());
        assert_eq!(every(&line), Some(job.every));
    }

    #[test]
    fn runs_are_spread_over_the_time_between_them() {
        for (minutes, spread, expected) in [
            (15, 7, "7,22,37,52 * * * *"),
            (20, 59, "19,39,59 * * * *"),
            (30, 60, "0,30 * * * *"),
            (60, 61, "1 * * * *"),
            (120, 61, "1 1,3,5,7,9,11,13,15,17,19,21,23 * * *"),
            (360, 0, "0 0,6,12,18 * * *"),
            (1440, u32::MAX, "15 4 * * *"),
        ] {
            let when = when(Every::of_minutes(minutes), spread).unwrap();
            assert_eq!(when, expected);
            assert_eq!(
                every(&format!("{when} x")),
                Some(Every::of_minutes(minutes))
            );
        }
    }

    #[test]
    fn what_cron_cannot_do_is_said() {
        for minutes in [16, 25, 45, 90, 300, 420, 1380] {
            let said = when(Every::of_minutes(minutes), 0).unwrap_err().to_string();
            assert!(said.contains("it can do 15m"), "{said}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_or_has_a_backslash_is_refused() {
        let long = Job {
            data_dir: format!("/{}", "x".repeat(1000)),
            ..hard_job()
        };
        assert!(block(&long).unwrap_err().to_string().contains("bytes"));
        let odd = Job {
            program: r"/a\b".to_owned(),
            ..hard_job()
        };
        assert!(block(&odd).unwrap_err().to_string().contains("backslash"));
    }

    #[test]
    fn everything_else_in_a_crontab_stays_as_it_is() {
        let new = "# BEGIN telemetry-upload a\nx\n# END telemetry-upload a\n";
        let other = "# BEGIN telemetry-upload ab\ny\n# END telemetry-upload ab\n";
        for (head, tail) in [
            (&b""[..], &b""[..]),
            (OTHERS, b""),
            (OTHERS, other.as_bytes()),
            (b"", OTHERS),
        ] {
            let old = "# BEGIN telemetry-upload a\r\nold\r\n# END telemetry-upload a\r\n";
            let there = [head, old.as_bytes(), tail].concat();
            let expected = [head, new.as_bytes(), tail].concat();
            assert_eq!(with(&there, "a", new).unwrap(), expected);
            assert_eq!(with(&expected, "a", new).unwrap(), expected);
            assert_eq!(
                without(&there, "a").unwrap().unwrap(),
                [head, tail].concat()
            );
            let all = [head, tail].concat();
            assert_eq!(without(&all, "a").unwrap(), None);
            assert_eq!(
                without(&with(&all, "a", new).unwrap(), "a")
                    .unwrap()
                    .unwrap(),
                all
            );
        }
    }

    #[test]
    fn a_last_line_without_an_end_is_not_glued_to_ours() {
        assert_eq!(with(b"x", "a", "y\n").unwrap(), b"x\ny\n");
    }

    #[test]
    fn marks_that_are_not_a_pair_are_left_alone() {
        let (begin, end) = ("# BEGIN telemetry-upload a\n", "# END telemetry-upload a\n");
        for parts in [
            vec![begin],
            vec![end],
            vec![end, begin],
            vec![begin, begin, end],
            vec![begin, end, begin, end],
            vec![begin, "ours\n", "theirs\n", end],
        ] {
            let crontab = parts.concat();
            assert!(with(crontab.as_bytes(), "a", "x\n").is_err(), "{crontab}");
            assert!(without(crontab.as_bytes(), "a").is_err(), "{crontab}");
        }
    }
}
