//! The metrics that an IoT hub publishes about itself, as `az monitor metrics list --output json` prints them: bytes in, intervals with
//! values out. `app` reads the file, and `report::hub_view` compares the values with a result.
//!
//! `model` is the output. `known` lists the metrics that hubstorm knows, `parse` reads the JSON, `series` puts the intervals of a
//! metric in order, and `interval` reads their length. Pure: it opens no file, and knows neither results nor runs.

mod error;
mod interval;
mod known;
mod model;
mod parse;
mod series;

pub use error::{HubMetricsError, METRICS_BYTES_MAX};
pub use known::{KNOWN, Known, Metric, Reading, SOURCE};
pub use model::{HubMetrics, NotUsed};
pub use parse::parse;
pub use series::{Bin, Series};

#[cfg(test)]
mod tests;
