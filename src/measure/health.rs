//! How well the parts of hubstorm on this machine kept up, by source and phase: the load generator's workers, the
//! service client, and the built-in hub's shards. Filled by the collector and by `app`; read by `report`.

use super::latency::Latency;
use crate::stalls::StallList;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// A part of hubstorm on this machine that produces load or measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A worker of the load generator.
    Worker(u16),
    /// The service client, which runs on the coordinator's thread.
    Service,
    /// The coordinator, which records the deliveries that reconciliation finds missing.
    Collector,
    /// A shard of the built-in hub.
    Emulator(u16),
}

impl Source {
    /// Returns the source with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Source> {
        match name {
            "service" => return Some(Source::Service),
            "collector" => return Some(Source::Collector),
            _ => {}
        }
        let (kind, number) = name.split_once('-')?;
        match (kind, number.parse().ok()?) {
            ("worker", number) => Some(Source::Worker(number)),
            ("emulator", number) => Some(Source::Emulator(number)),
            _ => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Worker(number) => write!(f, "worker-{number}"),
            Source::Service => f.write_str("service"),
            Source::Collector => f.write_str("collector"),
            Source::Emulator(number) => write!(f, "emulator-{number}"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Source, D::Error> {
        let name = Cow::<'_, str>::deserialize(deserializer)?;
        let unknown = || serde::de::Error::custom(format!("unknown source {name:?}"));
        Source::from_name(&name).ok_or_else(unknown)
    }
}

impl JsonSchema for Source {
    fn schema_name() -> Cow<'static, str> {
        "Source".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "worker-N, emulator-N or service." })
    }
}

/// How well a source kept up in a phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Source: `worker-N`, `emulator-N` or `service`.
    pub source: Source,
    /// Name of the phase.
    pub phase: String,
    /// Total time in which the source had work to do but did not run.
    pub stall_us: u64,
    /// Share of the phase in which the source had work to do. Null if it is unknown or was measured for less than a
    /// second.
    pub busy_share: Option<f64>,
    /// Number of operations that failed because this machine lacked a resource, such as file descriptors.
    pub environment_errors: u64,
    /// Number of values above the range of the histograms. They are recorded as the highest value of the range.
    pub clipped: u64,
    /// Largest divergence of the wall clock from the monotonic clock.
    #[serde(default)]
    pub clock_drift_us: u64,
    /// `picked - due` of messages.
    #[serde(default)]
    pub lag: Latency,
    /// Stalls: start and end in microseconds since the start of the run, and the stalled time between them.
    #[serde(default)]
    pub stalls: StallList,
    /// Seconds in which the source was saturated, in the same format as `stalls`.
    #[serde(default)]
    pub saturated: StallList,
}

/// A step of this machine's wall clock: the clock was set, or the machine was suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClockStep {
    /// When the step was noticed, since the start of the run.
    pub at_us: u64,
    /// Movement of the wall clock relative to the monotonic clock; negative if it was set back.
    pub by_us: i64,
}

impl ClockStep {
    /// Returns true if both are the same step. Every worker detects each step, at a slightly different time and
    /// with a slightly different size.
    pub(super) fn is_same_step(&self, other: &ClockStep) -> bool {
        self.at_us.abs_diff(other.at_us) <= 1_000_000 && self.by_us.abs_diff(other.by_us) <= 500_000
    }
}

/// The part of an interval in which a source was busy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Busy {
    pub(super) busy_ns: u64,
    pub(super) passed_ns: u64,
}

impl Busy {
    pub(super) fn add(&mut self, other: Busy) {
        self.busy_ns = self.busy_ns.saturating_add(other.busy_ns);
        self.passed_ns = self.passed_ns.saturating_add(other.passed_ns);
    }

    /// Returns the busy share; `None` for less than a second, which is too short for a share.
    #[expect(clippy::cast_precision_loss, reason = "a share may be rounded")]
    pub(super) fn share(self) -> Option<f64> {
        (self.passed_ns >= 1_000_000_000).then(|| self.busy_ns as f64 / self.passed_ns as f64)
    }
}

impl Health {
    /// Creates an empty entry.
    #[must_use]
    pub fn new(source: Source, phase: &str) -> Health {
        Health {
            source,
            phase: phase.to_owned(),
            stall_us: 0,
            busy_share: None,
            environment_errors: 0,
            clipped: 0,
            clock_drift_us: 0,
            lag: Latency::default(),
            stalls: StallList::default(),
            saturated: StallList::default(),
        }
    }

    /// Adds the entry for the same source and phase from another process.
    pub(super) fn merge(&mut self, other: &Health) {
        self.stall_us += other.stall_us;
        self.busy_share = self.busy_share.into_iter().chain(other.busy_share).max_by(f64::total_cmp);
        self.environment_errors += other.environment_errors;
        self.clipped += other.clipped;
        self.clock_drift_us = self.clock_drift_us.max(other.clock_drift_us);
        self.lag.add(&other.lag);
        self.stalls.merge(&other.stalls);
        self.saturated.merge(&other.saturated);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_have_names() {
        for source in
            [Source::Worker(0), Source::Worker(17), Source::Service, Source::Collector, Source::Emulator(3)]
        {
            assert_eq!(Source::from_name(&source.to_string()), Some(source));
        }
        for name in ["", "worker", "worker-", "worker-x", "hub-1", "service-1"] {
            assert_eq!(Source::from_name(name), None, "{name}");
        }
    }
}
