//! The options of the emulator's behavior that scenarios, control lines and the command line share. Plain data: the plan and the
//! emulator's configuration contain it.

use super::limits;
use std::time::Duration;

/// How the emulator behaves towards devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmulatorOptions {
    /// Time from the expiry of a token to the end of the connection that it opened.
    pub expiry_grace: Duration,
    /// Accept unescaped `#`, `+` and `/` in property bags, which otherwise end the connection.
    pub lenient_properties: bool,
}

impl Default for EmulatorOptions {
    /// Behaves like Azure.
    fn default() -> EmulatorOptions {
        EmulatorOptions { expiry_grace: limits::EXPIRY_GRACE, lenient_properties: false }
    }
}
