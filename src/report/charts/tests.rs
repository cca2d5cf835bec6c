//! The charts of small results: their shapes, their scales, and the data for a script.

use super::rows::{Rows, can_feed};
use super::*;
use crate::measure::{Collector, Culprit, Fleet, Key, Outcome, Times};
use crate::measure::{Compare, Layout, Operation, Phase, Recorder, Source, Test};
use crate::report::summary::Summary;
use crate::result::model::{EndedBy, RunResult, ThresholdStatus};
use crate::result::testing::result as sample;
use crate::stalls::Stalls;
use std::rc::Rc;

const S: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

/// A run of `seconds` with one phase, in which every second brings `per_second` acknowledged messages of each fleet.
struct Trial {
    collector: Collector,
    recorder: Recorder,
    seconds: u64,
}

impl Trial {
    fn new(fleets: &[&str], seconds: u64) -> Trial {
        let layout = Layout::new(fleets.len(), 1, Duration::from_secs(60));
        let fleet = |name: &&str| Fleet { name: (*name).to_owned(), devices: 10, ..Fleet::default() };
        let phase = Phase {
            name: "steady".to_owned(),
            end_us: seconds * 1_000_000,
            planned_online: [1.0, 1.0],
            planned_load: [1.0, 1.0],
            ..Phase::default()
        };
        Trial {
            collector: Collector::new(layout, fleets.iter().map(fleet).collect(), vec![phase]),
            recorder: Recorder::new(layout, Rc::new(Stalls::new(crate::clock::now()))),
            seconds,
        }
    }

    /// Runs the load: each second, each fleet gets `per_second` acknowledgments, after 2 ms and more.
    fn load(mut self, fleets: u16, per_second: u64) -> Trial {
        for second in 0..self.seconds {
            for fleet in 0..fleets {
                let telemetry = Key { operation: Operation::Telemetry, fleet, phase: 0 };
                if second == 0 {
                    self.recorder.online(fleet, 10);
                }
                for n in 0..per_second {
                    let due = second * S + n * 1_000;
                    self.recorder.due(telemetry, due);
                    let acked = due + 2 * MS + n * 1_000;
                    self.recorder.ok(telemetry, &Times { due, picked: due, sent: due, acked });
                }
            }
            self.tick(second + 1, 10 * u64::from(fleets));
        }
        self
    }

    fn tick(&mut self, second: u64, planned: u64) {
        self.collector.add(&self.recorder.swap(), Source::Worker(0));
        self.collector.tick(second * S, None, planned);
    }

    fn lose(&mut self, at_ns: u64, count: u64) {
        let telemetry = Key { operation: Operation::Telemetry, fleet: 0, phase: 0 };
        self.recorder.lost(telemetry, count, at_ns, at_ns);
    }

    fn result(mut self, duration_us: u64) -> RunResult {
        self.collector.add(&self.recorder.swap(), Source::Worker(0));
        let mut result = sample();
        result.measurement = self.collector.finish(self.seconds * 1_000_000, Vec::new(), Vec::new());
        (result.run.duration_us, result.thresholds) = (duration_us, Vec::new());
        result
    }
}

fn panels(result: &RunResult) -> Vec<Panel> {
    timeline::panels(result, Operation::Telemetry).unwrap()
}

fn panel(result: &RunResult, id: &str) -> Panel {
    let mut panels = panels(result).into_iter();
    panels.find(|panel| panel.id == id).unwrap_or_else(|| panic!("no chart {id}"))
}

fn labels(panel: &Panel) -> Vec<&str> {
    panel.legend.iter().map(|key| key.label.as_str()).collect()
}

/// Returns the data block of a chart.
fn data(panel: &Panel) -> serde_json::Value {
    let (_, block) = panel.svg.split_once("<script type=\"application/json\"").expect("a data block");
    let json = block.split_once('>').unwrap().1.split_once("</script>").unwrap().0;
    serde_json::from_str(json).unwrap()
}

/// Returns the last value of a series, as it is shown.
fn last_value(panel: &Panel, series: &str) -> String {
    let data = data(panel);
    let all = data["series"].as_array().unwrap();
    let values = &all.iter().find(|one| one["id"] == series).expect("the series exists")["values"];
    values.as_array().unwrap().last().unwrap().as_str().unwrap().to_owned()
}

#[test]
fn operations_in_the_last_moment_of_the_drain_are_drawn() {
    let mut trial = Trial::new(&["meter"], 10).load(1, 5);
    trial.lose(2 * S, 3);
    // The drain ends 2 ms into the twelfth second.
    trial.lose(11 * S + MS, 900);
    trial.tick(12, 0);
    let result = trial.result(11_002_000);
    let rows = Rows::of(&result).unwrap();
    assert!((rows.end - 11.002).abs() < 1e-9);
    let last = rows.slots.last().unwrap();
    assert_eq!((rows.slots.len(), last.row.interval.errors, last.from), (11, 900, 10.0));
    assert!((last.to - 11.002).abs() < 1e-9, "joined the previous row: {last:?}");
    let errors = panel(&result, "errors");
    assert_eq!(last_value(&errors, "not_ok"), "900");
    // It is 300 times as high as the others, so it does not scale the axis.
    assert!(errors.svg.contains(">900 after the end of the load →</text>"), "{}", errors.svg);
    assert!(errors.svg.contains(">4</text>") && !errors.svg.contains(">1,000</text>"), "{}", errors.svg);
    // The end of the run is the end of the axis, so nothing is outside.
    assert!(errors.svg.contains("data-t1=\"11.002\""), "{}", errors.svg);
}

#[test]
fn a_drained_row_without_a_bar_does_not_scale_the_axis() {
    let mut trial = Trial::new(&["meter"], 10).load(1, 5);
    trial.lose(2 * S, 3);
    let mut result = trial.result(10_000_000);
    // A row that begins after the end of the axis, as in a file from another source.
    let mut row = result.measurement.series.rows.last().unwrap().clone();
    row.t_us = 10_000_000;
    row.cpu_percent = 4_000.0;
    result.measurement.series.rows.push(row);
    let cpu = panel(&result, "cpu");
    assert!(!cpu.svg.contains(">4000%<") && cpu.svg.contains(">10%<"), "{}", cpu.svg);
}

#[test]
fn a_phase_that_ends_without_devices_ends_at_zero() {
    let mut result = Trial::new(&["meter"], 10).load(1, 5).result(10_500_000);
    result.measurement.phases[0].planned_online = [1.0, 0.0];
    for (second, row) in (1..).zip(&mut result.measurement.series.rows) {
        (row.online, row.planned_online) = (10 - second, 10 - second);
    }
    for (chart, zero) in [("online", "0"), ("headline", "0.0%")] {
        let panel = match chart {
            "headline" => headline::draw(&result, Operation::Telemetry).unwrap().unwrap(),
            _ => panel(&result, chart),
        };
        assert_eq!([last_value(&panel, "online"), last_value(&panel, "planned")], [zero, zero], "{chart}");
    }
    // Devices that stay online disconnect after the end of the load, which is not a loss.
    result.measurement.phases[0].planned_online = [1.0, 1.0];
    for row in &mut result.measurement.series.rows {
        (row.online, row.planned_online) = (10, 10);
    }
    let last = result.measurement.series.rows.last_mut().unwrap();
    (last.online, last.planned_online) = (0, 0);
    let online = panel(&result, "online");
    assert_eq!([last_value(&online, "online"), last_value(&online, "planned")], ["10", "10"]);
}

#[test]
fn an_early_end_is_marked_and_keeps_the_last_reading() {
    let mut result = Trial::new(&["meter"], 10).load(1, 5).result(10_000_000);
    result.measurement.phases[0].planned_online = [1.0, 0.0];
    for (by, label) in [
        (EndedBy::Interrupt, "interrupted"),
        (EndedBy::Abort, "ended early by a threshold"),
        (EndedBy::Unreachable, "target unreachable"),
        (EndedBy::Breakdown, "ended early: a part of hubstorm failed"),
    ] {
        result.run.ended_by = Some(by);
        result.measurement.breakdowns =
            vec!["the built-in hub failed before the end of the run: killed".to_owned()];
        let headline = headline::draw(&result, Operation::Telemetry).unwrap().unwrap();
        assert!(
            headline.svg.contains(&format!("{label}</text>")) && headline.words.contains(label),
            "{by:?}"
        );
        // The plan would have gone to 0%, but the run did not get there.
        assert_eq!(last_value(&headline, "online"), "100.0%", "{by:?}");
    }
    result.run.ended_by = Some(EndedBy::Plan);
    let headline = headline::draw(&result, Operation::Telemetry).unwrap().unwrap();
    assert!(!headline.words.contains("ended") && !headline.svg.contains("interrupted"));
}

#[test]
fn percentiles_need_ten_samples_beyond_them() {
    for (count, quantile, fed) in
        [(19, 0.5, false), (20, 0.5, true), (999, 0.99, false), (1_000, 0.99, true), (10_000, 0.999, true)]
    {
        assert_eq!(can_feed(count, quantile), fed, "{count} samples for {quantile}");
    }
    // Operations per second, seconds, and the labels of the lines.
    let cases: [(u64, u64, &[&str]); 7] = [
        (5, 3, &["max"]),
        (20, 10, &["p50", "max"]),
        (20, 60, &["p50", "p90 per 5 s", "max"]),
        (120, 20, &["p50", "p95 per 2 s", "max"]),
        (120, 200, &["p50", "p99 per 10 s", "max"]),
        (1_000, 10, &["p50", "p99", "max"]),
        (1_000, 100, &["p50", "p99", "p99.9 per 10 s", "max"]),
    ];
    for (per_second, seconds, expected) in cases {
        let result = Trial::new(&["meter"], seconds).load(1, per_second).result(seconds * 1_000_000);
        let response = panel(&result, "response");
        assert_eq!(labels(&response), expected, "{per_second}/s for {seconds} s");
        let is_whole = expected.contains(&"p99");
        assert_eq!(!response.words.contains("needs"), is_whole, "{}", response.words);
    }
}

#[test]
fn limits_are_drawn_over_the_phases_that_they_cover() {
    let mut result = Trial::new(&["meter"], 20).load(1, 120).result(20_000_000);
    result.measurement.phases = [("warm", true, 0, 5), ("steady", false, 5, 15), ("after", false, 15, 20)]
        .map(|(name, warmup, from, to)| Phase {
            name: name.to_owned(),
            warmup,
            start_us: from * 1_000_000,
            end_us: to * 1_000_000,
            planned_online: [1.0, 1.0],
            ..Phase::default()
        })
        .to_vec();
    let mut threshold = sample().thresholds.remove(0);
    threshold.test = Some(Test::Percentile { quantile: 0.95, compare: Compare::Less, limit_us: 500_000 });
    result.thresholds = vec![threshold.clone()];
    let chart = |result: &RunResult| headline::draw(result, Operation::Telemetry).unwrap().unwrap();
    let one = chart(&result);
    assert!(one.svg.contains(">limit 500 ms</text>") && one.words.contains("limit 500 ms"), "{}", one.words);
    assert!(labels(&one).contains(&"p95 per 2 s"), "the threshold's percentile is drawn: {:?}", labels(&one));
    // 64 to 1026 pixels stand for 20 s, so 5 s are at 304.5.
    assert!(one.svg.contains("M304.5,"), "the limit begins after the warm-up");
    let mut phase = threshold.clone();
    (phase.phase, phase.limit) = (Some("after".to_owned()), 2_000_000.0);
    phase.test = Some(Test::Max { compare: Compare::Less, limit_us: 2_000_000 });
    result.thresholds.push(phase);
    // Another fleet makes the fleet of this threshold one of several.
    result.measurement.fleets.push(Fleet { name: "other".to_owned(), ..Fleet::default() });
    let mut of_fleet = threshold.clone();
    (of_fleet.fleet, of_fleet.limit) = (Some("meter".to_owned()), 900_000.0);
    result.thresholds.insert(0, of_fleet);
    let mut other = threshold;
    (other.metric, other.limit) = ("connect".to_owned(), 77_000.0);
    result.thresholds.push(other);
    let two = chart(&result);
    for label in [">p95 limit 500 ms<", ">max limit 2 s<", ">p95 limit 900 ms (meter)<"] {
        assert!(two.svg.contains(label), "{label}");
    }
    assert!(!two.svg.contains("77 ms"), "a limit of another operation");
}

#[test]
fn labels_of_limits_stay_in_the_plot() {
    let names = ["meter", "gateway-with-many-small-messages-and-a-name-that-is-too-long"];
    let mut result = Trial::new(&names, 20).load(2, 120).result(20_000_000);
    let mut threshold = sample().thresholds.remove(0);
    let mut limit = |millis: u32, fleet: Option<&str>, status: ThresholdStatus| {
        threshold.limit = f64::from(millis) * 1_000.0;
        threshold.test = Some(Test::Percentile {
            quantile: 0.95,
            compare: Compare::Less,
            limit_us: u64::from(millis) * 1_000,
        });
        (threshold.fleet, threshold.status) = (fleet.map(str::to_owned), Some(status));
        (threshold.phase, threshold.metric) = (None, "telemetry".to_owned());
        threshold.clone()
    };
    result.thresholds = vec![
        limit(250, None, ThresholdStatus::Passed),
        limit(300, None, ThresholdStatus::Passed),
        limit(350, None, ThresholdStatus::Passed),
        limit(400, None, ThresholdStatus::InsufficientSamples),
        limit(200, Some(names[1]), ThresholdStatus::Failed),
    ];
    let chart = headline::draw(&result, Operation::Telemetry).unwrap().unwrap();
    assert!(
        chart.words.contains(&format!("Marked: p95 limit 200 ms ({}), p95 limit", names[1])),
        "{}",
        chart.words
    );
    assert!(!chart.words.contains("400 ms"), "the least important limit is left out: {}", chart.words);
    for size in SIZES {
        let from = chart.svg.find(&format!("chart {}", size.class)).unwrap();
        let svg = chart.svg.get(from..).unwrap().split("</svg>").next().unwrap();
        let labels: Vec<(f64, &str)> = svg
            .lines()
            .filter(|line| line.starts_with("<text") && line.contains(">p95 limit "))
            .map(|line| {
                let right = line.split("x=\"").nth(1).unwrap().split('"').next().unwrap();
                let label = line.split('>').nth(1).unwrap().split('<').next().unwrap();
                (right.parse().unwrap(), label)
            })
            .collect();
        assert!(labels.iter().any(|(_, label)| label.starts_with("p95 limit 200 ms (gate")), "{labels:?}");
        for (right, label) in labels {
            let width = figure::text_width(&size, label);
            assert!(
                right - width >= size.gutter && right <= size.width,
                "{}: {label} at {right}",
                size.class
            );
        }
    }
}

#[test]
fn the_spectrum_has_ticks_from_the_median_on() {
    let result = Trial::new(&["meter"], 10).load(1, 1_000).result(10_000_000);
    let summary = Summary::of(&result);
    let main = summary.main_operation().unwrap();
    let draw = |totals| spectrum::draw(Operation::Telemetry, "outside warm-up", totals).unwrap().unwrap();
    let whole = draw(main.headline().0);
    let narrow = whole.svg.split("chart narrow").nth(1).unwrap();
    for tick in [">0%<", ">50%<", ">75%<", ">90%<", ">99%<", ">99.9%<", ">99.99%<"] {
        assert!(whole.svg.contains(tick), "{tick}");
    }
    assert!(narrow.contains(">0%<") && narrow.contains(">90%<") && !narrow.contains(">25%<"), "no overlap");
    assert!(whole.words.contains("99.9% within"), "{}", whole.words);
    assert_eq!(
        labels(&whole),
        [
            "response: from the due time to the ack",
            "service: from sending to the ack",
            "fewer than 10 samples beyond"
        ]
    );
    // 30 samples feed the median only.
    let few = Trial::new(&["meter"], 1).load(1, 30).result(1_000_000);
    let few = draw(Summary::of(&few).main_operation().unwrap().headline().0);
    assert!(few.words.contains("50% within") && !few.words.contains("99%"), "{}", few.words);
    assert!(!few.svg.contains("data-t0"), "it is not over time");
}

#[test]
fn classes_of_errors_have_a_plot_each() {
    let mut trial = Trial::new(&["meter"], 12).load(1, 5);
    let classes = ["a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "b1", "b2", "b3"];
    for (n, class) in classes.iter().enumerate() {
        (n..20).for_each(|_| trial.recorder.error(class, Culprit::Target, 3 * S, String::new));
    }
    trial.tick(12, 10);
    let result = trial.result(12_000_000);
    let chart = panel(&result, "classes");
    for text in ["a1: 20 errors", "a8: 13 errors", "3 other classes: 33 errors"] {
        assert!(chart.svg.contains(&format!(">{text}</text>")), "{text}");
    }
    assert!(!chart.svg.contains("b1: ") && chart.words.contains("11 classes"), "{}", chart.words);
    assert_eq!(data(&chart)["series"].as_array().unwrap().len(), 9);
    let none = Trial::new(&["meter"], 3).load(1, 5).result(3_000_000);
    assert!(panels(&none).iter().all(|panel| panel.id != "classes" && panel.id != "errors"));
}

#[test]
fn several_fleets_have_a_line_each() {
    let names = ["</script><b>", "b\u{1b}\u{202e}\"", "c", "d", "e", "f", "g", "h", "i", "j"];
    let result = Trial::new(&names, 12).load(10, 100).result(12_000_000);
    for id in ["fleet-online", "fleet-acked", "fleet-response"] {
        let chart = panel(&result, id);
        assert_eq!(labels(&chart)[0].replace(" per 2 s", ""), names[0], "{id}");
        let samples: std::collections::BTreeSet<&str> =
            chart.legend.iter().map(|key| key.sample.as_str()).collect();
        assert_eq!(samples.len(), 10, "{id}: no two lines look alike");
        assert_eq!(chart.svg.matches("</script>").count(), 1, "{id}: a name cannot end the data block");
        assert!(!chart.svg.contains("<b>") && !chart.svg.contains(['\u{1b}', '\u{202e}']), "{id}");
    }
    assert_eq!(last_value(&panel(&result, "fleet-online"), "fleet-1"), "100.0%");
    let one = Trial::new(&["meter"], 12).load(1, 100).result(12_000_000);
    assert!(panels(&one).iter().all(|panel| !panel.id.starts_with("fleet")));
}

#[test]
fn connections_are_drawn_over_time() {
    let mut trial = Trial::new(&["meter"], 10);
    let connect = Key { operation: Operation::Connect, fleet: 0, phase: 0 };
    for n in 0..30 {
        let due = n * 100 * MS;
        trial.recorder.due(connect, due);
        trial.recorder.ok(connect, &Times { due, picked: due, sent: due, acked: due + 5 * MS });
    }
    let result = trial.load(1, 5).result(10_000_000);
    assert!(panel(&result, "connects").words.contains("10.0/s"));
    assert!(panel(&result, "connect-response").words.contains("median 5.0"));
    let none = Trial::new(&["meter"], 3).load(1, 5).result(3_000_000);
    assert!(panels(&none).iter().all(|panel| !panel.id.starts_with("connect")));
}

#[test]
fn every_chart_names_its_axes_and_has_a_description() {
    let mut trial = Trial::new(&["a", "b"], 30).load(2, 100);
    trial.recorder.error("reset", Culprit::Network, 3 * S, String::new);
    let telemetry = Key { operation: Operation::Telemetry, fleet: 0, phase: 0 };
    trial.recorder.due(telemetry, 29 * S);
    trial.recorder.ended(telemetry, Outcome::Lost, 29 * S, 29 * S + MS);
    let result = trial.result(30_000_000);
    let mut all = panels(&result);
    all.extend(headline::draw(&result, Operation::Telemetry).unwrap());
    let summary = Summary::of(&result);
    let main = summary.main_operation().unwrap();
    all.extend(spectrum::draw(Operation::Telemetry, main.scope(), main.headline().0).unwrap());
    let ids: std::collections::BTreeSet<&str> = all.iter().map(|panel| panel.id.as_str()).collect();
    assert_eq!((ids.len(), all.len()), (13, 13), "{ids:?}");
    for panel in &all {
        let id = &panel.id;
        assert!(!panel.title.is_empty() && !panel.unit.is_empty() && panel.words.ends_with('.'), "{id}");
        for part in ["role=\"img\"", "<title id=", "<desc id=", "class=\"plot\"", "class=\"chart narrow\""] {
            assert!(panel.svg.contains(part), "{id}: {part}");
        }
        let axis =
            if id == "spectrum" { ">percentile of operations that ended ok</text>" } else { ">time</text>" };
        assert_eq!(panel.svg.matches(axis).count(), 3, "{id}: in each size");
        assert!(!panel.svg.contains("NaN") && !panel.svg.contains("inf"), "{id}");
        let data = data(panel);
        for series in data["series"].as_array().unwrap() {
            let times = &data["times"][usize::try_from(series["times"].as_u64().unwrap()).unwrap()];
            let values = series["values"].as_array().unwrap();
            assert_eq!(times.as_array().unwrap().len(), values.len(), "{id}");
            let of_series = format!("data-series=\"{}\"", series["id"].as_str().unwrap());
            assert_eq!(panel.svg.matches(&of_series).count(), 3, "{id}: {of_series} in each size");
        }
    }
}

#[test]
fn earlier_files_have_the_charts_that_they_can_feed() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/old-result.json");
    let bytes = std::fs::read(file).unwrap();
    let result = crate::result::file::parse(std::path::Path::new(file), &bytes).unwrap();
    let panels = panels(&result);
    let ids: Vec<&str> = panels.iter().map(|panel| panel.id.as_str()).collect();
    assert!(ids.contains(&"connects") && ids.contains(&"response"), "{ids:?}");
    assert!(!ids.contains(&"classes") && !ids.iter().any(|id| id.starts_with("fleet")), "{ids:?}");
    assert!(headline::draw(&result, Operation::Telemetry).unwrap().is_some());
}

#[test]
fn faults_are_bands_and_the_first_chart_names_them() {
    let mut result = Trial::new(&["meter"], 20).load(1, 5).result(20_000_000);
    let before = panels(&result);
    let fault = crate::result::model::Fault {
        kind: "hold-acks".to_owned(),
        from_us: 5_000_000,
        to_us: 15_000_000,
        share: 0.2,
        devices: 2,
        applied: Some(3),
        ..Default::default()
    };
    let late = crate::result::model::Fault { from_us: 90_000_000, to_us: 95_000_000, ..fault.clone() };
    let once = crate::result::model::Fault { kind: "close".to_owned(), to_us: 5_000_000, ..fault.clone() };
    result.faults = vec![fault, late, once];
    let after = panels(&result);
    assert!(after[0].svg.contains(">hold-acks, 20% + close, 20%</text>"), "{}", after[0].svg);
    let bands = |panel: &Panel| panel.svg.matches("fill-opacity=\"0.12\"").count();
    for (before, after) in before.iter().zip(&after) {
        let plots = after.svg.matches("class=\"plot\"").count();
        assert_eq!(
            bands(after) - bands(before),
            plots,
            "{}: one in each plot; the other is after the end",
            after.id
        );
    }
}
