//! Capacity, measured: the search for the highest load that still meets the thresholds. `search` chooses the next level and computes the
//! bounds, [`pace`] decides when to offer it, [`trial`] and [`backlog`] judge a trial, and [`answer`] puts the trials together. [`measured`]
//! is the result file. Called by `app`; rendered by `report`.
//!
//! Pure functions and state machines. Must not depend on workers, sockets or clocks.

pub mod answer;
pub mod backlog;
pub mod measured;
pub mod pace;
mod search;
pub mod search_assertion;
pub mod trial;

pub use search::{Answer, End, Next, Search, SearchRules, TrialVerdict, conditional_throughput};
