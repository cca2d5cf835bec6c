//! The numbers of one host of a target that has several: connection attempts, errors, latencies, and moved devices. Filled by
//! `target_recorder`, merged by the collector. A run with one host has none.

use super::latency::Latency;
use super::operation::Culprit;
use super::outcomes::Outcomes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The numbers of one host of a target that has several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetTotals {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Number of devices that start at this host.
    pub devices: u64,
    /// Number of times that a device connected to this host after it was online at another one, or after it could not connect to
    /// the host that it starts at.
    #[serde(default)]
    pub moved_in: u64,
    /// Number of times that a device of this host connected to another one.
    #[serde(default)]
    pub moved_out: u64,
    /// Number of connection attempts by outcome. Outcomes without attempts are left out.
    #[serde(default)]
    pub connects: Outcomes,
    /// `acked - due` of ok connection attempts.
    #[serde(default)]
    pub connect: Latency,
    /// `acked - due` of messages that ended ok.
    #[serde(default)]
    pub messages: Latency,
    /// Errors of this host's devices by class, most frequent first. `errors` of the result has their times and examples.
    #[serde(default)]
    pub errors: Vec<TargetError>,
}

/// The errors of one class at one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetError {
    /// Stable name, as in `errors`.
    pub class: String,
    /// Probable cause: `peer` (the target), `network` or `us` (the load generator).
    pub culprit: Culprit,
    /// Number of errors.
    pub count: u64,
}

impl TargetTotals {
    /// Returns the number of connection attempts.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.connects.sum()
    }

    /// Returns the number of errors.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.errors.iter().fold(0, |sum, error| sum.saturating_add(error.count))
    }

    /// Adds the numbers of `other`, but not its number of devices.
    pub(super) fn add(&mut self, other: &TargetTotals) {
        self.moved_in = self.moved_in.saturating_add(other.moved_in);
        self.moved_out = self.moved_out.saturating_add(other.moved_out);
        self.connects += other.connects;
        self.connect.add(&other.connect);
        self.messages.add(&other.messages);
        for TargetError { class, culprit, count } in &other.errors {
            self.add_errors(class, *culprit, *count);
        }
    }

    /// Counts errors of a class.
    pub(super) fn add_errors(&mut self, class: &str, culprit: Culprit, count: u64) {
        match self.errors.iter_mut().find(|known| known.class == class && known.culprit == culprit) {
            Some(known) => known.count = known.count.saturating_add(count),
            None => self.errors.push(TargetError { class: class.to_owned(), culprit, count }),
        }
    }

    /// Sorts everything into the order used in files.
    pub(super) fn sort(&mut self) {
        self.errors.sort_by(|a, b| {
            (b.count, &a.class, a.culprit.name()).cmp(&(a.count, &b.class, b.culprit.name()))
        });
    }

    /// Adds the numbers of a target's hosts from another process in the same run.
    pub(super) fn merge_list(list: &mut Vec<TargetTotals>, others: &[TargetTotals]) {
        for theirs in others {
            match list.iter_mut().find(|mine| mine.host == theirs.host && mine.port == theirs.port) {
                Some(mine) => {
                    mine.devices += theirs.devices;
                    mine.add(theirs);
                }
                None => list.push(theirs.clone()),
            }
        }
    }
}
