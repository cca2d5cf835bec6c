//! The arguments of `hubstorm plan`. Used by `cli`; `app` acts on them.

use crate::report::Export;
use clap::{Args, ValueEnum, ValueHint};
use std::path::PathBuf;

/// `hubstorm plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Scenario file (TOML, or JSON with the same structure), or - for stdin
    #[arg(conflicts_with = "devices")]
    pub scenario: Option<PathBuf>,
    /// Override a scenario value, such as fleet.meter.devices=500; can be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "scenario")]
    pub set: Vec<String>,
    /// Instead of a scenario: the number of devices
    #[arg(long, value_name = "N", requires_all = ["every", "size"], value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub devices: Option<u64>,
    /// With --devices: the time between two messages of a device, such as 15s
    #[arg(long, value_name = "DURATION", requires = "devices")]
    pub every: Option<String>,
    /// With --devices: the size of a message in bytes
    #[arg(long, value_name = "BYTES", requires = "devices", value_parser = clap::value_parser!(u64).range(0..=262_144))]
    pub size: Option<u64>,
    /// With --devices: the SDK of the devices, which determines how often they renew their tokens: python, node, dotnet, java, c or c-unified
    #[arg(long, value_name = "SDK", requires = "devices", value_parser = ["python", "node", "dotnet", "java", "c", "c-unified"], hide_possible_values = true)]
    pub sdk: Option<String>,
    /// With --devices: how often each device reads its twin, such as 4/1d
    #[arg(long, value_name = "RATE", requires = "devices")]
    pub twin_reads: Option<String>,
    /// Use at most this share of each limit, such as 75%
    #[arg(long, value_name = "SHARE", default_value = "100%")]
    pub headroom: String,
    /// All devices must be able to reconnect within this time [default: no limit]
    #[arg(long, value_name = "DURATION")]
    pub reconnect_within: Option<String>,
    /// Price list (TOML) [default: a built-in list, unverified]. See docs/capacity.md
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub prices: Option<PathBuf>,
    /// Exit with 99 unless this holds; can be repeated. Metrics: units(TIER), hubs(TIER), price(TIER), share(CLASS), such as
    /// "units(S2) <= 40"; without a tier, the recommended one
    #[arg(long = "assert", value_name = "CONDITION")]
    pub assertions: Vec<String>,
    /// Format of the output: text, json, markdown or html
    #[arg(long, value_enum, default_value = "text", hide_possible_values = true)]
    pub format: PlanFormat,
    /// Also write the plan to this file, replacing it; can be repeated. Formats: json, html, text, markdown [default: by file
    /// extension]
    #[arg(long, value_name = "[FORMAT=]FILE", value_parser = Export::parse, value_hint = ValueHint::FilePath)]
    pub export: Vec<Export>,
    /// Do not append the plan to the file that GitHub Actions names in GITHUB_STEP_SUMMARY
    #[arg(long)]
    pub no_step_summary: bool,
}

/// Formats of a capacity plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// Text for a terminal
    Text,
    /// JSON, hubstorm.plan.v1
    Json,
    /// Tables for a summary
    Markdown,
    /// A self-contained page with a chart
    Html,
}
