//! `run --compare`: the exit code of the run and of the comparison together, the options of the comparison, and the baseline.

use crate::support::hubstorm::{Finished, Workplace, finish};
use crate::support::project::Project;
use hubstorm::measure::{Latency, Operation};
use hubstorm::result;
use hubstorm::result::model::RunResult;
use std::fs;

impl Project {
    /// Runs a scenario and compares the result: `run SCENARIO --quiet --compare BASE MORE`.
    fn run(&self, scenario: &str, base: &str, more: &[&str]) -> Finished {
        let mut command = self.command(["run", scenario, "--quiet", "--compare", base]);
        command.args(more);
        finish(command)
    }

    /// Writes a folder with five results whose responses took about this long. They are of this machine and version, and of the same load.
    fn add_baseline(&self, name: &str, of: &RunResult, us: u64) {
        fs::create_dir(self.path(name)).expect("a writable folder");
        for number in 0..5 {
            let mut result = of.clone();
            result.run.id = format!("base-{number}");
            result.run.started = format!("2026-11-28T00:00:0{number}Z");
            for part in
                result.measurement.operations.iter_mut().filter(|part| part.operation == Operation::Telemetry)
            {
                let mut histogram =
                    hdrhistogram::Histogram::new_with_bounds(1, 60_000_000, 3).expect("valid bounds");
                histogram
                    .record_n(us + us * number / 100, part.totals.response.count())
                    .expect("a value in range");
                part.totals.response = Latency::from(histogram);
                part.batches.list.clear();
            }
            let json = result::to_json(&result).expect("a valid result");
            fs::write(self.path(name).join(format!("base-{number}.json")), json).expect("a writable folder");
        }
    }

    fn names(&self, folder: &str) -> usize {
        fs::read_dir(self.path(folder)).expect("a readable folder").count()
    }
}

/// The response time, whatever it is: the machine may be slow.
const MEAN: [&str; 4] = ["--metric", "telemetry avg", "--floor", "0s"];

#[test]
fn run_and_comparison_have_one_exit_code() {
    let project = Project::new();
    fs::create_dir(project.path("first")).expect("a writable folder");
    let first = project.run("pass.toml", "first", &["--update-baseline", "--export", "base.json"]);
    first.exits(0);
    assert!(first.stdout.contains("No base result yet"), "{}", first.stdout);
    assert_eq!(project.names("first"), 1, "{}", first.stderr);

    let base = result::read(&project.path("base.json")).expect("the result of the run");
    project.add_baseline("fast", &base, 2);
    project.add_baseline("slow", &base, 50_000_000);
    let regressed = [&MEAN[..], &["--update-baseline"]].concat();
    for (scenario, base, more, code, part) in [
        ("pass.toml", "slow", &MEAN[..], 0, "same or better"),
        ("pass.toml", "fast", &regressed, 121, "Regressed"),
        ("fail.toml", "fast", &regressed, 99, "Regressed"),
        ("invalid.toml", "fast", &MEAN, 120, "Invalid"),
        ("pass.toml", "base.json", &MEAN, 122, "Inconclusive"),
        (
            "pass.toml",
            "base.json",
            &["--metric", "telemetry avg", "--inconclusive", "fail"],
            121,
            "Inconclusive",
        ),
        (
            "pass.toml",
            "first",
            &["--update-baseline", "--inconclusive", "pass"],
            0,
            "inconclusive: telemetry count(ok)",
        ),
    ] {
        let finished = project.run(scenario, base, more);
        finished.exits(code);
        assert!(
            finished.stdout.to_lowercase().contains(&part.to_lowercase()),
            "{scenario} {base}: {}",
            finished.stdout
        );
    }
    assert_eq!(
        (project.names("fast"), project.names("first")),
        (5, 2),
        "only a result that passes enters a baseline"
    );
}

#[test]
fn comparisons_that_cannot_be_made_end_before_the_load() {
    let project = Project::new();
    fs::create_dir(project.path("empty")).expect("a writable folder");
    fs::create_dir(project.path("other")).expect("a writable folder");
    let mut other = crate::committed_results::read("pass");
    other.run.scenario.plan_sha256 = "0".repeat(64);
    let json = result::to_json(&other).expect("a valid result");
    fs::write(project.path("other/other.json"), json).expect("a writable folder");
    fs::create_dir(project.path("partial")).expect("a writable folder");
    other.run.complete = false;
    let json = result::to_json(&other).expect("a valid result");
    fs::write(project.path("partial/partial.json"), json).expect("a writable folder");
    for (scenario, base, more, code, part) in [
        ("pass.toml", "empty", &["--metric", "telemetry p99"][..], 2, "unknown aggregate \"p99\""),
        ("pass.toml", "empty", &["--tolerance", "much"], 2, "tolerance \"much\" is not valid"),
        ("pass.toml", "pass.toml", &["--update-baseline"], 2, "needs a folder"),
        ("pass.toml", "empty", &["--once"], 2, "cannot be used with"),
        ("wrong.toml", "none", &[], 104, "p(99) < fast"),
        ("pass.toml", "none", &[], 1, "none"),
        ("pass.toml", "empty", &[], 1, "contains no result"),
        ("pass.toml", "none", &["--update-baseline"], 1, "create it:  mkdir -p none"),
        ("pass.toml", "other", &[], 1, "the load (plan_sha256) differs"),
        ("pass.toml", "partial", &[], 1, "partial.json is incomplete"),
    ] {
        let refused = project.run(scenario, base, more);
        refused.exits(code);
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
        let results = fs::read_dir(project.path("reports")).into_iter().flatten().count();
        assert_eq!(results, 0, "{part}: a load was run");
    }
    for option in [
        "--tolerance=5%",
        "--metric=telemetry avg",
        "--noise=2%",
        "--floor=2ms",
        "--inconclusive=pass",
        "--error-tolerance=1%",
        "--force",
        "--update-baseline",
    ] {
        let refused = finish(project.command(["run", "pass.toml", option]));
        refused.exits(2);
        assert!(refused.stderr.contains("--compare <BASE>"), "{option}: {}", refused.stderr);
    }
}

#[test]
fn interrupted_run_is_not_compared() {
    let project = Project::new();
    fs::create_dir(project.path("baseline")).expect("a writable folder");
    let run = project.command([
        "run",
        "pass.toml",
        "--set",
        "phase.steady.duration=1h",
        "--compare",
        "baseline",
        "--update-baseline",
    ]);
    let mut running = Workplace::new("").start_command(run);
    running.says("phase=steady");
    running.interrupt();
    let finished = running.wait();
    finished.exits(105);
    assert!(finished.stderr.contains("is not compared"), "{}", finished.stderr);
    assert_eq!(project.names("baseline"), 0);
}

/// The run writes into its own baseline, and both summaries are appended.
#[test]
fn run_into_the_baseline_folder_is_summarized() {
    let project = Project::new();
    let summary = project.path("summary.md");
    fs::create_dir(project.path("baseline")).expect("a writable folder");
    for (more, comparisons) in [(&[][..], 1), (&["--no-step-summary"], 1), (&["--keep", "1"], 2)] {
        let mut run =
            project.command(["run", "pass.toml", "--quiet", "--out", "baseline", "--compare", "baseline"]);
        run.args(["--update-baseline", "--inconclusive", "pass"]).args(more);
        run.env("GITHUB_STEP_SUMMARY", &summary);
        finish(run).exits(0);
        let text = fs::read_to_string(&summary).expect("a summary");
        assert_eq!(text.matches("What was compared").count(), comparisons, "{text}");
    }
    let json = |entry: &fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "json");
    let entries = fs::read_dir(project.path("baseline")).expect("a readable folder").flatten();
    assert_eq!(entries.filter(json).count(), 1, "--keep 1");
}
