//! The collector: adds up the snapshots of all sources into a [`Measurement`], and knows the live figures. Fed by
//! `fleet` once a second. It never sees a device.

use super::DIGITS_ROW;
use super::Layout;
use super::errors;
use super::health::Source;
use super::latency::{Latency, Pool};
use super::measurement::{Fleet, Measurement, OperationTotals, Phase, Stream};
use super::operation::{Culprit, Operation};
use super::recorder::{Online, Snapshot};
use super::series::Interval;
use super::totals::Totals;
use crate::stalls::StallEntry;
use std::collections::BTreeMap;

/// What a progress line shows: the last interval, and the errors so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// The end of the interval.
    pub t_ns: u64,
    /// Devices online.
    pub online: u64,
    /// Devices that the plan wanted online.
    pub planned_online: u64,
    /// Messages due per second.
    pub offered_per_s: f64,
    /// Messages acked per second.
    pub achieved_per_s: f64,
    /// Response p99 of the interval by message operation that had acks in it.
    pub p99_us: Vec<(Operation, u64)>,
    /// Operations that ended otherwise than ok, since the run's zero.
    pub errors: u64,
}

/// Adds up a run while it goes on.
#[derive(Debug)]
pub struct Collector {
    layout: Layout,
    measurement: Measurement,
    /// Where a key's numbers lie in the measurement; `None` as long as there are none.
    places: Vec<Option<u32>>,
    heartbeat: Latency,
    /// By source and fleet.
    online: BTreeMap<Source, Vec<Online>>,
    since_tick: Interval,
    rows_pool: Pool,
    live: Live,
}

impl Collector {
    /// Collects what these fleets do in these phases, in the order of the plan.
    #[must_use]
    pub fn new(layout: Layout, fleets: Vec<Fleet>, phases: Vec<Phase>) -> Collector {
        let highest_us = layout.highest_us;
        Collector {
            layout,
            measurement: Measurement { fleets, phases, highest_us, ..Measurement::default() },
            places: vec![None; layout.cells()],
            heartbeat: Latency::default(),
            online: BTreeMap::new(),
            since_tick: Interval::default(),
            rows_pool: Pool::new(DIGITS_ROW, highest_us),
            live: Live::default(),
        }
    }

    /// Fleets and phases that are called by their numbers, for tests.
    #[cfg(test)]
    pub(crate) fn unnamed(layout: Layout) -> Collector {
        let fleet = |number| Fleet { name: format!("fleet-{number}"), devices: 1, ..Fleet::default() };
        let phase = |number| Phase {
            name: format!("phase-{number}"),
            start_us: number as u64 * 60_000_000,
            end_us: (number as u64 + 1) * 60_000_000,
            ..Phase::default()
        };
        Collector::new(layout, (0..layout.fleets).map(fleet).collect(), (0..layout.phases).map(phase).collect())
    }

    /// Adds what a source measured since its last snapshot.
    pub fn add(&mut self, snapshot: &Snapshot, source: Source) {
        for (key, totals) in &snapshot.cells {
            let totals_here = match self.places[self.layout.index(*key)] {
                Some(place) => &mut self.measurement.operations[place as usize].totals,
                None => {
                    let (fleet, phase) = self.measurement.names(*key);
                    let operations = &mut self.measurement.operations;
                    self.places[self.layout.index(*key)] = u32::try_from(operations.len()).ok();
                    operations.push(OperationTotals {
                        operation: key.operation,
                        fleet,
                        phase,
                        totals: Totals::default(),
                    });
                    let place = operations.len() - 1;
                    &mut operations[place].totals
                }
            };
            totals_here.add(totals);
            if key.operation.is_message() || totals.clipped > 0 {
                let phase = self.measurement.names(*key).1;
                let health = self.measurement.health_mut(source, &phase);
                health.clipped += totals.clipped;
                if key.operation.is_message() {
                    health.lag.add(&totals.lag);
                }
            }
        }
        for (second, interval) in snapshot.seconds.iter() {
            self.measurement.series.add(second, interval);
            self.since_tick.merge(interval);
        }
        let online = self.online.entry(source).or_insert_with(|| vec![Online::default(); self.layout.fleets]);
        let fleets = self.measurement.fleets.iter_mut().zip(online);
        for ((fleet, online), (counts, now)) in fleets.zip(&snapshot.fleets) {
            fleet.counts.add(counts);
            *online = Online { now: now.now, peak: online.peak.max(now.peak) };
        }
        self.add_health(snapshot, source);
    }

    fn add_health(&mut self, snapshot: &Snapshot, source: Source) {
        self.heartbeat.add(&snapshot.heartbeat);
        for error in &snapshot.errors {
            errors::merge(&mut self.measurement.errors, error);
            if error.culprit == Culprit::Us
                && let Some(phase) = self.measurement.phase_at(error.last_us).map(|phase| phase.name.clone())
            {
                self.measurement.health_mut(source, &phase).environment_errors += error.count;
            }
        }
        let phases: Vec<String> = self.measurement.phases.iter().map(|phase| phase.name.clone()).collect();
        for (phase, busy) in phases.iter().zip(&snapshot.busy).filter(|(_, busy)| busy.passed_ns > 0) {
            let health = self.measurement.health_mut(source, phase);
            health.busy.add(*busy);
            health.busy_share = health.busy.share();
        }
        for [from_ns, to_ns] in &snapshot.stalls {
            let (from_us, to_us) = (from_ns / 1_000, to_ns / 1_000);
            self.measurement.add_stall(source, StallEntry { from_us, to_us, stalled_us: to_us - from_us });
        }
        for [from_ns, to_ns] in &snapshot.saturated {
            self.measurement.add_saturated(source, from_ns / 1_000, to_ns / 1_000);
        }
        if let Some((at_ns, drift_ns)) = snapshot.clock_drift
            && let Some(phase) = self.measurement.phase_at(at_ns / 1_000).map(|phase| phase.name.clone())
        {
            let health = self.measurement.health_mut(source, &phase);
            health.clock_drift_us = health.clock_drift_us.max(drift_ns / 1_000);
        }
    }

    /// Closes an interval at `t_ns`: notes the gauges in the series, and the CPU where it was read, and brings the live
    /// figures up to date.
    #[expect(clippy::cast_precision_loss, reason = "rates are for people")]
    pub fn tick(&mut self, t_ns: u64, cpu_percent: Option<f64>, planned_online: u64) {
        self.note_peaks();
        for online in self.online.values_mut().flatten() {
            online.peak = online.now;
        }
        let online = (0..self.layout.fleets).map(|fleet| self.online_now(fleet)).sum();
        self.measurement.series.tick(t_ns, cpu_percent, online, planned_online);

        let seconds = (t_ns.saturating_sub(self.live.t_ns) as f64 / 1e9).max(1e-3);
        let messages = self.since_tick.response.iter().filter(|(operation, _)| operation.is_message());
        let p99 = messages.filter_map(|(operation, latency)| Some((operation, latency.quantile(0.99)?)));
        self.live = Live {
            t_ns,
            online,
            planned_online,
            offered_per_s: self.since_tick.offered as f64 / seconds,
            achieved_per_s: self.since_tick.achieved as f64 / seconds,
            p99_us: p99.collect(),
            errors: self.live.errors + self.since_tick.errors,
        };
        self.since_tick.recycle(&mut self.rows_pool);
        self.since_tick = Interval::default();
    }

    /// The figures of the last tick.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// What was measured so far.
    #[must_use]
    pub fn measurement(&self) -> &Measurement {
        &self.measurement
    }

    /// Lateness of the workers' own tick.
    #[must_use]
    pub fn heartbeat(&self) -> &Latency {
        &self.heartbeat
    }

    /// What was measured, in the order of files. `load_ended_us` cuts the phases: what never began is left out.
    #[must_use]
    pub fn finish(mut self, load_ended_us: u64, streams: Vec<Stream>, breakdowns: Vec<String>) -> Measurement {
        self.note_peaks();
        let mut measurement = self.measurement;
        measurement.streams = streams;
        measurement.breakdowns = breakdowns;
        measurement.phases.retain(|phase| phase.start_us < load_ended_us);
        for phase in &mut measurement.phases {
            phase.end_us = phase.end_us.min(load_ended_us);
        }
        measurement.sort();
        measurement
    }

    /// Sources peak together to within an interval, so the sum of their peaks is the fleet's.
    fn note_peaks(&mut self) {
        for (number, fleet) in self.measurement.fleets.iter_mut().enumerate() {
            let peak: i64 = self.online.values().filter_map(|source| source.get(number)).map(|o| o.peak).sum();
            fleet.connected_peak = fleet.connected_peak.max(u64::try_from(peak).unwrap_or(0));
        }
    }

    fn online_now(&self, fleet: usize) -> u64 {
        let now: i64 = self.online.values().filter_map(|source| source.get(fleet)).map(|o| o.now).sum();
        u64::try_from(now).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Culprit, Outcome, Recorder, Times};
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const S: u64 = 1_000_000_000;
    const MS: u64 = 1_000_000;

    fn layout() -> Layout {
        Layout::new(2, 2, Duration::from_secs(60), Duration::from_millis(100))
    }

    fn key(operation: Operation, fleet: u16, phase: u16) -> Key {
        Key { operation, fleet, phase }
    }

    fn at(due: u64, acked: u64) -> Times {
        Times { due, picked: due, sent: due, acked }
    }

    #[test]
    fn offered_counts_by_due_second_and_achieved_by_ack_second() {
        let telemetry = key(Operation::Telemetry, 0, 0);
        let mut recorder = Recorder::new(layout());
        let mut measurement = Measurement::new(layout());
        recorder.due(telemetry, S / 2);
        measurement.add(&recorder.swap(), 0);
        measurement.tick(S, Some(10.0), 0);
        // Due in the first second too, but handled and acked three seconds later.
        recorder.due(telemetry, S / 2 + 1);
        recorder.ok(telemetry, &at(S / 2, 3 * S + MS));
        recorder.ok(telemetry, &at(S / 2 + 1, 3 * S + MS));
        recorder.due(key(Operation::Ping, 0, 0), S);
        recorder.ok(key(Operation::Ping, 0, 0), &at(S, 3 * S));
        measurement.add(&recorder.swap(), 0);
        let rows = measurement.series().rows();
        let figures: Vec<_> = rows.iter().map(|r| (r.interval.offered, r.interval.achieved)).collect();
        assert_eq!(figures, [(2, 0), (0, 0), (0, 0), (0, 2)], "a ping is no message");
        assert_eq!(rows[3].interval.response(Operation::Telemetry).count(), 2);
        assert_eq!(rows[3].interval.response(Operation::Ping).count(), 1);
    }

    #[test]
    fn live_figures_are_those_of_the_last_interval() {
        let publish = key(Operation::Publish, 1, 0);
        let mut recorder = Recorder::new(layout());
        let mut measurement = Measurement::new(layout());
        recorder.due(publish, 0);
        recorder.ended(publish, Outcome::TimedOut, 0, MS);
        recorder.online(1, 5);
        measurement.add(&recorder.swap(), 0);
        measurement.tick(S, Some(10.0), 8);
        for n in 0..10 {
            recorder.due(publish, S + n);
        }
        for n in 0..4 {
            recorder.ok(publish, &at(S + n, S + n + 7 * MS));
        }
        recorder.ended(publish, Outcome::Lost, S, S);
        recorder.online(1, -1);
        measurement.add(&recorder.swap(), 0);
        measurement.tick(3 * S, Some(30.0), 9);
        let live = measurement.live();
        assert_eq!((live.online, live.planned_online, live.errors), (4, 9, 2));
        assert!((live.offered_per_s - 5.0).abs() < 1e-9 && (live.achieved_per_s - 2.0).abs() < 1e-9);
        let [(Operation::Publish, p99_us)] = live.p99_us.as_slice() else { panic!("{live:?}") };
        assert!((7_000..7_100).contains(p99_us), "two digits of 7 ms: {p99_us}");
        assert_eq!(measurement.series().rows()[2].cpu_percent(), Some(30.0));
    }

    #[test]
    fn online_adds_over_workers_and_peaks_outlive_the_fall() {
        let mut measurement = Measurement::new(layout());
        let mut workers = [Recorder::new(layout()), Recorder::new(layout())];
        for (n, recorder) in workers.iter_mut().enumerate() {
            recorder.online(0, 10);
            recorder.online(0, -3);
            recorder.counts(0).reconnects += 1;
            measurement.add(&recorder.swap(), n);
        }
        measurement.tick(S, None, 0);
        workers[0].online(0, -7);
        measurement.add(&workers[0].swap(), 0);
        measurement.tick(2 * S, None, 0);
        let fleets: Vec<_> = measurement.fleets().collect();
        assert_eq!((fleets[0].online, fleets[0].connected_peak), (7, 20));
        assert_eq!((fleets[0].counts.reconnects, fleets[1]), (2, FleetTotals::default()));
        assert_eq!(measurement.series().rows()[1].online_and_planned(), Some((7, 0)));
    }

    #[test]
    fn errors_keep_first_last_and_an_example() {
        let mut measurement = Measurement::new(layout());
        let mut workers = [Recorder::new(layout()), Recorder::new(layout())];
        workers[0].error("ack_stall", Culprit::Peer, 50, || "first seen".to_owned());
        workers[1].error("ack_stall", Culprit::Peer, 20, || "other".to_owned());
        workers[1].error("ack_stall", Culprit::Peer, 90, || "other".to_owned());
        workers[1].error("tcp_refused", Culprit::Network, 1, String::new);
        for (n, recorder) in workers.iter_mut().enumerate() {
            measurement.add(&recorder.swap(), n);
        }
        let [stall, refused] = measurement.errors() else { panic!("two classes") };
        assert_eq!((stall.count, stall.first_ns, stall.last_ns), (3, 20, 90));
        assert_eq!((stall.example.as_str(), refused.count), ("first seen", 1));
    }

    #[test]
    fn a_sum_adds_what_is_wanted_only() {
        let mut measurement = Measurement::new(layout());
        let mut recorder = Recorder::new(layout());
        for phase in 0..2 {
            for fleet in 0..2 {
                recorder.due(key(Operation::Telemetry, fleet, phase), 0);
            }
        }
        recorder.due(key(Operation::Ping, 0, 0), 0);
        measurement.add(&recorder.swap(), 0);
        assert_eq!(measurement.sum(|k| k.operation == Operation::Telemetry && k.phase == 1).due, 2);
        assert_eq!(measurement.sum(|_| true).due, 5);
        assert_eq!(measurement.keys().count(), 5);
        assert!(measurement.totals(key(Operation::Connect, 0, 0)).is_none());
    }

    proptest! {
        /// Whatever happens, spread over workers, swaps and recycled histograms: what is due has ended in exactly
        /// one way, and every ok and unfinished one left its sample.
        #[test]
        fn the_sum_of_outcomes_is_what_was_due(
            events in prop::collection::vec(
                (0..2_usize, 0..Operation::ALL.len(), 0..2_u16, 0..2_u16, 0..8_usize, 0..20 * S, 0..70 * S, any::<bool>()),
                0..200,
            )
        ) {
            let mut recorders = [Recorder::new(layout()), Recorder::new(layout())];
            let mut measurement = Measurement::new(layout());
            for (worker, operation, fleet, phase, outcome, due, took, swap) in events {
                let recorder = &mut recorders[worker];
                let key = key(Operation::ALL[operation], fleet, phase);
                recorder.due(key, due);
                if swap {
                    let snapshot = recorder.swap();
                    measurement.add(&snapshot, worker);
                    recorder.recycle(snapshot);
                }
                match Outcome::ALL[outcome] {
                    Outcome::Ok => recorder.ok(key, &at(due, due + took)),
                    outcome => recorder.ended(key, outcome, due, due + took),
                }
            }
            for (worker, recorder) in recorders.iter_mut().enumerate() {
                measurement.add(&recorder.swap(), worker);
            }
            let (mut offered, mut errors) = (0, 0);
            for key in measurement.keys() {
                let totals = measurement.totals(key).unwrap();
                prop_assert_eq!(totals.ended(), totals.due);
                let ok = totals.outcome(Outcome::Ok);
                for latency in [&totals.response, &totals.wait, &totals.lag] {
                    prop_assert_eq!(latency.count(), ok);
                }
                prop_assert_eq!(totals.service.count(), if key.operation.has_ack() { ok } else { 0 });
                prop_assert_eq!(totals.unfinished_age.count(), totals.outcome(Outcome::Unfinished));
                offered += if key.operation.is_message() { totals.due } else { 0 };
                // A step's failure is its attempt's: the series shows it once.
                errors += if key.operation.is_step() { 0 } else { totals.due - ok };
            }
            let rows = measurement.series().rows();
            prop_assert_eq!(rows.iter().map(|row| row.interval.offered).sum::<u64>(), offered);
            prop_assert_eq!(rows.iter().map(|row| row.interval.errors).sum::<u64>(), errors);
        }
    }
}
