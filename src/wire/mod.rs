//! MQTT 3.1.1 bytes, both ways: [`decode`] takes one packet off a buffer, [`encode`] appends one to a buffer.
//!
//! Called by `session` (the client, lenient) and `emulator` (the hub, strict), and by `plan` for the topic rules.
//! It is the only room that names mqttbytes, whose traps end here, and it must not know who speaks or what the
//! packets are for. Section numbers are those of the OASIS standard, MQTT Version 3.1.1, 29 October 2014.

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

pub use decode::decode;
pub use frame::DecodeError;
pub use fuzz_check::check_decode;
pub use packet::{
    Connect, Packet, Publish, QoS, REMAINING_BYTES_MAX, STRING_BYTES_MAX, SUBACK_FAILURE, Subscribe, Will,
};
pub use strict::Strictness;
