//! Judges a run: computes the verdict, reasons, threshold results and findings as a pure function of the measurement and the rules.
//! `app` calls [`judge`] at the end of a run and [`judge_again`] for a result file. Independent of sockets and workers.
//!
//! Each observed value is an interval between the measured value and the value without the delays that the load generator may have
//! added. If the whole interval of a threshold misses the limit, the run fails. Otherwise, an undecided threshold or a load that was
//! not offered as planned makes the measurement invalid.
//!
//! [`threshold`] evaluates one threshold, [`offered`] checks the load, and [`failure_cause`] and [`advice`] explain the verdict.

mod advice;
mod bounds;
mod early;
mod failure_cause;
mod numbers;
mod offered;
mod reason;
mod recovery;
mod threshold;
mod trial;
mod unattributed;
mod undecided;

pub(super) use bounds::RESOLUTION_US;
pub use early::failed_early;
pub(super) use reason::Code;
pub use trial::{PhaseJudgment, judge_phase, phase_has_failed};

use super::exit;
use super::findings::{
    TargetFacts, cleartext_password, counts_disagree, findings, limits, other_thresholds, recovered,
};
use crate::measure::{
    Compare, Culprit, Measurement, Operation, Outcome, Phase, Rule, Rules, Test, Totals, threshold_label,
};
use crate::plan::{in_json, is_json};
use crate::result::model::{
    Detail, Emulator, EndedBy, Finding, LimitUse, Recovery, RunResult, Severity, Status, ThresholdResult,
    ThresholdStatus, Verdict,
};
use failure_cause::failure_cause;
use offered::shortcomings;
use reason::reason;
use recovery::RecoveryTest;
use threshold::{Observation, evaluate, sum_covered};
use unattributed::UnattributedDelay;
use undecided::{LocalCause, UndecidedThreshold};

/// The run to judge, and the rules.
#[derive(Clone, Copy, Debug)]
pub struct JudgeInput<'a> {
    /// Measurement of the run.
    pub measurement: &'a Measurement,
    /// Thresholds and validity limits.
    pub rules: &'a Rules,
    /// Reason why the run ended.
    pub ended_by: EndedBy,
    /// How the result was recovered from a journal, if it was.
    pub recovery: Option<&'a Recovery>,
    /// Counts of the built-in hub, if it was the target.
    pub emulator: Option<&'a Emulator>,
    /// Facts about the target.
    pub target: TargetFacts,
    /// Use of the limits of the hub's tier.
    pub limits: &'a [LimitUse],
}

/// The outcome of judging a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgment {
    /// Status, exit code and reasons.
    pub verdict: Verdict,
    /// All thresholds, with the implicit ones last.
    pub thresholds: Vec<ThresholdResult>,
    /// Findings, warnings first.
    pub findings: Vec<Finding>,
}

/// Judges a run from its result file. Returns `None` for files from earlier versions, which do not contain the rules.
#[must_use]
pub fn judge_again(result: &RunResult) -> Option<Judgment> {
    let mut judgment = judge(&JudgeInput {
        measurement: &result.measurement,
        rules: result.rules.as_ref()?,
        ended_by: result.run.ended_by?,
        recovery: result.run.recovery.as_ref(),
        emulator: result.emulator.as_ref(),
        target: TargetFacts::of(result),
        limits: &result.limits,
    });
    let scenario = &result.run.scenario;
    if is_json(&scenario.file, &scenario.text) {
        let details = judgment.verdict.details.iter_mut().map(|detail| &mut detail.text);
        let findings = judgment.findings.iter_mut().map(|finding| &mut finding.text);
        for text in details.chain(&mut judgment.verdict.reasons).chain(findings) {
            *text = in_json(text);
        }
    }
    Some(judgment)
}

/// Judges a run.
#[must_use]
pub fn judge(input: &JudgeInput<'_>) -> Judgment {
    let thresholds = input.thresholds();
    let (shortcomings, warnings) = input.offered();
    let with_status = |status: ThresholdStatus| {
        thresholds.iter().filter(move |threshold| threshold.result.status == Some(status))
    };
    let mut failed: Vec<Detail> = with_status(ThresholdStatus::Failed)
        .map(|Evaluated { result, .. }| threshold_detail(Code::ThresholdFailed, result, failed_text(result)))
        .collect();
    failed.extend(with_status(ThresholdStatus::InsufficientSamples).map(|Evaluated { result, .. }| {
        threshold_detail(Code::InsufficientSamples, result, failed_text(result))
    }));
    let (mut undecided, mut causes): (Vec<Detail>, Vec<LocalCause>) = Default::default();
    for threshold in with_status(ThresholdStatus::Undecided) {
        let (text, because) = input.undecided(threshold);
        undecided.push(threshold_detail(Code::ThresholdUndecided, &threshold.result, text));
        causes.extend(because);
    }
    let breakdowns: Vec<Detail> =
        input.measurement.breakdowns.iter().map(|text| reason(Code::Breakdown, text)).collect();

    let (status, mut details): (Status, Vec<Detail>) = if !breakdowns.is_empty() {
        (Status::Invalid, breakdowns.into_iter().chain(failed).collect())
    } else if input.is_interrupted_before_the_load() {
        // Thresholds would only report missing data.
        (Status::Invalid, Vec::new())
    } else if !failed.is_empty() || input.is_unreachable() {
        let cause = failure_cause(input.measurement);
        (Status::Fail, cause.into_iter().chain(failed).chain(undecided).chain(shortcomings).collect())
    } else if !undecided.is_empty() || !shortcomings.is_empty() || input.ended_by == EndedBy::Unreachable {
        let advice = input.advice(causes, &shortcomings);
        (Status::Invalid, undecided.into_iter().chain(shortcomings).chain(advice).collect())
    } else if input.rules.thresholds.is_empty() {
        let text = "No thresholds are defined: the verdict only checks that every fleet connected";
        (Status::Pass, vec![reason(Code::NoThresholds, text)])
    } else {
        // The implicit thresholds are not among those that the user counts.
        let count = input.rules.thresholds.len();
        let text = format!("All thresholds passed ({count} of {count}), and every fleet connected");
        (Status::Pass, vec![reason(Code::Passed, text)])
    };
    input.add_end_reason(&mut details);

    let mut findings = warnings;
    let reached_limit = input.limits.iter().any(|row| row.first_us.is_some());
    findings.extend(limits(input.measurement, input.limits, input.target.size));
    findings.extend(self::findings(input.measurement, TargetFacts { reached_limit, ..input.target }));
    findings.extend(input.recovery.map(recovered));
    findings.extend(cleartext_password(input.target.cleartext_password));
    findings.extend(input.rules.thresholds_from.as_deref().map(other_thresholds));
    findings.extend(input.emulator.and_then(|hub| counts_disagree(hub, input.measurement)));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let verdict = Verdict {
        status,
        exit_code: exit::of_run(status, input.is_partial()),
        reasons: details.iter().map(|detail| detail.text.clone()).collect(),
        details,
    };
    Judgment {
        verdict,
        thresholds: thresholds.into_iter().map(|threshold| threshold.result).collect(),
        findings,
    }
}

/// An evaluated threshold, with the data for its reason.
struct Evaluated {
    result: ThresholdResult,
    rule: Rule,
    observation: Observation,
    /// Sum of the covered operations.
    covered: Totals,
    unattributed: UnattributedDelay,
    /// Names of the covered phases.
    phases: Vec<String>,
}

/// Returns the label of a threshold: `telemetry{phase:steady} p(99) < 500ms`
fn label(threshold: &ThresholdResult) -> String {
    let ThresholdResult { metric, expression, phase, fleet, without_faults, .. } = threshold;
    let label = threshold_label(metric, phase.as_deref(), fleet.as_deref(), *without_faults);
    format!("{label} {expression}")
}

/// Describes a failed threshold: `telemetry{phase:steady} p(99) < 500ms: 612 ms`.
fn failed_text(threshold: &ThresholdResult) -> String {
    format!("{}: {}", label(threshold), threshold.observed_text)
}

fn threshold_detail(code: Code, threshold: &ThresholdResult, text: String) -> Detail {
    Detail { phase: threshold.phase.clone(), fleet: threshold.fleet.clone(), ..reason(code, text) }
}

/// The expression of the implicit thresholds on connections, one for each fleet.
pub(super) const IMPLICIT_EXPRESSION: &str = "count(ok) >= 1";

impl JudgeInput<'_> {
    /// Evaluates all thresholds. The implicit ones come last: every fleet must connect at least once, in any phase.
    fn thresholds(&self) -> Vec<Evaluated> {
        let written = self
            .rules
            .thresholds
            .iter()
            .map(|rule| self.threshold(rule, |phase| rule.covers(self.measurement, phase)));
        let implicit = self.measurement.fleets.iter().map(|fleet| {
            let rule = Rule {
                metric: Operation::Connect,
                phase: None,
                fleet: Some(fleet.name.clone()),
                without_faults: false,
                expression: IMPLICIT_EXPRESSION.to_owned(),
                test: Test::Count { outcome: Outcome::Ok, compare: Compare::GreaterOrEqual, limit: 1 },
                abort_from_us: None,
                line: None,
            };
            self.threshold(&rule, |_| true)
        });
        written.chain(implicit).collect()
    }

    /// Evaluates a threshold on the totals of the operations that it covers.
    fn threshold(&self, rule: &Rule, covers: impl Fn(&str) -> bool) -> Evaluated {
        let covered = sum_covered(self.measurement, rule, &covers);
        let unattributed = UnattributedDelay::of(self.measurement, self.rules, &covers);
        let phases = self.measurement.phases.iter().map(|phase| phase.name.clone());
        let phases = phases.filter(|name| covers(name)).collect();
        let observation = match rule.test {
            Test::Recovery { share, compare, limit_us } => {
                let clocks_diverged = unattributed.clocks_diverged;
                // After an interruption, a share that was not reached may still have been reached in time.
                let is_over = !self.is_partial();
                let test = RecoveryTest { share, compare, limit_us, is_over, clocks_diverged };
                test.evaluate(self.measurement, rule, &covers)
            }
            test => evaluate(&test, &covered, &unattributed),
        };
        let result = ThresholdResult {
            metric: rule.metric.name().to_owned(),
            expression: rule.expression.clone(),
            phase: rule.phase.clone(),
            fleet: rule.fleet.clone(),
            without_faults: rule.without_faults,
            limit: observation.limit,
            unit: observation.unit.to_owned(),
            observed: observation.observed,
            observed_best: observation.best,
            observed_worst: observation.worst,
            observed_text: observation.text.clone(),
            margin: observation.margin,
            samples: observation.samples,
            passed: observation.status == ThresholdStatus::Passed,
            status: Some(observation.status),
            test: Some(rule.test),
            line: rule.line,
        };
        Evaluated { result, rule: rule.clone(), observation, covered, unattributed, phases }
    }

    /// Returns why a threshold is undecided: the reason in words, and the causes.
    fn undecided(&self, threshold: &Evaluated) -> (String, Vec<LocalCause>) {
        if matches!(threshold.rule.test, Test::Recovery { .. }) {
            return recovery::undecided(&label(&threshold.result), &threshold.observation);
        }
        let undecided = UndecidedThreshold {
            measurement: self.measurement,
            rules: self.rules,
            label: label(&threshold.result),
            operation: threshold.rule.metric,
            test: threshold.rule.test,
            observation: &threshold.observation,
            covered: &threshold.covered,
            unattributed: &threshold.unattributed,
            phases: &threshold.phases,
        };
        undecided.reason()
    }

    /// Returns true if the load of a phase affects the verdict, which is the case for all phases except warm-ups without a latency
    /// threshold.
    fn is_evaluated(&self, phase: &Phase) -> bool {
        let names =
            |rule: &Rule| rule.phase.as_ref() == Some(&phase.name) && rule.test.latency_limit_us().is_some();
        !phase.warmup || self.rules.thresholds.iter().any(names)
    }

    /// Returns the shortfalls in the offered load: reasons for evaluated phases, and findings for the others.
    fn offered(&self) -> (Vec<Detail>, Vec<Finding>) {
        let (mut blocking, mut warnings) = (Vec::new(), Vec::new());
        for phase in &self.measurement.phases {
            let found = shortcomings(self.measurement, self.rules, phase);
            if self.is_evaluated(phase) {
                blocking.extend(found);
                continue;
            }
            warnings.extend(found.into_iter().map(|detail| Finding {
                severity: Severity::Warning,
                text: detail.text,
                evidence: "no latency threshold covers this phase".to_owned(),
            }));
        }
        (blocking, warnings)
    }

    /// Returns what to do about an invalid run.
    fn advice(&self, mut causes: Vec<LocalCause>, shortcomings: &[Detail]) -> Option<Detail> {
        causes.extend(advice::shortcoming_causes(self.measurement, shortcomings));
        if causes.is_empty() {
            // Every device was offline, but the target may not be the cause.
            causes.extend(advice::local_errors(self.measurement));
        }
        if causes.is_empty() {
            causes.push(LocalCause::Delay);
        }
        let is_evaluated = |name: &str| {
            self.measurement.phases.iter().any(|phase| phase.name == name && self.is_evaluated(phase))
        };
        advice::advice(self.measurement, &causes, is_evaluated)
    }

    /// Returns true if the run was interrupted, or if its result was recovered from a journal.
    fn is_partial(&self) -> bool {
        matches!(self.ended_by, EndedBy::Interrupt | EndedBy::Unknown)
    }

    /// Returns true if the run was interrupted before the first connection attempt.
    fn is_interrupted_before_the_load(&self) -> bool {
        self.is_partial() && self.measurement.of(Operation::Connect).due == 0
    }

    /// Adds the reason why the run ended before the end of its plan.
    fn add_end_reason(&self, details: &mut Vec<Detail>) {
        let (code, text) = match self.ended_by {
            EndedBy::Plan | EndedBy::Breakdown => return,
            EndedBy::Unknown => (
                Code::Recovered,
                "The run wrote no result. The verdict covers only the seconds that were recovered from its journal",
            ),
            EndedBy::Interrupt if self.is_interrupted_before_the_load() => {
                let text =
                    "The run was interrupted before the first connection attempt: nothing was measured";
                (Code::Interrupted, text)
            }
            EndedBy::Interrupt => (
                Code::Interrupted,
                "The run was interrupted. The verdict covers only what was measured until then",
            ),
            EndedBy::Abort => (Code::Aborted, "The run ended early: a threshold with abort = true failed"),
            EndedBy::Unreachable => (
                Code::Unreachable,
                "The run ended early: every device was offline for longer than abort_when_unreachable",
            ),
        };
        // If there is no other cause, the unreachable target is the cause.
        let is_cause = self.ended_by == EndedBy::Unreachable
            && details.iter().all(|detail| detail.code != Code::HubUnreachable.name());
        details.insert(if is_cause { 0 } else { details.len() }, reason(code, text));
    }

    /// Returns true if the target was unreachable: every device was offline for too long, and neither this machine nor a stall of the
    /// built-in hub explains why.
    fn is_unreachable(&self) -> bool {
        self.ended_by == EndedBy::Unreachable
            && self.measurement.errors.iter().any(|error| error.culprit != Culprit::Generator)
            && !UnattributedDelay::of(self.measurement, self.rules, |_| true).may_cause_failures
    }
}

#[cfg(test)]
mod tests;
