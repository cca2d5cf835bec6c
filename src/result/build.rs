//! What was measured, in the shape of the result file. Called by `app` when a run is over; pure.

use super::histogram::{latency, row};
use super::model::{ErrorCount, Fleet, FromHub, Histogram, OperationResult, Row, Series};
use crate::measure::{Latency, Measurement, Operation, Outcome, Totals};
use std::collections::BTreeMap;

/// What the indices of keys are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Fleets, in the order of the plan.
    pub fleets: Vec<String>,
    /// Phases, in the order of the plan.
    pub phases: Vec<String>,
}

impl Names {
    fn of(names: &[String], index: u16) -> String {
        names.get(usize::from(index)).cloned().unwrap_or_else(|| format!("#{index}"))
    }
}

/// Outcomes and latencies by phase, fleet and operation; what never happened is left out.
#[must_use]
pub fn operations(measurement: &Measurement, names: &Names) -> Vec<OperationResult> {
    let named = measurement.keys().filter_map(|key| Some((key, measurement.totals(key)?)));
    named
        .map(|(key, totals)| OperationResult {
            operation: key.operation.name().to_owned(),
            fleet: Names::of(&names.fleets, key.fleet),
            phase: Names::of(&names.phases, key.phase),
            due: totals.due,
            outcomes: outcomes(totals),
            no_ack: totals.no_ack,
            closed_loop: totals.closed_loop,
            response: latency(&totals.response),
            service: latency(&totals.service),
            wait: latency(&totals.wait),
            lag: latency(&totals.lag),
            unfinished_age: latency(&totals.unfinished_age),
        })
        .collect()
}

fn outcomes(totals: &Totals) -> BTreeMap<String, u64> {
    let counted =
        Outcome::ALL.into_iter().map(|outcome| (outcome.name().to_owned(), totals.outcome(outcome)));
    counted.filter(|(_, count)| *count > 0).collect()
}

/// The run over time. A row without a tick of its own carries the gauges of the one before, and its CPU where that was
/// not read.
#[must_use]
pub fn series(measurement: &Measurement) -> Series {
    let series = measurement.series();
    let (mut online, mut planned_online, mut cpu_percent) = (0, 0, 0.0);
    let rows = (0_u64..).zip(series.rows()).map(|(n, measured)| {
        (online, planned_online) = measured.online_and_planned().unwrap_or((online, planned_online));
        cpu_percent = measured.cpu_percent().unwrap_or(cpu_percent);
        let interval = &measured.interval;
        let by_operation = Operation::ALL.into_iter().filter_map(|operation| {
            row(interval.response(operation)).map(|figures| (operation.name().to_owned(), figures))
        });
        Row {
            t_us: n * series.interval_us(),
            online,
            planned_online,
            offered: interval.offered,
            achieved: interval.achieved,
            errors: interval.errors,
            cpu_percent,
            lag_max_us: interval.lag_max_us,
            response: by_operation.collect(),
        }
    });
    Series { rows: rows.collect(), interval_us: series.interval_us() }
}

/// Errors by class, the most frequent first.
#[must_use]
pub fn errors(measurement: &Measurement) -> Vec<ErrorCount> {
    let mut errors: Vec<ErrorCount> = measurement
        .errors()
        .iter()
        .map(|error| ErrorCount {
            class: error.class.to_owned(),
            culprit: error.culprit.name().to_owned(),
            count: error.count,
            first_us: error.first_ns / 1_000,
            last_us: error.last_ns / 1_000,
            example: error.example.clone(),
        })
        .collect();
    errors.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.class.cmp(&b.class)));
    errors
}

/// Totals by fleet; `devices` has how many each was planned with, in the order of the plan.
#[must_use]
pub fn fleets(measurement: &Measurement, names: &Names, devices: &[u64]) -> Vec<Fleet> {
    let planned = names.fleets.iter().zip(devices);
    let totals = planned.zip(measurement.fleets());
    totals
        .map(|((name, devices), totals)| Fleet {
            name: name.clone(),
            devices: *devices,
            connected_peak: totals.connected_peak,
            reconnects: totals.counts.reconnects,
            renewals: totals.counts.renewals,
            resent: totals.counts.resent,
            late_acks: totals.counts.late_acks,
            duplicates: totals.counts.duplicates,
            reordered: totals.counts.reordered,
            foreign: totals.counts.foreign,
            bytes_sent: totals.counts.bytes_sent,
            bytes_received: totals.counts.bytes_received,
            from_hub: from_hub(totals.counts.from_hub),
        })
        .collect()
}

/// What a fleet heard from its hub, if anything.
fn from_hub(counts: crate::measure::FromHub) -> Option<FromHub> {
    if counts == crate::measure::FromHub::default() {
        return None;
    }
    Some(FromHub {
        late_answers: counts.late_answers,
        unknown_answers: counts.unknown_answers,
        desired: counts.desired,
        desired_stale: counts.desired_stale,
        desired_missed: counts.desired_missed,
        methods_unanswered: counts.methods_unanswered,
        methods_unknown: counts.methods_unknown,
        c2d: counts.c2d,
        c2d_unstamped: counts.c2d_unstamped,
        c2d_duplicates: counts.c2d_duplicates,
        c2d_skipped: counts.c2d_skipped,
        c2d_reordered: counts.c2d_reordered,
        unreadable: counts.unreadable,
    })
}

/// The generator's own meters of a run: heartbeat, lag of all messages, and how many of them were late.
#[must_use]
pub fn meters(measurement: &Measurement) -> (Histogram, Histogram, u64) {
    let messages = measurement.sum(|key| key.operation.is_message());
    let mut heartbeat = Latency::default();
    for phase in measurement.heartbeat() {
        heartbeat.add(phase);
    }
    (latency(&heartbeat), latency(&messages.lag), messages.late)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::measure::{Culprit, Key, Layout, Recorder, Times};
    use std::time::Duration;

    const S: u64 = 1_000_000_000;
    const MS: u64 = 1_000_000;

    pub(crate) fn names() -> Names {
        Names { fleets: vec!["meter".to_owned()], phases: vec!["ramp".to_owned(), "steady".to_owned()] }
    }

    /// A short run with one of everything.
    pub(crate) fn measurement() -> Measurement {
        let layout = Layout::new(1, 2, Duration::from_secs(60), Duration::from_millis(100));
        let mut recorder = Recorder::new(layout);
        let mut measurement = Measurement::new(layout);
        let connect = Key { operation: Operation::Connect, fleet: 0, phase: 0 };
        let telemetry = Key { operation: Operation::Telemetry, fleet: 0, phase: 1 };
        recorder.due(connect, 0);
        recorder.ok(connect, &Times { due: 0, picked: MS, sent: MS, acked: 30 * MS });
        recorder.duration(Key { operation: Operation::ConnectTls, ..connect }, 12 * MS);
        recorder.online(0, 1);
        recorder.counts(0).bytes_sent = 300;
        recorder.heartbeat(0, MS);
        measurement.add(&recorder.swap(), crate::measure::Source::Worker(0));
        measurement.tick(S, Some(25.0), 1);
        for n in 0..4 {
            recorder.due(telemetry, 2 * S + n * MS);
        }
        for n in 0..2 {
            let due = 2 * S + n * MS;
            recorder.ok(telemetry, &Times { due, picked: due, sent: due + MS, acked: due + 8 * MS });
        }
        recorder.ended(telemetry, Outcome::Lost, 2 * S, 2 * S + 9 * MS);
        recorder.ended(telemetry, Outcome::Unfinished, 2 * S, 3 * S - 1);
        recorder.error("tcp_reset", Culprit::Network, 2 * S, || "reset".to_owned());
        for _ in 0..2 {
            recorder.error("closed_by_peer", Culprit::Peer, 2 * S + MS, || "closed".to_owned());
        }
        measurement.add(&recorder.swap(), crate::measure::Source::Worker(0));
        measurement.tick(3 * S, Some(75.0), 1);
        measurement
    }

    #[test]
    fn operations_are_named_and_their_outcomes_sum_up() {
        let operations = operations(&measurement(), &names());
        let listed: Vec<_> =
            operations.iter().map(|o| (o.phase.as_str(), o.operation.as_str(), o.fleet.as_str())).collect();
        assert_eq!(
            listed,
            [
                ("ramp", "connect", "meter"),
                ("ramp", "connect.tls", "meter"),
                ("steady", "telemetry", "meter")
            ]
        );
        for operation in &operations {
            assert_eq!(operation.outcomes.values().sum::<u64>(), operation.due, "{}", operation.operation);
        }
        let telemetry = &operations[2];
        assert_eq!(telemetry.outcomes.keys().collect::<Vec<_>>(), ["lost", "ok", "unfinished"]);
        assert_eq!((telemetry.response.count, telemetry.unfinished_age.count), (2, 1));
    }

    #[test]
    fn rows_carry_gauges_over_seconds_without_a_tick() {
        let series = series(&measurement());
        assert_eq!(series.interval_us, 1_000_000);
        let rows: Vec<_> =
            series.rows.iter().map(|r| (r.t_us, r.online, r.offered, r.achieved, r.errors)).collect();
        assert_eq!(rows, [(0, 1, 0, 0, 0), (1_000_000, 1, 0, 0, 0), (2_000_000, 1, 4, 2, 2)]);
        assert_eq!(series.rows[2].response["telemetry"].count, 2);
        let cpu: Vec<_> = series.rows.iter().map(|row| row.cpu_percent).collect();
        assert_eq!(cpu, [25.0, 25.0, 75.0]);
    }

    #[test]
    fn the_most_frequent_error_comes_first() {
        let errors = errors(&measurement());
        let listed: Vec<_> = errors.iter().map(|e| (e.class.as_str(), e.culprit.as_str(), e.count)).collect();
        assert_eq!(listed, [("closed_by_peer", "peer", 2), ("tcp_reset", "network", 1)]);
        assert_eq!((errors[0].first_us, errors[0].example.as_str()), (2_001_000, "closed"));
    }

    #[test]
    fn fleets_and_meters() {
        let fleets = fleets(&measurement(), &names(), &[7]);
        assert_eq!((fleets[0].devices, fleets[0].connected_peak, fleets[0].bytes_sent), (7, 1, 300));
        assert_eq!(fleets[0].from_hub, None, "nothing was heard");
        let (heartbeat, lag, late) = meters(&measurement());
        assert_eq!((heartbeat.count, lag.count, late), (1, 2, 0), "lag is that of messages");
    }
}
