//! Calculates the capacity of an IoT hub: how many units of which tier a plan needs, what binds, and what it costs. A plan and a price list
//! come in; a [`CapacityPlan`] goes out. Made by `app` for `hubstorm plan`; rendered by `report`. Read `model.rs` first, then `plan_capacity.rs`.
//!
//! - `demand`: the load of each limit class in each phase, and the billed messages of a day.
//! - `blocks`: the billed messages of each operation, from rendered payloads.
//! - `units`: the units and hubs of a tier that a demand needs.
//! - `options`: all tiers, cheapest first, and the recommendation.
//! - `prices`: the price list.
//! - `generator`: the machines that generate the load.
//! - `assertion`: conditions such as `units(S2) <= 40`.
//!
//! Pure. The throttles themselves are in `iothub`. Must not depend on connections, workers or results of runs.

mod assertion;
mod blocks;
mod demand;
mod generator;
pub mod model;
mod options;
mod plan_capacity;
mod prices;
mod simple_fleet;
mod units;

pub use assertion::{Assertion, AssertionError};
pub use blocks::{call_blocks, message_blocks};
pub use model::{CapacityPlan, schema};
pub use plan_capacity::{Settings, plan_capacity};
pub use prices::{PriceError, PriceList, money};
pub use simple_fleet::SimpleFleet;

#[cfg(test)]
mod tests;
