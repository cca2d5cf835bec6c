//! Compares results: is the new side worse than the base by more than the tolerance? Pure functions of result files. `app` reads
//! the files and prints; `report` may render. Read `model` first.
//!
//! This room must not depend on plans, workers or MQTT.

pub mod model;

pub use model::schema;
