//! The numbers of one fleet in one row of the series. Filled by the collector once per second, so they add no work to the hot
//! path. Independent of the series' length and memory limit.

use super::latency::{Latency, hdr_text};
use super::layout::DIGITS_FLEET_ROW;
use super::totals::{Totals, is_zero};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Runs with more fleets than this keep no numbers of fleets over time: a chart with more lines is unreadable, and the file would grow.
pub(super) const FLEETS_MAX: usize = 10;

/// The numbers of one fleet in one interval: its devices, and its messages of every kind. Adding two of them is exact.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FleetRow {
    /// Number of devices online at the end of the interval.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub online: u64,
    /// Number of messages that became due.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub due: u64,
    /// Number of messages that ended ok.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ok: u64,
    /// Number of messages that ended with another outcome.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_ok: u64,
    /// Response times of the messages that were acknowledged or answered, with one significant digit: HdrHistogram V2, deflated,
    /// base64. Left out if empty; QoS 0 messages have no acknowledgment.
    #[serde(rename = "hdr", default, skip_serializing_if = "Latency::is_empty", with = "hdr_text")]
    #[schemars(with = "String")]
    pub response: Latency,
}

impl FleetRow {
    /// Adds the messages in `totals`.
    pub(super) fn count(&mut self, totals: &Totals, has_ack: bool) {
        self.due = self.due.saturating_add(totals.due);
        self.ok = self.ok.saturating_add(totals.ok());
        self.not_ok = self.not_ok.saturating_add(totals.ended().saturating_sub(totals.ok()));
        if has_ack {
            self.response.add(&totals.response.coarser(DIGITS_FLEET_ROW));
        }
    }

    /// Adds the messages of `other`. Both must cover the same devices at different times, or different devices at the same time; the
    /// caller decides what `online` becomes.
    pub(super) fn add_messages(&mut self, other: &FleetRow) {
        self.due = self.due.saturating_add(other.due);
        self.ok = self.ok.saturating_add(other.ok);
        self.not_ok = self.not_ok.saturating_add(other.not_ok);
        self.response.add(&other.response);
    }
}
