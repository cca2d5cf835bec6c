//! The layout of the summary.

use super::*;
use crate::result::model::ThresholdStatus;
use crate::result::testing::result as sample;

fn at(columns: u16) -> Width {
    Width::of(None, Some(columns))
}

/// The result in `reports/`: an operation in several phases, with warm-up.
fn example() -> RunResult {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/example.json");
    crate::result::read(&file).unwrap()
}

/// Returns the committed results: the example, and the results of `tests/results/`, if there are any.
fn committed() -> Vec<RunResult> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/results");
    let files = std::fs::read_dir(folder).into_iter().flatten().map(|file| file.unwrap().path());
    let results = files.filter(|file| file.extension().is_some_and(|end| end == "json"));
    std::iter::once(example()).chain(results.map(|file| crate::result::read(&file).unwrap())).collect()
}

/// Returns the lines from one heading to the next empty line, without the heading.
fn section<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    lines.take_while(|line| !line.is_empty()).collect()
}

#[test]
fn summary_fits_every_width() {
    let mut long = sample();
    long.run.scenario.name = "word ".repeat(60);
    long.verdict.reasons = vec!["word ".repeat(60)];
    long.findings[0].text = "word ".repeat(60);
    long.thresholds[0].phase = Some("phase-with-a-long-name".repeat(4));
    long.measurement.errors[0].example = "word ".repeat(60);
    long.measurement.errors[0].class = "a_class_with_a_long_name".to_owned();
    for columns_max in [60, 80, 100, 200] {
        for result in committed().iter().chain([&long]) {
            for line in text(result, false, at(columns_max)).lines() {
                // A path stays whole, so that it can be copied.
                let mut words = line.split(' ');
                let has_path =
                    words.any(|word| word.contains('/') && columns(word) + 15 > columns_max.into());
                assert!(columns(line) <= columns_max.into() || has_path, "{columns_max}: {line}");
            }
        }
        let prose = text(&long, false, at(columns_max));
        assert!(prose.contains("word word") && prose.contains("a_class_with_a_long_name"));
    }
}

#[test]
fn files_have_the_same_width_as_a_terminal_of_100_columns() {
    let result = example();
    assert_eq!(text(&result, false, Width::FILE), text(&result, false, at(100)));
    assert_ne!(text(&result, false, Width::FILE), text(&result, false, at(80)));
}

#[test]
fn narrow_table_has_response_times_then_outcomes() {
    let result = example();
    let wide = text(&result, false, at(100));
    let wide = section(&wide, "Operations");
    assert!(wide.iter().any(|line| line.starts_with("  telemetry ") && line.contains(" / ")));
    for columns in [60, 80] {
        let text = text(&result, false, at(columns));
        let tables: Vec<&str> = text.split("\n\n").filter(|part| part.contains("- peak ")).collect();
        let [response, outcomes] = tables[..] else { panic!("{columns}: {text}") };
        for (table, head) in [(response, "p99.9"), (outcomes, "ok / due")] {
            assert!(table.contains(head), "{columns}: {table}");
            for label in ["online warm-up", "telemetry", "  - steady", "  - peak", "  - warm-up"] {
                let starts = |line: &str| line.starts_with(&format!("  {label} "));
                assert_eq!(table.lines().filter(|line| starts(line)).count(), 1, "{label}: {table}");
            }
        }
    }
}

#[test]
fn phase_names_are_whole() {
    let mut result = example();
    let name = "a-phase-whose-name-is-as-long-as-this-one-which-is-52";
    result.measurement.phases[1].name = name.to_owned();
    for part in &mut result.measurement.operations {
        if part.phase == "steady" {
            name.clone_into(&mut part.phase);
        }
    }
    for columns in [60, 80, 100, 200] {
        let text = text(&result, false, at(columns));
        assert!(text.contains(&format!("\n    - {name}")), "{columns}: {text}");
    }
}

#[test]
fn undecided_thresholds_and_stalls_are_shown() {
    let mut result = sample();
    let threshold = &mut result.thresholds[0];
    threshold.status = Some(ThresholdStatus::Undecided);
    (threshold.observed_best, threshold.observed_worst) = (Some(310_000.0), Some(560_000.0));
    let text = text(&result, false, Width::FILE);
    assert!(text.contains("  ? telemetry  p(99) < 500ms  310 ms to 560 ms  undecided\n"), "{text}");
    assert!(text.contains("less\n    than 7 ms") || text.contains("less than 7 ms"), "{text}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("no stalls") || words.contains("in total, longest"), "{words}");
}
