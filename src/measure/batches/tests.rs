//! Batches filled through recorders and a collector, merged, and extended beyond the end of their phase.

use super::super::{
    Collector, Fleet, Key, Layout, Measurement, Operation, OperationTotals, Outcome, Phase, Recorder, Source,
    Times,
};
use super::*;
use crate::stalls::Stalls;
use proptest::prelude::*;
use std::rc::Rc;
use std::time::Duration;

const S: u64 = 1_000_000_000;

/// An operation: its index, its due time in milliseconds, its time until its end, and whether a snapshot follows it.
type Event = (usize, u64, u64, usize, bool);

fn events() -> impl Strategy<Value = Vec<Event>> {
    let due_ms = prop_oneof![0..120_000_u64, 0..400_000_u64];
    prop::collection::vec((0..3_usize, due_ms, 0..50_000_u64, 0..8_usize, any::<bool>()), 0..60)
}

const OPERATIONS: [Operation; 3] = [Operation::Telemetry, Operation::ServiceMethod, Operation::Deliver];

/// Records operations of a phase that starts at 10.5 s and lasts 100 s.
fn measure(events: &[Event]) -> Measurement {
    let layout = Layout::new(1, 1, Duration::from_secs(60));
    let phase = Phase { start_us: 10_500_000, end_us: 110_500_000, ..Phase::default() };
    let mut collector = Collector::new(layout, vec![Fleet::default()], vec![phase]);
    let mut recorder = Recorder::new(layout, Rc::new(Stalls::new(crate::clock::now())));
    for (operation, due_ms, took_ms, outcome, swap) in events {
        let key = Key { operation: OPERATIONS[*operation], fleet: 0, phase: 0 };
        let due = due_ms * 1_000_000;
        let end = due + took_ms * 1_000_000;
        recorder.due(key, due);
        if *swap {
            let snapshot = recorder.swap();
            collector.add(&snapshot, Source::Worker(0));
            recorder.recycle(snapshot);
            recorder.open_second(due_ms / 1_000);
        }
        match Outcome::ALL[*outcome] {
            Outcome::Ok => recorder.ok(key, &Times { due, picked: due, sent: due, acked: end }),
            Outcome::Lost => {
                recorder.ended(key, Outcome::Lost, due, end);
                recorder.lost(key, 3, due, end);
            }
            Outcome::Refused => {
                recorder.ended(key, Outcome::Refused, due, end);
                recorder.duration(key, end, took_ms * 1_000_000);
            }
            outcome => recorder.ended(key, outcome, due, end),
        }
    }
    collector.add(&recorder.swap(), Source::Worker(0));
    collector.finish(110_500_000, Vec::new(), Vec::new())
}

proptest! {
    #[test]
    fn every_operation_is_in_the_batch_of_its_due_time(events in events()) {
        let measurement = measure(&events);
        for part in &measurement.operations {
            let batches = &part.batches;
            prop_assert!(batches.add_up_to(&part.totals), "{batches:?} of {:?}", part.totals);
            prop_assert_eq!(batches.start_us, 10_000_000);
            prop_assert!(batches.length_us % 2_000_000 == 0, "100.5 s in at most 64 batches");
            let place = |due_ms: u64| {
                let from_start = (due_ms * 1_000).saturating_sub(batches.start_us);
                batches.start_us + from_start / batches.length_us * batches.length_us
            };
            let mine = || events.iter().filter(|event| OPERATIONS[event.0] == part.operation);
            for batch in &batches.list {
                let here = || mine().filter(|event| place(event.1) == batch.t_us);
                let of = |outcome: Outcome| here().filter(|event| Outcome::ALL[event.3] == outcome).count() as u64;
                let due = here().count() as u64 + 3 * of(Outcome::Lost) + of(Outcome::Refused);
                prop_assert_eq!(batch.due, due);
                prop_assert_eq!(batch.outcomes[Outcome::Ok], of(Outcome::Ok) + of(Outcome::Refused));
                prop_assert_eq!(batch.outcomes[Outcome::Lost], 4 * of(Outcome::Lost));
                prop_assert_eq!(batch.outcomes[Outcome::Expired], of(Outcome::Expired));
                let slowest_us = here()
                    .filter(|event| matches!(Outcome::ALL[event.3], Outcome::Ok | Outcome::Refused))
                    .map(|event| (event.2 * 1_000).max(1))
                    .max();
                let max = batch.response.max();
                prop_assert_eq!(max.is_some(), slowest_us.is_some());
                if let (Some(max), Some(slowest_us)) = (max, slowest_us) {
                    prop_assert!((slowest_us..=slowest_us + slowest_us / 64).contains(&max), "{max} {slowest_us}");
                }
            }
            prop_assert!(batches.list.windows(2).all(|pair| pair[0].t_us < pair[1].t_us));
            prop_assert!(batches.list.iter().all(|batch| batch.t_us < batches.start_us + 64 * batches.length_us));
        }
    }

}

proptest! {
    // Four measurements per case.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn merged_batches_equal_those_of_one_process(parts in prop::collection::vec(events(), 3)) {
        let together = measure(&parts.concat());
        let [a, b, c] = [&parts[0], &parts[1], &parts[2]].map(|events| measure(events));
        let merged = |first: &Measurement, second: &Measurement| {
            let mut sum = first.clone();
            sum.merge(second);
            sum
        };
        let (left, right) = (merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        for sum in [left, right] {
            let batches = |of: &Measurement| -> Vec<_> {
                of.operations.iter().map(|part| (part.operation, part.batches.clone())).collect()
            };
            prop_assert_eq!(batches(&sum), batches(&together));
        }
    }
}

#[test]
fn a_phase_has_at_most_64_batches_of_whole_seconds() {
    for (start_s, end_s, start, length) in [
        (0.0, 1.0, 0, 1),
        (0.0, 64.0, 0, 1),
        (0.0, 64.1, 0, 2),
        (0.5, 64.0, 0, 1),
        (7.9, 71.5, 7, 2),
        (10.0, 3_610.0, 10, 57),
        (5.0, 5.0, 5, 1),
    ] {
        let us = |seconds: f64| (seconds * 1e6) as u64;
        let batches = Batches::of_phase(us(start_s), us(end_s));
        assert_eq!(
            (batches.start_us, batches.length_us),
            (start * US_PER_S, length * US_PER_S),
            "{start_s} to {end_s}"
        );
    }
}

#[test]
fn batches_become_longer_when_the_last_phase_is_extended() {
    let mut batches = Batches::of_phase(0, 60 * US_PER_S);
    let one = |second: u64| Batch { t_us: second * US_PER_S, due: 1, ..Batch::default() };
    (0..60).for_each(|second| batches.add(&one(second)));
    assert_eq!((batches.length_us, batches.list.len()), (US_PER_S, 60));
    (60..200).for_each(|second| batches.add(&one(second)));
    let due: Vec<_> = batches.list.iter().map(|batch| batch.due).collect();
    assert_eq!((batches.length_us, due), (4 * US_PER_S, vec![4; 50]));
}

#[test]
fn many_operations_have_fewer_batches_each() {
    let mut batches = Batches::of_phase(0, 64 * US_PER_S);
    (0..64).for_each(|second| batches.add(&Batch { t_us: second * US_PER_S, due: 1, ..Batch::default() }));
    let part = OperationTotals {
        operation: Operation::Telemetry,
        fleet: String::new(),
        phase: String::new(),
        totals: Totals::default(),
        under_fault: None,
        batches,
    };
    for (parts, each) in [(1, 64), (106, 64), (107, 32), (240, 16)] {
        let mut measurement = Measurement { operations: vec![part.clone(); parts], ..Measurement::default() };
        measurement.limit_batches();
        let counts = measurement.operations.iter().map(|part| part.batches.list.len());
        assert_eq!(counts.collect::<Vec<_>>(), vec![each; parts]);
    }
}

#[test]
fn steps_of_connection_attempts_have_no_batches() {
    let layout = Layout::new(1, 1, Duration::from_secs(60));
    let mut collector = Collector::unnamed(layout);
    let mut recorder = Recorder::new(layout, Rc::new(Stalls::new(crate::clock::now())));
    for operation in [Operation::Connect, Operation::ConnectTls] {
        recorder.duration(Key { operation, fleet: 0, phase: 0 }, 3 * S, S);
    }
    collector.add(&recorder.swap(), Source::Worker(0));
    let measurement = collector.finish(60_000_000, Vec::new(), Vec::new());
    let batches: Vec<_> = measurement.operations.iter().map(|part| part.batches.list.len()).collect();
    assert_eq!(batches, [1, 0]);
}
