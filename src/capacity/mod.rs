//! The capacity of a hub, calculated and measured. Called by `app`; rendered by `report`.
//!
//! Calculated (`hubstorm plan`): the units of each tier of IoT Hub that a plan needs, the limit that binds, and the price. Input: a plan and a
//! price list. Output: a [`CapacityPlan`]. Read `model.rs` first, then `plan_capacity.rs`.
//!
//! - `demand`: the load of each limit class in each phase, and the billed messages of a day.
//! - `blocks`: the billed messages of each operation, from rendered payloads.
//! - `units`: the units and hubs of a tier that a demand needs.
//! - `options`: all tiers, cheapest first, and the recommendation.
//! - `prices`: the price list.
//! - `generator`: the machines that generate the load.
//! - `assertion`: conditions such as `units(S2) <= 40`.
//!
//! Measured (`hubstorm capacity`): the highest load that still meets the thresholds. Read `measured.rs`, the result, first.
//!
//! - `search`: chooses the next level, and computes the bounds.
//! - `pace`: when to offer which load, and `burst`, the load at the start of a trial that uses up the burst allowance of a hub.
//! - `trial` and `backlog`: judge a trial.
//! - `answer`: the interval, that of each criterion, and the curve, from the trials.
//! - `search_assertion`: conditions such as `capacity >= 4000/s`.
//! - `comparison`: compares two capacities.
//!
//! Pure. The throttles themselves are in `iothub`. Must not depend on connections, workers or clocks.

pub mod answer;
mod assertion;
pub mod backlog;
mod blocks;
pub mod burst;
pub mod comparison;
mod demand;
pub mod generator;
pub mod measured;
pub mod model;
mod options;
pub mod pace;
mod plan_capacity;
mod prices;
mod search;
pub mod search_assertion;
mod simple_fleet;
pub mod trial;
mod units;

pub use assertion::{Assertion, AssertionError};
pub use blocks::{call_blocks, call_kib, message_blocks};
pub use model::{CapacityPlan, schema};
pub use plan_capacity::{Settings, plan_capacity};
pub use prices::{PriceError, PriceList, money};
pub use search::{Answer, End, Next, Search, SearchRules, TrialVerdict, conditional_throughput};
pub use simple_fleet::SimpleFleet;

#[cfg(test)]
mod tests;
