//! The totals of one operation, fleet and phase. Filled by the recorder, added up by the collector, judged and rendered by
//! `report`.

use super::latency::{Latency, Pool};
use super::operation::Outcome;
use super::outcomes::Outcomes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Outcomes and latencies of one operation, fleet and phase. Adding two totals is exact.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Number of due operations.
    pub due: u64,
    /// Number of operations by outcome. The numbers add up to `due`. Outcomes without operations are left out.
    pub outcomes: Outcomes,
    /// The part of `outcomes` that a stall of the load generator may have caused.
    #[serde(default, skip_serializing_if = "Outcomes::is_empty")]
    pub excused: Outcomes,
    /// True for QoS 0, which has no acknowledgment: `ok` means flushed.
    pub no_ack: bool,
    /// True for a closed loop: each message was due only after the previous one had ended, so the response times are not
    /// corrected for coordinated omission.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed_loop: bool,
    /// `acked - due` of ok operations, the main latency.
    #[serde(default)]
    pub response: Latency,
    /// `acked - sent` of ok operations: the time that the target took.
    #[serde(default)]
    pub service: Latency,
    /// `sent - picked`: the time spent waiting because of a full in-flight window, because of back-pressure, or while
    /// unexpectedly offline.
    #[serde(default)]
    pub wait: Latency,
    /// `picked - due`: the load generator's own lag.
    #[serde(default)]
    pub lag: Latency,
    /// Age of unfinished operations at the end of the run.
    #[serde(default)]
    pub unfinished_age: Latency,
    /// The part of `response` that the load generator delayed by 1 ms or more.
    #[serde(default, skip_serializing_if = "Latency::is_empty")]
    pub delayed: Latency,
    /// The response times of the operations in `delayed`, without the load generator's delay. `response - delayed +
    /// delayed_lower` is a lower bound for the time that the target took.
    #[serde(default, skip_serializing_if = "Latency::is_empty")]
    pub delayed_lower: Latency,
    /// Longest delay that the load generator added to one operation.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub own_delay_max_us: u64,
    /// Sum of the delays that the load generator added to ok operations, in a closed loop.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub own_delay_sum_us: u64,
    /// Sum of the think times before the messages in a closed loop.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub think_sum_us: u64,
    /// Number of values above the range of the histograms. They are recorded as the highest value of the range.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub clipped: u64,
}

/// Returns true for 0. Used for fields that are left out of files if they are 0.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde requires this signature")]
pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Totals {
    /// Returns the number of operations with this outcome.
    #[must_use]
    pub fn outcome(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome]
    }

    /// Returns the number of ok operations.
    #[must_use]
    pub fn ok(&self) -> u64 {
        self.outcomes[Outcome::Ok]
    }

    /// Returns the number of ended operations, whatever their outcome.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.outcomes.sum()
    }

    /// Returns the share of due operations that ended ok; `None` if no operation was due.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub fn rate_ok(&self) -> Option<f64> {
        (self.due > 0).then(|| self.outcomes[Outcome::Ok] as f64 / self.due as f64)
    }

    /// Returns `response` without the delay that the load generator may have added: a lower bound for the time that the
    /// target took.
    #[must_use]
    pub fn lower(&self) -> Latency {
        self.response.with_replaced(&self.delayed, &self.delayed_lower)
    }

    /// Returns true if nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.due == 0 && self.ended() == 0 && !self.no_ack
    }

    /// Adds the numbers of `other`.
    pub fn add(&mut self, other: &Totals) {
        self.due = self.due.saturating_add(other.due);
        self.outcomes += other.outcomes;
        self.excused += other.excused;
        self.no_ack |= other.no_ack;
        self.closed_loop |= other.closed_loop;
        self.response.add(&other.response);
        self.service.add(&other.service);
        self.wait.add(&other.wait);
        self.lag.add(&other.lag);
        self.unfinished_age.add(&other.unfinished_age);
        self.delayed.add(&other.delayed);
        self.delayed_lower.add(&other.delayed_lower);
        self.own_delay_max_us = self.own_delay_max_us.max(other.own_delay_max_us);
        self.own_delay_sum_us = self.own_delay_sum_us.saturating_add(other.own_delay_sum_us);
        self.think_sum_us = self.think_sum_us.saturating_add(other.think_sum_us);
        self.clipped = self.clipped.saturating_add(other.clipped);
    }

    /// Returns the numbers without those of `part`, which `self` contains.
    #[must_use]
    pub fn without(&self, part: &Totals) -> Totals {
        let (mut outcomes, mut excused) = (self.outcomes, self.excused);
        outcomes -= part.outcomes;
        excused -= part.excused;
        let rest = |all: &Latency, part: &Latency| all.with_replaced(part, &Latency::default());
        Totals {
            due: self.due.saturating_sub(part.due),
            outcomes,
            excused,
            no_ack: self.no_ack,
            closed_loop: self.closed_loop,
            response: rest(&self.response, &part.response),
            service: rest(&self.service, &part.service),
            wait: rest(&self.wait, &part.wait),
            lag: rest(&self.lag, &part.lag),
            unfinished_age: rest(&self.unfinished_age, &part.unfinished_age),
            delayed: rest(&self.delayed, &part.delayed),
            delayed_lower: rest(&self.delayed_lower, &part.delayed_lower),
            own_delay_max_us: self.own_delay_max_us,
            own_delay_sum_us: self.own_delay_sum_us.saturating_sub(part.own_delay_sum_us),
            think_sum_us: self.think_sum_us.saturating_sub(part.think_sum_us),
            clipped: self.clipped.saturating_sub(part.clipped),
        }
    }

    /// Returns every histogram to its pool.
    pub(super) fn recycle(&mut self, pool: &mut Pool, rare: &mut Pool) {
        let Totals { response, service, wait, lag, unfinished_age, delayed, delayed_lower, .. } = self;
        for latency in [response, service, wait, lag] {
            pool.recycle(latency);
        }
        for latency in [unfinished_age, delayed, delayed_lower] {
            rare.recycle(latency);
        }
    }
}
