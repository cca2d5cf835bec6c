//! The fleets over the whole run, and the deliveries of each stream. Called by `page`. Uses only the result.

use super::super::format::plain;
use super::super::summary::Summary;
use crate::measure::{Fleet, FleetCounts, Stream};
use crate::result::model::RunResult;
use crate::units::{human_bytes, human_count};

/// Name, devices, peak, reconnects, renewals, late acks, sent, received.
pub(super) type FleetRow = [String; 8];

/// Returns a row for each fleet.
pub(super) fn fleets(result: &RunResult) -> Vec<FleetRow> {
    let row = |fleet: &Fleet| row(&plain(&fleet.name), fleet.devices, fleet.connected_peak, &fleet.counts);
    result.measurement.fleets.iter().map(row).collect()
}

/// Returns the sums over all fleets. `None` if there is only one.
pub(super) fn all_fleets(result: &RunResult, summary: &Summary) -> Option<FleetRow> {
    let fleets = &result.measurement.fleets;
    let mut counts = FleetCounts::default();
    fleets.iter().for_each(|fleet| counts.add(&fleet.counts));
    let name = format!("all {} fleets", fleets.len());
    (fleets.len() > 1).then(|| row(&name, summary.devices, summary.online_peak, &counts))
}

fn row(name: &str, devices: u64, online_peak: u64, counts: &FleetCounts) -> FleetRow {
    [
        name.to_owned(),
        human_count(devices),
        human_count(online_peak),
        human_count(counts.reconnects),
        human_count(counts.renewals),
        human_count(counts.late_acks),
        human_bytes(counts.bytes_sent),
        human_bytes(counts.bytes_received),
    ]
}

/// Returns the deliveries of each tracked stream.
pub(super) fn streams(result: &RunResult) -> Vec<[String; 6]> {
    let row = |stream: &Stream| {
        let [ok, lost, duplicates, reordered] =
            [stream.ok, stream.lost, stream.duplicates, stream.reordered].map(human_count);
        [plain(&stream.fleet), plain(&stream.topic), ok, lost, duplicates, reordered]
    };
    result.measurement.streams.iter().map(row).collect()
}
