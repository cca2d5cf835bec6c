//! A load test from its first check to its reports, as a team uses hubstorm, with the exit code of each command.

use crate::support::hubstorm::{Finished, Workplace, finish};
use crate::support::project::Project;
use hubstorm::measure::Outcome;
use nix::sys::signal::Signal;
use std::fs;

/// The exports of a run. `csv` is a folder.
const EXPORTS: [(&str, &str); 8] = [
    ("result.json", "result.json"),
    ("report.html", "report.html"),
    ("summary.txt", "summary.txt"),
    ("junit.xml", "junit.xml"),
    ("summary.md", "summary.md"),
    ("csv=tables", "tables/operations.csv"),
    ("latencies.hlog", "latencies.hlog"),
    ("metrics.prom", "metrics.prom"),
];

impl Project {
    /// Runs a command, such as `check pass.toml`.
    fn hubstorm(&self, line: &str) -> Finished {
        finish(self.command(line.split_whitespace()))
    }
}

#[test]
fn load_test_from_check_to_report() {
    let project = Project::new();

    project.hubstorm("check pass.toml").exits(0);
    project.hubstorm("check wrong.toml").exits(104);

    // Wrong usage ends a command before it starts a load or writes a file.
    let twice = project.hubstorm("run pass.toml --export a.json --export ./a.json");
    assert!(
        twice.exits(2).stderr.contains("./a.json are the same file; choose a different file for each export")
    );
    project.hubstorm("run pass.toml --export none/a.json").exits(1);
    project.hubstorm("run wrong.toml --export a.json").exits(104);
    assert!(!project.path("a.json").exists());
    assert_eq!(fs::read_dir(project.path("reports")).unwrap().count(), 0, "no result was written");

    for (name, code) in [("pass", 0), ("fail", 99), ("invalid", 120)] {
        fs::create_dir(project.path(name)).unwrap();
        let exports: Vec<String> = EXPORTS
            .iter()
            .map(|(export, _)| match export.split_once('=') {
                Some((format, folder)) => format!("--export {format}={name}/{folder}"),
                None => format!("--export {name}/{export}"),
            })
            .collect();
        project.hubstorm(&format!("run {name}.toml {}", exports.join(" "))).exits(code);
        let result = format!("{name}/result.json");
        for (_, file) in EXPORTS {
            let written = fs::read(project.path(name).join(file)).unwrap();
            assert!(!written.is_empty(), "{name}/{file}");
        }

        // A report is complete whatever the verdict was; --judge returns the code of the run.
        project.hubstorm(&format!("report {result} --out again.html")).exits(0);
        assert_eq!(
            fs::read(project.path("again.html")).unwrap(),
            fs::read(project.path(name).join("report.html")).unwrap()
        );
        project.hubstorm(&format!("report {result} --judge")).exits(code);
    }
    project.hubstorm("report none.json").exits(1);

    // Only a result that passed starts a baseline.
    fs::create_dir(project.path("baseline")).unwrap();
    let update = |name: &str| {
        let line = format!("compare baseline {name}/result.json --update-baseline --inconclusive pass");
        (project.hubstorm(&line), fs::read_dir(project.path("baseline")).unwrap().count())
    };
    for (name, code, results) in [("fail", 99, 0), ("invalid", 120, 0), ("pass", 0, 1)] {
        let (finished, found) = update(name);
        finished.exits(code);
        assert_eq!(found, results, "{name}");
    }
    project.hubstorm("compare baseline none.json").exits(1);

    // A worse result regresses, and one run each is not enough to compare percentiles.
    let better = hubstorm::result::read(&project.path("pass/result.json")).unwrap();
    for (name, lost) in [("worse.json", true), ("again.json", false)] {
        let mut result = better.clone();
        result.run.id = name.to_owned();
        for part in result.measurement.operations.iter_mut().filter(|_| lost) {
            let ok = std::mem::take(&mut part.totals.outcomes[Outcome::Ok]);
            part.totals.outcomes[Outcome::Lost] += ok;
            part.batches = Default::default();
        }
        fs::write(project.path(name), hubstorm::result::to_json(&result).unwrap()).unwrap();
    }
    for (name, metric, code) in
        [("worse.json", "telemetry rate(ok)", 121), ("again.json", "telemetry p(99)", 122)]
    {
        finish(project.command(["compare", "pass/result.json", name, "--metric", metric])).exits(code);
    }

    // Ctrl-C: the partial result is complete in every format.
    let run = project.command([
        "run",
        "pass.toml",
        "--set",
        "phase.steady.duration=1h",
        "--export",
        "partial.json",
    ]);
    let mut running = Workplace::new("").start_command(run);
    running.says("phase=steady");
    running.interrupt();
    running.wait().exits(105);
    project.hubstorm("report partial.json --judge").exits(105);

    // A run that is killed leaves only its journal.
    let run = project.command(["run", "pass.toml", "--set", "phase.steady.duration=1h", "--out", "killed"]);
    let running = Workplace::new("").start_command(run);
    let recover = loop {
        let journal = fs::read_dir(project.path("killed")).into_iter().flatten().flatten().next();
        let Some(journal) = journal.map(|file| file.path().display().to_string()) else { continue };
        let recover = format!("report --recover {journal} --export recovered.json");
        let recovered = project.hubstorm(&recover);
        if recovered.code == Some(0) && !recovered.stderr.starts_with("recovered 0") {
            break recover;
        }
    };
    running.signal(Signal::SIGKILL);
    running.wait();
    assert_eq!(fs::read_dir(project.path("killed")).unwrap().count(), 1, "only the journal");
    project.hubstorm(&recover).exits(0);
    project.hubstorm("report recovered.json --export recovered.md").exits(0);
    project.hubstorm("report recovered.json --judge").exits(105);
}
