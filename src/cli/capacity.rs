//! The arguments of `hubstorm capacity`. Used by `cli`; `app` acts on them.

use super::ScenarioArgs;
use crate::report::Export;
use clap::{Args, ValueEnum, ValueHint};
use std::path::PathBuf;

/// `hubstorm capacity`.
#[derive(Debug, Args)]
pub struct CapacityArgs {
    /// Scenario options.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// What to vary: the load of the phase (load), or the number of devices with the same load for each device (devices)
    #[arg(long, value_enum, default_value = "load", hide_possible_values = true)]
    pub vary: VaryArg,
    /// Phase whose load to search; the phases before it run once. Each trial must meet the thresholds of this phase [default: the one
    /// with the largest load that is no warm-up]
    #[arg(long, value_name = "NAME")]
    pub phase: Option<String>,
    /// Lowest level: a share of the phase's load (20%) or messages per second of all fleets (400/s); with --vary devices, a number of
    /// devices of all fleets (400) or a share of the scenario's devices (20%) [default: 10%, or the lowest level that gives every
    /// percentile enough samples]
    #[arg(long, value_name = "LEVEL")]
    pub from: Option<String>,
    /// Highest level [default: as much as this machine can generate according to the costs that `hubstorm plan` uses; for a hub whose size
    /// is known, at most twice its throttle]
    #[arg(long, value_name = "LEVEL")]
    pub to: Option<String>,
    /// The search ends when the interval is at most this share of its upper bound
    #[arg(long, value_name = "SHARE", default_value = "5%")]
    pub width: String,
    /// Length of a trial [default: 30s; 3m for an IoT hub with a tier and with --exhaust-burst, of which only the last third is judged]
    #[arg(long, value_name = "DURATION")]
    pub hold: Option<String>,
    /// Number of trials, of which a majority decides a level
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..=99))]
    pub confirm: u32,
    /// At the start of each trial, use up the burst that the target lets through before it holds messages back. The default for an IoT hub
    /// with a tier
    #[arg(long)]
    pub exhaust_burst: bool,
    /// End the search after this time [default: enough for 40 trials]
    #[arg(long, value_name = "DURATION")]
    pub max_time: Option<String>,
    /// End the search before it sends more messages than this
    #[arg(long, value_name = "N")]
    pub max_messages: Option<u64>,
    /// Continue the search of this capacity result, which was interrupted or ran out of time
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub resume: Option<PathBuf>,
    /// Check the answer, for example "capacity >= 4000/s", "capacity >= 80%", "capacity >= 12000 devices"; can be repeated. Exit code: 0 if true, 99 if false, 122
    /// if the bounds do not decide, 120 if the load generator was the limit
    #[arg(long = "assert", value_name = "ASSERTION")]
    pub assertions: Vec<String>,
    /// Folder for the JSON and HTML results
    #[arg(short, long, value_name = "DIR", default_value = "reports")]
    pub out: PathBuf,
    /// Also write the result to this file, replacing it; can be repeated. Formats: json, html, text, junit, markdown [default: by file
    /// extension]
    #[arg(long, value_name = "[FORMAT=]FILE", value_parser = Export::parse, value_hint = ValueHint::FilePath)]
    pub export: Vec<Export>,
    /// Number of worker threads [default: one per core; half as many with the built-in hub]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// Print the answer only, without progress
    #[arg(short, long)]
    pub quiet: bool,
    /// Print progress as a plain line every 5 s, even on a terminal
    #[arg(long)]
    pub no_tui: bool,
    /// Skip the confirmation for a search on a hub that bills for messages
    #[arg(short, long)]
    pub yes: bool,
    /// Do not append a summary to the file that GitHub Actions names in GITHUB_STEP_SUMMARY
    #[arg(long)]
    pub no_step_summary: bool,
    /// Skip the preflight check, which connects one device of each fleet before the load
    #[arg(long)]
    pub no_preflight: bool,
}

/// What a search varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "kebab-case")]
pub enum VaryArg {
    /// The load of the phase
    Load,
    /// The number of devices
    Devices,
}
