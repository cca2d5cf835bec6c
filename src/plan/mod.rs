//! Scenario to Plan: immutable, resolved, shared read-only by every worker. Made by `app` from a `Scenario`,
//! read by `fleet`, `report` and `app`. It has no `Option` that has a default and no string that is a number;
//! it knows neither sockets nor clocks.

mod arrival;
mod authentication;
mod credentials;
mod deliveries;
mod device;
mod drives;
mod filters;
mod fingerprint;
mod fixed;
mod fleets;
mod lines;
mod listed;
mod listing;
mod memory;
mod needs;
mod payload;
mod resolve;
mod rules;
mod samples;
mod schedule;
mod sdk;
mod sends;
mod stamp;
mod template;
mod threshold;
mod token;
mod totals;
mod types;
mod uses;
mod will;

pub use crate::measure::{Compare, Test};
pub use arrival::{Arrival, Cursor, Due, RoundRobin, Spread};
pub use credentials::{Auth, Credentials, Keys, Secret};
pub use deliveries::{Deliveries, ExpectedStream};
pub use listed::DeviceList;
pub use needs::Needs;
pub use payload::{Payload, PayloadContext, PayloadError, PayloadState};
pub use resolve::{load, resolve};
pub use samples::samples_needed;
pub use schedule::{Load, PhasePlan, RunLoad, Schedule, Segment, Span, ns};
pub use sdk::{DevicePreset, SubscribeQos, device_preset};
pub use stamp::Stamp;
pub use template::{Template, TemplateContext, TemplateError};
pub use token::{Renew, TokenLife};
pub use types::*;

#[cfg(test)]
mod listing_tests;
