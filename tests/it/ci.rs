//! The program in a CI system: exports in every format, the job summary, and annotations.

use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, finish, hubstorm};
use hubstorm::report::{Export, Format};
use std::fs;

/// The last two thresholds fail however slow the machine is.
fn failing() -> Workplace {
    Workplace::new(&format!(
        "[fleet.meter]\ndevices = 2\n[[fleet.meter.send]]\nevery = \"100ms\"\npayload = \"x\"\n\
         [[phase]]\nname = \"steady\"\nduration = \"1s\"\n[thresholds]\n\
         telemetry = [\n  \"count(ok) < 1\",\n  \"p(99.9) < 1s\",\n]\n{WIDE_VALIDITY}"
    ))
}

#[test]
fn run_writes_every_format() {
    let work = failing();
    let folder = tempfile::tempdir().unwrap();
    let mut run = work.run_command();
    for export in ["junit.xml", "summary.md", "csv=tables", "x.hlog", "metrics=metrics.txt"] {
        run.args(["--export", export]);
    }
    let finished = finish({
        run.current_dir(folder.path());
        run
    });
    finished.exits(99);
    let files =
        ["junit.xml", "summary.md", "tables/series.csv", "tables/operations.csv", "x.hlog", "metrics.txt"];
    for file in files {
        assert!(finished.stdout.lines().any(|line| line == file), "{file}: {}", finished.stdout);
    }
    // `report` writes the same.
    let json = work.outputs("json").pop().unwrap();
    for name in ["junit", "markdown", "hlog", "metrics", "csv"] {
        let export = Export { format: Format::from_name(name).unwrap(), file: folder.path().join("again") };
        let typed = format!("{name}={}", export.file.display());
        hubstorm(&["report", json.to_str().unwrap(), "--export", &typed]).exits(0);
        let again: Vec<String> =
            export.paths().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        assert_eq!(again, export.format.render(&work.result()).unwrap(), "{name}");
        if name != "csv" {
            let printed = hubstorm(&["report", json.to_str().unwrap(), "--format", name]);
            assert_eq!(printed.exits(0).stdout, again[0], "{name}");
            fs::remove_file(&export.file).unwrap();
        }
    }
    let usage = hubstorm(&["report", json.to_str().unwrap(), "--format", "csv"]);
    assert!(usage.exits(2).stderr.contains("write them to a folder: --export csv=FOLDER"), "{usage:?}");
}

#[test]
fn run_reports_to_github() {
    let folder = tempfile::tempdir().unwrap();
    let summary = folder.path().join("summary.md");
    fs::write(&summary, "From an earlier step").unwrap();
    let work = failing();
    let workspace = work.scenario().parent().unwrap().to_str().unwrap().to_owned();
    let run = |options: &[&str], summary: &str| {
        let mut run = work.run_command();
        run.args(options).env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", summary);
        run.env("GITHUB_WORKSPACE", &workspace);
        finish(run)
    };
    let finished = run(&[], summary.to_str().unwrap());
    finished.exits(99);
    let appended = fs::read_to_string(&summary).unwrap();
    assert!(appended.starts_with("From an earlier step\n\n## Fail: "), "{appended}");
    let lines: Vec<&str> = finished.stderr.lines().filter(|line| line.starts_with("::")).collect();
    let starts = [
        "::error file=scenario.toml,line=11,title=hubstorm%3A threshold failed::telemetry count(ok) < 1: observed ",
        "::error file=scenario.toml,line=12,title=hubstorm%3A threshold without enough data::telemetry p(99.9) < 1s: ",
    ];
    assert!(
        lines.len() >= 2 && lines.iter().zip(starts).all(|(line, start)| line.starts_with(start)),
        "{lines:?}"
    );

    run(&["--no-step-summary"], summary.to_str().unwrap()).exits(99);
    assert_eq!(fs::read_to_string(&summary).unwrap(), appended);

    let refused = run(&[], "/proc/none/summary.md");
    assert!(
        refused.exits(99).stderr.contains("warning: cannot append the summary to /proc/none/summary.md: ")
    );
}

#[test]
fn run_annotates_azure_pipelines() {
    let work = failing();
    let mut run = work.run_command();
    run.env("TF_BUILD", "True").env("BUILD_SOURCESDIRECTORY", work.scenario().parent().unwrap());
    let finished = finish(run);
    let start =
        "##vso[task.logissue type=error;sourcepath=scenario.toml;linenumber=11]hubstorm: threshold failed: ";
    assert!(finished.exits(99).stderr.lines().any(|line| line.starts_with(start)), "{}", finished.stderr);
    // Outside a CI system, there are none.
    let plain = finish(work.run_command());
    assert!(
        !plain.exits(99).stderr.contains("##vso") && !plain.stderr.contains("::error"),
        "{}",
        plain.stderr
    );
}
