//! The collector with recorders from several workers, and merging measurements.

use super::super::{Culprit, Key, Outcome, Recorder, Times};
use super::*;
use crate::stalls::Stalls;
use proptest::prelude::*;
use std::rc::Rc;
use std::time::Duration;

const S: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

fn layout() -> Layout {
    Layout::new(2, 2, Duration::from_secs(60))
}

fn key(operation: Operation, fleet: u16, phase: u16) -> Key {
    Key { operation, fleet, phase }
}

fn recorder() -> Recorder {
    Recorder::new(layout(), Rc::new(Stalls::new(crate::clock::now())))
}

fn worker(number: usize) -> Source {
    Source::Worker(u16::try_from(number).unwrap())
}

fn rows(collector: &Collector) -> &[super::super::Row] {
    &collector.measurement().series.rows
}

fn at(due: u64, acked: u64) -> Times {
    Times { due, picked: due, sent: due, acked }
}

#[test]
fn offered_and_achieved_count_in_their_own_seconds() {
    let telemetry = key(Operation::Telemetry, 0, 0);
    let mut recorder = recorder();
    let mut collector = Collector::unnamed(layout());
    recorder.due(telemetry, S / 2);
    collector.add(&recorder.swap(), Source::Worker(0));
    collector.tick(S, Some(10.0), 0);
    // Also due in the first second, but started and acknowledged three seconds later.
    recorder.due(telemetry, S / 2 + 1);
    recorder.ok(telemetry, &at(S / 2, 3 * S + MS));
    recorder.ok(telemetry, &at(S / 2 + 1, 3 * S + MS));
    recorder.due(key(Operation::Ping, 0, 0), S);
    recorder.ok(key(Operation::Ping, 0, 0), &at(S, 3 * S));
    collector.add(&recorder.swap(), Source::Worker(0));
    let rows = rows(&collector);
    let figures: Vec<_> = rows.iter().map(|r| (r.interval.offered, r.interval.achieved)).collect();
    assert_eq!(figures, [(2, 0), (0, 0), (0, 0), (0, 2)], "a ping is not a message");
    assert_eq!(rows[3].interval.response.of(Operation::Telemetry).count(), 2);
    assert_eq!(rows[3].interval.response.of(Operation::Ping).count(), 1);
}

#[test]
fn live_figures_cover_the_last_interval() {
    let publish = key(Operation::Publish, 1, 0);
    let mut recorder = recorder();
    let mut collector = Collector::unnamed(layout());
    recorder.due(publish, 0);
    recorder.ended(publish, Outcome::TimedOut, 0, MS);
    recorder.online(1, 5);
    collector.add(&recorder.swap(), Source::Worker(0));
    collector.tick(S, Some(10.0), 8);
    for n in 0..10 {
        recorder.due(publish, S + n);
    }
    for n in 0..4 {
        recorder.ok(publish, &at(S + n, S + n + 7 * MS));
    }
    recorder.ended(publish, Outcome::Lost, S, S);
    recorder.online(1, -1);
    collector.add(&recorder.swap(), Source::Worker(0));
    collector.tick(3 * S, Some(30.0), 9);
    let live = collector.live();
    assert_eq!((live.online, live.planned_online, live.errors), (4, 9, 2));
    assert!((live.offered_per_s - 5.0).abs() < 1e-9 && (live.achieved_per_s - 2.0).abs() < 1e-9);
    let [(Operation::Publish, p99_us)] = live.p99_us.as_slice() else { panic!("{live:?}") };
    assert!((7_000..7_100).contains(p99_us), "two digits of 7 ms: {p99_us}");
    assert_eq!(rows(&collector)[2].cpu_percent, 30.0);
}

#[test]
fn live_figures_count_ended_operations_and_errors_by_class() {
    let connect = key(Operation::Connect, 1, 0);
    let mut recorder = recorder();
    let mut collector = Collector::unnamed(layout());
    let mut second = |at: u64, refused: u64| {
        for n in 0..3 {
            recorder.due(connect, at + n);
            recorder.duration(Key { operation: Operation::ConnectTcp, ..connect }, at + n, MS);
            if n < refused {
                recorder.ended(connect, Outcome::Refused, at + n, at + n);
                recorder.error("connack_5", Culprit::Target, at, || "first".to_owned());
            } else {
                recorder.ok(connect, &Times { due: at, picked: at, sent: at, acked: at + n });
            }
        }
        recorder.due(key(Operation::Publish, 1, 0), at);
        recorder.ended(key(Operation::Publish, 1, 0), Outcome::Lost, at, at + 1);
        collector.add(&recorder.swap(), Source::Worker(0));
        collector.tick(at + S, None, 0);
        let live = collector.live().clone();
        // The steps of connection attempts are not operations of their own.
        assert_eq!((live.ended, live.attempts), (4, 3));
        assert!(live.p99_us.iter().all(|(operation, _)| *operation == Operation::Connect), "{live:?}");
        live.classes.iter().map(|class| (class.count, class.total, class.example.clone())).collect::<Vec<_>>()
    };
    assert_eq!(second(0, 0), []);
    assert_eq!(second(S, 2), [(2, 2, "first".to_owned())]);
    assert_eq!(second(2 * S, 1), [(1, 3, "first".to_owned())]);
    assert_eq!(second(3 * S, 0), [(0, 3, "first".to_owned())]);
}

#[test]
fn online_adds_over_workers_and_keeps_the_peak() {
    let mut collector = Collector::unnamed(layout());
    let mut workers = [recorder(), recorder()];
    for (n, recorder) in workers.iter_mut().enumerate() {
        recorder.online(0, 10);
        recorder.online(0, -3);
        recorder.counts(0).reconnects += 1;
        collector.add(&recorder.swap(), worker(n));
    }
    collector.tick(S, None, 0);
    workers[0].online(0, -7);
    collector.add(&workers[0].swap(), Source::Worker(0));
    collector.tick(2 * S, None, 0);
    let fleets = &collector.measurement().fleets;
    assert_eq!((collector.live().online, fleets[0].connected_peak), (7, 20));
    assert_eq!((fleets[0].counts.reconnects, fleets[1].connected_peak), (2, 0));
    assert_eq!(rows(&collector)[1].online, 7);
}

#[test]
fn several_fleets_have_rows_of_their_own() {
    let mut collector = Collector::unnamed(layout());
    let mut recorder = recorder();
    recorder.online(1, 4);
    for second in 0..2 {
        let (due, qos0) = (second * S, key(Operation::TelemetryQos0, 1, 0));
        for key in [key(Operation::Telemetry, 1, 0), qos0, key(Operation::Ping, 1, 0)] {
            recorder.due(key, due);
            recorder.ok(key, &at(due, due + 3_000_000));
        }
        recorder.due(key(Operation::Telemetry, 1, 0), due);
        recorder.ended(key(Operation::Telemetry, 1, 0), Outcome::Lost, due, due + 1_000);
        collector.add(&recorder.swap(), Source::Worker(0));
        collector.tick((second + 1) * S, None, 0);
    }
    for row in rows(&collector) {
        let fleet = &row.fleets["fleet-1"];
        assert_eq!((fleet.online, fleet.due, fleet.ok, fleet.not_ok), (4, 3, 2, 1), "pings are no messages");
        assert_eq!(fleet.response.count(), 1, "QoS 0 has no acknowledgment");
        let telemetry = row.interval.response.of(Operation::Telemetry);
        assert_eq!(fleet.response, telemetry.coarser(1), "with one significant digit");
    }
    for fleets in [1, 11] {
        let mut collector = Collector::unnamed(Layout::new(fleets, 1, Duration::from_secs(60)));
        collector.tick(S, None, 0);
        assert!(rows(&collector)[0].fleets.is_empty(), "{fleets} fleets");
    }
}

#[test]
fn errors_keep_first_and_last_time_and_an_example() {
    let mut collector = Collector::unnamed(layout());
    let mut workers = [recorder(), recorder()];
    workers[0].error("ack_stall", Culprit::Target, 50_000, || "other".to_owned());
    workers[1].error("ack_stall", Culprit::Target, 20_000, || "first".to_owned());
    workers[1].error("ack_stall", Culprit::Target, 90_000, || "later".to_owned());
    workers[1].error("tcp_refused", Culprit::Network, 1, String::new);
    for (n, recorder) in workers.iter_mut().enumerate() {
        collector.add(&recorder.swap(), worker(n));
    }
    let [stall, refused] = collector.measurement().errors.as_slice() else { panic!("two classes") };
    assert_eq!((stall.count, stall.first_us, stall.last_us), (3, 20, 90));
    assert_eq!((stall.example.as_str(), refused.count), ("first", 1));
}

#[test]
fn a_sum_adds_only_selected_parts() {
    let mut collector = Collector::unnamed(layout());
    let mut recorder = recorder();
    for phase in 0..2 {
        for fleet in 0..2 {
            recorder.due(key(Operation::Telemetry, fleet, phase), 0);
        }
    }
    recorder.due(key(Operation::Ping, 0, 0), 0);
    collector.add(&recorder.swap(), Source::Worker(0));
    let measurement = collector.measurement();
    assert_eq!(
        measurement.sum(|part| part.operation == Operation::Telemetry && part.phase == "phase-1").due,
        2
    );
    assert_eq!(measurement.sum(|_| true).due, 5);
    assert_eq!(measurement.operations.len(), 5);
}

#[test]
fn merging_adds_counts_and_keeps_a_clock_step_once() {
    let part = |steps: &[(u64, i64)], dead: u64, present: u64| {
        let (mut collector, mut recorder) = (Collector::unnamed(layout()), recorder());
        steps.iter().for_each(|(at, by_us)| recorder.clocks_diverged(*at, *by_us, true));
        let counts = recorder.counts(0);
        (counts.qos0_on_dead_connections, counts.clean_sessions_present) = (dead, present);
        collector.add(&recorder.swap(), Source::Worker(0));
        collector.measurement().clone()
    };
    const HOUR_US: i64 = 3_600_000_000;
    // Another process notices the first step slightly later, and measures a slightly different size.
    let mut whole = part(&[(40 * S, HOUR_US), (50 * S, -HOUR_US)], 2, 1);
    whole.merge(&part(&[(10 * S, HOUR_US), (40 * S + S / 2, HOUR_US + 1_000)], 3, 0));
    let steps: Vec<_> = whole.clock_steps.iter().map(|step| (step.at_us / 1_000_000, step.by_us)).collect();
    assert_eq!(steps, [(10, HOUR_US), (40, HOUR_US), (50, -HOUR_US)]);
    let counts = &whole.fleets[0].counts;
    assert_eq!((counts.qos0_on_dead_connections, counts.clean_sessions_present), (5, 1));
}

proptest! {
    /// Random operations on several workers, with swaps and recycled histograms: each due operation has exactly one
    /// outcome, and every ok or unfinished operation has a sample.
    #[test]
    fn outcomes_add_up_to_due_operations(
        events in prop::collection::vec(
            (0..2_usize, 0..Operation::ALL.len(), 0..2_u16, 0..2_u16, 0..8_usize, 0..20 * S, 0..70 * S, any::<bool>()),
            0..200,
        )
    ) {
        let mut recorders = [recorder(), recorder()];
        let mut collector = Collector::unnamed(layout());
        for (worker, operation, fleet, phase, outcome, due, took, swap) in events {
            let recorder = &mut recorders[worker];
            let key = key(Operation::ALL[operation], fleet, phase);
            recorder.due(key, due);
            if swap {
                let snapshot = recorder.swap();
                collector.add(&snapshot, self::worker(worker));
                recorder.recycle(snapshot);
            }
            match Outcome::ALL[outcome] {
                Outcome::Ok => recorder.ok(key, &at(due, due + took)),
                outcome => recorder.ended(key, outcome, due, due + took),
            }
        }
        for (worker, recorder) in recorders.iter_mut().enumerate() {
            collector.add(&recorder.swap(), self::worker(worker));
        }
        let (mut offered, mut errors) = (0, 0);
        for part in &collector.measurement().operations {
            let (key, totals) = (part, &part.totals);
            prop_assert_eq!(totals.ended(), totals.due);
            let ok = totals.outcome(Outcome::Ok);
            for latency in [&totals.response, &totals.wait, &totals.lag] {
                prop_assert_eq!(latency.count(), ok);
            }
            prop_assert_eq!(totals.service.count(), if key.operation.has_ack() { ok } else { 0 });
            prop_assert_eq!(totals.unfinished_age.count(), totals.outcome(Outcome::Unfinished));
            offered += if key.operation.is_message() { totals.due } else { 0 };
            // A failed step is part of its attempt, so the series counts it once.
            errors += if key.operation.is_step() { 0 } else { totals.due - ok };
        }
        let rows = rows(&collector);
        prop_assert_eq!(rows.iter().map(|row| row.interval.offered).sum::<u64>(), offered);
        prop_assert_eq!(rows.iter().map(|row| row.interval.errors).sum::<u64>(), errors);
    }

    /// Merging the measurements of several processes, in any order and grouping, gives the measurement of one process.
    #[test]
    fn merging_parts_gives_the_whole(
        events in prop::collection::vec(
            (0..3_usize, 0..Operation::ALL.len(), 0..2_u16, 0..2_u16, 0..8_usize, 0..20 * S, 0..70 * S),
            0..60,
        ),
        stalls in prop::collection::vec((0..3_usize, 0..40_u64, 1..20_u64), 0..6),
    ) {
        let mut parts: Vec<(Recorder, Rc<Stalls>)> = Vec::new();
        let zero = crate::clock::now();
        for _ in 0..4 {
            let stalls = Rc::new(Stalls::new(zero));
            parts.push((Recorder::new(layout(), stalls.clone()), stalls));
        }
        let mut events = events;
        // A recorder receives errors in chronological order.
        events.sort_by_key(|event| event.5);
        // The fourth part receives all events.
        for (part, operation, fleet, phase, outcome, due, took) in events {
            let key = key(Operation::ALL[operation], fleet, phase);
            for index in [part, 3] {
                let recorder = &mut parts[index].0;
                recorder.due(key, due);
                match Outcome::ALL[outcome] {
                    Outcome::Ok => recorder.ok(key, &at(due, due + took)),
                    outcome => recorder.ended(key, outcome, due, due + took),
                }
                recorder.error("reset", Culprit::Network, due, || format!("at {due}"));
                recorder.counts(fleet).resent += 1;
            }
        }
        let measured: Vec<Measurement> = parts.iter_mut().map(|(recorder, _)| {
            let mut collector = Collector::unnamed(layout());
            collector.add(&recorder.swap(), Source::Worker(0));
            collector.finish(u64::MAX, Vec::new(), Vec::new())
        }).collect();
        let mut measured = measured;
        let mut whole = measured.pop().unwrap();
        for (part, from, length) in stalls {
            let entry = StallEntry { from_us: from * 1_000, to_us: (from + length) * 1_000, stalled_us: length * 1_000 };
            // A source's stalls are in chronological order.
            let mut one = Measurement { phases: whole.phases.clone(), ..Measurement::default() };
            one.add_stall(Source::Worker(0), entry);
            for target in [&mut measured[part], &mut whole] {
                let devices: Vec<Fleet> = target.fleets.clone();
                target.merge(&one);
                target.fleets = devices;
            }
        }
        let merged = |order: [usize; 3]| {
            let mut sum = measured[order[0]].clone();
            sum.merge(&measured[order[1]]);
            sum.merge(&measured[order[2]]);
            sum
        };
        let mut right = measured[1].clone();
        right.merge(&measured[2]);
        let mut associated = measured[0].clone();
        associated.merge(&right);
        for sum in [merged([0, 1, 2]), merged([2, 0, 1]), merged([1, 2, 0]), associated] {
            prop_assert_eq!(&sum.operations, &whole.operations);
            prop_assert_eq!(&sum.errors, &whole.errors);
            prop_assert_eq!(&sum.series, &whole.series);
            let counts = |m: &Measurement| m.fleets.iter().map(|fleet| fleet.counts).collect::<Vec<_>>();
            prop_assert_eq!(counts(&sum), counts(&whole));
            let stalled = |m: &Measurement| m.health.iter().map(|h| (h.phase.clone(), h.lag.clone(), h.stalls.clone())).collect::<Vec<_>>();
            prop_assert_eq!(stalled(&sum), stalled(&whole));
        }
    }
}
