//! hubstorm load-tests an Azure IoT Hub, or any MQTT 3.1.1 broker, with thousands of simulated devices.
//!
//! The rooms, in a good reading order. `ARCHITECTURE.md` has the table of allowed imports, which `tests/tidy.rs` checks.
//!
//! 1. [`scenario`] reads the scenario file. [`plan`] resolves it into arrivals, payloads, credentials and phases.
//! 2. [`sansio`] is the contract between a protocol endpoint and its [`link`]. [`wire`] encodes and decodes MQTT packets, [`session`]
//!    is the client side of MQTT, and [`iothub`] has the rules of Azure IoT Hub.
//! 3. [`fleet`] runs the devices and records operations with [`measure`]. [`policy`] computes their back-off delays.
//! 4. [`result`] is the result file, [`report`] judges and renders it, and [`live`] prints progress lines.
//! 5. [`emulator`] is the built-in IoT Hub. [`capacity`] calculates the units that a load needs, and searches for the highest load that a
//!    target can take.
//! 6. [`cli`] parses the command line, and [`app`] has one file per subcommand.

pub mod app;
pub mod capacity;
pub mod cli;
pub mod clock;
pub mod compare;
pub mod emulator;
pub mod fleet;
pub mod hub_metrics;
pub mod iothub;
pub mod link;
pub mod live;
pub mod measure;
pub mod plan;
pub mod policy;
pub mod report;
pub mod result;
pub mod rng;
pub mod sansio;
pub mod scenario;
pub mod session;
pub mod stalls;
pub mod text_file;
pub mod units;
pub mod wire;

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod pair_tests;
#[cfg(test)]
mod soak_tests;
#[cfg(test)]
mod storm_tests;
