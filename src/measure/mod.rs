//! Measurements: the number, outcomes and latencies of operations, by fleet and phase. `fleet` reports every operation
//! to a [`Recorder`]; the output is a [`Measurement`], which `report` judges and which is the body of the result file.
//! Read `operation` first.
//!
//! In reading order: `operation` defines operations and outcomes, `latency` a latency distribution, `totals` the
//! numbers of one operation, fleet and phase, and `series` the numbers over time. A [`Recorder`] fills them on each
//! worker, a [`Collector`] combines the workers' snapshots into a [`Measurement`], and [`Rules`] define how the
//! measurement is judged.
//!
//! It must not depend on MQTT or on a clock: all times are arguments, in nanoseconds since the start of the run.

mod batches;
mod bounded;
mod cells;
mod collector;
mod connections;
mod disturbance;
mod disturbance_tracker;
mod echo;
mod errors;
mod event;
mod fleet_counts;
mod fleet_row;
mod footprint;
pub mod hdr;
mod health;
mod interval;
mod latency;
mod layout;
mod measurement;
mod open_operations;
mod operation;
mod outcomes;
mod packed;
mod recorder;
mod recovery;
mod replay;
mod rules;
mod seconds;
mod series;
mod snapshot;
mod strays;
mod target_recorder;
mod target_totals;
mod totals;

pub use batches::{BATCHES_MAX, Batch, Batches};
pub use collector::{Collector, Live, LiveErrors};
pub use connections::{Offline, Outage};
pub use disturbance::{BIN_US, Cause, Disturbance, DisturbedFleet};
pub use errors::ErrorTotals;
pub use event::{Ending, Event, Second};
pub use fleet_counts::{Counts, FleetCounts, FromHub};
pub use fleet_row::FleetRow;
pub use footprint::{kept_bytes, series_bytes};
pub use health::{ClockStep, Health, Source};
pub use interval::{ByOperation, Interval};
pub use latency::Latency;
pub(crate) use latency::rank;
pub use layout::Layout;
pub use measurement::{Fleet, FleetPhase, Measurement, OperationTotals, Phase, Stream};
pub use operation::{Culprit, Key, Operation, Outcome, Times};
pub use outcomes::Outcomes;
pub(crate) use recorder::EXCUSE_SHARE;
pub use recorder::Recorder;
pub use recovery::{HOLD_US, Reached, RecoveryBins};
pub use replay::{Delta, GeneratorUse, Replay, ReplayError, Replayed, SecondEnd};
pub use rules::{Compare, Limits, Rule, Rules, Test, threshold_label};
pub use series::{ROWS_MAX, Row, Series};
pub use snapshot::Snapshot;
pub use target_recorder::TargetRecorder;
pub use target_totals::{TargetError, TargetTotals};
pub use totals::Totals;
