//! The metrics of an IoT hub after parsing. Created by `parse`, read by `report`.

use super::series::Series;

/// The metrics of an IoT hub.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HubMetrics {
    /// Name of the hub, from the resource id. `None` if no metric has one.
    pub hub: Option<String>,
    /// Metrics that hubstorm knows and that have usable values, in the order of [`KNOWN`](super::KNOWN).
    pub series: Vec<Series>,
    /// Metrics in the file that are not used.
    pub not_used: Vec<NotUsed>,
    /// Start of the first and end of the last interval in the file, with or without values, in microseconds since the Unix epoch. `None` if
    /// there is no interval.
    pub span_us: Option<[i64; 2]>,
}

/// A metric that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotUsed {
    /// Name of the metric in the file.
    pub name: String,
    /// The reason, as a fragment of a sentence.
    pub reason: String,
}
