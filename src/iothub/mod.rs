//! The rules that Azure IoT Hub adds to MQTT, as pure functions and types: user names and topics, SAS tokens, property bags, service calls
//! with their error codes, and limits with their sources. Text and bytes go in; text, tokens and parsed values come out. Start with
//! `topics.rs`.
//!
//! The load generator builds the text that the emulator checks, and both use this room. A bug in this room would therefore cancel out when
//! they are tested together, so its unit tests use published test vectors. It must not depend on sockets or clocks: the time is an
//! argument, in seconds since the Unix epoch.

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
pub mod throttles;
pub mod topics;
pub mod twin_patch;
