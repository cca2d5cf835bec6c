//! The contents of a capacity plan, `hubstorm.plan.v1`. Filled by `plan_capacity`; `app` and `report` render it. Later releases only add to
//! version 1; readers ignore unknown fields.

use crate::result::model::Tool;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The value of `schema` in a capacity plan.
pub const SCHEMA: &str = "hubstorm.plan.v1";

/// The class of the daily quota.
pub const QUOTA: &str = "messages_per_day";
/// The class of the number of registered devices.
pub const DEVICES: &str = "devices";

/// The units that a fleet needs in each tier of IoT Hub, computed without a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityPlan {
    /// Always `hubstorm.plan.v1`.
    pub schema: String,
    /// Program that made the plan.
    pub tool: Tool,
    /// Name of the scenario, or a description of the fleet on the command line.
    pub name: String,
    /// Scenario file. Null if the fleet is described on the command line.
    pub scenario: Option<String>,
    /// Number of devices.
    pub devices: u64,
    /// Share of each limit that the plan uses at most, as a fraction of 1.
    pub headroom: f64,
    /// Time within which all devices must be able to reconnect, in seconds. Null if reconnects do not bind.
    pub reconnect_within_seconds: Option<f64>,
    /// Load of each limit class in each phase, in the order of the phases.
    pub demand: Vec<Demand>,
    /// The day that the daily quota is compared with.
    pub day: Day,
    /// One option per tier, cheapest first. Options that do not fit are last.
    pub options: Vec<SizeOption>,
    /// The cheapest option that fits. Null if none fits.
    pub recommended: Option<Choice>,
    /// The second cheapest option that fits. Null if there is no second one.
    pub runner_up: Option<Choice>,
    /// The hub of the scenario, as it is. Null if its size is not known.
    pub current: Option<SizeOption>,
    /// What it takes to generate this load.
    pub generator: Generator,
    /// Prices per unit.
    pub prices: Prices,
    /// Results of `--assert`.
    pub assertions: Vec<AssertionResult>,
    /// Facts that a reader should know.
    pub notes: Vec<String>,
}

/// The load of a limit class in a phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Demand {
    /// Limit class: `connections`, `d2c`, `c2d`, `twin_reads`, `twin_updates`, `methods` or `messages_per_day`.
    pub class: String,
    /// Unit of the values: `per_s`, `KiB/s` for methods, or `per_day` for billed messages, if the phase lasted 24 hours.
    pub unit: String,
    /// Phase.
    pub phase: String,
    /// True for a warm-up phase, which does not bind unless it is part of the day.
    pub warmup: bool,
    /// Average over the phase.
    pub average: f64,
    /// Highest rate, with the devices that connect at once.
    pub peak: f64,
    /// Highest rate without the devices that connect at once. Limits are compared with this rate: a hub delays a burst of connections.
    pub sustained: f64,
}

/// The billed messages of a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Day {
    /// Billed messages of the day in paid tiers, in blocks of 4 KiB.
    pub messages: u64,
    /// Billed messages of the day in the tier F1, in blocks of 512 bytes.
    pub messages_free: u64,
    /// Parts of the day.
    pub parts: Vec<Part>,
}

/// A part of the day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// Phase whose load lasts.
    pub phase: String,
    /// Length in hours.
    pub hours: f64,
    /// Billed messages in blocks of 4 KiB.
    pub messages: u64,
}

/// A tier with the units that hold the load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SizeOption {
    /// Tier, such as `S1`.
    pub tier: String,
    /// Number of units that the load needs, even if one hub cannot have this number.
    pub units: u64,
    /// Number of hubs that the units and the devices need.
    pub hubs: u64,
    /// Whether the tier can hold the load.
    pub fits: bool,
    /// Class that needs the most units or hubs, or that the tier lacks.
    pub bound_by: String,
    /// Why `bound_by` binds, in one sentence without a final period.
    pub reason: String,
    /// Limits of all hubs together, for each class with a load.
    pub limits: Vec<Limit>,
    /// Price of all units. Null if the price list lacks the tier.
    pub price: Option<Price>,
    /// Shortest time in which all devices can connect, in seconds.
    pub online_seconds: f64,
    /// Hours until the daily quota is used up at the highest rate of the day. Null if it lasts 24 hours.
    pub quota_hours: Option<f64>,
    /// What happens if all devices lose their connections at once.
    pub reconnect: Reconnect,
}

/// A limit, and its use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Limit {
    /// Limit class, as in `demand`, or `devices`.
    pub class: String,
    /// Unit of `demand` and `limit`: `per_s`, `KiB/s`, `per_day` or `count`.
    pub unit: String,
    /// Load.
    pub demand: f64,
    /// Limit. Null if the tier does not have these operations.
    pub limit: Option<f64>,
    /// `demand` divided by `limit`. Null if the tier does not have these operations.
    pub share: Option<f64>,
}

/// The price of an option.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    /// Price of all units for the period.
    pub amount: f64,
    /// Currency.
    pub currency: String,
    /// Always `month`.
    pub period: String,
    /// Date of the price list.
    pub as_of: String,
    /// `unverified` for the built-in list, `from_file` for the list of `--prices`.
    pub status: String,
}

/// A full reconnect: all devices lose their connections at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reconnect {
    /// Number of devices that reconnect.
    pub devices: u64,
    /// Limit for new connections, per second.
    pub connections_per_s: f64,
    /// Shortest time until all devices have reconnected, in seconds.
    pub seconds: f64,
    /// Class that determines this time: `connections`, or `twin_reads` if devices read their twin after each connect.
    pub bound_by: String,
    /// Billed messages of the reconnect.
    pub messages: u64,
}

/// An option with the reason for its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Choice {
    /// Tier.
    pub tier: String,
    /// Number of units.
    pub units: u64,
    /// Number of hubs.
    pub hubs: u64,
    /// Reason, in one sentence without a final period.
    pub reason: String,
}

/// The resources that generate the load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Generator {
    /// Number of machines with `machine_cores` cores and `machine_memory_bytes` bytes of memory.
    pub machines: u64,
    /// Number of cores.
    pub cores: u64,
    /// CPU time of the busiest phase, in seconds per second.
    pub cpu_seconds_per_s: f64,
    /// Memory of the process and of the kernel, in bytes.
    pub memory_bytes: u64,
    /// File descriptors.
    pub descriptors: u64,
    /// Source addresses.
    pub source_addresses: u64,
    /// Cores of a machine.
    pub machine_cores: u64,
    /// Memory of a machine, in bytes.
    pub machine_memory_bytes: u64,
}

/// The price list that the plan uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prices {
    /// `unverified` for the built-in list, `from_file` for the list of `--prices`.
    pub status: String,
    /// Currency.
    pub currency: String,
    /// Date of the list.
    pub as_of: String,
    /// Price of a unit for a month, by tier.
    pub units: Vec<UnitPrice>,
}

/// The price of a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnitPrice {
    /// Tier.
    pub tier: String,
    /// Price of a unit for a month.
    pub price: f64,
    /// Source of the price. Null if the list names none.
    pub source: Option<String>,
}

/// The result of an assertion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AssertionResult {
    /// Assertion as written.
    pub expression: String,
    /// Value of its metric. Null if there is no value, because no option fits. Such an assertion fails.
    pub value: Option<f64>,
    /// Whether it holds.
    pub passed: bool,
}

impl CapacityPlan {
    /// Returns the option for a tier.
    #[must_use]
    pub fn option(&self, tier: &str) -> Option<&SizeOption> {
        self.options.iter().find(|option| option.tier == tier)
    }

    /// Returns the recommended option.
    #[must_use]
    pub fn recommended_option(&self) -> Option<&SizeOption> {
        self.option(&self.recommended.as_ref()?.tier)
    }
}

/// Returns the JSON Schema of a capacity plan.
#[must_use]
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(CapacityPlan);
    schema.insert("title".to_owned(), SCHEMA.into());
    schema.to_value()
}
