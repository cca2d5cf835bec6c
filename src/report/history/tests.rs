//! How results are grouped, ordered and marked, and what the formats show.

use super::*;
use crate::report::Width;
use crate::result::testing::result as sample;

/// A run that started on this day, in a file with the name of its run.
fn run(day: u8) -> RunResult {
    let mut result = sample();
    result.run.id = format!("test-{day}");
    result.run.started = format!("2026-11-{day:02}T10:00:00Z");
    result
}

fn input(result: RunResult) -> HistoryInput {
    HistoryInput::new(format!("{}.json", result.run.id), None, result)
}

fn history(results: Vec<RunResult>) -> History {
    History::of(results.into_iter().map(input).collect(), &[])
}

fn ids(group: &Group) -> Vec<&str> {
    group.runs.iter().map(|run| run.id.as_str()).collect()
}

#[test]
fn plans_are_never_mixed_and_runs_are_ordered_by_start() {
    let changed = |day, change: fn(&mut RunResult)| {
        let mut result = run(day);
        change(&mut result);
        result
    };
    let history = history(vec![
        changed(9, |result| result.run.scenario.plan_sha256 = "02".repeat(32)),
        run(12),
        changed(8, |result| result.run.scenario.name = "other".to_owned()),
        run(3),
        // Files from earlier versions have no plan.
        changed(7, |result| result.run.scenario.plan_sha256.clear()),
        run(10),
    ]);
    let groups: Vec<Vec<&str>> = history.groups.iter().map(ids).collect();
    assert_eq!(
        groups,
        [vec!["test-3", "test-10", "test-12"], vec!["test-9"], vec!["test-8"], vec!["test-7"]]
    );
    let text = text(&history, false, Width::FILE);
    assert!(text.starts_with("test: 3 results of plan 01010101\n"), "{text}");
    assert!(text.contains("\nother: 1 result of plan 01010101\n"), "{text}");
}

#[test]
fn changes_of_version_host_and_target_are_marked() {
    let mut results = vec![run(1), run(2), run(3), run(4), run(5)];
    // The port of the built-in hub differs in each run.
    results[1].run.target.port = 1;
    results[2].tool.git = Some("abc".to_owned());
    results[3].tool.git = Some("abc".to_owned());
    results[3].run.host.cores = 8;
    for result in &mut results[4..] {
        (result.tool.git, result.run.host.cores) = (Some("abc".to_owned()), 8);
        result.run.target.embedded = false;
    }
    let history = history(results);
    let changes: Vec<Vec<&str>> = history.groups[0]
        .runs
        .iter()
        .map(|run| run.changes.iter().map(|change| change.what).collect())
        .collect();
    assert_eq!(changes, [vec![], vec![], vec!["version"], vec!["host"], vec!["target"]]);
    let text = text(&history, false, Width::FILE);
    assert!(text.contains("> version changed from 0.1.0 to 0.1.0 (abc)\n"), "{text}");
    assert!(text.contains("> host changed from linux x86_64, a processor, 2 cores to linux"), "{text}");
    let page = html(&history, &[], &[]).unwrap();
    assert!(page.contains("target changed from the built-in hub to iot-hub at localhost:8883"), "{page}");
    assert!(page.contains("Vertical lines: the version, host or target changed."), "{page}");
}

#[test]
fn copies_of_a_run_are_shown_once() {
    let copy = |name: &str| HistoryInput::new(name.to_owned(), None, run(1));
    let history = History::of(vec![copy("a.json"), copy("test-1.json"), copy("b.json")], &[]);
    let of = |file: &str| (file.to_owned(), "test-1.json".to_owned());
    assert_eq!(history.copies, [of("a.json"), of("b.json")], "the file with the name of the run is shown");
    assert_eq!(history.groups[0].runs.len(), 1);
}

#[test]
fn metrics_are_the_wanted_ones_or_those_of_the_newest_run() {
    let metric = |text: &str| text.parse::<MetricSpec>().unwrap();
    let wanted = [metric("telemetry max"), metric("twin.get p(99)")];
    let history = History::of(vec![input(run(1))], &wanted);
    assert_eq!(history.groups[0].metrics, wanted);
    assert_eq!(history.never_read(&wanted), Some(&wanted[1]));
    assert_eq!(history.never_read(&wanted[..1]), None);
    let mut newest = run(2);
    let test = crate::measure::Test::Max { compare: crate::measure::Compare::Less, limit_us: 8_000 };
    newest.rules.as_mut().unwrap().thresholds.push(crate::measure::Rule {
        metric: crate::measure::Operation::Telemetry,
        phase: None,
        fleet: None,
        expression: "max < 8ms".to_owned(),
        test,
        without_faults: false,
        abort_from_us: None,
        line: None,
    });
    newest.thresholds[0].limit = 8_000.0;
    let history = History::of(vec![input(newest), input(run(1))], &[]);
    assert_eq!(history.groups[0].metrics, [metric("telemetry max")]);
    let page = html(&history, &[], &[]).unwrap();
    assert!(page.contains(">limit 8.00 ms<") && page.contains("Limit of the newest run: 8.00 ms."), "{page}");
}

#[test]
fn text_fits_every_width() {
    let mut results: Vec<RunResult> = (1..5).map(run).collect();
    results[2].run.host.cpu = "a processor with a long name ".repeat(5);
    let history = history(results);
    for columns in [60, 80, 100, 200] {
        let text = text(&history, false, Width::of(None, Some(columns)));
        for line in text.lines() {
            assert!(super::super::width::columns(line) <= columns.into(), "{columns}: {line}");
        }
        for part in
            ["p(50)", "p(99)", "rate(ok)", "achieved", "connect", "2026-11-03 10:00:00", "* fewer than 10"]
        {
            assert!(text.contains(part), "{columns}: {part}: {text}");
        }
    }
}

#[test]
fn csv_has_only_runs_with_a_valid_value_of_every_metric() {
    let mut results: Vec<RunResult> = (1..6).map(run).collect();
    results[1].verdict.status = Status::Invalid;
    results[2].run.complete = false;
    results[3].measurement.operations.retain(|part| part.operation.name() != "telemetry");
    results[4].verdict.status = Status::Fail;
    let wanted = ["telemetry p(99)", "telemetry rate(ok)"].map(|text| text.parse::<MetricSpec>().unwrap());
    let history = History::of(results.into_iter().map(input).collect(), &wanted);
    let table = csv(&history.groups[0]).unwrap();
    assert_eq!(
        table.text,
        "time,run,verdict,version,commit,host,target,telemetry p(99) us,telemetry rate(ok)\r\n\
         2026-11-01T10:00:00Z,test-1,pass,0.1.0,,\"linux x86_64, a processor, 2 cores\",the built-in hub,8003,0.5\r\n\
         2026-11-05T10:00:00Z,test-5,fail,0.1.0,,\"linux x86_64, a processor, 2 cores\",the built-in hub,8003,0.5\r\n"
    );
    let reasons: Vec<&str> = table.left_out.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(
        reasons,
        ["its measurement is invalid", "the run is incomplete", "it has no value of telemetry p(99)"]
    );
}

#[test]
fn hostile_names_stay_text() {
    let mut result = run(1);
    let hostile = "<script>alert(1)</script>\"'&\n=1+1";
    let phase = "=1+1\n<img src=x>";
    result.run.scenario.name = hostile.to_owned();
    result.run.id = "=cmd|'/C calc'!A1".to_owned();
    result.run.host.cpu = hostile.to_owned();
    for part in &mut result.measurement.operations {
        part.phase = phase.to_owned();
    }
    let metric = MetricSpec {
        operation: crate::measure::Operation::Telemetry,
        phase: Some(phase.to_owned()),
        fleet: None,
        aggregate: crate::result::metric::Aggregate::Max,
    };
    let named = |name: &str, result| HistoryInput::new(name.to_owned(), Some(format!("{name}.html")), result);
    let second = RunResult {
        run: crate::result::model::Run { id: "b".to_owned(), ..result.run.clone() },
        ..result.clone()
    };
    let inputs = vec![named("javascript:alert(1)//<b>", result), named("b.json", second)];
    let history = History::of(inputs, &[metric]);
    assert_eq!(history.groups[0].runs.len(), 2);
    let skipped = [("<i>.json".to_owned(), "<u>".to_owned())];
    let page = html(&history, &[], &skipped).unwrap();
    let body = page.split("<body>").nth(1).unwrap();
    for tag in ["<script>alert", "<img", "<b>.html", "<i>", "<u>", "href=\"javascript"] {
        assert!(!body.contains(tag), "{tag}: {body}");
    }
    let text = text(&history, false, Width::FILE);
    assert!(!text.contains("&\n=1"), "a name cannot break a line: {text}");
    let table = csv(&history.groups[0]).unwrap();
    assert!(table.text.contains(",'=cmd|"), "no formula: {}", table.text);
    assert_eq!(table.text.lines().count(), 3, "{}", table.text);
}
