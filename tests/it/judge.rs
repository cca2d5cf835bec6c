//! `report --judge --scenario`: a result is judged by the thresholds of another file.

use crate::committed_results;
use crate::support::hubstorm::{Finished, hubstorm};
use hubstorm::report;
use hubstorm::result;
use hubstorm::result::model::{RunResult, Status};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const SCENARIO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/results/pass.toml");

/// A folder with the committed result `pass`, and scenario files.
struct Judge {
    folder: TempDir,
}

impl Judge {
    fn of(result: &RunResult) -> Judge {
        let judge = Judge { folder: tempfile::tempdir().expect("a temporary folder") };
        fs::write(judge.path("result.json"), result::to_json(result).expect("a valid result"))
            .expect("a writable folder");
        judge
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Judges with a scenario of this text.
    fn with(&self, text: &str) -> Finished {
        fs::write(self.path("other.toml"), text).expect("a writable folder");
        self.with_file(&self.path("other.toml"), &[])
    }

    fn with_file(&self, scenario: &Path, more: &[&str]) -> Finished {
        let (result, scenario) = (self.path("result.json"), scenario.to_str().expect("a UTF-8 path"));
        let mut arguments = vec!["report", result.to_str().expect("a UTF-8 path"), "--judge"];
        arguments.extend(["--scenario", scenario]);
        arguments.extend(more);
        hubstorm(&arguments)
    }
}

fn pass() -> RunResult {
    committed_results::read("pass")
}

#[test]
fn thresholds_of_another_file_decide() {
    let judge = Judge::of(&pass());
    for (threshold, code, word) in [
        ("telemetry = [\"count(ok) > 1000000\"]", 99, "FAIL"),
        ("telemetry = [\"p(99) < 1h\", \"count(lost) == 0\"]", 0, "PASS"),
        ("\"telemetry{phase:steady}\" = [\"rate(ok) >= 99%\"]", 0, "PASS"),
        ("\"twin.get\" = [\"p(99) < 1h\"]", 99, "FAIL"),
    ] {
        let judged = judge.with(&format!("[thresholds]\n{threshold}\n"));
        judged.exits(code);
        assert!(judged.stdout.starts_with(word), "{threshold}: {}", judged.stdout);
        assert_eq!(judged.stderr, "", "a file with only thresholds describes no other load");
    }
}

#[test]
fn own_scenario_gives_the_verdict_of_the_run() {
    let before = pass();
    let judge = Judge::of(&before);
    let export = format!("json={}", judge.path("again.json").display());
    let judged = judge.with_file(Path::new(SCENARIO), &["--export", &export]);
    judged.exits(i32::from(before.verdict.exit_code));
    assert_eq!(judged.stderr, "", "the load is the same");
    let again = result::read(&judge.path("again.json")).expect("a valid result");
    let words = |result: &RunResult| {
        result
            .thresholds
            .iter()
            .map(|one| (one.expression.clone(), one.observed_text.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!((again.verdict.clone(), words(&again)), (before.verdict.clone(), words(&before)));
    assert!(again.thresholds.iter().all(|one| one.line.is_none()), "lines of another file would mislead");
}

/// Every export shows the new verdict and the thresholds that it is based on, and the input stays as it was.
#[test]
fn exports_follow_the_new_verdict() {
    let judge = Judge::of(&pass());
    let before = fs::read(judge.path("result.json")).expect("the file exists");
    fs::write(judge.path("strict.toml"), "[thresholds]\ntelemetry = [\"count(ok) > 1000002\"]\n")
        .expect("writable");
    let names = ["again.json", "again.html", "again.xml", "again.md", "again.txt"];
    let exports = names.map(|name| judge.path(name).display().to_string());
    let mut more = Vec::new();
    exports.iter().for_each(|file| more.extend(["--export", file.as_str()]));
    judge.with_file(&judge.path("strict.toml"), &more).exits(99);
    for file in &exports {
        let text =
            fs::read_to_string(file).expect("the export exists").replace("&gt;", ">").replace("&#62;", ">");
        assert!(text.contains("count(ok) > 1000002"), "{file}: {text}");
        if !file.ends_with(".xml") {
            assert!(text.contains("strict.toml"), "{file} names the file: {text}");
        }
    }
    let again = result::read(Path::new(&exports[0])).expect("a valid result");
    assert_eq!((again.verdict.status, again.verdict.exit_code), (Status::Fail, 99));
    let judged = report::judge_again(&again).expect("the file has its rules");
    assert_eq!((judged.verdict, judged.findings), (again.verdict, again.findings));
    assert_eq!(fs::read(judge.path("result.json")).expect("the file exists"), before);
    let input = judge.path("result.json").display().to_string();
    let refused = judge.with_file(&judge.path("strict.toml"), &["--export", &input]);
    refused.exits(2);
    assert!(refused.stderr.contains("the command reads this file"), "{}", refused.stderr);
}

#[test]
fn names_that_the_run_did_not_have_are_refused() {
    let judge = Judge::of(&pass());
    for (key, part) in [
        ("telemetry{phase:steady-state}", "allowed: ramp, steady, peak"),
        ("telemetry{fleet:metre}", "did you mean fleet:meter?"),
        ("telemetri", "did you mean telemetry?"),
    ] {
        let refused = judge.with(&format!("[thresholds]\n\"{key}\" = [\"p(99) < 1h\"]\n"));
        refused.exits(104);
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
        assert_eq!(refused.stdout, "");
    }
    let refused = judge.with("[fleet.meter]\ndevices = 1\n");
    refused.exits(104);
    assert!(refused.stderr.contains("thresholds: missing"), "{}", refused.stderr);
}

/// `run --fleet` leaves out the thresholds on other fleets. So does judging its result with the whole scenario.
#[test]
fn thresholds_on_fleets_that_did_not_run_are_left_out() {
    let text = "[fleet.meter]\n[fleet.gauge]\n[thresholds]\n\"telemetry{fleet:gauge}\" = [\"p(99) < 1us\"]\n\
                \"telemetry{fleet:meter}\" = [\"p(99) < 1h\"]\n";
    let mut result = pass();
    Judge::of(&result).with(text).exits(104);
    result.run.overrides = vec!["--fleet meter (leaves out fleet gauge)".to_owned()];
    let judged = Judge::of(&result).with(text);
    judged.exits(0);
    assert!(judged.stderr.contains("(--fleet): telemetry{fleet:gauge} p(99) < 1us"), "{}", judged.stderr);
}

#[test]
fn another_load_is_named() {
    let judge = Judge::of(&pass());
    let own = fs::read_to_string(SCENARIO).expect("the file exists");
    let judged = judge.with(&format!("# Only a comment.\n{own}"));
    judged.exits(0);
    assert_eq!(judged.stderr, "", "the same load in another file");
    let judged = judge.with(&format!("drain = \"7s\"\n{own}"));
    judged.exits(0);
    assert!(judged.stderr.contains("describes another load than that of the run"), "{}", judged.stderr);
    // A secret is missing here. The thresholds do not need it.
    let judged = judge.with(&own.replace("Pass: 200 meters", "${env.HUBSTORM_TEST_UNSET}"));
    judged.exits(0);
    assert!(judged.stderr.contains("cannot be compared with that of the run"), "{}", judged.stderr);
}

#[test]
fn wrong_use_of_another_scenario_is_refused() {
    let old = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/old-result.json");
    let refused = hubstorm(&["report", old, "--judge", "--scenario", SCENARIO]);
    refused.exits(1);
    assert!(refused.stderr.contains("written by an earlier version"), "{}", refused.stderr);
    let refused = hubstorm(&["report", "-", "--judge", "--scenario", "-"]);
    refused.exits(2);
    assert!(refused.stderr.contains("cannot both be read from stdin"), "{}", refused.stderr);
    hubstorm(&["report", old, "--scenario", SCENARIO]).exits(2);
    Judge::of(&pass()).with_file(Path::new("none.toml"), &[]).exits(104);
}
