//! The figures that the faces share: operations merged over fleets and phases by adding histograms and
//! counters, never by averaging percentiles. Called by the faces; it knows nothing of how they look.

use super::ReportError;
use super::latency::Latency;
use crate::measure::{Operation, Outcome};
use crate::result::model::{OperationResult, Phase, Row, RunResult};
use std::collections::BTreeMap;

/// Outcomes and latencies, added up.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub(super) due: u64,
    pub(super) outcomes: BTreeMap<String, u64>,
    pub(super) no_ack: bool,
    pub(super) closed_loop: bool,
    pub(super) response: Latency,
    pub(super) service: Latency,
}

impl Figures {
    fn add(&mut self, part: &OperationResult) -> Result<(), ReportError> {
        self.due += part.due;
        for (outcome, count) in &part.outcomes {
            *self.outcomes.entry(outcome.clone()).or_default() += count;
        }
        self.no_ack |= part.no_ack;
        self.closed_loop |= part.closed_loop;
        self.response.add(&part.response)?;
        self.service.add(&part.service)
    }

    fn add_figures(&mut self, other: &Figures) -> Result<(), ReportError> {
        self.due += other.due;
        for (outcome, count) in &other.outcomes {
            *self.outcomes.entry(outcome.clone()).or_default() += count;
        }
        self.no_ack |= other.no_ack;
        self.closed_loop |= other.closed_loop;
        self.response.merge(&other.response)?;
        self.service.merge(&other.service)
    }

    pub(super) fn ok(&self) -> u64 {
        self.outcomes.get(Outcome::Ok.name()).copied().unwrap_or(0)
    }

    /// Every outcome but `ok`, the most frequent first.
    pub(super) fn not_ok(&self) -> Vec<(&str, u64)> {
        let mut list: Vec<(&str, u64)> = self
            .outcomes
            .iter()
            .filter(|(name, count)| *name != Outcome::Ok.name() && **count > 0)
            .map(|(name, count)| (name.as_str(), *count))
            .collect();
        list.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
        list
    }
}

/// A part of an operation: one phase of it, or one fleet outside warm-up.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) warmup: bool,
    pub(super) figures: Figures,
}

/// One operation over the whole run.
#[derive(Clone, Debug)]
pub(super) struct OperationSummary {
    pub(super) name: String,
    /// In the order of the run; only those in which it was due.
    pub(super) phases: Vec<Part>,
    /// Outside warm-up, in the order of the scenario; only those for which it was due.
    pub(super) fleets: Vec<Part>,
    /// Outside warm-up: what thresholds without a phase read.
    pub(super) total: Figures,
    /// In warm-up.
    pub(super) warmup: Figures,
    /// Warm-up included.
    pub(super) all: Figures,
}

impl OperationSummary {
    pub(super) fn is_message(&self) -> bool {
        Operation::from_name(&self.name).is_some_and(Operation::is_message)
    }

    fn is_request(&self) -> bool {
        Operation::from_name(&self.name).is_some_and(Operation::is_request)
    }

    /// Where [`headline`](Self::headline) comes from, in words.
    pub(super) fn scope(&self) -> &'static str {
        if self.total.due > 0 { "outside warm-up" } else { "in warm-up" }
    }

    /// The total outside warm-up and, where the operation was due in warm-up only, that; with its label.
    pub(super) fn headline(&self) -> (&Figures, &'static str) {
        match (self.total.due, self.warmup.due) {
            (0, _) => (&self.all, "warm-up"),
            (_, 0) => (&self.total, "total"),
            // The warm-up has a row of its own.
            _ => (&self.total, "counted"),
        }
    }
}

/// What the faces show besides the result itself.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    /// In the order in which reports list them.
    pub(super) operations: Vec<OperationSummary>,
    /// Messages outside warm-up, or all of them where there is nothing but warm-up.
    pub(super) messages: Figures,
    /// How long `messages` were due, in seconds.
    pub(super) seconds: f64,
    /// How many messages were acked in that time, whenever they were due.
    acked: f64,
    /// True when `messages` are all of the run for want of anything outside warm-up.
    pub(super) warmup_only: bool,
    /// The name of what the scenario sets a limit to the latency of first, if the run can be about that.
    asked: Option<String>,
    /// Devices of all fleets.
    pub(super) devices: u64,
    /// The most that were online at once: from the series, which adds the fleets at one instant.
    pub(super) online_peak: u64,
}

impl Summary {
    /// Adds everything up.
    ///
    /// # Errors
    /// A histogram that does not decode.
    pub(super) fn of(result: &RunResult) -> Result<Summary, ReportError> {
        let operations = operations(result)?;
        let mut messages = Figures::default();
        let mut all = Figures::default();
        for operation in operations.iter().filter(|operation| operation.is_message()) {
            messages.add_figures(&operation.total)?;
            all.add_figures(&operation.all)?;
        }
        let counted = result.phases.iter().filter(|phase| !phase.warmup);
        let warmup_only = counted.clone().count() == 0 || (messages.due == 0 && all.due > 0);
        let counted: Vec<&Phase> =
            if warmup_only { result.phases.iter().collect() } else { counted.collect() };
        Ok(Summary {
            operations,
            messages: if warmup_only { all } else { messages },
            seconds: counted.iter().map(|phase| length(phase)).sum(),
            acked: counted.iter().map(|phase| during(result, phase, |row| row.achieved)).sum(),
            warmup_only,
            asked: asked(result),
            devices: result.fleets.iter().map(|fleet| fleet.devices).sum(),
            online_peak: online_peak(result),
        })
    }

    /// The operation that the run is about: what the scenario asks for, or else most of its messages, those without an
    /// answer of their own first, or else its connects.
    pub(super) fn main_operation(&self) -> Option<&OperationSummary> {
        let asked = || self.operations.iter().find(|operation| Some(&operation.name) == self.asked.as_ref());
        let messages = self.operations.iter().filter(|operation| operation.is_message());
        let most = || messages.max_by_key(|operation| (!operation.is_request(), operation.all.due));
        asked().or_else(most).or_else(|| self.operation(Operation::Connect))
    }

    /// That operation, if it was ever due.
    pub(super) fn operation(&self, operation: Operation) -> Option<&OperationSummary> {
        self.operations.iter().find(|summary| summary.name == operation.name())
    }

    /// Messages due per second.
    pub(super) fn offered_rate(&self) -> f64 {
        per_second(self.messages.due, self.seconds)
    }

    /// Messages acked per second, by when that was: what was due before and was late counts when it came.
    pub(super) fn achieved_rate(&self) -> f64 {
        if self.seconds > 0.0 { self.acked / self.seconds } else { 0.0 }
    }
}

/// Only latencies are in `us`.
fn asked(result: &RunResult) -> Option<String> {
    let mut limits = result.thresholds.iter().filter(|threshold| threshold.unit == "us");
    let asked = limits.find(|threshold| {
        Operation::from_name(&threshold.metric).is_some_and(|operation| {
            operation.is_message()
                || matches!(operation, Operation::Deliver | Operation::Method | Operation::C2d)
        })
    });
    asked.map(|threshold| threshold.metric.clone())
}

/// The most devices that were online at once, as far as the result knows.
pub(super) fn online_peak(result: &RunResult) -> u64 {
    let seen = result.series.rows.iter().map(|row| row.online).max().unwrap_or(0);
    let highest_fleet = result.fleets.iter().map(|fleet| fleet.connected_peak).max().unwrap_or(0);
    // One fleet's own peak is exact; rows of the series see only their ends.
    if result.fleets.len() == 1 { highest_fleet } else { seen.max(highest_fleet) }
}

/// In seconds.
pub(super) fn length(phase: &Phase) -> f64 {
    std::time::Duration::from_micros(phase.end_us.saturating_sub(phase.start_us)).as_secs_f64()
}

/// What the series counts during a phase. Of an interval that reaches beyond it, its part; the last one ends with the load.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn during(result: &RunResult, phase: &Phase, count: impl Fn(&Row) -> u64) -> f64 {
    let load_end_us = result.phases.iter().map(|phase| phase.end_us).max().unwrap_or(0);
    let parts = result.series.rows.iter().map(|row| {
        let end_us = row.t_us.saturating_add(result.series.interval_us).min(load_end_us);
        let length_us = end_us.saturating_sub(row.t_us).max(1);
        let inside_us = end_us.min(phase.end_us).saturating_sub(row.t_us.max(phase.start_us));
        count(row) as f64 * inside_us as f64 / length_us as f64
    });
    parts.sum()
}

/// `count` over `seconds`; zero over nothing.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

fn operations(result: &RunResult) -> Result<Vec<OperationSummary>, ReportError> {
    let mut names: Vec<&str> = Vec::new();
    for part in result.operations.iter().filter(|part| part.due > 0) {
        if !names.contains(&part.operation.as_str()) {
            names.push(&part.operation);
        }
    }
    // Operations that this version does not know come last, in the file's order.
    let rank =
        |name: &str| Operation::ALL.iter().position(|known| known.name() == name).unwrap_or(usize::MAX);
    names.sort_by_key(|name| rank(name));
    names.into_iter().map(|name| operation(result, name)).collect()
}

fn operation(result: &RunResult, name: &str) -> Result<OperationSummary, ReportError> {
    let mut summary = OperationSummary {
        name: name.to_owned(),
        phases: Vec::new(),
        fleets: Vec::new(),
        total: Figures::default(),
        warmup: Figures::default(),
        all: Figures::default(),
    };
    let parts = || result.operations.iter().filter(|part| part.operation == name && part.due > 0);
    for phase in &result.phases {
        let mut figures = Figures::default();
        for part in parts().filter(|part| part.phase == phase.name) {
            figures.add(part)?;
        }
        if figures.due > 0 {
            summary.all.add_figures(&figures)?;
            let scope = if phase.warmup { &mut summary.warmup } else { &mut summary.total };
            scope.add_figures(&figures)?;
            summary.phases.push(Part { name: phase.name.clone(), warmup: phase.warmup, figures });
        }
    }
    let warmup = |name: &str| result.phases.iter().any(|phase| phase.warmup && phase.name == name);
    for fleet in &result.fleets {
        let mut figures = Figures::default();
        for part in parts().filter(|part| part.fleet == fleet.name && !warmup(&part.phase)) {
            figures.add(part)?;
        }
        if figures.due > 0 {
            summary.fleets.push(Part { name: fleet.name.clone(), warmup: false, figures });
        }
    }
    Ok(summary)
}
