//! Operations, outcomes and recorders: what is counted and how long it took. Written by `fleet`, read by
//! `result` and `report`. It knows nanoseconds since the run's zero, and neither MQTT nor the clock.
//!
//! In reading order: `operation` says what exists, `latency` how a duration is kept, `totals` what one operation of one fleet and
//! phase adds up to, `series` the same over time; a [`Recorder`] fills them on each worker, a [`Collector`] adds the workers'
//! snapshots up to a [`Measurement`], which is judged by [`Rules`] and is the body of the result file.

mod cells;
mod collector;
mod echo;
mod errors;
mod event;
mod fleet_counts;
mod footprint;
pub mod hdr;
mod health;
mod interval;
mod latency;
mod layout;
mod measurement;
mod operation;
mod outcomes;
mod packed;
mod recorder;
mod rules;
mod seconds;
mod series;
mod snapshot;
mod totals;

pub use collector::{Collector, Live};
pub use errors::ErrorTotals;
pub use event::{Ending, Event, Second};
pub use fleet_counts::{Counts, FleetCounts, FromHub};
pub use footprint::{kept_bytes, series_bytes};
pub use health::{ClockStep, Health, Source};
pub use interval::{ByOperation, Interval};
pub use latency::Latency;
pub(crate) use latency::rank;
pub use layout::Layout;
pub use measurement::{Fleet, Measurement, OperationTotals, Phase, Stream};
pub use operation::{Culprit, Key, Operation, Outcome, Times};
pub use outcomes::Outcomes;
pub(crate) use recorder::EXCUSE_SHARE;
pub use recorder::Recorder;
pub use rules::{Compare, Limits, Rule, Rules, Test, threshold_label};
pub use series::{ROWS_MAX, Row, Series};
pub use snapshot::Snapshot;
pub use totals::Totals;
