//! The recorder: the counters that each call changes, the contents of a swap, and the delays that are
//! attributed to the generator.

use super::super::Operation;
use super::*;
use std::time::Duration;

const S: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;
const SEND: Key = Key { operation: Operation::Telemetry, fleet: 0, phase: 1 };

fn recorder() -> Recorder {
    Recorder::new(Layout::new(2, 2, Duration::from_secs(60)), Rc::new(Stalls::new(crate::clock::now())))
}

#[test]
fn the_four_times_produce_four_latencies() {
    let mut recorder = recorder();
    recorder.due(SEND, S);
    recorder.ok(SEND, &Times { due: S, picked: S + MS, sent: S + 5 * MS, acked: S + 20 * MS });
    let snapshot = recorder.swap();
    let [(key, totals)] = snapshot.cells.as_slice() else { panic!("one cell is dirty") };
    assert_eq!((*key, totals.due, totals.outcome(Outcome::Ok)), (SEND, 1, 1));
    let max = |latency: &Latency| latency.max().map(|us| us / 1_000);
    assert_eq!(max(&totals.lag), Some(1));
    assert_eq!(max(&totals.wait), Some(4));
    assert_eq!(max(&totals.service), Some(15));
    assert_eq!(max(&totals.response), Some(20));
    assert_eq!(totals.clipped, 0);
}

#[test]
fn received_messages_have_no_service_time_and_are_not_load() {
    for operation in [Operation::Deliver, Operation::C2d] {
        let (mut recorder, key) = (recorder(), Key { operation, ..SEND });
        recorder.due(key, 0);
        recorder.ok(key, &Times { due: 0, picked: MS, sent: MS, acked: MS });
        recorder.duration(key, MS, MS);
        let snapshot = recorder.swap();
        let [(_, totals)] = snapshot.cells.as_slice() else { panic!("one cell is dirty") };
        assert_eq!((totals.response.count(), totals.service.count()), (2, 0), "{operation}");
        let loads = snapshot.seconds.iter().map(|(_, second)| (second.offered, second.achieved));
        assert!(loads.into_iter().all(|load| load == (0, 0)), "{operation}");
    }
}

#[test]
fn a_swap_returns_only_changed_cells_once() {
    let mut recorder = recorder();
    recorder.due(SEND, 0);
    recorder.due(SEND, 0);
    assert_eq!(recorder.swap().cells.len(), 1);
    let nothing = recorder.swap();
    assert!(nothing.cells.is_empty() && nothing.errors.is_empty() && nothing.heartbeat.is_empty());
    assert_eq!(nothing.seconds.iter().count(), 0);
}

#[test]
fn a_recycled_snapshot_starts_empty() {
    let mut recorder = recorder();
    recorder.ok(SEND, &Times { due: 0, picked: 0, sent: 0, acked: 50 * MS });
    recorder.heartbeat(9 * MS, 9 * MS);
    recorder.error("closed_by_peer", Culprit::Target, 1, || "x".to_owned());
    let used = recorder.swap();
    recorder.recycle(used);
    recorder.ok(SEND, &Times { due: 0, picked: 0, sent: 0, acked: MS });
    let snapshot = recorder.swap();
    assert_eq!(snapshot.cells.len(), 1);
    assert_eq!(snapshot.cells[0].1.response.max(), Some(1_000));
    assert_eq!(snapshot.cells[0].1.response.count(), 1);
    assert!(snapshot.heartbeat.is_empty() && snapshot.errors.is_empty());
}

#[test]
fn failed_operations_keep_their_lag() {
    let mut recorder = recorder();
    for picked in [100 * MS, 200 * MS] {
        recorder.due(SEND, 0);
        recorder.picked(SEND, 0, picked);
        recorder.ended(SEND, Outcome::Lost, 0, S);
    }
    let totals = &recorder.swap().cells[0].1;
    assert_eq!(
        (totals.lag.count_above(150_000), totals.lag.count(), totals.outcome(Outcome::Lost)),
        (1, 2, 2)
    );
    assert!(totals.response.is_empty(), "only ok operations have a response time");
}

#[test]
fn open_counts_due_operations_that_have_not_ended() {
    let mut recorder = recorder();
    for _ in 0..3 {
        recorder.due(SEND, 0);
    }
    recorder.ok(SEND, &Times::default());
    recorder.ended(SEND, Outcome::Lost, 0, 0);
    assert_eq!(recorder.open(), 1);
    recorder.duration(SEND, MS, MS);
    recorder.lost(SEND, 5, S, S);
    assert_eq!(recorder.open(), 1, "due and ended immediately");
}

/// Returns a recorder for a thread that stalled from `from_ms` to `to_ms`.
fn stalled(from_ms: u64, to_ms: u64) -> Recorder {
    let zero = crate::clock::now();
    let stalls = Rc::new(Stalls::new(zero));
    stalls.note(zero + Duration::from_millis(from_ms), zero + Duration::from_millis(to_ms));
    Recorder::new(Layout::new(2, 2, Duration::from_secs(60)), stalls)
}

#[test]
fn own_delay_is_lag_plus_later_stalls() {
    for (due, picked, acked, own_ms) in [
        (50, 50, 90, None),
        (50, 50, 130, Some(30)),
        (50, 50, 250, Some(100)),
        (120, 200, 210, Some(90)),
        (300, 300, 310, None),
        (300, 320, 330, Some(20)),
    ] {
        let mut recorder = stalled(100, 200);
        // This ends the echo of the stall.
        recorder.heartbeat(250 * MS, 0);
        let [due, picked, acked] = [due, picked, acked].map(|ms: u64| ms * MS);
        recorder.ok(SEND, &Times { due, picked, sent: picked, acked });
        let totals = &recorder.swap().cells[0].1;
        let response_ms = (acked - due) / MS;
        assert_eq!(totals.delayed.count(), u64::from(own_ms.is_some()), "{due} {acked}");
        let lower = own_ms.map(|own| ((response_ms - own) * 1_000).max(1));
        assert_eq!(totals.delayed_lower.max().map(|us| us / 100), lower.map(|us| us / 100), "{due} {acked}");
        assert_eq!(totals.lower().count(), 1);
    }
}

#[test]
fn an_operation_due_in_an_echo_waits_for_the_burst() {
    let mut recorder = stalled(100, 200);
    recorder.heartbeat(200 * MS, 98 * MS);
    // The burst of messages that fell due during the stall, and one message that was due after it.
    for n in 0..10 {
        recorder.due(SEND, (100 + n * 10) * MS);
    }
    recorder.due(SEND, 205 * MS);
    let at =
        |due: u64, acked: u64| Times { due: due * MS, picked: due * MS, sent: due * MS, acked: acked * MS };
    recorder.ok(SEND, &at(205, 290));
    let totals = &recorder.swap().cells[0].1;
    assert_eq!(totals.own_delay_max_us, 85_000, "at most the response time");
    assert_eq!(totals.delayed_lower.max(), Some(1));
}

#[test]
fn an_echo_excuses_a_timeout() {
    let mut recorder = stalled(100, 200);
    recorder.heartbeat(200 * MS, 98 * MS);
    recorder.due(SEND, 205 * MS);
    recorder.ended(SEND, Outcome::TimedOut, 205 * MS, 405 * MS);
    assert_eq!(recorder.swap().cells[0].1.excused[Outcome::TimedOut], 1);
}

#[test]
fn only_a_long_stall_excuses_a_lost_connection_attempt() {
    for (operation, stall_ms, at_ms, excused) in [
        // Delays of one half and one tenth of the shortest server timeout.
        (Operation::Connect, 1_000, 2_100, 1),
        (Operation::ConnectTls, 200, 400, 1),
        // A delay of half the server timeout of 10 s.
        (Operation::Connect, 5_000, 10_100, 1),
        // The server closed the connection immediately, without waiting.
        (Operation::Connect, 5, 150, 0),
        (Operation::Connect, 199, 310, 0),
        // A delay of a tenth of the shortest server timeout, but less than a tenth of the time that this
        // server waited.
        (Operation::Connect, 200, 10_000, 0),
        (Operation::Telemetry, 1_000, 2_100, 0),
    ] {
        let (mut recorder, key) = (stalled(100, 100 + stall_ms), Key { operation, ..SEND });
        // This ends the echo of the stall.
        recorder.heartbeat((100 + 2 * stall_ms) * MS, 0);
        recorder.due(key, 50 * MS);
        recorder.ended(key, Outcome::Lost, 50 * MS, (50 + at_ms) * MS);
        let counted = recorder.swap().cells[0].1.excused[Outcome::Lost];
        assert_eq!(counted, excused, "{operation}: {stall_ms} ms of {at_ms} ms");
    }
}

#[test]
fn only_a_large_delay_excuses_a_failure() {
    for (outcome, at_ms, excused) in [
        (Outcome::TimedOut, 900, 1),
        (Outcome::TimedOut, 1_100, 0),
        (Outcome::Expired, 300, 1),
        (Outcome::Unfinished, 500, 1),
        (Outcome::Refused, 300, 0),
        (Outcome::Lost, 300, 0),
    ] {
        let mut recorder = stalled(100, 200);
        recorder.due(SEND, 50 * MS);
        recorder.ended(SEND, outcome, 50 * MS, at_ms * MS);
        assert_eq!(recorder.swap().cells[0].1.excused[outcome], excused, "{} at {at_ms}", outcome.name());
    }
    let mut recorder = recorder();
    recorder.due(SEND, 0);
    recorder.ended_excused(SEND, Outcome::Lost, 0, S);
    assert_eq!(recorder.swap().cells[0].1.excused[Outcome::Lost], 1);
}

#[test]
fn values_above_the_range_are_counted_as_clipped() {
    let mut recorder = recorder();
    recorder.ok(SEND, &Times { due: 0, picked: 0, sent: 0, acked: 3_600 * S });
    recorder.ended(SEND, Outcome::Unfinished, 0, 3_600 * S);
    let totals = &recorder.swap().cells[0].1;
    assert_eq!(totals.clipped, 3, "response, service and age");
    assert_eq!(totals.unfinished_age.max(), Some((1 << 26) - 1));
    recorder.duration(SEND, 3_600 * S, 3_600 * S);
    assert_eq!(recorder.swap().cells[0].1.clipped, 2, "response and service");
}

#[test]
fn an_example_is_formatted_once_per_class() {
    let mut recorder = recorder();
    let mut calls = 0;
    for at in 0..5 {
        recorder.error("connack_5", Culprit::Target, at * 1_000, || {
            calls += 1;
            "refused".to_owned()
        });
        if at == 2 {
            assert_eq!(recorder.swap().errors[0].example, "refused");
        }
    }
    let again = recorder.swap().errors;
    assert_eq!(calls, 1);
    assert_eq!((again[0].count, again[0].first_us, again[0].last_us), (2, 3, 4));
}

#[test]
fn operations_under_a_fault_are_a_part_of_all() {
    let mut recorder = recorder();
    let times =
        |due: u64, ms: u64| Times { due, picked: due + 3 * MS, sent: due + 3 * MS, acked: due + ms * MS };
    for (due, ms) in [(0, 10), (S, 900)] {
        recorder.due(SEND, due);
        recorder.ok(SEND, &times(due, ms));
    }
    recorder.ok_under_fault(SEND, &times(S, 900));
    recorder.due(SEND, 2 * S);
    recorder.ended(SEND, Outcome::Lost, 2 * S, 3 * S);
    recorder.ended_under_fault(SEND, Outcome::Lost, (2 * S, Some(2 * S), 3 * S), false);
    recorder.due(SEND, 4 * S);
    recorder.ended(SEND, Outcome::Unfinished, 4 * S, 5 * S);
    let mut collector = super::super::Collector::unnamed(Layout::new(2, 2, Duration::from_secs(60)));
    let snapshot = recorder.swap();
    collector.add(&snapshot, super::super::Source::Worker(0));
    recorder.recycle(snapshot);
    let all = collector.measurement().sum(|_| true);
    assert_eq!(
        (all.due, all.ok(), all.outcome(Outcome::Lost), all.outcome(Outcome::Unfinished)),
        (4, 2, 1, 1)
    );
    let rest = collector.measurement().sum_without_faults(|_| true);
    assert_eq!(
        (rest.due, rest.ok(), rest.outcome(Outcome::Lost), rest.outcome(Outcome::Unfinished)),
        (2, 1, 0, 1)
    );
    assert_eq!((rest.response.max().map(|us| us / 1_000), rest.response.count()), (Some(10), 1));
    assert_eq!((rest.delayed.count(), rest.lower().max().map(|us| us / 1_000)), (1, Some(7)));
    let part = collector.measurement().operations[0].under_fault.as_ref().unwrap();
    assert_eq!((part.due, part.ended(), part.lag.count()), (2, 2, 1 + 1));
    assert!(recorder.swap().under_fault.is_empty(), "a swap resets them");
}
