//! The collector: adds up the snapshots of all workers, keeps the series, and knows the live figures. Fed by
//! `fleet` once a second, read by `result`, `report` and `live`. It never sees a device.

use super::DIGITS_ROW;
use super::Layout;
use super::kinds::{Key, Operation};
use super::latency::{Latency, Pool};
use super::recorder::Snapshot;
use super::series::{Interval, Series};
use super::source::Source;
use super::totals::{Busy, ErrorTotals, FleetCounts, Online, Totals};
use std::collections::BTreeMap;

/// What a fleet adds up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FleetTotals {
    /// What it counted beside its operations.
    pub counts: FleetCounts,
    /// Devices online as of the last snapshots.
    pub online: u64,
    /// The most that were online at once.
    pub connected_peak: u64,
}

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

/// Everything that a run measured, or has so far.
#[derive(Debug)]
pub struct Measurement {
    layout: Layout,
    cells: Vec<Totals>,
    series: Series,
    counts: Vec<FleetCounts>,
    peaks: Vec<u64>,
    /// By source and fleet.
    online: BTreeMap<Source, Vec<Online>>,
    errors: Vec<ErrorTotals>,
    heartbeat: Vec<Latency>,
    /// By source and phase.
    busy: BTreeMap<Source, Vec<Busy>>,
    since_tick: Interval,
    rows_pool: Pool,
    live: Live,
}

impl Measurement {
    /// An empty collector.
    #[must_use]
    pub fn new(layout: Layout) -> Measurement {
        Measurement {
            layout,
            cells: vec![Totals::default(); layout.cells()],
            series: Series::default(),
            counts: vec![FleetCounts::default(); layout.fleets],
            peaks: vec![0; layout.fleets],
            online: BTreeMap::new(),
            errors: Vec::new(),
            heartbeat: vec![Latency::default(); layout.phases],
            busy: BTreeMap::new(),
            since_tick: Interval::default(),
            rows_pool: Pool::new(DIGITS_ROW, layout.highest_us),
            live: Live::default(),
        }
    }

    /// The size of this measurement.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Adds what a source measured since its last snapshot.
    pub fn add(&mut self, snapshot: &Snapshot, source: Source) {
        for (key, totals) in &snapshot.cells {
            self.cells[self.layout.index(*key)].add(totals);
        }
        for (second, interval) in snapshot.seconds.iter() {
            self.series.add(second, interval);
            self.since_tick.merge(interval);
        }
        let Layout { fleets, phases, .. } = self.layout;
        let busy = self.busy.entry(source).or_insert_with(|| vec![Busy::default(); phases]);
        for (mine, theirs) in busy.iter_mut().zip(&snapshot.busy) {
            mine.add(*theirs);
        }
        let online = self.online.entry(source).or_insert_with(|| vec![Online::default(); fleets]);
        for ((mine, online), (counts, now)) in self.counts.iter_mut().zip(online).zip(&snapshot.fleets) {
            mine.add(counts);
            *online = Online { now: now.now, peak: online.peak.max(now.peak) };
        }
        for error in &snapshot.errors {
            self.add_error(error);
        }
        for (mine, theirs) in self.heartbeat.iter_mut().zip(&snapshot.heartbeat) {
            mine.add(theirs);
        }
    }

    fn add_error(&mut self, error: &ErrorTotals) {
        let known = self.errors.iter_mut();
        match known.into_iter().find(|k| k.class == error.class && k.culprit == error.culprit) {
            Some(known) => {
                known.count += error.count;
                known.first_ns = known.first_ns.min(error.first_ns);
                known.last_ns = known.last_ns.max(error.last_ns);
            }
            None => self.errors.push(error.clone()),
        }
    }

    /// Closes an interval at `t_ns`: notes the gauges in the series, and the CPU where it was read, and brings the live
    /// figures up to date.
    #[expect(clippy::cast_precision_loss, reason = "rates are for people")]
    pub fn tick(&mut self, t_ns: u64, cpu_percent: Option<f64>, planned_online: u64) {
        for fleet in 0..self.peaks.len() {
            self.peaks[fleet] = self.peak(fleet);
        }
        for online in self.online.values_mut().flatten() {
            online.peak = online.now;
        }
        let online = (0..self.peaks.len()).map(|fleet| self.online_now(fleet)).sum();
        self.series.tick(t_ns, cpu_percent, online, planned_online);

        let seconds = (t_ns.saturating_sub(self.live.t_ns) as f64 / 1e9).max(1e-3);
        let messages = Operation::ALL.into_iter().filter(|operation| operation.is_message());
        let p99 = |operation| self.since_tick.response(operation).quantile(0.99).map(|us| (operation, us));
        self.live = Live {
            t_ns,
            online,
            planned_online,
            offered_per_s: self.since_tick.offered as f64 / seconds,
            achieved_per_s: self.since_tick.achieved as f64 / seconds,
            p99_us: messages.filter_map(p99).collect(),
            errors: self.live.errors + self.since_tick.errors,
        };
        self.since_tick.recycle(&mut self.rows_pool);
        self.since_tick = Interval::default();
    }

    /// The totals of a key; `None` when nothing was recorded.
    #[must_use]
    pub fn totals(&self, key: Key) -> Option<&Totals> {
        self.cells.get(self.layout.index(key)).filter(|totals| !totals.is_empty())
    }

    /// The keys that have totals: phase by phase, fleet by fleet, operations in the order of reports.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.layout.keys().filter(|key| self.totals(*key).is_some())
    }

    /// The sum over all keys that `wanted` says: histograms and counters are added, nothing is averaged.
    pub fn sum(&self, wanted: impl Fn(Key) -> bool) -> Totals {
        let mut sum = Totals::default();
        for totals in self.keys().filter(|key| wanted(*key)).filter_map(|key| self.totals(key)) {
            sum.add(totals);
        }
        sum
    }

    /// Each fleet, in the order of the plan.
    pub fn fleets(&self) -> impl Iterator<Item = FleetTotals> {
        self.counts.iter().enumerate().map(|(fleet, counts)| FleetTotals {
            counts: *counts,
            online: self.online_now(fleet),
            connected_peak: self.peak(fleet),
        })
    }

    /// Errors by class, in the order of their first appearance.
    #[must_use]
    pub fn errors(&self) -> &[ErrorTotals] {
        &self.errors
    }

    /// Lateness of the workers' own tick, by phase.
    #[must_use]
    pub fn heartbeat(&self) -> &[Latency] {
        &self.heartbeat
    }

    /// The share of a phase for which its busiest worker had something to do; `None` for less than a second of it.
    #[must_use]
    pub fn busiest(&self, phase: u16) -> Option<f64> {
        let shares = self.busy.values().filter_map(|phases| phases.get(usize::from(phase))?.share());
        shares.max_by(f64::total_cmp)
    }

    /// The run over time.
    #[must_use]
    pub fn series(&self) -> &Series {
        &self.series
    }

    /// The figures of the last tick.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.live
    }

    fn online_now(&self, fleet: usize) -> u64 {
        let now: i64 = self.online.values().filter_map(|fleets| fleets.get(fleet)).map(|o| o.now).sum();
        u64::try_from(now).unwrap_or(0)
    }

    /// Workers peak together to within an interval, so the sum of their peaks is the fleet's.
    fn peak(&self, fleet: usize) -> u64 {
        let peak: i64 = self.online.values().filter_map(|fleets| fleets.get(fleet)).map(|o| o.peak).sum();
        self.peaks[fleet].max(u64::try_from(peak).unwrap_or(0))
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
        measurement.add(&recorder.swap(), Source::Worker(0));
        measurement.tick(S, Some(10.0), 0);
        // Due in the first second too, but handled and acked three seconds later.
        recorder.due(telemetry, S / 2 + 1);
        recorder.ok(telemetry, &at(S / 2, 3 * S + MS));
        recorder.ok(telemetry, &at(S / 2 + 1, 3 * S + MS));
        recorder.due(key(Operation::Ping, 0, 0), S);
        recorder.ok(key(Operation::Ping, 0, 0), &at(S, 3 * S));
        measurement.add(&recorder.swap(), Source::Worker(0));
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
        measurement.add(&recorder.swap(), Source::Worker(0));
        measurement.tick(S, Some(10.0), 8);
        for n in 0..10 {
            recorder.due(publish, S + n);
        }
        for n in 0..4 {
            recorder.ok(publish, &at(S + n, S + n + 7 * MS));
        }
        recorder.ended(publish, Outcome::Lost, S, S);
        recorder.online(1, -1);
        measurement.add(&recorder.swap(), Source::Worker(0));
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
        for (n, recorder) in (0..).zip(&mut workers) {
            recorder.online(0, 10);
            recorder.online(0, -3);
            recorder.counts(0).reconnects += 1;
            measurement.add(&recorder.swap(), Source::Worker(n));
        }
        measurement.tick(S, None, 0);
        workers[0].online(0, -7);
        measurement.add(&workers[0].swap(), Source::Worker(0));
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
        for (n, recorder) in (0..).zip(&mut workers) {
            measurement.add(&recorder.swap(), Source::Worker(n));
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
        measurement.add(&recorder.swap(), Source::Worker(0));
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
                (0..2_u16, 0..Operation::ALL.len(), 0..2_u16, 0..2_u16, 0..8_usize, 0..20 * S, 0..70 * S, any::<bool>()),
                0..200,
            )
        ) {
            let mut recorders = [Recorder::new(layout()), Recorder::new(layout())];
            let mut measurement = Measurement::new(layout());
            for (worker, operation, fleet, phase, outcome, due, took, swap) in events {
                let recorder = &mut recorders[usize::from(worker)];
                let key = key(Operation::ALL[operation], fleet, phase);
                recorder.due(key, due);
                if swap {
                    let snapshot = recorder.swap();
                    measurement.add(&snapshot, Source::Worker(worker));
                    recorder.recycle(snapshot);
                }
                match Outcome::ALL[outcome] {
                    Outcome::Ok => recorder.ok(key, &at(due, due + took)),
                    outcome => recorder.ended(key, outcome, due, due + took),
                }
            }
            for (worker, recorder) in (0..).zip(&mut recorders) {
                measurement.add(&recorder.swap(), Source::Worker(worker));
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
