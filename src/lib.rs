//! hubstorm load-tests an Azure IoT Hub, or any MQTT 3.1.1 broker, with thousands of faithful devices.
//!
//! The rooms, in the order in which they are best read; `ARCHITECTURE.md` has the layer table that
//! `tests/tidy.rs` enforces.
//!
//! 1. [`scenario`] reads the file; [`plan`] resolves it into arrivals, payloads, credentials and phases.
//! 2. [`sansio`] is the contract between a protocol endpoint and its [`link`]; [`wire`] is MQTT's bytes;
//!    [`session`] the client side of MQTT; [`iothub`] what Azure defines on top.
//! 3. [`fleet`] runs the devices and records with [`measure`]; [`policy`] says how they back off.
//! 4. [`result`] is the file that everything is rendered from; [`report`] the verdict and the faces; [`live`]
//!    the progress lines.
//! 5. [`emulator`] is the built-in hub.
//! 6. [`app`] holds one file per subcommand, and [`cli`] what can be typed.

pub mod app;
pub mod cli;
pub mod clock;
pub mod emulator;
pub mod fleet;
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
