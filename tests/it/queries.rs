//! `queries/`: the same questions in every dialect, with the same answers as `report`.

use crate::kit::BINARY;
use crate::tools::{file, find, missed};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

const DIALECTS: [(&str, &str); 4] = [
    ("application-insights", "kql"),
    ("log-analytics", "kql"),
    ("duckdb", "sql"),
    ("clickhouse", "sql"),
];

/// The line by which a query says from when on; in the workbook the person chooses.
const SINCE: &str = "let since = ago(7d);";

fn questions(dialect: &str, extension: &str) -> BTreeSet<String> {
    let files = fs::read_dir(file("queries").join(dialect)).unwrap();
    let names = files.map(|found| found.unwrap().file_name().into_string().unwrap());
    let question = |name: String| {
        let question = name.strip_suffix(&format!(".{extension}"));
        question
            .unwrap_or_else(|| panic!("{dialect}/{name}"))
            .to_owned()
    };
    names.map(question).collect()
}

#[test]
fn every_dialect_has_the_same_questions_and_the_readme_names_them() {
    let expected = questions("application-insights", "kql");
    assert!(expected.len() >= 5, "{expected:?}");
    let readme = fs::read_to_string(file("queries/README.md")).unwrap();
    for (dialect, extension) in DIALECTS {
        assert_eq!(questions(dialect, extension), expected, "{dialect}");
        assert!(readme.contains(dialect), "{dialect}");
    }
    for question in expected {
        assert!(readme.contains(&format!("| `{question}` |")), "{question}");
    }
}

#[test]
fn the_workbook_asks_what_the_files_ask_since_the_chosen_time() {
    let text = fs::read_to_string(file("queries/workbook.json")).unwrap();
    let book: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(book["version"], "Notebook/1.0");
    let items = book["items"].as_array().unwrap();
    let mut asked = BTreeSet::new();
    for item in items.iter().filter(|item| item["type"] == 3) {
        let question = item["name"].as_str().unwrap();
        let name = format!("queries/application-insights/{question}.kql");
        let query = fs::read_to_string(file(&name)).unwrap();
        assert_eq!(query.matches(SINCE).count(), 1, "{name}");
        let expected = query.replace(SINCE, "let since = {TimeRange:start};");
        assert_eq!(item["content"]["query"], expected, "{name}");
        assert_eq!(item["content"]["timeContextFromParameter"], "TimeRange");
        asked.insert(question.to_owned());
    }
    assert_eq!(asked, questions("application-insights", "kql"));
    let parameters = &items.iter().find(|item| item["type"] == 9).unwrap()["content"]["parameters"];
    assert_eq!(parameters[0]["name"], "TimeRange");
}

/// Of the engines those that `tests/queries/run --install` has fetched; the plain count needs none.
#[test]
fn every_engine_and_the_report_count_the_same() {
    let Some(python) = find("python3") else {
        return;
    };
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("queries");
    let output = Command::new(python)
        .arg(file("tests/queries/run"))
        .args(["--binary", BINARY, "--tools"])
        .arg(tools)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaint}");
    for line in said.lines() {
        let skipped = line.strip_prefix("skipped: there is no ");
        if let Some(engine) = skipped.and_then(|rest| rest.strip_suffix(" here")) {
            missed(engine);
        }
    }
    for counted in ["python ", "report "] {
        assert!(said.contains(counted), "{said}");
    }
}
