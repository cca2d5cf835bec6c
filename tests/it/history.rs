//! `report --history`: the results in a folder as a table, a page and a CSV.

use crate::committed_results;
use crate::support::hubstorm::{Finished, finish, hubstorm};
use hubstorm::measure::{Batches, Outcome};
use hubstorm::result;
use hubstorm::result::model::RunResult;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Writes the committed result `pass` as a run that started on another day, and its report beside it.
fn add(folder: &Path, day: u8, change: impl Fn(&mut RunResult)) -> PathBuf {
    let mut result = committed_results::read("pass");
    result.run.id = format!("pass-202611{day:02}T101500Z");
    result.run.started = format!("2026-11-{day:02}T10:15:00.123456Z");
    change(&mut result);
    let json = folder.join(format!("{}.json", result.run.id));
    fs::write(&json, result::to_json(&result).expect("a valid result")).expect("a writable folder");
    fs::write(json.with_extension("html"), "the report").expect("a writable folder");
    json
}

fn folder_of(days: u8) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for day in 1..=days {
        add(folder.path(), day, |_| {});
    }
    folder
}

fn history(folder: &Path, more: &[&str]) -> Finished {
    let mut arguments = vec!["report", "--history", folder.to_str().expect("a UTF-8 path")];
    arguments.extend(more);
    hubstorm(&arguments)
}

#[test]
fn runs_are_listed_from_the_oldest() {
    let folder = folder_of(3);
    let shown = history(folder.path(), &[]);
    shown.exits(0);
    assert!(shown.stdout.starts_with("Pass: 200 meters: 3 results of plan "), "{}", shown.stdout);
    let days = ["2026-11-01 10:15:00", "2026-11-02 10:15:00", "2026-11-03 10:15:00"];
    let places: Vec<usize> = days.iter().map(|day| shown.stdout.find(day).expect(day)).collect();
    assert!(places.is_sorted(), "{}", shown.stdout);
    for part in ["{phase:steady}", "p(99)", "count(lost)", "✓ pass"] {
        assert!(shown.stdout.contains(part), "{part}: {}", shown.stdout);
    }
    let chosen = history(folder.path(), &["--metric", "telemetry p(99.9)", "--metric", "telemetry achieved"]);
    chosen.exits(0);
    assert!(chosen.stdout.contains("p(99.9)") && !chosen.stdout.contains("count(lost)"), "{}", chosen.stdout);
}

/// A file that cannot be read does not hide the others, but the exit code says so.
#[test]
fn unreadable_files_are_named_and_the_rest_is_shown() {
    let folder = folder_of(2);
    let path = |name: &str| folder.path().join(name);
    let text = fs::read_to_string(path("pass-20261101T101500Z.json")).expect("the file exists");
    fs::write(path("package.json"), "{\"name\":\"x\"}").expect("a writable folder");
    fs::write(path("copy.json"), &text).expect("a writable folder");
    fs::write(path(".hidden.json"), "").expect("a writable folder");
    fs::create_dir(path("folder.json")).expect("a writable folder");
    let shown = history(folder.path(), &[]);
    shown.exits(0);
    assert_eq!(
        shown.stderr,
        "note: skipped package.json: it is not a result file\n\
         note: skipped copy.json: the same run as pass-20261101T101500Z.json\n"
    );
    fs::write(path("newer.json"), text.replacen("hubstorm.result.v1", "hubstorm.result.v2", 1))
        .expect("writable");
    fs::write(path("cut.json"), &text[..1000]).expect("a writable folder");
    let page = format!("html={}", path("index.html").display());
    let shown = history(folder.path(), &["--export", &page]);
    shown.exits(1);
    for part in ["cut.json: it is cut off", "newer.json: it is a result file of version 2"] {
        assert!(shown.stderr.contains(part), "{}", shown.stderr);
    }
    let page = fs::read_to_string(path("index.html")).expect("the page is written");
    assert!(page.contains("2 results") && page.contains("it is a result file of version 2"), "{page}");
}

/// The page is the index of the reports: it links to each that lies beside its result.
#[test]
fn page_links_to_the_reports_from_any_folder() {
    let folder = folder_of(2);
    let results = folder.path().join("my results");
    fs::create_dir(&results).expect("a writable folder");
    let json = add(&results, 1, |_| {});
    fs::remove_file(json.with_extension("html")).expect("the file exists");
    add(&results, 2, |_| {});
    let name = "pass-20261102T101500Z";
    for (file, start) in [("my results/index.html", "./"), ("index.html", "./my%20results/")] {
        let file = folder.path().join(file);
        history(&results, &["--export", &format!("html={}", file.display())]).exits(0);
        let page = fs::read_to_string(&file).expect("the page is written");
        assert!(page.contains(&format!("href=\"{start}{name}.html\"")), "{page}");
        assert!(page.contains(&format!("href=\"{start}pass-20261101T101500Z.json\"")), "{page}");
        assert!(!page.contains("pass-20261101T101500Z.html"), "a run without a report has no link");
        assert!(!page.contains("<script>"), "the page needs no script");
    }
}

/// The columns as Otava's configuration in docs/history.md names them.
#[test]
fn csv_is_a_series_of_the_newest_plan() {
    let folder = folder_of(2);
    add(folder.path(), 3, |result| {
        for part in &mut result.measurement.operations {
            if part.operation.name() == "telemetry" {
                part.batches.list.clear();
                let lost = part.totals.outcomes[Outcome::Ok] / 2;
                part.totals.outcomes[Outcome::Ok] -= lost;
                part.totals.outcomes[Outcome::Lost] += lost;
                part.batches = Batches::default();
            }
        }
    });
    add(folder.path(), 4, |result| result.run.complete = false);
    let other = add(folder.path(), 1, |result| {
        result.run.id = "other".to_owned();
        result.run.scenario.plan_sha256 = "02".repeat(32);
    });
    let file = folder.path().join("history.csv");
    let export = format!("csv={}", file.display());
    let written = history(
        folder.path(),
        &["--metric", "telemetry p(99)", "--metric", "telemetry rate(ok)", "--export", &export],
    );
    written.exits(0);
    assert_eq!(written.stdout, "");
    assert_eq!(
        written.stderr,
        "note: the CSV leaves out pass-20261104T101500Z.json: the run is incomplete\n\
         note: the CSV leaves out 1 result of plan 02020202 (Pass: 200 meters)\n"
    );
    let text = fs::read_to_string(&file).expect("the file is written");
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let head: Vec<String> = rows.headers().expect("a header").iter().map(str::to_owned).collect();
    assert_eq!(
        head,
        [
            "time",
            "run",
            "verdict",
            "version",
            "commit",
            "host",
            "target",
            "telemetry p(99) us",
            "telemetry rate(ok)"
        ]
    );
    let rows: Vec<csv::StringRecord> = rows.records().collect::<Result<_, _>>().expect("valid rows");
    assert_eq!(rows.len(), 3);
    for (row, day) in rows.iter().zip(["01", "02", "03"]) {
        assert_eq!(&row[0], format!("2026-11-{day}T10:15:00.123456Z"));
        assert!(row.iter().skip(7).all(|value| value.parse::<f64>().is_ok_and(f64::is_finite)), "{row:?}");
    }
    assert_eq!((&rows[0][8], &rows[2][8]), ("1", "0.5"));
    assert!(other.exists());
}

#[test]
fn wrong_use_of_a_history_is_refused() {
    let folder = folder_of(1);
    let empty = tempfile::tempdir().expect("a temporary folder");
    let json = folder.path().join("pass-20261101T101500Z.json");
    let csv = format!("csv={}", json.display());
    for (path, more, code, part) in [
        (empty.path(), vec![], 1, "contains no readable result"),
        (Path::new("/nowhere"), vec![], 1, "does not exist"),
        (json.as_path(), vec![], 1, "is not a folder"),
        (folder.path(), vec!["--metric", "telemetry p99"], 2, "unknown aggregate \"p99\""),
        (folder.path(), vec!["--metric", "twin.get p(99)"], 2, "no result in"),
        (folder.path(), vec!["--export", "junit=x.xml"], 2, "a history has no format junit"),
        (folder.path(), vec!["--export", &csv], 2, "the command reads this file"),
        (folder.path(), vec!["--judge"], 2, "cannot be used with"),
    ] {
        let refused = history(path, &more);
        refused.exits(code);
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
        assert_eq!(refused.stdout, "");
    }
    hubstorm(&["report"]).exits(2);
    hubstorm(&["report", "x.json", "--metric", "telemetry max"]).exits(2);
}

#[test]
fn table_fits_the_terminal() {
    let folder = folder_of(3);
    for columns in [60, 100] {
        let folder = folder.path().to_str().expect("a UTF-8 path");
        let mut command = crate::support::hubstorm::command(["report", "--history", folder]);
        command.env("COLUMNS", columns.to_string());
        let shown = finish(command);
        shown.exits(0);
        for line in shown.stdout.lines() {
            assert!(line.chars().count() <= columns, "{columns}: {line}");
        }
    }
}
