//! Whole searches against a model of a hub that lets a burst through before it holds messages back, in virtual time.

#![expect(clippy::cast_precision_loss, reason = "levels are far below 2^53")]

use super::*;
use crate::capacity::{Answer, End, Next, Search, SearchRules, TrialVerdict};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Steps of the model in a second.
const STEPS: u64 = 20;
/// A trial is bad if more than 5% of its messages take longer than this.
const LATENCY_S_MAX: f64 = 0.4;

/// A hub that acknowledges `limit` messages per second in the order of arrival, after a burst of `burst_s` seconds of this rate.
struct Hub {
    limit: f64,
    burst_s: f64,
    tokens: f64,
    backlog: f64,
}

impl Hub {
    /// Adds messages, and serves the backlog for a step. Returns the served messages.
    fn step(&mut self, messages: f64) -> f64 {
        self.tokens += self.limit / STEPS as f64;
        self.backlog += messages;
        let served = self.backlog.min(self.tokens);
        self.backlog -= served;
        self.tokens = (self.tokens - served).min(self.burst_s * self.limit);
        served
    }
}

/// A search for the limit of a hub, with measurements that are off by up to `noise`.
struct World {
    hub: Hub,
    rng: StdRng,
    noise: f64,
    loads: Vec<(u64, u64)>,
}

impl World {
    fn noisy(&mut self, number: f64) -> f64 {
        number * (1.0 + self.rng.random_range(-1.0..=1.0) * self.noise)
    }

    fn load(&mut self, step: Step) {
        if let Step::Load { until_s, level } = step {
            self.loads.push((until_s, level));
        }
    }

    /// Runs a second. Returns its flow, and each step's latency.
    fn second(&mut self, at_s: u64) -> (Flow, Vec<f64>) {
        let level = self.loads.iter().find(|(until_s, _)| *until_s >= at_s).map_or(0, |(_, level)| *level);
        let (mut served, mut latencies) = (0.0, Vec::new());
        for _ in 0..STEPS {
            let messages = self.noisy(level as f64 / STEPS as f64);
            served += self.hub.step(messages);
            latencies.push(self.hub.backlog / self.hub.limit);
        }
        let (backlog, served) = (self.noisy(self.hub.backlog), self.noisy(served));
        (Flow { backlog, served }, latencies)
    }

    /// Searches, and returns the answer with the number of trials.
    fn search(&mut self, times: SlotTimes, rules: SearchRules, burst: bool) -> (Answer, usize) {
        let (mut pace, first) = Pace::new(times);
        self.load(first);
        let (mut search, mut latencies, mut trials) = (Search::new(rules), Vec::new(), 0);
        for at_s in 1.. {
            let (flow, mut seconds) = self.second(at_s);
            let is_judged = pace.running().is_some_and(|(slot, _)| at_s > times.judged_from_s(slot));
            if is_judged && at_s <= times.end_s(pace.running().map_or(0, |(slot, _)| slot)) {
                latencies.append(&mut seconds);
            }
            let drained = self.hub.backlog <= 0.0;
            let tick = Tick { at_s, drained, steady: true, failed: false, flow };
            loop {
                match pace.step(&tick) {
                    Step::Wait => break,
                    Step::Next => match search.next() {
                        Next::Done(answer) => return (answer, trials),
                        Next::Trial { level } => {
                            let step = pace.start(level, burst);
                            self.load(step);
                        }
                    },
                    Step::Judge(trial) => {
                        let slow = latencies.iter().filter(|latency| **latency > LATENCY_S_MAX).count();
                        let is_good = slow * 20 < latencies.len() && !trial.undrained;
                        search.record(
                            trial.level,
                            if is_good { TrialVerdict::Good } else { TrialVerdict::Bad },
                        );
                        (latencies, trials) = (Vec::new(), trials + 1);
                    }
                    step @ Step::Load { .. } => self.load(step),
                    Step::Online { .. } | Step::Offline | Step::OutOfTime => {
                        panic!("{:?} after {trials} trials", search.answer_so_far())
                    }
                }
            }
        }
        unreachable!("the search ends")
    }
}

/// Returns how far the limit is outside the interval of each search, as a share of the limit: positive if the search overestimates it.
fn errors(burst_s: [f64; 2], (settle_s, judged_s): (u64, u64), noise: f64, burst: bool) -> Vec<f64> {
    (0..100)
        .map(|seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            let limit = rng.random_range(90_000.0..400_000.0);
            let burst_s = rng.random_range(burst_s[0]..=burst_s[1]);
            let hub = Hub { limit, burst_s, tokens: limit * burst_s, backlog: 0.0 };
            let mut world = World { hub, rng, noise, loads: Vec::new() };
            let times = SlotTimes { start_s: 3, idle_s: 5, connect_s: 0, settle_s, judged_s, count: 60 };
            let rules = SearchRules { from: 40_000, to: 500_000, width: 0.05, confirm: 3 };
            let (answer, _) = world.search(times, rules, burst);
            assert!(matches!(answer.end, Some(End::Narrow | End::AtLeast)), "{seed}: {answer:?}");
            let [lower, upper] =
                [answer.lower, answer.upper].map(|bound| bound.map_or(1.0, |bound| bound as f64 / limit));
            (lower - 1.0).max(0.0) + (upper - 1.0).min(0.0)
        })
        .collect()
}

/// At the limit, half of the settling time at twice the level must use up the burst.
#[test]
fn search_finds_the_limit_behind_a_burst() {
    for (burst_s, times, noise) in [
        ([5.0, 5.0], (14, 7), 0.03),
        ([0.0, 5.0], (14, 7), 0.05),
        ([3.0, 3.0], (6, 3), 0.03),
        ([0.0, 60.0], (120, 60), 0.05),
    ] {
        let found = errors(burst_s, times, noise, true);
        let worst = found.iter().map(|error| error.abs()).fold(0.0, f64::max);
        assert!(worst < 0.05, "{burst_s:?} {times:?}: {worst}");
    }
}

/// The reason for using up the burst: a trial that only waits for its end overestimates the limit.
#[test]
fn limit_stays_hidden_if_trials_only_settle() {
    let found = errors([60.0, 60.0], (120, 60), 0.0, false);
    assert!(found.iter().all(|error| *error > 0.05), "{found:?}");
}
