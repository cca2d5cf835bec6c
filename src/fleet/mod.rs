//! Runs the simulated devices of a plan. In: a [`Plan`](crate::plan::Plan), the [`Settings`] of the run, and a channel of
//! [`Command`]s. Out: events during the run, and a [`Finished`] run with its measurement at the end. Read `run.rs` first, then
//! `worker.rs`, `device_task.rs` and `device.rs`.
//!
//! A run has W worker threads with one tokio `LocalRuntime` each. A device stays on its worker. Once per second each worker sends a
//! snapshot of its numbers to the coordinator, which merges them and returns the cleared histograms.
//!
//! `app` is the only caller. This room must not depend on result files, reports or the emulator.

mod command;
mod context;
mod coordinator;
mod delivery_tracker;
mod device;
mod device_faults;
mod device_recorder;
mod device_ref;
mod device_task;
mod heartbeat_timer;
mod hosts;
mod messages;
mod never_ack;
mod observer;
mod open;
mod plan_layout;
mod reconciliation;
mod run;
mod sequence_tracker;
mod service_driver;
mod service_task;
mod settings;
mod tally;
mod trace;
mod twin_requests;
mod usage;
mod worker;
mod worker_report;

#[cfg(test)]
mod run_tests;

pub use command::Command;
pub use context::Context;
pub use delivery_tracker::{DeliveryTracker, Inbox, StreamTotals};
pub use device::Device;
pub(crate) use device::connack_class;
pub use device_ref::DeviceRef;
pub use observer::{Observed, Observer};
pub use plan_layout::{collector, layout};
pub use run::run;
pub use sequence_tracker::Arrival;
pub use service_task::ServiceChannel;
pub use settings::{Finished, FleetError, Settings};
pub use tally::JournalEntry;
pub use trace::Tracer;
pub use usage::{Usage, process as own_usage, raise_descriptor_limit};
#[cfg(test)]
pub(crate) use {device::ConnectionEnd, service_driver::ServiceDriver};
pub(crate) use {settings::nanos, worker_report::Report};
