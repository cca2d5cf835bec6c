//! Scenario to Plan: immutable, resolved, shared read-only by every worker. Made by `app` from a `Scenario`,
//! read by `fleet`, `report` and `app`. It has no `Option` that has a default and no string that is a number;
//! it knows neither sockets nor clocks.

mod types;

pub use types::*;
