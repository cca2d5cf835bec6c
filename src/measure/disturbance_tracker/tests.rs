//! Disturbances: a mass loss, known starts, bins, outages, and their limits.

use super::super::connections::Offline;
use super::super::measurement::{Fleet, Phase};
use super::super::recovery::{Reached, RecoveryBins};
use super::*;

const MS: u64 = 1_000_000;
const S_US: u64 = 1_000_000;

/// A tracker, and the measurement of a fleet of 100 devices in phases of 60 s.
struct Bench {
    tracker: DisturbanceTracker,
    measurement: Measurement,
    connections: Connections,
}

impl Bench {
    fn new() -> Bench {
        let phase = |name: &str, start_s: u64| Phase {
            name: name.to_owned(),
            start_us: start_s * S_US,
            end_us: (start_s + 60) * S_US,
            ..Phase::default()
        };
        let measurement = Measurement {
            fleets: vec![Fleet { name: "a".to_owned(), devices: 100, ..Fleet::default() }],
            phases: vec![phase("calm", 0), phase("storm", 60)],
            ..Measurement::default()
        };
        let mut bench =
            Bench { tracker: DisturbanceTracker::new(1), measurement, connections: Connections::default() };
        (0..100).for_each(|_| bench.connections.connected(0, 0));
        bench
    }

    fn lose(&mut self, count: u64, at_ms: u64) {
        (0..count).for_each(|_| self.connections.disconnected(0, at_ms * MS, Offline::Lost));
    }

    fn connect(&mut self, count: u64, at_ms: u64) {
        (0..count).for_each(|_| self.connections.connected(0, at_ms * MS));
    }

    /// Runs until the end of the load. Returns cause, start and last disconnect in milliseconds of each disturbance.
    fn finish(mut self, end_s: u64) -> (Vec<(Cause, u64, u64)>, Vec<Disturbance>) {
        for second in 1..=end_s + 1 {
            // The snapshots of two seconds arrive together.
            if second % 2 == 0 {
                let changes = self.connections.changes().to_vec();
                let mut now = Connections::default();
                let mut later = Connections::default();
                for change in changes {
                    let is_now = change.bin < second * 10;
                    let list = if is_now { &mut now } else { &mut later };
                    list.push(change);
                }
                for outage in self.connections.outages() {
                    let is_now = outage.to_ns < second * 1_000 * MS;
                    (if is_now { &mut now } else { &mut later }).outage(*outage);
                }
                self.connections = later;
                self.tracker.add(&now, &mut self.measurement);
            }
            self.tracker.tick(second * 1_000 * MS, &[vec![100]], &mut self.measurement);
        }
        self.tracker.finish(end_s * S_US, &mut self.measurement);
        let found = self.measurement.disturbances;
        let facts =
            found.iter().map(|one| (one.cause, one.start_us / 1_000, one.settled_us / 1_000)).collect();
        (facts, found)
    }
}

#[test]
fn more_than_a_tenth_lost_in_2_s_is_a_disturbance() {
    type Case = (&'static str, &'static [(u64, u64)], Vec<(Cause, u64, u64)>);
    let cases: [Case; 6] = [
        ("a tenth", &[(10, 20_050)], vec![]),
        ("more than a tenth", &[(11, 20_050)], vec![(Cause::Observed, 20_050, 20_100)]),
        ("within 2 s", &[(6, 20_050), (5, 21_990)], vec![(Cause::Observed, 20_050, 22_000)]),
        ("not within 2 s", &[(6, 20_050), (5, 22_010)], vec![]),
        (
            "a loss that continues is one disturbance",
            &[(20, 20_050), (20, 21_000), (20, 22_500)],
            vec![(Cause::Observed, 20_050, 22_600)],
        ),
        (
            "a later loss is another one",
            &[(20, 20_050), (20, 30_000)],
            vec![(Cause::Observed, 20_050, 20_100), (Cause::Observed, 30_000, 30_100)],
        ),
    ];
    for (name, losses, expected) in cases {
        let mut bench = Bench::new();
        losses.iter().for_each(|(count, at_ms)| bench.lose(*count, *at_ms));
        assert_eq!(bench.finish(60).0, expected, "{name}");
    }
}

#[test]
fn observed_loss_keeps_bins_outages_and_attempts() {
    let mut bench = Bench::new();
    bench.lose(50, 20_050);
    bench.connections.attempt(0, 24_950 * MS);
    bench.connect(50, 25_050);
    let outage = Outage { fleet: 0, from_ns: 20_050 * MS, to_ns: 25_050 * MS, attempts: 3, is_back: true };
    bench.connections.outage(outage);
    bench.connections.outage(Outage { from_ns: 19_000 * MS, ..outage });
    let (_, found) = bench.finish(60);
    let fleet = &found[0].fleets[0];
    assert_eq!(
        (found[0].phase.as_str(), found[0].until_us, found[0].bins_from_us),
        ("calm", 60 * S_US, 20 * S_US)
    );
    assert_eq!(
        (fleet.online_before, fleet.online[0], fleet.online[49], fleet.online[50]),
        (100, 50, 50, 100)
    );
    assert_eq!(fleet.online.len(), 71, "until all were online for 2 s");
    assert_eq!((fleet.disconnects[0], fleet.attempts[49]), (50, 1));
    assert_eq!(fleet.attempts_per_device, BTreeMap::from([(3, 1)]), "the other outage started before");
    assert_eq!((fleet.outage.count(), fleet.not_back), (1, 0));
    let bins = RecoveryBins::of(&found[0], None).unwrap();
    assert_eq!(bins.reached(0.99), Reached::After { us: 5_050_000 });
}

#[test]
fn losses_of_a_known_disturbance_are_a_part_of_it() {
    let mut bench = Bench::new();
    let storm = Disturbance::known(Cause::Hub, "calm", [10 * S_US, 20 * S_US, 60 * S_US]);
    let later = Disturbance::known(Cause::Disconnect, "storm", [60 * S_US, 61 * S_US, 120 * S_US]);
    bench.tracker.schedule(vec![later, storm]);
    bench.lose(50, 21_000);
    bench.lose(30, 40_000);
    let (facts, found) = bench.finish(120);
    assert_eq!(
        facts,
        [
            (Cause::Hub, 10_000, 21_100),
            (Cause::Observed, 40_000, 40_100),
            (Cause::Disconnect, 60_000, 61_000)
        ]
    );
    let ends: Vec<u64> = found.iter().map(|one| one.until_us / S_US).collect();
    assert_eq!(ends, [40, 60, 120], "the next disturbance ends the search");
    assert_eq!(found[0].fleets[0].online.len(), 300);
}

#[test]
fn half_open_connections_are_lost_late_and_one_by_one() {
    let mut bench = Bench::new();
    let fault = Disturbance::known(Cause::Fault, "calm", [10 * S_US, 10 * S_US, 60 * S_US]);
    bench.tracker.schedule(vec![fault.with_losses_until(21 * S_US)]);
    for (lost_ms, back_ms) in [(15_010, 15_500), (16_010, 16_500), (20_010, 20_500)] {
        bench.lose(5, lost_ms);
        bench.connect(5, back_ms);
    }
    bench.lose(20, 40_000);
    let (facts, found) = bench.finish(60);
    assert_eq!(facts, [(Cause::Fault, 10_000, 20_100), (Cause::Observed, 40_000, 40_100)]);
    // From the fault until the last of the devices is back, although all were online from 16.5 s to 20 s.
    let bins = RecoveryBins::of(&found[0], None).unwrap();
    assert_eq!((bins.reached(0.99), bins.lowest_online()), (Reached::After { us: 10_500_000 + 100_000 }, 95));
}

#[test]
fn end_of_the_load_drops_and_cuts_disturbances() {
    let mut bench = Bench::new();
    let known =
        |start_s: u64| Disturbance::known(Cause::Hub, "calm", [start_s * S_US, start_s * S_US, 60 * S_US]);
    bench.tracker.schedule(vec![known(10), known(40)]);
    bench.lose(50, 10_000);
    let (facts, found) = bench.finish(30);
    assert_eq!((facts.len(), found[0].until_us), (1, 30 * S_US));
    assert_eq!(found[0].fleets[0].online.len(), 200);
}

#[test]
fn number_of_kept_disturbances_is_limited() {
    let mut bench = Bench::new();
    let known = |n: u64| Disturbance::known(Cause::Hub, "calm", [n * 100_000, n * 100_000, 60 * S_US]);
    bench.tracker.schedule((0..100).map(known).collect());
    let mut measurement = std::mem::take(&mut bench.measurement);
    bench.tracker.finish(60 * S_US, &mut measurement);
    assert_eq!((measurement.disturbances.len(), measurement.disturbances_left_out), (64, 36));
}
