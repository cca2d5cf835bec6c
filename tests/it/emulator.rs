//! The emulator over real sockets. `emulator::session` tests what each packet means; here the peers read and write raw bytes.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod command_line;
mod connections;
mod control;
mod device;
