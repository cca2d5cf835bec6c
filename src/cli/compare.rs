//! The arguments of `hubstorm compare`. Used by `cli`; `app` acts on them.

use crate::report::Export;
use clap::{Args, ValueEnum, ValueHint};
use std::path::PathBuf;

/// `hubstorm compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Baseline: a result file of `run`, or a folder of them; or a result file of `capacity`. From 5 results on, their spread is the
    /// noise between runs
    pub base: PathBuf,
    /// New result of the same scenario, of the same kind, or a folder of them
    pub new: PathBuf,
    /// Options of the comparison.
    #[command(flatten)]
    pub options: CompareOptions,
    /// Format of the output: text, json, markdown, html or junit
    #[arg(long, value_enum, default_value = "text", hide_possible_values = true)]
    pub format: CompareFormat,
    /// Also write the comparison to this file, replacing it; can be repeated. Formats: json, html, text, markdown, junit [default:
    /// by file extension]
    #[arg(long, value_name = "[FORMAT=]FILE", value_parser = Export::parse, value_hint = ValueHint::FilePath)]
    pub export: Vec<Export>,
    /// Do not append the comparison to the file that GitHub Actions names in GITHUB_STEP_SUMMARY
    #[arg(long)]
    pub no_step_summary: bool,
}

/// Parses the number of kept results.
fn keep(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|keep| *keep >= 1).ok_or("expected a whole number of at least 1")
}

/// The options of a comparison, for `compare` and for `run --compare`. Both commands have an argument with the id `base`.
#[derive(Debug, Args)]
#[group(multiple = true, requires = "base")]
pub struct CompareOptions {
    /// Metric to compare, such as "telemetry p(99)" or "telemetry{phase:steady} rate(ok)"; can be repeated [default: those of the
    /// thresholds; without thresholds, p50, p99, rate(ok) and achieved of the messages, and p95 of connect]
    #[arg(long, value_name = "METRIC")]
    pub metric: Vec<String>,
    /// Largest change that is not a regression: 10% for all metrics except shares, or "telemetry p(99) 15%" for one; can be
    /// repeated [default: 10%]
    #[arg(long, value_name = "[METRIC ]SHARE")]
    pub tolerance: Vec<String>,
    /// A latency that grows by up to this is not a regression, whatever the ratio
    #[arg(long, value_name = "DURATION", default_value = "1ms")]
    pub floor: String,
    /// Largest growth of a failure share that is not a regression, in percentage points
    #[arg(long, value_name = "SHARE", default_value = "0.1%")]
    pub error_tolerance: String,
    /// Assumed standard deviation between two runs of the same thing, used for one run each
    #[arg(long, value_name = "SHARE", default_value = "10%")]
    pub noise: String,
    /// Exit with 0 (pass) or 121 (fail) instead of 122 if the comparison is inconclusive
    #[arg(long, value_enum, hide_possible_values = true)]
    pub inconclusive: Option<InconclusiveAs>,
    /// Decide even if the results are from different machines or versions of hubstorm
    #[arg(long)]
    pub force: bool,
    /// If the result passed and the comparison passes, add the result to the base folder, and remove the oldest ones. In an empty
    /// folder, the result starts the baseline
    #[arg(long)]
    pub update_baseline: bool,
    /// Number of results that --update-baseline keeps
    #[arg(long, value_name = "N", default_value = "10", requires = "update_baseline", value_parser = keep)]
    pub keep: usize,
}

/// What an inconclusive comparison counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InconclusiveAs {
    /// As passed: exit code 0
    Pass,
    /// As regressed: exit code 121
    Fail,
}

/// Formats of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompareFormat {
    /// Text for a terminal
    Text,
    /// JSON, hubstorm.compare.v1 or hubstorm.capacity-comparison.v1
    Json,
    /// Tables for a summary
    Markdown,
    /// A self-contained page with charts
    Html,
    /// Test cases in JUnit's XML format
    Junit,
}
