//! The numbers of one interval: a second in a worker, or a row in the series. Used by `seconds` and `series`.

use super::hdr::RowHistogram;
use super::latency::{Latency, Pool};
use super::operation::Operation;
use super::totals::is_zero;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;

pub(super) const NS_PER_S: u64 = 1_000_000_000;

/// The numbers of one interval. Merging two intervals is exact.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// Number of messages that were due.
    pub offered: u64,
    /// Number of messages that were acknowledged.
    pub achieved: u64,
    /// Number of connection attempts that were due. Left out if no attempt was due, and in files from earlier versions.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub connects_due: u64,
    /// Number of operations of any kind whose outcome is not ok.
    pub errors: u64,
    /// Number of errors by class, as in the `errors` of the result. Left out if empty, and in files from earlier
    /// versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors_by_class: BTreeMap<Cow<'static, str>, u64>,
    /// Largest `picked - due` of the messages started in this interval.
    pub lag_max_us: u64,
    /// Response times of operations that ended ok, by operation, with two significant digits. The steps of
    /// connection attempts are left out.
    pub response: ByOperation,
}

impl Interval {
    /// Adds the numbers of `other`.
    pub fn merge(&mut self, other: &Interval) {
        self.offered = self.offered.saturating_add(other.offered);
        self.achieved = self.achieved.saturating_add(other.achieved);
        self.connects_due = self.connects_due.saturating_add(other.connects_due);
        self.errors = self.errors.saturating_add(other.errors);
        self.lag_max_us = self.lag_max_us.max(other.lag_max_us);
        self.response.add(&other.response);
        for (class, count) in &other.errors_by_class {
            let sum = self.errors_by_class.entry(class.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
    }

    /// Counts an error of a class.
    pub(super) fn note_error(&mut self, class: &'static str) {
        *self.errors_by_class.entry(Cow::Borrowed(class)).or_default() += 1;
    }

    /// Notes the lag of a message that was started in this interval.
    #[inline]
    pub(super) fn note_lag(&mut self, lag_us: u64) {
        self.lag_max_us = self.lag_max_us.max(lag_us);
    }

    /// Returns the heap memory in bytes, excluding the allocator's overhead.
    pub(super) fn heap_bytes(&self) -> usize {
        let names: usize = self.errors_by_class.keys().map(|class| class.len()).sum();
        self.response.heap_bytes() + map_bytes(&self.errors_by_class) + names
    }

    pub(super) fn recycle(&mut self, pool: &mut Pool) {
        for latency in &mut self.response.0 {
            pool.recycle(latency);
        }
    }
}

/// Returns an upper bound for the memory of a map's nodes. A node of the standard library's map has room for 11 entries, and every
/// node but the first is at least 5/11 full.
pub(super) fn map_bytes<K, V>(map: &BTreeMap<K, V>) -> usize {
    let entries = if map.is_empty() { 0 } else { (map.len() * 11 / 5).max(11) };
    entries * (size_of::<K>() + size_of::<V>())
}

/// Response times by operation, with two significant digits. In files, this is a map that contains the
/// operations with samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ByOperation(pub(super) [Latency; Operation::ALL.len()]);

impl ByOperation {
    /// Returns the response times of an operation.
    #[must_use]
    pub fn of(&self, operation: Operation) -> &Latency {
        &self.0[operation.index()]
    }

    #[inline]
    pub(super) fn of_mut(&mut self, operation: Operation) -> &mut Latency {
        &mut self.0[operation.index()]
    }

    /// Returns the operations that have samples, in the order used in reports.
    pub fn iter(&self) -> impl Iterator<Item = (Operation, &Latency)> {
        let all = Operation::ALL.into_iter().map(|operation| (operation, self.of(operation)));
        all.filter(|(_, latency)| !latency.is_empty())
    }

    fn heap_bytes(&self) -> usize {
        self.0.iter().map(Latency::heap_bytes).sum()
    }

    fn add(&mut self, other: &ByOperation) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            mine.add(theirs);
        }
    }
}

impl Serialize for ByOperation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            let named: BTreeMap<Operation, &Latency> = self.iter().collect();
            return named.serialize(serializer);
        }
        let named: BTreeMap<&str, RowHistogram> =
            self.iter().map(|(operation, latency)| (operation.name(), latency.into())).collect();
        named.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ByOperation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ByOperation, D::Error> {
        let mut found = ByOperation::default();
        if !deserializer.is_human_readable() {
            for (operation, latency) in BTreeMap::<Operation, Latency>::deserialize(deserializer)? {
                *found.of_mut(operation) = latency;
            }
            return Ok(found);
        }
        for (operation, row) in BTreeMap::<Operation, RowHistogram>::deserialize(deserializer)? {
            *found.of_mut(operation) = Latency::try_from(row).map_err(serde::de::Error::custom)?;
        }
        Ok(found)
    }
}

impl JsonSchema for ByOperation {
    fn schema_name() -> Cow<'static, str> {
        "ByOperation".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        BTreeMap::<String, RowHistogram>::json_schema(generator)
    }
}
