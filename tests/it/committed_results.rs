//! The results in `tests/results`, which are those of real runs: each shows the case that its name promises, is judged from its file as it
//! was at the end of its run, and renders in every format.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use hubstorm::report::{Format, judge_again};
use hubstorm::result::model::{EndedBy, RunResult, Status};
use hubstorm::result::{parse, to_compact_json, to_json};
use std::path::{Path, PathBuf};

/// The results, with the verdict and the end of their runs.
pub const RESULTS: [(&str, Status, EndedBy); 7] = [
    ("pass", Status::Pass, EndedBy::Plan),
    ("fail", Status::Fail, EndedBy::Plan),
    ("hub-died", Status::Invalid, EndedBy::Breakdown),
    ("invalid", Status::Invalid, EndedBy::Plan),
    ("aborted", Status::Fail, EndedBy::Abort),
    ("large", Status::Fail, EndedBy::Plan),
    ("short", Status::Fail, EndedBy::Plan),
];

/// Reads one of the results.
pub fn read(name: &str) -> RunResult {
    hubstorm::result::read(&path(name)).unwrap()
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/results").join(format!("{name}.json"))
}

#[test]
fn compact_files_contain_the_same_result() {
    for (name, ..) in RESULTS {
        let result = read(name);
        let [full, compact] = [to_json(&result).unwrap(), to_compact_json(&result).unwrap()];
        assert!(compact.len() < full.len(), "{name}: {} and {} bytes", compact.len(), full.len());
        assert!(!compact.contains("\"hdr\": null") && !compact.contains("\"hdr\":null"), "{name}");
        let again = parse(Path::new(name), compact.as_bytes()).unwrap();
        assert_eq!(again, result, "{name}");
        assert_eq!(judge_again(&again).unwrap().verdict, judge_again(&result).unwrap().verdict, "{name}");
    }
}

/// The golden files of the JSON format are the committed results.
#[test]
fn committed_results_are_written_as_they_were_read() {
    for (name, ..) in RESULTS {
        let [written, read] = [to_json(&read(name)).unwrap(), std::fs::read_to_string(path(name)).unwrap()];
        let fix = "after a change to the format, run tests/results/regenerate --judge";
        assert!(written == read, "{name}: {fix}");
    }
}

#[test]
fn committed_results_are_judged_as_their_runs_were() {
    for (name, status, ended_by) in RESULTS {
        let result = read(name);
        assert_eq!((result.verdict.status, result.run.ended_by), (status, Some(ended_by)), "{name}");
        let judged = judge_again(&result).unwrap();
        let fix = "after a change to the words of the judge, run tests/results/regenerate --judge";
        assert_eq!(judged.verdict, result.verdict, "{name}: {fix}");
        assert_eq!(judged.thresholds, result.thresholds, "{name}: {fix}");
        assert_eq!(judged.findings, result.findings, "{name}: {fix}");
    }
}

#[test]
fn committed_results_render_in_every_format() {
    for (name, ..) in RESULTS {
        let result = read(name);
        for format in Format::ALL {
            let text = format.render(&result).unwrap().concat();
            // Tables and histogram logs contain only numbers and the names of operations, fleets and phases.
            let has_name = !matches!(format, Format::Csv | Format::Hlog);
            assert_eq!(text.contains(&result.run.scenario.name), has_name, "{name} as {}", format.name());
            // A histogram in base64 may contain these letters.
            let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"+/=".contains(c));
            assert!(words.all(|word| word != "NaN"), "{name} as {}", format.name());
        }
    }
}

/// Each file shows its case, and is small enough for a repository.
#[test]
fn committed_results_show_what_they_promise() {
    for (name, ..) in RESULTS {
        let kilobytes = std::fs::metadata(path(name)).unwrap().len() / 1_000;
        assert!(kilobytes < if name == "large" { 2_000 } else { 300 }, "{name}: {kilobytes} kB");
    }
    let codes = |name: &str| -> Vec<String> {
        read(name).verdict.details.into_iter().map(|detail| detail.code).collect()
    };
    for (name, code) in [
        ("fail", "threshold_failed"),
        ("hub-died", "breakdown"),
        ("invalid", "threshold_undecided"),
        ("aborted", "aborted"),
        ("short", "insufficient_samples"),
    ] {
        assert!(codes(name).iter().any(|found| found == code), "{name}: {:?}", codes(name));
    }
    let latencies = read("fail");
    assert_eq!(latencies.measurement.errors, [], "only latencies make this run fail");
    let large = read("large");
    assert_eq!((large.fleets.len(), large.phases.len()), (10, 12));
    assert!(!large.errors.is_empty() && large.phases.iter().any(|phase| phase.warmup));
    let rows = read("short").series.rows.len();
    assert!((3..=4).contains(&rows), "{rows} rows");
}
