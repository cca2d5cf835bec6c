//! "May I rely on this, and is it good?" Called by `app` when a run is over, with what was measured and what was
//! wanted; pure. It knows neither sockets nor workers.
//!
//! `invalid` wins over `fail`: where the generator itself was late, starved or out of descriptors, no latency may
//! be read as the hub's.

use super::findings::{finding, findings};
use super::threshold::{Observation, evaluate};
use crate::measure::{Measurement, Operation, Outcome, Totals};
use crate::plan::{Compare, Test, Threshold, Validity};
use crate::result::model::{Finding, Severity, Status, ThresholdResult, Verdict};
use crate::units::{Percent, human_count, human_duration, human_us, plural};
use std::time::Duration;

/// What the process exits with.
pub mod exit {
    /// Passed.
    pub const PASSED: u8 = 0;
    /// The environment failed us: cannot bind, cannot write, no route, a bad certificate file.
    pub const ENVIRONMENT: u8 = 1;
    /// Wrong use of the command line.
    pub const USAGE: u8 = 2;
    /// Ran, and a threshold was crossed.
    pub const FAILED: u8 = 99;
    /// Scenario or configuration invalid; nothing was started.
    pub const CONFIGURATION: u8 = 104;
    /// Interrupted; the partial result was written and says so.
    pub const INTERRUPTED: u8 = 105;
    /// Measurement invalid: the generator was late or failed, or the built-in hub died.
    pub const INVALID: u8 = 120;

    /// Which of several wins, the strongest first.
    pub const PRECEDENCE: [u8; 7] = [USAGE, CONFIGURATION, ENVIRONMENT, INTERRUPTED, INVALID, FAILED, PASSED];

    /// The code that wins among `codes`; [`PASSED`] among none.
    #[must_use]
    pub fn strongest(codes: &[u8]) -> u8 {
        PRECEDENCE.into_iter().find(|code| codes.contains(code)).unwrap_or(PASSED)
    }
}

/// The exit code of a run: an interrupted one keeps its verdict and exits as interrupted.
#[must_use]
pub fn exit_code(status: Status, complete: bool) -> u8 {
    let judged = match status {
        Status::Pass => exit::PASSED,
        Status::Fail => exit::FAILED,
        Status::Invalid => exit::INVALID,
    };
    exit::strongest(&[judged, if complete { exit::PASSED } else { exit::INTERRUPTED }])
}

/// A phase, as far as a verdict needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseName<'a> {
    /// Its name.
    pub name: &'a str,
    /// True leaves it out of thresholds that name no phase.
    pub warmup: bool,
}

/// What is judged, and by what.
#[derive(Clone, Copy, Debug)]
pub struct Judge<'a> {
    /// What counts as good.
    pub thresholds: &'a [Threshold],
    /// When the measurement counts as the generator's own failure.
    pub validity: &'a Validity,
    /// What was measured.
    pub measurement: &'a Measurement,
    /// The phases, in the order of the plan.
    pub phases: &'a [PhaseName<'a>],
    /// The names of the fleets, in the order of the plan.
    pub fleets: &'a [&'a str],
    /// How many devices they have.
    pub devices: u64,
    /// False when the run was interrupted.
    pub complete: bool,
    /// What else breaks the measurement, in words: this machine ran short of something, a worker failed.
    pub environment: &'a [String],
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Status, exit code and reasons in words.
    pub verdict: Verdict,
    /// Every threshold, the implicit ones last.
    pub thresholds: Vec<ThresholdResult>,
    /// What else a reader should know, warnings first.
    pub findings: Vec<Finding>,
}

/// Judges a run.
#[must_use]
pub fn judge(input: &Judge<'_>) -> Judged {
    let mut thresholds: Vec<_> =
        input.thresholds.iter().map(|threshold| input.threshold(threshold)).collect();
    thresholds.extend((0_u16..).zip(input.fleets).map(|(fleet, name)| input.connected(fleet, name)));
    let (faults, elsewhere) = input.faults();

    let failed: Vec<_> = thresholds.iter().filter(|threshold| !threshold.passed).collect();
    let held = thresholds.len() - failed.len();
    let (status, mut reasons) = if !faults.is_empty() {
        let advice = input.advice().filter(|_| faults.len() > input.environment.len());
        (Status::Invalid, faults.into_iter().chain(advice).collect())
    } else if !failed.is_empty() {
        (Status::Fail, failed.into_iter().map(crossed).collect())
    } else if input.thresholds.is_empty() {
        let reason = "the scenario has no thresholds: nothing was asked but that each fleet connected once";
        (Status::Pass, vec![reason.to_owned()])
    } else {
        (Status::Pass, vec![format!("all thresholds held ({held} of {held})")])
    };

    // What failed then failed for this, whatever else it says.
    if let Some(cause) = input.never_connected().filter(|_| status == Status::Fail) {
        reasons.insert(0, cause);
    }

    let mut findings = elsewhere;
    if !input.complete {
        reasons.push("interrupted: only what was measured until then is judged".to_owned());
    }
    findings.extend(self::findings(input.measurement, input.devices));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let verdict = Verdict { status, exit_code: exit_code(status, input.complete), reasons };
    Judged { verdict, thresholds, findings }
}

/// A crossed threshold in words: `telemetry{phase:steady} p(99) < 500ms: 612 ms`.
fn crossed(threshold: &ThresholdResult) -> String {
    let ThresholdResult { metric, expression, observed_text, .. } = threshold;
    let names = [("phase", &threshold.phase), ("fleet", &threshold.fleet)];
    let named = names.into_iter().filter_map(|(key, name)| Some(format!("{key}:{}", name.as_ref()?)));
    let named: Vec<_> = named.collect();
    let labels = if named.is_empty() { String::new() } else { format!("{{{}}}", named.join(",")) };
    format!("{metric}{labels} {expression}: {observed_text}")
}

/// A sign that the generator was late.
struct Fault {
    text: String,
    evidence: String,
}

impl Fault {
    fn reason(self) -> String {
        format!("{}: {}", self.text, self.evidence)
    }

    fn into_finding(self, not_used: &str) -> Finding {
        finding(Severity::Warning, format!("{}, {not_used}", self.text), self.evidence)
    }
}

impl Judge<'_> {
    /// A threshold without a phase covers all phases but warm-ups, by adding histograms and counters.
    fn threshold(&self, threshold: &Threshold) -> ThresholdResult {
        let covered = self.measurement.sum(|key| {
            key.operation == threshold.metric
                && threshold.fleet.is_none_or(|fleet| fleet == key.fleet)
                && match threshold.phase {
                    Some(phase) => phase == key.phase,
                    None => !self.is_warmup(key.phase),
                }
        });
        let fleet = threshold.fleet.and_then(|fleet| self.fleets.get(usize::from(fleet)));
        let phase = threshold.phase.and_then(|phase| self.phases.get(usize::from(phase)));
        ThresholdResult {
            phase: phase.map(|phase| phase.name.to_owned()),
            fleet: fleet.map(|fleet| (*fleet).to_owned()),
            ..threshold_result(threshold.metric, &threshold.expression, evaluate(&threshold.test, &covered))
        }
    }

    /// The implicit threshold: every fleet had at least one ok connect, in whatever phase.
    fn connected(&self, fleet: u16, name: &str) -> ThresholdResult {
        let connects = self.measurement.sum(|key| key.operation == Operation::Connect && key.fleet == fleet);
        let test = Test::Count { outcome: Outcome::Ok, compare: Compare::GreaterOrEqual, limit: 1 };
        let seen = evaluate(&test, &connects);
        ThresholdResult {
            fleet: Some(name.to_owned()),
            ..threshold_result(Operation::Connect, "count(ok) >= 1", seen)
        }
    }

    /// Why no device of any fleet ever got in: the most frequent error, with its example.
    fn never_connected(&self) -> Option<String> {
        let connects = self.measurement.sum(|key| key.operation == Operation::Connect);
        if connects.outcome(Outcome::Ok) > 0 {
            return None;
        }
        let Some(error) = self.measurement.errors().iter().max_by_key(|error| error.count) else {
            let open = plural(connects.outcome(Outcome::Unfinished), "attempt", "attempts");
            return Some(format!(
                "no device ever connected: {open} had no answer yet, and no connect_timeout was over"
            ));
        };
        let times =
            if error.count == 1 { "once".to_owned() } else { format!("{} times", human_count(error.count)) };
        Some(format!("no device ever connected: {} {times}, e.g. {}", error.class, error.example))
    }

    fn is_warmup(&self, phase: u16) -> bool {
        self.phases.get(usize::from(phase)).is_some_and(|phase| phase.warmup)
    }

    fn latency_thresholds(&self) -> impl Iterator<Item = &Threshold> {
        self.thresholds.iter().filter(|threshold| {
            matches!(threshold.test, Test::Percentile { .. } | Test::Mean { .. } | Test::Max { .. })
        })
    }

    /// Phases whose latencies somebody reads: the headline reads all but warm-ups, a latency threshold its own.
    fn is_used(&self, phase: u16) -> bool {
        !self.is_warmup(phase) || self.latency_thresholds().any(|threshold| threshold.phase == Some(phase))
    }

    /// Phases in which a threshold reads how fast devices connect. Elsewhere a fleet that is to be there at once, and cannot,
    /// is no fault.
    fn reads_connects(&self, phase: u16) -> bool {
        self.latency_thresholds().any(|threshold| {
            threshold.metric.is_of_connects()
                && threshold.phase.map_or(!self.is_warmup(phase), |named| named == phase)
        })
    }

    /// What makes the measurement invalid, in words; and the same where it does not matter.
    fn faults(&self) -> (Vec<String>, Vec<Finding>) {
        let mut invalid = self.environment.to_vec();
        let mut elsewhere = Vec::new();
        for (index, phase) in (0_u16..).zip(self.phases) {
            let sum = |wanted: fn(Operation) -> bool| {
                self.measurement.sum(|key| key.phase == index && wanted(key.operation))
            };
            let messages = sum(Operation::is_message);
            let answers = sum(|operation| operation == Operation::Method);
            let calls = sum(|operation| {
                use Operation::{ServiceC2d, ServiceDesired, ServiceMethod};
                matches!(operation, ServiceMethod | ServiceDesired | ServiceC2d)
            });
            let faults = [
                self.starved(index, phase.name),
                self.busy(index, phase.name),
                self.lagging(phase.name, "lagged behind its own schedule", &messages),
                self.late(phase.name, &messages),
                self.lagging(phase.name, "was late with its answers to methods", &answers),
                self.lagging(phase.name, "was late with its calls of the service side", &calls),
            ];
            let faults = faults.into_iter().flatten();
            if self.is_used(index) {
                invalid.extend(faults.map(Fault::reason));
            } else {
                let elsewhere_from =
                    |fault: Fault| fault.into_finding("in a phase that no threshold rests on");
                elsewhere.extend(faults.map(elsewhere_from));
            }
            let connects = sum(|operation| operation == Operation::Connect);
            let late = self.lagging(phase.name, "was late with its connects", &connects);
            if self.reads_connects(index) {
                invalid.extend(late.map(Fault::reason));
            } else {
                elsewhere
                    .extend(late.map(|late| late.into_finding("and no threshold reads how long they took")));
            }
        }
        (invalid, elsewhere)
    }

    /// What to do about a generator that was late; `None` of a run that was too short to tell.
    fn advice(&self) -> Option<String> {
        /// A worker that is late although it has little to do was kept from doing it (our choice).
        const LITTLE: f64 = 0.5;
        let phases = (0_u16..).zip(self.phases).filter(|(index, _)| self.is_used(*index));
        let busiest =
            phases.filter_map(|(index, _)| self.measurement.busiest(index)).max_by(f64::total_cmp)?;
        let share = rounded(busiest);
        Some(if busiest < LITTLE {
            format!(
                "its workers were busy for {share} of the time at most: something else took this machine's processors; run again \
                 when it is quiet"
            )
        } else {
            format!(
                "its workers were busy for up to {share} of the time: a smaller load, or a machine with more cores, is needed"
            )
        })
    }

    /// The workers did not get the processor when they wanted it.
    fn starved(&self, index: u16, phase: &str) -> Option<Fault> {
        let late = self.measurement.heartbeat().get(usize::from(index))?.quantile(0.999)?;
        let allowed = us(self.validity.heartbeat_p999);
        (late > allowed).then(|| Fault {
            text: format!("phase {phase}: the load generator was starved"),
            evidence: format!("heartbeat p99.9 was {} late, over {}", human_us(late), human_us(allowed)),
        })
    }

    /// A worker that has something to do all the time lets things wait that no lag shows: acks that it has not read yet, a window that it
    /// keeps full itself.
    fn busy(&self, index: u16, phase: &str) -> Option<Fault> {
        let share = self.measurement.busiest(index).filter(|share| *share > self.validity.busy_share)?;
        Some(Fault {
            text: format!("phase {phase}: the load generator had hardly a moment to spare"),
            evidence: format!(
                "its busiest worker was busy for {} of the time, more than {}",
                rounded(share),
                Percent::from_fraction(self.validity.busy_share)
            ),
        })
    }

    /// Lag p99 above what is allowed, or above a share of response p99, whichever is more.
    #[expect(clippy::cast_precision_loss, reason = "microseconds stay far below 2^53")]
    fn lagging(&self, phase: &str, how: &str, totals: &Totals) -> Option<Fault> {
        let lag = totals.lag.quantile(0.99)?;
        let response = totals.response.quantile(0.99);
        let share = self.validity.lag_share * response.unwrap_or(0) as f64;
        let allowed = us(self.validity.lag_p99);
        let beyond = lag > allowed && lag as f64 > share;
        beyond.then(|| Fault {
            text: format!("phase {phase}: the load generator {how}"),
            evidence: format!(
                "lag p99 was {}, over {} and over {} of response p99 ({})",
                human_us(lag),
                human_us(allowed),
                Percent::from_fraction(self.validity.lag_share),
                response.map_or_else(|| "none".to_owned(), human_us),
            ),
        })
    }

    /// Too large a share was picked too late.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn late(&self, phase: &str, messages: &Totals) -> Option<Fault> {
        let picked = messages.lag.count();
        let share = messages.late as f64 / picked.max(1) as f64;
        (share > self.validity.late_share).then(|| Fault {
            text: format!("phase {phase}: the load generator handled messages too late"),
            evidence: format!(
                "{} of {} ({}) were picked over {} late, more than {}",
                human_count(messages.late),
                plural(picked, "message", "messages"),
                Percent::from_fraction(share),
                human_duration(self.validity.late_after),
                Percent::from_fraction(self.validity.late_share),
            ),
        })
    }
}

fn threshold_result(metric: Operation, expression: &str, seen: Observation) -> ThresholdResult {
    ThresholdResult {
        metric: metric.name().to_owned(),
        expression: expression.to_owned(),
        phase: None,
        fleet: None,
        limit: seen.limit,
        unit: seen.unit.to_owned(),
        observed: seen.observed,
        observed_text: seen.text,
        margin: seen.margin,
        samples: seen.samples,
        passed: seen.passed,
    }
}

/// To a tenth of a percent.
fn rounded(share: f64) -> Percent {
    Percent::from_fraction((share * 1_000.0).round() / 1_000.0)
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Culprit, Key, Layout, Recorder, Times};

    const MS: u64 = 1_000_000;
    const WARM: u16 = 0;
    const STEADY: u16 = 1;
    const LATER: u16 = 2;
    const PHASES: [PhaseName<'static>; 3] = [
        PhaseName { name: "ramp", warmup: true },
        PhaseName { name: "steady", warmup: false },
        PhaseName { name: "later", warmup: false },
    ];

    fn key(operation: Operation, phase: u16) -> Key {
        Key { operation, fleet: 0, phase }
    }

    /// `count` messages of a phase with that lag and response, in milliseconds.
    fn messages(recorder: &mut Recorder, phase: u16, count: u64, lag_ms: u64, response_ms: u64) {
        for _ in 0..count {
            let picked = lag_ms * MS;
            recorder.due(key(Operation::Telemetry, phase), 0);
            let times = Times { due: 0, picked, sent: picked, acked: response_ms * MS };
            recorder.ok(key(Operation::Telemetry, phase), &times);
        }
    }

    fn latency(phase: Option<u16>, limit_ms: u64) -> Threshold {
        Threshold {
            metric: Operation::Telemetry,
            phase,
            fleet: None,
            expression: format!("p(99) < {limit_ms}ms"),
            test: Test::Percentile { quantile: 0.99, compare: Compare::Less, limit_us: limit_ms * 1_000 },
        }
    }

    struct Case {
        thresholds: Vec<Threshold>,
        validity: Validity,
        fleets: Vec<&'static str>,
        complete: bool,
        environment: Vec<String>,
    }

    impl Default for Case {
        fn default() -> Case {
            Case {
                thresholds: Vec::new(),
                validity: Validity::default(),
                fleets: vec!["meter"],
                complete: true,
                environment: Vec::new(),
            }
        }
    }

    impl Case {
        /// Judges a run in which every fleet's first device connected, and `record` happened.
        fn judge(&self, record: impl FnOnce(&mut Recorder)) -> Judged {
            self.judge_unconnected(|recorder| {
                recorder.due(key(Operation::Connect, WARM), 0);
                recorder.ok(key(Operation::Connect, WARM), &Times::default());
                record(recorder);
            })
        }

        fn judge_unconnected(&self, record: impl FnOnce(&mut Recorder)) -> Judged {
            let late_after = self.validity.late_after;
            let layout = Layout::new(self.fleets.len(), 3, Duration::from_secs(60), late_after);
            let (mut recorder, mut measurement) = (Recorder::new(layout), Measurement::new(layout));
            record(&mut recorder);
            measurement.add(&recorder.swap(), crate::measure::Source::Worker(0));
            judge(&Judge {
                thresholds: &self.thresholds,
                validity: &self.validity,
                measurement: &measurement,
                phases: &PHASES,
                fleets: &self.fleets,
                devices: 1,
                complete: self.complete,
                environment: &self.environment,
            })
        }
    }

    #[track_caller]
    fn assert_verdict(judged: &Judged, status: Status, exit_code: u8, reason: &str) {
        let verdict = &judged.verdict;
        assert_eq!((verdict.status, verdict.exit_code), (status, exit_code), "{verdict:?}");
        assert!(verdict.reasons.iter().any(|r| r.contains(reason)), "{reason:?} in {:?}", verdict.reasons);
    }

    #[test]
    fn a_good_run_passes() {
        let case = Case { thresholds: vec![latency(None, 50)], ..Case::default() };
        let judged = case.judge(|r| messages(r, STEADY, 1_000, 1, 20));
        assert_verdict(&judged, Status::Pass, 0, "all thresholds held (2 of 2)");
        assert_eq!(judged.findings, []);
        let threshold = &judged.thresholds[0];
        assert_eq!((threshold.metric.as_str(), threshold.unit.as_str()), ("telemetry", "us"));
        assert!((threshold.margin.unwrap() - 0.6).abs() < 0.001, "{threshold:?}");
    }

    #[test]
    fn a_crossed_threshold_fails_with_its_number() {
        let case = Case { thresholds: vec![latency(Some(STEADY), 20)], ..Case::default() };
        let judged = case.judge(|r| messages(r, STEADY, 1_000, 1, 30));
        assert_verdict(&judged, Status::Fail, 99, "telemetry{phase:steady} p(99) < 20ms: 30.0 ms");
    }

    #[test]
    fn a_threshold_without_a_phase_adds_all_but_warm_ups() {
        let case = Case { thresholds: vec![latency(None, 100)], ..Case::default() };
        // 600 fast and 400 slow: p99 of the sum is slow, the mean of both p99 would be 105 ms.
        let record = |warm_ms: u64, slow_ms: u64| {
            case.judge(|r| {
                messages(r, WARM, 5_000, 1, warm_ms);
                messages(r, STEADY, 600, 1, 10);
                messages(r, LATER, 400, 1, slow_ms);
            })
        };
        let judged = record(5_000, 90);
        assert_verdict(&judged, Status::Pass, 0, "");
        assert_eq!(judged.thresholds[0].samples, 1_000, "the warm-up's are not among them");
        assert_eq!(judged.thresholds[0].observed_text, "90.0 ms");
        assert_verdict(&record(10, 200), Status::Fail, 99, "telemetry p(99) < 100ms: 200 ms");
    }

    #[test]
    fn a_threshold_that_names_a_phase_covers_it_whatever_it_is() {
        let case = Case { thresholds: vec![latency(Some(WARM), 100)], ..Case::default() };
        let judged = case.judge(|r| {
            messages(r, WARM, 1_000, 1, 200);
            messages(r, STEADY, 5_000, 1, 10);
        });
        assert_verdict(&judged, Status::Fail, 99, "telemetry{phase:ramp} p(99) < 100ms: 200 ms");
    }

    #[test]
    fn a_threshold_that_names_a_fleet_covers_only_that() {
        let slow_fleet = Threshold { fleet: Some(1), ..latency(None, 100) };
        let case = Case { thresholds: vec![slow_fleet], fleets: vec!["a", "b"], ..Case::default() };
        let judged = case.judge(|r| {
            messages(r, STEADY, 1_000, 1, 200);
            let connect = Key { fleet: 1, ..key(Operation::Connect, WARM) };
            r.due(connect, 0);
            r.ok(connect, &Times::default());
        });
        assert_verdict(&judged, Status::Fail, 99, "telemetry{fleet:b} p(99) < 100ms: no data");
    }

    #[test]
    fn every_fleet_must_have_connected() {
        let case = Case { fleets: vec!["meter", "gate"], ..Case::default() };
        let never = case.judge(|r| messages(r, STEADY, 10, 1, 10));
        assert_verdict(&never, Status::Fail, 99, "connect{fleet:gate} count(ok) >= 1: no data");
        let refused = case.judge(|r| {
            let connect = Key { fleet: 1, ..key(Operation::Connect, STEADY) };
            r.due(connect, 0);
            r.ended(connect, Outcome::Refused, 0, MS);
        });
        assert_verdict(&refused, Status::Fail, 99, "connect{fleet:gate} count(ok) >= 1: 0");
    }

    #[test]
    fn when_nothing_connects_the_cause_comes_first() {
        let error =
            |r: &mut Recorder, class| r.error(class, Culprit::Peer, 0, || "port 1 is closed".to_owned());
        let never = Case::default().judge_unconnected(|r| {
            error(r, "tls");
            error(r, "tcp_refused");
            error(r, "tcp_refused");
        });
        assert_eq!(
            never.verdict.reasons,
            [
                "no device ever connected: tcp_refused 2 times, e.g. port 1 is closed",
                "connect{fleet:meter} count(ok) >= 1: no data"
            ]
        );
        let some = Case { thresholds: vec![latency(None, 1)], ..Case::default() }.judge(|r| error(r, "tls"));
        assert!(!some.verdict.reasons[0].contains("ever connected"), "{some:?}");
    }

    #[test]
    fn lag_beyond_both_limits_is_invalid_and_wins_over_fail() {
        let case = Case { thresholds: vec![latency(None, 5)], ..Case::default() };
        for (lag_ms, response_ms, status) in [
            // 9 ms lies within 10 ms; 11 ms does not, unless it is within a tenth of the response.
            (9, 20, Status::Fail),
            (11, 100, Status::Invalid),
            (11, 120, Status::Fail),
            (30, 299, Status::Invalid),
        ] {
            let judged = case.judge(|r| messages(r, STEADY, 1_000, lag_ms, response_ms));
            assert_eq!(judged.verdict.status, status, "lag {lag_ms} ms, response {response_ms} ms");
        }
        let judged = case.judge(|r| messages(r, STEADY, 1_000, 34, 40));
        let expected = "phase steady: the load generator lagged behind its own schedule: \
                        lag p99 was 34.0 ms, over 10.0 ms and over 10% of response p99 (40.0 ms)";
        assert_verdict(&judged, Status::Invalid, 120, expected);
        assert!(!judged.thresholds[0].passed, "thresholds are shown all the same");
    }

    /// What a device takes for an answer is not lag, and the lateness of its timer is.
    #[test]
    fn answers_to_methods_and_calls_that_are_late_make_a_run_invalid_too() {
        let late = |operation, lag_ms: u64, takes_ms: u64| {
            Case::default().judge(|r| {
                let method = key(operation, STEADY);
                for _ in 0..1_000 {
                    let (picked, sent) = (lag_ms * MS, (lag_ms + takes_ms) * MS);
                    r.due(method, 0);
                    r.ok(method, &Times { due: 0, picked, sent, acked: sent });
                }
            })
        };
        let late_with = [
            (Operation::Method, "its answers to methods"),
            (Operation::ServiceMethod, "its calls of the service side"),
            (Operation::ServiceC2d, "its calls of the service side"),
        ];
        for (operation, what) in late_with {
            assert_verdict(&late(operation, 9, 20), Status::Pass, 0, "");
            assert_verdict(&late(operation, 30, 500), Status::Pass, 0, "");
            let expected = format!(
                "phase steady: the load generator was late with {what}: \
                 lag p99 was 34.0 ms, over 10.0 ms and over 10% of response p99 (40.0 ms)"
            );
            assert_verdict(&late(operation, 34, 6), Status::Invalid, 120, &expected);
        }
    }

    #[test]
    fn lag_in_a_warm_up_is_a_finding_unless_a_latency_threshold_names_it() {
        let record = |r: &mut Recorder| {
            messages(r, WARM, 1_000, 34, 40);
            messages(r, STEADY, 1_000, 1, 20);
        };
        let judged = Case::default().judge(record);
        assert_verdict(&judged, Status::Pass, 0, "");
        assert!(judged.findings[0].text.starts_with("phase ramp: the load generator lagged"));
        assert_eq!(judged.findings[0].severity, Severity::Warning);

        let count = Threshold {
            test: Test::Count { outcome: Outcome::Lost, compare: Compare::Equal, limit: 0 },
            ..latency(Some(WARM), 1_000)
        };
        let counting = Case { thresholds: vec![count], ..Case::default() };
        assert_verdict(&counting.judge(record), Status::Pass, 0, "");
        let timing = Case { thresholds: vec![latency(Some(WARM), 1_000)], ..Case::default() };
        assert_verdict(&timing.judge(record), Status::Invalid, 120, "phase ramp");
    }

    /// A thousand devices that are due at one instant are late, and the plan's author knows it, unless a threshold reads it.
    #[test]
    fn late_connects_are_invalid_only_where_a_latency_threshold_reads_them() {
        let record = |phase: u16| {
            move |r: &mut Recorder| {
                let connect = key(Operation::Connect, phase);
                for _ in 0..1_000 {
                    r.due(connect, 0);
                    r.ok(connect, &Times { due: 0, picked: 34 * MS, sent: 34 * MS, acked: 40 * MS });
                    r.duration(key(Operation::ConnectTls, phase), MS);
                }
                messages(r, STEADY, 1_000, 1, 20);
            }
        };
        let nobody = Case { thresholds: vec![latency(None, 500)], ..Case::default() };
        for phase in [WARM, STEADY] {
            let judged = nobody.judge(record(phase));
            assert_verdict(&judged, Status::Pass, 0, "");
            let expected = format!(
                "phase {}: the load generator was late with its connects, and no threshold reads how long they took",
                PHASES[usize::from(phase)].name
            );
            assert!(judged.findings.iter().any(|finding| finding.text == expected), "{:?}", judged.findings);
        }
        use Operation::{Connect, ConnectTls, Online, Renewal};
        for (metric, read, happened, status) in [
            (Connect, Some(WARM), WARM, Status::Invalid),
            (Connect, None, STEADY, Status::Invalid),
            (ConnectTls, Some(STEADY), STEADY, Status::Invalid),
            // What did not happen at all fails.
            (Online, Some(STEADY), STEADY, Status::Invalid),
            (Renewal, None, STEADY, Status::Invalid),
            (Connect, None, WARM, Status::Fail),
            (Connect, Some(LATER), STEADY, Status::Fail),
            (Operation::Telemetry, Some(STEADY), STEADY, Status::Pass),
        ] {
            let reads = Threshold { metric, ..latency(read, 500) };
            let judged = Case { thresholds: vec![reads], ..Case::default() }.judge(record(happened));
            assert_eq!(judged.verdict.status, status, "{metric} {read:?} {happened}: {:?}", judged.verdict);
        }
        let rate = Threshold {
            metric: Connect,
            test: Test::Rate { outcome: Outcome::Ok, compare: Compare::Greater, limit: 0.5 },
            ..latency(Some(STEADY), 500)
        };
        let rate = Case { thresholds: vec![rate], ..Case::default() };
        assert_verdict(&rate.judge(record(STEADY)), Status::Pass, 0, "");
    }

    #[test]
    fn one_message_in_a_thousand_may_be_late_but_no_more() {
        let case = Case::default();
        let record = |late: u64| {
            move |r: &mut Recorder| {
                messages(r, STEADY, 2_000 - late, 1, 20);
                messages(r, STEADY, late, 101, 150);
            }
        };
        assert_verdict(&case.judge(record(2)), Status::Pass, 0, "");
        let expected = "3 of 2,000 messages (0.15%) were picked over 100 ms late, more than 0.1%";
        assert_verdict(&case.judge(record(3)), Status::Invalid, 120, expected);
    }

    #[test]
    fn a_late_heartbeat_is_invalid() {
        let beat = |late: u64, ms: u64| {
            Case::default().judge(|r| {
                for n in 0..2_000 {
                    r.heartbeat(1, if n < late { ms * MS } else { 0 });
                }
            })
        };
        assert_verdict(&beat(2, 900), Status::Pass, 0, "");
        assert_verdict(&beat(3, 49), Status::Pass, 0, "");
        assert_verdict(&beat(3, 60), Status::Invalid, 120, "heartbeat p99.9 was 60.0 ms late, over 50.0 ms");
        let kept_off = Case::default().judge(|r| {
            r.heartbeat(STEADY, 60 * MS);
            r.busy(STEADY, 300 * MS, 2_000 * MS);
        });
        assert_verdict(
            &kept_off,
            Status::Invalid,
            120,
            "busy for 15% of the time at most: something else took",
        );
    }

    #[test]
    fn a_worker_without_a_moment_to_spare_is_invalid() {
        let busy = |phase: u16, cpu_ms: u64, wall_ms: u64| {
            Case::default().judge(|r| {
                // Its ticks are short.
                for _ in 0..100 {
                    r.busy(phase, cpu_ms * MS / 100, wall_ms * MS / 100);
                }
            })
        };
        assert_verdict(&busy(1, 9_500, 10_000), Status::Pass, 0, "");
        let expected = "its busiest worker was busy for 98% of the time, more than 95%";
        assert_verdict(&busy(1, 9_800, 10_000), Status::Invalid, 120, expected);
        assert_verdict(&busy(1, 9_800, 10_000), Status::Invalid, 120, "a machine with more cores");
        assert_verdict(&busy(1, 999, 999), Status::Pass, 0, "");
        let warm_up = busy(0, 9_800, 10_000);
        assert_verdict(&warm_up, Status::Pass, 0, "");
        assert!(warm_up.findings[0].text.contains("hardly a moment to spare"), "{:?}", warm_up.findings);
    }

    #[test]
    fn what_the_machine_lacked_is_invalid() {
        let case = Case {
            environment: vec!["the load generator's machine ran short: EMFILE".to_owned()],
            ..Case::default()
        };
        assert_verdict(&case.judge(|_| ()), Status::Invalid, 120, "ran short: EMFILE");
    }

    #[test]
    fn validity_can_be_widened() {
        let validity = Validity {
            lag_p99: Duration::from_secs(1),
            lag_share: 0.5,
            late_after: Duration::from_secs(1),
            late_share: 0.5,
            busy_share: 1.0,
            heartbeat_p999: Duration::from_secs(1),
        };
        let case = Case { validity, ..Case::default() };
        let record = |r: &mut Recorder| {
            messages(r, STEADY, 1_000, 900, 950);
            r.heartbeat(1, 900 * MS);
            r.busy(1, 5_000 * MS, 5_000 * MS);
        };
        assert_verdict(&case.judge(record), Status::Pass, 0, "");
        assert_verdict(&Case::default().judge(record), Status::Invalid, 120, "");
    }

    #[test]
    fn an_interrupted_run_keeps_its_verdict_and_exits_105() {
        let case = Case { complete: false, thresholds: vec![latency(None, 5)], ..Case::default() };
        let judged = case.judge(|r| messages(r, STEADY, 1_000, 1, 30));
        assert_verdict(&judged, Status::Fail, 105, "interrupted");
        assert_verdict(&judged, Status::Fail, 105, "p(99) < 5ms: 30.0 ms");
    }

    #[test]
    fn exit_codes_have_an_order() {
        for (status, complete, code) in [
            (Status::Pass, true, 0),
            (Status::Fail, true, 99),
            (Status::Invalid, true, 120),
            (Status::Pass, false, 105),
            (Status::Invalid, false, 105),
        ] {
            assert_eq!(exit_code(status, complete), code, "{status:?} {complete}");
        }
        let order = [2, 104, 1, 105, 120, 99, 0];
        assert_eq!(exit::PRECEDENCE, order);
        for (n, code) in order.into_iter().enumerate() {
            assert_eq!(exit::strongest(&order[n..]), code);
        }
        assert_eq!(exit::strongest(&[]), 0);
    }

    #[test]
    fn findings_of_the_measurement_come_along() {
        let judged = Case::default().judge(|r| r.error("connack_5", Culprit::Peer, 0, String::new));
        assert!(judged.findings.iter().any(|finding| finding.text.contains("code 5")));
    }
}
