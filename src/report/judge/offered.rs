//! Checks whether the load was offered as planned. If the load generator started operations late, did not send them, or slowed down a
//! closed loop, the target received less load than the scenario specifies. Then a run cannot pass, but it can still fail. Called by
//! `judge`. Pure.

use super::numbers::ratio;
use super::reason::{Code, of_phase};
use crate::measure::{Culprit, Limits, Measurement, Operation, Outcome, Phase, Rules, Totals};
use crate::result::model::Detail;
use crate::units::{Percent, human_count, human_us, plural};

/// Returns the reasons why the load of a phase does not count as offered.
pub(super) fn shortcomings(measurement: &Measurement, rules: &Rules, phase: &Phase) -> Vec<Detail> {
    let mut found = Vec::new();
    for operation in Operation::ALL {
        let totals = measurement.sum(|part| part.operation == operation && part.phase == phase.name);
        if totals.due == 0 {
            continue;
        }
        let part = PhaseOperation { operation, phase, totals: &totals, limits: &rules.validity };
        if part.must_start_in_time(measurement, rules) {
            found.extend(part.late(strictest_us(measurement, rules, phase, operation)));
        }
        found.extend(part.not_sent());
        found.extend(part.closed_loop());
    }
    found.extend(local_failures(measurement, phase));
    found
}

/// Returns the lowest latency limit of the thresholds that cover this operation in this phase.
fn strictest_us(
    measurement: &Measurement,
    rules: &Rules,
    phase: &Phase,
    operation: Operation,
) -> Option<u64> {
    let reads = rules
        .thresholds
        .iter()
        .filter(|rule| rule.metric == operation && rule.covers(measurement, &phase.name));
    reads.filter_map(|rule| rule.test.latency_limit_us()).min()
}

/// One operation in one phase.
struct PhaseOperation<'a> {
    operation: Operation,
    phase: &'a Phase,
    totals: &'a Totals,
    limits: &'a Limits,
}

impl PhaseOperation<'_> {
    /// Returns true if late starts of this operation reduce the offered load. Late connection attempts count only if a threshold
    /// tests their latency, because a plan may let a whole fleet connect at the same time.
    fn must_start_in_time(&self, measurement: &Measurement, rules: &Rules) -> bool {
        use Operation::{Connect, Method, Renewal, ServiceC2d, ServiceDesired, ServiceMethod};
        let is_read = || {
            rules.thresholds.iter().any(|rule| {
                rule.metric.is_connecting()
                    && rule.test.latency_limit_us().is_some()
                    && rule.covers(measurement, &self.phase.name)
            })
        };
        match self.operation {
            Method | ServiceMethod | ServiceDesired | ServiceC2d => true,
            Connect | Renewal => is_read(),
            operation => operation.is_message(),
        }
    }

    /// Returns a reason if too large a share of the operations started too late.
    fn late(&self, strictest_us: Option<u64>) -> Option<Detail> {
        let after_us = self.limits.late_after_us.min(strictest_us.unwrap_or(u64::MAX));
        let (late, started) = (self.totals.lag.count_above(after_us), self.totals.lag.count());
        let share = ratio(late, started);
        (share > self.limits.late_share).then(|| {
            let text = format!(
                "Phase {}: the load generator started {} of {} {} operations ({}) more than {} late; the limit is {}. \
                 The largest lag was {}",
                self.phase.name,
                human_count(late),
                human_count(started),
                self.operation,
                rounded(share),
                human_us(after_us),
                Percent::from_fraction(self.limits.late_share),
                human_us(self.totals.lag.max().unwrap_or(0)),
            );
            of_phase(Code::LateStart, &self.phase.name, text)
        })
    }

    /// Returns a reason if the load generator left too large a share of the messages unsent. Messages that the target held back do
    /// not count.
    fn not_sent(&self) -> Option<Detail> {
        let excused = &self.totals.excused;
        let not_sent = excused[Outcome::Expired] + excused[Outcome::Offline];
        let sent = 1.0 - ratio(not_sent, self.totals.due);
        (sent < self.limits.sent_share).then(|| {
            let text = format!(
                "Phase {}: the load generator failed to send {} of the {} {} operations that were due ({}; the limit is {})",
                self.phase.name,
                human_count(not_sent),
                human_count(self.totals.due),
                self.operation,
                rounded(1.0 - sent),
                rounded(1.0 - self.limits.sent_share),
            );
            of_phase(Code::NotSent, &self.phase.name, text)
        })
    }

    /// Returns a reason if the load generator's own delay slowed down a closed loop too much.
    #[expect(clippy::cast_precision_loss, reason = "sums of microseconds stay far below 2^53")]
    fn closed_loop(&self) -> Option<Detail> {
        if !self.totals.closed_loop {
            return None;
        }
        let responses_us = self.totals.response.mean().unwrap_or(0.0) * self.totals.response.count() as f64;
        let cycles_us = responses_us + self.totals.think_sum_us as f64;
        let share = if cycles_us > 0.0 { self.totals.own_delay_sum_us as f64 / cycles_us } else { 0.0 };
        (share > self.limits.closed_loop_share).then(|| {
            let text = format!(
                "Phase {}: the load generator's own delay was {} of the response and think time in the closed loop {}; the limit is {}",
                self.phase.name,
                rounded(share),
                self.operation,
                Percent::from_fraction(self.limits.closed_loop_share),
            );
            of_phase(Code::ClosedLoopDelayed, &self.phase.name, text)
        })
    }
}

/// Returns a reason if operations failed on this machine, for example because it ran out of descriptors.
fn local_failures(measurement: &Measurement, phase: &Phase) -> Option<Detail> {
    let health = measurement.health.iter().filter(|health| health.phase == phase.name);
    let short: u64 = health.map(|health| health.environment_errors).sum();
    (short > 0).then(|| {
        let ours = measurement.errors.iter().filter(|error| error.culprit == Culprit::Generator);
        let first = ours.max_by_key(|error| error.count);
        let example =
            first.map_or_else(String::new, |error| format!(" ({}, e.g. {})", error.class, error.example));
        let text = format!(
            "Phase {}: {} failed on this machine{example}",
            phase.name,
            plural(short, "operation", "operations")
        );
        of_phase(Code::MachineShort, &phase.name, text)
    })
}

/// Rounds a share to a hundredth of a percent.
fn rounded(share: f64) -> Percent {
    Percent::from_fraction((share * 10_000.0).round() / 10_000.0)
}
