//! The search on synthetic hubs: curves with a known capacity, noise, and answers that can be computed by hand.

use super::*;
use crate::rng::{Purpose, Rng, generator};
use proptest::prelude::*;
use rand::RngExt;

const RULES: SearchRules = SearchRules { from: 100_000, to: 10_000_000, width: 0.05, confirm: 3 };

/// Number of synthetic hubs in a test.
const SEEDS: u64 = 1_000;

/// 95% of them.
const SEEDS_95_PERCENT: u64 = 950;

/// Runs a search on a hub that answers each trial. Returns the answer and the levels that were tried.
fn search(rules: SearchRules, mut hub: impl FnMut(u64) -> TrialVerdict) -> (Answer, Vec<u64>) {
    let mut search = Search::new(rules);
    let mut tried = Vec::new();
    loop {
        match search.next() {
            Next::Done(answer) => return (answer, tried),
            Next::Trial { level } => {
                assert!((rules.from..=rules.to).contains(&level), "{level}");
                tried.push(level);
                assert!(tried.len() < 1_000, "{:?}", &tried[980..]);
                search.record(level, hub(level));
            }
        }
    }
}

fn good_if(good: bool) -> TrialVerdict {
    if good { TrialVerdict::Good } else { TrialVerdict::Bad }
}

/// Returns a number from the standard normal distribution, nearly: the sum of 12 uniform numbers.
fn normal(rng: &mut Rng) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}

/// Returns how many seeds give an interval that contains the capacity, and the median number of trials. `is_good` answers a trial at
/// a level, as a share of the capacity.
fn contained(is_good: impl Fn(f64, &mut Rng) -> bool) -> (u64, usize) {
    let mut trials = Vec::new();
    let mut contained = 0;
    for seed in 0..SEEDS {
        let rng = &mut generator(seed, 0, Purpose::Bootstrap);
        let capacity = 300_000.0 * (1.0 + 20.0 * rng.random::<f64>());
        let (answer, tried) = search(RULES, |level| good_if(is_good(level as f64 / capacity, rng)));
        let (lower, upper) = (answer.lower.unwrap() as f64, answer.upper.unwrap() as f64);
        assert!((upper - lower) / upper <= RULES.width, "{answer:?}");
        assert_eq!(answer.end, Some(End::Narrow));
        contained += u64::from(lower <= capacity && capacity < upper);
        trials.push(tried.len());
    }
    trials.sort_unstable();
    (contained, trials[trials.len() / 2])
}

#[test]
fn sharp_knee_is_found_exactly() {
    let (contained, trials) = contained(|share, _| share <= 1.0);
    assert_eq!(contained, SEEDS);
    assert!(trials <= 12, "{trials} trials");
}

#[test]
fn knee_is_found_at_1_percent_noise() {
    let (contained, trials) = contained(|share, rng| share * (1.0 + 0.01 * normal(rng)) <= 1.0);
    assert!(contained >= SEEDS_95_PERCENT, "{contained}");
    assert!(trials <= 12, "{trials} trials");
}

/// The latency grows slowly, so that near the capacity the limit is exceeded in some trials and not in others.
#[test]
fn slow_degradation_is_found() {
    let latency = |share: f64| 0.1 / (1.02 - share.min(1.019));
    let limit = latency(1.0);
    let (contained, _) = contained(|share, rng| latency(share) * (1.0 + 0.05 * normal(rng)) <= limit);
    assert!(contained >= SEEDS_95_PERCENT, "{contained}");
}

/// A hub that lets bursts through looks better than it is in the first trial after a pause, which is the first of each level.
#[test]
fn first_trial_of_a_level_may_be_a_burst() {
    let mut tried_before = std::collections::BTreeSet::new();
    let (answer, _) = search(RULES, |level| {
        let burst = tried_before.insert(level);
        good_if(level <= if burst { 1_300_000 } else { 1_000_000 })
    });
    assert!(answer.lower.unwrap() <= 1_000_000 && answer.upper.unwrap() > 1_000_000, "{answer:?}");
}

/// A hub that stays slow after an overload until it has been tried at half of its capacity.
#[test]
fn hysteresis_gives_the_level_that_holds_after_an_overload() {
    let mut slow = false;
    let (answer, _) = search(RULES, |level| {
        let good = level <= if slow { 600_000 } else { 1_000_000 };
        slow = !good || (slow && level > 500_000);
        good_if(good)
    });
    let (lower, upper) = (answer.lower.unwrap(), answer.upper.unwrap());
    assert!((570_000..=1_000_000).contains(&lower) && upper <= 1_053_000, "{answer:?}");
}

#[test]
fn hub_that_is_bad_from_the_start_is_below_the_range() {
    let (answer, tried) = search(RULES, |_| TrialVerdict::Bad);
    assert_eq!(answer, Answer { lower: None, upper: Some(100_000), end: Some(End::Below) });
    assert_eq!(tried, [100_000; 2]);
}

/// The grid of a narrow range has few cells.
#[test]
fn highest_level_of_a_narrow_range_is_tried() {
    for to in [100_001, 105_000, 120_000, 150_000, 200_000, 300_000] {
        let rules = SearchRules { to, width: 0.5, confirm: 1, ..RULES };
        let (answer, tried) = search(rules, |_| TrialVerdict::Good);
        assert_eq!(answer, Answer { lower: Some(to), upper: None, end: Some(End::AtLeast) });
        assert!(tried.len() <= 5, "{to}: {tried:?}");
    }
}

#[test]
fn hub_that_is_never_bad_has_at_least_the_highest_level() {
    let (answer, tried) = search(RULES, |_| TrialVerdict::Good);
    assert_eq!(answer, Answer { lower: Some(10_000_000), upper: None, end: Some(End::AtLeast) });
    assert_eq!((tried.len(), &tried[5..]), (7, &[10_000_000; 2][..]), "{tried:?}");
}

/// Void trials never become an upper bound.
#[test]
fn generator_that_is_the_limit_caps_the_search() {
    let (answer, tried) =
        search(RULES, |level| if level > 1_000_000 { TrialVerdict::Void } else { TrialVerdict::Good });
    assert!(matches!(answer.end, Some(End::Capped(1_000_001..=1_053_000))), "{answer:?}");
    assert!(matches!((answer.lower, answer.upper), (Some(950_000..=1_000_000), None)), "{answer:?}");
    assert_eq!(tried.iter().filter(|level| **level > 1_000_000).count() % 2, 0, "two at each level");
    let (answer, _) = search(RULES, |_| TrialVerdict::Void);
    assert_eq!(answer, Answer { lower: None, upper: None, end: Some(End::Capped(100_000)) });
}

#[test]
fn bad_levels_below_the_cap_bound_the_hub() {
    let (answer, _) = search(RULES, |level| match level {
        ..=1_000_000 => TrialVerdict::Good,
        1_000_001..=1_200_000 => TrialVerdict::Bad,
        _ => TrialVerdict::Void,
    });
    assert_eq!(answer.end, Some(End::Narrow));
    assert!(answer.lower.unwrap() <= 1_000_000 && answer.upper.unwrap() > 1_000_000, "{answer:?}");
}

/// The search comes close to an undecided level from both sides, and tries it three times.
#[test]
fn undecided_level_stays_inside_the_interval() {
    let (answer, tried) = search(RULES, |level| match level {
        ..1_000_000 => TrialVerdict::Good,
        1_000_000..=1_300_000 => TrialVerdict::Undecided,
        _ => TrialVerdict::Bad,
    });
    let Some(End::Undecided(level)) = answer.end else { panic!("{answer:?}") };
    assert!((1_000_000..=1_300_000).contains(&level));
    assert!((940_000..1_000_000).contains(&answer.lower.unwrap()), "{answer:?}");
    assert!((1_300_000..1_380_000).contains(&answer.upper.unwrap()), "{answer:?}");
    assert_eq!(tried.iter().filter(|tried| **tried == level).count(), 3);
    let (answer, tried) = search(RULES, |_| TrialVerdict::Undecided);
    assert_eq!(answer.end, Some(End::Undecided(100_000)));
    assert_eq!(tried.len(), 3);
}

#[test]
fn devices_are_counted_to_one() {
    let rules = SearchRules { from: 1, to: 50, width: 0.001, confirm: 3 };
    let (answer, _) = search(rules, |devices| good_if(devices <= 37));
    assert_eq!((answer.lower, answer.upper), (Some(37), Some(38)));
}

#[test]
fn majority_of_three_decides_a_level() {
    use Standing::{Lower, Open, Upper};
    for (good, bad, standing) in [
        (0, 0, Open),
        (1, 0, Lower { proven: false }),
        (0, 1, Upper { proven: false }),
        (1, 1, Open),
        (2, 0, Lower { proven: true }),
        (0, 2, Upper { proven: true }),
        (2, 1, Lower { proven: true }),
        (1, 2, Upper { proven: true }),
        // The exceed ratio of a level that is good half of the time is exactly 0.5.
        (2, 2, Lower { proven: true }),
        (2, 3, Upper { proven: true }),
    ] {
        assert_eq!(Trials { good, bad, ..Trials::default() }.standing(3), standing, "{good} good, {bad} bad");
    }
}

#[test]
fn conditional_throughput_is_achieved_by_half_of_the_trials() {
    for (achieved, throughput) in [
        (&[][..], None),
        (&[900.0], None),
        (&[1000.0, 900.0], Some(900.0)),
        (&[800.0, 1000.0, 900.0], Some(900.0)),
        (&[1000.0, 700.0, 900.0, 800.0], Some(900.0)),
    ] {
        assert_eq!(conditional_throughput(achieved, 3), throughput, "{achieved:?}");
    }
}

proptest! {
    /// Whatever the trials say, the search ends, and it never contradicts itself.
    #[test]
    fn every_search_ends(
        from in 1u64..1_000,
        range in 1u64..100_000,
        width in 0.001f64..0.5,
        confirm in 1u32..6,
        seed: u64,
        weights in prop::array::uniform4(1u32..10),
    ) {
        let mut rng = generator(seed, 0, Purpose::Bootstrap);
        let rules = SearchRules { from, to: from + range, width, confirm };
        let (answer, _) = search(rules, |_| {
            let mut drawn = rng.random_range(0..weights.iter().sum());
            let verdicts =
                [TrialVerdict::Good, TrialVerdict::Bad, TrialVerdict::Undecided, TrialVerdict::Void];
            for (weight, verdict) in weights.iter().zip(verdicts) {
                if drawn < *weight {
                    return verdict;
                }
                drawn -= weight;
            }
            unreachable!("the weights add up")
        });
        if let (Some(lower), Some(upper)) = (answer.lower, answer.upper) {
            prop_assert!(lower < upper);
            if answer.end == Some(End::Narrow) {
                prop_assert!(upper - lower <= 1 || (upper - lower) as f64 <= width * upper as f64);
            }
        }
    }
}

#[test]
fn a_short_range_is_searched_to_its_end() {
    for (from, width) in [(600_000, 0.5), (900_000, 0.5), (1_000_000, 0.5), (500_000, 0.3), (990_000, 0.05)] {
        let rules = SearchRules { from, to: 1_000_000, width, confirm: 1 };
        let (answer, tried) = search(rules, |_| TrialVerdict::Good);
        assert_eq!((answer.lower, answer.end), (Some(1_000_000), Some(End::AtLeast)), "{rules:?}");
        assert!(tried.len() <= 5, "{rules:?}: {tried:?}");
        for capacity in (from..1_000_000).step_by(7_919) {
            let (answer, _) = search(rules, |level| good_if(level <= capacity));
            assert!(answer.lower <= Some(capacity) && answer.upper > Some(capacity), "{rules:?}: {answer:?}");
        }
    }
}
