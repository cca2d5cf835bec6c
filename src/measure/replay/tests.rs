//! A replayed run compared with the collector that the run used.

use super::*;
use crate::measure::{Culprit, Key, Operation, Outcome, Recorder, Times};
use crate::stalls::Stalls;
use proptest::prelude::*;
use std::rc::Rc;
use std::time::Duration;

const S: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

struct Live {
    recorders: Vec<Recorder>,
    stalls: Rc<Stalls>,
    zero: std::time::Instant,
    collector: Collector,
    delta: Delta,
    second: u64,
    /// The due times of each worker's operations that stay open.
    open: [Vec<u64>; 2],
}

fn fleets() -> Vec<Fleet> {
    ["a", "b"].map(|name| Fleet { name: name.to_owned(), devices: 5, ..Fleet::default() }).into()
}

fn phases() -> Vec<Phase> {
    let phase = |n: u64| Phase {
        name: format!("p{n}"),
        start_us: n * 3_000_000,
        end_us: (n + 1) * 3_000_000,
        ..Phase::default()
    };
    (0..2).map(phase).collect()
}

fn targets() -> Vec<TargetTotals> {
    ["a", "b"].map(|host| TargetTotals { host: host.to_owned(), ..TargetTotals::default() }).into()
}

impl Live {
    fn new() -> Live {
        let layout = Layout::new(2, 2, Duration::from_secs(60));
        let zero = crate::clock::now();
        let stalls = Rc::new(Stalls::new(zero));
        let recorder = |_| Recorder::new(layout, stalls.clone());
        Live {
            recorders: (0..2).map(recorder).collect(),
            collector: Collector::new(layout, fleets(), phases()).with_targets(targets()),
            delta: Delta::default(),
            second: 0,
            open: Default::default(),
            stalls,
            zero,
        }
    }

    /// Makes `messages` due in the next second, of which `open` stay open, and closes the second.
    fn second(&mut self, messages: u64, open: u64, took_ms: u64) -> Vec<u8> {
        let from = self.second * S;
        self.second += 1;
        for (worker, recorder) in (0_u16..).zip(&mut self.recorders) {
            let key =
                Key { operation: Operation::Telemetry, fleet: worker, phase: u16::from(self.second > 3) };
            recorder.online(worker, 1);
            recorder.counts(worker).bytes_sent += messages;
            recorder.heartbeat(from, MS);
            recorder.busy(key.phase, 1, S);
            recorder.targets().message(worker, took_ms * MS);
            recorder.targets().error(1 - worker, "reset", Culprit::Network);
            if took_ms > 500 {
                recorder.error("reset", Culprit::Network, from, || "reset".to_owned());
                recorder.clocks_diverged(from, -5, true);
                recorder.saturated(from, from + S);
                let at = |ns| self.zero + Duration::from_nanos(from + ns);
                self.stalls.note(at(MS), at(9 * MS));
            }
            for n in 0..messages {
                let due = from + n * S / messages;
                recorder.due(key, due);
                if n + open < messages {
                    let acked = due + took_ms * MS + n;
                    recorder.ok(key, &Times { due, picked: due + n, sent: due + n, acked });
                } else {
                    self.open[usize::from(worker)].push(due);
                }
            }
            let snapshot = recorder.swap();
            self.collector.add(&snapshot, Source::Worker(worker));
            self.delta.add(&snapshot, Source::Worker(worker));
            recorder.recycle(snapshot);
        }
        let end = end(self.second);
        self.collector.tick(end.row_ns, end.cpu_percent, end.planned_online);
        self.delta.end(&end)
    }
}

fn end(second: u64) -> SecondEnd {
    SecondEnd {
        row_ns: second * S,
        until_ns: second * S,
        cpu_percent: Some(12.5),
        planned_online: 10,
        load_end_us: 6_000_000,
        ..SecondEnd::default()
    }
}

fn replay() -> Replay {
    let highest_us = Layout::new(2, 2, Duration::from_secs(60)).highest_us;
    Replay::new(fleets(), phases(), highest_us).with_targets(targets())
}

proptest! {
    #[test]
    fn recovered_numbers_are_a_prefix_of_the_live_ones(
        seconds in prop::collection::vec((1..40_u64, 0..5_u64, 1..900_u64), 1..6),
    ) {
        let (mut live, mut replay) = (Live::new(), replay());
        for (messages, open, took_ms) in seconds {
            let bytes = live.second(messages, open, took_ms);
            replay.add(&bytes).unwrap();
            prop_assert_eq!(replay.measurement(), live.collector.measurement());
            prop_assert_eq!(replay.collector.heartbeat(), live.collector.heartbeat());
        }
        let replayed = replay.finish();
        for part in &replayed.measurement.operations {
            prop_assert_eq!(part.totals.due, part.totals.ended(), "every due operation has an outcome");
            let unfinished = part.totals.outcome(Outcome::Unfinished);
            prop_assert_eq!(part.totals.unfinished_age.count(), unfinished);
        }
        // Every age is right to within a second.
        for (worker, fleet) in ["a", "b"].into_iter().enumerate() {
            let ages = replayed.measurement.sum(|part| part.fleet == fleet).unfinished_age;
            prop_assert_eq!(ages.count(), live.open[worker].len() as u64);
            for (rank, due) in (1..).zip(live.open[worker].iter().rev()) {
                let age_us = (live.second * S - due) / 1_000;
                let [low, high] = [ages.at_rank_low(rank), ages.at_rank(rank)].map(Option::unwrap);
                prop_assert!(low <= age_us && age_us <= high + 1_000_000, "{age_us} us: {low} to {high}");
            }
        }
    }

    #[test]
    fn damaged_bytes_neither_panic_nor_add_anything(
        at in any::<prop::sample::Index>(), with in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut bytes = Live::new().second(20, 3, 700);
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = with }
        let mut replay = replay();
        if replay.add(&bytes).is_err() {
            let empty = super::tests::replay();
            prop_assert_eq!(replay.measurement(), empty.measurement());
        }
        let _ = replay.finish();
    }
}

#[test]
fn an_open_operation_is_as_old_as_its_second() {
    let (mut live, mut replay) = (Live::new(), replay());
    replay.add(&live.second(10, 2, 1)).unwrap();
    replay.add(&live.second(10, 0, 1)).unwrap();
    let measurement = replay.finish().measurement;
    let part = &measurement.operations[0];
    assert_eq!((part.due, part.ok(), part.outcome(Outcome::Unfinished)), (20, 18, 2));
    let [youngest, oldest] = [part.unfinished_age.min(), part.unfinished_age.max()].map(Option::unwrap);
    assert!((999_000..1_001_000).contains(&youngest), "{youngest} us");
    assert!((1_099_000..1_101_000).contains(&oldest), "{oldest} us");
    assert!(part.batches.add_up_to(&part.totals));
}

#[test]
fn impossible_seconds_are_refused() {
    let mut replay = replay();
    let first = Live::new().second(1, 0, 1);
    replay.add(&first).unwrap();
    assert!(replay.add(&first).is_err(), "the same second again");
    let with = |change: fn(&mut SecondEnd)| {
        let mut end = end(2);
        change(&mut end);
        Delta::default().end(&end)
    };
    assert!(replay.add(&with(|end| end.cpu_percent = Some(f64::NAN))).is_err());
    assert!(replay.add(&with(|end| end.planned_online = u64::MAX)).is_err());
    assert!(replay.add(&[with(|_| ()), with(|_| ())].concat()).is_err());
    assert!(replay.add(&[]).is_err());
    replay.add(&with(|_| ())).unwrap();
}
