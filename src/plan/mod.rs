//! The plan of a run. A `Scenario` comes in (`resolve`); an immutable [`Plan`] goes out, which every worker shares. Made by `app`,
//! read by `fleet`, `report` and `app`. Read `model/plan.rs` first, then `resolve/mod.rs`.
//!
//! - `resolve`: scenario text to plan, with everything that is wrong with it.
//! - `model`: the plain types of a plan.
//! - `schedule`: phases, load, arrivals.
//! - `payload`: what messages contain.
//! - `credentials`: how devices prove who they are.
//! - `deliveries`: which messages come back to the run's own subscribers.
//! - `forecast`: what a run will need and measure.
//! - `sdk`: presets of Azure's device SDKs; `rules`: what the run is judged by; `fingerprint`: the hash of its load.
//!
//! A plan has no `Option` that has a default and no string that is a number. It must not depend on sockets or clocks.

mod credentials;
mod deliveries;
mod duplicates;
mod fingerprint;
mod forecast;
mod model;
mod payload;
mod resolve;
mod rules;
mod schedule;
mod sdk;

pub use crate::measure::{Compare, Test};
pub use credentials::{Auth, Credentials, DeviceList, Keys, Renew, Secret, TokenLife};
pub use deliveries::{Deliveries, ExpectedStream};
pub use forecast::{Needs, samples_needed};
pub use model::*;
pub use payload::{
    Payload, PayloadContext, PayloadError, PayloadState, Stamp, Template, TemplateContext, TemplateError,
};
pub use resolve::{load, resolve};
pub use schedule::{
    Arrival, Cursor, Due, Load, PhasePlan, RoundRobin, RunLoad, Schedule, Segment, Span, Spread, ns,
};
pub use sdk::{DevicePreset, device_preset};
