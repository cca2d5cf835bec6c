//! Tests of the comparison: a run from 10:01:37 to 10:05:37 UTC with 10 acknowledged messages per second of 10 devices, so that the minutes
//! from 10:02 to 10:05 are whole, and metrics of a hub.

use super::*;
use crate::hub_metrics::{Bin, NotUsed, Series};
use crate::measure::{
    Collector, Fleet, Key, Layout, Operation, Outcome, Phase, Recorder, Source, TargetTotals, Times,
};
use crate::result::model::LimitUse;
use crate::result::testing::result as sample;
use crate::stalls::Stalls;
use std::rc::Rc;
use std::time::Duration;

const S: u64 = 1_000_000_000;
const SECONDS: u64 = 240;
/// The response time of slow acknowledgments.
const SLOW: u64 = 5 * S;

/// Returns the run. Acknowledgments in the seconds `slow` took 5 s.
fn run(slow: std::ops::Range<u64>) -> RunResult {
    let layout = Layout::new(1, 1, Duration::from_secs(60));
    let fleet = Fleet { name: "meter".to_owned(), devices: 10, connected_peak: 10, ..Fleet::default() };
    let phase = Phase { name: "steady".to_owned(), end_us: SECONDS * 1_000_000, ..Phase::default() };
    let mut collector = Collector::new(layout, vec![fleet], vec![phase]);
    let mut recorder = Recorder::new(layout, Rc::new(Stalls::new(crate::clock::now())));
    let telemetry = Key { operation: Operation::Telemetry, fleet: 0, phase: 0 };
    recorder.online(0, 10);
    for second in 0..SECONDS {
        for n in 0..10 {
            let acked = second * S + n * 1_000_000;
            let due = if slow.contains(&second) { acked.saturating_sub(SLOW) } else { acked };
            recorder.due(telemetry, due);
            recorder.ok(telemetry, &Times { due, picked: due, sent: due, acked });
        }
        collector.add(&recorder.swap(), Source::Worker(0));
        collector.tick((second + 1) * S, Some(10.0), 10);
    }
    let mut result = sample();
    result.measurement = collector.finish(SECONDS * 1_000_000, Vec::new(), Vec::new());
    result.measurement.fleets[0].connected_peak = 10;
    (result.run.started, result.run.duration_us) = ("2026-11-28T10:01:37Z".to_owned(), SECONDS * 1_000_000);
    (result.run.target.embedded, result.run.target.host) = (false, "meters.azure-devices.net".to_owned());
    result.findings.clear();
    result
}

/// Returns intervals from 10:00 on, with these values; `None` is an interval without a value.
fn series(metric: Metric, minutes: i64, values: &[Option<f64>]) -> Series {
    let hour = "2026-11-28T10:00:00Z".parse::<jiff::Timestamp>().unwrap().as_microsecond();
    let is_snapshot =
        matches!(metric, Metric::ConnectedDevices | Metric::RegisteredDevices | Metric::MessagesUsed);
    let bins = values.iter().zip(0..).filter_map(|(value, index)| {
        let start_us = hour + index * minutes * 60_000_000;
        let bin = Bin { start_us, ..Bin::default() };
        value.map(|value| match is_snapshot {
            true => Bin { average: Some(value), ..bin },
            false => Bin { total: Some(value), ..bin },
        })
    });
    Series { metric, length_us: 60_000_000 * minutes.unsigned_abs(), bins: bins.collect() }
}

/// Values of the minutes 10:01 to 10:05; those of 10:00 and 10:06 are outside the run.
fn minutes(metric: Metric, values: [f64; 5]) -> Series {
    let [one, two, three, four, five] = values.map(Some);
    series(metric, 1, &[Some(0.0), one, two, three, four, five, Some(0.0)])
}

fn view_of(result: &RunResult, series: Vec<Series>) -> HubView {
    let metrics = HubMetrics { hub: Some("METERS".to_owned()), series, ..HubMetrics::default() };
    HubView::of(result, &metrics, "metrics.json").unwrap()
}

/// Returns the row of a metric without its name, and the findings as `severity: text (evidence)`.
fn compared(result: &RunResult, series: Series) -> ([String; 3], Vec<String>) {
    let view = view_of(result, vec![series]);
    let [row] = &view.rows[..] else { panic!("{view:?}") };
    // Markdown shows at most 240 characters of a text.
    let texts = view.findings.iter().flat_map(|found| [&found.text, &found.evidence]);
    for text in view.lead.iter().chain(texts) {
        assert!(text.len() <= 240, "{text}");
    }
    let words =
        |finding: &Finding| format!("{:?}: {} ({})", finding.severity, finding.text, finding.evidence);
    ([1, 2, 3].map(|index| row[index].clone()), view.findings.iter().map(words).collect())
}

#[test]
fn counts_are_compared_over_whole_minutes_only() {
    let result = run(0..0);
    let accepted = |values| compared(&result, minutes(Metric::D2cAccepted, values));
    // 230 and 370 messages belong to the parts of 10:01 and 10:05 in the run; other values there do not matter.
    let (row, findings) = accepted([9.0, 600.0, 600.0, 600.0, 9.0]);
    assert_eq!(row, ["1,760 to 1,840 acknowledged", "1,800", "agree"]);
    assert_eq!(
        findings,
        [
            "Note: The hub and hubstorm agree on accepted D2C messages (3 whole intervals of 1 minute, from 10:02 to 10:05 UTC; \
             differences up to 1%, and clocks that differ by up to 2 s, count as agreement)"
        ]
    );
    let (row, findings) = accepted([9.0, 600.0, 900.0, 600.0, 9.0]);
    assert_eq!(row[2], "the hub 260 more (14.1%)");
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert!(
        finding.starts_with(
            "Warning: The hub counted more accepted D2C messages than hubstorm. Possible reasons: other"
        ),
        "{finding}"
    );
    assert!(
        finding.ends_with("(10:02 to 10:05 UTC: the hub 2,100, hubstorm 1,760 to 1,840 acknowledged; 0 of the whole run had no answer or were sent again)"),
        "{finding}"
    );
    let (row, findings) = accepted([9.0, 600.0, 300.0, 600.0, 9.0]);
    assert_eq!(row[2], "the hub 260 fewer (14.8%)");
    assert!(findings[0].starts_with("Warning: The hub counted fewer accepted D2C messages"), "{findings:?}");
    assert!(findings[0].contains("had not published all values"), "{findings:?}");
}

#[test]
fn a_difference_within_the_tolerance_agrees() {
    let result = run(0..0);
    for (total, agrees) in
        [(1_840.0, true), (1_858.0, true), (1_870.0, false), (1_745.0, true), (1_735.0, false)]
    {
        let values = [0.0, 600.0, total - 1_200.0, 600.0, 0.0];
        let (row, _) = compared(&result, minutes(Metric::D2cAccepted, values));
        assert_eq!(row[2] == "agree", agrees, "{total}: {row:?}");
    }
}

/// Messages without an answer may be among those that the hub accepted.
#[test]
fn unanswered_messages_may_explain_a_higher_count() {
    let mut result = run(0..0);
    result.measurement.operations[0].totals.outcomes[Outcome::TimedOut] += 300;
    let (_, findings) = compared(&result, minutes(Metric::D2cAccepted, [0.0, 600.0, 900.0, 600.0, 0.0]));
    assert!(findings[0].starts_with("Note: The hub counted more"), "{findings:?}");
    assert!(findings[0].contains("; 300 of the whole run had no answer or were sent again"), "{findings:?}");
}

#[test]
fn intervals_without_a_value_are_named_and_not_compared() {
    let result = run(0..0);
    let gap = series(Metric::D2cAccepted, 1, &[None, None, Some(600.0), None, Some(600.0)]);
    let (row, _) = compared(&result, gap);
    assert_eq!(row, ["1,120 to 1,280 acknowledged", "1,200", "agree; 1 whole interval has no value"]);
}

#[test]
fn longer_intervals_and_short_runs_have_nothing_to_compare() {
    let mut result = run(0..0);
    for (minutes, text) in [(2, "agree"), (3, "not compared"), (5, "not compared"), (60, "not compared")] {
        let values = [Some(1_200.0); 4];
        let (row, findings) = compared(&result, series(Metric::D2cAccepted, minutes, &values));
        assert_eq!(row[2], text, "{minutes}");
        let why = "not compared with the run, because the run covers no whole interval of them (the run was from 10:01:37 to 10:05:37 UTC)";
        assert_eq!(findings[0].contains(why), text != "agree", "{findings:?}");
    }
    result.run.started = "2026-11-28T23:58:30Z".to_owned();
    let late = view_of(&result, vec![series(Metric::D2cAccepted, 60, &[Some(1.0); 24])]);
    assert!(
        late.findings[0].evidence.contains("from 2026-11-28 23:58:30 to 2026-11-29 00:02:30 UTC"),
        "{late:?}"
    );
}

#[test]
fn connected_devices_are_compared_interval_by_interval() {
    let result = run(0..0);
    let connected = |values| compared(&result, minutes(Metric::ConnectedDevices, values));
    let (row, _) = connected([0.0, 10.0, 10.0, 10.4, 99.0]);
    assert_eq!(row, ["10 online", "10 to 10.4", "agree"]);
    let (row, findings) = connected([0.0, 10.0, 12.0, 15.0, 99.0]);
    assert_eq!(row, ["10 online", "10 to 15", "the hub 5 more (50.0%) at 10:04"]);
    assert!(
        findings[0].starts_with("Warning: The hub counted other numbers of connected devices"),
        "{findings:?}"
    );
    assert!(
        findings[0].ends_with(
            "(2 of 3 whole intervals; the largest difference at 10:04 UTC: the hub 15, hubstorm 10 online)"
        ),
        "{findings:?}"
    );
}

#[test]
fn a_hub_may_have_more_registered_devices() {
    let result = run(0..0);
    let registered = |count: f64| compared(&result, minutes(Metric::RegisteredDevices, [count; 5]));
    assert_eq!(
        registered(25.0).0,
        ["10 online at peak", "25", "15 registered devices were not online at once"]
    );
    assert_eq!(registered(10.0).0[2], "agree");
    let (row, findings) = registered(4.0);
    assert_eq!(row[2], "the hub 6 fewer");
    assert!(findings[0].starts_with("Warning: The hub has fewer registered devices"), "{findings:?}");
}

#[test]
fn throttling_errors_are_compared_with_their_signs() {
    let errors = |slow, values| compared(&run(slow), minutes(Metric::ThrottlingErrors, values));
    let none = [0.0; 5];
    assert_eq!(errors(0..0, none).0, ["0 acknowledgments over 1 s, 0 operations not ok", "0", "agree: none"]);
    // The seconds 100 to 110 of the run are in the minute of 10:03.
    let (row, findings) = errors(100..110, [0.0, 0.0, 412.0, 0.0, 0.0]);
    assert_eq!(
        row,
        ["100 acknowledgments over 1 s, 0 operations not ok", "412", "agree: in 1 whole interval"]
    );
    assert!(
        findings[0].starts_with("Note: The hub reports throttling errors, and hubstorm saw"),
        "{findings:?}"
    );
    let (row, findings) = errors(0..0, [0.0, 0.0, 412.0, 3.0, 0.0]);
    assert_eq!(row[2], "2 of 3 whole intervals without a sign of them");
    assert!(
        findings[0]
            .starts_with("Warning: The hub reports throttling errors in intervals in which hubstorm saw no"),
        "{findings:?}"
    );
    assert!(findings[0].ends_with("(412 errors at 10:03 UTC, 2 of 3 whole intervals)"), "{findings:?}");
    let (row, findings) = errors(100..110, none);
    assert_eq!(row[2], "1 of 3 whole intervals with signs but without errors");
    assert!(
        findings[0].starts_with("Note: Acknowledgments took over 1 s or operations failed"),
        "{findings:?}"
    );
    assert!(
        findings[0].ends_with(
            "(100 acknowledgments over 1 s and 0 operations not ok at 10:03 UTC, 1 of 3 whole intervals)"
        ),
        "{findings:?}"
    );
    // A slow acknowledgment at the end of a minute may belong to the next one.
    for values in [[0.0, 5.0, 0.0, 0.0, 0.0], [0.0, 0.0, 5.0, 0.0, 0.0]] {
        assert_eq!(errors(82..83, values).0[2], "agree: in 1 whole interval");
    }
}

#[test]
fn messages_used_are_compared_with_billed_messages() {
    let mut result = run(0..0);
    let used = |result: &RunResult, values| compared(result, minutes(Metric::MessagesUsed, values));
    let growing = [0.0, 5_000.0, 5_600.0, 6_200.0, 6_300.0];
    let (row, findings) = used(&result, growing);
    assert_eq!(row[..2], ["560 to 1,840 acknowledged", "1,200"]);
    assert!(
        row[2].starts_with("not compared: the billed messages are known only with tier and units"),
        "{row:?}"
    );
    assert_eq!(findings, [""; 0]);
    // Twice the messages that were acknowledged are billed.
    result.limits = vec![LimitUse {
        class: crate::report::limits::QUOTA.to_owned(),
        limit: 400_000.0,
        unit: "msg/day".to_owned(),
        offered_peak: 1_728_000.0,
        admitted_peak: 1_728_000.0,
        share: 4.3,
        delayed: None,
        rejected: None,
        first_us: None,
        offered_at_first: None,
    }];
    assert_eq!(used(&result, growing).0, ["1,120 to 3,680 billed", "1,200", "agree"]);
    let (row, findings) = used(&result, [0.0, 5_000.0, 6_000.0, 15_000.0, 15_000.0]);
    assert_eq!(row[2], "the hub 6,320 more (171.7%)");
    assert!(findings[0].starts_with("Warning: The hub counted more used messages"), "{findings:?}");
    let (row, _) = used(&result, [0.0, 5_000.0, 10.0, 20.0, 30.0]);
    assert_eq!(row[2], "not compared: the counter decreased, as at 00:00 UTC");
    let one = series(Metric::MessagesUsed, 1, &[None, None, Some(5.0)]);
    assert!(compared(&result, one).0[2].starts_with("not compared: it needs two whole intervals"));
}

#[test]
fn metrics_without_a_counterpart_are_only_shown() {
    let result = run(0..0);
    let (row, findings) = compared(&result, minutes(Metric::D2cAttempts, [9.0, 1.0, 2.0, 3.0, 9.0]));
    assert_eq!(row, ["–", "6", "not compared"]);
    assert_eq!(findings, [""; 0]);
}

#[test]
fn several_hosts_another_hub_and_clock_steps_are_findings() {
    let mut result = run(0..0);
    let accepted = || minutes(Metric::D2cAccepted, [0.0, 600.0, 600.0, 600.0, 0.0]);
    result.run.target.host = "other.azure-devices.net".to_owned();
    let (_, findings) = compared(&result, accepted());
    assert!(findings[0].starts_with("Warning: The metrics are those of another hub"), "{findings:?}");
    assert!(findings[0].ends_with("(metrics of METERS, target other.azure-devices.net)"), "{findings:?}");
    result.run.target.host = "gateway.example".to_owned();
    result.measurement.targets = vec![TargetTotals::default(), TargetTotals::default()];
    let (row, findings) = compared(&result, accepted());
    assert_eq!(row, ["–", "1,800", "not compared"]);
    assert!(findings[0].contains("because the run used several hosts (the run was"), "{findings:?}");
    result.measurement.targets.clear();
    result.measurement.clock_steps.push(crate::measure::ClockStep { at_us: 1, by_us: 7_200_000_000 });
    let (_, findings) = compared(&result, accepted());
    assert!(findings[0].starts_with("Warning: This machine's clock was stepped"), "{findings:?}");
}

#[test]
fn unusable_metrics_are_refused_with_the_fix() {
    let refused = |change: &dyn Fn(&mut RunResult), series: Vec<Series>| {
        let mut result = run(0..0);
        change(&mut result);
        let not_used = vec![NotUsed { name: "x".to_owned(), reason: "hubstorm does not know it".to_owned() }];
        let metrics = HubMetrics { series, not_used, ..HubMetrics::default() };
        HubView::of(&result, &metrics, "m\u{1b}.json").unwrap_err().to_string()
    };
    let good = || vec![minutes(Metric::D2cAccepted, [0.0; 5])];
    assert!(refused(&|result| result.run.target.kind = "mqtt".to_owned(), good()).contains("an MQTT broker"));
    assert!(
        refused(&|result| result.run.target.embedded = true, good())
            .contains("the built-in hub, which Azure does not")
    );
    assert!(
        refused(&|result| result.run.started = "?".to_owned(), good())
            .contains("when its run started (\"?\")")
    );
    let nothing = refused(&|_| {}, Vec::new());
    assert_eq!(nothing, "m\u{fffd}.json has no metric that hubstorm can use: x: hubstorm does not know it");
    assert_eq!(
        refused(&|result| result.run.started = "2026-11-28T12:00:30Z".to_owned(), good()),
        "m\u{fffd}.json has no values during the run: its values are from 2026-11-28 10:00:00 UTC to 2026-11-28 10:07:00 UTC, and the run \
         was from 2026-11-28 12:00:30 UTC to 2026-11-28 12:04:30 UTC. Query with --start-time 2026-11-28T12:00:00Z --end-time \
         2026-11-28T12:05:00Z"
    );
}

/// A damaged file can have any numbers.
#[test]
fn extreme_times_do_not_overflow() {
    for (started, duration_us) in [
        ("9999-12-30T22:00:00Z", u64::MAX),
        ("-009999-01-02T01:59:59Z", 0),
        ("2026-11-28T10:01:37Z", u64::MAX),
    ] {
        let mut result = run(0..0);
        (result.run.started, result.run.duration_us) = (started.to_owned(), duration_us);
        let far = Series {
            metric: Metric::ConnectedDevices,
            length_us: 86_400_000_000,
            bins: [i64::MIN, 0, i64::MAX]
                .map(|start_us| Bin { start_us, average: Some(1e15), ..Bin::default() })
                .to_vec(),
        };
        let metrics = HubMetrics {
            series: vec![far, minutes(Metric::MessagesUsed, [1.0; 5])],
            ..HubMetrics::default()
        };
        if let Ok(view) = HubView::of(&result, &metrics, "x") {
            crate::report::html_with_hub(&result, Some(&view)).unwrap();
        }
    }
}
