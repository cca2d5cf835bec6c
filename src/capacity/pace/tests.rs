//! The steps of whole searches, second by second.

use super::*;

const TIMES: SlotTimes =
    SlotTimes { start_s: 10, idle_s: 5, connect_s: 0, settle_s: 5, judged_s: 30, count: 4 };
/// Slots of 43 s for trials that differ in their number of devices. They begin at 10, 53, 96 and 139 s.
const DEVICES: SlotTimes = SlotTimes { idle_s: 8, connect_s: 3, ..TIMES };

/// Runs until `end_s`, with a tick for each second, and returns the steps with their second.
fn run(
    pace: &mut Pace,
    seconds: std::ops::Range<u64>,
    tick: impl Fn(u64) -> Tick,
    levels: &mut Vec<u64>,
    burst: bool,
) -> Vec<(u64, Step)> {
    let mut steps = Vec::new();
    for at_s in seconds {
        let tick = Tick { at_s, ..tick(at_s) };
        loop {
            let mut step = pace.step(&tick);
            if step == Step::Next && !levels.is_empty() {
                step = pace.start(levels.remove(0), burst);
            }
            match step {
                Step::Wait => break,
                Step::Next | Step::OutOfTime => {
                    steps.push((at_s, step));
                    return steps;
                }
                step => steps.push((at_s, step)),
            }
        }
    }
    steps
}

/// Like [`run`], for trials whose devices connect first: levels, each with the time that this takes.
fn run_devices(
    pace: &mut Pace,
    seconds: std::ops::Range<u64>,
    tick: impl Fn(u64) -> Tick,
    levels: &mut Vec<(u64, u64)>,
) -> Vec<(u64, Step)> {
    let mut steps = Vec::new();
    for at_s in seconds {
        let tick = Tick { at_s, ..tick(at_s) };
        loop {
            let mut step = pace.step(&tick);
            if step == Step::Next && !levels.is_empty() {
                let (level, over_s) = levels.remove(0);
                step = pace.start_connecting(level, over_s, false);
            }
            match step {
                Step::Wait => break,
                Step::Next | Step::OutOfTime => {
                    steps.push((at_s, step));
                    return steps;
                }
                step => steps.push((at_s, step)),
            }
        }
    }
    steps
}

fn online(from_s: u64, over_s: u64, level: u64) -> Step {
    Step::Online { from_s, over_s, level }
}

#[test]
fn devices_connect_without_load_before_their_trial() {
    let (mut pace, first) = Pace::new(DEVICES);
    assert_eq!(first, load(15, 0));
    let steps = run_devices(&mut pace, 1..120, calm, &mut vec![(7, 0), (8, 1)]);
    let expected = [
        (13, online(15, 0, 7)),
        (13, load(18, 0)),
        (16, load(33, 7)),
        (31, load(43, 7)),
        (41, load(53, 7)),
        (51, load(58, 0)),
        (53, judged(1, 7, 53, false, false)),
        (56, online(58, 1, 8)),
        (56, load(61, 0)),
        (59, load(76, 8)),
        (74, load(86, 8)),
        (84, load(96, 8)),
        (94, load(101, 0)),
        (96, judged(2, 8, 96, false, false)),
        (99, Step::Next),
    ];
    assert_eq!(steps, expected);
}

#[test]
fn trial_with_many_new_devices_uses_a_later_slot() {
    let (mut pace, _) = Pace::new(DEVICES);
    let steps = run_devices(&mut pace, 1..62, calm, &mut vec![(7, 40)]);
    let expected = [(13, online(15, 40, 7)), (13, load(61, 0)), (59, load(76, 7))];
    assert_eq!(steps, expected, "the devices have connected at 55 s, and the slot's load begins at 61 s");
}

#[test]
fn trial_waits_a_minute_for_its_devices() {
    let late = |from_s| move |at_s| Tick { steady: at_s >= from_s, ..calm(at_s) };
    let (mut pace, _) = Pace::new(DEVICES);
    let steps = run_devices(&mut pace, 1..105, late(60), &mut vec![(7, 1)]);
    assert_eq!(
        steps,
        [
            (13, online(15, 1, 7)),
            (13, load(18, 0)),
            (16, load(61, 0)),
            (59, load(76, 0)),
            (74, load(104, 0)),
            (102, load(119, 7))
        ],
        "online at 60 s, within a minute; the load begins in the third slot"
    );
    let (mut pace, _) = Pace::new(DEVICES);
    let steps = run_devices(&mut pace, 1..78, late(1_000), &mut vec![(7, 1), (5, 1)]);
    let expected = [
        (13, online(15, 1, 7)),
        (13, load(18, 0)),
        (16, load(61, 0)),
        (59, load(76, 0)),
        (74, Step::Offline),
        (74, online(76, 1, 5)),
        (74, load(104, 0)),
    ];
    assert_eq!(steps, expected, "the next trial has another level, although devices are still missing");
}

#[test]
fn search_with_devices_ends_with_its_last_slot() {
    let (mut pace, _) = Pace::new(SlotTimes { count: 1, ..DEVICES });
    let steps = run_devices(&mut pace, 1..100, calm, &mut vec![(7, 40)]);
    assert_eq!(steps.last(), Some(&(13, Step::OutOfTime)));
}

fn calm(_: u64) -> Tick {
    Tick { drained: true, steady: true, ..Tick::default() }
}

fn load(until_s: u64, level: u64) -> Step {
    Step::Load { until_s, level }
}

fn judged(slot: u16, level: u64, ended_s: u64, cut: bool, undrained: bool) -> Step {
    Step::Judge(EndedTrial { slot, level, ended_s, cut, undrained, burst_left: false })
}

#[test]
fn trials_fill_their_slots() {
    let (mut pace, first) = Pace::new(TIMES);
    assert_eq!(first, load(15, 0));
    let steps = run(&mut pace, 1..200, calm, &mut vec![7, 3], false);
    let expected = [
        (13, load(30, 7)),
        (28, load(40, 7)),
        (38, load(50, 7)),
        (48, load(55, 0)),
        (50, judged(1, 7, 50, false, false)),
        (53, load(70, 3)),
        (68, load(80, 3)),
        (78, load(90, 3)),
        (88, load(95, 0)),
        (90, judged(2, 3, 90, false, false)),
        (93, Step::Next),
    ];
    assert_eq!(steps, expected);
}

#[test]
fn failed_trial_ends_early_and_keeps_its_slot() {
    let (mut pace, _) = Pace::new(TIMES);
    let tick = |at_s| Tick { failed: (25..35).contains(&at_s), ..calm(at_s) };
    let steps = run(&mut pace, 1..60, tick, &mut vec![7], false);
    let expected =
        [(13, load(30, 7)), (28, load(55, 0)), (30, judged(1, 7, 30, true, false)), (53, Step::Next)];
    assert_eq!(steps, expected);
}

#[test]
fn trial_that_starts_when_another_one_fails_is_complete() {
    let (mut pace, _) = Pace::new(TIMES);
    let tick = |at_s| Tick { failed: (49..=53).contains(&at_s), drained: at_s >= 53, ..calm(at_s) };
    let steps = run(&mut pace, 1..94, tick, &mut vec![7, 3], false);
    let ends: Vec<&Step> =
        steps.iter().map(|(_, step)| step).filter(|step| matches!(step, Step::Judge(_))).collect();
    assert_eq!(ends, [&judged(1, 7, 50, false, false), &judged(2, 3, 90, false, false)]);
}

#[test]
fn next_trial_waits_for_the_backlog() {
    let (mut pace, _) = Pace::new(TIMES);
    let tick = |at_s| Tick { drained: at_s >= 70, ..calm(at_s) };
    let steps = run(&mut pace, 1..100, tick, &mut vec![7, 3], false);
    let expected =
        [(48, load(55, 0)), (53, load(95, 0)), (70, judged(1, 7, 50, false, false)), (93, load(110, 3))];
    assert_eq!(steps[3..], expected);
}

#[test]
fn backlog_that_never_drains_ends_the_wait() {
    let (mut pace, _) = Pace::new(TIMES);
    let tick = |at_s| Tick { drained: false, ..calm(at_s) };
    let steps = run(&mut pace, 1..115, tick, &mut vec![7], false);
    assert_eq!(steps[5..], [(93, load(135, 0)), (110, judged(1, 7, 50, false, true))]);
}

#[test]
fn trial_waits_for_its_devices_but_not_forever() {
    let (mut pace, _) = Pace::new(TIMES);
    let offline = |at_s| Tick { steady: false, ..calm(at_s) };
    let steps = run(&mut pace, 1..94, offline, &mut vec![7], false);
    assert_eq!(steps, [(13, load(55, 0)), (53, load(95, 0)), (93, Step::Offline), (93, load(135, 0))]);
    let steps = run(&mut pace, 94..135, calm, &mut vec![7], false);
    assert_eq!(steps[0], (133, load(150, 7)), "the wait is over");
}

#[test]
fn search_ends_with_its_last_slot() {
    let (mut pace, _) = Pace::new(SlotTimes { count: 1, ..TIMES });
    let steps = run(&mut pace, 1..200, calm, &mut vec![7, 3], false);
    assert_eq!(steps.last(), Some(&(53, Step::OutOfTime)));
}

/// A hub acknowledges a level of 10 per second, once a burst of 40 is used up. Returns the load, and whether the burst was left.
fn run_with_burst(level: u64) -> (Vec<(u64, u64)>, bool) {
    let (mut pace, first) = Pace::new(SlotTimes { settle_s: 40, judged_s: 20, ..TIMES });
    let (mut steps, mut loads) = (vec![first], Vec::new());
    let (mut tokens, mut backlog) = (40.0_f64, 0.0_f64);
    for at_s in 1.. {
        for step in steps.drain(..) {
            match step {
                Step::Load { until_s, level } => loads.push((until_s, level)),
                Step::Judge(ended) => return (loads, ended.burst_left),
                _ => {}
            }
        }
        let offered = loads.iter().find(|(until_s, _)| *until_s >= at_s).map_or(0, |(_, level)| *level);
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let offered = offered as f64;
        let served = (backlog + offered).min(tokens + 10.0);
        (tokens, backlog) = ((tokens + 10.0 - served).min(40.0), backlog + offered - served);
        let tick = Tick { at_s, flow: Flow { backlog, served }, drained: backlog <= 0.0, ..calm(at_s) };
        loop {
            let step = pace.step(&tick);
            match step {
                Step::Wait => break,
                Step::Next => steps.push(pace.start(level, true)),
                step => steps.push(step),
            }
        }
    }
    unreachable!("the trial ends")
}

/// The burst lasts until its backlog shows. Then there is no load until the hub has nearly drained: a load that starts later finds a hub that
/// has idled.
#[test]
fn level_follows_before_the_burst_has_drained() {
    let (loads, burst_left) = run_with_burst(9);
    // 8 of 18 per second exceed the limit: the burst of 40 is used up at 20 s, and 1 s of backlog shows at 22 s. The backlog is 33 at 24 s.
    let burst = [(17, 18), (19, 18), (21, 18), (23, 18), (25, 18)];
    assert_eq!(loads[..6], [&[(15, 0)], &burst[..]].concat(), "{loads:?}");
    let drain = loads.iter().skip(6).take_while(|(until_s, _)| *until_s < 35);
    let offered: u64 = drain.map(|(_, level)| level).sum();
    assert!(offered <= 9, "{loads:?}");
    let level = loads.iter().filter(|(_, level)| *level == 9).collect::<Vec<_>>();
    assert!(level.iter().any(|(until_s, _)| *until_s == 61), "{loads:?}");
    assert!(!burst_left);
}

#[test]
fn level_far_below_the_limit_leaves_the_burst() {
    let (loads, burst_left) = run_with_burst(4);
    assert!(burst_left && loads.iter().any(|(until_s, level)| (*until_s, *level) == (35, 8)), "{loads:?}");
}
