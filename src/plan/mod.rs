//! The plan of a run: a scenario with every default applied, every name resolved, and every error found. A `Scenario` comes in,
//! and an immutable [`Plan`] that all workers share goes out. Made by `app`; read by `fleet`, `report` and `app`. Read
//! `model/plan.rs` first, then `resolve/mod.rs`.
//!
//! In a plan, a value with a default is never an `Option`, and a number is never a string. Must not depend on sockets or clocks.
//!
//! - `resolve`: turns a scenario into a plan, or reports all errors.
//! - `part`: restricts a scenario to some fleets, or to a shorter time.
//! - `model`: the plain types of a plan.
//! - `schedule`: phases, load, due times.
//! - `recording`: recorded messages that a stream replays.
//! - `payload`: message payloads, and templates for ids and topics.
//! - `credentials`: tokens, keys, passwords and device lists.
//! - `device_file`: a device list for the emulator.
//! - `disturbances`: planned disconnects and faults, after which devices have to return.
//! - `deliveries`: messages that the run's subscribers should receive.
//! - `forecast`: the resources that a run needs, and the samples that it produces.
//! - `once`: the plan in which one device of each fleet does every operation once.
//! - `sdk`: presets for Azure's device SDKs.
//! - `trials`: the plan of a search for capacity.
//! - `rules`: thresholds and validity limits, as the result file stores them.
//! - `fingerprint`: the hash of the load.

mod credentials;
mod deliveries;
mod device_file;
mod disturbances;
mod duplicates;
mod fingerprint;
mod forecast;
mod model;
mod once;
mod part;
mod payload;
mod recording;
mod resolve;
mod rules;
mod scaled;
mod schedule;
mod sdk;
mod trials;

pub use crate::measure::{Compare, Test};
pub use crate::scenario::{in_json, is_json};
pub use credentials::{Auth, Credentials, DeviceList, Keys, Renew, Secret, TokenLife};
pub use deliveries::{Deliveries, ExpectedStream};
pub use device_file::{DeviceFileError, parse_device_file};
pub use forecast::{Needs, Remedy, samples_needed};
pub use model::*;
pub use once::{OncePlan, OnceScope, Step};
pub use part::{Part, PartError};
pub use payload::{
    Payload, PayloadContext, PayloadError, PayloadState, Stamp, Template, TemplateContext, TemplateError,
};
pub use recording::{PlannedRows, RecordedLoad, Recording, Row};
pub use resolve::{load, resolve};
pub use rules::rules_for_run;
pub use scaled::{scale_devices, share_devices};
pub use schedule::{
    Arrival, ChurnPlan, Cursor, DeviceSeed, DisconnectPlan, Due, Load, OnlineChange, OnlineDevices,
    PhasePlan, RoundRobin, RunLoad, RunLoads, Schedule, Segment, Span, Spread, Stay, Stays, ns,
};
pub use sdk::{DevicePreset, device_preset};
pub use trials::TrialSlots;

#[cfg(test)]
mod test_support;
