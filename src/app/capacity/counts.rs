//! The number of due, done and open messages in each second of a search. Used by `trials`. Uses only measurements.

use crate::capacity::backlog::{BacklogGrowth, growth};
use crate::measure::{Measurement, Outcome, Rules, Test, Totals};

/// The counts since the start of the run, at the end of each second.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Messages that are done, by second: the first entry is the end of the first second.
    done: Vec<u64>,
    /// Messages that ended ok, likewise.
    ok: Vec<u64>,
    due: u64,
    /// Messages that became due in the latest second.
    newly_due: u64,
    /// Messages that are due and have not ended, by second.
    open: Vec<u64>,
    /// Messages that should have become due according to the load, since the last time that no message was open.
    planned: f64,
    /// Messages that ended before that time.
    ended_before: u64,
}

impl Counts {
    /// Adds the measurement at the end of a second, and the messages that were planned in it.
    pub(super) fn add(&mut self, measurement: &Measurement, rules: &Rules, planned_per_s: f64) {
        let totals = measurement.sum(|part| part.operation.is_message());
        self.done.push(done(&totals, rules));
        self.ok.push(totals.ok());
        self.newly_due = totals.due.saturating_sub(self.due);
        self.due = totals.due;
        self.open.push(totals.due.saturating_sub(totals.ended()));
        self.planned += planned_per_s;
        if self.is_drained() {
            // Arrivals are random, so their number drifts away from the plan.
            (self.planned, self.ended_before) = (0.0, totals.due);
        }
    }

    /// Returns whether all due messages have ended, and no device catches up.
    pub(super) fn is_drained(&self) -> bool {
        self.open() == 0 && self.newly_due == 0
    }

    fn open(&self) -> u64 {
        self.open.last().copied().unwrap_or(0)
    }

    /// Returns the approximate number of messages that should have ended and have not.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub(super) fn backlog(&self) -> f64 {
        let ended = self.due.saturating_sub(self.open() + self.ended_before);
        (self.planned - ended as f64).max(self.open() as f64)
    }

    /// Returns the number of messages that ended ok in the latest second.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub(super) fn newly_ok(&self) -> f64 {
        let mut latest = self.ok.iter().rev();
        let now = latest.next().copied().unwrap_or(0);
        now.saturating_sub(latest.next().copied().unwrap_or(0)) as f64
    }

    /// Returns the number of messages so far.
    pub(super) fn due(&self) -> u64 {
        self.due
    }

    /// Returns the number of messages that ended ok from one second of the run to another, whenever they were due.
    pub(super) fn ok_between(&self, from_s: u64, to_s: u64) -> u64 {
        let index = |second: u64| usize::try_from(second).ok()?.checked_sub(1);
        let at = |second: u64| index(second).and_then(|index| self.ok.get(index)).copied().unwrap_or(0);
        // A trial that ended before its judged part has no such second.
        if to_s <= from_s { 0 } else { at(to_s).saturating_sub(at(from_s)) }
    }

    /// Returns the growth of the backlog in a phase from one second of the run to another. `None` if it cannot be tested.
    pub(super) fn growth(
        &self,
        measurement: &Measurement,
        phase: &str,
        (from_s, to_s): (u64, u64),
    ) -> Option<BacklogGrowth> {
        let at = |second: u64| usize::try_from(second).ok();
        let done = |second: u64| self.done.get(at(second)?.checked_sub(1)?).copied();
        let before = done(from_s)?;
        let due = due_by_second(measurement, phase, (from_s, to_s));
        let mut sum = 0.0;
        let mut backlog = Vec::new();
        for (second, due) in (from_s..to_s).zip(&due) {
            sum += due;
            #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
            backlog.push(sum - (done(second + 1)? - before) as f64);
        }
        let totals = measurement.sum(|part| part.operation.is_message() && part.phase == phase);
        growth(&backlog, totals.due, self.in_flight(from_s, to_s))
    }

    /// Returns the mean number of open messages in the first third of a trial. Later, the open messages may be a backlog.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn in_flight(&self, from_s: u64, to_s: u64) -> f64 {
        let index = |second: u64| usize::try_from(second).unwrap_or(usize::MAX).min(self.open.len());
        let open = self.open.get(index(from_s)..index(from_s + (to_s - from_s) / 3)).unwrap_or(&[]);
        open.iter().sum::<u64>() as f64 / open.len().max(1) as f64
    }
}

/// Returns the number of messages that are done: all that ended, except for those that the target was too slow for, unless a threshold
/// permits a share of them.
fn done(totals: &Totals, rules: &Rules) -> u64 {
    let permitted = |outcome: Outcome| {
        rules
            .thresholds
            .iter()
            .any(|rule| matches!(rule.test, Test::Rate { outcome: tested, .. } if tested == outcome))
    };
    let slow = [Outcome::Expired, Outcome::TimedOut].into_iter().filter(|outcome| !permitted(*outcome));
    totals.ended() - slow.map(|outcome| totals.outcome(outcome)).sum::<u64>()
}

/// Returns the number of messages of a phase that became due in each second.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn due_by_second(measurement: &Measurement, phase: &str, (from_s, to_s): (u64, u64)) -> Vec<f64> {
    let mut due = vec![0.0; usize::try_from(to_s - from_s).unwrap_or(0)];
    let parts =
        measurement.operations.iter().filter(|part| part.operation.is_message() && part.phase == phase);
    for batches in parts.map(|part| &part.batches) {
        let length_s = (batches.length_us / 1_000_000).max(1);
        for batch in &batches.list {
            let first_s = (batch.t_us / 1_000_000).max(from_s);
            // The last batch may end after the phase.
            let last_s = (batch.t_us / 1_000_000 + length_s).min(to_s);
            for second in first_s..last_s {
                if let Some(sum) = usize::try_from(second - from_s).ok().and_then(|index| due.get_mut(index))
                {
                    *sum += batch.due as f64 / (last_s - first_s) as f64;
                }
            }
        }
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Key, Operation, Recorder, Times};
    use crate::report::testing::measured;

    const S: u64 = 1_000_000_000;

    /// 100 messages per second become due in the second phase, from 60 s to 90 s. `acked_after` returns how long each takes.
    fn run(until_s: u64, acked_after: impl Fn(u64) -> u64) -> Measurement {
        measured(1, 2, |recorder: &mut Recorder| {
            let key = Key { operation: Operation::Telemetry, fleet: 0, phase: 1 };
            for n in 0..3_000 {
                let due = 60 * S + n * S / 100;
                let acked = due + acked_after(n);
                if due <= until_s * S {
                    recorder.due(key, due);
                }
                if acked <= until_s * S {
                    recorder.ok(key, &Times { due, picked: due, sent: due, acked });
                }
            }
        })
    }

    fn growth_of(acked_after: impl Fn(u64) -> u64 + Copy) -> BacklogGrowth {
        let mut counts = Counts::default();
        for second in 1..=100 {
            counts.add(&run(second, acked_after), &Rules::default(), 0.0);
        }
        counts.growth(&run(200, acked_after), "phase-1", (60, 90)).unwrap()
    }

    #[test]
    fn backlog_counts_due_messages_that_are_not_done() {
        let even = growth_of(|_| S / 50);
        assert!(!even.grows() && even.growth.abs() < 3.0, "{even:?}");
        // Each message takes 2% of a message interval longer than the one before.
        let slower = growth_of(|n| n * S / 5_000);
        assert!(slower.grows() && (30.0..50.0).contains(&slower.growth), "{slower:?}");
    }

    #[test]
    fn drained_means_that_nothing_is_open_or_catches_up() {
        let mut counts = Counts::default();
        counts.add(&run(91, |_| S / 50), &Rules::default(), 0.0);
        assert!(!counts.is_drained(), "messages were due in this second");
        assert_eq!((counts.ok_between(0, 1), counts.ok_between(1, 1)), (3_000, 0));
        counts.add(&run(92, |_| S / 50), &Rules::default(), 0.0);
        assert!(counts.is_drained());
        let mut open = Counts::default();
        open.add(&run(91, |_| 60 * S), &Rules::default(), 10.0);
        open.add(&run(92, |_| 60 * S), &Rules::default(), 10.0);
        assert!(!open.is_drained());
        assert!((open.backlog() - 20.0).abs() < 1e-9 || open.backlog() > 20.0, "{}", open.backlog());
    }
}
