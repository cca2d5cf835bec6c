//! The formats for CI systems and other programs: golden files, readers of other authors, and the same numbers in all formats. `ci.rs`
//! tests what `run` writes.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use crate::committed_results::{self, RESULTS};
use crate::report::sample;
use crate::support::readers;
use hubstorm::measure::{Latency, Operation, Outcome};
use hubstorm::report::{CiSystem, Format, annotations};
use hubstorm::result::model::{Finding, RunResult, Severity, ThresholdStatus};
use hubstorm::units::{human_count, human_us};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Renders a format of one file.
fn render(format: Format, result: &RunResult) -> String {
    let mut texts = format.render(result).unwrap();
    assert_eq!(texts.len(), 1);
    texts.remove(0)
}

/// The samples, and the committed results of real runs.
fn results() -> Vec<(&'static str, RunResult)> {
    let samples = sample::all().into_iter();
    samples.chain(RESULTS.map(|(name, ..)| (name, committed_results::read(name)))).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Returns the histogram of an operation outside warm-up, or in warm-up if it was due only there, and its outcomes.
fn headline(result: &RunResult, operation: Operation) -> hubstorm::measure::Totals {
    let measured = |warmup: bool| {
        result
            .measurement
            .sum(|part| part.operation == operation && (warmup || !result.measurement.is_warmup(&part.phase)))
    };
    let total = measured(false);
    if total.due > 0 { total } else { measured(true) }
}

fn operations(result: &RunResult) -> Vec<Operation> {
    let due = |operation: &Operation| result.measurement.of(*operation).due > 0;
    Operation::ALL.into_iter().filter(due).collect()
}

#[test]
fn junit_is_valid_and_two_readers_agree() {
    for (name, result) in results() {
        let xml = render(Format::Junit, &result);
        let read = readers::python("junit", &xml);
        let cases = read["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 1 + result.thresholds.len(), "{name}");
        let mut counts = BTreeMap::from([("failures", 0), ("errors", 0)]);
        let statuses = result.thresholds.iter().map(|threshold| match threshold.status.unwrap() {
            ThresholdStatus::Passed => None,
            ThresholdStatus::Failed => Some(("Failure", "failed")),
            ThresholdStatus::InsufficientSamples => Some(("Failure", "insufficient_samples")),
            ThresholdStatus::Undecided => Some(("Error", "undecided")),
        });
        let verdict = match (name, result.verdict.exit_code) {
            (_, 0) => None,
            (_, 99) => Some(("Failure", "fail")),
            ("interrupted", 105) => Some(("Error", "interrupted")),
            (_, 120) => Some(("Error", "invalid")),
            other => panic!("{other:?}"),
        };
        for (case, expected) in cases.iter().zip(std::iter::once(verdict).chain(statuses)) {
            let results = case["results"].as_array().unwrap();
            let found = results.first().map(|one| (text(&one["kind"]), text(&one["type"])));
            assert_eq!(found, expected, "{name}: {case}");
            match expected {
                Some(("Failure", _)) => *counts.get_mut("failures").unwrap() += 1,
                Some(_) => *counts.get_mut("errors").unwrap() += 1,
                None => {}
            }
        }
        assert_eq!(read["counts"]["failures"], counts["failures"], "{name}");
        assert_eq!(read["counts"]["errors"], counts["errors"], "{name}");
        assert_eq!(text(&read["properties"]["seed"]), result.run.seed.to_string(), "{name}");

        let other = readers::node_junit(&xml);
        let other_cases = other["testcase"].as_array().unwrap();
        let names = |cases: &[Value], class: &str| -> Vec<[String; 2]> {
            cases.iter().map(|case| [class, "name"].map(|key| text(&case[key]).to_owned())).collect()
        };
        assert_eq!(names(other_cases, "classname"), names(cases, "class"), "{name}");
        assert_eq!(
            other["properties"].as_array().unwrap().len(),
            read["properties"].as_object().unwrap().len()
        );
    }
}

#[test]
fn junit_explains_each_threshold() {
    let read = readers::python("junit", &render(Format::Junit, &sample::fail()));
    let case = |name: &str| {
        let cases = read["cases"].as_array().unwrap();
        cases.iter().find(|case| case["name"] == name).unwrap_or_else(|| panic!("{name}: {read}"))
    };
    assert_eq!(case("verdict")["class"], "Smart meters, a quick start.all phases");
    let failed = case("telemetry p(99) < 30ms");
    let [one] = &failed["results"].as_array().unwrap()[..] else { panic!("{failed}") };
    for part in ["observed: ", "\nlimit: 30.0 ms (p(99) < 30ms)\n", "\nsamples: 45,424\n", "\nmargin: "] {
        assert!(text(&one["text"]).contains(part), "{part}: {failed}");
    }
    let few = case("connect{phase:evening peak} p(99) < 2s");
    assert_eq!(few["class"], "Smart meters, a quick start.evening peak");
    assert_eq!(few["results"][0]["message"], "not enough data (40 of 1,000 samples)");
    let undecided = case("telemetry{phase:steady} p(99.9) < 30ms");
    assert!(text(&undecided["results"][0]["message"]).starts_with("undecided: "), "{undecided}");
}

#[test]
fn histogram_log_is_read_with_identical_percentiles() {
    const QUANTILES: [(&str, f64); 5] =
        [("50.0", 0.5), ("95.0", 0.95), ("99.0", 0.99), ("99.9", 0.999), ("100.0", 1.0)];
    let expected = |result: &RunResult, at: &dyn Fn(&Latency, f64) -> Option<u64>| -> Vec<Value> {
        let entry = |operation: Operation| {
            let response = headline(result, operation).response;
            let percentiles = QUANTILES.map(|(name, q)| (name, at(&response, q).unwrap_or(0)));
            json!({ "tag": operation.name(), "count": response.count(), "percentiles": BTreeMap::from(percentiles) })
        };
        operations(result).into_iter().map(entry).collect()
    };
    for (name, result) in results() {
        let log = render(Format::Hlog, &result);
        assert_eq!(readers::java_hlog(&log), Value::from(expected(&result, &Latency::quantile)), "{name}");
        if readers::has_python_hlog() {
            // Python's library rounds the rank to the nearest sample.
            let nearest = |response: &Latency, q: f64| {
                response.at_rank(((q * response.count() as f64 + 0.5) as u64).max(1))
            };
            assert_eq!(readers::python("hlog", &log), Value::from(expected(&result, &nearest)), "{name}");
        }
    }
}

#[test]
fn csv_contains_the_numbers_of_the_result() {
    for (name, result) in results() {
        let texts = Format::Csv.render(&result).unwrap();
        let [series, operations] = &texts[..] else { panic!("{name}") };
        for table in [series, operations] {
            assert!(table.ends_with("\r\n") && table.matches('\n').count() == table.matches("\r\n").count());
        }
        let json: Value = serde_json::to_value(&result).unwrap();
        let number = |value: &Value| if value.is_null() { String::new() } else { value.to_string() };
        let read = readers::python("csv", operations);
        let parts = json["operations"].as_array().unwrap();
        assert_eq!(read.as_array().unwrap().len(), parts.len(), "{name}");
        for (row, part) in read.as_array().unwrap().iter().zip(parts) {
            for key in ["operation", "fleet", "phase"] {
                assert_eq!(row[key], part[key], "{name}");
            }
            assert_eq!(text(&row["due"]), number(&part["due"]));
            for outcome in Outcome::ALL.map(Outcome::name) {
                let count = part["outcomes"].get(outcome).map_or("0".to_owned(), number);
                assert_eq!(text(&row[outcome]), count, "{name} {outcome}");
            }
            for latency in ["response", "service", "wait", "lag"] {
                for figure in ["count", "p50_us", "p95_us", "p99_us", "p999_us", "max_us"] {
                    let cell = text(&row[format!("{latency}_{figure}")]);
                    assert_eq!(cell, number(&part[latency][figure]), "{name} {latency} {figure}");
                }
            }
        }
        let read = readers::python("csv", series);
        let rows = json["series"]["rows"].as_array().unwrap();
        assert_eq!(read.as_array().unwrap().len(), rows.len(), "{name}");
        for (found, row) in read.as_array().unwrap().iter().zip(rows) {
            for key in ["t_us", "online", "planned_online", "offered", "achieved", "errors", "lag_max_us"] {
                assert_eq!(text(&found[key]), number(&row[key]), "{name} {key}");
            }
            for (operation, latency) in row["response"].as_object().unwrap() {
                for figure in ["count", "p50_us", "p99_us", "p999_us", "max_us"] {
                    let cell = text(&found[format!("{operation}_{figure}")]);
                    assert_eq!(cell, number(&latency[figure]), "{name} {operation} {figure}");
                }
            }
        }
    }
    let [series, operations] = &Format::Csv.render(&sample::pass()).unwrap()[..] else { panic!() };
    assert!(series.lines().nth(2).unwrap().starts_with("2026-03-01T12:00:01.125Z,1000000,1000000,ramp,"));
    assert!(
        operations.contains(",true,2026-03-01T12:00:00.125Z,2026-03-01T12:00:20.125Z,1000,"),
        "{operations}"
    );
}

/// The samples of a metrics file: name and labels, and the value.
fn metrics(result: &RunResult) -> BTreeMap<String, f64> {
    let read = readers::python("metrics", &render(Format::Metrics, result));
    let samples = read.as_array().unwrap().iter().map(|one| {
        let labels: BTreeMap<String, String> = serde_json::from_value(one["labels"].clone()).unwrap();
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (format!("{} {}", text(&one["name"]), labels.join(" ")), one["value"].as_f64().unwrap())
    });
    samples.collect()
}

#[test]
fn metrics_are_read_with_the_same_numbers() {
    for (name, result) in results() {
        let found = metrics(&result);
        assert_eq!(found["hubstorm_exit_code "], f64::from(result.verdict.exit_code), "{name}");
        for operation in operations(&result) {
            let totals = headline(&result, operation);
            let outside = result
                .measurement
                .sum(|part| part.operation == operation && !result.measurement.is_warmup(&part.phase));
            let scope = if outside.due > 0 { "total" } else { "warm-up" };
            for (outcome, count) in totals.outcomes.iter() {
                let (operation, outcome) = (operation.name(), outcome.name());
                let key = format!(
                    "hubstorm_operations_total operation={operation} outcome={outcome} scope={scope}"
                );
                assert_eq!(found[&key], count as f64, "{name}: {key}");
            }
            for (quantile, q) in [("0.5", 0.5), ("0.99", 0.99), ("0.999", 0.999), ("1.0", 1.0)] {
                let Some(us) = totals.response.quantile(q) else { continue };
                let operation = operation.name();
                let key = format!(
                    "hubstorm_response_seconds operation={operation} quantile={quantile} scope={scope}"
                );
                assert_eq!(found[&key], us as f64 / 1e6, "{name}: {key}");
            }
        }
    }
    // A scenario may contain the same threshold twice, and names with quotes.
    let mut result = sample::fail();
    result.thresholds[0].phase = Some("a\"b\\c\nd".to_owned());
    result.thresholds.push(result.thresholds[0].clone());
    let found = metrics(&result);
    assert!(found.keys().any(|key| key.contains("phase=a\"b\\c\u{fffd}d")), "{found:?}");
}

/// Kinds of Markdown tokens that a summary may contain.
const MARKDOWN_KINDS: [&str; 19] = [
    "bullet_list_close",
    "bullet_list_open",
    "code_inline",
    "heading_close",
    "heading_open",
    "list_item_close",
    "list_item_open",
    "paragraph_close",
    "paragraph_open",
    "table_close",
    "tbody_close",
    "td_close",
    "td_open",
    "text",
    "text_special",
    "th_close",
    "th_open",
    "thead_close",
    "thead_open",
];

/// A result with many rows in every table, whose names try to become markup.
fn crowded() -> RunResult {
    let mut result = sample::fail();
    let names = [
        "@octocat",
        "#1",
        "a|b",
        "`c`",
        "<img src=x>",
        "line\n\n# h",
        "1. x",
        "[x](y)",
        ":tada:",
        "***",
        "~~~",
        "a\\|b",
    ];
    let name = |index: usize| format!("{} {index} {}", names[index % names.len()], "|@x*".repeat(3_000));
    let threshold = result.thresholds[0].clone();
    for index in 0..400 {
        let mut threshold = threshold.clone();
        threshold.phase = Some(name(index));
        threshold.expression = name(index + 1);
        threshold.observed_text = name(index + 2);
        result.thresholds.push(threshold);
        let (text, evidence) = (name(index), name(index + 1));
        result.findings.push(Finding { severity: Severity::Warning, text, evidence });
        let mut error = result.measurement.errors[0].clone();
        (error.class, error.example) = (name(index), name(index + 1));
        result.measurement.errors.push(error);
        result.verdict.reasons.push(name(index));
    }
    (result.run.scenario.name, result.run.scenario.file) = (name(0), name(1));
    result.run.overrides = (0..400).map(name).collect();
    (result.run.target.host, result.run.host.cpu) = (name(2), name(3));
    result
}

#[test]
fn markdown_keeps_names_as_text_below_60_kb() {
    for (name, result) in results().into_iter().chain([("crowded", crowded())]) {
        let markdown = render(Format::Markdown, &result);
        assert!(markdown.len() < 60_000, "{name}: {} bytes", markdown.len());
        let is_emoji = |c: char| matches!(c, '\u{2600}'..='\u{27bf}' | '\u{1f000}'..='\u{1ffff}');
        assert!(!markdown.contains(is_emoji), "{name}");
        let read = readers::python("markdown", &markdown);
        for kind in read["kinds"].as_array().unwrap() {
            let known = MARKDOWN_KINDS.contains(&text(kind))
                || ["table_open", "tr_open", "tr_close", "tbody_open"].contains(&text(kind));
            assert!(known, "{name}: {kind}");
        }
        let html = read["html"].as_array().unwrap().iter().map(text).collect::<Vec<_>>();
        assert_eq!(html, ["<details>\n<summary>Environment</summary>\n", "</details>\n"], "{name}");
        // GitHub turns these into links or emojis, unless a character separates them.
        for line in read["texts"].as_array().unwrap().iter().map(text) {
            let follows = |c: char, is: fn(char) -> bool| {
                line.char_indices()
                    .filter(|(_, found)| *found == c)
                    .any(|(at, _)| line[at + 1..].starts_with(is))
            };
            assert!(!follows('@', |c| c.is_ascii_alphanumeric()), "{name}: {line}");
            assert!(!follows('#', |c| c.is_ascii_digit()), "{name}: {line}");
            assert!(!line.contains("://") && !line.contains(":tada:"), "{name}: {line}");
        }
        for table in read["tables"].as_array().unwrap() {
            let table = table.as_array().unwrap();
            assert!(
                table.iter().all(|row| row.as_array().unwrap().len() == table[0].as_array().unwrap().len())
            );
        }
    }
    let markdown = render(Format::Markdown, &crowded());
    assert_eq!(markdown.matches("more rows are left out").count(), 5, "all but the operations");
}

#[test]
fn markdown_cells_contain_the_exact_names() {
    for hostile in
        ["a|b", "`c`", "<b>x</b>", "[x](y)", "*a* _b_", "a\\|b", "@octocat #1", "&amp;", "$x$", "~~x~~"]
    {
        let mut result = sample::pass();
        for threshold in &mut result.thresholds {
            threshold.phase = Some(hostile.to_owned());
        }
        let read = readers::python("markdown", &render(Format::Markdown, &result));
        let cell = text(&read["tables"][0][1][1]).replace('\u{200b}', "");
        assert_eq!(cell, format!("connect{{phase:{hostile}}}"), "{read}");
    }
}

/// The same figures in every format, of the operation that each result has most of.
#[test]
fn all_formats_contain_the_same_numbers() {
    for (name, result) in results() {
        let most = operations(&result).into_iter().max_by_key(|operation| headline(&result, *operation).due);
        let Some(operation) = most else {
            assert_eq!(name, "empty");
            continue;
        };
        let totals = headline(&result, operation);
        let [ok, due, p99] = [totals.ok(), totals.due, totals.response.quantile(0.99).unwrap_or(0)];

        let samples = metrics(&result);
        let of = |name: &str, label: &str| {
            let key = format!("{name} operation={} {label}scope=", operation.name());
            ["total", "warm-up"].into_iter().find_map(|scope| samples.get(&format!("{key}{scope}"))).copied()
        };
        assert_eq!(of("hubstorm_operations_total", "outcome=ok "), Some(ok as f64), "{name}");
        let seconds = of("hubstorm_response_seconds", "quantile=0.99 ").unwrap_or_default();
        assert_eq!(seconds, p99 as f64 / 1e6, "{name}");

        let log = readers::java_hlog(&render(Format::Hlog, &result));
        let entry = log.as_array().unwrap().iter().find(|entry| entry["tag"] == operation.name()).unwrap();
        let found = (entry["count"].as_u64(), entry["percentiles"]["99.0"].as_u64());
        assert_eq!(found, (Some(totals.response.count()), Some(p99)), "{name}");

        let rows = readers::python("csv", &Format::Csv.render(&result).unwrap()[1]);
        let rows = rows.as_array().unwrap();
        let sums = |warmup: bool| {
            let counted = rows
                .iter()
                .filter(|row| row["operation"] == operation.name() && (warmup || row["warmup"] == "false"));
            counted.fold([0, 0], |[ok, due], row| {
                let count = |key: &str| text(&row[key]).parse::<u64>().unwrap();
                [ok + count("ok"), due + count("due")]
            })
        };
        let outside = sums(false);
        assert_eq!(if outside[1] > 0 { outside } else { sums(true) }, [ok, due], "{name}");

        let [ok, due] = [ok, due].map(human_count);
        let p99 = human_us(p99);
        let tables = |format: Format| -> Vec<Vec<String>> {
            let reader = if format == Format::Html { "html" } else { "markdown" };
            let read = readers::python(reader, &render(format, &result));
            let tables: Vec<Vec<Vec<String>>> = serde_json::from_value(read["tables"].clone()).unwrap();
            tables.concat()
        };
        let has = |row: &[String], cell: &str| row.iter().any(|found| found == cell);
        let markdown = tables(Format::Markdown);
        let row = markdown.iter().find(|row| row[0] == operation.name()).unwrap();
        assert!(has(row, &format!("{ok} / {due}")) && has(row, &p99), "{name}: {row:?}");
        // In the page, the name of the operation may be in a row above.
        let html = tables(Format::Html);
        let is_in_page = html.iter().any(|row| has(row, &due) && has(row, &p99));
        assert!(is_in_page, "{name}: {due} {}, p99 {p99}", operation.name());
        assert!(render(Format::Text, &result).contains(&format!("{ok} / {due}")), "{name}");

        let junit = readers::python("junit", &render(Format::Junit, &result));
        let cases = &junit["cases"].as_array().unwrap()[1..];
        for (case, threshold) in cases.iter().zip(&result.thresholds) {
            let samples = format!("\nsamples: {}", human_count(threshold.samples));
            let results = case["results"].as_array().unwrap();
            assert!(results.iter().all(|one| text(&one["text"]).contains(&samples)), "{name}: {case}");
        }
    }
}

#[test]
fn golden_files() {
    let all = [
        ("pass", sample::pass()),
        ("fail", sample::fail()),
        ("invalid", sample::invalid()),
        ("aborted", committed_results::read("aborted")),
        ("interrupted", sample::interrupted()),
        ("empty", sample::empty()),
    ];
    for (name, result) in all {
        for format in [Format::Junit, Format::Markdown, Format::Metrics] {
            insta::assert_snapshot!(format!("{}_{name}", format.name()), render(format, &result));
        }
        // The rows of the series are alike, and histograms in base64 are long.
        let [series, operations] = &Format::Csv.render(&result).unwrap()[..] else { panic!() };
        let series: Vec<&str> = series.lines().take(4).collect();
        let log = render(Format::Hlog, &result);
        let log: Vec<String> = log.lines().map(|line| line.chars().take(80).collect()).collect();
        let parts = [series.join("\n"), operations.replace('\r', ""), log.join("\n")];
        insta::assert_snapshot!(format!("tables_{name}"), parts.join("\n\n"));
    }
    let mut result = sample::fail();
    for (line, threshold) in (40..).zip(&mut result.thresholds) {
        threshold.line = Some(line);
    }
    for (name, system) in [("github", CiSystem::GitHub), ("azure", CiSystem::Azure)] {
        let lines = annotations(&result, system, Some("load/meters.toml"));
        insta::assert_snapshot!(format!("annotations_{name}"), lines);
    }
}
