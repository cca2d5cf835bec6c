//! Tests of phases, and of the spans in which devices are online.

use super::*;
use proptest::prelude::*;

fn schedule(parts: &[(u64, [f64; 2], [f64; 2])]) -> Schedule {
    Schedule::new(parts.iter().enumerate().map(|(index, &(duration_s, online, load))| {
        (format!("p{index}"), false, Duration::from_secs(duration_s), online, load)
    }))
}

const S: u64 = 1_000_000_000;

#[test]
fn phases_have_no_gaps() {
    let schedule =
        schedule(&[(10, [0.0, 1.0], [1.0; 2]), (20, [1.0; 2], [1.0; 2]), (10, [0.5; 2], [1.0; 2])]);
    assert_eq!(schedule.end(), Duration::from_secs(40));
    for (t, phase) in [(0, 0), (10 * S - 1, 0), (10 * S, 1), (30 * S, 2), (40 * S, 2), (u64::MAX, 2)] {
        assert_eq!(schedule.phase_at(t), phase, "{t}");
    }
    for (t, share) in [(0, 0.0), (5 * S, 0.5), (10 * S, 1.0), (29 * S, 1.0), (30 * S, 0.5), (90 * S, 0.5)] {
        assert!((schedule.planned_online_share(t) - share).abs() < 1e-12, "{t}");
    }
}

#[test]
fn ramp_connects_devices_evenly_and_in_order() {
    let schedule = schedule(&[(10, [0.0, 1.0], [1.0; 2]), (10, [1.0; 2], [1.0; 2])]);
    for rank in 0..10 {
        let spans = schedule.online_spans(rank, 10);
        assert_eq!(spans, [Span { from_ns: rank * S + S / 2, to_ns: 20 * S }], "{rank}");
    }
}

#[test]
fn device_may_have_several_spans() {
    let schedule = schedule(&[
        (10, [1.0; 2], [1.0; 2]),
        (10, [1.0, 0.0], [1.0; 2]),
        (10, [0.0; 2], [1.0; 2]),
        (5, [1.0; 2], [1.0; 2]),
    ]);
    assert_eq!(
        schedule.online_spans(1, 2),
        [Span { from_ns: 0, to_ns: 12 * S + S / 2 }, Span { from_ns: 30 * S, to_ns: 35 * S }]
    );
    assert_eq!(
        schedule.online_spans(0, 1),
        [Span { from_ns: 0, to_ns: 15 * S }, Span { from_ns: 30 * S, to_ns: 35 * S }]
    );
}

#[test]
fn open_spans_have_no_end() {
    let schedule = schedule(&[(10, [0.0, 1.0], [1.0; 2]), (10, [1.0, 0.5], [1.0; 2])]);
    assert_eq!(schedule.open_spans(0, 2), [Span { from_ns: 2 * S + S / 2, to_ns: u64::MAX }]);
    assert_eq!(schedule.open_spans(1, 2), schedule.online_spans(1, 2), "disconnects before the end");
    let off = self::schedule(&[(10, [1.0; 2], [1.0; 2]), (5, [0.0; 2], [1.0; 2])]);
    assert_eq!(off.open_spans(0, 1), [Span { from_ns: 0, to_ns: 10 * S }]);
}

proptest! {
    #[test]
    fn planned_counts_agree_with_device_spans(
        parts in prop::collection::vec((1u64..100, 0.0..=1.0, 0.0..=1.0), 1..5),
        devices in 1u64..20,
        share in 0.0..1.0,
    ) {
        let parts: Vec<_> = parts.into_iter().map(|(s, a, b)| (s, [a, b], [1.0; 2])).collect();
        let schedule = schedule(&parts);
        let t = nanoseconds(schedule.end().as_secs_f64() * share);
        let online = (0..devices)
            .filter(|&rank| schedule.online_spans(rank, devices).iter().any(|span| span.from_ns <= t && t < span.to_ns))
            .count() as u64;
        prop_assert!(online.abs_diff(schedule.planned_online(t, devices)) <= 1);
    }
}
