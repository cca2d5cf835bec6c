//! `compare` as a command: exit codes, files, and input that cannot be compared. The statistics have tests of their own beside the code.

use crate::committed_results;
use crate::support::hubstorm::{Finished, hubstorm};
use hubstorm::measure::{Operation, Outcome};
use hubstorm::result;
use hubstorm::result::model::RunResult;
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

    /// Compares two files or folders.
    fn compare(&self, base: &str, new: &str, more: &[&str]) -> Finished {
        let (base, new) = (self.text(base), self.text(new));
        let mut arguments = vec!["compare", &base, &new];
        arguments.extend(more);
        hubstorm(&arguments)
    }
}

/// The committed result of a run that passed, as another run.
fn run(number: u8) -> RunResult {
    let mut result = committed_results::read("pass");
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
    fs::create_dir(results.path("empty")).expect("a writable folder");
    fs::write(results.path("newer.json"), r#"{"schema":"hubstorm.result.v9"}"#).expect("a writable folder");
    for (base, new, error) in [
        ("base.json", "base.json", "same run"),
        ("base.json", "other.json", "load"),
        ("empty", "base.json", "contains no result"),
        ("newer.json", "base.json", "newer"),
        ("none.json", "base.json", "none.json"),
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
    let mut names: Vec<_> = fs::read_dir(results.path("baseline"))
        .expect("it exists")
        .map(|entry| entry.expect("a readable folder").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["run-2.json", "run-3.json"]);
}
