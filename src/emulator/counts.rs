//! The counters of a hub. Each shard has its own, written by `connection`; `hub` sums them up. Independent of connections.

use super::admission::Refusal;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counters of a hub, summed over all shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stats {
    /// CONNECT packets answered with 0.
    pub accepted: u64,
    /// CONNECT packets answered with another code.
    pub refused: u64,
    /// Telemetry messages accepted.
    pub telemetry: u64,
    /// PUBACK packets sent, for telemetry and for all other messages of devices.
    #[serde(default)]
    pub acks: u64,
    /// Connections with an admitted device that have ended.
    #[serde(default)]
    pub ended: u64,
    /// Connections closed because their device connected again.
    pub taken_over: u64,
    /// Connections closed because their token expired.
    pub expired: u64,
    /// Connections dropped because the device violated the protocol, including keep-alive timeouts.
    pub protocol_errors: u64,
    /// Connections whose TLS handshake failed.
    pub tls_failed: u64,
    /// Connections without an admitted device that were closed because others needed their memory or descriptor.
    #[serde(default)]
    pub closed_for_others: u64,
}

impl Stats {
    /// Returns the number of connected devices.
    #[must_use]
    pub fn online(&self) -> u64 {
        self.accepted.saturating_sub(self.ended)
    }
}

/// A counter that one shard writes and any thread reads.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: u64) {
        if n > 0 {
            self.0.fetch_add(n, Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one shard, on their own cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counters {
    pub(super) accepted: Counter,
    pub(super) refused: Counter,
    pub(super) refused_by: [Counter; Refusal::REASONS.len()],
    pub(super) telemetry: Counter,
    pub(super) acks: Counter,
    pub(super) ended: Counter,
    pub(super) taken_over: Counter,
    pub(super) expired: Counter,
    pub(super) protocol_errors: Counter,
    pub(super) tls_failed: Counter,
}
