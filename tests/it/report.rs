//! The formats of a result: contents of the page and the terminal summary, and escaping of hostile strings.

#[path = "../support/sample_result/mod.rs"]
pub(crate) mod sample;

use hubstorm::measure::{FromHub, Latency, Operation, OperationTotals, Outcome};
use hubstorm::report::{self, Width};
use hubstorm::result::model::{Detail, RunResult};

#[test]
fn page_shows_the_verdict_before_the_details() {
    let page = report::html(&sample::fail()).unwrap();
    let order = [
        "<header class=\"verdict fail\">",
        "class=\"headlines\"",
        "<figure",
        "id=\"thresholds\"",
        "id=\"findings\"",
        "id=\"timeline\"",
        "id=\"spectrum-heading\"",
        "id=\"operations\"",
        "id=\"errors-heading\"",
        "id=\"health\"",
        "id=\"run\"",
        "id=\"scenario\"",
    ];
    let positions: Vec<usize> = order.iter().map(|part| page.find(part).expect(part)).collect();
    assert!(positions.is_sorted(), "{positions:?}");
}

#[test]
fn verdict_is_shown_in_words_beside_its_color() {
    for (result, word, status) in [
        (sample::pass(), "Pass", "pass"),
        (sample::fail(), "Fail", "fail"),
        (sample::invalid(), "Invalid", "invalid"),
        (sample::interrupted(), "Interrupted", "interrupted"),
    ] {
        let page = report::html(&result).unwrap();
        assert!(page.contains(&format!("<title>{word}: Smart meters")), "{word}");
        assert!(page.contains(&format!("class=\"verdict {status}\"")), "{word}");
        for reason in &result.verdict.reasons {
            let escaped = reason.replace('<', "&#60;").replace('>', "&#62;");
            assert!(page.contains(&escaped), "{reason}");
        }
    }
    let invalid = report::html(&sample::invalid()).unwrap();
    for warning in ["2 thresholds are undecided", "TLS certificates were not checked"] {
        assert!(invalid.contains(warning), "{warning}");
    }
}

/// The reasons name the cause of a breakdown, so the headline must not name another one.
#[test]
fn headline_of_a_breakdown_names_no_other_cause() {
    let mut result = sample::invalid();
    let text = "the built-in hub stopped before the end of the run: it was killed".to_owned();
    result.verdict.reasons = vec![text.clone()];
    result.verdict.details =
        vec![Detail { code: "breakdown".to_owned(), text, phase: None, fleet: None, source: None }];
    for output in [report::text(&result, false, Width::FILE), report::html(&result).unwrap()] {
        let [headline, reason] = ["The run is incomplete", "stopped before the end of the run"]
            .map(|text| output.find(text).unwrap());
        assert!(headline < reason, "the reason follows the headline");
        assert!(!output.contains("bottleneck") && !output.contains("load generator was"), "{output}");
    }
}

#[test]
fn hub_messages_are_shown_only_if_there_were_any() {
    let mut result = sample::pass();
    for output in [report::text(&result, false, Width::FILE), report::html(&result).unwrap()] {
        assert!(
            !output.contains("desired properties") && !output.contains("Messages from the hub over"),
            "{output}"
        );
    }
    let from_hub = FromHub { desired: 1_200, late_answers: 1, ..FromHub::default() };
    result.measurement.fleets[0].counts.from_hub = from_hub;
    let text = report::text(&result, false, Width::FILE);
    assert!(text.contains("  twins      1,200 changes to desired properties, 1 late answer\n"), "{text}");
    assert!(!text.contains("  methods ") && !text.contains("  commands "), "{text}");
    let page = report::html(&result).unwrap();
    assert!(
        page.contains("Messages from the hub over") && page.contains("<td>1,200</td><td>1</td>"),
        "{page}"
    );
    assert!(
        page.contains(">Desired<") && !page.contains(">C2D<"),
        "columns that are zero everywhere are left out"
    );
}

#[test]
fn interrupted_run_shows_its_verdict_until_then() {
    let page = report::html(&sample::interrupted()).unwrap();
    assert!(page.contains("Verdict until then: Pass."), "the verdict is beside it");
    assert!(!page.contains("verdict pass"), "no green banner");
    let text = report::text(&sample::interrupted(), false, Width::FILE);
    assert!(text.starts_with("INTERRUPTED  Smart meters") && text.contains("until then: Pass."), "{text}");
}

#[test]
fn failed_tls_is_not_called_plain_tcp() {
    let target = |tls_wanted: bool| {
        let mut result = sample::empty();
        result.run.target.tls_wanted = tls_wanted;
        [report::html(&result).unwrap(), report::text(&result, false, Width::FILE)]
    };
    for output in target(true) {
        assert!(output.contains("TLS, no handshake succeeded") && !output.contains("plain TCP"), "{output}");
    }
    for output in target(false) {
        assert!(output.contains("plain TCP") && !output.contains("no handshake"), "{output}");
    }
}

/// Unfinished operations are not ok, although no row of the series counts their end.
#[test]
fn phases_count_unfinished_operations_as_not_ok() {
    let mut result = sample::pass();
    let steady = |part: &&mut OperationTotals| {
        (part.operation, part.phase.as_str()) == (Operation::Telemetry, "steady")
    };
    let part = result.measurement.operations.iter_mut().find(steady).unwrap();
    part.totals.outcomes[Outcome::Ok] -= 4_321;
    part.totals.outcomes[Outcome::Unfinished] = 4_321;
    let page = report::html(&result).unwrap();
    let phases =
        page.split("The phases in numbers</caption>").nth(1).unwrap().split("</table>").next().unwrap();
    let row = phases.lines().find(|line| line.contains(">steady")).unwrap();
    assert!(row.contains("<td>4,321</td>"), "{row}");
}

#[test]
fn online_chart_hides_the_disconnects_at_the_end() {
    let first_chart = |result: &_| {
        let page = report::html(result).unwrap();
        // The chart of devices online, in its first size.
        page.split("data-chart=\"online\"").nth(1).unwrap().split("</svg>").next().unwrap().to_owned()
    };
    let mut result = sample::pass();
    let whole = first_chart(&result);
    let last = result.series.rows.last().unwrap();
    assert_eq!(last.t_us + result.series.interval_us, result.phases.last().unwrap().end_us);
    result.measurement.series.rows.last_mut().unwrap().online = 0;
    assert_eq!(first_chart(&result), whole);
    result.measurement.series.rows[60].online = 0;
    assert_ne!(first_chart(&result), whole, "a loss before the end is shown");
}

/// The chart starts with the first row and ends with the load, however short the run is.
#[test]
fn online_chart_covers_the_whole_load() {
    // Returns the horizontal span of a series in the chart of devices online, in its first size.
    let span = |page: &str, series: &str| {
        let chart = page.split("data-chart=\"online\"").nth(1).unwrap().split("</svg>").next().unwrap();
        let line = chart.split(&format!("data-series=\"{series}\"")).nth(1).unwrap();
        let points = line.split(" d=\"M").nth(1).unwrap().split('"').next().unwrap();
        let x = |point: &str| point.split(',').next().unwrap().parse::<f64>().unwrap();
        (x(points), x(points.split('L').next_back().unwrap()))
    };
    let mut result = sample::pass();
    // One reading is enough for a line.
    result.measurement.series.rows.drain(2..);
    result.measurement.phases.truncate(1);
    (result.measurement.phases[0].end_us, result.run.duration_us) = (2_000_000, 2_000_000);
    let page = report::html(&result).unwrap();
    assert_eq!(span(&page, "online"), span(&page, "planned"));
    // From the axis to the right margin, in pixels.
    assert_eq!(span(&page, "online"), (64.0, 1_026.0));
}

/// `0 µs` would be misleading if no message started.
#[test]
fn empty_lag_is_described_in_words() {
    let mut result = sample::pass();
    assert!(report::html(&result).unwrap().contains("The load generator started every message within"));
    result.generator.lag = Latency::default();
    let page = report::html(&result).unwrap();
    assert!(page.contains("The load generator could not start any message."));
    result.measurement.series.rows.iter_mut().for_each(|row| row.interval.offered = 0);
    let page = report::html(&result).unwrap();
    assert!(
        page.contains("No messages were due.") && !page.contains("started every message within"),
        "{page}"
    );
}

/// The rest of the last interval is too short for a mean.
#[test]
fn partial_last_interval_sets_no_peak() {
    let mut result = sample::pass();
    let busiest = |result: &_| {
        let page = report::html(result).unwrap();
        page.split("Busiest interval: ").nth(1).unwrap().split('.').next().unwrap().to_owned()
    };
    let before = busiest(&result);
    let mut last = result.series.rows.last().unwrap().clone();
    last.t_us += result.series.interval_us;
    (last.cpu_percent, result.run.duration_us) = (99.0, last.t_us + result.series.interval_us / 10);
    let row = result.series.rows.len();
    result.measurement.series.rows.push(last);
    assert_eq!(busiest(&result), before);
    result.run.duration_us = result.series.rows[row].t_us + result.series.interval_us;
    assert_ne!(busiest(&result), before, "a whole interval sets a peak");
}

#[test]
fn threshold_columns_are_aligned_across_units() {
    let text = report::text(&sample::pass(), false, Width::FILE);
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("  ✓ ")).collect();
    let position =
        |row: &str, words: &str| row.find(words).map(|at| row[..row[..at].rfind("  ").unwrap()].len());
    let margins: Vec<_> = rows
        .iter()
        .map(|row| position(row, " below the limit").or_else(|| position(row, " of error budget")))
        .collect();
    let [written @ .., implicit] = &margins[..] else { panic!("{text}") };
    assert_eq!((written.len(), *implicit), (4, None), "a count of connects has no margin: {text}");
    assert!(written.iter().all(|at| *at == written[0] && at.is_some()), "{text}");
}

#[test]
fn page_shows_the_status_of_each_threshold() {
    let page = report::html(&sample::fail()).unwrap();
    let states = page.split("class=\"state\"").skip(1).map(|rest| rest.split("</td>").next().unwrap());
    let words: Vec<&str> =
        states.map(|state| state.rsplit("word\">").next().unwrap().split('<').next().unwrap()).collect();
    let expected =
        ["passed", "passed", "failed", "failed", "failed", "not enough data", "undecided", "passed"];
    assert_eq!(words, expected);
}

#[test]
fn error_chart_is_drawn_only_if_there_are_errors() {
    let mut result = sample::pass();
    result.measurement.series.rows.iter_mut().for_each(|row| row.interval.errors = 0);
    let page = report::html(&result).unwrap();
    assert_eq!(page.matches("<svg class=\"chart ").count(), 8 * 3);
    assert!(!page.contains("Operations not ok"));
}

#[test]
fn headline_numbers_match_the_result() {
    let page = report::html(&sample::pass()).unwrap();
    // 45,424 were due outside warm-up in 70 s, of which 118 ended otherwise than ok.
    for part in
        ["<span class=\"value\">118</span>", "of 45,424", ">641<", "649/s offered, mean outside warm-up"]
    {
        assert!(page.contains(part), "{part}");
    }
}

/// The first latency threshold determines the headline. Otherwise, it is the most frequent message that is not a twin request.
#[test]
fn headline_shows_the_operation_of_the_first_latency_threshold() {
    let headline = |threshold: Option<(&str, &str)>, renamed: &[(&str, &str)]| {
        let mut result = sample::pass();
        result.thresholds.retain(|threshold| threshold.metric == "connect");
        if let Some((metric, unit)) = threshold {
            let mut threshold = result.thresholds[0].clone();
            (threshold.metric, threshold.unit) = (metric.to_owned(), unit.to_owned());
            result.thresholds.push(threshold);
        }
        for part in &mut result.measurement.operations {
            if let Some((_, to)) = renamed.iter().find(|(from, _)| *from == part.operation.name()) {
                part.operation = Operation::from_name(to).unwrap();
            }
        }
        let page = report::html(&result).unwrap();
        let (_, rest) = page.split_once("Response p99, ").unwrap();
        let name = rest.split('<').next().unwrap().to_owned();
        assert!(
            page.contains(&format!("Percentile spectrum of {name}</span> <span class=\"unit\">latency")),
            "{name}"
        );
        name
    };
    let fan_out = [("telemetry", "publish"), ("online", "deliver")];
    assert_eq!(headline(Some(("deliver", "us")), &fan_out), "deliver");
    assert_eq!(headline(Some(("deliver", "share")), &fan_out), "publish");
    assert_eq!(headline(Some(("method", "us")), &fan_out), "publish", "no method was due");
    let twins = [("telemetry", "twin.get"), ("online", "telemetry")];
    assert_eq!(headline(None, &twins), "telemetry", "twin requests do not count");
    assert_eq!(headline(Some(("twin.get", "us")), &twins), "twin.get");
    assert_eq!(headline(None, &twins[..1]), "twin.get");
    assert_eq!(headline(None, &[("telemetry", "method")]), "connect");
}

#[test]
fn every_chart_has_a_name_and_a_description() {
    let page = report::html(&sample::pass()).unwrap();
    let charts = page.matches("<svg class=\"chart ").count();
    assert_eq!(charts, 9 * 3, "the headline, seven charts over time and the spectrum, in three sizes");
    assert_eq!(page.matches("<title id=").count(), charts);
    assert_eq!(page.matches("<desc id=").count(), charts);
    assert!(page.contains("118 operations did not end ok, the first in the interval from 1:10.0."));
}

#[test]
fn every_table_has_a_caption_and_heading_scopes() {
    for (name, result) in sample::all() {
        let page = report::html(&result).unwrap();
        let [tables, captions] = ["<table", "<caption>"].map(|part| page.matches(part).count());
        assert_eq!(tables, captions, "{name}");
        for heading in page.split("<th ").skip(1).map(|rest| rest.split('>').next().unwrap()) {
            assert!(heading.contains("scope="), "{name}: {heading}");
        }
        assert!(!page.contains("<th>"), "{name}");
    }
}

#[test]
fn run_without_data_renders() {
    let page = report::html(&sample::empty()).unwrap();
    for part in [
        "No thresholds are defined.",
        "No time series was recorded.",
        "so there is no latency to show",
        "No operations were due.",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf"));
}

#[test]
fn page_loads_no_external_resources() {
    for (name, result) in sample::all() {
        let page = report::html(&result).unwrap();
        for forbidden in ["<iframe", "<img", "@import", "javascript:", " onload"] {
            assert!(!page.contains(forbidden), "{name}: {forbidden}");
        }
        let (markup, _) = page.split_once("</main>").unwrap();
        assert!(!markup.contains("url(") && !markup.contains(" src="), "{name}");
        let links = page.split(" href=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        assert!(links.clone().all(|link| link == "data:," || link.starts_with('#')), "{name}");
        assert!(page.contains("default-src 'none'"), "{name}");
    }
}

/// The page's policy admits one script, by its hash. Everything else that looks like one is data.
#[test]
fn page_has_one_script_at_its_end() {
    let mut policy = None;
    for (name, result) in sample::all() {
        let page = report::html(&result).unwrap();
        let (markup, script) = page.rsplit_once("<script>").unwrap();
        assert!(!markup.contains("<script>") && markup.trim_end().ends_with("</main>"), "{name}");
        assert!(script.trim_end().ends_with("</script>\n</body>\n</html>"), "{name}");
        for block in markup.split("<script").skip(1) {
            assert!(block.starts_with(" type=\"application/json\""), "{name}: {block:.100}");
            let data = block.split_once('>').unwrap().1.split("</script>").next().unwrap();
            assert!(!data.contains('<'), "{name}: data cannot end its block");
            serde_json::from_str::<serde_json::Value>(data).unwrap();
        }
        let digest = sha256(script.split("</script>").next().unwrap());
        assert!(markup.contains(&format!("script-src 'sha256-{digest}';")), "{name}");
        assert_eq!(*policy.get_or_insert(digest.clone()), digest, "the script does not depend on the result");
    }
}

fn sha256(text: &str) -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(text.as_bytes()))
}

#[test]
fn hostile_strings_are_escaped() {
    let page = report::html(&sample::hostile()).unwrap();
    let style_ends = page.matches("</style>").count();
    let title_ends = page.matches("</title>").count();
    let titles = page.matches("<title").count();
    assert_eq!(style_ends, 1);
    assert_eq!(title_ends, titles);
    assert!(page.contains("alert(1)"), "it is shown as text");
    assert!(!page.contains('\u{1b}') && !page.contains('\u{202e}'));
    let text = report::text(&sample::hostile(), false, Width::FILE);
    assert!(text.contains("<script>"), "a terminal needs no escaping of that");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    assert!(!text.contains('\u{202e}'));
}

/// The file is refused, so no format renders it.
#[test]
fn undecodable_histogram_is_refused() {
    let mut json = serde_json::to_value(sample::pass()).unwrap();
    json["operations"][0]["response"]["hdr"] = "not a histogram".into();
    let error =
        hubstorm::result::parse(std::path::Path::new("x.json"), json.to_string().as_bytes()).unwrap_err();
    assert!(error.to_string().contains("histogram is not base64"), "{error}");
}

#[test]
fn text_fits_terminals_of_60_to_200_columns() {
    for columns in [60, 80, 100, 200] {
        let width = Width::of(None, Some(columns));
        for (name, result) in sample::all() {
            for line in report::text(&result, false, width).lines() {
                // A path stays whole, so that it can be copied.
                let mut words = line.split(' ');
                let has_path = words.any(|word| word.contains('/') && word.len() + 15 > columns.into());
                let fits = report::columns(line) <= columns.into();
                assert!(fits || has_path, "{name} at {columns}: {line}");
            }
        }
    }
}

#[test]
fn color_adds_only_styles() {
    for (name, result) in sample::all() {
        let plain = report::text(&result, false, Width::FILE);
        let mut colored = report::text(&result, true, Width::FILE);
        assert!(colored.contains('\u{1b}') && !plain.contains('\u{1b}'), "{name}");
        while let Some(from) = colored.find('\u{1b}') {
            let end = colored[from..].find('m').unwrap();
            colored.replace_range(from..=from + end, "");
        }
        assert_eq!(colored, plain, "{name}");
    }
}

#[test]
fn terminal_summary_matches_its_snapshots() {
    insta::assert_snapshot!("text_pass", report::text(&sample::pass(), false, Width::FILE));
    insta::assert_snapshot!("text_fail", report::text(&sample::fail(), false, Width::FILE));
    insta::assert_snapshot!("text_interrupted", report::text(&sample::interrupted(), false, Width::FILE));
    insta::assert_snapshot!("text_invalid", report::text(&sample::invalid(), false, Width::FILE));
    let aborted = crate::committed_results::read("aborted");
    insta::assert_snapshot!("text_aborted", report::text(&aborted, false, Width::FILE));
    insta::assert_snapshot!("text_empty", report::text(&sample::empty(), false, Width::FILE));
    let narrow = |result: &RunResult| report::text(result, false, Width::of(Some("60"), None));
    insta::assert_snapshot!("text_fail_60", narrow(&sample::fail()));
    insta::assert_snapshot!("text_invalid_60", narrow(&sample::invalid()));
}

/// `cargo test --test it -- --ignored write_pages`, then open `target/tmp/*.html`.
#[test]
#[ignore = "writes pages for a person to look at"]
fn write_pages() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (name, result) in sample::all() {
        std::fs::write(folder.join(format!("{name}.html")), report::html(&result).unwrap()).unwrap();
        std::fs::write(folder.join(format!("{name}.txt")), report::text(&result, false, Width::FILE))
            .unwrap();
    }
}

/// The committed page must be the one that the code renders.
#[test]
fn example_page_matches_the_example_result() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("reports");
    let result = hubstorm::result::read(&folder.join("example.json")).unwrap();
    let page = std::fs::read_to_string(folder.join("example.html")).unwrap();
    let fresh = report::html(&result).unwrap();
    assert!(page == fresh, "reports/example.html is stale: see reports/README.md");
}
