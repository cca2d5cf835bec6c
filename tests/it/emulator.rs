//! The emulator over real sockets, with peers that read and write raw bytes. The unit tests of `emulator` cover the rules for each packet.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod command_line;
mod connections;
mod control;
mod device;
mod device_file;
mod standalone;
