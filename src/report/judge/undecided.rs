//! The reason why a threshold is undecided: the interval, and the causes on this machine. Called by `judge`. Pure.

use super::threshold::Observation;
use super::unattributed::UnattributedDelay;
use crate::measure::{Culprit, Measurement, Operation, Rules, Source, Test, Totals};
use crate::units::{human_us, plural};

/// The reason mentions a delay if it is at least this fraction (1/n) of the largest delay. If there are other causes, the delay must
/// instead be at least this fraction of the limit.
const CAUSE_DIVISOR: u64 = 10;

/// A cause on this machine that may have changed the outcome of a threshold. Determines the advice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LocalCause {
    /// Local errors of this class.
    Error(String),
    /// A step of the wall clock.
    Clock,
    /// A delay of the load generator, the service client or the built-in hub.
    Delay,
    /// No delay or error: the value differs from the limit by less than the load generator's resolution.
    Resolution,
    /// A recovery differs from the limit by less than the length of a bin.
    Bin,
}

/// An undecided threshold, with the operations that it covers.
pub(super) struct UndecidedThreshold<'a> {
    pub(super) measurement: &'a Measurement,
    pub(super) rules: &'a Rules,
    /// `telemetry{phase:steady} p(99) < 500ms`
    pub(super) label: String,
    pub(super) operation: Operation,
    pub(super) test: Test,
    pub(super) observation: &'a Observation,
    pub(super) covered: &'a Totals,
    pub(super) unattributed: &'a UnattributedDelay,
    /// Names of the covered phases.
    pub(super) phases: &'a [String],
}

impl UndecidedThreshold<'_> {
    /// Returns the reason in words, and the causes.
    pub(super) fn reason(&self) -> (String, Vec<LocalCause>) {
        let label = &self.label;
        if self.observation.interval_text.is_empty() {
            let resolution = human_us(super::bounds::RESOLUTION_US);
            let text = &self.observation.text;
            let reason = format!(
                "{label} is undecided: {text} differs from the limit by less than the load generator's resolution ({resolution})"
            );
            return (reason, vec![LocalCause::Resolution]);
        }
        let (mut causes, mut texts) = (Vec::new(), Vec::new());
        if let Some((cause, text)) = self.excused() {
            causes.extend(cause);
            texts.push(text);
        }
        if let Some(text) = self.clock() {
            causes.push(LocalCause::Clock);
            texts.push(text.to_owned());
        }
        let delays = self.delays(!texts.is_empty());
        if !delays.is_empty() {
            causes.push(LocalCause::Delay);
            texts.extend(delays);
        }
        if texts.is_empty() {
            causes.push(LocalCause::Delay);
            texts.push("this machine was busy".to_owned());
        }
        let interval = &self.observation.interval_text;
        (format!("{label} is undecided: {interval}, because {}", texts.join(" and ")), causes)
    }

    /// Returns the causes of excused failures, in words.
    fn excused(&self) -> Option<(Vec<LocalCause>, String)> {
        let excused = self.covered.excused.sum();
        if excused == 0 {
            return None;
        }
        let failures = plural(excused, "failure", "failures");
        let errors = self.measurement.errors.iter().filter(|error| error.culprit == Culprit::Generator);
        let classes: Vec<&str> =
            errors.map(|error| error.class.as_str()).filter(|class| self.applies(class)).collect();
        if classes.is_empty() {
            let text = format!("the load generator may have caused {failures}");
            return Some((vec![LocalCause::Delay], text));
        }
        let text = format!("this machine may have caused {failures} ({})", classes.join(", "));
        Some((classes.into_iter().map(|class| LocalCause::Error(class.to_owned())).collect(), text))
    }

    /// Returns true if errors of this class can affect the operation. Only the service client makes calls, and it does nothing else.
    fn applies(&self, class: &str) -> bool {
        match class {
            "encode" => true,
            "call_payload" => self.is_service_call(),
            _ => !self.is_service_call(),
        }
    }

    fn is_service_call(&self) -> bool {
        use Operation::{ServiceC2d, ServiceDesired, ServiceMethod};
        matches!(self.operation, ServiceC2d | ServiceDesired | ServiceMethod)
    }

    /// Returns the clock problem that may have changed the outcome of the threshold, in words.
    fn clock(&self) -> Option<&'static str> {
        match (self.unattributed.clocks_diverged, self.unattributed.clock_may_cause_failures) {
            (true, _) => Some("this machine's clock changed"),
            (_, true) => Some("this machine's clock was behind until it was set forward"),
            _ => None,
        }
    }

    /// Returns the delays that may have changed the outcome of the threshold, in words. Leaves out delays that are small compared with
    /// the largest one. Counts and rates depend on delays only in closed loops.
    fn delays(&self, has_other_causes: bool) -> Vec<String> {
        let limit_us = self.test.latency_limit_us();
        let depends = limit_us.is_some() || self.covered.closed_loop;
        let stalled_us = |is_wanted: fn(Source) -> bool| -> u64 {
            let rest = self.measurement.health.iter().filter(|health| self.phases.contains(&health.phase));
            rest.filter(|health| is_wanted(health.source)).map(|health| health.stall_us).sum()
        };
        let (delayed, longest_us) = (self.covered.delayed.count(), self.covered.own_delay_max_us);
        let mut delays: Vec<(u64, String)> = Vec::new();
        if depends && delayed > 0 {
            let operations = plural(delayed, "operation", "operations");
            let longest = human_us(longest_us);
            delays.push((longest_us, format!("the load generator delayed {operations} by up to {longest}")));
        }
        let mut stalled = |is_relevant: bool, us: u64, name: &str| {
            if is_relevant && us > 0 {
                delays.push((us, format!("{name} stalled for {} in total", human_us(us))));
            }
        };
        let of_hub_us = stalled_us(|source| matches!(source, Source::Emulator(_)));
        stalled(depends || self.unattributed.hub_may_cause_failures, of_hub_us, "the built-in hub");
        let of_service_us = stalled_us(|source| matches!(source, Source::Service));
        stalled(depends && self.is_service_call(), of_service_us, "the service client");
        delays.sort_by_key(|(us, _)| std::cmp::Reverse(*us));
        let scale_us = match has_other_causes {
            true => limit_us.unwrap_or(self.rules.shortest_timeout_us),
            false => delays.first().map_or(0, |(us, _)| *us),
        };
        delays.retain(|(us, _)| *us >= scale_us / CAUSE_DIVISOR);
        delays.into_iter().map(|(_, text)| text).collect()
    }
}
