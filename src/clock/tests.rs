//! Tests for clocks and step detection.

use super::*;

const UNIX: Duration = Duration::from_secs(1_800_000_000);
const MINUTE: Duration = Duration::from_secs(60);
const TWO_HOURS_US: i64 = 7_200_000_000;

#[test]
fn run_clock_converts_between_its_clocks() {
    let clock = RunClock { zero: now(), zero_unix: UNIX };
    let at = clock.at(1_500_000_000);
    assert_eq!((clock.ns(at), clock.since(at)), (1_500_000_000, Duration::from_millis(1_500)));
    assert_eq!(clock.unstepped_unix(at), Duration::from_millis(1_800_000_001_500));
}

#[test]
fn times_before_the_start_count_as_the_start() {
    let clock = RunClock::starts_in(MINUTE, &WallClock::default());
    let before = now();
    assert_eq!((clock.ns(before), clock.since(before)), (0, Duration::ZERO));
    assert_eq!(clock.unstepped_unix(before), clock.zero_unix);
}

#[test]
fn test_clock_follows_time_and_its_steps() {
    let start = now();
    let clock = WallClock::of(start, UNIX);
    let copy = clock.clone();
    assert_eq!(clock.unix(start + MINUTE), UNIX + MINUTE);
    copy.step(-TWO_HOURS_US);
    assert_eq!(clock.unix(start + MINUTE), UNIX + MINUTE - Duration::from_secs(7_200));
    copy.step(2 * TWO_HOURS_US);
    assert_eq!(clock.unix(start), UNIX + Duration::from_secs(7_200));
}

#[test]
fn this_machines_clocks_are_read_as_a_pair() {
    let clock = WallClock::default();
    clock.step(TWO_HOURS_US);
    let (before, unix_before) = (now(), unix());
    let Reading { at, unix: read } = clock.read(before);
    assert!(
        before <= at && at <= now() && unix_before <= read && read <= unix(),
        "this machine's clock ignores `step`"
    );
}

#[test]
fn steps_are_detected_with_instant_and_size() {
    let start = now();
    let clock = WallClock::of(start, UNIX);
    // The first reading may be in the future, as the start of a run is.
    let mut watch = StepWatch::new(clock.read(start + MINUTE));
    assert_eq!(watch.compare(clock.read(start)), 0);
    let mut expected = Vec::new();
    for (minute, by_us) in
        [(1, 0), (2, TWO_HOURS_US), (3, 0), (4, -TWO_HOURS_US), (5, 1_000_000), (6, -1_000_001)]
    {
        clock.step(by_us);
        let at = start + minute * MINUTE;
        assert_eq!(watch.compare(clock.read(at)), by_us);
        expected.extend(is_step(by_us).then_some(Step { at, by_us }));
    }
    assert_eq!((watch.steps(), expected.len()), (&expected[..], 3), "exactly one second is not a step");
}

#[test]
fn last_steps_can_be_omitted() {
    let at = now();
    let steps = [5_000_000, -2_000_000].map(|by_us| Step { at, by_us });
    let found: Vec<_> = without_last_steps(&steps, UNIX).map(|(_, by_us, unix)| (by_us, unix)).collect();
    let second = Duration::from_secs(1);
    assert_eq!(found, [(-2_000_000, UNIX + 2 * second), (3_000_000, UNIX - 3 * second)]);
}

#[test]
fn stored_steps_are_bounded() {
    let start = now();
    let clock = WallClock::of(start, UNIX);
    let mut watch = StepWatch::new(clock.read(start));
    for _ in 0..1_000 {
        clock.step(TWO_HOURS_US);
        watch.compare(clock.read(start));
    }
    assert_eq!(watch.steps().len(), STEPS_MAX);
}
