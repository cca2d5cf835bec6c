//! Tests for delays, jitter, and giving up.

use super::*;
use crate::rng::{Purpose, generator};

const BASE: Duration = Duration::from_secs(1);
const MAX: Duration = Duration::from_secs(60);

const JITTERS: [Jitter; 6] = [
    Jitter::None,
    Jitter::Full,
    Jitter::Equal,
    Jitter::Decorrelated,
    Jitter::Above { percent: 5 },
    Jitter::Around { percent: 20 },
];

fn exponential(jitter: Jitter) -> BackOff {
    BackOff::Exponential { base: BASE, max: MAX, jitter }
}

#[test]
fn exponential_delay_doubles_up_to_its_maximum() {
    let mut rng = generator(1, 1, Purpose::Connection);
    let seconds = |attempt, rng: &mut Rng| {
        exponential(Jitter::None).delay(attempt, BASE, rng).expect("exponential always retries").as_secs()
    };
    let delays: Vec<u64> = [0, 1, 2, 5, 6, 31, 32, u32::MAX].map(|n| seconds(n, &mut rng)).to_vec();
    assert_eq!(delays, [1, 2, 4, 32, 60, 60, 60, 60]);
}

#[test]
fn full_jitter_is_uniform() {
    let mut rng = generator(1, 1, Purpose::Connection);
    let mut quarters = [0u32; 4];
    for _ in 0..4_000 {
        let delay = exponential(Jitter::Full).delay(2, BASE, &mut rng).expect("exponential always retries");
        assert!(delay <= 4 * BASE);
        quarters[(delay.as_millis() / 1_000).min(3) as usize] += 1;
    }
    // Five standard deviations of the binomial distribution (4,000; 1/4) are 137.
    assert!(quarters.iter().all(|&n| n.abs_diff(1_000) < 137), "{quarters:?}");
}

#[test]
fn delays_depend_on_seed_and_device() {
    let delays = |device| {
        let mut rng = generator(9, device, Purpose::Connection);
        (0..8).map(|n| exponential(Jitter::Full).delay(n, BASE, &mut rng)).collect::<Vec<_>>()
    };
    assert_eq!(delays(1), delays(1));
    assert_ne!(delays(1), delays(2));
}

#[test]
fn only_a_long_connection_resets_the_back_off() {
    let mut rng = generator(1, 1, Purpose::Connection);
    let mut retries = Retries::default();
    let mut next = |online_for: Option<u64>| {
        let loss = Loss { online_for: online_for.map(Duration::from_secs), ..Loss::default() };
        let delay = retries.next_delay(&exponential(Jitter::None).into(), loss, &mut rng);
        delay.expect("exponential always retries").as_secs()
    };
    assert_eq!([next(None), next(None), next(None)], [1, 2, 4], "refused");
    assert_eq!([next(Some(0)), next(Some(3)), next(Some(15))], [8, 16, 32], "accepted and closed");
    assert_eq!([next(Some(32)), next(Some(0)), next(Some(600))], [1, 2, 1], "a hub that stays up");
}

#[test]
fn immediate_first_retry_does_not_repeat() {
    let mut rng = generator(1, 1, Purpose::Connection);
    let policy = Reconnect { first: Some(Duration::ZERO), ..exponential(Jitter::None).into() };
    let mut retries = Retries::default();
    let mut next = |online_for: Option<u64>| {
        let loss = Loss { online_for: online_for.map(Duration::from_secs), ..Loss::default() };
        retries.next_delay(&policy, loss, &mut rng).expect("it always retries").as_secs()
    };
    assert_eq!([next(Some(9)), next(None), next(None)], [0, 1, 2]);
    assert_eq!([next(Some(60)), next(Some(0)), next(Some(0))], [0, 1, 2], "accepted and closed immediately");
}

#[test]
fn device_gives_up_after_time_or_refusal() {
    let mut rng = generator(1, 1, Purpose::Connection);
    let forever = Reconnect::from(BackOff::Fixed { delay: BASE });
    let with_time_limit = Reconnect { gives_up_after: Some(4 * BASE), ..forever };
    let stops_when_refused = Reconnect { gives_up_refused: true, ..forever };
    let mut next = |policy, offline_s, refused| {
        let loss = Loss { offline_for: Duration::from_secs(offline_s), refused, online_for: None };
        Retries::default().next_delay(policy, loss, &mut rng)
    };
    assert_eq!([next(&with_time_limit, 3, true), next(&with_time_limit, 4, false)], [Some(BASE), None]);
    assert_eq!([next(&stops_when_refused, 9, false), next(&stops_when_refused, 0, true)], [Some(BASE), None]);
    assert_eq!(next(&forever, 1_000_000, true), Some(BASE));
}

proptest::proptest! {
    #[test]
    fn every_delay_is_in_the_range_of_its_formula(seed: u64, attempt: u32) {
        let ms = Duration::from_millis;
        let mut rng = generator(seed, 1, Purpose::Connection);
        let mut stepped = |step, head_start, floor| {
            let policy = BackOff::Stepped { least: ms(100), max: ms(10_000), step, head_start, floor };
            policy.delay(attempt, BASE, &mut rng).expect("it always retries")
        };
        let at = |head_start, step_ms: f64| {
            let steps = f64::from(attempt.saturating_add(head_start)).exp2() - 1.0;
            Duration::from_secs_f64((0.1 + steps * step_ms / 1e3).min(10.0))
        };
        let delay = stepped([ms(80), ms(120)], 1, Duration::ZERO);
        proptest::prop_assert!((at(1, 80.0)..=at(1, 120.0)).contains(&delay), "{:?}", delay);
        let delay = stepped([Duration::ZERO, ms(25)], 0, Duration::ZERO);
        proptest::prop_assert!((at(0, 0.0)..=at(0, 25.0)).contains(&delay), "{:?}", delay);
        let delay = stepped([ms(80), ms(120)], 0, ms(1_000));
        proptest::prop_assert!((ms(1_000)..=ms(10_000)).contains(&delay), "{:?}", delay);
        let above = exponential(Jitter::Above { percent: 5 }).delay(attempt, BASE, &mut rng).expect("it always retries");
        let bare = exponential(Jitter::None).delay(attempt, BASE, &mut rng).expect("it always retries");
        proptest::prop_assert!((bare..=bare.mul_f64(1.05)).contains(&above), "{:?}", above);
    }

    #[test]
    fn every_delay_is_within_its_bounds(seed: u64, attempt in 0..40_u32, head_start in 0..40_u32, floor_ms in 0..3_000_u64) {
        let ms = Duration::from_millis;
        let stepped = BackOff::Stepped {
            least: ms(100), max: ms(10_000), step: [ms(80), ms(120)], head_start, floor: ms(floor_ms),
        };
        let mut rng = generator(seed, 1, Purpose::Connection);
        for policy in [stepped, BackOff::Fixed { delay: BASE }].into_iter().chain(JITTERS.map(exponential)) {
            let mut previous = Duration::ZERO;
            for attempt in 0..=attempt {
                let [least, most] = policy.between(attempt).expect("it always retries");
                let delay = policy.delay(attempt, previous, &mut rng).expect("it always retries");
                // `delay` or the bounds are rounded to nanoseconds, but not both.
                let rounding = Duration::from_nanos(2);
                proptest::prop_assert!(least <= delay + rounding && delay <= most + rounding, "{:?} {:?}", policy, delay);
                previous = delay;
            }
        }
    }
}

#[test]
fn never_does_not_retry_and_fixed_has_a_constant_delay() {
    let mut rng = generator(1, 1, Purpose::Connection);
    assert_eq!(BackOff::Never.delay(0, BASE, &mut rng), None);
    assert_eq!(BackOff::Never.between(0), None);
    assert_eq!(BackOff::Fixed { delay: BASE }.delay(7, BASE, &mut rng), Some(BASE));
}

#[test]
fn decorrelated_delays_are_between_the_base_and_the_maximum() {
    let mut rng = generator(1, 1, Purpose::Connection);
    let policy = exponential(Jitter::Decorrelated);
    for _ in 0..1_000 {
        let first = policy.delay(0, MAX, &mut rng).expect("it always retries");
        assert!((BASE..=3 * BASE).contains(&first), "{first:?}");
        let later = policy.delay(5, MAX, &mut rng).expect("it always retries");
        assert!((BASE..=MAX).contains(&later), "{later:?}");
    }
}

#[test]
fn device_gives_up_after_failed_attempts_in_a_row() {
    let mut rng = generator(1, 1, Purpose::Connection);
    let policy = Reconnect { gives_up_attempts: Some(3), ..BackOff::Fixed { delay: BASE }.into() };
    let mut goes_on = |retries: &mut Retries, online_s: Option<u64>| {
        let online_for = online_s.map(Duration::from_secs);
        retries.next_delay(&policy, Loss { online_for, ..Loss::default() }, &mut rng).is_some()
    };
    let mut lost = Retries::default();
    let losses = [Some(60), None, None, Some(0), None, None, None];
    let after_each = losses.map(|online_s| goes_on(&mut lost, online_s));
    assert_eq!(after_each, [true, true, true, true, true, true, false], "a connection restarts the count");
    let mut never_online = Retries::default();
    assert_eq!([None; 3].map(|failed| goes_on(&mut never_online, failed)), [true, true, false]);
}

#[test]
fn earliest_giving_up_is_after_the_sum_of_shortest_delays() {
    let seconds = Duration::from_secs;
    let attempts = |back_off: BackOff, count| Reconnect { gives_up_attempts: Some(count), ..back_off.into() };
    for (policy, earliest) in [
        (exponential(Jitter::None).into(), None),
        (attempts(exponential(Jitter::None), 4), Some(seconds(1 + 2 + 4 + 8))),
        (attempts(exponential(Jitter::Equal), 2), Some(seconds(3) / 2)),
        (attempts(exponential(Jitter::Full), 9), Some(seconds(0))),
        (attempts(exponential(Jitter::Decorrelated), 3), Some(seconds(3))),
        (attempts(BackOff::Fixed { delay: BASE }, 65_535), Some(seconds(65_535))),
        (
            Reconnect { first: Some(seconds(7)), ..attempts(exponential(Jitter::None), 3) },
            Some(seconds(7 + 1 + 2)),
        ),
        (
            Reconnect { gives_up_after: Some(seconds(9)), ..attempts(exponential(Jitter::None), 4) },
            Some(seconds(9)),
        ),
    ] {
        assert_eq!(policy.gives_up_after_at_least(), earliest, "{policy:?}");
    }
}

#[test]
fn delays_after_refusals_grow_separately() {
    let mut rng = generator(1, 1, Purpose::Connection);
    let refused = BackOff::Exponential { base: 100 * BASE, max: 300 * BASE, jitter: Jitter::None };
    let policy = Reconnect { refused: Some(refused), ..exponential(Jitter::None).into() };
    let mut retries = Retries::default();
    let mut next = |refused, online_s: Option<u64>| {
        let loss = Loss { refused, online_for: online_s.map(Duration::from_secs), ..Loss::default() };
        retries.next_delay(&policy, loss, &mut rng).expect("it always retries").as_secs()
    };
    assert_eq!([next(false, None), next(true, None), next(true, None)], [1, 100, 200]);
    assert_eq!([next(false, None), next(true, None), next(false, None)], [2, 300, 4]);
    assert_eq!([next(false, Some(1_000)), next(true, None)], [1, 100], "a connection resets both");
}
