//! Options for the emulator's behavior, shared by scenarios, control lines and the command line. Plain data: the plan and the
//! emulator's configuration contain it.

use super::limits;
use std::time::Duration;

/// Options for the emulator's behavior toward devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmulatorOptions {
    /// Time from a token's expiry until the emulator closes the connection that the token opened.
    pub expiry_grace: Duration,
    /// True to accept unescaped `#`, `+` and `/` in property bags. If false, they end the connection.
    pub lenient_properties: bool,
}

impl Default for EmulatorOptions {
    /// Returns the options that match Azure's behavior.
    fn default() -> EmulatorOptions {
        EmulatorOptions { expiry_grace: limits::EXPIRY_GRACE, lenient_properties: false }
    }
}
