//! Everything that a collector receives in one second, as bytes, and the way back. `fleet` encodes it for the journal of a run;
//! `result` replays a journal through a [`Collector`], so live and recovered numbers come from the same code.
//!
//! The replay must not trust its input: a record is checked completely before any of it is added.

use super::bounded::Bounded;
use super::collector::Collector;
use super::disturbance::Disturbance;
use super::health::Source;
use super::latency::Latency;
use super::layout::Layout;
use super::measurement::{Fleet, Measurement, Phase};
use super::open_operations::OpenOperations;
use super::snapshot::Snapshot;
use super::target_totals::TargetTotals;
use serde::{Deserialize, Serialize};

/// Facts about a run at the end of a second, besides the snapshots.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SecondEnd {
    /// End of the row of the series that ends now.
    pub row_ns: u64,
    /// Until when the numbers are complete.
    pub until_ns: u64,
    /// CPU usage of the load generator since the previous reading, in percent of one core.
    pub cpu_percent: Option<f64>,
    /// Number of devices that should be online according to the plan.
    pub planned_online: u64,
    /// The same for each fleet: at the end of each 100 ms of the second, or a single number if they are equal. Journals from earlier
    /// versions have none.
    #[serde(default)]
    pub planned_by_fleet: Vec<Vec<u64>>,
    /// End of the load, as far as it is known.
    pub load_end_us: u64,
    /// Resource use of the load generator.
    pub generator: GeneratorUse,
    /// TLS version, cipher suite and key-exchange group of the first connection.
    pub tls: Option<[String; 3]>,
    /// Failures that broke the measurement.
    pub breakdowns: Vec<String>,
}

/// Resource use of the load generator since the start of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GeneratorUse {
    /// User and system time.
    pub cpu_us: u64,
    /// CPU usage in the busiest interval, in percent of one core.
    pub cpu_peak_percent: f64,
    /// Peak resident memory.
    pub rss_peak_bytes: u64,
    /// Peak number of open file descriptors.
    pub fd_peak: u64,
}

/// One call of the collector. `S` is a snapshot and `E` a [`SecondEnd`], or references to them.
#[derive(Serialize, Deserialize)]
enum Entry<S, E> {
    Snapshot(Source, S),
    End(E),
}

/// Collects the bytes of a second.
#[derive(Debug, Default)]
pub struct Delta {
    bytes: Vec<u8>,
}

impl Delta {
    /// Adds a snapshot that the collector received.
    pub fn add(&mut self, snapshot: &Snapshot, source: Source) {
        self.encode(&Entry::<_, &SecondEnd>::Snapshot(source, snapshot));
    }

    /// Ends the second. Returns its bytes, and starts the next one.
    #[must_use]
    pub fn end(&mut self, end: &SecondEnd) -> Vec<u8> {
        self.encode(&Entry::<&Snapshot, _>::End(end));
        let next = Vec::with_capacity(self.bytes.len());
        std::mem::replace(&mut self.bytes, next)
    }

    fn encode<S: Serialize, E: Serialize>(&mut self, entry: &Entry<S, E>) {
        let mut serializer = rmp_serde::Serializer::new(&mut self.bytes).with_struct_map();
        entry.serialize(&mut serializer).expect("all names are strings, and writing to memory cannot fail");
    }
}

/// Why the bytes of a second cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The bytes have another structure.
    #[error("it cannot be decoded: {0}")]
    Encoding(#[from] rmp_serde::decode::Error),
    /// A number or a key is impossible in this run.
    #[error("it contains numbers that are impossible in this run")]
    Bounds,
}

/// Rebuilds a measurement from the bytes of its seconds.
#[derive(Debug)]
pub struct Replay {
    layout: Layout,
    collector: Collector,
    open: OpenOperations,
    last: SecondEnd,
}

/// A replayed run.
#[derive(Debug)]
pub struct Replayed {
    /// The measurement up to the last second.
    pub measurement: Measurement,
    /// How late the workers' heartbeats were.
    pub heartbeat: Latency,
    /// The end of the last second.
    pub last: SecondEnd,
}

impl Replay {
    /// Starts a replay for the fleets and phases of a run, whose histograms have this range.
    #[must_use]
    pub fn new(fleets: Vec<Fleet>, phases: Vec<Phase>, highest_us: u64) -> Replay {
        let layout = Layout { fleets: fleets.len(), phases: phases.len(), highest_us };
        let collector = Collector::new(layout, fleets, phases);
        Replay { layout, collector, open: OpenOperations::default(), last: SecondEnd::default() }
    }

    /// Adds the hosts of a target that has several.
    #[must_use]
    pub fn with_targets(mut self, targets: Vec<TargetTotals>) -> Replay {
        self.collector = self.collector.with_targets(targets);
        self
    }

    /// Sets the disturbances with a known start.
    pub fn schedule(&mut self, known: Vec<Disturbance>) {
        self.collector.schedule(known);
    }

    /// Adds the bytes of the next second.
    ///
    /// # Errors
    /// The bytes do not come from this run. Then nothing is added.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), ReplayError> {
        let (snapshots, end) = decode(bytes)?;
        let is_next = end.row_ns > self.last.row_ns && end.until_ns >= self.last.until_ns;
        let is_number = |share: f64| share.is_finite() && share >= 0.0;
        let percents = [end.cpu_percent.unwrap_or(0.0), end.generator.cpu_peak_percent];
        let fit = snapshots.iter().all(|(_, snapshot)| snapshot.fits(&self.layout));
        if !(is_next && fit && percents.into_iter().all(is_number)) {
            return Err(ReplayError::Bounds);
        }
        for (source, snapshot) in &snapshots {
            self.collector.add(snapshot, *source);
            self.open.add(snapshot);
        }
        self.collector.tick(end.row_ns, end.cpu_percent, end.planned_online);
        self.collector.tick_planned(end.row_ns, &end.planned_by_fleet);
        self.last = end;
        Ok(())
    }

    /// Returns the measurement so far.
    #[must_use]
    pub fn measurement(&self) -> &Measurement {
        self.collector.measurement()
    }

    /// Ends the replay. Due operations without an outcome become unfinished.
    #[must_use]
    pub fn finish(mut self) -> Replayed {
        let until_ns = self.last.until_ns;
        self.collector.end_open(until_ns, |key, totals| self.open.ages(key, totals, until_ns));
        let heartbeat = self.collector.heartbeat().clone();
        let ended_us = self.last.load_end_us.min(until_ns / 1_000);
        let breakdowns = self.last.breakdowns.clone();
        let measurement = self.collector.finish(ended_us, Vec::new(), breakdowns);
        Replayed { measurement, heartbeat, last: self.last }
    }
}

/// Decodes the bytes of a second, and checks that every number is small enough to be added up.
fn decode(bytes: &[u8]) -> Result<(Vec<(Source, Snapshot)>, SecondEnd), ReplayError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        Bounded::deserialize(&mut rmp_serde::Deserializer::new(&mut rest))?;
    }
    let (mut rest, mut snapshots) = (bytes, Vec::new());
    loop {
        match Entry::deserialize(&mut rmp_serde::Deserializer::new(&mut rest))? {
            Entry::Snapshot(source, snapshot) => snapshots.push((source, snapshot)),
            Entry::End(end) if rest.is_empty() => return Ok((snapshots, end)),
            Entry::End(_) => return Err(ReplayError::Bounds),
        }
    }
}

#[cfg(test)]
mod tests;
