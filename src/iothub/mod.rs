//! What Azure IoT Hub defines on top of MQTT, as pure functions: names and topics, SAS tokens, property bags,
//! limits with their source. The load generator makes with it what the emulator checks with it, so every rule
//! is pinned by vectors that neither side computed.
//!
//! It touches no socket and no clock: `now` is an argument, in seconds since the Unix epoch.

pub mod connection;
pub mod error_code;
pub mod limits;
pub mod names;
pub mod properties;
pub mod received;
pub mod registry;
pub mod sas;
pub mod service;
pub mod size;
pub mod topics;
pub mod twin_patch;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

/// Everything but RFC 3986's unreserved characters is escaped, in SAS resources, signatures and property bags.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
