//! Due times of cursors: pacing, bursts, closed loops, appended load, and statistics of Poisson streams.

use super::*;
use crate::plan::schedule::{Schedule, Segment};
use proptest::prelude::*;
use std::time::Duration;

const S: u64 = 1_000_000_000;

fn load(parts: &[(u64, [f64; 2])]) -> RunLoad {
    let mut load = Load::default();
    let mut end = 0;
    for &(duration_ns, factor) in parts {
        end += duration_ns;
        load.push(end, factor);
    }
    RunLoad::new(&load)
}

fn cursor(spread: Spread, rate_hz: f64, load: &RunLoad, device: u64) -> Cursor {
    in_bursts(spread, rate_hz, 1, load, device)
}

fn in_bursts(spread: Spread, rate_hz: f64, burst: u32, load: &RunLoad, device: u64) -> Cursor {
    let index = u32::try_from(device % 10).unwrap();
    Cursor::new(&Arrival { spread, rate_hz, burst }, load, 7, device, Purpose::Arrivals(0), index)
}

fn all(cursor: &mut Cursor, spans: &[Span]) -> Vec<u64> {
    let mut found = Vec::new();
    for &span in spans {
        cursor.enter(span);
        while let Some(due) = cursor.peek() {
            assert_eq!(due.seq, found.len() as u64);
            assert!(span.from_ns <= due.at_ns && due.at_ns < span.to_ns);
            found.push(due.at_ns);
            cursor.advance();
        }
        cursor.advance();
        assert_eq!(cursor.peek(), None);
    }
    found
}

fn whole(end_ns: u64) -> Vec<Span> {
    vec![Span { from_ns: 0, to_ns: end_ns }]
}

/// Rate, load, and due times of the fleet's first device (phase 0.05).
#[test]
fn regular_due_times_follow_rate_and_load() {
    let steady = load(&[(10 * S, [1.0; 2])]);
    let ramp = load(&[(10 * S, [0.0, 1.0])]);
    let pause = load(&[(S, [1.0; 2]), (S, [0.0; 2]), (S, [1.0; 2])]);
    let rows: [(&str, f64, &RunLoad, Vec<u64>); 8] = [
        ("every two seconds", 0.5, &steady, vec![S / 10, 21 * S / 10, 41 * S / 10, 61 * S / 10, 81 * S / 10]),
        ("a rate of zero", 0.0, &steady, vec![]),
        ("too slow for the run", 1e-9, &steady, vec![]),
        ("a rate of NaN", f64::NAN, &steady, vec![]),
        ("a negative rate", -1.0, &steady, vec![]),
        ("a ramp", 0.1, &ramp, vec![nearest(10.0_f64.sqrt())]),
        ("a pause", 1.0, &pause, vec![S / 20, 2 * S + S / 20]),
        ("a load of zero", 1.0, &load(&[(S, [0.0; 2])]), vec![]),
    ];
    for (name, rate_hz, load, expected) in rows {
        let mut cursor = cursor(Spread::Stratified(RoundRobin::new(10)), rate_hz, load, 0);
        assert_eq!(all(&mut cursor, &whole(u64::MAX)), expected, "{name}");
    }
}

fn nearest(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

#[test]
fn enormous_rate_does_not_overflow() {
    let steady = load(&[(10 * S, [100.0; 2])]);
    let mut cursor = cursor(Spread::Regular, 1e15, &steady, 0);
    cursor.enter(Span { from_ns: 9 * S, to_ns: 10 * S });
    for _ in 0..1000 {
        assert!(cursor.peek().is_some_and(|due| due.at_ns >= 9 * S));
        cursor.advance();
    }
}

#[test]
fn due_times_depend_on_seed_and_device() {
    let steady = load(&[(60 * S, [1.0; 2])]);
    for spread in [Spread::Regular, Spread::Poisson] {
        let run = |device| all(&mut cursor(spread, 1.0, &steady, device), &whole(60 * S));
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
    }
}

#[test]
fn stratified_fleet_is_regular_in_total() {
    let steady = load(&[(60 * S, [1.0; 2])]);
    let mut fleet: Vec<u64> = (0..10)
        .flat_map(|device| {
            all(&mut cursor(Spread::Stratified(RoundRobin::new(10)), 0.3, &steady, device), &whole(60 * S))
        })
        .collect();
    fleet.sort_unstable();
    assert_eq!(fleet.len(), 180);
    assert!(fleet.windows(2).all(|pair| (pair[1] - pair[0]).abs_diff(S / 3) <= 2));
}

#[test]
fn messages_of_a_burst_have_the_same_due_time() {
    let steady = load(&[(60 * S, [1.0, 3.0])]);
    for spread in [Spread::Regular, Spread::Stratified(RoundRobin::new(10)), Spread::Poisson] {
        let single = all(&mut cursor(spread, 0.5, &steady, 3), &whole(60 * S));
        let bursts = all(&mut in_bursts(spread, 2.0, 4, &steady, 3), &whole(60 * S));
        let expected: Vec<u64> = single.iter().flat_map(|at_ns| [*at_ns; 4]).collect();
        assert_eq!(bursts, expected, "the rate counts messages");
    }
}

#[test]
fn closed_loop_waits_for_the_end_of_a_message() {
    let pause = load(&[(60 * S, [0.0; 2])]);
    let spread = Spread::Closed { think_ns: 2 * S };
    let mut cursor = cursor(spread, 0.5, &pause, 3);
    cursor.ended(0);
    assert_eq!(cursor.peek(), None);
    cursor.enter(Span { from_ns: 10 * S, to_ns: 60 * S });
    let first = cursor.peek().expect("within the think time");
    assert!((10 * S..12 * S).contains(&first.at_ns), "{first:?}");
    cursor.ended(11 * S);
    assert_eq!(cursor.peek(), Some(first), "no message was in flight");
    cursor.advance();
    assert_eq!(cursor.peek(), None);
    cursor.advance();
    cursor.ended(30 * S);
    assert_eq!(cursor.peek(), Some(Due { seq: 1, at_ns: 32 * S }));
    cursor.ended(40 * S);
    assert_eq!(cursor.peek(), Some(Due { seq: 1, at_ns: 32 * S }), "the message ended only once");
    // The message ends too late for another one in the span.
    cursor.advance();
    cursor.ended(58 * S);
    assert_eq!(cursor.peek(), None);
    cursor.enter(Span { from_ns: 100 * S, to_ns: 200 * S });
    assert!(cursor.peek().is_some_and(|due| due.seq == 2 && due.at_ns < 102 * S));
    cursor.advance();
    cursor.enter(Span { from_ns: 300 * S, to_ns: 400 * S });
    assert_eq!(cursor.peek(), None, "still in flight");
    cursor.ended(301 * S);
    assert_eq!(cursor.peek(), Some(Due { seq: 3, at_ns: 303 * S }));
}

#[test]
fn no_message_is_due_while_the_device_is_offline() {
    let schedule = Schedule::new([
        ("a".to_owned(), false, Duration::from_secs(100), [1.0, 0.0], [1.0; 2]),
        ("b".to_owned(), false, Duration::from_secs(100), [0.0, 1.0], [1.0, 3.0]),
    ]);
    let spans = schedule.online_spans(5, 10);
    assert_eq!(spans.len(), 2);
    for spread in [Spread::Regular, Spread::Poisson] {
        // `all` asserts that every due time is in its span and that the sequence has no gap.
        let due = all(&mut cursor(spread, 1.0, &RunLoad::new(schedule.load()), 5), &spans);
        assert!(due.len() > 80, "{}", due.len());
    }
}

prop_compose! {
    fn ramps()(parts in prop::collection::vec((S..100 * S, prop_oneof![Just(0.0), 0.1..5.0], prop_oneof![Just(0.0), 0.1..5.0]), 1..5)) -> Vec<(u64, [f64; 2])> {
        parts.into_iter().map(|(duration, from, to)| (duration, [from, to])).collect()
    }
}

proptest! {
    #[test]
    fn regular_counts_are_within_one_of_the_integral(
        parts in ramps(), rate_hz in 0.01..20.0, device in 0u64..1000, a in 0.0..1.0, b in 0.0..1.0,
    ) {
        let load = load(&parts);
        let end: u64 = parts.iter().map(|(duration, _)| duration).sum();
        let due = all(&mut cursor(Spread::Regular, rate_hz, &load, device), &whole(end));
        let (from, to) = ((f64::min(a, b) * end as f64) as u64, (f64::max(a, b) * end as f64) as u64);
        let count = due.iter().filter(|&&at| from <= at && at < to).count() as f64;
        let planned = rate_hz * (load.read().integral(to) - load.read().integral(from));
        prop_assert!((count - planned).abs() <= 1.0 + 1e-6, "{count}, planned {planned}");
    }

    #[test]
    fn regular_counts_hold_for_a_device_that_enters_late(
        parts in ramps(), rate_hz in 0.01..20.0, device in 0u64..1000, a in 0.0..1.0,
    ) {
        let load = load(&parts);
        let end: u64 = parts.iter().map(|(duration, _)| duration).sum();
        let from = (a * end as f64) as u64;
        let due = all(&mut cursor(Spread::Regular, rate_hz, &load, device), &[Span { from_ns: from, to_ns: end }]);
        let planned = rate_hz * (load.read().integral(end) - load.read().integral(from));
        prop_assert!((due.len() as f64 - planned).abs() <= 1.0 + 1e-6);
    }
}

fn shapes() -> impl Strategy<Value = Spread> {
    prop_oneof![Just(Spread::Regular), Just(Spread::Stratified(RoundRobin::new(10))), Just(Spread::Poisson)]
}

proptest! {
    /// The cursor may be in the middle of a burst or exhausted at each append.
    #[test]
    fn appended_load_gives_the_same_due_times(
        parts in ramps(), spread in shapes(), rate_hz in 0.01..20.0, burst in 1u32..4, device in 0u64..1000,
        entered in 0.0..1.0, taken in prop::collection::vec(0..200_usize, 5),
    ) {
        let whole_load = load(&parts);
        let span = Span { from_ns: (entered * parts[0].0 as f64) as u64, to_ns: u64::MAX };
        let expected = all(&mut in_bursts(spread, rate_hz, burst, &whole_load, device), &[span]);

        let mut end_ns = parts[0].0;
        let growing = load(&parts[..1]);
        let mut cursor = in_bursts(spread, rate_hz, burst, &growing, device);
        cursor.enter(span);
        let mut found = Vec::new();
        let mut take = |cursor: &mut Cursor, at_most: usize| {
            for _ in 0..at_most {
                let Some(due) = cursor.peek() else { break };
                assert_eq!(due.seq, found.len() as u64);
                found.push(due.at_ns);
                cursor.advance();
            }
        };
        for ((duration_ns, factor), at_most) in parts[1..].iter().zip(taken) {
            take(&mut cursor, at_most);
            end_ns += duration_ns;
            let segment = Segment { until: Duration::from_nanos(end_ns), factor: *factor };
            prop_assert!(growing.append(segment));
        }
        take(&mut cursor, usize::MAX);
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn exhausted_cursor_resumes_after_an_append() {
    let growing = load(&[(S, [1.0; 2])]);
    let mut cursor = cursor(Spread::Stratified(RoundRobin::new(10)), 1.0, &growing, 0);
    cursor.enter(Span { from_ns: 0, to_ns: u64::MAX });
    cursor.advance();
    cursor.advance();
    assert_eq!(cursor.peek(), None);
    assert!(growing.append(Segment { until: Duration::from_secs(2), factor: [0.0; 2] }));
    assert_eq!(cursor.peek(), None, "a pause was appended");
    assert!(growing.append(Segment { until: Duration::from_secs(3), factor: [1.0; 2] }));
    assert_eq!(cursor.peek(), Some(Due { seq: 1, at_ns: 2 * S + S / 20 }));
}

/// Returns a load with a pause and two ramps, its end, and the due times of many devices.
fn poisson_run() -> (RunLoad, u64, Vec<Vec<u64>>) {
    let parts = [(60 * S, [1.0; 2]), (60 * S, [1.0, 4.0]), (30 * S, [0.0; 2]), (60 * S, [4.0, 0.5])];
    let load = load(&parts);
    let end = 210 * S;
    let devices =
        (0..200).map(|device| all(&mut cursor(Spread::Poisson, 0.5, &load, device), &whole(end))).collect();
    (load, end, devices)
}

#[test]
fn poisson_counts_are_within_five_standard_deviations() {
    let (load, end, devices) = poisson_run();
    for window in 0..21 {
        let (from, to) = (end / 21 * window, end / 21 * (window + 1));
        let count = devices.iter().flatten().filter(|&&at| from <= at && at < to).count() as f64;
        let mean = 200.0 * 0.5 * (load.read().integral(to) - load.read().integral(from));
        assert!((count - mean).abs() <= 5.0 * mean.sqrt(), "window {window}: {count}, expected about {mean}");
    }
}

#[test]
fn poisson_gaps_in_operational_time_are_exponential() {
    let (load, _, devices) = poisson_run();
    let mut gaps: Vec<f64> = Vec::new();
    for device in &devices {
        let mut last = 0.0;
        for &at in device {
            let here = 0.5 * load.read().integral(at);
            gaps.push(here - last);
            last = here;
        }
    }
    gaps.sort_by(f64::total_cmp);
    let n = gaps.len() as f64;
    assert!(n > 20_000.0, "{n}");
    let distance = gaps
        .iter()
        .enumerate()
        .map(|(rank, gap)| {
            let model = 1.0 - (-gap).exp();
            f64::max((model - rank as f64 / n).abs(), ((rank + 1) as f64 / n - model).abs())
        })
        .fold(0.0, f64::max);
    // Kolmogorov-Smirnov bound at 0.1%. The seed is fixed, so the result never changes. The last, unseen gap of each device
    // makes the others slightly short; with 100 gaps per device, this stays below the bound.
    assert!(distance < 1.95 / n.sqrt(), "{distance}, at most {}", 1.95 / n.sqrt());
}

#[test]
fn poisson_dispersion_is_near_one() {
    let (load, end, devices) = poisson_run();
    // Windows of equal operational time have equal expectations, regardless of the ramp.
    let windows = 50usize;
    let mut counts = vec![0.0_f64; windows * devices.len()];
    for (device, due) in devices.iter().enumerate() {
        for &at in due {
            let window = (load.read().integral(at) / load.read().integral(end) * windows as f64) as usize;
            counts[device * windows + window.min(windows - 1)] += 1.0;
        }
    }
    let n = counts.len() as f64;
    let mean = counts.iter().sum::<f64>() / n;
    let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / (n - 1.0);
    // The standard deviation of the index is sqrt(2 / n).
    let index = variance / mean;
    assert!((index - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "{index}");
}

#[test]
fn poisson_rate_survives_offline_spans() {
    let steady = load(&[(2000 * S, [1.0; 2])]);
    let spans: Vec<Span> = (0..100).map(|i| Span { from_ns: i * 20 * S, to_ns: (i * 20 + 10) * S }).collect();
    let count: usize =
        (0..50).map(|device| all(&mut cursor(Spread::Poisson, 1.0, &steady, device), &spans).len()).sum();
    let mean = 50.0 * 1000.0_f64;
    assert!((count as f64 - mean).abs() <= 5.0 * mean.sqrt(), "{count}, expected about {mean}");
}
