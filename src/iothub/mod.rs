//! What Azure IoT Hub defines on top of MQTT, as pure functions: names and topics, SAS tokens, property bags,
//! limits with their source. The load generator makes with it what the emulator checks with it, so every rule
//! is pinned by vectors that neither side computed.
//!
//! It touches no socket and no clock: `now` is an argument, in seconds since the Unix epoch.

pub mod connection_string;
pub mod emulator_options;
pub mod error_code;
mod escape;
pub mod limits;
pub mod message_size;
pub mod names;
pub mod properties;
pub mod received;
pub mod registry;
pub mod sas;
pub mod service;
pub mod topics;
pub mod twin_patch;
