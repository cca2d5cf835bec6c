//! The numbers of one metric in one run: totals and batches. The statistics use only this, not the result. Used by `compare`.

use super::stats::float;
use crate::measure::{Latency, Outcome, Outcomes, Totals};
use crate::result::metric::{Aggregate, MetricSpec};
use crate::result::model::RunResult;
use std::collections::BTreeMap;

/// The operations of one run that a metric covers.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    pub(super) totals: Totals,
    /// Duration of the covered phases.
    pub(super) duration_us: u64,
    /// Highest value that the run's histograms can record; 0 if it is unknown.
    highest_us: u64,
    /// The same operations by due time, in order. Empty in files from earlier versions.
    pub(super) batches: Vec<BatchView>,
}

/// The operations that were due in one batch.
#[derive(Clone, Debug, Default)]
pub(super) struct BatchView {
    pub(super) due: u64,
    pub(super) outcomes: Outcomes,
    pub(super) response: Latency,
}

/// The value of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    /// A value, in the metric's unit.
    At(f64),
    /// A latency above the range of the histogram, or beyond the ok operations because of failures.
    Beyond,
    /// There are no operations.
    Missing,
}

impl Sample {
    pub(super) fn of(result: &RunResult, spec: &MetricSpec) -> Sample {
        let measurement = &result.measurement;
        let covered: Vec<_> =
            measurement.operations.iter().filter(|part| spec.covers(measurement, part)).collect();
        let mut sample = Sample { highest_us: measurement.highest_us, ..Sample::default() };
        let mut batches: BTreeMap<(usize, u64), BatchView> = BTreeMap::new();
        for (index, phase) in measurement.phases.iter().enumerate() {
            let parts = || covered.iter().filter(|part| part.phase == phase.name);
            // Batches of fleets that differ in length are merged into the longest.
            let length = parts().map(|part| part.batches.length_us).max().unwrap_or(0).max(1);
            for batch in parts().flat_map(|part| &part.batches.list) {
                let view =
                    batches.entry((index, batch.t_us.saturating_sub(phase.start_us) / length)).or_default();
                view.due += batch.due;
                view.outcomes += batch.outcomes;
                view.response.add(&batch.response);
            }
            if parts().next().is_some() {
                sample.duration_us += phase.end_us.saturating_sub(phase.start_us);
            }
        }
        covered.iter().for_each(|part| sample.totals.add(&part.totals));
        sample.batches = batches.into_values().collect();
        sample
    }

    /// Returns the number of samples: for latencies the operations that ended, otherwise the due operations.
    pub(super) fn samples(&self, aggregate: Aggregate) -> u64 {
        match aggregate {
            Aggregate::Percentile(_) => self.totals.response.count() + self.failed(),
            Aggregate::Mean | Aggregate::Max => self.totals.response.count(),
            _ => self.totals.due,
        }
    }

    fn failed(&self) -> u64 {
        self.totals.due.saturating_sub(self.totals.ok())
    }

    /// Returns the value of the metric. A failed operation counts as slower than every other one in a percentile.
    pub(super) fn value(&self, aggregate: Aggregate) -> Value {
        let totals = &self.totals;
        if totals.due == 0 {
            return Value::Missing;
        }
        let latency = |us: Option<f64>| match us {
            Some(us) if totals.clipped > 0 && us >= float(self.highest_us) => Value::Beyond,
            Some(us) => Value::At(us),
            None => Value::Beyond,
        };
        match aggregate {
            Aggregate::Percentile(quantile) => {
                let rank = crate::measure::rank(quantile, totals.response.count() + self.failed());
                latency(totals.response.at_rank(rank).map(float))
            }
            Aggregate::Mean => latency(totals.response.mean()),
            Aggregate::Max => latency(totals.response.max().map(float)),
            Aggregate::Rate(outcome) => Value::At(float(totals.outcome(outcome)) / float(totals.due)),
            Aggregate::Count(outcome) => Value::At(float(totals.outcome(outcome))),
            Aggregate::Achieved => Value::At(float(totals.ok()) * 1e6 / float(self.duration_us.max(1))),
        }
    }

    /// Returns the events and due operations of each batch, where an event is an operation that ended badly for this outcome: with the
    /// outcome, or for `ok` without it.
    pub(super) fn events(&self, outcome: Outcome) -> Vec<(u64, u64)> {
        let of = |due: u64, outcomes: &Outcomes| match outcome {
            Outcome::Ok => (due.saturating_sub(outcomes[Outcome::Ok]), due),
            other => (outcomes[other], due),
        };
        self.batches.iter().map(|batch| of(batch.due, &batch.outcomes)).collect()
    }
}

/// The batches of a run, prepared for resampling: for each batch, its latencies as indices of buckets.
pub(super) struct Grid {
    /// Lowest and highest value of each bucket.
    buckets: Vec<(f64, f64)>,
    batches: Vec<GridBatch>,
}

struct GridBatch {
    counts: Vec<(usize, u64)>,
    ok: u64,
    failed: u64,
    sum_us: f64,
}

impl Grid {
    pub(super) fn of(batches: &[BatchView]) -> Grid {
        let buckets_of = |batch: &BatchView| -> Vec<(u64, u64, u64)> {
            let Some(histogram) = batch.response.histogram() else { return Vec::new() };
            let recorded = histogram.iter_recorded().map(|entry| {
                let high = entry.value_iterated_to();
                (histogram.lowest_equivalent(high), high, entry.count_at_value())
            });
            recorded.collect()
        };
        let recorded: Vec<_> = batches.iter().map(buckets_of).collect();
        let mut indices: BTreeMap<(u64, u64), usize> =
            recorded.iter().flatten().map(|(low, high, _)| ((*low, *high), 0)).collect();
        (0..).zip(indices.values_mut()).for_each(|(index, place)| *place = index);
        let batches = batches.iter().zip(&recorded).map(|(batch, recorded)| {
            let counts = recorded.iter().map(|(low, high, count)| (indices[&(*low, *high)], *count));
            let sum_us = recorded.iter().map(|(low, high, count)| float(low + high) / 2.0 * float(*count));
            let ok = batch.outcomes[Outcome::Ok];
            GridBatch {
                counts: counts.collect(),
                ok,
                failed: batch.due.saturating_sub(ok),
                sum_us: sum_us.sum(),
            }
        });
        let batches = batches.collect();
        let buckets = indices.keys().map(|(low, high)| (float(*low), float(*high))).collect();
        Grid { buckets, batches }
    }

    /// Returns the figure of a resample; `None` if it has none.
    pub(super) fn figure(&self, aggregate: Aggregate, drawn: &[u64]) -> Option<f64> {
        let sum = |of: &dyn Fn(&GridBatch) -> f64| -> f64 {
            self.batches.iter().zip(drawn).map(|(batch, times)| of(batch) * float(*times)).sum()
        };
        let ok = sum(&|batch| float(batch.ok));
        let figure = match aggregate {
            Aggregate::Percentile(quantile) => {
                let samples = ok + sum(&|batch| float(batch.failed));
                self.at_rank((quantile * samples).ceil().max(1.0), drawn)?
            }
            Aggregate::Mean => sum(&|batch| batch.sum_us) / ok,
            _ => ok,
        };
        (figure > 0.0).then(|| figure.ln())
    }

    /// Returns the value at a rank, interpolated within its bucket; the highest value if there are fewer.
    fn at_rank(&self, rank: f64, drawn: &[u64]) -> Option<f64> {
        let mut counts = vec![0; self.buckets.len()];
        for (batch, times) in self.batches.iter().zip(drawn).filter(|(_, times)| **times > 0) {
            batch.counts.iter().for_each(|(index, count)| counts[*index] += count * times);
        }
        let mut before = 0.0;
        for ((low, high), count) in self.buckets.iter().zip(counts) {
            let count = float(count);
            if before + count >= rank {
                return Some(low + (high - low) * (rank - before) / count);
            }
            before += count;
        }
        self.buckets.last().map(|(_, high)| *high)
    }

    /// Returns one value for each batch whose correlation is that of the figure: the share of operations above the figure, the mean, or
    /// the number of ok operations.
    pub(super) fn series(&self, aggregate: Aggregate) -> Vec<f64> {
        let all = vec![1; self.batches.len()];
        let limit = match aggregate {
            Aggregate::Percentile(_) => self.figure(aggregate, &all).map_or(f64::INFINITY, f64::exp),
            _ => f64::INFINITY,
        };
        let above = |batch: &GridBatch| {
            let slow = batch.counts.iter().filter(|(index, _)| self.buckets[*index].0 > limit);
            float(slow.map(|(_, count)| count).sum::<u64>() + batch.failed)
                / float((batch.ok + batch.failed).max(1))
        };
        let value = |batch: &GridBatch| match aggregate {
            Aggregate::Percentile(_) => above(batch),
            Aggregate::Mean => batch.sum_us / float(batch.ok.max(1)),
            _ => float(batch.ok),
        };
        self.batches.iter().map(value).collect()
    }
}
