//! `compare` as a command: exit codes, files, and input that cannot be compared. The statistics have tests of their own beside the code.

use crate::committed_results;
use crate::support::hubstorm::{Finished, command, finish, hubstorm};
use hubstorm::measure::{Batches, Operation, Outcome};
use hubstorm::result;
use hubstorm::result::model::{EndedBy, RunResult, Status};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A folder with results.
struct Results {
    folder: TempDir,
}

impl Results {
    fn new() -> Results {
        Results { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a UTF-8 path").to_owned()
    }

    fn add(&self, name: &str, result: &RunResult) {
        fs::write(self.path(name), result::to_json(result).expect("a valid result"))
            .expect("a writable folder");
    }

    /// Returns the names in a folder, sorted.
    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).expect("a readable folder").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_str().expect("a UTF-8 name").to_owned()).collect();
        names.sort();
        names
    }

    /// Compares two files or folders.
    fn compare(&self, base: &str, new: &str, more: &[&str]) -> Finished {
        let (base, new) = (self.text(base), self.text(new));
        let mut arguments = vec!["compare", &base, &new];
        arguments.extend(more);
        hubstorm(&arguments)
    }
}

/// The committed result of a run that passed, as another run. Without batches, so that tests may change its totals.
fn run(number: u8) -> RunResult {
    let mut result = committed_results::read("pass");
    for part in &mut result.measurement.operations {
        part.batches = Batches::default();
    }
    result.run.id = format!("run-{number}");
    result.run.started = format!("2026-11-28T00:0{number}:00Z");
    result
}

/// A run in which a tenth of the messages timed out.
fn with_timeouts(number: u8) -> RunResult {
    let mut result = run(number);
    for part in &mut result.measurement.operations {
        if part.operation == Operation::Telemetry {
            let outcomes = &mut part.totals.outcomes;
            let moved = outcomes[Outcome::Ok] / 10;
            outcomes[Outcome::Ok] -= moved;
            outcomes[Outcome::TimedOut] += moved;
        }
    }
    result
}

const RATE: [&str; 2] = ["--metric", "telemetry rate(ok)"];

#[test]
fn outcomes_have_exit_codes() {
    let results = Results::new();
    results.add("base.json", &run(1));
    results.add("same.json", &run(2));
    results.add("worse.json", &with_timeouts(3));
    results.compare("base.json", "worse.json", &RATE).exits(121);
    results.compare("worse.json", "base.json", &RATE).exits(0);
    let latency = ["--metric", "telemetry p(99)"];
    results.compare("base.json", "same.json", &latency).exits(122);
    for (choice, code) in [("pass", 0), ("fail", 121)] {
        let more = [&latency[..], &["--inconclusive", choice]].concat();
        results.compare("base.json", "same.json", &more).exits(code);
    }
    results.add("invalid.json", &{
        let mut result = run(4);
        result.verdict = committed_results::read("invalid").verdict;
        result
    });
    results.compare("base.json", "invalid.json", &RATE).exits(120);
}

#[test]
fn comparison_is_written_in_every_format() {
    let results = Results::new();
    results.add("base.json", &run(1));
    results.add("worse.json", &with_timeouts(2));
    let files = ["c.html", "c.md", "c.txt"].map(|name| results.text(name));
    let json = format!("json={}", results.text("c"));
    let mut more = RATE.to_vec();
    for file in files.iter().chain([&json]) {
        more.extend(["--export", file]);
    }
    results.compare("base.json", "worse.json", &more).exits(121);
    for name in ["c.html", "c.md", "c.txt", "c"] {
        let text = fs::read_to_string(results.path(name)).expect("the file was written");
        assert!(text.to_lowercase().contains("regressed"), "{name}: {text}");
    }

    let same_file = results.text("base.json");
    for (file, error) in [("csv=x", "a comparison has no format csv"), (&*same_file, "reads this file")] {
        let refused = results.compare("base.json", "worse.json", &["--export", file]);
        refused.exits(2);
        assert!(refused.stderr.contains(error), "{}", refused.stderr);
    }
}

#[test]
fn results_that_cannot_be_compared_are_named() {
    let results = Results::new();
    results.add("base.json", &run(1));
    results.add("other.json", &{
        let mut result = run(2);
        result.run.scenario.plan_sha256 = "0".repeat(64);
        result
    });
    results.add("partial.json", &{
        let mut result = run(3);
        result.run.complete = false;
        result
    });
    results.add("aborted.json", &{
        let mut result = run(4);
        result.run.ended_by = Some(EndedBy::Abort);
        result
    });
    results.add("changed.json", &{
        let mut result = run(5);
        result.measurement.phases[1].planned_load = [1.0, 3.0];
        result
    });
    fs::create_dir(results.path("empty")).expect("a writable folder");
    fs::write(results.path("newer.json"), r#"{"schema":"hubstorm.result.v9"}"#).expect("a writable folder");
    for (base, new, error) in [
        ("base.json", "base.json", "same run"),
        ("base.json", "other.json", "load"),
        ("empty", "base.json", "contains no result"),
        ("newer.json", "base.json", "newer"),
        ("none.json", "base.json", "none.json"),
        ("base.json", "partial.json", "is incomplete"),
        ("base.json", "aborted.json", "covers only a part of the load"),
        ("base.json", "changed.json", "the list of phases differs"),
    ] {
        let refused = results.compare(base, new, &[]);
        refused.exits(1);
        assert!(refused.stderr.contains(error), "{base} {new}: {}", refused.stderr);
    }
}

#[test]
fn passing_result_replaces_the_oldest_of_the_baseline() {
    let results = Results::new();
    fs::create_dir(results.path("baseline")).expect("a writable folder");
    results.add("baseline/run-1.json", &run(1));
    results.add("baseline/run-2.json", &run(2));
    results.add("new.json", &run(3));
    results.add("worse.json", &with_timeouts(4));
    let update = [&RATE[..], &["--inconclusive", "pass", "--update-baseline", "--keep", "2"]].concat();
    results.compare("baseline", "worse.json", &update).exits(121);
    results.compare("baseline", "new.json", &update).exits(0);
    assert_eq!(results.names("baseline"), ["run-2.json", "run-3.json"]);
    results.add("failed.json", &{
        let mut result = run(5);
        result.verdict.status = Status::Fail;
        result
    });
    let failed = results.compare("baseline", "failed.json", &update);
    failed.exits(0);
    assert!(failed.stderr.contains("is unchanged"), "a result that failed is no baseline: {}", failed.stderr);
    assert_eq!(results.names("baseline"), ["run-2.json", "run-3.json"]);
}

#[test]
fn files_that_are_no_results_are_skipped() {
    let results = Results::new();
    fs::create_dir(results.path("baseline")).expect("a writable folder");
    results.add("baseline/run-1.json", &run(1));
    results.add("new.json", &with_timeouts(2));
    for (name, text) in [
        ("package.json", "{\"name\": \"x\"}"),
        ("comparison.json", "{\"schema\": \"hubstorm.compare.v1\"}"),
        ("settings.json", "// a comment\n{}"),
        ("run-1.html", "<html></html>"),
        (".hidden.json", "{"),
    ] {
        fs::write(results.path("baseline").join(name), text).expect("a writable folder");
    }
    let compared = results.compare("baseline", "new.json", &RATE);
    compared.exits(121);
    for (name, is_named) in [
        ("package.json", true),
        ("comparison.json", true),
        ("settings.json", true),
        ("run-1.html", false),
        (".hidden", false),
    ] {
        assert_eq!(compared.stderr.contains(name), is_named, "{name}: {}", compared.stderr);
    }
    for (name, text, error) in [
        ("newer.json", "{\"schema\": \"hubstorm.result.v9\"}", "Use a newer hubstorm"),
        (
            "damaged.json",
            "{\"schema\": \"hubstorm.result.v1\"}",
            "damaged.json is not a result file: missing field",
        ),
        ("cut.json", "{\"schema\": \"hubstorm.result", "cut.json is cut off"),
    ] {
        let file = results.path("baseline").join(name);
        fs::write(&file, text).expect("a writable folder");
        let refused = results.compare("baseline", "new.json", &RATE);
        refused.exits(1);
        assert!(refused.stderr.contains(error), "{}", refused.stderr);
        fs::remove_file(file).expect("a writable folder");
    }
    results.add("baseline/other.json", &{
        let mut result = run(3);
        result.run.scenario.plan_sha256 = "0".repeat(64);
        result
    });
    let refused = results.compare("baseline", "new.json", &RATE);
    refused.exits(1);
    assert!(refused.stderr.contains("other.json is not comparable with"), "{}", refused.stderr);
    assert!(refused.stderr.contains("the load (plan_sha256) differs"), "{}", refused.stderr);
}

/// The first run of a pipeline is green and writes its files.
#[test]
fn first_result_starts_the_baseline() {
    let results = Results::new();
    results.add("new.json", &run(1));
    results.add("failed.json", &{
        let mut result = run(2);
        result.verdict = committed_results::read("fail").verdict;
        result
    });
    fs::create_dir(results.path("baseline")).expect("a writable folder");
    fs::write(results.path("baseline/package.json"), "{}").expect("a writable folder");
    let files = ["c.html", "c.md", "c.txt", "c.json"].map(|name| results.text(name));
    let mut update = vec!["--update-baseline", "--format", "json"];
    update.extend(files.iter().flat_map(|file| ["--export", file]));
    results.compare("baseline", "failed.json", &update).exits(99);
    let first = results.compare("baseline", "new.json", &update);
    first.exits(0);
    assert!(first.stdout.contains("\"outcome\": \"no_base\""), "{}", first.stdout);
    for file in &files {
        let text = fs::read_to_string(file).expect("the file was written");
        assert!(text.contains("No base result yet, so nothing was compared"), "{file}: {text}");
    }
    assert_eq!(results.names("baseline"), ["package.json", "run-1.json"]);
    // Nothing is written if a file cannot be.
    let refused =
        results.compare("baseline", "failed.json", &["--update-baseline", "--export", "none/c.html"]);
    refused.exits(1);
    let refused = results.compare("new.json", "failed.json", &["--update-baseline"]);
    assert!(refused.exits(2).stderr.contains("needs a folder of results"), "{}", refused.stderr);
}

#[test]
fn text_fits_the_terminal() {
    let results = Results::new();
    fs::create_dir(results.path("baseline")).expect("a writable folder");
    (1..=5).for_each(|number| results.add(&format!("baseline/run-{number}.json"), &run(number)));
    results.add("base.json", &{
        let mut result = run(6);
        result.run.host.cpu = "A processor with a long name ".repeat(3);
        result
    });
    results.add("new.json", &with_timeouts(7));
    for columns in [60, 80] {
        for line in [
            "base.json new.json",
            "base.json new.json --metric telemetry{phase:steady,fleet:meter}\u{a0}rate(timed_out)",
            "baseline new.json",
            "baseline new.json --force --metric telemetry\u{a0}max",
        ] {
            let words = line.split(' ').map(|word| word.replace('\u{a0}', " "));
            let mut compare = command(std::iter::once("compare".to_owned()).chain(words));
            compare.current_dir(results.folder.path()).env("COLUMNS", columns.to_string());
            let shown = finish(compare);
            assert!(matches!(shown.code, Some(0 | 121 | 122)), "{line}: {shown:?}");
            for line in shown.stdout.lines() {
                assert!(line.chars().count() <= columns, "{columns}: {line}");
            }
        }
    }
}
