//! Compares one metric: chooses the statistical method for the number of runs, and estimates the change. Used by `comparison`, which
//! decides over all metrics.

use super::model::{Effect, Method, Outcome};
use super::options::Options;
use super::sample::{Grid, Sample, Value};
use super::stats::{
    ALPHA, Counted, Estimate, Share, block_bootstrap_sd, blocks, difference_of_shares, dispersion, float,
    least_p, mann_whitney, normal_estimate, prediction, ratio_of_counts,
};
use crate::result::metric::{Aggregate, MetricSpec, MetricUnit};
use crate::units::human_count;

/// From this many base results on, their spread is the noise between runs.
pub(super) const FOLDER_MIN: usize = 5;
/// From this many new results on, ranks are compared.
const NEW_MIN: usize = 3;

/// A metric before the decision over all metrics.
pub(super) struct Judged {
    pub(super) spec: MetricSpec,
    pub(super) effect: Effect,
    pub(super) base: Option<f64>,
    pub(super) new: Option<f64>,
    /// Tolerance of the estimate: a logarithm for ratios.
    pub(super) tolerance: f64,
    pub(super) method: Method,
    pub(super) estimate: Option<Estimate>,
    /// False if there are too few events for a regression, whichever side they are on. Such a metric costs the others no power.
    pub(super) can_regress: bool,
    /// The outcome, if it needs no estimate.
    pub(super) known: Option<Outcome>,
    pub(super) reasons: Vec<String>,
    pub(super) base_samples: u64,
    pub(super) new_samples: u64,
}

/// Compares a metric of runs of the same load. `tests` is the number of compared metrics, and `stream` selects the random numbers.
pub(super) fn judge(
    spec: &MetricSpec,
    base: &[Sample],
    new: &[Sample],
    options: &Options,
    (tests, stream): (usize, u64),
) -> Judged {
    let aggregate = spec.aggregate;
    let is_share = matches!(aggregate, Aggregate::Rate(_));
    let samples = |side: &[Sample]| side.iter().map(|sample| sample.samples(aggregate)).sum();
    let mut judged = Judged {
        spec: spec.clone(),
        effect: if is_share { Effect::Difference } else { Effect::Ratio },
        base: None,
        new: None,
        tolerance: if is_share { options.tolerance(spec) } else { options.tolerance(spec).ln_1p() },
        method: Method::None,
        estimate: None,
        can_regress: true,
        known: None,
        reasons: Vec::new(),
        base_samples: samples(base),
        new_samples: samples(new),
    };
    let [base_values, new_values] =
        [base, new].map(|side| side.iter().map(|sample| sample.value(aggregate)).collect::<Vec<_>>());
    judged.base = mean(aggregate, &base_values);
    judged.new = mean(aggregate, &new_values);
    let is_latency = aggregate.unit() == MetricUnit::Us;
    if let (true, Some(base)) = (is_latency, judged.base) {
        judged.tolerance = judged.tolerance.max((float(options.floor_us) / base).ln_1p());
    }
    if let Some(reason) = too_few(aggregate, base, new) {
        return judged.inconclusive(reason);
    }
    let beyond = |values: &[Value]| values.contains(&Value::Beyond);
    match (beyond(&base_values), beyond(&new_values)) {
        (true, true) => return judged.inconclusive("the value is beyond its range on both sides".to_owned()),
        (false, true) => {
            judged.known = Some(Outcome::Regressed);
            judged.reasons.push(
                "the new value is beyond its range, because of failures or of clipped latencies".to_owned(),
            );
            return judged;
        }
        (true, false) => {
            judged.known = Some(Outcome::SameOrBetter);
            judged.reasons.push("only the base value is beyond its range".to_owned());
            return judged;
        }
        (false, false) => {}
    }
    match aggregate {
        Aggregate::Rate(outcome) => judged.shares(outcome, base, new),
        Aggregate::Count(outcome) => judged.counts(outcome, base, new),
        _ => judged.ratios((&base_values, &new_values), (base, new), options, (tests, stream)),
    }
}

/// Returns the mean of the values of one side: geometric for ratios.
fn mean(aggregate: Aggregate, values: &[Value]) -> Option<f64> {
    let values: Option<Vec<f64>> = values
        .iter()
        .map(|value| match value {
            Value::At(value) => Some(*value),
            _ => None,
        })
        .collect();
    let values = values.filter(|values| !values.is_empty())?;
    let n = float(values.len() as u64);
    Some(match aggregate {
        Aggregate::Rate(_) | Aggregate::Count(_) => values.iter().sum::<f64>() / n,
        _ => (values.iter().map(|value| value.ln()).sum::<f64>() / n).exp(),
    })
}

/// Returns the reason, if a run has too few samples.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the quantile is at most 1 - 2^-53"
)]
fn too_few(aggregate: Aggregate, base: &[Sample], new: &[Sample]) -> Option<String> {
    let needed = match aggregate {
        // The small term keeps 10 / (1 - 0.99) at 1,000.
        Aggregate::Percentile(quantile) => (10.0 / (1.0 - quantile) - 1e-6).ceil() as u64,
        Aggregate::Mean => 20,
        _ => 1,
    };
    let fewest = |side: &[Sample]| side.iter().map(|sample| sample.samples(aggregate)).min().unwrap_or(0);
    [("base", fewest(base)), ("new", fewest(new))].into_iter().find(|(_, samples)| *samples < needed).map(
        |(side, samples)| {
            let (samples, needed) = (human_count(samples), human_count(needed));
            format!("not enough data: {samples} of {needed} samples in a {side} result. Extend the scenario's phases")
        },
    )
}

impl Judged {
    fn inconclusive(mut self, reason: String) -> Judged {
        self.known = Some(Outcome::Inconclusive);
        self.reasons.push(reason);
        self
    }

    /// Compares failure shares. Several runs of a side are added up; their dispersion widens the interval.
    fn shares(mut self, outcome: crate::measure::Outcome, base: &[Sample], new: &[Sample]) -> Judged {
        let [(base_bad, base_due), (new_bad, new_due)] = [base, new].map(|side| events(side, outcome));
        let [base_dispersion, new_dispersion] = self.dispersions(outcome, base, new);
        let share =
            |events: u64, of: u64, dispersion| Share { events: float(events), of: float(of), dispersion };
        // For `rate(ok)`, the events are the failures, so more of them is worse. For other outcomes too.
        let estimate = difference_of_shares(
            share(base_bad, base_due, base_dispersion),
            share(new_bad, new_due, new_dispersion),
            self.tolerance,
        );
        let worst = difference_of_shares(
            share(0, base_due, 1.0),
            share((base_bad + new_bad).min(new_due), new_due, 1.0),
            self.tolerance,
        );
        self.method = Method::ShareDifference;
        self.can_regress = worst.p <= ALPHA;
        self.estimate = Some(estimate);
        self
    }

    /// Compares counts, relative to the due operations.
    fn counts(mut self, outcome: crate::measure::Outcome, base: &[Sample], new: &[Sample]) -> Judged {
        let [of_base, of_new] = self.dispersions(outcome, base, new);
        let counted = |side: &[Sample]| Counted {
            events: float(side.iter().map(|sample| sample.totals.outcome(outcome)).sum()),
            exposure: float(side.iter().map(|sample| sample.totals.due).sum()),
        };
        let (mut base, mut new) = (counted(base), counted(new));
        if self.spec.aggregate.higher_is_better() {
            // More ok operations are better, so the sides change places.
            std::mem::swap(&mut base, &mut new);
        }
        let worst = ratio_of_counts(
            Counted { events: 0.0, ..base },
            Counted { events: base.events + new.events, ..new },
            1.0,
            self.tolerance,
        );
        self.method = Method::ConditionalExact;
        self.can_regress = worst.p <= ALPHA;
        self.estimate = Some(ratio_of_counts(base, new, of_base.max(of_new), self.tolerance));
        self
    }

    /// Returns the dispersion of failures of each side: the larger of that between batches, or blocks of batches, and that between runs.
    fn dispersions(&mut self, outcome: crate::measure::Outcome, base: &[Sample], new: &[Sample]) -> [f64; 2] {
        if base.iter().chain(new).any(|sample| sample.batches.is_empty()) {
            let reason = "a result has no batches, so failures are assumed to be independent of each other";
            self.reasons.push(reason.to_owned());
        }
        let [base_runs, new_runs] = [base, new].map(|side| {
            dispersion(&[side.iter().map(|run| events(std::slice::from_ref(run), outcome)).collect()])
        });
        [base, new].map(|side| {
            // Failures that come in bursts are less certain than their number suggests.
            let within = [1, 4].map(|length| {
                let block = |block: &[(u64, u64)]| {
                    block.iter().fold((0, 0), |sum, batch| (sum.0 + batch.0, sum.1 + batch.1))
                };
                let blocks = |run: &Sample| run.events(outcome).chunks(length).map(block).collect();
                dispersion(&side.iter().map(blocks).collect::<Vec<_>>())
            });
            within.into_iter().fold(base_runs.max(new_runs), f64::max)
        })
    }

    /// Compares latencies or rates by the logarithm of their ratio.
    fn ratios(
        mut self,
        (base_values, new_values): (&[Value], &[Value]),
        (base, new): (&[Sample], &[Sample]),
        options: &Options,
        (tests, stream): (usize, u64),
    ) -> Judged {
        let aggregate = self.spec.aggregate;
        let sign = if aggregate.higher_is_better() { -1.0 } else { 1.0 };
        let logs = |values: &[Value]| -> Option<Vec<f64>> {
            let log = |value: &Value| match value {
                Value::At(value) if *value > 0.0 => Some(sign * value.ln()),
                _ => None,
            };
            values.iter().map(log).collect()
        };
        let (Some(base_logs), Some(new_logs)) = (logs(base_values), logs(new_values)) else {
            return self.inconclusive("a result has no successful operations".to_owned());
        };
        // With few runs and many metrics, the best possible order is not significant, so the ranks could never show a regression.
        let ranks_decide = least_p(base_logs.len(), new_logs.len()) * float(tests as u64) <= ALPHA;
        if base_logs.len() >= FOLDER_MIN && new_logs.len() >= NEW_MIN && ranks_decide {
            self.method = Method::MannWhitney;
            self.estimate = Some(mann_whitney(&base_logs, &new_logs, self.tolerance));
            return self;
        }
        if base_logs.len() >= FOLDER_MIN {
            self.method = Method::PredictionInterval;
            self.estimate = Some(prediction(&base_logs, &new_logs, self.tolerance));
            return self;
        }
        // Fewer than five results say too little about the noise between runs: the latest ones are compared as one run each.
        let (Some(base), Some(new)) = (base.last(), new.last()) else { return self };
        let (Some(base_log), Some(new_log)) = (base_logs.last(), new_logs.last()) else { return self };
        let last =
            |values: &[Value]| values.last().and_then(|value| mean(aggregate, std::slice::from_ref(value)));
        (self.base, self.new) = (last(base_values), last(new_values));
        if aggregate == Aggregate::Max {
            return self.inconclusive(format!(
                "one run says nothing about the noise of a maximum. Compare with a folder of at least {FOLDER_MIN} results"
            ));
        }
        let mut variance: f64 = 0.0;
        for (side, sample, stream) in [("base", base, 2 * stream), ("new", new, 2 * stream + 1)] {
            match deviation(sample, aggregate, stream) {
                Ok(sd) => variance += sd * sd,
                Err(reason) => return self.inconclusive(format!("the {side} result {reason}")),
            }
        }
        if aggregate.unit() == MetricUnit::Us {
            variance += options.noise * options.noise;
        }
        self.method = Method::BlockBootstrap;
        self.estimate = Some(normal_estimate(new_log - base_log, variance.sqrt(), self.tolerance));
        self
    }
}

/// Returns the number of events and of due operations of one side. For `ok`, the events are the failures.
fn events(side: &[Sample], outcome: crate::measure::Outcome) -> (u64, u64) {
    let due: u64 = side.iter().map(|sample| sample.totals.due).sum();
    let count: u64 = side.iter().map(|sample| sample.totals.outcome(outcome)).sum();
    match outcome {
        crate::measure::Outcome::Ok => (due.saturating_sub(count), due),
        _ => (count, due),
    }
}

/// Returns the deviation of the logarithm of a figure within one run, or why it is unknown.
fn deviation(sample: &Sample, aggregate: Aggregate, stream: u64) -> Result<f64, String> {
    if sample.batches.is_empty() {
        return Err(
            "has no batches, because an earlier version of hubstorm wrote it. Run the scenario again"
                .to_owned(),
        );
    }
    let grid = Grid::of(&sample.batches);
    let blocks = blocks(&grid.series(aggregate));
    if !blocks.suffice() {
        return Err(format!(
            "has {} blocks of batches, but the noise within a run needs {}. Extend the scenario's phases to at least {} s, or compare \
             with a folder of at least {FOLDER_MIN} results",
            blocks.count(),
            super::stats::BLOCKS_MIN,
            super::stats::BLOCKS_MIN * blocks.length,
        ));
    }
    Ok(block_bootstrap_sd(blocks, stream, |drawn| grid.figure(aggregate, drawn)))
}
