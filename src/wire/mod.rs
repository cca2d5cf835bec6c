//! Encodes and decodes MQTT 3.1.1 packets. [`decode`] takes one packet from the front of a buffer, and the functions in [`encode`] append
//! one to a buffer. Start with `packet.rs`, which defines the packets.
//!
//! Called by `session` (the client, lenient), by `emulator` (the server, strict), and by `plan` for topic rules. This is the only room
//! that uses mqttbytes, and it works around that crate's bugs. It must not depend on any other room, or on what packets are used for.
//! Section numbers refer to the OASIS standard, MQTT Version 3.1.1, 29 October 2014.

mod acknowledgments;
mod connect;
mod decode;
pub mod encode;
mod frame;
mod fuzz_check;
mod packet;
mod reader;
mod strict;
pub mod topic;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod vector_tests;

pub use acknowledgments::without_acknowledgments;
pub use decode::decode;
pub use frame::DecodeError;
pub use fuzz_check::check_decode;
pub use packet::{
    Connect, Packet, Publish, QoS, REMAINING_BYTES_MAX, STRING_BYTES_MAX, SUBACK_FAILURE, Subscribe, Will,
};
pub use strict::Strictness;
