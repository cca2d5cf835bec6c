//! What one operation of one fleet and phase adds up to. Filled by the recorder, added up by the collector, judged and rendered by
//! `report`.

use super::latency::{Latency, Pool};
use super::operation::Outcome;
use super::outcomes::Outcomes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Outcomes and latencies of one operation, fleet and phase. Adding two is exact.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// How many were due.
    pub due: u64,
    /// How each ended; the sum equals `due`. Outcomes that did not happen are left out.
    pub outcomes: Outcomes,
    /// Of `outcomes`, those that a stall of the load generator may have caused.
    #[serde(default, skip_serializing_if = "Outcomes::is_empty")]
    pub excused: Outcomes,
    /// True for QoS 0: `ok` means flushed, no ack exists.
    pub no_ack: bool,
    /// True for a closed loop: each message was due only once the one before had ended, so the response times are not
    /// corrected for what was not sent meanwhile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed_loop: bool,
    /// `acked - due` of ok operations: the headline.
    pub response: Latency,
    /// `acked - sent` of ok operations: what the hub took.
    pub service: Latency,
    /// `sent - picked`: window full, back-pressure, offline against the plan.
    pub wait: Latency,
    /// `picked - due`: the generator's lateness.
    pub lag: Latency,
    /// The age of what was still open at the end.
    pub unfinished_age: Latency,
    /// Of `response`, those that the load generator delayed by 1 ms or more.
    #[serde(default, skip_serializing_if = "Latency::is_empty")]
    pub delayed: Latency,
    /// The same without the generator's delay: `response - delayed + delayed_lower` is a lower bound of what the target caused.
    #[serde(default, skip_serializing_if = "Latency::is_empty")]
    pub delayed_lower: Latency,
    /// The longest delay of one operation by the load generator.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub own_delay_max_us: u64,
    /// Of a closed loop: the generator's delays of ok operations, summed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub own_delay_sum_us: u64,
    /// Of a closed loop: the think times before its messages, summed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub think_sum_us: u64,
    /// Values above the range of the histograms, recorded at their top.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub clipped: u64,
}

/// For fields that are left out of a file when nothing happened.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Totals {
    /// How many ended so.
    #[must_use]
    pub fn outcome(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome]
    }

    /// How many ended ok.
    #[must_use]
    pub fn ok(&self) -> u64 {
        self.outcomes[Outcome::Ok]
    }

    /// How many ended, in whatever way.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.outcomes.sum()
    }

    /// The share of due operations that ended ok; `None` when nothing was due.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub fn rate_ok(&self) -> Option<f64> {
        (self.due > 0).then(|| self.outcomes[Outcome::Ok] as f64 / self.due as f64)
    }

    /// `response` without what the load generator may have added: a lower bound of what the target caused.
    #[must_use]
    pub fn lower(&self) -> Latency {
        self.response.with_replaced(&self.delayed, &self.delayed_lower)
    }

    /// True when nothing was due and nothing ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.due == 0 && self.ended() == 0 && !self.no_ack
    }

    /// Adds what `other` counted.
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

    /// Gives every histogram back.
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
