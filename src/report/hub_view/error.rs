//! Why the metrics of a hub cannot be shown beside a result. Created by `mod` and `timeline`; `app` prints it.

/// The reason why metrics cannot be shown beside a result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HubViewError {
    /// The target was a broker.
    #[error(
        "the target of this run is an MQTT broker, which has no metrics of an IoT hub. Leave out --hub-metrics"
    )]
    Broker,
    /// The target was the built-in hub.
    #[error(
        "the target of this run is the built-in hub, which Azure does not measure. Leave out --hub-metrics"
    )]
    BuiltIn,
    /// The result has no start.
    #[error(
        "the result does not say when its run started ({0:?}), so the metrics have no place in it. Leave out --hub-metrics"
    )]
    NoStart(String),
    /// No metric can be used.
    #[error("{file} has no metric that hubstorm can use: {reasons}")]
    NothingUsable {
        /// File with the metrics.
        file: String,
        /// Names and reasons.
        reasons: String,
    },
    /// All values are outside the run.
    #[error(
        "{file} has no values during the run: its values are from {values}, and the run was from {run}. Query with {query}"
    )]
    Outside {
        /// File with the metrics.
        file: String,
        /// Time of the values: start and end in UTC.
        values: String,
        /// Time of the run, likewise.
        run: String,
        /// Time of the run in whole minutes, as options of Azure's command line.
        query: String,
    },
}
