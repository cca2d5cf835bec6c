//! Why results cannot be compared. Created by this room, printed by `app`.

/// The reason why results cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A metric cannot be parsed.
    #[error("metric {text:?}: {what}; allowed: {allowed}")]
    Metric {
        /// Metric as written.
        text: String,
        /// Problem.
        what: String,
        /// Allowed values.
        allowed: String,
    },
    /// A tolerance cannot be parsed.
    #[error(
        "tolerance {0:?} is not valid; write a share for all metrics, such as 10%, or a metric and a share, such as \"telemetry p(99) 15%\""
    )]
    Tolerance(String),
    /// The run has no such phase or fleet.
    #[error("{what} {name:?} is not in the results; allowed: {allowed}")]
    Selector {
        /// `phase` or `fleet`.
        what: &'static str,
        /// Name as written.
        name: String,
        /// Names in the results.
        allowed: String,
    },
    /// There is nothing to compare.
    #[error(
        "the results have no thresholds and no messages, so there is nothing to compare; choose metrics with --metric"
    )]
    NoMetrics,
    /// One side has no results.
    #[error("there are no {0} results")]
    NoResults(&'static str),
    /// A run was interrupted or broke down.
    #[error(
        "{file} is incomplete: the run was interrupted or broke down. Run the scenario again, or leave this file out"
    )]
    Incomplete {
        /// Path of the file.
        file: String,
    },
    /// The results are of different loads.
    #[error(
        "{other} is not comparable with {file}: {what} differs. Compare runs of the same scenario, or record a new baseline"
    )]
    OtherLoad {
        /// Path of the new result.
        file: String,
        /// Path of the other result.
        other: String,
        /// The property that differs.
        what: &'static str,
    },
    /// A file from an earlier version has no plan hash.
    #[error(
        "{file} has no plan hash, because an earlier version of hubstorm wrote it. Run the scenario again with this version"
    )]
    NoPlan {
        /// Path of the file.
        file: String,
    },
    /// The same run is on both sides.
    #[error("{file} and {other} are the same run ({id}). Specify two different runs")]
    SameRun {
        /// Path of the new result.
        file: String,
        /// Path of the base result.
        other: String,
        /// `run.id`.
        id: String,
    },
}
