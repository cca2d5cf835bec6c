//! How a device ends a connection that the scenario takes from it. Data only.

/// How a device ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disconnect {
    /// DISCONNECT, then FIN. The broker does not publish the will.
    Close,
    /// RST. The broker publishes the will.
    Reset,
    /// The device neither sends nor reads any more, and the connection stays open, as after a power failure. The broker finds out by its
    /// keep-alive timeout.
    Silent,
}

impl Disconnect {
    /// All ways, with their names in scenarios and results.
    pub const NAMES: [(&'static str, Disconnect); 3] =
        [("close", Disconnect::Close), ("reset", Disconnect::Reset), ("silent", Disconnect::Silent)];

    /// Returns the name in scenarios and results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Disconnect::Close => "close",
            Disconnect::Reset => "reset",
            Disconnect::Silent => "silent",
        }
    }
}
