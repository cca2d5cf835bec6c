//! The arguments of `hubstorm schema`. Used by `cli`; `app` acts on them.

use clap::{Args, ValueEnum};

/// `hubstorm schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// File format
    #[arg(value_enum)]
    pub format: SchemaFormat,
}

/// File formats with a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaFormat {
    /// Result file, hubstorm.result.v1
    Result,
    /// Comparison of two results, hubstorm.compare.v1
    Compare,
    /// Result of a capacity search, hubstorm.capacity.v1
    Capacity,
    /// Comparison of two capacity results, hubstorm.capacity-comparison.v1
    CapacityComparison,
    /// Capacity plan, hubstorm.plan.v1
    Plan,
    /// Scenario file
    Scenario,
}
